"""Formats whose reader only turns a file into records, as those of installed packages do."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.connect.deliveries import EMPTY, CannotRead, Disagrees, Format, SourceSchema
from headrace.connect.formats.json import JsonRecordReader
from headrace.connect.formats.registry import FileHeader
from headrace.connect.raw_files import Opened, UnpackLimits, written
from headrace.lake import LakeColumn
from headrace.lake.type_inference import INSTANT
from headrace.model.errors import HeadraceError
from headrace.model.plugins import FORMATS, running
from headrace.model.texts import of_error

if TYPE_CHECKING:
    import duckdb


class RecordFormat(JsonRecordReader):
    """A format of an installed package: entry point in the group `headrace.formats`.

    The class turns a file into records. Schema, drift, types and values are then those of JSON
    lines: numbers, booleans, texts, nulls, lists and objects keep their types, dates and times are
    found in texts. A format that fixes its columns names them instead.
    """

    among = ("BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP", INSTANT)

    def columns(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the columns of all files with DuckDB's types; empty: they are inferred.

        Each record has all of them, in this order, with texts, lists of texts or None as values.
        """
        del options
        return {}

    def stated(self, options: Mapping[str, Any]) -> Collection[str]:
        """Return the columns whose types the format fixes."""
        return self.columns(options.get(self.name) or {}).keys()

    def learn(
        self, connection: duckdb.DuckDBPyConnection, opened: Opened
    ) -> tuple[SourceSchema, FileHeader]:
        """Return the format's columns; without any, those of the records."""
        columns = self.columns(opened.options.get(self.name) or {})
        if not columns:
            return super().learn(connection, opened)
        schema = SourceSchema(
            tuple(LakeColumn(name, kind, 0) for name, kind in columns.items()),
            Format(kind=self.name, encoding=opened.encoding),
            optional=tuple(columns),
        )
        return schema, self._header(connection, opened, frozenset())

    def inspect(self, opened: Opened, *, known: bool) -> int | None:
        """Return None: a file of records may have none."""
        if Path(opened.path).stat().st_size:
            super().inspect(opened, known=known)
        return None

    @abstractmethod
    def records(self, path: Path, options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield the records of a file as JSON values, with texts as keys.

        `options` are those of the source. Raises CannotRead for a file that isn't of this format,
        and Disagrees, after the last record, for one whose own totals say otherwise: it is held.
        Any other exception rejects the delivery, too, with the package's name.
        """

    def unfold(
        self,
        opened: Opened,
        temporary: Path,
        bounds: UnpackLimits,
        pinned: SourceSchema | None,
    ) -> Opened:
        """Write one record per line, as JSON."""
        del pinned
        if not Path(opened.path).stat().st_size:
            raise CannotRead("the file is empty", code=EMPTY)
        return written(opened, temporary, bounds, self._lines(opened))

    def _lines(self, opened: Opened) -> Iterator[bytes]:
        options = opened.options.get(self.name) or {}
        # msgspec is eight times as fast, but writes NaN as null, which texts can't be.
        are_texts = bool(self.columns(options))
        try:
            with running(FORMATS, self.name, (CannotRead,), of_error):
                for record in self.records(Path(opened.path), options):
                    yield (
                        msgspec.json.encode(record)
                        if are_texts
                        else json.dumps(record, ensure_ascii=False, allow_nan=False).encode()
                    ) + b"\n"
        except Disagrees:
            if not opened.accepted:
                raise
        except HeadraceError as error:
            raise CannotRead(str(error)) from error
