"""Text whose lines end in CRLF here and in LF there: systems that append to each other's files make it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from headrace.connect.unpack import Opened, UnpackLimits, written

CHUNK_BYTES = 1 << 20
QUOTED = b"quoted"


class Quoting(NamedTuple):
    """How values are quoted: a quote counts at the beginning of a value, and closes it where it
    isn't escaped."""

    delimiter: str
    quote: str
    escape: str


def has_both_line_ends(path: Path) -> bool:
    """Whether there are CRLF and LF, inside quoted values or not; one cheap pass."""
    ends, with_return, last = 0, 0, b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            ends += chunk.count(b"\n")
            with_return += chunk.count(b"\r\n") + (last == b"\r" and chunk[:1] == b"\n")
            last = chunk[-1:]
            if 0 < with_return < ends:
                return True
    return False


def one_line_end(
    opened: Opened, temporary: Path, bounds: UnpackLimits, line_bytes_max: int,
    quoting: Quoting | None = None, *, intermediate: bool,
) -> Opened:  # fmt: skip
    """`opened`, or a copy in which every row ends in LF, where some rows end in CRLF and others in LF.

    Line breaks inside quoted values stay as they are; `quoting` is None for text without quotes.
    A file with a line of more than `line_bytes_max` bytes, or with a quote that is never closed,
    stays as it is: its reader names the line. `intermediate`: whether `opened` itself is deleted
    where a copy takes its place, or where this fails.
    """
    path, lines = Path(opened.path), _Lines(line_bytes_max, quoting)
    made = None
    try:
        made = opened if not _rows_differ(path, lines) else written(opened, temporary, bounds, (line for line, _ in lines.of(path)))
    finally:
        if intermediate and made is not opened:
            opened.discard()
    return made


def _rows_differ(path: Path, lines: _Lines) -> bool:
    """Whether rows, and not just lines inside quoted values, end in both ways, in a file whose
    quotes are closed."""
    results, ending = set(), b""
    for line, ending in lines.of(path):
        if len(line) > lines.bytes_max:
            return False
        results.add(ending)
    return ending != QUOTED and {b"\r\n", b"\n"} <= results


class _Lines:
    """A file's lines as they are to be written, each with how it ended: in CRLF, LF or nothing,
    or inside a quoted value."""

    def __init__(self, bytes_max: int, quoting: Quoting | None) -> None:
        self.bytes_max = bytes_max
        self._quote = quoting.quote.encode() if quoting else b""
        self._open_quote = _open_quote(quoting) if quoting else None

    def of(self, path: Path) -> Iterator[tuple[bytes, bytes]]:
        inside = False
        with path.open("rb") as file:
            while line := file.readline(self.bytes_max + 1):
                inside = self._ends_inside(self._quote + line if inside else line)
                if inside:
                    yield line, QUOTED
                elif line.endswith(b"\r\n"):
                    yield line[:-2] + b"\n", b"\r\n"
                else:
                    yield line, b"\n" if line.endswith(b"\n") else b""

    def _ends_inside(self, line: bytes) -> bool:
        return self._open_quote is not None and self._open_quote.fullmatch(line) is not None


def _open_quote(quoting: Quoting) -> re.Pattern[bytes]:
    """Matches a line, read from the beginning of a value, that ends inside a quoted value. No step
    is taken back, so that the time grows with the line's length only."""
    mark, end, escape = (re.escape(item.encode()) for item in (quoting.quote, quoting.delimiter, quoting.escape))
    escaped = escape + (mark if quoting.escape == quoting.quote else b".")
    inside = b"(?:" + escaped + b"|(?!" + mark + b").)*+"
    rest = b"(?:(?!" + end + b").)*+" + end
    closed = mark + inside + mark + rest
    plain = b"(?!" + mark + b")" + rest
    return re.compile(b"(?:" + closed + b"|" + plain + b")*+" + mark + inside, re.DOTALL)
