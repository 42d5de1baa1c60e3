"""Rows that a person wrote, in a declaration or a file, as a table with types."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from headrace.engine import InputData
from headrace.lake import PARTITION_COLUMN, FileRef, LakeColumn
from headrace.lake.session import DuckDBSession, literal, quote
from headrace.lake.staging import stage
from headrace.lake.tables import ColumnLookup
from headrace.model import HeadraceError, UsageError
from headrace.model.errors import first_line
from headrace.model.reporting import did_you_mean

ROWS_MAX = 1_000_000
Types = Sequence[tuple[str, str]]
"""(name, DuckDB type) of columns."""
Known = Sequence[tuple[str, str | None]]
"""The same, where the type may not be known."""
ANY_TYPE = '"NULL"'
"""Of a column of which there isn't even a null: it goes with everything."""
UNTYPED = "INTEGER"
"""What a null is whose type nobody knows, as for DuckDB."""
_READERS = {
    ".csv": "read_csv({path}, header = true{columns})",
    ".json": "read_json({path}{columns})",
    ".jsonl": "read_json({path}, format = 'newline_delimited'{columns})",
    ".parquet": "read_parquet({path})",
}
_TYPED = {".csv": ", types = ", ".json": ", columns = ", ".jsonl": ", columns = "}


class BadRows(HeadraceError):
    """Rows that can't be read as what they are given for."""


class InputRelation(msgspec.Struct, frozen=True):
    """A SELECT over rows, and its columns."""

    sql: str
    columns: tuple[tuple[str, str], ...]


class TypedTableBuilder:
    """Turns rows into typed tables. `session` computes, `temporary` is a folder that it may read."""

    def __init__(self, session: DuckDBSession, temporary: Path) -> None:
        self._session, self._temporary = session, temporary

    def input(self, name: str, rows: object, known: Known | None) -> InputData:
        """Rows as an input of a body: with the known columns in their types (missing ones are null), else as inferred.

        `rows` is a list of mappings, a path to a CSV, JSON, JSON lines or Parquet file, or anything that DuckDB can scan (an
        Arrow table, a data frame). Raises BadRows."""
        if known is None and isinstance(rows, list) and not rows:
            raise BadRows(f"the columns of `{name}` aren't known", hint=f"give at least one row of `{name}`, or write a contract")
        if known is not None and isinstance(rows, list) and not rows:
            columns = tuple(LakeColumn(column, kind or ANY_TYPE, number) for number, (column, kind) in enumerate(known, 2))
            return InputData(name=name, files=(), columns=columns, rows=0)
        relation = self.relation(name, rows, known or ())
        selected = relation.sql if known is None else _complete(relation, known)
        return self._kept(name, selected)

    def relation(self, name: str, rows: object, known: Known) -> InputRelation:
        """Rows with the columns that they name, typed as the known ones of those names."""
        if isinstance(rows, Path):
            return self._file(name, rows, known)
        if isinstance(rows, list):
            return self._written(name, rows, known)
        return self._scanned(name, rows, known)

    def kept(self, name: str, relation: InputRelation) -> InputData:
        """The rows of a relation, to be read back."""
        return self._kept(name, relation.sql)

    def _written(self, name: str, rows: Sequence[Mapping[str, Any]], known: Known) -> InputRelation:
        if not all(isinstance(row, Mapping) for row in rows):
            raise BadRows(f"the rows of `{name}` aren't mappings of column to value", hint="write [{column: value}, …]")
        if len(rows) > ROWS_MAX:
            raise BadRows(f"{len(rows):,} rows of `{name}` are too many", hint="give a Parquet file")
        if not any(rows):
            return _empty(known)
        path = self._temporary / f"{uuid.uuid4()}.jsonl"
        path.write_text("".join(json.dumps(dict(row), default=str) + "\n" for row in rows), encoding="utf-8")
        return self._file(name, path, known)

    def _file(self, name: str, path: Path, known: Known) -> InputRelation:
        ending = path.suffix.lower()
        reader = _READERS.get(ending)
        if reader is None:
            raise BadRows(f"{path.name} is no file that rows can be read from", hint=f"one of {', '.join(_READERS)}")
        if not path.is_file():
            raise BadRows(f"there is no file {path}", hint="paths are those beside the test's file, or relative to the project")
        plain = f"SELECT * FROM {reader.format(path=literal(str(path)), columns='')}"
        results = self._described(name, plain)
        wanted = _types(name, results, known)
        typed = _TYPED.get(ending)
        if typed is None:
            return InputRelation(_cast(plain, results, wanted), tuple(wanted))
        as_wanted = [(column, kind) for (column, _), (_, kind) in zip(results, wanted, strict=True)]
        types = ", ".join(f"{literal(column)}: {literal(kind)}" for column, kind in as_wanted)
        read = f"SELECT * FROM {reader.format(path=literal(str(path)), columns=f'{typed}{{{types}}}')}"
        return InputRelation(_cast(read, as_wanted, wanted), tuple(wanted))

    def _scanned(self, name: str, rows: object, known: Known) -> InputRelation:
        view = f"__given_{uuid.uuid4().hex}__"
        try:
            self._session.connection.register(view, rows)
        except Exception as error:
            raise UsageError(
                f"the rows of `{name}` are {type(rows).__name__}", hint="a list of mappings, a path, an Arrow table or a data frame"
            ) from error
        plain = f"SELECT * FROM {quote(view)}"
        results = self._described(name, plain)
        wanted = _types(name, results, known)
        return InputRelation(_cast(plain, results, wanted), tuple(wanted))

    def _described(self, name: str, sql: str) -> list[tuple[str, str]]:
        import duckdb

        try:
            return [(row[0], row[1]) for row in self._session.connection.execute(f"DESCRIBE {sql}").fetchall()]
        except duckdb.Error as error:
            raise BadRows(f"the rows of `{name}` can't be read: {_first_line(error)}") from error

    def _kept(self, name: str, sql: str) -> InputData:
        import duckdb

        try:
            staged, table = stage(self._session, sql, None, table_name=name, partition="*", table=None, hashed=False)
        except duckdb.Error as error:
            raise BadRows(f"the rows of `{name}` don't fit their types: {_first_line(error)}") from error
        columns = tuple(column for column in table.columns if column.name != PARTITION_COLUMN)
        return InputData(name=name, files=(FileRef(staged.path, lookup=ColumnLookup.SAME),), columns=columns, rows=staged.rows)


