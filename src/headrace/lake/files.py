"""Files of the lake on disk: making them durable, checking them, and finding orphans."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import stat
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from headrace.faults import FaultPoint, reached
from headrace.lake.tables import (
    SCHEMA_FOLDER,
    StagedDeletes,
    StagedFile,
    digest_in,
    lost_with,
    sealed_name,
)
from headrace.model.errors import LakeError

# Before the catalog names a file, the file is durable, complete, and the one that was checked.
# DuckDB doesn't sync the files that it writes.

MAGIC = b"PAR1"
TAIL_BYTES = 8
"""Bytes at a Parquet file's end: the footer's length and the magic."""


def sync(paths: Iterable[Path]) -> None:
    """Make files and their folders durable.

    Linux needs one `syncfs` per file system for any number of files, where a per-file `fsync` waits
    for each; elsewhere each file and its folders are synced. Raises LakeError on failure.
    """
    files = list(paths)
    if sys.platform == "linux":
        _sync(_sync_file_systems, files)
    else:
        sync_each(files)


def sync_each(paths: Iterable[Path]) -> None:
    """Like `sync`, but without waiting for other processes' writes. Raises LakeError on failure."""
    _sync(_sync_files, list(paths))


def _sync(do_it: Callable[[Sequence[Path]], None], files: Sequence[Path]) -> None:
    try:
        do_it(files)
    except OSError as error:
        raise LakeError(
            f"staged files can't be made durable: {error.strerror} ({error.filename or 'syncfs'})"
        ) from error


