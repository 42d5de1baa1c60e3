"""Parquet: the columns with their types."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.connect.exports.registry import ExportKind, Portion
from headrace.lake.sqltext import literal, quote

if TYPE_CHECKING:
    import duckdb

_NAMES = {"none": "uncompressed"}


class Parquet(ExportKind):
    """Parquet files."""

    name = "parquet"
    endings = ("parquet",)

    def write(
        self,
        connection: duckdb.DuckDBPyConnection,
        portion: Portion,
        path: Path,
        options: Mapping[str, Any],
    ) -> None:
        """Write one portion."""
        compression = options.get("compression", "zstd")
        select = portion.select(lambda column: quote(column.name))
        connection.execute(
            f"COPY ({select}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION"
            f" {_NAMES.get(compression, compression)})"
        )
