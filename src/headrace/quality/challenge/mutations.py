"""The faults that are made, as SQL over the table of `sample`: what vendors, joins and unit changes do to data.

Each is deterministic: where only some rows change, it is every tenth, from the first on. What doesn't fit a column's type
stays as it was; a mutation that changes nothing isn't counted as one.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from headrace.lake.session import literal, quote
from headrace.quality.challenge.sample import BEFORE, POSITION, TABLE, ColumnFacts, SampleColumnKind

EVERY = 10
KEPT_PERCENT = 60
"""Of the rows of a file that was cut off."""
OLD_DAYS = 400
UNSEEN = "\ufffd"
"""What stands where a character couldn't be decoded."""


class MutationKind(enum.StrEnum):
    """The kinds of mutations, in the order in which they are tried."""

    NULLS = "nulls"
    DUPLICATES = "duplicates"
    SCALE = "scale"
    TRUNCATION = "truncation"
    CATEGORY = "category"
    REFERENCE = "reference"
    DAY = "off_by_one_day"
    ENCODING = "encoding"
    DEFAULT = "default"
    SIGN = "sign"
    STALE = "stale"
    SWAPPED = "swapped"


class Mutation(msgspec.Struct, frozen=True):
    """One fault. `values` maps a column's place to the SQL of its new value; `source` gives the rows, in the table's columns."""

    fault: MutationKind
    says: str
    columns: tuple[str, ...] = ()
    """Those whose values change; none: rows are lost, doubled or others."""
    values: Mapping[int, str] = {}
    source: str = TABLE
    where: str = ""

    def select(self, columns: Sequence[str]) -> str:
        """The mutated rows under the columns' own names."""
        own = ", ".join(f"{self.values.get(at, f'c{at}')} AS {quote(name)}" for at, name in enumerate(columns))
        return f"SELECT {own} {self.rows}"

    @property
    def rows(self) -> str:
        """Where the rows come from, and which of them."""
        source = self.source if self.source.startswith("(") else quote(self.source)
        return f"FROM {source} AS challenged{f' WHERE {self.where}' if self.where else ''}"

    @property
    def form(self) -> str:
        """What it does, whichever column it does it to."""
        text = self.says
        for column in self.columns:
            text = text.replace(f"`{column}`", "`…`")
        return text

    @property
    def differs(self) -> str:
        """The SQL condition that is true of rows that it changes; empty where rows come and go."""
        return " OR ".join(f"c{at} IS DISTINCT FROM {value}" for at, value in self.values.items())


