"""CSV by RFC 4180, but with LF line ends.

It has a header, and quotes only where needed; NULL is empty, and empty text is `""`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.connect.exports.registry import ExportKind, Portion
from headrace.connect.exports.values import as_text
from headrace.lake import LakeColumn
from headrace.lake.sqltext import literal
from headrace.lake.types import parse

if TYPE_CHECKING:
    import duckdb

_HARMLESS = frozenset(
    (
        "BOOLEAN",
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "BIGINT",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
        "UBIGINT",
        "FLOAT",
        "DOUBLE",
        "DATE",
        "TIME",
        "TIMESTAMP",
        "TIMESTAMP WITH TIME ZONE",
        "TIMESTAMP_S",
        "TIMESTAMP_MS",
        "TIMESTAMP_NS",
        "UUID",
    )
)
"""Types whose values are digits and signs, where a minus is just a minus."""


class Csv(ExportKind):
    """CSV; with a single column NULL is written as `""`, because readers skip empty lines."""

    name = "csv"
    endings = ("csv",)

    def write(
        self,
        connection: duckdb.DuckDBPyConnection,
        portion: Portion,
        path: Path,
        options: Mapping[str, Any],
    ) -> None:
        """Write one portion."""
        alone = len(portion.columns) == 1
        escapes = bool(options.get("escape_formulas"))

        def expression(column: LakeColumn) -> str:
            text = as_text(column)
            if escapes and _is_text(column):
                text = _without_formulas(text)
            return f"coalesce({text}, '')" if alone else text

        delimiter = literal(options.get("delimiter", ","))
        connection.execute(
            f"COPY ({portion.select(expression)}) TO {literal(str(path))} (FORMAT csv, HEADER,"
            f" DELIMITER {delimiter})"
        )


def _is_text(column: LakeColumn) -> bool:
    """Whether a value may begin a formula, unlike numbers, times and booleans."""
    return parse(column.type).name not in _HARMLESS and not column.type.startswith("DECIMAL")


def _without_formulas(text: str) -> str:
    """Return SQL that puts an apostrophe before text that a spreadsheet would run.

    Such text begins with =, +, -, @, a tab or a carriage return.
    """
    begins = f"left({text}, 1) IN ('=', '+', '-', '@', chr(9), chr(13))"
    return f"CASE WHEN {begins} THEN chr(39) || {text} ELSE {text} END"
