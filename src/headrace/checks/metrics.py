"""Metrics of a partition: a few numbers per column, with which later partitions are compared.

They are made from the profile and stored as `encoded` returns them: msgpack, about 60 bytes a column, plus the names of categories and
short lists. They hold no value of a classified column.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

import msgspec

from headrace.checks.results import ColumnProfile

REPEATED_ROWS_MAX = 100_000
"""Rows of at most so many are compared with one another: what an audit asks of a delivery, and a challenge of it."""
HISTORY_PARTITIONS = 56
"""So many sound partitions before an interval are what it is compared with: eight weeks of days."""
CATEGORIES_MAX = 50
"""A column with more distinct values than that has no categories whose shares are told."""
SPREAD_DISTINCT_MIN = 30
"""From so many distinct values on a column has a spread."""


class StoredMetrics(NamedTuple):
    """A partition that was there before: its key, and its metrics as they are kept."""

    partition: str
    vector: bytes
    excepted: bool = False
    """Somebody accepted it: its level is one to go by, but it says nothing of what is sound."""


class MetricId(NamedTuple):
    """What a number is about. `family` is one of rows, nulls, empty, negative, zero, location, spread, distinct, length, hour_mean,
    hour_q95, share; `value` is the category of a share."""

    family: str
    column: str = ""
    value: str = ""


class ColumnMetrics(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One column's numbers; None where its type or its values have no such number."""

    nulls: float
    """Share of the rows, as are `empty`, `negative` and `zero` (the latter three of the rows without null)."""
    empty: float | None = None
    negative: float | None = None
    zero: float | None = None
    location: float | None = None
    """Mean of ln|x| between the 5th and the 95th of a hundred."""
    spread: float | None = None
    """ln of the distance between the quartiles of ln|x|."""
    distinct: float | None = None
    """ln of how many distinct values there are."""
    length: float | None = None
    """ln of a text's mean length, plus one."""
    hours: tuple[int, ...] = ()
    """Of a column of instants: how many lie in each hour of the day, local time."""
    shares: dict[str, float] = {}
    """Of a column with few distinct values: each one's share of the rows without null. One that isn't there has none."""
    kept: float | None = None
    """Of a column of text: the share of the values of the interval right before this one that came again."""
    only: str | None = None
    """Of a column of dates or times: the value of all rows, where there is one."""
    names: tuple[str, ...] = ()
    """Of a short list of texts, each there once: all of them, in order."""
    unknown: float | None = None
    """Of a column that something is joined by: the share of the rows without null whose value no row of the last intervals had."""
    between: tuple[int, int] | None = None
    """Of a column of instants: eight of ten lie between these; minutes since 1970, local time."""


class Metrics(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One partition's numbers."""

    rows: int
    columns: dict[str, ColumnMetrics]
    repeated: int | None = None
    """Rows that are identical to an earlier one; None where they weren't compared."""
    open_end: bool | None = None
    """Of a delivery that is lines of text: whether the last one has no line end; None for others."""
    copies: int | None = None
    """How many times each row is there, apart from the columns `apart`; None where rows weren't
    compared."""
    apart: tuple[str, ...] = ()
    """The columns in which the copies of a row differ; empty where each row is there once."""

    def values(self) -> dict[MetricId, float]:
        """All of it as one vector: rows as ln(n + 1), shares as they are."""
        results = {MetricId("rows"): math.log(self.rows + 1)}
        for name, column in self.columns.items():
            results.update(_values(name, column))
        return results


def measured(profile: Mapping[str, ColumnProfile], rows: int) -> Metrics:
    """The numbers of a partition with that profile."""
    return Metrics(rows, {name: _column(column) for name, column in profile.items()})


def of(profile: Mapping[str, ColumnProfile], rows: int) -> bytes:
    """The numbers of a partition with that profile, as they are kept."""
    return encoded(measured(profile, rows))


def encoded(metrics: Metrics) -> bytes:
    """As it is kept and sent."""
    return _ENCODER.encode(metrics)


def decoded(vector: bytes) -> Metrics:
    """What `encoded` gave. Raises `msgspec.DecodeError` for anything else."""
    metrics = _DECODER.decode(vector)
    for name, column in metrics.columns.items():
        if column.negative is not None and not all(map(_is_plain, column.shares)):  # as it was kept once
            metrics.columns[name] = msgspec.structs.replace(column, shares=_of_numbers(column.shares))
    return metrics


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Metrics)


def _column(column: ColumnProfile) -> ColumnMetrics:
    known = column.rows - column.nulls
    return ColumnMetrics(
        nulls=column.nulls / column.rows if column.rows else 0.0,
        empty=_share(column.empty, known),
        negative=_share(column.negative, known),
        zero=_share(column.zero, known),
        location=column.location,
        spread=column.spread if (column.distinct or 0) >= SPREAD_DISTINCT_MIN else None,
        distinct=math.log(column.distinct) if column.distinct else None,
        length=math.log(column.lengths[1] + 1) if column.lengths else None,
        hours=column.hours,
        shares=_shares(column),
        only=_only(column),
        names=column.listed,
        between=column.between,
    )


def _share(count: int | None, of: int) -> float | None:
    return None if count is None or not of else count / of


def _shares(column: ColumnProfile) -> dict[str, float]:
    described = sum(count for _, count in column.top)
    if not column.categorical or not described:
        return {}
    shares = {value: count / described for value, count in column.top}
    return shares if column.negative is None else _of_numbers(shares)


def _of_numbers(shares: Mapping[str, float]) -> dict[str, float]:
    """The shares of numbers, each written as briefly as it can be: a column that becomes one of decimals has no other values by that."""
    return {value if _is_plain(value) else _brief(value): share for value, share in shares.items()}


def _is_plain(value: str) -> bool:
    return "." not in value and "e" not in value.lower()


def _brief(value: str) -> str:
    """`1.50` as `1.5`, `1.0` as `1`."""
    try:
        return f"{Decimal(value).normalize():f}"
    except InvalidOperation:
        return value


def _only(column: ColumnProfile) -> str | None:
    alike = column.distinct == 1 and not column.nulls and column.minimum == column.maximum
    return column.minimum if alike and not column.top else None


def _values(name: str, column: ColumnMetrics) -> Iterator[tuple[MetricId, float]]:
    for family in ("nulls", "empty", "negative", "zero", "location", "spread", "distinct", "length"):
        value: float | None = getattr(column, family)
        if value is not None:
            yield MetricId(family, name), value
    if total := sum(column.hours):
        yield MetricId("hour_mean", name), sum(hour * count for hour, count in enumerate(column.hours)) / total
        yield MetricId("hour_q95", name), float(_hour_at(column.hours, 0.95 * total))
    for value_name, share in column.shares.items():
        yield MetricId("share", name, value_name), share


def _hour_at(hours: tuple[int, ...], below: float) -> int:
    """The hour until whose end so many lie."""
    seen = 0
    for hour, count in enumerate(hours):
        seen += count
        if seen >= below:
            return hour
    return len(hours) - 1
