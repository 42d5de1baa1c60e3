"""The history of sound partitions before a partition, with series of their metrics.

It is decoded only as far as needed: usually the last few partitions show that nothing is anomalous.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain

import msgspec

from headrace.checks.anomalies.expectations import (
    SAME_SEASON,
    Forecasts,
    Seasonal,
    month_edge,
    place,
    season,
)
from headrace.checks.metrics import ColumnMetrics, MetricId, Metrics, StoredMetrics, decoded
from headrace.model import Grain

RECURRING = 14
"""In this number of partitions, …"""
MOSTLY = 0.75
"""… a category with at least this share of them recurs, …"""
MASS = 0.9
"""… and a column is a set of codes if recurring categories have at least this share of rows."""
KEPT = 256
"""The maximum number of decoded partitions in the cache."""
IN_FILE_MAX = 512
"""The number of earlier partitions that remain when a file with very many has added twice that."""
_OF_HOURS = ("hour_mean", "hour_q95")


class _Read(msgspec.Struct):
    """The values of a metric, as far as they were decoded."""

    values: list[float] = []
    seasons: list[int] = []
    places: list[float] = []
    """The place of each partition, as far as all partitions before have one."""
    excepted: frozenset[int] = frozenset()
    levels: int = 0
    low: float = math.inf
    high: float = -math.inf
    forecasts: dict[int, Forecasts] = {}

    def add(self, value: float, level: StoredMetrics, grain: Grain | None) -> None:
        """Append the value of the next partition that has one."""
        count = len(self.values)
        if level.excepted:
            self.excepted |= {count}
        where = place(level.partition, grain)
        if where is not None and len(self.places) == count:
            self.places.append(where)
        self.values.append(value)
        self.seasons.append(season(level.partition, grain))
        self.low = min(self.low, value)
        self.high = max(self.high, value)

    def seasonal(self) -> Seasonal:
        """Return the series; it grows with what is read later."""
        counted = self.places if len(self.places) == len(self.values) else ()
        return Seasonal(self.values, self.seasons, self.excepted, counted, self.forecasts)


class CategoryShares(msgspec.Struct):
    """The shares of a column's categories in all partitions where it has any, oldest first."""

    each: list[Mapping[str, float]] = []
    ordered: dict[str, list[float]] = {}
    """Category → its shares in the partitions that have it, smallest first."""
    read: int = 0
    """The number of partitions that were read, with those that don't have the column."""


