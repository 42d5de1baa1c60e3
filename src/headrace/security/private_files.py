"""Files that only their owner may read, each complete or not there: keys, tokens, sessions, users.

They are created with mode 0600 under another name, which no link can stand in for.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from headrace.lake.files import full_sync


def replace_private(path: Path, content: bytes, *, synced: bool = False) -> None:
    """Write a file in the place of what is there; `synced`: it survives a power failure.

    Raises OSError.
    """
    with _written(path, content, synced=synced) as part:
        part.replace(path)


def create_private(path: Path, content: bytes) -> None:
    """Write and sync a file, unless another process was first: what that wrote stays.

    Raises OSError.
    """
    with _written(path, content, synced=True) as part, suppress(FileExistsError):
        os.link(part, path)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock `path` with the suffix `.lock`, against other processes. Raises OSError."""
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(lock, "wb"):
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _written(path: Path, content: bytes, *, synced: bool) -> Iterator[Path]:
    """Yield a file with the content, beside `path`; remove it if it is still there afterwards."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if synced:
                file.flush()
                os.fsync(file.fileno())
        yield part
    finally:
        part.unlink(missing_ok=True)
    if synced:
        full_sync(path.parent)