def of_rows(rows: int) -> Iterator[Mutation]:
    """Mutations of the rows as a whole."""
    if not rows:
        return
    kept = max(1, rows * KEPT_PERCENT // 100)
    if kept < rows:
        yield Mutation(MutationKind.TRUNCATION, f"the last {100 - KEPT_PERCENT} % of the rows missing", where=f"{POSITION} < {kept}")
    yield Mutation(MutationKind.TRUNCATION, "no rows at all", where="false")
    again = f"(SELECT * FROM {quote(TABLE)} UNION ALL SELECT * FROM {quote(TABLE)}"
    yield Mutation(MutationKind.DUPLICATES, "every tenth row twice", source=f"{again} WHERE {POSITION} % {EVERY} = 0)")
    yield Mutation(MutationKind.DUPLICATES, "all rows twice", source=f"{again})")


def stale(partition: ColumnFacts | None, intervals: str) -> Mutation:
    """The rows of the partition before once more; where a column says the partition, with the new date. `intervals` is what
    lies between the two, as an SQL interval."""
    moved = {} if partition is None else {partition.at: _cast(partition, f"{partition.own} + {intervals}")}
    text = "the rows of the partition before" + (f", `{partition.name}` moved on" if partition else "")
    return Mutation(MutationKind.STALE, text, values=moved, source=BEFORE)


def of_columns(columns: Sequence[ColumnFacts], referring: frozenset[str]) -> list[Mutation]:
    """All mutations of columns, kind by kind: whatever time is left, each column has had the faults that come first.
    `referring` names, in lower case, columns that refer to another node."""
    mutations = [mutation for column in columns for mutation in _of(column, column.name.lower() in referring)]
    mutations += _swapped(columns)
    order = list(MutationKind)
    return sorted(mutations, key=lambda mutation: order.index(mutation.fault))


def _of(column: ColumnFacts, refers: bool) -> Iterator[Mutation]:
    yield _some(column, MutationKind.NULLS, "is null", "NULL")
    yield _all(column, MutationKind.NULLS, "is null", f"CAST(NULL AS {column.type})")
    if column.unique and (column.whole or column.kind == SampleColumnKind.TEXT):
        first = f"(SELECT first FROM (SELECT c{column.at} AS first FROM {quote(TABLE)} WHERE {column.own} IS NOT NULL "
        yield _some(column, MutationKind.DUPLICATES, "repeats the first", f"{first}ORDER BY {POSITION} LIMIT 1))", offset=1)
    if refers or (column.distinct * 2 >= column.present and (column.whole or column.kind == SampleColumnKind.TEXT)):
        yield _some(column, MutationKind.REFERENCE, "is a value that is nowhere else", _nowhere(column))
    yield from _KINDS[column.kind](column)


def _numbers(column: ColumnFacts) -> Iterator[Mutation]:
    own = f"CAST({column.own} AS DOUBLE)"
    yield _all(column, MutationKind.SCALE, "× 100", _cast(column, f"{own} * 100"))
    yield _all(column, MutationKind.SCALE, "÷ 100", _cast(column, f"{own} / 100"))
    yield _all(column, MutationKind.SIGN, "has the other sign", _cast(column, f"-{own}"))
    yield _some(column, MutationKind.DEFAULT, "is 0", _cast(column, "0"))
    if column.categorical:
        top = f"(SELECT mode({column.own}) FROM {quote(TABLE)})"
        unseen = _beyond(column, "1")
        yield _all(column, MutationKind.CATEGORY, "has a new value for the most frequent", _if(column, f"{column.own} = {top}", unseen))


def _texts(column: ColumnFacts) -> Iterator[Mutation]:
    own = column.own
    yield _some(column, MutationKind.ENCODING, "has a broken character", f"{literal(UNSEEN)} || substr({own}, 2)")
    yield _some(column, MutationKind.DEFAULT, "is empty", "''")
    if column.categorical:
        top = f"(SELECT mode({own}) FROM {quote(TABLE)})"
        unseen = f"repeat('Q', greatest(1, length({own})))"
        yield _all(column, MutationKind.CATEGORY, "has a new value for the most frequent", _if(column, f"{own} = {top}", unseen))
        yield _all(
            column, MutationKind.CATEGORY, "in the other case", f"CASE WHEN {own} = upper({own}) THEN lower({own}) ELSE upper({own}) END"
        )


def _dates(column: ColumnFacts) -> Iterator[Mutation]:
    yield _all(column, MutationKind.DAY, "a day later", _cast(column, f"{column.own} + INTERVAL 1 DAY"))
    yield _all(column, MutationKind.DAY, "a day earlier", _cast(column, f"{column.own} - INTERVAL 1 DAY"))
    yield _all(column, MutationKind.STALE, f"{OLD_DAYS} days earlier", _cast(column, f"{column.own} - INTERVAL {OLD_DAYS} DAY"))
    yield _some(column, MutationKind.DEFAULT, "is 1970-01-01", _cast(column, "DATE '1970-01-01'"))


def _truths(column: ColumnFacts) -> Iterator[Mutation]:
    yield _all(column, MutationKind.CATEGORY, "has the other value", f"NOT {column.own}")


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
    """Each column with the next of its type; the last of each type stays."""
    alike: dict[str, ColumnFacts] = {}
    for column in columns:
        before = alike.get(column.type)
        if before is not None:
            text = f"`{before.name}` and `{column.name}` swapped"
            values = {before.at: column.own, column.at: before.own}
            yield Mutation(MutationKind.SWAPPED, text, (before.name, column.name), values)
        alike[column.type] = column


def _all(column: ColumnFacts, fault: MutationKind, what: str, value: str) -> Mutation:
    return Mutation(fault, f"`{column.name}` {what}", (column.name,), {column.at: f"({value})"})


def _some(column: ColumnFacts, fault: MutationKind, what: str, value: str, *, offset: int = 0) -> Mutation:
    return Mutation(
        fault, f"every tenth `{column.name}` {what}", (column.name,), {column.at: _if(column, f"{POSITION} % {EVERY} = {offset}", value)}
    )


def _if(column: ColumnFacts, condition: str, value: str) -> str:
    return f"CASE WHEN {condition} THEN {value} ELSE {column.own} END"


def _cast(column: ColumnFacts, value: str) -> str:
    """The value in the column's type; where it doesn't fit, what was there. Nulls stay null."""
    fits = f"coalesce(TRY(TRY_CAST({value} AS {column.type})), {column.own})"
    return f"CASE WHEN {column.own} IS NULL THEN NULL ELSE {fits} END"


def _nowhere(column: ColumnFacts) -> str:
    if column.kind == SampleColumnKind.TEXT:
        return f"{column.own} || '?'"
    return _beyond(column, f"1 + {POSITION}")


def _beyond(column: ColumnFacts, by: str) -> str:
    """So much more than the greatest whole number; where it doesn't fit, what was there."""
    if column.type.endswith("HUGEINT"):  # nothing is wide enough to count on in
        return column.own
    greatest = f"(SELECT CAST(max({column.own}) AS HUGEINT) FROM {quote(TABLE)})"
    return f"coalesce(TRY_CAST({greatest} + {by} AS {column.type}), {column.own})"
