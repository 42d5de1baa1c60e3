"""Values of columns from a scan, and sorted values with their counts."""

from __future__ import annotations

import enum
import math
import types
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, chain, repeat
from operator import mul, sub
from typing import Any, NamedTuple

import msgspec

from headrace.checks.metrics import CATEGORIES_MAX
from headrace.lake.sqltext import quote

# A scan returns the values as one JSON text per partition, with a list per column or with a count
# per value. Writing JSON in DuckDB and reading it with msgspec is several times faster than
# creating Python objects from rows, and needs no other library. The lists have no defined order,
# since `profiles` doesn't depend on the order of rows.

INTEGERS = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
)
NUMBERS = (*INTEGERS, "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")
TELLING = (*INTEGERS, "VARCHAR", "BOOLEAN")
"""Types whose values are exact in JSON, so that the scan needn't compute nulls and bounds too."""


class ValueKind(enum.Enum):
    """The kind of values that a column has, which decides how they are profiled."""

    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    INSTANT = "instant"
    """Microseconds since 1970 UTC."""
    WALL_CLOCK = "wall clock"
    """A time without zone: microseconds since 1970 local time."""
    DATE = "date"
    """Days since 1970."""
    OTHER = "other"
    """Only the number of distinct values is profiled."""


def kind_of(column_type: str) -> ValueKind | None:
    """Return the kind of values of one of DuckDB's types; None if it isn't profiled."""
    if column_type.endswith("]"):
        return None
    if column_type.startswith(NUMBERS):
        return ValueKind.NUMBER
    if column_type.startswith(("VARCHAR", "ENUM")):
        return ValueKind.TEXT
    if column_type == "BOOLEAN":
        return ValueKind.BOOLEAN
    if column_type.startswith("TIMESTAMP"):
        return ValueKind.INSTANT if column_type.endswith("WITH TIME ZONE") else ValueKind.WALL_CLOCK
    if column_type == "DATE":
        return ValueKind.DATE
    return ValueKind.OTHER if column_type.startswith("TIME") else None


MANY = CATEGORIES_MAX + 1
"""The distinct values of a column with more than its profile needs to know."""


COUNTED_EACH_MIN = 4
"""The mean count of a value from which on counting values first makes sorting them faster."""


class ProfiledColumn(msgspec.Struct, frozen=True):
    """A column whose values are profiled."""

    name: str
    type: str
    kind: ValueKind
    counted: bool = False
    """Whether values arrive with counts instead of one by one: less data for few values."""


def aggregate(columns: Sequence[ProfiledColumn], only: str | None = None) -> str:
    """Return the aggregate that `columns_of` decodes, over the rows where `only` is true.

    With `only` no column may be `counted`, since the number of rows would be unknown.
    """
    if only is None:
        plain = [plain_sql(quote(column.name), column.type) for column in columns]
        gathered = [
            f"{'histogram' if column.counted else 'list'}({value})"
            for column, value in zip(columns, plain, strict=True)
        ]
        return f"CAST(to_json(struct_pack({_fields(gathered)})) AS VARCHAR)"
    # Few rows of many are gathered once and then split, so that neither the condition nor the
    # values' forms cost anything for the others. A list of one list gives the rows a name.
    rows = f"list(struct_pack({_fields([quote(column.name) for column in columns])}))"
    split = [
        f"list_transform(sampled, lambda row: {plain_sql(f'row.c{at}', column.type)})"
        for at, column in enumerate(columns)
    ]
    return (
        f"CAST(list_transform([{rows} FILTER (WHERE {only})],"
        f" lambda sampled: to_json(struct_pack({_fields(split)})))[1] AS VARCHAR)"
    )


def _fields(values: Sequence[str]) -> str:
    return ", ".join(f"c{at} := {value}" for at, value in enumerate(values))


