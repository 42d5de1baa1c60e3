"""Formats of lines of text: a source reads one kind of their rows, in bounded memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headrace.extension.formats import (
    ENCODINGS,
    CannotRead,
    Fields,
    PartitionSpec,
    RecordFormat,
)

LINE_BYTES_MAX = 1 << 16
MARK = b"\xef\xbb\xbf"


class TextFormat(RecordFormat):
    """A format of lines that have several kinds of rows; a source reads one, named by `rows`."""

    fields = ("rows", "encoding")
    unmistakable = True
    kinds_of_rows: Mapping[str, Mapping[str, str]]
    """Kind → the columns of its rows, with DuckDB's types. The first one is read by default."""

    def read(self, fields: Fields, partition: PartitionSpec) -> dict[str, Any] | None:
        """Validate `rows` and `encoding`."""
        fields.choice("rows", tuple(self.kinds_of_rows), next(iter(self.kinds_of_rows)))
        fields.choice("encoding", ENCODINGS, "utf-8")
        return super().read(fields, partition)

    def columns(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the columns of the rows that are read."""
        return self.kinds_of_rows[self._read_kind(options)]

    def records(self, path: Path, options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of one kind; the totals of all are checked."""
        wanted = self._read_kind(options)
        for kind, row in self.rows(lines_of(path, self.name, options)):
            if kind == wanted:
                yield row

    @abstractmethod
    def rows(self, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield all rows with their kinds. Raises like `records`."""

    def _read_kind(self, options: Mapping[str, Any]) -> str:
        kind: str = options.get("rows", next(iter(self.kinds_of_rows)))
        return kind


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
