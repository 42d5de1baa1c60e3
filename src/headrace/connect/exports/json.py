"""JSON: one array of objects, or one object per line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.connect.exports.registry import Portion, as_json, writes
from headrace.lake.sqltext import literal
from headrace.model.exports import ExportFormat

if TYPE_CHECKING:
    import duckdb


def _write(
    connection: duckdb.DuckDBPyConnection, portion: Portion, path: Path, *, array: bool
) -> None:
    connection.execute(
        f"COPY ({portion.select(as_json)}) TO {literal(str(path))} (FORMAT json, ARRAY"
        f" {str(array).lower()})"
    )


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
