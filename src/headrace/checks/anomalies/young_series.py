"""Anomalies in series that are too short for forecasts.

With a few partitions nobody knows how far forecasts are off. But where all of them lie close together, a number that differs from each of
them by a factor isn't noise. It is held only if it lies beyond every neighbour by more than three times the distance between the
neighbours; anything less is a warning.
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
"""From so many sound partitions on something is said, and values in another unit are held."""
HOLD_MIN = 7
"""From so many on all else is held too: a week shows each weekday once."""
ROWS_MIN = 20
"""A number that moves by fewer rows than that moves by chance, …"""
FEWER = 3.5
"""Of a table with fewer rows than that: so many times what chance makes of the least number so far."""
ORDERS = math.log(8)
"""… but for sizes that move so far: a table of sums has a row a day. Of other signs there it only warns."""
_OF_FEW = ("location", "negative")


class _Reach(NamedTuple):
    """How far beyond its nearest neighbour a number is held or warned of, at least; and how far that
    neighbour may lie from the middle where all lie close together."""

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
"""So many times as far beyond the nearest neighbour as that lies from the middle, upwards, downwards,
and for a warning: rows that are halved each weekend are as tight upwards as any."""
CHANCE = 5.0
"""So many times as far as chance alone moves the share of so many rows is held, …"""
CHANCE_WARNED = 3.0
"""… and of a category so many times as far is worth a word."""
LOST = math.log(2)
"""Rows that are gone: a holiday takes nearly half, and in a young series none was seen yet."""
STEADY = math.log(1.15)
"""Rows of a table whose greatest number and least are no further apart, two weeks long and on
weekends too, follow nobody's holidays."""
STEADY_LOST = math.log(1.8)
"""Of such a table half is held, though days differ by a few per cent."""
UNITS = (100.0, 1000.0, 1e6, 60.0, 3600.0)
"""Factors between units that are asked about from `WARN_MIN` on, either way."""
UNIT_NEAR = 0.05
SATURDAY = 5
ALIKE_MIN = 4
"""From so many days of its kind on, working days or weekends, rows are compared with theirs."""
KIND_HOLD_MIN = 7
"""After so many days of its kind, more rows than any of them had are held from `MORE_ROWS` on, where
that is `TIMES_MORE` times as far beyond them as they are apart."""
MORE_ROWS = math.log(1.3)
TIMES_MORE = 2.0
SAME_ROWS_MIN = 3
"""A table that has had the same number of rows each time, at least this many, is held when that is
doubled, tripled and so on, or halved."""
FEWER_WARNED = 0.1
"""From such a table this part of the rows is worth a word when it is missing."""
TIMES_FEWER = 2.0
"""Of a table of fewer than `ROWS_MIN` rows: so many times as far below the least number so far as
all of them lie apart."""


def young_anomalies(partition: str, values: Mapping[MetricId, float], rows: int, history: MetricHistory) -> list[MetricAnomaly]:
    """What is beyond every neighbour, while there are fewer of them than forecasts take."""
    if not WARN_MIN <= len(history) < expectations.HISTORY_HOLD_MIN:
        return []
    if rows < ROWS_MIN:
        families = (*_OF_FEW, "rows") if _are_missing(partition, rows, history) else _OF_FEW
        values = {metric: value for metric, value in values.items() if metric.family in families}
    results = (_judged(metric, value, partition, (values, rows), history) for metric, value in values.items() if metric.family in _REACH)
    return [anomaly for anomaly in results if anomaly is not None]


def _are_missing(partition: str, rows: int, history: MetricHistory) -> bool:
    """Whether there are so many rows fewer than on any day of its kind so far that it is no chance."""
    past = _of_its_kind(partition, history.series(MetricId("rows")), history)
    least = math.exp(min(past)) - 1 if past else 0.0
    return least - rows >= min(ROWS_MIN, FEWER * math.sqrt(least)) > 0


def _of_its_kind(partition: str, past: Seasonal, history: MetricHistory) -> Sequence[float]:
    """The values of working days for a working day, those of weekends for a weekend, where enough
    of them are known; else all."""
    if history.grain is not Grain.DAY:
        return past.values
    weekend = history.season(partition) >= SATURDAY
    each = zip(past.values, past.seasons, strict=True)
    alike = [value for value, season in each if (season >= SATURDAY) == weekend]
    return alike if len(alike) >= ALIKE_MIN else past.values


def multiplied(rows: int, history: MetricHistory) -> MetricAnomaly | None:
    """Several times as many rows as each partition has had so far, where all have had the same."""
    metric = MetricId("rows")
    past = history.series(metric).values
    if len(history) < HOLD_MIN or not past or min(past) != max(past):
        return None
    usual = round(math.exp(past[0])) - 1
    if usual < SAME_ROWS_MIN or rows <= usual or rows % usual:
        return None
    now = math.log(rows + 1)
    return MetricAnomaly(metric, FactSeverity.HOLD, past[0], now, 12.0, 0.0)


