"""Records which readers use which nodes.

Each reader appends a line to a file, so that no reader waits for a lock; the leader adds the lines
up once a day. A reader that may not write there isn't counted, which is never an error of the read.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from headrace.runtime.folders import Folders
from headrace.store import Store, Transaction
from headrace.store.clock import instant
from headrace.store.queries import usage
from headrace.store.queries.usage import ReadUsage

READ, SQL, DATA = "read", "sql", "data"
_OPEN = "reads"
_ADDING = "reads.adding"
_ADDED = "usage_added"
"""Key in `meta` of the last file added, by inode and size.

A crash before that file is removed must not count it twice.
"""


class _Read(msgspec.Struct, array_like=True):
    node: str
    reader: str
    via: str
    at: int


def note(folders: Folders, nodes: Sequence[str], *, reader: str, via: str, at: int) -> None:
    """Record that a reader has read these nodes."""
    lines = b"".join(
        msgspec.json.encode(_Read(node, reader[:200], via, at)) + b"\n" for node in nodes
    )
    with contextlib.suppress(OSError):
        folder = _folder(folders)
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / _OPEN, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, lines)
        finally:
            os.close(handle)


def waiting(folders: Folders) -> list[ReadUsage]:
    """Return the reads that the leader hasn't added yet."""
    return [
        read_usage for name in (_ADDING, _OPEN) for read_usage in _of_file(_folder(folders) / name)
    ]


def add_up(store: Store, epoch: int | None, folders: Folders, keep_since: str) -> None:
    """Add the waiting reads to the totals by day, and delete days before `keep_since`.

    Only the leader may call it.
    """
    folder = _folder(folders)
    adding = folder / _ADDING
    if not adding.exists():
        with contextlib.suppress(FileNotFoundError):
            (folder / _OPEN).rename(adding)
    with store.write(epoch) as tx:
        usage.forget(tx, keep_since)
        if adding.exists():
            _add(tx, adding)
    adding.unlink(missing_ok=True)


def _add(tx: Transaction, path: Path) -> None:
    stat = path.stat()
    mark = f"{stat.st_ino}:{stat.st_size}"
    row = tx.execute("select value from meta where key = ?", (_ADDED,)).fetchone()
    if row is None or row[0] != mark:
        usage.add_reads(tx, _of_file(path))
        sql = (
            "insert into meta (key, value) values (?, ?) on conflict (key) do update set value ="
            " excluded.value"
        )
        tx.execute(sql, (_ADDED, mark))


def _of_file(path: Path) -> list[ReadUsage]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return []
    return _by_day(_decoded(lines))


def _decoded(lines: Iterable[bytes]) -> Iterable[_Read]:
    for line in lines:
        with contextlib.suppress(msgspec.DecodeError):  # a crash may truncate a line
            yield msgspec.json.decode(line, type=_Read)


def _by_day(reads: Iterable[_Read]) -> list[ReadUsage]:
    count, last = Counter[tuple[str, str, str, str]](), dict[tuple[str, str, str, str], int]()
    for item in reads:
        key = (item.node, item.reader, item.via, instant(item.at).date().isoformat())
        count[key] += 1
        last[key] = max(last.get(key, item.at), item.at)
    return [ReadUsage(*key, number, last[key]) for key, number in count.items()]


def _folder(folders: Folders) -> Path:
    return folders.data_path / "usage"
