"""Anomalies in series that are too short for forecasts.

With a few partitions the errors of forecasts are unknown. But if all values lie close together, a
value that differs from each of them by a factor isn't noise. Usually it is held only if its
distance beyond the nearest neighbour is at least three times that neighbour's distance from the
median (five times for lost rows, sizes and hours); otherwise it only warns.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from headrace.checks.anomalies import expectations
from headrace.checks.anomalies.expectations import Seasonal, month_edge
from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.anomalies.metric_anomalies import MetricAnomaly, rises
from headrace.checks.facts import FactSeverity
from headrace.checks.metrics import MetricId
from headrace.model import Grain

WARN_MIN = 3
"""The minimum number of sound partitions for a warning, and for holding values in another unit."""
HOLD_MIN = 7
"""The minimum number of sound partitions for other holds: a week has each weekday once."""
ROWS_MIN = 20
"""The minimum number of rows; with fewer rows a metric varies by chance, …"""
FEWER = 3.5
"""The multiple of chance by which a small table must have fewer rows than ever."""
ORDERS = math.log(8)
"""… except for sizes that move by this (ln): a table of sums has one row per day.

The sign of a small table only warns.
"""
_OF_FEW = ("location", "negative")


class _Reach(NamedTuple):
    """Minimum distances beyond the nearest neighbour that hold and warn.

    `tight` is the maximum distance of that neighbour from the median if all lie close together.
    """

    hold: float
    warn: float
    tight: float


_REACH = {
    "rows": _Reach(math.log(1.6), math.log(1.4), math.log(1.5)),
    "location": _Reach(math.log(2), math.log(1.5), math.log(1.6)),
    "negative": _Reach(0.3, 0.2, 0.15),
    "nulls": _Reach(0.1, 0.1, 0.1),
    "zero": _Reach(0.15, 0.15, 0.1),
    "share": _Reach(0.07, 0.07, 0.1),
    "hour_mean": _Reach(2.0, 1.0, 1.0),
}
TIMES_HELD, TIMES_LOST, TIMES_WARNED = 3.0, 5.0, 2.0
"""The multiple of the nearest neighbour's distance from the median that a value must exceed.

For holding upwards, for holding lost rows, sizes and hours, and for a warning.
Rows that are halved each weekend are as close together upwards as any.
"""
CHANCE = 5.0
"""The multiple of a share's chance error that holds, …"""
CHANCE_WARNED = 3.0
"""… and, for a category, that warns."""
LOST = math.log(2)
"""The minimum loss of rows (ln): a holiday takes nearly half and may be the first in the series."""
STEADY = math.log(1.15)
"""The maximum range (ln) of the rows of a steady table, over two weeks including weekends.

Such a table has no holidays.
"""
STEADY_LOST = math.log(1.8)
"""The minimum loss of rows (ln) that holds a steady table: half, less a few percent."""
UNITS = (100.0, 1000.0, 1e6, 60.0, 3600.0)
"""Factors between units that count from `WARN_MIN` partitions on, in both directions."""
UNIT_NEAR = 0.05
SATURDAY = 5
ALIKE_MIN = 4
"""The minimum number of working days or weekend days for comparing rows only with these."""
KIND_HOLD_MIN = 7
"""The minimum number of days of a kind for holding more rows than any of them had.

The excess must be at least `MORE_ROWS`, and `TIMES_MORE` times the distance of their maximum from
their median.
"""
MORE_ROWS = math.log(1.3)
TIMES_MORE = 2.0
SAME_ROWS_MIN = 3
"""The minimum number of rows of a constant table, which is held if rows are doubled or halved."""
FEWER_WARNED = 0.1
"""The minimum missing share of such a table for a warning."""
TIMES_FEWER = 2.0
"""The multiple of the range by which a table below `ROWS_MIN` rows must fall below its minimum."""


def young_anomalies(
    partition: str, values: Mapping[MetricId, float], rows: int, history: MetricHistory
) -> list[MetricAnomaly]:
    """Return metrics beyond all neighbours, while there are too few of these for forecasts."""
    if not WARN_MIN <= len(history) < expectations.HISTORY_HOLD_MIN:
        return []
    if rows < ROWS_MIN:
        families = (*_OF_FEW, "rows") if _are_missing(partition, rows, history) else _OF_FEW
        values = {metric: value for metric, value in values.items() if metric.family in families}
    results = (
        _evaluated(metric, value, partition, (values, rows), history)
        for metric, value in values.items()
        if metric.family in _REACH
    )
    return [anomaly for anomaly in results if anomaly is not None]


