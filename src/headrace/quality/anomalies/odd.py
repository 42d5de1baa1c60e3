"""Which of a partition's numbers are odd, given those before it: no statistics but the forecasts', no knowledge of what they mean."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from headrace.quality.anomalies import limits
from headrace.quality.anomalies.forecasting import MetricForecast, forecast
from headrace.quality.anomalies.history import MetricHistory
from headrace.quality.anomalies.trending import goes_on
from headrace.quality.facts import FactSeverity
from headrace.quality.metrics import MetricId

JUDGED_MAX = 400
"""So many numbers are forecast at most: a table of a thousand columns whose every number has moved is odd enough by these."""


_OF_SIZE = ("location", "spread")
"""What ids that count on change by themselves: they grow, and lie nearer together as logarithms."""
_LOG_MAX = 700.0
NEWS = 0.5
"""So much of what is worth a word a number has to lie outside of all that was."""


class MetricAnomaly(NamedTuple):
    """A number that is off. `off` is observed less expected."""

    metric: MetricId
    severity: FactSeverity
    expected: float
    observed: float
    z: float
    record: float
    """How far it was off at most, before."""

    @property
    def off(self) -> float:
        return self.observed - self.expected

    @property
    def strength(self) -> float:
        """In nats."""
        return limits.nats(self.z)


def odd(partition: str, values: Mapping[MetricId, float], rows: int, history: MetricHistory, sources: int) -> list[MetricAnomaly]:
    """What is odd about a partition's numbers in a project of so many sources; nothing where too little is known."""
    if len(history) < limits.HISTORY_WARN_MIN or not rows:
        return []
    like = history.like(partition)
    values = {metric: value for metric, value in values.items() if metric.family != "share" or history.recurring(metric.column)}
    values = _with_lost(values, like, history)
    seen = [] if history.moved else [history.values(at) for at in like]
    suspects = [metric for metric, value in values.items() if _suspect(metric, value, seen)][:JUDGED_MAX]
    sized = {metric.column for metric in suspects if metric.family in _OF_SIZE}
    counting = {column for column in sized if rises(column, partition, values, history)}
    suspects = [suspect for suspect in suspects if suspect.family not in _OF_SIZE or suspect.column not in counting]
    results = (_judged(metric, values[metric], partition, rows, history, (sources, len(values))) for metric in suspects)
    return [anomaly for anomaly in results if anomaly is not None]


def _with_lost(values: Mapping[MetricId, float], like: list[int], history: MetricHistory) -> dict[MetricId, float]:
    """With the categories that aren't there any more: their share is none."""
    results = dict(values)
    sharing = {metric.column for metric in values if metric.family == "share"}
    for past in filter(None, map(history.metrics, like)):
        for column in sharing & past.columns.keys():
            for value in past.columns[column].shares:
                results.setdefault(MetricId("share", column, value), 0.0)
    return results


def _suspect(metric: MetricId, value: float, seen: Sequence[Mapping[MetricId, float]]) -> bool:
    """Whether a number lies outside what the last few like this one reached, give or take what isn't worth a word."""
    if metric.family not in limits.FAMILIES:
        return False
    reach = limits.limits(metric.family).warn
    absent = 0.0 if metric.family == "share" else None
    low, high = math.inf, -math.inf
    for own in seen:
        known = own.get(metric, absent)
        if known is not None:
            if known - reach < value < known + reach:
                return False  # as nearly all are: near to one of them is between all of them
            low, high = min(low, known), max(high, known)
    return not low - reach < value < high + reach


def _judged(
    metric: MetricId, value: float, partition: str, rows: int, history: MetricHistory, many: tuple[int, int]
) -> MetricAnomaly | None:
    past = history.series(metric)
    count = len(past.values)
    if count < limits.HISTORY_WARN_MIN or not math.isfinite(value):
        return None
    known = limits.limits(metric.family)
    if metric.family != "rows" and min(past.values) - known.warn * NEWS < value < max(past.values) + known.warn * NEWS:
        return None  # it was about so before
    edges = history.same_edge(metric, partition) if metric.family == "rows" else ()
    near = min((abs(value - was) for was in edges), default=math.inf)
    if near < known.warn:
        return None  # so it was at the same end of a month before
    metric_forecast = forecast(past, history.season(partition), value, known.prior)
    off = abs(value - metric_forecast.expected)
    chance = limits.noise(metric.family, metric_forecast.expected, rows, round(math.exp(history.usual(MetricId("rows")) or 0.0)))
    chance *= _scattered(past.values) if metric.family in limits.COUNTS else 1.0
    z = off / max(metric_forecast.scale, chance, 1e-9)
    far = count >= limits.HISTORY_HOLD_MIN and near >= known.hold and _is_far(metric.family, value, rows, metric_forecast)
    if far and z >= limits.threshold(limits.HOLDS_A_MONTH, *many):
        return MetricAnomaly(metric, FactSeverity.HOLD, metric_forecast.expected, value, z, metric_forecast.record)
    if off >= known.warn and off >= metric_forecast.record and z >= limits.threshold(limits.WARNINGS_A_MONTH, *many):
        return MetricAnomaly(metric, FactSeverity.WARN, metric_forecast.expected, value, z, metric_forecast.record)
    return None


def rises(column: str, partition: str, values: Mapping[MetricId, float], history: MetricHistory) -> bool:
    """Whether a column's numbers count on, as ids do."""
    sizes = MetricId("location", column)
    past, today, place = history.series(sizes), values.get(sizes), history.place(partition)
    if today is None or place is None or not past.places or abs(today) > _LOG_MAX:
        return False
    before = [math.exp(min(value, _LOG_MAX)) for value in past.values]
    return goes_on(past.places, before, place, math.exp(today))


def _scattered(logs: Sequence[float]) -> float:
    """How much of what chance makes of a count there is of it: none in the rows of a table that has one for each of six regions."""
    counts = [math.exp(log) for log in logs]
    return min(statistics.pstdev(counts) / math.sqrt(statistics.fmean(counts)), 1.0)


def _is_far(family: str, value: float, rows: int, metric_forecast: MetricForecast) -> bool:
    """Whether a number is off by what is held anywhere, or by what is much in a series that never moved nearly as far: by more than a
    few rows."""
    known, off = limits.limits(family), abs(value - metric_forecast.expected)
    few = _moved(family, value, rows, metric_forecast.expected) < limits.QUIET_ROWS
    quiet = not few and off >= max(known.quiet, limits.QUIET_FACTOR * metric_forecast.record)
    return quiet or off >= max(known.hold, limits.RECORD_FACTOR * metric_forecast.record)


def _moved(family: str, value: float, rows: int, expected: float) -> float:
    """How many rows it takes to move a number so far; all of them where it is of sizes or times."""
    if family in limits.SHARES:
        return abs(value - expected) * rows
    return abs(math.exp(value) - math.exp(expected)) if family in limits.COUNTS else rows