def columns_of(
    read: str | Sequence[list[Any]],
    columns: Sequence[ProfiledColumn],
    rows: int,
    many: Collection[str] = (),
) -> Iterator[Values]:
    """Return the values of each column in turn; `rows` is the number of rows.

    `read` is the text of `aggregate`, or each column's values. Distinct values of the columns
    `many` aren't counted: they are known to be many.
    """
    each = (
        msgspec.structs.astuple(_decoder(tuple(columns)).decode(read))
        if isinstance(read, str)
        else read
    )
    for column, values in zip(columns, each, strict=True):
        if column.counted and not isinstance(values, list):
            yield Values.counted(values or {}, rows)
        elif column.name in many:
            yield Values.of_many(values or [])
        else:
            yield Values.listed(values or [])


class Values(msgspec.Struct):
    """A column's values without order, nulls and infinite numbers: one by one or with counts.

    `known` is the number of values, `distinct` the number of distinct values.
    """

    rows: int
    known: int
    distinct: int
    values: list[Any] | dict[Any, int]

    @classmethod
    def listed(cls, values: list[Any]) -> Values:
        """Return the values of a list with None for nulls."""
        distinct = set(values)
        if None not in distinct:
            return cls(len(values), len(values), len(distinct), values)
        known = [value for value in values if value is not None]
        return cls(len(values), len(known), len(distinct) - 1, known)

    @classmethod
    def of_many(cls, values: list[Any]) -> Values:
        """Like `listed`, with `MANY` distinct values: counting them takes as long as sorting."""
        known = [value for value in values if value is not None] if None in values else values
        return cls(len(values), len(known), MANY, known)

    def ordered(self) -> CountedValues:
        """Return the values in order; few values are counted first, which makes sorting faster."""
        few = self.distinct < MANY or MANY < self.distinct <= self.known // COUNTED_EACH_MIN
        if few and isinstance(self.values, list):
            return CountedValues.of(Counter(self.values))
        return CountedValues.of(self.values)

    @classmethod
    def counted(cls, counts: dict[Any, int], rows: int) -> Values:
        """Return values from their counts; the rows that the counts don't cover are null."""
        return cls(rows, sum(counts.values()), len(counts), counts)