def _are_missing(partition: str, rows: int, history: MetricHistory) -> bool:
    """Return whether there are fewer rows than on any day of that kind, beyond chance."""
    past = _of_its_kind(partition, history.series(MetricId("rows")), history)
    least = math.exp(min(past)) - 1 if past else 0.0
    return least - rows >= min(ROWS_MIN, FEWER * math.sqrt(least)) > 0


def _of_its_kind(partition: str, past: Seasonal, history: MetricHistory) -> Sequence[float]:
    """Return the values of the partition's kind of day, working day or weekend.

    All values if few of that kind are known.
    """
    if history.grain is not Grain.DAY:
        return past.values
    weekend = history.season(partition) >= SATURDAY
    each = zip(past.values, past.seasons, strict=True)
    alike = [value for value, season in each if (season >= SATURDAY) == weekend]
    return alike if len(alike) >= ALIKE_MIN else past.values


def multiplied(rows: int, history: MetricHistory) -> MetricAnomaly | None:
    """Return an anomaly for a multiple of the number of rows that all partitions had so far."""
    metric = MetricId("rows")
    past = history.series(metric).values
    least, most = history.least_and_most(metric)
    if len(history) < HOLD_MIN or not past or least != most:
        return None
    usual = round(math.exp(past[0])) - 1
    if usual < SAME_ROWS_MIN or rows <= usual or rows % usual:
        return None
    now = math.log(rows + 1)
    return MetricAnomaly(metric, FactSeverity.HOLD, past[0], now, 12.0, 0.0)


def fewer(rows: int, history: MetricHistory) -> MetricAnomaly | None:
    """Return an anomaly for fewer rows than all partitions had, if these had the same number.

    For a small table about the same number is enough.
    """
    metric = MetricId("rows")
    lowest, highest = history.least_and_most(metric)
    if len(history) < HOLD_MIN or lowest > highest:
        return None
    least, most = round(math.exp(lowest)) - 1, round(math.exp(highest)) - 1
    apart, lost = most - least, least - rows
    if (apart and least >= ROWS_MIN) or lost <= TIMES_FEWER * apart or lost < FEWER_WARNED * least:
        return None
    sure = least >= SAME_ROWS_MIN or not rows
    severity = FactSeverity.HOLD if sure and rows * 2 <= least else FactSeverity.WARN
    return MetricAnomaly(metric, severity, lowest, math.log(rows + 1), 12.0, 0.0)


def settled(partition: str, history: MetricHistory) -> bool:
    """Return whether there were enough similar days for missing groups or hours to hold it."""
    return (
        len(history) >= HOLD_MIN
        and bool(history.like(partition))
        and not month_edge(partition, history.grain)
    )


class _Deviation(NamedTuple):
    """How far a value lies from its median and beyond its nearest neighbour.

    `apart` is the distance of that neighbour from the median.
    """

    middle: float
    off: float
    apart: float
    beyond: float
    chance: float
    """The chance error of a share; 0 for other metrics."""
    few: bool
    """Whether the partition has few rows."""
    of_kind: bool
    """Whether these are more rows than on enough days of the same kind."""

    @property
    def up(self) -> bool:
        """Return whether the value lies above the median."""
        return self.off > 0


def _evaluated(
    metric: MetricId,
    value: float,
    partition: str,
    today: tuple[Mapping[MetricId, float], int],
    history: MetricHistory,
) -> MetricAnomaly | None:
    """Return the anomaly of a metric; None if it is as usual or its series proves nothing.

    `today` has all metrics of the partition and its number of rows.
    """
    least, most = history.least_and_most(metric)
    # For rows as well: a holiday may be as quiet as a weekend.
    if least <= value <= most or not math.isfinite(value):
        return None
    values, rows = today
    past, reach = history.series(metric), _REACH[metric.family]
    if len(past.values) < max(WARN_MIN, len(history)):
        return None
    deviation = _deviation(metric, value, partition, rows, history)
    least = max(_warned_beyond(metric, deviation), TIMES_WARNED * deviation.apart)
    if deviation.apart > reach.tight or deviation.beyond < least:
        return None
    if metric.family == "share" and deviation.beyond < CHANCE_WARNED * deviation.chance:
        return None
    if _is_inconclusive(metric, partition, values, history):
        return None
    held = _is_held(metric, deviation, partition, history)
    severity = FactSeverity.HOLD if held else FactSeverity.WARN
    prior = expectations.limits(metric.family).prior
    z = min(deviation.beyond / max(deviation.apart, prior), 12.0)
    return MetricAnomaly(metric, severity, deviation.middle, value, z, deviation.apart)