class MetricHistory:
    """The metrics of sound partitions, oldest first; those of another version are left out."""

    def __init__(self, past: Sequence[StoredMetrics], grain: Grain | None) -> None:
        self._levels, self._grain = [item for item in past if "" not in item.doubtful], grain
        self._past = [metrics for metrics in self._levels if not metrics.excepted]
        """All earlier partitions, including those that someone accepted."""
        self._all: list[Metrics] = []
        self._all_of = 0
        """The number of partitions that the list above covers."""
        self._recurring: dict[str, bool] = {}
        self._series: dict[MetricId, _Read] = {}
        self._categories: dict[str, CategoryShares] = {}
        self._seasons = [season(metrics.partition, grain) for metrics in self._past]

    def __len__(self) -> int:
        return len(self._past)

    @property
    def grain(self) -> Grain | None:
        """Return the grain of the partitions."""
        return self._grain

    @property
    def ends(self) -> list[bool]:
        """Return for each file whether its last line has no end, where that is known.

        Includes accepted partitions.
        """
        result = map(_usual, self._levels)
        return [
            metrics.open_end
            for metrics in result
            if metrics is not None and metrics.open_end is not None
        ]

    @property
    def moved(self) -> bool:
        """Return whether someone accepted an anomaly, so that the level may have changed."""
        return len(self._levels) > len(self._past)

    @property
    def seasons(self) -> Sequence[int]:
        """Return the phase of each partition in the rhythm."""
        return self._seasons

    def season(self, partition: str) -> int:
        """Return the phase of a partition in the rhythm."""
        return season(partition, self._grain)

    def place(self, partition: str) -> float | None:
        """Return the number of a partition's interval, from the same origin as in `series`."""
        return place(partition, self._grain)

    def like(self, partition: str) -> list[int]:
        """Return the indexes of the last few partitions with the same phase."""
        phase = self.season(partition)
        return [at for at, result in enumerate(self._seasons) if result == phase][-SAME_SEASON:]

    def same_edge(self, metric: MetricId, partition: str) -> list[float]:
        """Return a metric at the same end (first or last day) of earlier months."""
        edge = month_edge(partition, self._grain)
        alike = [
            level
            for level in self._levels
            if edge and month_edge(level.partition, self._grain) == edge
        ]
        return [value for metrics in alike if (value := _value(metrics, metric)) is not None]

    def metrics(self, at: int) -> Metrics | None:
        """Return the metrics of one partition, or None if they can't be decoded."""
        return _usual(self._past[at])

    def newest(self, count: int) -> list[tuple[str, Metrics]]:
        """Return the last `count` partitions that can be decoded, with their metrics."""
        first = max(len(self) - count, 0)
        return [
            (self._past[at].partition, metrics)
            for at in range(first, len(self))
            if (metrics := self.metrics(at)) is not None
        ]

    def all(self) -> Sequence[Metrics]:
        """Return all metrics that can be decoded, oldest first; `add` may have extended them."""
        for metrics in self._past[self._all_of :]:
            if (result := _usual(metrics)) is not None:
                self._all.append(result)
        self._all_of = len(self._past)
        return self._all

    def unknown(self, column: str) -> list[float]:
        """Return the measured shares of rows with unknown keys, including accepted partitions."""
        result = (
            read.columns[column].unknown
            for level in self._levels
            if (read := _usual(level)) is not None and column in read.columns
        )
        return [item for item in result if item is not None]

    def values(self, at: int) -> Mapping[MetricId, float]:
        """Return the metrics of one partition as a vector."""
        past = self._past[at]
        values = _values(past.vector)
        if not past.doubtful:
            return values
        return {metric: values[metric] for metric in values if metric.column not in past.doubtful}

    def series(self, metric: MetricId) -> Seasonal:
        """Return a metric over all partitions that have it; an absent category has the share 0.

        Later calls decode only partitions that were added since, as for a batch.
        """
        return self._read_series(metric).seasonal()

    def least_and_most(self, metric: MetricId) -> tuple[float, float]:
        """Return the range of a metric's series; of an empty one infinities, the greater first."""
        known = self._read_series(metric)
        return known.low, known.high

    def _read_series(self, metric: MetricId) -> _Read:
        known = self._series.get(metric)
        if known is None:
            known = self._series[metric] = _Read()
        if known.levels == len(self._levels):
            return known
        for level in self._levels[known.levels :]:
            value = _value(level, metric)
            if value is not None:
                known.add(value, level, self._grain)
        known.levels = len(self._levels)
        return known

    def categories(self, column: str) -> CategoryShares:
        """Return the shares of a column's categories in each partition where it has any.

        Later calls read only partitions that were added since.
        """
        known = self._categories.get(column)
        if known is None:
            known = self._categories[column] = CategoryShares()
        if known.read == len(self._past):
            return known
        added = [
            shares_of(metrics.columns[column])
            for level in self._past[known.read :]
            if (metrics := _usual(level)) is not None and column in metrics.columns
        ]
        known.read = len(self._past)
        for shares in filter(None, added):
            known.each.append(shares)
            for value, share in shares.items():
                insort(known.ordered.setdefault(value, []), share)
        return known

    def usual(self, metric: MetricId) -> float | None:
        """Return the median of a metric, or None."""
        values = sorted(self.series(metric).values)
        return values[len(values) // 2] if values else None

    def recurring(self, column: str) -> bool:
        """Return whether a column has a recurring set of values: codes, not measurements."""
        if column not in self._recurring:
            self._recurring[column] = _recur(
                [
                    metrics.columns[column].shares
                    for _, metrics in self.newest(RECURRING)
                    if column in metrics.columns
                ]
            )
        return self._recurring[column]

    def add(self, metrics: StoredMetrics) -> None:
        """Append a partition after all others.

        The oldest ones are dropped now and then, so that a file of very many partitions doesn't
        compare each of them with all before.
        """
        self._past.append(metrics)
        self._levels.append(metrics)
        self._recurring.clear()
        self._seasons.append(season(metrics.partition, self._grain))
        if len(self._levels) >= 2 * IN_FILE_MAX:
            self._shorten()

    def _shorten(self) -> None:
        self._levels = self._levels[-IN_FILE_MAX:]
        self._past = [metrics for metrics in self._levels if not metrics.excepted]
        self._seasons = [season(metrics.partition, self._grain) for metrics in self._past]
        self._all, self._all_of = [], 0
        self._series = {}
        self._categories = {}


def shares_of(column: ColumnMetrics) -> Mapping[str, float]:
    """Return the share of each category of a column; in a list all shares are equal."""
    return column.shares or dict.fromkeys(column.names, 1 / max(len(column.names), 1))


@lru_cache(KEPT)
def readable(vector: bytes) -> Metrics | None:
    """Decode metrics, cached across tasks: histories of two days share all but one partition."""
    try:
        return decoded(vector)
    except msgspec.DecodeError:
        return None


def _usual(stored_metrics: StoredMetrics) -> Metrics | None:
    """Return a partition's metrics without columns whose values nobody accepted."""
    metrics = readable(stored_metrics.vector)
    if metrics is None or not stored_metrics.doubtful:
        return metrics
    doubtful = stored_metrics.doubtful
    columns = {name: column for name, column in metrics.columns.items() if name not in doubtful}
    return msgspec.structs.replace(metrics, columns=columns)


@lru_cache(KEPT)
def _values(vector: bytes) -> Mapping[MetricId, float]:
    metrics = readable(vector)
    return metrics.values() if metrics is not None else {}


def _recur(shares: Sequence[Mapping[str, float]]) -> bool:
    occurrences, least = Counter(chain.from_iterable(shares)), MOSTLY * len(shares)
    rare = {value for value, count in occurrences.items() if count < least}
    masses = [
        sum(partition_shares.values())
        if rare.isdisjoint(partition_shares)
        else sum(share for value, share in partition_shares.items() if value not in rare)
        for partition_shares in shares
    ]
    return bool(masses) and min(masses) >= 0.5 and sum(masses) >= MASS * len(masses)


def _value(stored_metrics: StoredMetrics, metric: MetricId) -> float | None:
    metrics = _usual(stored_metrics)
    if metrics is None:
        return None
    if metric.family == "rows":
        return math.log(metrics.rows + 1)
    column = metrics.columns.get(metric.column)
    if column is None:
        return None
    if metric.family == "share":
        return column.shares.get(metric.value, 0.0) if column.shares else None
    if metric.family in _OF_HOURS:
        return _values(stored_metrics.vector).get(metric)
    value: float | None = getattr(column, metric.family)
    return value
