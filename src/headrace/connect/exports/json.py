"""JSON: one array of objects, or one object per line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.connect.exports.registry import Portion, writes
from headrace.connect.exports.values import as_json
from headrace.lake import LakeColumn
from headrace.lake.sqltext import literal
from headrace.model.exports import ExportFormat

if TYPE_CHECKING:
    import duckdb

_AS_IT_IS = "FORMAT csv, HEADER false, QUOTE '', ESCAPE ''"
_ARRAY = "PREFIX '[\n\t', NEW_LINE ',\n\t', SUFFIX '\n]\n'"


def _write(
    connection: duckdb.DuckDBPyConnection, portion: Portion, path: Path, options: str
) -> None:
    """Write each row's text of JSON: DuckDB's own writer reads numbers again, as doubles."""
    fields = " || ',' || ".join(map(_field, portion.columns))
    rows = f"SELECT '{{' || {fields} || '}}' FROM ({portion.source}) AS rows{portion.order}"
    connection.execute(f"COPY ({rows}) TO {literal(str(path))} ({options})")


def _field(column: LakeColumn) -> str:
    """Return SQL for a field of an object, as text."""
    name = literal(json.dumps(column.name, ensure_ascii=False) + ":")
    return f"{name} || coalesce({as_json(column)}, 'null')"


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
    _write(connection, portion, path, f"{_AS_IT_IS}, {_ARRAY}")


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
    _write(connection, portion, path, _AS_IT_IS)
