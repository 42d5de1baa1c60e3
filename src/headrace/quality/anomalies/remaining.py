"""What is odd about values beside rows that are missing or too many: what remains once those rows are undone.

Rows that are there twice, or not at all, move shares by themselves. By how much at most can be computed: all of the
surplus rows, or all of the missing ones, could have had the value. What is odd beyond that has a cause of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from headrace.quality.anomalies.history import MetricHistory
from headrace.quality.anomalies.limits import QUIET_ROWS, SHARES, limits
from headrace.quality.anomalies.odd import MetricAnomaly
from headrace.quality.facts import Fact, FactSeverity
from headrace.quality.metrics import Metrics

TWICE = math.log(2)
"""Sizes that all moved so far moved by no choice of rows."""
_OF_ROWS = ("duplicate_rows", "volume_anomaly")
_ALL = 0.99
ONE_EACH = 0.95
"""A column with so many different values a row, as far as they are counted, numbers its rows."""
MOSTLY = 0.9
"""Of the repeated rows so many have an empty value."""


def emptied(today: Metrics, history: MetricHistory) -> bool:
    """Whether rows are alike because what told them apart is empty: as many values of a column are
    gone as rows are repeated, there are no more rows than there were before, and no other column had
    a value of its own in each row."""
    if not today.repeated or today.rows > max((metrics.rows for metrics in history.all()), default=0):
        return False
    before = {
        name: max((metrics.columns[name].nulls for metrics in history.all() if name in metrics.columns), default=1.0)
        for name in today.columns
    }
    gone = {name: column.nulls - before[name] for name, column in today.columns.items()}
    if any(gone[name] <= 0 and _numbers_rows(name, history) for name in today.columns):
        return False
    return max(gone.values(), default=0.0) * today.rows >= MOSTLY * today.repeated


def _numbers_rows(name: str, history: MetricHistory) -> bool:
    """Whether a column has had as many different values as rows, as far as they are counted."""
    past = [(metrics.rows, metrics.columns.get(name)) for metrics in history.all()]
    return all(metrics is not None and math.exp(metrics.distinct or 0.0) >= ONE_EACH * rows for rows, metrics in past)


class MovedRows(NamedTuple):
    """Which share of a partition's rows is too many, which share of the usual rows is missing, and how many rows there would be."""

    more: float
    fewer: float
    rows: float

    def least(self, share: float) -> float:
        """The least that a share of the rows would be without that."""
        return max((share - self.more) / (1 - self.more), 0.0) * (1 - self.fewer)

    def most(self, share: float) -> float:
        """The most that it would be."""
        return min(share / (1 - self.more), 1.0) * (1 - self.fewer) + self.fewer


def moved(rows: int, repeated: int, anomalies: Sequence[MetricAnomaly], missing: float) -> MovedRows:
    """By how much rows differ: repeated ones, what forecasts say of their number, and what a cut or missing groups leave out."""
    off = next((anomaly.off for anomaly in anomalies if anomaly.metric.family == "rows"), 0.0)
    more = max(repeated / rows, 1 - math.exp(-off) if off > 0 else 0.0)
    fewer = max(missing, 1 - math.exp(off) if off < 0 else 0.0)
    more, fewer = min(more, _ALL), min(fewer, _ALL)
    return MovedRows(more, fewer, rows * (1 - more) / (1 - fewer))


def remains(anomaly: MetricAnomaly, by: MovedRows, history: MetricHistory) -> bool:
    """Whether a number is odd whatever the surplus or missing rows were."""
    if anomaly.metric.family == "location":
        return abs(anomaly.off) >= TWICE
    if anomaly.metric.family not in SHARES:
        return False
    past = history.series(anomaly.metric).values
    beyond = max(by.least(anomaly.observed) - max(past), min(past) - by.most(anomaly.observed))
    return beyond >= limits(anomaly.metric.family).quiet and beyond * by.rows >= QUIET_ROWS


def weighed(of_rows: Sequence[Fact], values: Sequence[tuple[Fact, bool]]) -> list[Fact]:
    """The facts about values, beside those about rows: what remains without these weighs more than they do, all else no more."""
    top = max((row.strength for row in of_rows if row.severity is FactSeverity.HOLD and row.kind in _OF_ROWS), default=None)
    return [fact if top is None or fact.kind in _OF_ROWS else _weighing(fact, top, beyond=beyond) for fact, beyond in values]


def _weighing(fact: Fact, top: float, *, beyond: bool) -> Fact:
    strength = max(fact.strength, top + 1) if beyond else min(fact.strength, top)
    return msgspec.structs.replace(fact, strength=strength)
