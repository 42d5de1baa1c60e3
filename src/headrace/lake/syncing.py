"""Before a file is named in the catalog: it is on the disk, whole, and the one that was audited. DuckDB syncs nothing that it writes."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from headrace.lake.tables import StagedDeletes, StagedFile
from headrace.model.errors import LakeError

MAGIC = b"PAR1"
TAIL_BYTES = 8
"""The footer's length and the magic, at a Parquet file's end."""


def sync(paths: Iterable[Path]) -> None:
    """Make files and the folders that name them durable. On Linux one `syncfs` a file system does for any number of files (a
    per-file `fsync` waits for each); elsewhere each file and its folders are synced. Raises `LakeError` if that fails."""
    files = list(paths)
    if sys.platform == "linux":
        _sync(_sync_file_systems, files)
    else:
        sync_each(files)


def sync_each(paths: Iterable[Path]) -> None:
    """The same for these files alone: nothing that others have written is waited for. Raises `LakeError` if that fails."""
    _sync(_sync_files, list(paths))


def _sync(do_it: Callable[[Sequence[Path]], None], files: Sequence[Path]) -> None:
    try:
        do_it(files)
    except OSError as error:
        raise LakeError(f"staged files can't be made durable: {error.strerror} ({error.filename or 'syncfs'})") from error


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
    folders: set[Path] = set()
    for path in files:
        _full_sync(path)
        folders.update((path.parent, path.parent.parent))
    for folder in sorted(folders):
        _full_sync(folder)


def _full_sync(path: Path) -> None:
    """`fsync`, and on macOS `F_FULLFSYNC`: there `fsync` leaves the data in the drive's cache."""
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
    """The staged file's path, if it is there as it was staged: same size, same footer. Raises `LakeError` if it is missing, cut
    short, changed, a link, or lies outside the data folder."""
    root = data_folder.resolve()
    path = root / staged.path
    if not path.parent.resolve().is_relative_to(root) or path.name in ("", ".", ".."):
        raise LakeError(f"the staged file {staged.path!r} lies outside the lake's folder")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        why = "is a link" if error.errno == errno.ELOOP else (error.strerror or "can't be opened").lower()
        raise LakeError(f"the staged file {staged.path} can't be published: {why}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise LakeError(f"the staged file {staged.path} can't be published: it is no file")
    with os.fdopen(descriptor, "rb") as file:
        size = os.fstat(descriptor).st_size
        if size != staged.size_bytes:
            raise LakeError(f"the staged file {staged.path} has {size} bytes; {staged.size_bytes} were written")
        file.seek(max(size - staged.footer_bytes - TAIL_BYTES, 0))
        tail = file.read()
    if not _is_footer(tail, staged):
        raise LakeError(f"the staged file {staged.path} isn't the Parquet file that was written: its footer differs")
    return path


def _is_footer(tail: bytes, staged: StagedFile | StagedDeletes) -> bool:
    if tail[-4:] != MAGIC or int.from_bytes(tail[-8:-4], "little") != staged.footer_bytes:
        return False
    return not staged.footer_hash or footer_hash(tail) == staged.footer_hash


def footer_hash(tail: bytes) -> str:
    """The digest of a file's last bytes: its footer, the footer's length and the magic."""
    return hashlib.sha256(tail).hexdigest()


def read_tail(path: Path, footer_bytes: int) -> bytes:
    """The file's last bytes, from where its footer begins."""
    with path.open("rb") as file:
        file.seek(-(footer_bytes + TAIL_BYTES), os.SEEK_END)
        return file.read()
