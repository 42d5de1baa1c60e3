"""Compare two states of a table row by row: added, removed and changed rows.

Rows are matched by keys if there are any, otherwise compared as multisets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from headrace.lake.reading import converted, selected_values
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import quote
from headrace.lake.tables import LakeColumn
from headrace.lake.types import parse

BOUND_CHARACTERS_MAX = 100
_UNORDERED = ("BLOB", "JSON", "BIT", "INTERVAL")
_NUMBERS = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
)
BEFORE, AFTER = "__before__", "__after__"
"""Names of the two relations in a session (`lake.reading.session_over`)."""


class Example(msgspec.Struct, frozen=True):
    """A row before and after; one of them is None for added and removed rows."""

    before: dict[str, Any] | None
    after: dict[str, Any] | None


class DiffCounts(msgspec.Struct, frozen=True):
    """Numbers of rows that differ.

    `changed` and `cells` (column → number of rows in which it differs) are known only with keys;
    without, `changed` is None and `cells` is empty.
    """

    added: int
    removed: int
    changed: int | None
    cells: dict[str, int]
    examples: tuple[Example, ...]


class Spread(msgspec.Struct, frozen=True):
    """The distribution of a column's values.

    `distinct` is an estimate. Bounds are text, None for types without an order; the mean is None
    for types other than numbers.
    """

    rows: int
    nulls: int
    distinct: int | None
    minimum: str | None
    maximum: str | None
    mean: str | None


def spreads(
    session: DuckDBSession, columns: Sequence[LakeColumn]
) -> dict[str, tuple[Spread, Spread]]:
    """Return each column's distribution before and after."""
    before, after = _spreads(session, BEFORE, columns), _spreads(session, AFTER, columns)
    return {
        column.name: (was, now) for column, was, now in zip(columns, before, after, strict=True)
    }


def _spreads(session: DuckDBSession, side: str, columns: Sequence[LakeColumn]) -> list[Spread]:
    measures = [measure for column in columns for measure in _measures(column)]
    row = session.row(f"SELECT {', '.join(['count(*)', *measures])} FROM {quote(side)}")
    return [Spread(row[0], *row[at : at + 5]) for at in range(1, len(row), 5)]


def _measures(column: LakeColumn) -> tuple[str, ...]:
    """Return the SQL for nulls, distinct values, minimum, maximum and mean."""
    name, kind = quote(column.name), parse(column.type)
    ordered, number = (
        not kind.fields and kind.name not in _UNORDERED,
        kind.name.partition("(")[0] in _NUMBERS,
    )
    return (
        f"count(*) - count({name})",
        f"approx_count_distinct({name})" if ordered else "NULL",
        f"left(CAST(min({name}) AS VARCHAR), {BOUND_CHARACTERS_MAX})" if ordered else "NULL",
        f"left(CAST(max({name}) AS VARCHAR), {BOUND_CHARACTERS_MAX})" if ordered else "NULL",
        f"CAST(round(avg(CAST({name} AS DOUBLE)), 6) AS VARCHAR)" if number else "NULL",
    )


def multisets(
    session: DuckDBSession, columns: Sequence[LakeColumn], *, examples: int
) -> DiffCounts:
    """Compare without keys: a row that differs in one cell counts as one removed and one added."""
    names = ", ".join(quote(column.name) for column in columns)

    def only(item: str, other: str) -> str:
        return f"SELECT {names} FROM {quote(item)} EXCEPT ALL SELECT {names} FROM {quote(other)}"

    removed_sql, new = only(BEFORE, AFTER), only(AFTER, BEFORE)
    removed = tuple(Example(row, None) for row in _rows(session, removed_sql, columns, examples))
    added = tuple(Example(None, row) for row in _rows(session, new, columns, examples))
    return DiffCounts(
        _count(session, new), _count(session, removed_sql), None, {}, (*removed, *added)
    )


