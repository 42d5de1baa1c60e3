"""Faults for a challenge, as SQL over a sample of published rows.

They imitate what vendors, joins and changes of units do to data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from headrace.checks.proposals import CATEGORIES_MAX, MutationKind
from headrace.lake.sqltext import literal, quote

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession


# The sample: published rows as one temporary table with generated column names, and statistics of
# each column.

TABLE = "__challenged__"
BEFORE = "__before__"
"""The rows of the previous partition, which a vendor may send again."""
POSITION = "pos"
SCANNED_AT_ONCE = 20
ROWS_A_CATEGORY = 5
"""The minimum mean number of rows per category, so that a few rows don't count as categories."""

_WHOLE = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
)


class SampleColumnKind:
    """The operations that a column's type allows."""

    NUMBER = "number"
    TEXT = "text"
    DATE = "date"
    TRUTH = "truth"
    OTHER = "other"


class ColumnFacts(msgspec.Struct, frozen=True):
    """One column of the challenged rows; `at` is its index, and `c<at>` its name in the table."""

    at: int
    name: str
    type: str
    rows: int
    present: int
    """The number of rows in which the column isn't null."""
    distinct: int
    categorical: bool = False

    @property
    def name_in_table(self) -> str:
        """Return the column's name in the table."""
        return f"c{self.at}"

    @property
    def kind(self) -> str:
        """Return the operations that the type allows."""
        return kind_of(self.type)

    @property
    def whole(self) -> bool:
        """Return whether the values are integers."""
        return self.type in _WHOLE

    @property
    def unique(self) -> bool:
        """Return whether all values differ."""
        return self.present > 1 and self.distinct == self.present


def kind_of(column_type: str) -> str:
    """Return the operations that a DuckDB type allows."""
    if column_type.endswith("]") or column_type.startswith(("STRUCT", "MAP", "UNION")):
        return SampleColumnKind.OTHER
    if (
        column_type in _WHOLE
        or column_type in ("FLOAT", "DOUBLE")
        or column_type.startswith("DECIMAL")
    ):
        return SampleColumnKind.NUMBER
    if column_type == "VARCHAR":
        return SampleColumnKind.TEXT
    if column_type == "DATE" or column_type.startswith("TIMESTAMP"):
        return SampleColumnKind.DATE
    return SampleColumnKind.TRUTH if column_type == "BOOLEAN" else SampleColumnKind.OTHER


def load(session: DuckDBSession, name: str, rows_sql: str, columns: Sequence[str]) -> int:
    """Store the rows of a SELECT as a temporary table and return their number.

    Raises `duckdb.Error`.
    """
    select_list = ", ".join(f"{quote(column)} AS c{at}" for at, column in enumerate(columns))
    session.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {quote(name)} AS SELECT {select_list}, row_number() OVER"
        f" () - 1 AS {POSITION} FROM ({rows_sql}) AS given"
    )
    return count(session, name)


def count(session: DuckDBSession, name: str) -> int:
    """Return the number of rows of such a table."""
    results = session.connection.execute(f"SELECT count(*) FROM {quote(name)}").fetchone()
    return int(results[0]) if results else 0


def facts(session: DuckDBSession, columns: Mapping[str, str], rows: int) -> tuple[ColumnFacts, ...]:
    """Return statistics of the table's columns.

    A scan covers at most `SCANNED_AT_ONCE` columns, since counting distinct values takes memory.
    """
    listed = list(enumerate(columns.items()))
    column_facts: list[ColumnFacts] = []
    for first in range(0, len(listed), SCANNED_AT_ONCE):
        some = listed[first : first + SCANNED_AT_ONCE]
        select_list = ", ".join(f"count(c{at}), {_distinct(at, kind)}" for at, (_, kind) in some)
        counts = (
            session.connection.execute(f"SELECT {select_list} FROM {quote(TABLE)}").fetchone() or ()
        )
        pairs = zip(counts[::2], counts[1::2], strict=True)
        column_facts += [
            _facts(at, name, kind, rows, *pair)
            for (at, (name, kind)), pair in zip(some, pairs, strict=True)
        ]
    return tuple(column_facts)


def _distinct(at: int, column_type: str) -> str:
    return "0" if kind_of(column_type) == SampleColumnKind.OTHER else f"count(DISTINCT c{at})"


def _facts(
    at: int, name: str, column_type: str, rows: int, present: int, distinct: int
) -> ColumnFacts:
    few = 0 < distinct <= CATEGORIES_MAX and distinct * ROWS_A_CATEGORY <= present
    categorical = few and (column_type in _WHOLE or kind_of(column_type) == SampleColumnKind.TEXT)
    return ColumnFacts(at, name, column_type, rows, present, distinct, categorical)


# Each mutation is deterministic: if only some rows change, these are every tenth row from the first
# one on. Values that don't fit a column's type stay unchanged. A mutation without any effect is
# dropped.

EVERY = 10
KEPT_PERCENT = 60
"""The share of rows, in percent, that a truncated file retains."""
OLD_DAYS = 400
UNSEEN = "\ufffd"
"""The replacement for a character that couldn't be decoded."""


