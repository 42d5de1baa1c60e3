"""What every text file must be before a parser sees it: not empty, UTF-8, and without nul bytes. One pass in constant memory."""

from __future__ import annotations

import codecs
from pathlib import Path

from headrace.connect.deliveries import CannotRead
from headrace.connect.unpack import UTF32

CHUNK_BYTES = 1 << 20


def require_text(path: Path, *, blank: bool = False) -> None:
    """Raise CannotRead, with the line, for a file that is empty (unless `blank` allows it), isn't UTF-8, or holds nul bytes
    (binary data, UTF-16 without its mark, a disk's unwritten blocks)."""
    lines, empty = 1, True
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            if b"\0" in chunk:
                raise _nul(chunk, lines + chunk[: chunk.index(b"\0")].count(b"\n"), first=empty)
            _decode(decoder, chunk, lines)
            empty = empty and not chunk.strip()
            lines += chunk.count(b"\n")
    if decoder.getstate()[0]:
        raise CannotRead("ends in the middle of a character: it is truncated, or not UTF-8", line=lines, code="delivery_encoding")
    if empty and not blank:
        raise CannotRead("the file is empty: there isn't even a header", code="delivery_empty")


def _decode(decoder: codecs.IncrementalDecoder, chunk: bytes, lines: int) -> None:
    if chunk.isascii() and not decoder.getstate()[0]:
        return
    try:
        decoder.decode(chunk)
    except UnicodeDecodeError as error:
        carried = len(error.object) - len(chunk)
        at = max(0, error.start - carried)
        byte = error.object[error.start]
        guess = f"; in Windows-1252 it would be `{bytes([byte]).decode('cp1252', 'replace')}`" if byte > 0xA0 else ""
        line = lines + chunk[:at].count(b"\n")
        raise CannotRead(
            f"line {line}: byte 0x{byte:02X} isn't UTF-8{guess}; deliver the file in UTF-8", line=line, code="delivery_encoding"
        ) from error


def _nul(chunk: bytes, line: int, *, first: bool) -> CannotRead:
    """Told apart: text in an encoding of two or four bytes a character, and anything else with a nul in it."""
    sample = chunk[:2000]
    if first and (sample.startswith(UTF32) or sample.count(0) * 3 > len(sample)):
        wide = "UTF-32" if sample.startswith(UTF32) or sample.count(0) * 2 > len(sample) * 1.3 else "UTF-16 without a byte order mark"
        return CannotRead(f"isn't UTF-8: it looks like {wide}, or like binary data", line=line, code="delivery_encoding")
    return CannotRead(f"line {line}: a nul byte; the file is binary, or damaged", line=line, code="delivery_encoding")
