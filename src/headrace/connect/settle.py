"""Whether a file is still being written: a rule over its silence and its end. Nothing of a file is parsed here."""

from __future__ import annotations

import zlib
from pathlib import Path

QUIET_SECONDS = 1.0
"""A file whose end looks complete is taken after this much silence."""
QUIET_LONG_SECONDS = 3.0
"""Any other file is taken after this much, complete or not: reading it will say what is wrong with it."""
FUTURE_SECONDS = 60.0
"""A modification time further ahead than this isn't a clock that is a little off: the file counts as quiet."""
GZIP_WHOLE_BYTES = 4 * 1024 * 1024
"""Gzip files up to this size are decompressed to see whether they end; larger ones wait for the long silence."""
ZIP_END_BYTES = 22 + 65_535


def seconds_to_wait(path: Path, size_bytes: int, quiet_seconds: float) -> float:
    """How many more seconds of silence `path` needs before it is taken; 0.0 if it is settled.

    `quiet_seconds` is the real clock's now minus the file's modification time. The file is opened only in between.
    """
    if quiet_seconds >= QUIET_LONG_SECONDS or quiet_seconds < -FUTURE_SECONDS:
        return 0.0
    if not ends(path, size_bytes):
        return QUIET_LONG_SECONDS - quiet_seconds
    return max(0.0, QUIET_SECONDS - quiet_seconds)


def ends(path: Path, size_bytes: int) -> bool:
    """Whether the file's last bytes look like an end: a newline, Parquet's magic, a zip's directory, a gzip's trailer."""
    if size_bytes == 0:
        return False
    try:
        with path.open("rb") as file:
            start = file.read(6)
            if start.startswith(b"\x1f\x8b"):
                return size_bytes <= GZIP_WHOLE_BYTES and _gzip_ends(start + file.read(GZIP_WHOLE_BYTES))
            if start.startswith(b"\x28\xb5\x2f\xfd"):  # zstd: the end can't be told without reading all frames
                return False
            file.seek(max(0, size_bytes - ZIP_END_BYTES))
            tail = file.read(ZIP_END_BYTES + 1)
    except OSError:
        return False
    if start.startswith(b"PK\x03\x04"):
        return _zip_ends(tail)
    if start.startswith(b"PAR1"):
        return size_bytes > 8 and tail.endswith(b"PAR1")
    return tail.endswith((b"\n", b"\r"))


def _zip_ends(tail: bytes) -> bool:
    """Whether the directory's last record is there with its comment, and nothing after it."""
    at = tail.rfind(b"PK\x05\x06")
    return at >= 0 and len(tail) >= at + 22 and len(tail) == at + 22 + int.from_bytes(tail[at + 20 : at + 22], "little")


def _gzip_ends(data: bytes) -> bool:
    """Whether every member of `data` is whole, checksum included. Output is dropped as it comes, so a bomb costs time, not memory."""
    budget = 64 * GZIP_WHOLE_BYTES
    while data:
        stream = zlib.decompressobj(wbits=31)
        try:
            while not stream.eof:
                made = stream.decompress(data, 1 << 20)
                budget -= len(made)
                if budget < 0 or (not made and not stream.unconsumed_tail and not stream.eof):
                    return False
                data = stream.unconsumed_tail
        except zlib.error:
            return False
        data = stream.unused_data.lstrip(b"\0")
    return True