class Mutation(msgspec.Struct, frozen=True):
    """One fault.

    `values` maps the index of a column to the SQL of its new value; `source` provides the rows, in
    the table's columns.
    """

    fault: MutationKind
    says: str
    columns: tuple[str, ...] = ()
    """The columns whose values change; none if rows are lost, duplicated or replaced."""
    values: Mapping[int, str] = {}
    source: str = TABLE
    where: str = ""

    def select(self, columns: Sequence[str]) -> str:
        """Return a SELECT of the mutated rows under the columns' real names."""
        select_list = ", ".join(
            f"{self.values.get(at, f'c{at}')} AS {quote(name)}" for at, name in enumerate(columns)
        )
        return f"SELECT {select_list} {self.rows}"

    @property
    def rows(self) -> str:
        """Return the FROM and WHERE clauses of the mutated rows."""
        source = self.source if self.source.startswith("(") else quote(self.source)
        return f"FROM {source} AS challenged{f' WHERE {self.where}' if self.where else ''}"

    @property
    def form(self) -> str:
        """Return a description of the mutation without the column's name."""
        text = self.says
        for column in self.columns:
            text = text.replace(f"`{column}`", "`…`")
        return text

    @property
    def differs(self) -> str:
        """Return the SQL condition of changed rows; empty if rows are added or removed."""
        return " OR ".join(f"c{at} IS DISTINCT FROM {value}" for at, value in self.values.items())