@lru_cache(maxsize=256)
def _decoder(columns: tuple[ProfiledColumn, ...]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(
        msgspec.defstruct(
            "Columns", [(f"c{at}", _json_type(column)) for at, column in enumerate(columns)]
        )
    )


def _json_type(column: ProfiledColumn) -> Any:
    """Return a column's type in the JSON; counted values are keys, converted back by msgspec."""
    plain: Any = _PLAIN.get(column.kind) or (int if column.type in INTEGERS else float)
    if column.counted:
        return types.GenericAlias(dict, (str if plain is bool else plain, int)) | None
    return types.GenericAlias(list, (plain | None,)) | None


_PLAIN: Mapping[ValueKind, Any] = {
    ValueKind.TEXT: str,
    ValueKind.BOOLEAN: bool,
    ValueKind.INSTANT: int,
    ValueKind.WALL_CLOCK: int,
    ValueKind.DATE: int,
    ValueKind.OTHER: str,
}


def plain_sql(name: str, column_type: str) -> str:
    """Return SQL for a value in a form that JSON can hold."""
    if column_type in ("FLOAT", "DOUBLE"):
        return (
            f"CASE WHEN isfinite({name}) THEN CAST({name} AS DOUBLE) + 0 END"  # + 0 turns -0 into 0
        )
    if column_type.startswith(("HUGEINT", "DECIMAL")):
        return f"CAST({name} AS DOUBLE)"
    if column_type.startswith("TIMESTAMP"):
        return f"epoch_us({name})"
    if column_type == "DATE":
        return f"{name} - DATE '1970-01-01'"
    return (
        name
        if column_type in INTEGERS or column_type in ("VARCHAR", "BOOLEAN")
        else f"CAST({name} AS VARCHAR)"
    )


# Sorted values, single or with counts, so that quantiles are found without expanding the counts.

EXACT_INTEGER_MAX = 2**53
"""Integers up to this size are exact as floats."""
TWENTIETHS = range(1, 20)


class CountedValues(NamedTuple):
    """Sorted values, with counts or one by one.

    `counts` holds the count of each value, `ends` the cumulative count. Without counts each entry
    is one value, and equal values may follow each other.
    """

    values: Sequence[Any]
    ends: Sequence[int]
    counts: Sequence[int] | None = None

    @classmethod
    def of(cls, values: Iterable[Any] | Mapping[Any, int]) -> CountedValues:
        """Sort values in any order, or the keys of a mapping from values to counts."""
        ordered = sorted(values)
        if not isinstance(values, Mapping):
            return cls(ordered, range(1, len(ordered) + 1))
        counts = list(map(values.__getitem__, ordered))
        return cls(ordered, list(accumulate(counts)), counts)

    @property
    def total(self) -> int:
        """Return the number of values."""
        return self.ends[-1] if self.ends else 0

    def all(self) -> Iterator[Any]:
        """Return each value as often as it occurs, in order."""
        return (
            iter(self.values)
            if self.counts is None
            else chain.from_iterable(map(repeat, self.values, self.counts))
        )

    def at(self, places: Iterable[int]) -> list[Any]:
        """Return the values at these indexes, counted from 0."""
        result = places if self.counts is None else map(bisect_right, repeat(self.ends), places)
        return list(map(self.values.__getitem__, result))

    def every(self, step: int) -> dict[Any, int]:
        """Return the values at each `step`-th index from 0 on, with the number of these indexes."""
        if self.counts is None:
            return Counter(self.values[::step])
        reached = [-(-end // step) for end in self.ends]
        taken = map(sub, reached, [0, *reached[:-1]])
        return {value: count for value, count in zip(self.values, taken, strict=True) if count}

    def sizes(self) -> CountedValues:
        """Return the absolute values of numbers, without zeros."""
        if self.values and self.values[0] > 0:
            return self
        if self.counts is None:
            # both halves are sorted already, which makes sorting fast
            negative = [-value for value in reversed(self.values[: self.below(0)])]
            return CountedValues.of([*negative, *self.values[self.upto(0) :]])
        negatives, positives = bisect_left(self.values, 0), bisect_right(self.values, 0)
        sizes = dict(zip(self.values[positives:], self.counts[positives:], strict=True))
        for value, count in zip(self.values[:negatives], self.counts, strict=False):
            sizes[-value] = sizes.get(-value, 0) + count
        return CountedValues.of(sizes)

    def twentieths(self) -> list[Any]:
        """Return the values at the 19 inner twentieths (5 %, 10 %, …); nothing without values."""
        last = self.total - 1
        return self.at([step * last // 20 for step in TWENTIETHS]) if last >= 0 else []

    def below(self, value: Any) -> int:
        """Return the number of values less than `value`."""
        first = bisect_left(self.values, value)
        return self.ends[first - 1] if first else 0

    def upto(self, value: Any) -> int:
        """Return the number of values not greater than `value`."""
        beyond = bisect_right(self.values, value)
        return self.ends[beyond - 1] if beyond else 0

    def summed(self, numbers: Iterable[int]) -> int:
        """Return the sum of one number per value, each weighted by the count of its value."""
        return sum(numbers) if self.counts is None else sum(map(mul, numbers, self.counts))

    def mean(self) -> float:
        """Return the mean of numbers: the exact sum, rounded once, divided by the count."""
        least, most, total = self.values[0], self.values[-1], self.total
        if isinstance(least, int) and least >= -EXACT_INTEGER_MAX and most <= EXACT_INTEGER_MAX:
            return float(self.summed(self.values)) / total
        try:
            return math.fsum(self.all()) / total
        except OverflowError:
            return math.fsum(value / total for value in self.all())

    def frequent(self, least: int) -> list[tuple[Any, int]]:
        """Return the values that occur at least `least` times, with their counts, in order."""
        if self.counts is not None:
            return [pair for pair in zip(self.values, self.counts, strict=True) if pair[1] >= least]
        return list(self._runs(least))

    def _runs(self, least: int) -> Iterator[tuple[Any, int]]:
        """Yield values that occur at least `least` times, with their counts.

        Only every `least`-th index of the sorted values is looked at: a run that long covers one.
        """
        at = 0
        while at < len(self.values):
            value = self.values[at]
            beyond = bisect_right(self.values, value, at)
            count = beyond - bisect_left(self.values, value, 0, at + 1)
            if count >= least:
                yield value, count
            at = -(-beyond // least) * least
