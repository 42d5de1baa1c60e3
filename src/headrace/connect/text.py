"""What every text file must be before a parser sees it: not empty, UTF-8, and without nul bytes. One pass in constant memory."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

import msgspec

from headrace.connect.deliveries import CannotRead
from headrace.connect.unpack import UTF32

CHUNK_BYTES = 1 << 20


class LineCounts(msgspec.Struct):
    """What one pass over a text file counts."""

    ends: int = 0
    """Line ends (LF)."""
    plain: bool = True
    """Whether each line is one row for certain: no quotes, no blank lines, no CR but in CRLF."""
    empty: bool = True
    open_bytes: int = 0
    """Bytes since the last line end."""

    @property
    def rows(self) -> int | None:
        """Lines without the header; None where that can't be told from the lines."""
        return self.ends + bool(self.open_bytes) - 1 if self.plain and not self.empty else None


def require_text(path: Path, *, line_bytes_max: int, blank: bool = False) -> LineCounts:
    """Raise CannotRead, with the line, for a file that is empty (unless `blank` allows it), isn't UTF-8, holds nul bytes (binary
    data, UTF-16 without its mark, a disk's unwritten blocks), or has a line longer than `line_bytes_max`.

    The last is checked here because DuckDB's parallel reader gives 0 rows, without an error, for a row larger than its buffer.
    """
    lines, last = LineCounts(), b""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            if b"\0" in chunk:
                raise _nul(chunk, lines.ends + 1 + chunk[: chunk.index(b"\0")].count(b"\n"), first=lines.empty)
            _decode(decoder, chunk, lines.ends + 1)
            _count(lines, last, chunk, line_bytes_max)
            last = chunk[-1:]
    if decoder.getstate()[0]:
        raise CannotRead("ends in the middle of a character: it is truncated, or not UTF-8", line=lines.ends + 1, code="delivery_encoding")
    if lines.empty and not blank:
        raise CannotRead("the file is empty: there isn't even a header", code="delivery_empty")
    lines.plain = lines.plain and last != b"\r"
    return lines


def _count(lines: LineCounts, last: bytes, chunk: bytes, line_bytes_max: int) -> None:
    """Go on counting with `chunk`, which came after the byte `last`."""
    first, end = chunk.find(b"\n"), chunk.rfind(b"\n")
    if lines.open_bytes + (first if first >= 0 else len(chunk)) > line_bytes_max and b"\r" not in chunk:
        raise CannotRead(f"line {lines.ends + 1}: longer than {line_bytes_max:,} bytes", line=lines.ends + 1)
    lines.open_bytes = len(chunk) - end - 1 if end >= 0 else lines.open_bytes + len(chunk)
    lines.ends += chunk.count(b"\n")
    lines.empty = lines.empty and not chunk.strip()
    if lines.plain:
        joined = last + chunk
        breaks = b"\r" in joined and joined.count(b"\r") != joined.count(b"\r\n") + joined.endswith(b"\r")
        lines.plain = not (b'"' in chunk or b"\n\n" in joined or b"\n\r" in joined or breaks or (not last and chunk[:1] in b"\r\n"))


def _decode(decoder: codecs.IncrementalDecoder, chunk: bytes, lines: int) -> None:
    if chunk.isascii() and not decoder.getstate()[0]:
        return
    try:
        decoder.decode(chunk)
    except UnicodeDecodeError as error:
        carried = len(error.object) - len(chunk)
        at = max(0, error.start - carried)
        byte = error.object[error.start]
        western = bytes([byte]).decode("cp1252", "replace")
        guess = f"; in Windows-1252 it would be `{western}`" if western.isalpha() else ""
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


def is_cut_in_line(path: Path, line: int) -> bool:
    """Whether a line (from 1) is the file's last one and has no line end: what is wrong with it may
    be that the rest of the file isn't there."""
    ends = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            ends += chunk.count(b"\n")
            if ends >= line:
                return False
    return ends == line - 1


def ends_open(path: Path) -> bool:
    """Whether the last line of a file that isn't empty has no line end."""
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) not in (b"\n", b"\r")
