"""What an asset's newest published partitions have in common: the ground on which a check is suggested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.lake import PARTITION_COLUMN
from headrace.lake.session import quote
from headrace.quality.challenge.sample import CATEGORIES_MAX, SampleColumnKind, kind_of

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession

HISTORY = "__history__"
KEYED_ROWS_MIN = 20
"""A partition has so many rows on average before it means something that a value is in none of them twice."""
PAIRED_MAX = 4
"""Of how many columns pairs are tried as keys, where no column is one alone."""


class Remembered(msgspec.Struct, frozen=True):
    """One column over all remembered partitions. `values` are all different ones, of texts and whole numbers with few.
    `of_partition`: each of several partitions has one value, as the year of a day: it says which partition it is, and its
    next value is another."""

    nulls: int
    minimum: Any = None
    maximum: Any = None
    values: tuple[Any, ...] = ()
    of_partition: bool = False


class Memory(msgspec.Struct, frozen=True):
    """The newest partitions: how many, their rows, those of the smallest, each column, and what is a key in each of them."""

    partitions: int
    rows: int
    least_rows: int
    columns: dict[str, Remembered]
    key: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """`3,210 rows of 30 partitions`."""
        return f"{counted(self.rows, 'row')} of {counted(self.partitions, 'partition')}"


def counted(number: int, what: str) -> str:
    """`1 row`, `3,210 rows`."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def remember(session: DuckDBSession, select: str, columns: Mapping[str, str], secret: frozenset[str]) -> Memory | None:
    """What the rows of a SELECT, which has the partition's column too, have in common; None where that was interrupted. Of `secret`
    columns (in lower case) no values are read. Raises `duckdb.Error`."""
    import duckdb

    try:
        return _remembered(session, select, columns, secret)
    except duckdb.InterruptException:
        return None


def _remembered(session: DuckDBSession, select: str, columns: Mapping[str, str], secret: frozenset[str]) -> Memory:
    own = ", ".join(f"{quote(name)} AS c{at}" for at, name in enumerate(columns))
    session.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {quote(HISTORY)} AS SELECT {quote(PARTITION_COLUMN)} AS part{', ' if own else ''}{own} "
        f"FROM ({select}) AS given"
    )
    each = session.connection.execute(f"SELECT count(*) FROM {quote(HISTORY)} GROUP BY part").fetchall()
    counts = [int(row[0]) for row in each]
    results = {name: _column(session, at, kind, name.lower() in secret) for at, (name, kind) in enumerate(columns.items())}
    key = _key(session, columns, results) if sum(counts) >= KEYED_ROWS_MIN * len(counts) > 0 else ()
    return Memory(len(counts), sum(counts), min(counts, default=0), results, key)


def _column(session: DuckDBSession, at: int, column_type: str, secret: bool) -> Remembered:
    kind, own = kind_of(column_type), f"c{at}"
    few = kind in (SampleColumnKind.NUMBER, SampleColumnKind.TEXT)
    bounds = f"min({own}), max({own})" if few and not secret else "NULL, NULL"
    values = f"list_sort(list(DISTINCT {own}))[:{CATEGORIES_MAX + 1}]" if few and not secret else "[]"
    row = session.connection.execute(f"SELECT count(*) - count({own}), {bounds}, {values} FROM {quote(HISTORY)}").fetchone()
    assert row is not None
    listed = tuple(value for value in row[3] or () if value is not None)
    return Remembered(
        int(row[0]), row[1], row[2], listed if len(listed) <= CATEGORIES_MAX else (), bool(few and _says_the_partition(session, own))
    )


def _says_the_partition(session: DuckDBSession, own: str) -> bool:
    each = f"SELECT count(DISTINCT {own}) AS values FROM {quote(HISTORY)} GROUP BY part"
    row = session.connection.execute(f"SELECT count(*), max(values) FROM ({each})").fetchone()
    return row is not None and row[0] > 1 and row[1] == 1


def _key(session: DuckDBSession, columns: Mapping[str, str], results: Mapping[str, Remembered]) -> tuple[str, ...]:
    """The first column, else the first pair, that no two rows of a partition share. Only texts and whole numbers are keys."""
    able = [
        (at, name)
        for at, (name, kind) in enumerate(columns.items())
        if not results[name].nulls and (kind_of(kind) == SampleColumnKind.TEXT or kind.endswith("INT") or kind == "INTEGER")
    ]
    for at, name in able:
        if _is_key(session, f"c{at}"):
            return (name,)
    for (first, item), (second, other) in combinations(_richest(session, able), 2):
        if _is_key(session, f"(c{first}, c{second})"):
            return (item, other)
    return ()


def _is_key(session: DuckDBSession, key: str) -> bool:
    repeated = f"SELECT 1 FROM {quote(HISTORY)} GROUP BY part HAVING count(DISTINCT {key}) < count(*) LIMIT 1"
    return session.connection.execute(repeated).fetchone() is None


def _richest(session: DuckDBSession, able: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """The columns with the most different values, in their order."""
    if not able:
        return []
    wanted = ", ".join(f"approx_count_distinct(c{at})" for at, _ in able)
    counts = session.connection.execute(f"SELECT {wanted} FROM {quote(HISTORY)}").fetchone() or ()
    richest = sorted(zip(counts, able, strict=True), key=lambda pair: -pair[0])[:PAIRED_MAX]
    return sorted(item for _, item in richest)
