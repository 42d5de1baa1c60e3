"""An attempt's log as a file: its lines with their numbers, from any place on, in memory that doesn't grow with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

CHUNK_BYTES = 1 << 20


class CapturedLine(msgspec.Struct, frozen=True, gc=False):
    """One line as it was captured."""

    at_us: int
    stream: str
    level: str
    text: str


class LinePosition(NamedTuple):
    """Before a line: where its bytes begin, and its number."""

    offset: int = 0
    number: int = 1


START = LinePosition()


def lines(path: Path, begin: LinePosition = START) -> Iterator[tuple[int, CapturedLine, LinePosition]]:
    """Number, line and the place after it, of the whole lines from a place on; one that is still being written is left for later."""
    offset, number = begin
    with suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(offset)
        for raw in file:
            if not raw.endswith(b"\n"):
                return
            offset += len(raw)
            yield number, _decoded(raw.rstrip(b"\n")), LinePosition(offset, number + 1)
            number += 1


def place_of(path: Path, number: int) -> LinePosition:
    """Where a line begins; of one that isn't there yet, where the next one will."""
    offset, passed = 0, 0
    with suppress(FileNotFoundError), path.open("rb") as file:
        for raw in islice(file, max(0, number - 1)):
            if not raw.endswith(b"\n"):
                break
            offset, passed = offset + len(raw), passed + 1
    return LinePosition(offset, passed + 1)


def count(path: Path) -> int:
    """How many whole lines there are."""
    result = 0
    with suppress(FileNotFoundError), path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            result += chunk.count(b"\n")
    return result


def _decoded(raw: bytes) -> CapturedLine:
    try:
        return msgspec.json.decode(raw, type=CapturedLine)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return CapturedLine(0, "log", "error", raw.decode(errors="backslashreplace"))