def _types(name: str, results: Types, known: Known) -> list[tuple[str, str]]:
    """The columns that are there, in their known spelling and type."""
    canonical = {column.lower(): (column, kind) for column, kind in known}
    if known and (unknown := [column for column, _ in results if column.lower() not in canonical]):
        names = [column for column, _ in known]
        hint = did_you_mean(unknown[0], names) or f"its columns are: {', '.join(names[:12])}"
        raise BadRows(f"`{name}` has no column `{unknown[0]}`", hint=hint)
    return [(name, known_kind or kind) for column, kind in results for name, known_kind in [canonical.get(column.lower(), (column, None))]]


def _cast(sql: str, results: Types, wanted: Types) -> str:
    casts = [
        f"{quote(was)} AS {quote(column)}" if has == kind else f"CAST({quote(was)} AS {kind}) AS {quote(column)}"
        for (was, has), (column, kind) in zip(results, wanted, strict=True)
    ]
    return f"SELECT {', '.join(casts)} FROM ({sql}) AS given"


def _complete(relation: InputRelation, known: Known) -> str:
    there = {column.lower() for column, _ in relation.columns}
    every = [quote(column) if column.lower() in there else _null(column, kind) for column, kind in known]
    return f"SELECT {', '.join(every)} FROM ({relation.sql}) AS given"


def _empty(known: Known) -> InputRelation:
    nulls = ", ".join(_null(column, kind) for column, kind in known) or "NULL AS nothing"
    return InputRelation(f"SELECT {nulls} WHERE false", tuple((column, kind or UNTYPED) for column, kind in known))


def _null(column: str, kind: str | None) -> str:
    return f"CAST(NULL AS {kind or UNTYPED}) AS {quote(column)}"


def _first_line(error: Exception) -> str:
    return re.sub(r' in file "[^"]*"', "", first_line(error))
