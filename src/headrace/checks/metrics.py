"""Metrics of a partition: a few numbers per column, for comparison with later partitions.

They are computed from the profile and stored as `encoded` returns them: msgpack, about 60 bytes per
column, plus the names of categories and short lists. They hold no value of a classified column.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from operator import mul
from typing import NamedTuple

import msgspec

from headrace.checks.results import ColumnProfile

REPEATED_ROWS_MAX = 100_000
"""The maximum number of rows that an audit or a challenge compares with one another."""
HISTORY_PARTITIONS = 56
"""The number of sound partitions that an interval is compared with: eight weeks of days."""
COLUMNS_KEPT, SHARES_KEPT = 512, 256
"""The numbers of columns, and of categories of each, whose metrics' identities are cached."""
CATEGORIES_MAX = 50
"""The maximum number of distinct values of a column whose shares are stored per category."""
SPREAD_DISTINCT_MIN = 30
"""The number of distinct values from which on a column has a spread."""


class StoredMetrics(NamedTuple):
    """An earlier partition: its key and its encoded metrics."""

    partition: str
    vector: bytes
    excepted: bool = False
    """Whether someone accepted its anomalies: its level counts, but it doesn't show sound data."""
    doubtful: tuple[str, ...] = ()
    """Columns with anomalies that a policy let through and nobody accepted; empty name: its rows.

    They don't become the normal.
    """


class MetricId(NamedTuple):
    """The identity of a metric.

    `family` is one of rows, nulls, empty, negative, zero, location, spread, distinct, length,
    hour_mean, hour_q95, share; `value` is the category of a share.
    """

    family: str
    column: str = ""
    value: str = ""