def _sync_file_systems(files: Sequence[Path]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    for path in {path.stat().st_dev: path for path in files}.values():
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if libc.syncfs(descriptor) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
        finally:
            os.close(descriptor)


def _sync_files(files: Sequence[Path]) -> None:
    for path in files:
        full_sync(path)
    folders = {path.parent for path in files}
    for folder in sorted(folders):
        full_sync(folder)
    for folder in sorted({folder.parent for folder in folders} - folders):
        with suppress(PermissionError):  # who may not look into it made no folder there, either
            full_sync(folder)


def full_sync(path: Path) -> None:
    """Call `fsync`, on macOS `F_FULLFSYNC`: there `fsync` leaves the data in the drive's cache."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if sys.platform == "darwin":
            import fcntl

            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        else:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def verify(data_folder: Path, staged: StagedFile | StagedDeletes) -> Path:
    """Return the staged file's path if the file is unchanged: same size, same footer.

    Raises LakeError if it is missing, truncated, changed, a link, or outside the data folder.
    """
    return verify_below(data_folder.resolve(), staged)


def verify_below(root: Path, staged: StagedFile | StagedDeletes) -> Path:
    """Like `verify`, for a data folder's path without links: for several files, resolve it once."""
    path = root / staged.path
    if not path.parent.resolve().is_relative_to(root) or path.name in ("", ".", ".."):
        raise LakeError(f"the staged file {staged.path!r} lies outside the lake's folder")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        why = (
            "is a link"
            if error.errno == errno.ELOOP
            else (error.strerror or "can't be opened").lower()
        )
        raise LakeError(f"the staged file {staged.path} can't be published: {why}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise LakeError(f"the staged file {staged.path} can't be published: it is no file")
    with os.fdopen(descriptor, "rb") as file:
        size = os.fstat(descriptor).st_size
        if size != staged.size_bytes:
            raise LakeError(
                f"the staged file {staged.path} has {size} bytes; {staged.size_bytes} were written"
            )
        file.seek(max(size - staged.footer_bytes - TAIL_BYTES, 0))
        tail = file.read()
    if not _is_footer(tail, staged):
        raise LakeError(
            f"the staged file {staged.path} isn't the Parquet file that was written: its footer"
            " differs"
        )
    return path


def _is_footer(tail: bytes, staged: StagedFile | StagedDeletes) -> bool:
    if tail[-4:] != MAGIC or int.from_bytes(tail[-8:-4], "little") != staged.footer_bytes:
        return False
    return not staged.footer_hash or footer_hash(tail) == staged.footer_hash


def footer_hash(tail: bytes) -> str:
    """Return the SHA-256 of a file's last bytes: its footer, the footer's length and the magic."""
    return hashlib.sha256(tail).hexdigest()


def read_tail(path: Path, footer_bytes: int) -> bytes:
    """Return the file's last bytes, from the start of its footer."""
    with path.open("rb") as file:
        file.seek(-(footer_bytes + TAIL_BYTES), os.SEEK_END)
        return file.read()


# Checks that a file of the lake is as it was written: existence, size, Parquet footer. They read
# its last kilobytes and no row.

FOOTER_BYTES_MAX = 1 << 20
"""1 MiB: the maximum number of footer bytes that are read and hashed."""


class DataCorrupted(LakeError):
    """A file that readers need is missing or isn't the published one."""

    code = "data_corrupted"


class FileIntegrity(NamedTuple):
    """The result of checking a file.

    `wrong` is empty for an intact file, else a clause that follows its path: `is gone`. `footer` is
    the hash of the footer's last bytes, empty if none were read.
    """

    wrong: str
    footer: str = ""


def check_file(path: Path, size_bytes: int, footer_bytes: int, known: str = "") -> FileIntegrity:
    """Check a file that was registered with these sizes.

    `known` is the footer's hash from an earlier check, empty without one.
    """
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
        return _check_open_file(descriptor, size_bytes, footer_bytes, known)
    except OSError as error:
        return FileIntegrity(f"can't be read ({(error.strerror or 'unknown error').lower()})")
    finally:
        os.close(descriptor)


def _check_open_file(
    descriptor: int, size_bytes: int, footer_bytes: int, known: str
) -> FileIntegrity:
    results = os.fstat(descriptor)
    if not stat.S_ISREG(results.st_mode):
        return FileIntegrity("is no file")
    if results.st_size != size_bytes:
        return FileIntegrity(f"has {results.st_size:,} bytes and not {size_bytes:,}")
    tail_bytes = min(footer_bytes, FOOTER_BYTES_MAX) + TAIL_BYTES
    tail = os.pread(descriptor, tail_bytes, max(size_bytes - tail_bytes, 0))
    if tail[-4:] != MAGIC or (
        footer_bytes and int.from_bytes(tail[-8:-4], "little") != footer_bytes
    ):
        return FileIntegrity("isn't the Parquet file that was published: its end differs")
    footer = footer_hash(tail)
    if known and footer != known:
        return FileIntegrity(
            "isn't the Parquet file that was published: its footer differs", footer
        )
    return FileIntegrity("", footer)


def file_written() -> None:
    """Mark the place where a staged file is complete and nothing refers to it yet."""
    reached(FaultPoint.FILE_WRITTEN)


def seal(data_folder: Path, path: str) -> str:
    """Put the digest of a complete file into its name, protect it, and return its new path.

    Paths are relative to the data folder.
    """
    place = data_folder / path
    sealed = place.with_name(sealed_name(place.name, file_digest(place)))
    place.rename(sealed)
    protect(sealed)
    return sealed.relative_to(data_folder).as_posix()


def has_its_digest(path: Path) -> bool | None:
    """Whether a file has the bytes that it was written with; None if its name has no digest.

    Raises OSError if it can't be read.
    """
    digest = digest_in(path.name)
    return None if digest is None else file_digest(path).startswith(digest)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def protect(path: Path) -> None:
    """Remove everybody's write permission: staged files are never changed, only replaced."""
    path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)


# Files in the lake's folder that nothing references: left behind by a crash or a lost worker.


class Orphan(msgspec.Struct, frozen=True):
    """A file that no snapshot and no open attempt references.

    `path` is relative to the data folder.
    """

    path: str
    size_bytes: int
    modified_us: int


def orphans(
    data_folder: Path, named: Collection[str], staged: Collection[str], *, before_us: int
) -> list[Orphan]:
    """Return unreferenced Parquet files below `main/` that are older than `before_us`.

    `named` are the catalog's paths, `staged` those of open attempts, plans and quarantine.
    `before_us` must lie further back than the longest attempt takes, because a file that a worker
    is writing is known to nobody else. Links aren't followed, and other files are ignored: they
    aren't Headrace's.
    """
    known = {*named, *staged}
    results = []
    for path, status in _files(data_folder):
        relative = path.relative_to(data_folder).as_posix()
        modified = status.st_mtime_ns // 1000
        if relative not in known and modified < before_us:
            results.append(Orphan(relative, status.st_size, modified))
    return sorted(results, key=lambda orphan: orphan.path)


def _files(data_folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for folder, _, names in os.walk(data_folder / SCHEMA_FOLDER, followlinks=False):
        for name in names:
            path = Path(folder, name)
            if name.endswith(".parquet") and not path.is_symlink():
                try:
                    yield path, path.lstat()
                except FileNotFoundError:
                    continue
