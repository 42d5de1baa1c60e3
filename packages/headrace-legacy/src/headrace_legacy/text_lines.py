"""Lines of text files, with their numbers, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headrace.extension.formats import ENCODINGS, CannotRead, Fields

LINE_BYTES_MAX = 1 << 16
MARK = b"\xef\xbb\xbf"


def check_options(fields: Fields, kinds_of_rows: tuple[str, ...]) -> None:
    """Validate `rows`, which chooses among the tables of a file, and `encoding`."""
    fields.choice("rows", kinds_of_rows, kinds_of_rows[0])
    fields.choice("encoding", ENCODINGS, "utf-8")


def lines_of(path: Path, name: str, options: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Yield each line's number from 1 and its text without the line end.

    Raises CannotRead for a line that is too long, or isn't in the declared encoding. `name` is the
    format's.
    """
    encoding = options.get("encoding", "utf-8")
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LINE_BYTES_MAX):
            number += 1
            if number == 1:
                line = line.removeprefix(MARK)
            if len(line) == LINE_BYTES_MAX and not line.endswith(b"\n"):
                raise CannotRead(
                    f"line {number:,} has more than {LINE_BYTES_MAX:,} bytes", line=number
                )
            try:
                text = line.decode(encoding)
            except UnicodeDecodeError as error:
                raise CannotRead(
                    f"line {number:,} isn't {encoding.upper()}: declare its encoding, such as"
                    f" {name}: {{encoding: cp1252}}",
                    line=number,
                    code="delivery_encoding",
                ) from error
            yield number, text.rstrip("\r\n")


def full_year(of_two_digits: int) -> int:
    """Return a year of four digits: from 80 on it is of the last century."""
    return of_two_digits + (1900 if of_two_digits > 79 else 2000)
