"""Parquet: the columns with their types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.connect.exports.registry import Portion, writes
from headrace.lake.sqltext import literal, quote
from headrace.model.exports import ExportFormat

if TYPE_CHECKING:
    import duckdb

_NAMES = {"none": "uncompressed"}


@writes(ExportFormat.PARQUET)
def write(
    connection: duckdb.DuckDBPyConnection,
    portions: Sequence[Portion],
    path: Path,
    options: Mapping[str, Any],
) -> None:
    """Write one portion as Parquet."""
    (portion,) = portions
    compression = options.get("compression", "zstd")
    select = portion.select(lambda column: quote(column.name))
    connection.execute(
        f"COPY ({select}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION"
        f" {_NAMES.get(compression, compression)})"
    )
