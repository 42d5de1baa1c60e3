"""The fence of exports: only workers of the leader that holds the lease may replace an export.

The store fences its own commits, but a file outside of it has no transaction. So each leader writes
its epoch into a file of the data folder, and a worker publishes its export only while it holds that
file's lock and finds its own leader's epoch there.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path


class WriterFenced(Exception):
    """Another leader has taken over, and this attempt's export is discarded."""


@contextmanager
def close_to_others(path: Path, epoch: int) -> Iterator[None]:
    """Allow only exports of this epoch after the block; wait for one that is being published.

    No other leader can close the fence during the block. If the block raises, nothing changes.
    """
    with _locked(path) as file:
        yield
        file.truncate()
        file.write(str(epoch).encode())


def epoch_of(path: Path) -> int:
    """Return the epoch of the leader whose exports are allowed; 0 if none has led yet."""
    text = path.read_text() if path.exists() else ""
    return int(text or 0)


@contextmanager
def lock_epoch(path: Path, epoch: int) -> Iterator[None]:
    """Keep other leaders out during the block.

    Raises WriterFenced if another one has taken over.
    """
    with _locked(path) as file:
        stored_epoch = file.read().decode()
        if stored_epoch and int(stored_epoch) != epoch:
            raise WriterFenced(
                f"another leader has taken over (epoch {stored_epoch}, ours is {epoch}); nothing"
                f" was exported"
            )
        yield


@contextmanager
def _locked(path: Path) -> Iterator[FileIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released when the file is closed or the process ends
        file.seek(0)
        yield file
