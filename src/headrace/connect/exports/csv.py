"""CSV as RFC 4180 has it, but with LF: a header, quotes only where they are needed, NULL as nothing and empty text as `""`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.connect.exports.registry import Portion, writes
from headrace.connect.exports.values import as_text
from headrace.lake import Column
from headrace.lake.session import literal
from headrace.model.exports import ExportFormat

if TYPE_CHECKING:
    import duckdb


@writes(ExportFormat.CSV)
def write(connection: duckdb.DuckDBPyConnection, portions: Sequence[Portion], path: Path, options: Mapping[str, Any]) -> None:
    """Write one portion. Where there is only one column, a NULL is written as `""`: readers skip empty lines."""
    (portion,) = portions
    alone = len(portion.columns) == 1

    def expression(column: Column) -> str:
        return f"coalesce({as_text(column)}, '')" if alone else as_text(column)

    delimiter = literal(options.get("delimiter", ","))
    connection.execute(f"COPY ({portion.select(expression)}) TO {literal(str(path))} (FORMAT csv, HEADER, DELIMITER {delimiter})")