def by_keys(
    session: DuckDBSession, columns: Sequence[LakeColumn], keys: Sequence[str], *, examples: int
) -> DiffCounts:
    """Compare rows with equal keys; keys must be unique on both sides (`not_unique`)."""
    others = [column for column in columns if column.name not in keys]
    on = " AND ".join(f"b.{quote(key)} IS NOT DISTINCT FROM a.{quote(key)}" for key in keys)
    joined = (
        f"(SELECT true AS here, * FROM {quote(BEFORE)}) b FULL JOIN (SELECT true AS here, * FROM"
        f" {quote(AFTER)}) a ON {on}"
    )
    differs = {
        column.name: f"b.{quote(column.name)} IS DISTINCT FROM a.{quote(column.name)}"
        for column in others
    }
    both, any_differs = "b.here AND a.here", " OR ".join(differs.values()) or "false"
    counts = [
        "count(*) FILTER (b.here IS NULL)",
        "count(*) FILTER (a.here IS NULL)",
        f"count(*) FILTER ({both} AND ({any_differs}))",
        *(f"count(*) FILTER ({both} AND {condition})" for condition in differs.values()),
    ]
    row = session.row(f"SELECT {', '.join(counts)} FROM {joined}")
    cells = {name: count for name, count in zip(differs, row[3:], strict=True) if count}
    example_rows = [
        *_examples(session, columns, keys, joined, f"{both} AND ({any_differs})", examples),
        *_examples(session, columns, keys, joined, "a.here IS NULL", examples),
        *_examples(session, columns, keys, joined, "b.here IS NULL", examples),
    ]
    return DiffCounts(row[0], row[1], row[2], cells, tuple(example_rows))


def not_unique(session: DuckDBSession, keys: Sequence[str]) -> bool:
    """Whether some keys occur twice on one side, so that they can't identify rows."""
    listed = ", ".join(quote(key) for key in keys)
    return any(
        _count(
            session, f"SELECT {listed} FROM {quote(side)} GROUP BY ALL HAVING count(*) > 1 LIMIT 1"
        )
        for side in (BEFORE, AFTER)
    )


def _by_keys(keys: Sequence[str]) -> str:
    return ", ".join(f"coalesce(a.{quote(key)}, b.{quote(key)}) NULLS FIRST" for key in keys)


def _examples(
    session: DuckDBSession,
    columns: Sequence[LakeColumn],
    keys: Sequence[str],
    joined: str,
    condition: str,
    limit: int,
) -> list[Example]:
    fields = ", ".join(
        f"{side}.{quote(column.name)} AS {quote(f'{side}{n}')}"
        for side in "ba"
        for n, column in enumerate(columns)
    )
    query = (
        f"SELECT b.here AS {quote('b')}, a.here AS {quote('a')}, {fields} FROM {joined} WHERE"
        f" {condition} ORDER BY {_by_keys(keys)} LIMIT {int(limit)}"
    )
    renamed = {
        side: [
            msgspec.structs.replace(column, name=f"{side}{n}") for n, column in enumerate(columns)
        ]
        for side in "ba"
    }
    values = selected_values([*renamed["b"], *renamed["a"]])
    fetched = session.connection.execute(
        f"SELECT {quote('b')}, {quote('a')}, {values} FROM ({query})"
    ).fetchall()
    width = len(columns)
    before = converted(columns, [row[2 : 2 + width] for row in fetched])
    after = converted(columns, [row[2 + width :] for row in fetched])
    return [
        Example(was if row[0] else None, now if row[1] else None)
        for row, was, now in zip(fetched, before, after, strict=True)
    ]


def _rows(
    session: DuckDBSession, query: str, columns: Sequence[LakeColumn], limit: int
) -> tuple[dict[str, Any], ...]:
    fetched = session.connection.execute(
        f"SELECT {selected_values(columns)} FROM ({query}) ORDER BY ALL LIMIT {int(limit)}"
    ).fetchall()
    return converted(columns, fetched)


def _count(session: DuckDBSession, query: str) -> int:
    row = session.connection.execute(f"SELECT count(*) FROM ({query})").fetchone()
    return int(row[0]) if row else 0
