"""Real databases beside DuckDB, with the same hostile rows, for tests of what SQL means."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import duckdb

Rows = list[tuple[Any, ...]]
COLUMNS = {
    "n": "integer",
    "a": "integer",
    "j": "bigint",
    "d": "decimal(10,2)",
    "f": "double precision",
    "b": "varchar(20)",
    "c": "varchar(20)",
    "day": "date",
    "ts": "timestamp",
    "ok": "boolean",
}
"""Of the table `t`; `u` has the first four."""
_VALUES: tuple[tuple[str, ...], ...] = (
    ("1", "1", "7", "2.50", "2.675", "'Ab'", "'ab'", "'2024-02-29'", "'2024-02-29 23:59:59.5'", "true"),
    ("2", "-7", "2", "-2.67", "-0.0", "''", "'12 '", "'1999-12-31'", "'1999-12-31 00:00:00'", "false"),
    ("3", "0", "0", "0.00", "1.0", "' x '", "'%_b'", "'2024-12-30'", "'2024-12-30 12:30:15.123456'", "null"),
    ("4", "null", "null", "null", "null", "null", "null", "null", "null", "null"),
    ("5", "5", "3", "0.05", "1e20", "'Ünï'", "'ab '", "'2000-01-01'", "'2000-01-01 00:00:01'", "true"),
    ("6", "-3", "2", "99999.99", "1e-5", "'AB'", "'aAb\n'", "'1969-12-31'", "'1969-12-31 23:00:00'", "false"),
    ("7", "2", "-2", "1.25", "2.5", "'12'", "'ab'", "'2021-01-03'", "'2021-01-03 01:02:03'", "true"),
    ("8", "3", "2", "2.35", "0.5", "'straße'", "'12.5'", "'2020-12-31'", "'2020-12-31 10:00:00'", "false"),
    ("9", "1", "7", "2.50", "1.005", "'a\u00a0'", "'ä\u2003'", "'2024-02-29'", "null", "null"),
    ("10", "-1", "-7", "-1.25", "-2.5", "'ab'", "'a.b@c.de'", "'2026-01-05'", "'2026-01-05 08:00:00'", "true"),
)  # fmt: skip
_OTHER = (
    ("1", "1", "2", "2.50"),
    ("2", "5", "null", "-0.10"),
    ("3", "null", "7", "null"),
    ("4", "5", "1", "1.00"),
)


@dataclass(frozen=True)
class Engine:
    """A database with the tables `t` and `u`; `query` returns None where it stops."""

    dialect: str
    query: Callable[[str], Rows | None]


def tables(types: dict[str, str] | None = None, backslash: str = "\\") -> list[str]:
    """Return the statements that make `t` and `u`, with other names of types where given."""
    known = COLUMNS | (types or {})
    columns = ", ".join(f"{name} {kind}" for name, kind in known.items())
    four = ", ".join(f"{name} {kind}" for name, kind in list(known.items())[:4])
    values = ["(" + ", ".join(row) + ")" for row in _VALUES]
    values.append(f"(11, 4, 1, 4.00, 3.5, '{backslash}_bad', 'a%', '1970-01-01', null, false)")
    others = ["(" + ", ".join(row) + ")" for row in _OTHER]
    return [
        f"create table t ({columns})",
        f"create table u ({four})",
        f"insert into t values {', '.join(values)}",
        f"insert into u values {', '.join(others)}",
    ]


def views(types: dict[str, str]) -> dict[str, str]:
    """Return a query with the rows of each table, for a database without tables."""
    known = COLUMNS | types
    rows = [
        *_VALUES,
        ("11", "4", "1", "4.00", "3.5", r"'\\_bad'", "'a%'", "'1970-01-01'", "null", "false"),
    ]

    def query(values: Sequence[tuple[str, ...]]) -> str:
        names = list(known)[: len(values[0])]
        casts = ", ".join(f"cast({name} as {known[name]}) as {name}" for name in names)
        listed = ", ".join("(" + ", ".join(row) + ")" for row in values)
        return f"select {casts} from values {listed} as v({', '.join(names)})"

    return {"t": query(rows), "u": query(_OTHER)}


def duckdb_engine(types: dict[str, str] | None = None) -> Engine:
    """DuckDB, as Headrace's workers set it; `types` are those of columns that differ."""
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    for statement in tables(types):
        connection.execute(statement)
    return Engine("duckdb", lambda sql: connection.execute(sql).fetchall())


def difference(theirs: Rows, ours: Rows) -> str:
    """Return the first rows that differ, as multisets; empty if none does."""
    left, right = sorted(map(_row, theirs), key=repr), sorted(map(_row, ours), key=repr)
    for one, other in zip(left, right, strict=False):
        if len(one) != len(other) or not all(map(_same, one, other)):
            return f"{one} there, {other} here"
    return "" if len(left) == len(right) else f"{len(left)} rows there, {len(right)} here"


def _row(row: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(map(_value, row))


def _value(value: Any) -> Any:
    """Return a value without what only drivers differ in."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return float(value) if abs(value) < 2**53 else Decimal(value)
    if isinstance(value, Decimal):
        return float(value) if value == Decimal(repr(float(value))) else value
    if isinstance(value, float):
        return float(f"{value:.15g}")
    if isinstance(value, dt.datetime) and value.tzinfo:
        value = value.astimezone(dt.UTC).replace(tzinfo=None)
    if isinstance(value, dt.date | str):  # SQLite's dates are text
        return str(value).removesuffix(" 00:00:00")
    return value


def _same(one: Any, other: Any) -> bool:
    numbers = isinstance(one, float | Decimal) and isinstance(other, float | Decimal)
    if numbers:
        left, right = float(one), float(other)
        if isinstance(one, Decimal) and isinstance(other, Decimal):
            return one == other
        return left == right or math.isclose(left, right, rel_tol=3e-15)
    return type(one) is type(other) and one == other
