"""Read files of an origin: regular files within its folder only, and never more than a limit."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from io import BufferedReader
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from headrace.extension import HeadraceError, first_line

MANIFEST_FILE = ".headrace-import.json"
"""In the folder of a new project: what the import has written, and from what."""
HASHED_BYTES_MAX = 256 * 1024 * 1024
"""256 MiB: of a larger file, these bytes and its size are hashed."""
FAULTY_FILES_MAX = 20
LINK_OUT = "a link out of the folder isn't followed"
_REASONS = {
    errno.ENOENT: "it is a link to a file that doesn't exist",
    errno.ELOOP: "it is a link that leads back to itself",
}
_LEFT_OUT: ContextVar[Mapping[str, str]] = ContextVar("left_out", default=MappingProxyType({}))
"""File → why it isn't read."""


class UnreadableFile(Exception):
    """A file of the origin that can't be read; the message says why."""


class FaultInFile(Exception):
    """An unexpected error of an importer at one file of the origin; its cause is the error."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@contextmanager
def working_on(path: str) -> Iterator[None]:
    """Name the file of the origin at which an unexpected error arises."""
    try:
        yield
    except (FaultInFile, UnreadableFile, HeadraceError):
        raise
    except Exception as error:
        raise FaultInFile(path) from error


def left_out(path: str) -> str:
    """Return why a file isn't to be read in this attempt; empty if it is."""
    return _LEFT_OUT.get().get(path, "")


_Result = TypeVar("_Result")


def without_faulty_files(read: Callable[[], _Result]) -> _Result:
    """Return the result of an importer. A file at which it fails is left out, and then an item.

    The reason has the error, so that it can be reported. An error that belongs to no file, or to
    more than `FAULTY_FILES_MAX`, is raised.
    """
    reasons: dict[str, str] = {}
    while True:
        token = _LEFT_OUT.set(reasons)
        try:
            return read()
        except FaultInFile as fault:
            error = fault.__cause__
            if fault.path in reasons or len(reasons) == FAULTY_FILES_MAX or error is None:
                raise (error or fault) from None
            reasons[fault.path] = (
                f"the importer failed at it ({type(error).__name__}: {first_line(error)[:200]}),"
                " which is an error of Headrace: please report it"
            )
        finally:
            _LEFT_OUT.reset(token)


def is_new_project(folder: Path) -> bool:
    """Whether a folder holds what an import has written, which is no part of an origin."""
    return (folder / MANIFEST_FILE).is_file()


def file_bytes(root: Path, path: str, bytes_max: int) -> bytes:
    """Return the bytes of a file below `root`. Raises UnreadableFile."""
    if reason := left_out(path):
        raise UnreadableFile(reason)
    try:
        with _opened(_inside(root, path)) as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise UnreadableFile(f"it can't be read: {error.strerror}") from None
    if len(data) > bytes_max:
        raise UnreadableFile(
            f"it is larger than {bytes_max // 1024 // 1024} MiB, the limit of a file"
        )
    return data


def file_hash(root: Path, path: str) -> str:
    """Return the SHA-256 of a file below `root`. Raises UnreadableFile."""
    try:
        with _opened(_inside(root, path)) as file:
            return _hashed(file)
    except OSError as error:
        raise UnreadableFile(f"it can't be read: {error.strerror}") from None


def leads_out(root: Path, path: Path) -> bool:
    """Whether a file or folder, with all links followed, isn't below `root`."""
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def _inside(root: Path, path: str) -> str:
    """Return the place of a file with all links followed. Raises UnreadableFile."""
    if not path.isprintable() and not _is_utf8(path):
        raise UnreadableFile("its name isn't UTF-8 text")
    try:
        place = os.path.realpath(root / path, strict=True)
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, f"it can't be read: {error.strerror}")
        raise UnreadableFile(reason) from None
    except ValueError as error:
        raise UnreadableFile(f"it can't be read: {error}") from None
    if leads_out(root, Path(place)):
        raise UnreadableFile(LINK_OUT)
    return place


def _is_utf8(path: str) -> bool:
    """Whether a path has no bytes that Python stands for by lone surrogates."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _opened(place: str) -> BufferedReader:
    """Open a regular file; others (a FIFO, a device) would wait for ever. Raises UnreadableFile."""
    descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableFile("it isn't a regular file")
    return os.fdopen(descriptor, "rb")


def _hashed(file: BufferedReader) -> str:
    size = os.fstat(file.fileno()).st_size
    if size <= HASHED_BYTES_MAX:
        return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256(file.read(HASHED_BYTES_MAX))
    digest.update(str(size).encode())
    return digest.hexdigest()
