"""Read files of an origin: regular files within its folder only, and never more than a limit."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from io import BufferedReader
from pathlib import Path

HASHED_BYTES_MAX = 256 * 1024 * 1024
"""256 MiB: of a larger file, these bytes and its size are hashed."""
LINK_OUT = "a link out of the folder isn't followed"
_REASONS = {
    errno.ENOENT: "it is a link to a file that doesn't exist",
    errno.ELOOP: "it is a link that leads back to itself",
}


class UnreadableFile(Exception):
    """A file of the origin that can't be read; the message says why."""


def file_bytes(root: Path, path: str, bytes_max: int) -> bytes:
    """Return the bytes of a file below `root`. Raises UnreadableFile."""
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