def fewer(rows: int, history: MetricHistory) -> MetricAnomaly | None:
    """Fewer rows than each partition has had so far, where all have had the same; of a small table,
    where all have had about the same."""
    metric = MetricId("rows")
    past = history.series(metric).values
    if len(history) < HOLD_MIN or not past:
        return None
    least, most = (round(math.exp(end)) - 1 for end in (min(past), max(past)))
    apart, lost = most - least, least - rows
    if (apart and least >= ROWS_MIN) or lost <= TIMES_FEWER * apart or lost < FEWER_WARNED * least:
        return None
    sure = least >= SAME_ROWS_MIN or not rows
    severity = FactSeverity.HOLD if sure and rows * 2 <= least else FactSeverity.WARN
    return MetricAnomaly(metric, severity, min(past), math.log(rows + 1), 12.0, 0.0)


def settled(partition: str, history: MetricHistory) -> bool:
    """Whether there were days like this one, so that what each of them had and it hasn't holds it: a
    group, the end of the day."""
    return len(history) >= HOLD_MIN and bool(history.like(partition)) and not month_edge(partition, history.grain)


def _judged(
    metric: MetricId,
    value: float,
    partition: str,
    today: tuple[Mapping[MetricId, float], int],
    history: MetricHistory,
) -> MetricAnomaly | None:
    """`today`: all numbers of the partition, and its rows."""
    values, rows = today
    past, reach = history.series(metric), _REACH[metric.family]
    if len(past.values) < max(WARN_MIN, len(history)) or not math.isfinite(value):
        return None
    alike = _of_its_kind(partition, past, history) if metric.family == "rows" else past.values
    middle = statistics.median(alike)
    up = value > middle
    nearest = max(alike) if up else min(alike)
    # A holiday may be as quiet as a weekend.
    if metric.family == "rows" and min(past.values) <= value <= max(past.values):
        return None
    apart, beyond = abs(nearest - middle), (value - nearest) if up else (nearest - value)
    few = rows < ROWS_MIN
    more = metric.family == "rows" and up and alike is not past.values and len(alike) >= KIND_HOLD_MIN
    warned = ORDERS if few and metric.family == "location" else MORE_ROWS if more else reach.warn
    if apart > reach.tight or beyond < max(warned, TIMES_WARNED * apart):
        return None
    if metric.family == "rows" and not _kind_seen(partition, history):
        return None
    if metric.family == "location" and rises(metric.column, partition, values, history):
        return None
    chance = expectations.noise(metric.family, middle, rows, rows) if metric.family in expectations.SHARES else 0.0
    if metric.family == "share" and (beyond < CHANCE_WARNED * chance or not history.recurring(metric.column)):
        return None
    z = min(beyond / max(apart, expectations.limits(metric.family).prior), 12.0)
    held = metric.family == "location" and _is_unit(value - middle, apart)
    lost = metric.family == "rows" and not up
    sized = metric.family in ("location", "hour_mean")
    gone = STEADY_LOST if lost and _is_steady(past, history) else LOST
    least = max(gone if lost else reach.hold, (TIMES_LOST if lost or sized else TIMES_HELD) * apart)
    least = max(MORE_ROWS, TIMES_MORE * apart) if more else least
    least = max(least, CHANCE * chance)
    if len(past.values) >= HOLD_MIN and beyond >= least and not (few and metric.family == "negative"):
        # A weekday, or an end of a month, that wasn't there yet may be another kind of day.
        held = held or settled(partition, history)
    severity = FactSeverity.HOLD if held else FactSeverity.WARN
    return MetricAnomaly(metric, severity, middle, value, z, apart)


def _is_steady(past: Seasonal, history: MetricHistory) -> bool:
    """Whether there were about as many rows each time, on weekends as on working days."""
    weekends = {season >= SATURDAY for season in past.seasons}
    together = max(past.values) - min(past.values) <= STEADY
    return together and len(past.values) >= expectations.HISTORY_WARN_MIN and (history.grain is not Grain.DAY or len(weekends) > 1)


def _kind_seen(partition: str, history: MetricHistory) -> bool:
    """Whether there was a day like this one: the first weekend may have half the rows."""
    own = history.season(partition)
    if history.grain is not Grain.DAY:
        return bool(history.like(partition))
    return any((season >= SATURDAY) == (own >= SATURDAY) for season in history.seasons)


def _is_unit(off: float, apart: float) -> bool:
    """Whether sizes are off by what two units differ by."""
    return any(abs(abs(off) - math.log(unit)) <= UNIT_NEAR + apart for unit in UNITS)
