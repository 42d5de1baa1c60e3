"""The history of sound partitions before one, with series of their metrics.

It is read only as far as it is used: usually the last few partitions already say that nothing is anomalous.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

from headrace.checks.anomalies.expectations import SAME_SEASON, Seasonal, month_edge, place, season
from headrace.checks.metrics import MetricId, Metrics, StoredMetrics, decoded
from headrace.model import Grain

RECURRING = 14
"""In so many partitions …"""
MOSTLY = 0.75
"""… a category that comes in this part of them recurs, …"""
MASS = 0.9
"""… and a column is made of those where they are so much of it."""
KEPT = 256
"""So many partitions that were read are remembered."""
_OF_HOURS = ("hour_mean", "hour_q95")


class _Read(msgspec.Struct):
    """A metric's numbers, as far as they were read."""

    values: list[float] = []
    seasons: list[int] = []
    places: list[float | None] = []
    excepted: frozenset[int] = frozenset()
    levels: int = 0


class MetricHistory:
    """What sound partitions measured, oldest first. What can't be read (another version wrote it) isn't there."""

    def __init__(self, past: Sequence[StoredMetrics], grain: Grain | None) -> None:
        self._past, self._grain = [metrics for metrics in past if not metrics.excepted], grain
        self._levels = list(past)
        """With those that somebody accepted."""
        self._all: list[Metrics] = []
        self._all_of = 0
        """Of so many the list above was made."""
        self._recurring: dict[str, bool] = {}
        self._series: dict[MetricId, _Read] = {}
        self._seasons = [season(metrics.partition, grain) for metrics in self._past]

    def __len__(self) -> int:
        return len(self._past)

    @property
    def grain(self) -> Grain | None:
        """What the partitions are cut by."""
        return self._grain

    @property
    def ends(self) -> list[bool]:
        """Whether the last line of each file had no end, accepted ones included, where that is known."""
        result = (_read(level.vector) for level in self._levels)
        return [metrics.open_end for metrics in result if metrics is not None and metrics.open_end is not None]

    @property
    def moved(self) -> bool:
        """Whether somebody accepted what was odd: what was before may be another level."""
        return len(self._levels) > len(self._past)

    @property
    def seasons(self) -> Sequence[int]:
        """Where each stands in their rhythm."""
        return self._seasons

    def season(self, partition: str) -> int:
        """Where a partition stands in the rhythm of these."""
        return season(partition, self._grain)

    def place(self, partition: str) -> float | None:
        """Of which interval a partition is, counted as those of `series` are."""
        return place(partition, self._grain)

    def like(self, partition: str) -> list[int]:
        """The last few that stand where this one does."""
        own = self.season(partition)
        return [at for at, result in enumerate(self._seasons) if result == own][-SAME_SEASON:]

    def same_edge(self, metric: MetricId, partition: str) -> list[float]:
        """A number at the same ends of the months before: on their first days for a first, on their last for a last."""
        own = month_edge(partition, self._grain)
        alike = [level for level in self._levels if own and month_edge(level.partition, self._grain) == own]
        return [value for metrics in alike if (value := _value(metrics, metric)) is not None]

    def metrics(self, at: int) -> Metrics | None:
        """What one of them measured."""
        return _read(self._past[at].vector)

    def newest(self, count: int) -> list[tuple[str, Metrics]]:
        """The last few that can be read, with their partitions."""
        first = max(len(self) - count, 0)
        return [(self._past[at].partition, metrics) for at in range(first, len(self)) if (metrics := self.metrics(at)) is not None]

    def all(self) -> Sequence[Metrics]:
        """All of them that can be read, oldest first. Of a batch each partition is one more."""
        for metrics in self._past[self._all_of :]:
            if (result := _read(metrics.vector)) is not None:
                self._all.append(result)
        self._all_of = len(self._past)
        return self._all

    def unknown(self, column: str) -> list[float]:
        """Which shares of the rows named unknown keys, accepted ones included, where that was measured."""
        result = (
            read.columns[column].unknown for level in self._levels if (read := _read(level.vector)) is not None and column in read.columns
        )
        return [item for item in result if item is not None]

    def values(self, at: int) -> Mapping[MetricId, float]:
        """One of them as numbers."""
        return _values(self._past[at].vector)

    def series(self, metric: MetricId) -> Seasonal:
        """One metric over all partitions that have it; a category that wasn't there had no share. Read on from where it was read last:
        of a batch each partition is one more."""
        known = self._series.setdefault(metric, _Read())
        for level in self._levels[known.levels :]:
            value = _value(level, metric)
            if value is not None:
                known.excepted |= {len(known.values)} if level.excepted else set()
                known.values.append(value)
                known.seasons.append(season(level.partition, self._grain))
                known.places.append(place(level.partition, self._grain))
        known.levels = len(self._levels)
        places = [item for item in known.places if item is not None]
        counted = places if len(places) == len(known.places) else ()
        return Seasonal(known.values, known.seasons, known.excepted, counted)

    def usual(self, metric: MetricId) -> float | None:
        """What a number is in the middle."""
        values = sorted(self.series(metric).values)
        return values[len(values) // 2] if values else None

    def recurring(self, column: str) -> bool:
        """Whether a column's values are a set of their own that comes again: codes, and not measurements of which there are few."""
        if column not in self._recurring:
            self._recurring[column] = _recur(
                [metrics.columns[column].shares for _, metrics in self.newest(RECURRING) if column in metrics.columns]
            )
        return self._recurring[column]

    def add(self, metrics: StoredMetrics) -> None:
        """One more, after all others."""
        self._past.append(metrics)
        self._levels.append(metrics)
        self._seasons.append(season(metrics.partition, self._grain))


@lru_cache(KEPT)
def _read(vector: bytes) -> Metrics | None:
    """Kept from task to task: of the history of a day all but one partition are the history of the next."""
    try:
        return decoded(vector)
    except msgspec.DecodeError:
        return None


@lru_cache(KEPT)
def _values(vector: bytes) -> Mapping[MetricId, float]:
    metrics = _read(vector)
    return metrics.values() if metrics is not None else {}


def _recur(shares: Sequence[Mapping[str, float]]) -> bool:
    came = Counter(value for share in shares for value in share)
    recurring = {value for value, count in came.items() if count >= MOSTLY * len(shares)}
    masses = [sum(share for value, share in own.items() if value in recurring) for own in shares]
    return bool(masses) and min(masses) >= 0.5 and sum(masses) >= MASS * len(masses)


def _value(stored_metrics: StoredMetrics, metric: MetricId) -> float | None:
    metrics = _read(stored_metrics.vector)
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
