"""JSON: one array of objects, or one object per line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.connect.exports.registry import ExportFailed, Portion, as_json, writes
from headrace.lake import LakeColumn
from headrace.lake.sqltext import literal, quote
from headrace.model.exports import ExportFormat

if TYPE_CHECKING:
    import duckdb

ROWS_AT_ONCE = 10_000


def _write(
    connection: duckdb.DuckDBPyConnection, portion: Portion, path: Path, *, array: bool
) -> None:
    if any(column.type == "JSON" for column in portion.columns):
        _write_texts(connection, portion, path, array=array)
        return
    connection.execute(
        f"COPY ({portion.select(as_json)}) TO {literal(str(path))} (FORMAT json, ARRAY"
        f" {str(array).lower()})"
    )


def _write_texts(
    connection: duckdb.DuckDBPyConnection, portion: Portion, path: Path, *, array: bool
) -> None:
    """Write rows with values of JSON: DuckDB would read their numbers again, as doubles."""
    lines = ("", "\n", "\n" if portion.rows else "")
    begin, between, end = ("[\n\t", ",\n\t", "\n]\n") if array else lines
    names = ", ".join(column.name for column in portion.columns if column.type == "JSON")
    fields = " || ',' || ".join(map(_field, portion.columns))
    rows = connection.execute(
        f"SELECT '{{' || {fields} || '}}' FROM ({portion.source}) AS rows{portion.order}"
    )
    before = ""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(begin)
        while batch := rows.fetchmany(ROWS_AT_ONCE):
            for (text,) in batch:
                try:
                    json.loads(text, parse_constant=_refuse_constant)
                except ValueError:
                    raise ExportFailed(
                        f"{names}: a value isn't JSON that others read, such as NaN",
                        hint="correct it in the asset",
                    ) from None
                file.write(before + text)
                before = between
        file.write(end)


def _field(column: LakeColumn) -> str:
    """Return SQL for a field of an object, as text."""
    name = literal(json.dumps(column.name, ensure_ascii=False) + ":")
    if column.type == "JSON":  # line ends are blanks there, never part of a string
        value = f"regexp_replace(CAST({quote(column.name)} AS VARCHAR), '[\r\n]', ' ', 'g')"
    else:
        value = f"CAST(to_json({as_json(column)}) AS VARCHAR)"
    return f"{name} || coalesce({value}, 'null')"


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


@writes(ExportFormat.JSON)
def write(
    connection: duckdb.DuckDBPyConnection,
    portions: Sequence[Portion],
    path: Path,
    options: Mapping[str, Any],
) -> None:
    """Write one portion as an array."""
    del options
    (portion,) = portions
    _write(connection, portion, path, array=True)


@writes(ExportFormat.JSONL)
def write_lines(
    connection: duckdb.DuckDBPyConnection,
    portions: Sequence[Portion],
    path: Path,
    options: Mapping[str, Any],
) -> None:
    """Write one portion, one object per line."""
    del options
    (portion,) = portions
    _write(connection, portion, path, array=False)