class ColumnMetrics(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The metrics of one column; None where its type or its values have no such metric."""

    nulls: float
    """A share of the rows; `empty`, `negative` and `zero` are shares of the rows without null."""
    empty: float | None = None
    negative: float | None = None
    zero: float | None = None
    location: float | None = None
    """The mean of ln|x| between the 5th and the 95th percentile."""
    spread: float | None = None
    """ln of the interquartile range of ln|x|."""
    distinct: float | None = None
    """ln of the number of distinct values."""
    length: float | None = None
    """ln of (1 + the mean length of texts, in characters)."""
    hours: tuple[int, ...] = ()
    """The number of times in each hour of the day, in local time."""
    shares: dict[str, float] = {}
    """The share of each category in the rows without null; absent categories have no entry."""
    kept: float | None = None
    """The share of the previous interval's values that recur in this one, for texts."""
    only: str | None = None
    """The value that all rows of a date or time column have in common, if there is one."""
    names: tuple[str, ...] = ()
    """All texts of a short list in which each occurs once, in order."""
    unknown: float | None = None
    """The share of non-null rows with keys that recent intervals lack, for join columns."""
    between: tuple[int, int] | None = None
    """The 10th and 90th percentile of times, in minutes since 1970, local time."""


class Metrics(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The metrics of one partition."""

    rows: int
    columns: dict[str, ColumnMetrics]
    repeated: int | None = None
    """The number of rows that are identical to an earlier row; None if they weren't compared."""
    open_end: bool | None = None
    """Whether the last line of a text file has no line end; None for other deliveries."""
    copies: int | None = None
    """How often each row occurs, ignoring the columns `apart`; None if rows weren't compared."""
    apart: tuple[str, ...] = ()
    """The columns in which the copies of a row differ; empty if each row occurs once."""

    def values(self) -> dict[MetricId, float]:
        """Return all metrics as one vector: the number of rows as ln(n + 1), shares unchanged."""
        results = {MetricId("rows"): math.log(self.rows + 1)}
        for name, column in self.columns.items():
            results.update(_values(name, column))
        return results

    def count(self) -> int:
        """Return the number of metrics that `values` returns."""
        return 1 + sum(map(_count, self.columns.values()))


def measured(profile: Mapping[str, ColumnProfile], rows: int) -> Metrics:
    """Return the metrics of a partition with that profile."""
    return Metrics(rows, {name: _column(column) for name, column in profile.items()})


def of(profile: Mapping[str, ColumnProfile], rows: int) -> bytes:
    """Return the metrics of a partition with that profile, encoded."""
    return encoded(measured(profile, rows))


def again(vector: bytes, profile: Mapping[str, ColumnProfile]) -> bytes:
    """Return encoded metrics with those of another profile of the same rows.

    Metrics that don't come from profiles stay as they are in `vector`.
    """
    earlier = decoded(vector)
    columns = measured(profile, earlier.rows).columns
    for name, column in earlier.columns.items():
        if column.kept is not None or column.unknown is not None:
            columns[name] = msgspec.structs.replace(
                columns[name], kept=column.kept, unknown=column.unknown
            )
    return encoded(msgspec.structs.replace(earlier, columns=columns))


def encoded(metrics: Metrics) -> bytes:
    """Encode the metrics for storage and messages."""
    return _ENCODER.encode(metrics)


def decoded(vector: bytes) -> Metrics:
    """Decode what `encoded` returned. Raises `msgspec.DecodeError` for anything else."""
    metrics = _DECODER.decode(vector)
    for name, column in metrics.columns.items():
        if column.negative is not None and not all(
            map(_is_plain, column.shares)
        ):  # stored by an earlier version
            metrics.columns[name] = msgspec.structs.replace(
                column, shares=_of_numbers(column.shares)
            )
    return metrics


def without_values(vector: bytes, classified: Collection[str] | None) -> bytes:
    """Return encoded metrics as if these columns had been classified from the start.

    Names are in lower case; None: all columns.
    """
    metrics = decoded(vector)
    columns = {
        name: column
        if classified is not None and name.lower() not in classified
        else _without_values(column)
        for name, column in metrics.columns.items()
    }
    return encoded(msgspec.structs.replace(metrics, columns=columns))


def _without_values(column: ColumnMetrics) -> ColumnMetrics:
    """Return what remains of a column whose profile has no values (`profiles`)."""
    result = ColumnMetrics(column.nulls, column.empty, column.negative, column.zero)
    if (column.distinct or 0.0) < math.log(SPREAD_DISTINCT_MIN):
        return msgspec.structs.replace(result, distinct=column.distinct)
    return msgspec.structs.replace(
        result, distinct=column.distinct, location=column.location, spread=column.spread
    )


def without_rare_values(vector: bytes, rows: int) -> bytes:
    """Return encoded metrics without the values that occur in only a few rows.

    After an erasure these may be values of the erased rows.
    """
    metrics = decoded(vector)
    columns = {}
    for name, column in metrics.columns.items():
        known = metrics.rows * (1 - column.nulls)
        shares = {
            value: share for value, share in column.shares.items() if round(share * known) > rows
        }
        only = column.only if metrics.rows > rows else None
        columns[name] = msgspec.structs.replace(column, shares=shares, names=(), only=only)
    return encoded(msgspec.structs.replace(metrics, columns=columns))


class _RowsAlone(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The number of rows of encoded metrics."""

    rows: int


def rows_alone(vector: bytes) -> dict[MetricId, float]:
    """Return the number of rows as `Metrics.values` does, without decoding columns.

    Raises `msgspec.DecodeError` for what `encoded` didn't return.
    """
    return {MetricId("rows"): math.log(_ROWS_DECODER.decode(vector).rows + 1)}


_HOURS = range(24)
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Metrics)
_ROWS_DECODER = msgspec.msgpack.Decoder(_RowsAlone)


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
    """Return the shares of numbers, each in its shortest notation.

    A column that becomes one of decimals then keeps the same values.
    """
    return {value if _is_plain(value) else _brief(value): share for value, share in shares.items()}


def _is_plain(value: str) -> bool:
    return "." not in value and "e" not in value.lower()


def _brief(value: str) -> str:
    """Return `1.50` as `1.5` and `1.0` as `1`."""
    try:
        return f"{Decimal(value).normalize():f}"
    except InvalidOperation:
        return value


def _only(column: ColumnProfile) -> str | None:
    alike = column.distinct == 1 and not column.nulls and column.minimum == column.maximum
    return column.minimum if alike and not column.top else None


_FAMILIES = (
    "nulls",
    "empty",
    "negative",
    "zero",
    "location",
    "spread",
    "distinct",
    "length",
)


class _Ids:
    """The identities of one column's metrics, made once: a history has each of them many times."""

    def __init__(self, column: str) -> None:
        self._column = column
        self.families = [(family, MetricId(family, column)) for family in _FAMILIES]
        self.hour_mean = MetricId("hour_mean", column)
        self.hour_q95 = MetricId("hour_q95", column)
        self._shares: dict[str, MetricId] = {}

    def share(self, value: str) -> MetricId:
        """Return the identity of a category's share."""
        known = self._shares.get(value)
        if known is None:
            if len(self._shares) >= SHARES_KEPT:
                self._shares.clear()
            known = self._shares[value] = MetricId("share", self._column, value)
        return known


_ids = lru_cache(COLUMNS_KEPT)(_Ids)


def _values(name: str, column: ColumnMetrics) -> Iterator[tuple[MetricId, float]]:
    ids = _ids(name)
    for family, metric in ids.families:
        value: float | None = getattr(column, family)
        if value is not None:
            yield metric, value
    if column.hours and (total := sum(column.hours)):
        yield ids.hour_mean, sum(map(mul, column.hours, _HOURS)) / total
        yield ids.hour_q95, float(_hour_at(column.hours, 0.95 * total))
    for category, share in column.shares.items():
        yield ids.share(category), share


def _count(column: ColumnMetrics) -> int:
    """Return the number of values that `_values` yields."""
    known = sum(getattr(column, family) is not None for family in _FAMILIES)
    return known + (2 if any(column.hours) else 0) + len(column.shares)


def _hour_at(hours: tuple[int, ...], below: float) -> int:
    """Return the first hour at whose end at least `below` values lie."""
    seen = 0
    for hour, count in enumerate(hours):
        seen += count
        if seen >= below:
            return hour
    return len(hours) - 1
