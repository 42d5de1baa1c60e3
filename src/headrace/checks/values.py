"""Values of columns from a scan, and values in order with their counts."""

from __future__ import annotations

import enum
import math
import types
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, chain, repeat
from operator import mul
from typing import Any, NamedTuple

import msgspec

from headrace.lake.sqltext import quote

# Values come out of a scan as one JSON text per partition, with a list per column, or with the
# count of each value. DuckDB writes JSON and msgspec reads it several times faster than rows
# become Python objects, and nothing else has to be loaded. `profiles` doesn't depend on the order
# of rows, so the lists have none.

INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
NUMBERS = (*INTEGERS, "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")
TELLING = (*INTEGERS, "VARCHAR", "BOOLEAN")
"""Types whose values come out as they are, so that their nulls and bounds needn't be asked for as well."""


class ValueKind(enum.Enum):
    """What is told of a column's values."""

    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    INSTANT = "instant"
    """Microseconds since 1970 UTC."""
    WALL_CLOCK = "wall clock"
    """A time without zone: microseconds since 1970 there."""
    OTHER = "other"
    """Only how many different ones there are."""


def kind_of(column_type: str) -> ValueKind | None:
    """How values of DuckDB's type are described; None for those that aren't."""
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
    return ValueKind.OTHER if column_type.startswith(("DATE", "TIME")) else None


class ProfiledColumn(msgspec.Struct, frozen=True):
    """A column whose values are described."""

    name: str
    type: str
    kind: ValueKind
    counted: bool = False
    """Its values come with how often they are there, instead of one by one: that is less where they are few."""


def aggregate(columns: Sequence[ProfiledColumn], only: str | None = None) -> str:
    """The aggregate that `columns_of` takes apart: over the rows of which the condition `only` is true. With one nothing may be `counted`,
    since nobody would know how many rows there were."""
    plain = [_plain(quote(column.name), column.type) for column in columns]
    if only is None:
        gathered = [f"{'histogram' if column.counted else 'list'}({value})" for column, value in zip(columns, plain, strict=True)]
    else:  # of few rows among many: the condition is looked at once a row, not once a column
        rows = f"list(struct_pack({_fields(plain)})) FILTER (WHERE {only})"
        gathered = [f"list_transform({rows}, lambda row: row.c{at})" for at in range(len(plain))]
    return f"CAST(to_json(struct_pack({_fields(gathered)})) AS VARCHAR)"


def _fields(values: Sequence[str]) -> str:
    return ", ".join(f"c{at} := {value}" for at, value in enumerate(values))


def columns_of(text: str, columns: Sequence[ProfiledColumn], rows: int) -> Iterator[Values]:
    """The values of each column in turn, of so many rows."""
    result = _decoder(tuple(columns)).decode(text)
    for column, values in zip(columns, msgspec.structs.astuple(result), strict=True):
        yield Values.counted(values or {}, rows) if column.counted else Values.listed(values or [])


class Values(msgspec.Struct):
    """A column's values, in no order, without nulls and what can't be described (an infinite number): one by one, or how many there are of
    each. `known` is how many there are, `distinct` how many different ones."""

    rows: int
    known: int
    distinct: int
    values: list[Any] | dict[Any, int]

    @classmethod
    def listed(cls, values: list[Any]) -> Values:
        """Of a list with None for nulls."""
        distinct = set(values)
        if None not in distinct:
            return cls(len(values), len(values), len(distinct), values)
        known = [value for value in values if value is not None]
        return cls(len(values), len(known), len(distinct) - 1, known)

    @classmethod
    def counted(cls, counts: dict[Any, int], rows: int) -> Values:
        """Of how many there are of each; nulls are what is missing to so many rows."""
        return cls(rows, sum(counts.values()), len(counts), counts)


