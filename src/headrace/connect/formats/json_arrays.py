"""JSON arrays as lines: DuckDB reads one object per line with all threads, an array with one.

Most arrays are written as `[{…},\\n{…}]` or `[{…}, {…}]`, with flat records and one kind of
separator. Those are cut at their separators, without being parsed. Any other array is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from headrace.lake.exact_json import OBJECT_BYTES_MAX, has_inexact

CHUNK_BYTES = 1 << 20
_START = re.compile(rb"[ \t\r\n]*\[[ \t\r\n]*(?=\{)")
_END = re.compile(rb"\}[ \t\r\n]*\][ \t\r\n]*\Z")
_SEPARATOR = re.compile(rb"\}([ \t\r\n]*,[ \t\r\n]*)\{")


class NotLines(Exception):
    """The array can't be cut into lines without being parsed."""


def lines_of_array(path: Path) -> Iterator[bytes]:
    """Yield the text of an array's records, each on one line, in chunks of whole lines.

    Raises NotLines, maybe after some chunks, unless this holds: the document is a valid array of
    objects exactly if each line is a valid object. The records are those of the array then, and an
    invalid document has an invalid line.
    """
    # Each record has one brace that opens, its first character, so a separator isn't inside of a
    # record's objects or arrays. It isn't inside of a text either: a line break can't be there, and
    # without one the number of quotes before each separator is even.
    with path.open("rb") as file:
        rest, separator = _beginning(file)
        cut = b"}" + separator + b"{"
        while chunk := file.read(CHUNK_BYTES):
            rest += chunk
            at = rest.rfind(cut)
            if at >= 0:
                yield _lines(rest[: at + 1], separator)
                rest = rest[at + len(cut) - 1 :]
            elif len(rest) > OBJECT_BYTES_MAX:
                raise NotLines
        end = _END.search(rest, max(0, len(rest) - CHUNK_BYTES))
        if end is None:
            raise NotLines
        yield _lines(rest[: end.start() + 1], separator)


def _beginning(file: IO[bytes]) -> tuple[bytes, bytes]:
    """Return what was read, from the first record on, and the separator after that record."""
    data = file.read(CHUNK_BYTES)
    start, between = _START.match(data), _SEPARATOR.search(data)
    if start is None or between is None:
        raise NotLines
    return data[start.end() :], between[1]


def _lines(data: bytes, separator: bytes) -> bytes:
    """Return whole records as lines."""
    cut = b"}" + separator + b"{"
    lines = data.replace(cut, b"}\n{")
    shorter = len(separator) - 1
    separators = (len(data) - len(lines)) // shorter if shorter else data.count(cut)
    if (
        lines.count(b"{") != separators + 1
        or lines.count(b"\n") != separators  # no line breaks but those of separators
        or has_inexact(lines)
        or not (b"\n" in separator or _outside_of_texts(data, cut))
    ):
        raise NotLines
    return lines + b"\n"


def _outside_of_texts(data: bytes, cut: bytes) -> bool:
    """Whether each `cut` in `data`, which begins outside of a text, is outside of texts."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    return not any(record.count(b'"') & 1 for record in data.split(cut))