def _is_held(
    metric: MetricId, deviation: _Deviation, partition: str, history: MetricHistory
) -> bool:
    """Return whether an anomaly holds the partition: another unit, or a large distance."""
    if metric.family == "location" and _is_unit(deviation.off, deviation.apart):
        return True
    past = history.series(metric)
    if len(past.values) < HOLD_MIN or (deviation.few and metric.family == "negative"):
        return False
    # A new weekday or end of a month may be another kind of day.
    return deviation.beyond >= _held_beyond(metric, deviation, past, history) and settled(
        partition, history
    )


def _deviation(
    metric: MetricId, value: float, partition: str, rows: int, history: MetricHistory
) -> _Deviation:
    """Return the deviation of a metric of a partition with this number of rows."""
    past = history.series(metric)
    is_rows = metric.family == "rows"
    alike = _of_its_kind(partition, past, history) if is_rows else past.values
    middle = statistics.median(alike)
    up = value > middle
    nearest = max(alike) if up else min(alike)
    is_share = metric.family in expectations.SHARES
    return _Deviation(
        middle=middle,
        off=value - middle,
        apart=abs(nearest - middle),
        beyond=value - nearest if up else nearest - value,
        chance=expectations.noise(metric.family, middle, rows, rows) if is_share else 0.0,
        few=rows < ROWS_MIN,
        of_kind=is_rows and up and alike is not past.values and len(alike) >= KIND_HOLD_MIN,
    )


def _warned_beyond(metric: MetricId, deviation: _Deviation) -> float:
    """Return the minimum distance beyond the nearest neighbour for a warning."""
    if deviation.few and metric.family == "location":
        return ORDERS
    return MORE_ROWS if deviation.of_kind else _REACH[metric.family].warn


def _held_beyond(
    metric: MetricId, deviation: _Deviation, past: Seasonal, history: MetricHistory
) -> float:
    """Return the minimum distance beyond the nearest neighbour that holds the partition."""
    reach, times = _REACH[metric.family].hold, TIMES_HELD
    if deviation.of_kind:
        reach, times = MORE_ROWS, TIMES_MORE
    elif metric.family == "rows" and not deviation.up:
        reach, times = STEADY_LOST if _is_steady(past, history) else LOST, TIMES_LOST
    elif metric.family in ("location", "hour_mean"):
        times = TIMES_LOST
    return max(reach, times * deviation.apart, CHANCE * deviation.chance)


def _is_inconclusive(
    metric: MetricId, partition: str, values: Mapping[MetricId, float], history: MetricHistory
) -> bool:
    """Return whether a metric may move without a fault.

    These are rows on the first day of a kind, sizes of rising ids, and categories that come and go.
    """
    match metric.family:
        case "rows":
            return not _kind_seen(partition, history)
        case "location":
            return rises(metric.column, partition, values, history)
        case "share":
            return not history.recurring(metric.column)
        case _:
            return False


def _is_steady(past: Seasonal, history: MetricHistory) -> bool:
    """Return whether the number of rows hardly varied, on weekends as on working days."""
    weekends = {season >= SATURDAY for season in past.seasons}
    together = max(past.values) - min(past.values) <= STEADY
    return (
        together
        and len(past.values) >= expectations.HISTORY_WARN_MIN
        and (history.grain is not Grain.DAY or len(weekends) > 1)
    )


def _kind_seen(partition: str, history: MetricHistory) -> bool:
    """Return whether there was a day of this kind: the first weekend may have half the rows."""
    phase = history.season(partition)
    if history.grain is not Grain.DAY:
        return bool(history.like(partition))
    return any((season >= SATURDAY) == (phase >= SATURDAY) for season in history.seasons)


def _is_unit(off: float, apart: float) -> bool:
    """Return whether sizes differ by a factor between two units."""
    return any(abs(abs(off) - math.log(unit)) <= UNIT_NEAR + apart for unit in UNITS)