@lru_cache(maxsize=256)
def _decoder(columns: tuple[ProfiledColumn, ...]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(msgspec.defstruct("Columns", [(f"c{at}", _json_type(column)) for at, column in enumerate(columns)]))


def _json_type(column: ProfiledColumn) -> Any:
    """What a column is in the JSON. Values that are counted are names there, of which msgspec makes numbers again."""
    plain: Any = _PLAIN.get(column.kind) or (int if column.type in INTEGERS else float)
    if column.counted:
        return types.GenericAlias(dict, (str if plain is bool else plain, int)) | None
    return types.GenericAlias(list, (plain | None,)) | None


_PLAIN: Mapping[ValueKind, Any] = {
    ValueKind.TEXT: str,
    ValueKind.BOOLEAN: bool,
    ValueKind.INSTANT: int,
    ValueKind.WALL_CLOCK: int,
    ValueKind.OTHER: int | str,
}


def _plain(name: str, column_type: str) -> str:
    """A value as JSON can hold it exactly."""
    if column_type in ("FLOAT", "DOUBLE"):
        return f"CASE WHEN isfinite({name}) THEN CAST({name} AS DOUBLE) + 0 END"  # which makes 0 of -0
    if column_type.startswith(("HUGEINT", "DECIMAL")):
        return f"CAST({name} AS DOUBLE)"
    if column_type.startswith("TIMESTAMP"):
        return f"epoch_us({name})"
    if column_type == "DATE":
        return f"{name} - DATE '1970-01-01'"
    return name if column_type in INTEGERS or column_type in ("VARCHAR", "BOOLEAN") else f"CAST({name} AS VARCHAR)"


# Ordered values, single or each with its count, so that quantiles are found without expanding the
# counts.

EXACT_INTEGER_MAX = 2**53
"""Whole numbers up to this are exact as floats."""
TWENTIETHS = range(1, 20)


class CountedValues(NamedTuple):
    """`values` are in order; `counts` says how many there are of each, and `ends` how many up to and with each. Without counts each stands
    for itself, and the same value may come again."""

    values: Sequence[Any]
    ends: Sequence[int]
    counts: Sequence[int] | None = None

    @classmethod
    def of(cls, values: Iterable[Any] | Mapping[Any, int]) -> CountedValues:
        """Of values that can be compared with each other, in any order, or of how many there are of each."""
        ordered = sorted(values)
        if not isinstance(values, Mapping):
            return cls(ordered, range(1, len(ordered) + 1))
        counts = list(map(values.__getitem__, ordered))
        return cls(ordered, list(accumulate(counts)), counts)

    @property
    def total(self) -> int:
        """How many values there are."""
        return self.ends[-1] if self.ends else 0

    def all(self) -> Iterator[Any]:
        """Each value as often as it is there, in order."""
        return iter(self.values) if self.counts is None else chain.from_iterable(map(repeat, self.values, self.counts))

    def at(self, places: Iterable[int]) -> list[Any]:
        """The values at these places, counted from 0."""
        result = places if self.counts is None else map(bisect_right, repeat(self.ends), places)
        return list(map(self.values.__getitem__, result))

    def twentieths(self) -> list[Any]:
        """The values at each twentieth; none where there are none."""
        last = self.total - 1
        return self.at([step * last // 20 for step in TWENTIETHS]) if last >= 0 else []

    def below(self, value: Any) -> int:
        """How many are less than a value."""
        first = bisect_left(self.values, value)
        return self.ends[first - 1] if first else 0

    def upto(self, value: Any) -> int:
        """How many aren't greater than a value."""
        beyond = bisect_right(self.values, value)
        return self.ends[beyond - 1] if beyond else 0

    def summed(self, numbers: Iterable[int]) -> int:
        """The sum of a number a value, each as often as its value is there."""
        return sum(numbers) if self.counts is None else sum(map(mul, numbers, self.counts))

    def mean(self) -> float:
        """Of numbers: their exact sum, rounded once, by how many there are."""
        least, most, total = self.values[0], self.values[-1], self.total
        if isinstance(least, int) and least >= -EXACT_INTEGER_MAX and most <= EXACT_INTEGER_MAX:
            return float(self.summed(self.values)) / total
        try:
            return math.fsum(self.all()) / total
        except OverflowError:
            return math.fsum(value / total for value in self.all())

    def frequent(self, least: int) -> list[tuple[Any, int]]:
        """Values that come at least so often, and how often, in order."""
        if self.counts is not None:
            return [pair for pair in zip(self.values, self.counts, strict=True) if pair[1] >= least]
        return list(self._runs(least))

    def _runs(self, least: int) -> Iterator[tuple[Any, int]]:
        """A run of so many covers one of each `least` places."""
        at = 0
        while at < len(self.values):
            value = self.values[at]
            beyond = bisect_right(self.values, value, at)
            count = beyond - bisect_left(self.values, value, 0, at + 1)
            if count >= least:
                yield value, count
            at = -(-beyond // least) * least
