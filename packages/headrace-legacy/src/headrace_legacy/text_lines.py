"""Formats of text: a source reads one kind of their rows, in bounded memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from headrace.extension.formats import (
    ENCODINGS,
    CannotRead,
    Fields,
    Opened,
    PartitionSpec,
    RecordFormat,
    SourceSchema,
    UnpackLimits,
    in_utf8,
    require_text,
)

LINE_BYTES_MAX = 1 << 16


def read_encoding(fields: Fields) -> None:
    """Validate `encoding`, which may be any that Python knows for text."""
    try:
        "".encode(fields.text("encoding") or "utf-8")
    except (LookupError, ValueError):
        fields.refuse("encoding", "it isn't an encoding of text", "write encoding: cp1252")


class OneOfRows(RecordFormat):
    """A format that has several kinds of rows; a source reads one, named by `rows`."""

    fields: ClassVar[tuple[str, ...]] = ("rows",)
    kinds_of_rows: Mapping[str, Mapping[str, str]]
    """Kind → the columns of its rows, with DuckDB's types. The first one is read by default."""

    def read(self, fields: Fields, partition: PartitionSpec) -> dict[str, Any] | None:
        """Validate `rows`."""
        fields.choice("rows", tuple(self.kinds_of_rows), next(iter(self.kinds_of_rows)))
        return super().read(fields, partition)

    def columns(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the columns of the rows that are read."""
        return self.kinds_of_rows[self._read_kind(options)]

    def tables(self, path: Path) -> Mapping[str, Mapping[str, Any]]:
        """Return the kinds of rows that a file has."""
        kinds = {}
        for kind in self.kinds_of_rows:
            with suppress(CannotRead, UnicodeDecodeError):
                if any(True for _ in self.records(path, {"rows": kind})):
                    kinds[kind] = {"rows": kind}
        return kinds

    def _read_kind(self, options: Mapping[str, Any]) -> str:
        kind: str = options.get("rows", next(iter(self.kinds_of_rows)))
        return kind


class KindsOfRows(OneOfRows):
    """The same for text, in a declared encoding."""

    fields: ClassVar[tuple[str, ...]] = ("rows", "encoding")
    unmistakable = recodable = True
    line_bytes_max = LINE_BYTES_MAX

    def read(self, fields: Fields, partition: PartitionSpec) -> dict[str, Any] | None:
        """Validate `encoding`, too."""
        fields.choice("encoding", ENCODINGS, "utf-8")
        return super().read(fields, partition)

    def unfold(
        self, opened: Opened, temporary: Path, bounds: UnpackLimits, pinned: SourceSchema | None
    ) -> Opened:
        """Convert to UTF-8 from the declared or detected encoding, then to records."""
        declared = (opened.options.get(self.name) or {}).get("encoding", "utf-8")
        text = in_utf8(opened, declared, pinned, temporary, bounds)
        try:
            require_text(
                Path(text.path), line_bytes_max=self.line_bytes_max, blank=True, setting=self.name
            )
            return super().unfold(text, temporary, bounds, pinned)
        finally:
            if text is not opened:
                text.discard()


class TextFormat(KindsOfRows):
    """A format of lines."""

    def records(self, path: Path, options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of one kind from a file in UTF-8; the totals of all are checked."""
        wanted = self._read_kind(options)
        for kind, row in self.rows(lines_of(path)):
            if kind == wanted:
                yield row

    @abstractmethod
    def rows(self, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield all rows with their kinds. Raises like `records`."""


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each line's number from 1 and its text without the line end.

    Raises CannotRead for a line that is too long.
    """
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LINE_BYTES_MAX):
            number += 1
            if len(line) == LINE_BYTES_MAX and not line.endswith(b"\n"):
                raise CannotRead(
                    f"line {number:,}: longer than {LINE_BYTES_MAX:,} bytes", line=number
                )
            yield number, line.decode().rstrip("\r\n")


def full_year(of_two_digits: int) -> int:
    """Return a year of four digits: from 80 on it is of the last century."""
    return of_two_digits + (1900 if of_two_digits > 79 else 2000)