def of_rows(rows: int) -> Iterator[Mutation]:
    """Return mutations of the set of rows."""
    if not rows:
        return
    remaining = max(1, rows * KEPT_PERCENT // 100)
    if remaining < rows:
        yield Mutation(
            MutationKind.TRUNCATION,
            f"the last {100 - KEPT_PERCENT} % of the rows missing",
            where=f"{POSITION} < {remaining}",
        )
    yield Mutation(MutationKind.TRUNCATION, "no rows at all", where="false")
    again = f"(SELECT * FROM {quote(TABLE)} UNION ALL SELECT * FROM {quote(TABLE)}"
    yield Mutation(
        MutationKind.DUPLICATES,
        "every tenth row twice",
        source=f"{again} WHERE {POSITION} % {EVERY} = 0)",
    )
    yield Mutation(MutationKind.DUPLICATES, "all rows twice", source=f"{again})")


def stale(partition: ColumnFacts | None, intervals: str) -> Mutation:
    """Return the mutation that delivers the previous partition's rows again.

    A column that routes rows to partitions gets the new date. `intervals` is the distance of the
    two partitions as an SQL interval.
    """
    moved = (
        {}
        if partition is None
        else {partition.at: _cast(partition, f"{partition.name_in_table} + {intervals}")}
    )
    text = "the rows of the partition before" + (
        f", `{partition.name}` moved on" if partition else ""
    )
    return Mutation(MutationKind.STALE, text, values=moved, source=BEFORE)


def of_columns(columns: Sequence[ColumnFacts], referring: frozenset[str]) -> list[Mutation]:
    """Return all mutations of columns, ordered by kind.

    If time runs out, every column has then had the first kinds. `referring` has the columns that
    reference another node, in lower case.
    """
    mutations = [
        mutation for column in columns for mutation in _of(column, column.name.lower() in referring)
    ]
    mutations += _swapped(columns)
    order = list(MutationKind)
    return sorted(mutations, key=lambda mutation: order.index(mutation.fault))


def _of(column: ColumnFacts, refers: bool) -> Iterator[Mutation]:
    yield _some(column, MutationKind.NULLS, "is null", "NULL")
    yield _all(column, MutationKind.NULLS, "is null", f"CAST(NULL AS {column.type})")
    if column.unique and (column.whole or column.kind == SampleColumnKind.TEXT):
        first = (
            f"(SELECT first FROM (SELECT c{column.at} AS first FROM {quote(TABLE)} WHERE"
            f" {column.name_in_table} IS NOT NULL "
        )
        yield _some(
            column,
            MutationKind.DUPLICATES,
            "repeats the first",
            f"{first}ORDER BY {POSITION} LIMIT 1))",
            offset=1,
        )
    if refers or (
        column.distinct * 2 >= column.present
        and (column.whole or column.kind == SampleColumnKind.TEXT)
    ):
        yield _some(
            column, MutationKind.REFERENCE, "is a value that is nowhere else", _nowhere(column)
        )
    yield from _KINDS[column.kind](column)


def _numbers(column: ColumnFacts) -> Iterator[Mutation]:
    as_double = f"CAST({column.name_in_table} AS DOUBLE)"
    yield _all(column, MutationKind.SCALE, "× 100", _cast(column, f"{as_double} * 100"))
    yield _all(column, MutationKind.SCALE, "÷ 100", _cast(column, f"{as_double} / 100"))
    yield _all(column, MutationKind.SIGN, "has the other sign", _cast(column, f"-{as_double}"))
    yield _some(column, MutationKind.DEFAULT, "is 0", _cast(column, "0"))
    if column.categorical:
        top = f"(SELECT mode({column.name_in_table}) FROM {quote(TABLE)})"
        unseen = _beyond(column, "1")
        yield _all(
            column,
            MutationKind.CATEGORY,
            "has a new value for the most frequent",
            _if(column, f"{column.name_in_table} = {top}", unseen),
        )


def _texts(column: ColumnFacts) -> Iterator[Mutation]:
    column_sql = column.name_in_table
    yield _some(
        column,
        MutationKind.ENCODING,
        "has a broken character",
        f"{literal(UNSEEN)} || substr({column_sql}, 2)",
    )
    yield _some(column, MutationKind.DEFAULT, "is empty", "''")
    if column.categorical:
        top = f"(SELECT mode({column_sql}) FROM {quote(TABLE)})"
        unseen = f"repeat('Q', greatest(1, length({column_sql})))"
        yield _all(
            column,
            MutationKind.CATEGORY,
            "has a new value for the most frequent",
            _if(column, f"{column_sql} = {top}", unseen),
        )
        yield _all(
            column,
            MutationKind.CATEGORY,
            "in the other case",
            f"CASE WHEN {column_sql} = upper({column_sql}) THEN lower({column_sql}) ELSE"
            f" upper({column_sql}) END",
        )


def _dates(column: ColumnFacts) -> Iterator[Mutation]:
    yield _all(
        column,
        MutationKind.DAY,
        "a day later",
        _cast(column, f"{column.name_in_table} + INTERVAL 1 DAY"),
    )
    yield _all(
        column,
        MutationKind.DAY,
        "a day earlier",
        _cast(column, f"{column.name_in_table} - INTERVAL 1 DAY"),
    )
    yield _all(
        column,
        MutationKind.STALE,
        f"{OLD_DAYS} days earlier",
        _cast(column, f"{column.name_in_table} - INTERVAL {OLD_DAYS} DAY"),
    )
    yield _some(column, MutationKind.DEFAULT, "is 1970-01-01", _cast(column, "DATE '1970-01-01'"))


def _truths(column: ColumnFacts) -> Iterator[Mutation]:
    yield _all(column, MutationKind.CATEGORY, "has the other value", f"NOT {column.name_in_table}")


def _others(column: ColumnFacts) -> Iterator[Mutation]:
    del column
    return iter(())


_KINDS = {
    SampleColumnKind.NUMBER: _numbers,
    SampleColumnKind.TEXT: _texts,
    SampleColumnKind.DATE: _dates,
    SampleColumnKind.TRUTH: _truths,
    SampleColumnKind.OTHER: _others,
}


def _swapped(columns: Sequence[ColumnFacts]) -> Iterator[Mutation]:
    """Swap each column with the next one of its type; the last of each type stays."""
    alike: dict[str, ColumnFacts] = {}
    for column in columns:
        before = alike.get(column.type)
        if before is not None:
            text = f"`{before.name}` and `{column.name}` swapped"
            values = {before.at: column.name_in_table, column.at: before.name_in_table}
            yield Mutation(MutationKind.SWAPPED, text, (before.name, column.name), values)
        alike[column.type] = column


def _all(column: ColumnFacts, fault: MutationKind, what: str, value: str) -> Mutation:
    return Mutation(fault, f"`{column.name}` {what}", (column.name,), {column.at: f"({value})"})


def _some(
    column: ColumnFacts, fault: MutationKind, what: str, value: str, *, offset: int = 0
) -> Mutation:
    return Mutation(
        fault,
        f"every tenth `{column.name}` {what}",
        (column.name,),
        {column.at: _if(column, f"{POSITION} % {EVERY} = {offset}", value)},
    )


def _if(column: ColumnFacts, condition: str, value: str) -> str:
    return f"CASE WHEN {condition} THEN {value} ELSE {column.name_in_table} END"


def _cast(column: ColumnFacts, value: str) -> str:
    """Return SQL for the value in the column's type, or the old value if it doesn't fit.

    Nulls stay null.
    """
    fits = f"coalesce(TRY(TRY_CAST({value} AS {column.type})), {column.name_in_table})"
    return f"CASE WHEN {column.name_in_table} IS NULL THEN NULL ELSE {fits} END"


def _nowhere(column: ColumnFacts) -> str:
    if column.kind == SampleColumnKind.TEXT:
        return f"{column.name_in_table} || '?'"
    return _beyond(column, f"1 + {POSITION}")


def _beyond(column: ColumnFacts, by: str) -> str:
    """Return SQL for the greatest integer plus `by`, or the old value if that doesn't fit."""
    if column.type.endswith("HUGEINT"):  # no wider type exists for the sum
        return column.name_in_table
    greatest = f"(SELECT CAST(max({column.name_in_table}) AS HUGEINT) FROM {quote(TABLE)})"
    return f"coalesce(TRY_CAST({greatest} + {by} AS {column.type}), {column.name_in_table})"
