"""Rows that people look at: a few, short, as JSON. Run only for checks that failed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headrace.lake.session import quote

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SAMPLE_ROWS_MAX = 5
SAMPLE_COLUMNS_MAX = 30
SAMPLE_CHARACTERS_MAX = 200
EXAMPLES_MAX = 3

_AS_THEY_ARE = {"BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "FLOAT", "DOUBLE"}
_EXACT_IN_JSON_MAX = 2**53


def columns_of(connection: DuckDBPyConnection, query: str) -> dict[str, str]:
    """The query's columns and their types, where nothing else knows them. Raises `duckdb.Error`."""
    return {str(row[0]): str(row[1]) for row in connection.execute(f"DESCRIBE {query}").fetchall()}


def sample(connection: DuckDBPyConnection, query: str, columns: Mapping[str, str], *, first: str = "") -> tuple[dict[str, Any], ...]:
    """At most `SAMPLE_ROWS_MAX` rows of the query, `first` being the column that comes first. Numbers and booleans stay
    what they are where JSON can hold them; everything else is text, cut at `SAMPLE_CHARACTERS_MAX`. Without columns each row is empty.

    Raises `duckdb.Error` as the query does."""
    names = sorted(columns, key=lambda name: name.lower() != first.lower())[:SAMPLE_COLUMNS_MAX]
    text = ", ".join(quote(name) if columns[name] in _AS_THEY_ARE else _as_text(name) for name in names)
    rows = connection.execute(f"SELECT {text or 'NULL'} FROM ({query}) LIMIT {SAMPLE_ROWS_MAX}").fetchall()
    return tuple({name: _jsonable(value) for name, value in zip(names, row, strict=bool(names))} for row in rows)


def examples(rows: tuple[dict[str, Any], ...], column: str) -> str:
    """The distinct values of that column among the sample rows, for a detail: `XXX, YYY`."""
    seen = dict.fromkeys(str(row[column]) for row in rows if column in row)
    return ", ".join(list(seen)[:EXAMPLES_MAX])


def _as_text(name: str) -> str:
    return f"left(CAST({quote(name)} AS VARCHAR), {SAMPLE_CHARACTERS_MAX + 1})"


def _jsonable(value: Any) -> Any:
    if isinstance(value, str) and len(value) > SAMPLE_CHARACTERS_MAX:
        return value[:SAMPLE_CHARACTERS_MAX] + "…"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and abs(value) > _EXACT_IN_JSON_MAX:
        return str(value)
    return value
