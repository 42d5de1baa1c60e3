"""Whether a file of the lake is there as it was written: existence, size, Parquet footer. Reads its last kilobytes and no row."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from headrace.lake.folders import lost_with
from headrace.lake.syncing import MAGIC, TAIL_BYTES, footer_hash
from headrace.model.errors import LakeError

FOOTER_BYTES_MAX = 1 << 20
"""At most so much of a footer is read and hashed."""


class DataCorrupted(LakeError):
    """A file that readers need is gone, or isn't what was published."""

    code = "data_corrupted"


class FileIntegrity(NamedTuple):
    """`wrong` is empty for a file that is as it was written; else a clause that follows its path: `is gone`. `footer` is the hash of what
    was read of its footer, empty where none was."""

    wrong: str
    footer: str = ""


def look(path: Path, size_bytes: int, footer_bytes: int, known: str = "") -> FileIntegrity:
    """Look at a file that was registered with these sizes. `known` is its footer's hash of an earlier look, empty where there was none."""
    lost = lost_with(path.name)
    if lost is not None:
        return FileIntegrity(f"was given up: its rows were lost with {lost}.parquet")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return FileIntegrity("is gone")
    except OSError as error:
        return FileIntegrity(f"can't be opened ({(error.strerror or 'unknown error').lower()})")
    try:
        return _look(descriptor, size_bytes, footer_bytes, known)
    except OSError as error:
        return FileIntegrity(f"can't be read ({(error.strerror or 'unknown error').lower()})")
    finally:
        os.close(descriptor)


def _look(descriptor: int, size_bytes: int, footer_bytes: int, known: str) -> FileIntegrity:
    results = os.fstat(descriptor)
    if not stat.S_ISREG(results.st_mode):
        return FileIntegrity("is no file")
    if results.st_size != size_bytes:
        return FileIntegrity(f"has {results.st_size:,} bytes and not {size_bytes:,}")
    wanted = min(footer_bytes, FOOTER_BYTES_MAX) + TAIL_BYTES
    tail = os.pread(descriptor, wanted, max(size_bytes - wanted, 0))
    if tail[-4:] != MAGIC or (footer_bytes and int.from_bytes(tail[-8:-4], "little") != footer_bytes):
        return FileIntegrity("isn't the Parquet file that was published: its end differs")
    footer = footer_hash(tail)
    if known and footer != known:
        return FileIntegrity("isn't the Parquet file that was published: its footer differs", footer)
    return FileIntegrity("", footer)


def protect(path: Path) -> None:
    """Take the permission to write from everybody: what is staged isn't changed any more, only replaced."""
    path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)
