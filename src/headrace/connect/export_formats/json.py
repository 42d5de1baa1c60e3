"""JSON: one array of objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.connect.exports.registry import ExportKind, Portion
from headrace.connect.exports.values import as_json
from headrace.lake import LakeColumn
from headrace.lake.sqltext import literal

if TYPE_CHECKING:
    import duckdb

AS_IT_IS = "FORMAT csv, HEADER false, QUOTE '', ESCAPE ''"
_ARRAY = f"{AS_IT_IS}, PREFIX '[\n\t', NEW_LINE ',\n\t', SUFFIX '\n]\n'"


def write_objects(
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


class Json(ExportKind):
    """An array of objects."""

    name = "json"
    endings = ("json",)

    def write(
        self,
        connection: duckdb.DuckDBPyConnection,
        portion: Portion,
        path: Path,
        options: Mapping[str, Any],
    ) -> None:
        """Write one portion."""
        del options
        write_objects(connection, portion, path, _ARRAY)
