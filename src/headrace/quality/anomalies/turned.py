"""Times that are all off by the same number of hours: today's hours are as they always were, only later or earlier.

Another time zone, or a clock that nobody set, turns the whole day; a storm, a holiday or a file that is cut off takes
hours away and leaves the others where they were.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from headrace.quality.anomalies.history import MetricHistory
from headrace.quality.metrics import Metrics

HOURS_OF_DAY = 24
ROWS_MIN = 40
"""Of fewer rows it is chance in which hours they are."""
LEAST = 2
"""An hour is what summer time is about."""
KNOWN_MIN = 3
APART = 2.0
"""So many times as far from the usual hours as any day was: …"""
APART_MIN = 0.25
"""… and at least this share of the rows is in other hours."""
BACK = 1.5
"""Turned back, today is about as near to them as the furthest day was."""


class Turned(NamedTuple):
    """A column of instants, by how many hours it is late (early, where that is less than 0), and which share of the rows is in other
    hours for it."""

    column: str
    hours: int
    share: float


def turned(today: Metrics, history: MetricHistory) -> list[Turned]:
    """The columns whose times are off as a whole."""
    past = history.all()
    results = (
        _of(name, column.hours, [metrics.columns[name].hours for metrics in past if name in metrics.columns])
        for name, column in today.columns.items()
        if len(column.hours) == HOURS_OF_DAY and sum(column.hours) >= ROWS_MIN
    )
    return [item for item in results if item is not None]


def _of(name: str, counts: Sequence[int], past: Sequence[Sequence[int]]) -> Turned | None:
    days = [_shares(item) for item in past if len(item) == HOURS_OF_DAY and any(item)]
    if len(days) < KNOWN_MIN:
        return None
    usual = [statistics.fmean(hour) for hour in zip(*days, strict=True)]
    furthest = max(_distance(day, usual) for day in days)
    now = _shares(counts)
    apart = _distance(now, usual)
    if apart < max(APART_MIN, APART * furthest):
        return None
    back = {hours: _distance([*now[hours:], *now[:hours]], usual) for hours in range(HOURS_OF_DAY)}
    best = min(back, key=lambda hours: back[hours])
    off = best if best <= HOURS_OF_DAY / 2 else best - HOURS_OF_DAY
    return Turned(name, off, apart) if abs(off) >= LEAST and back[best] <= BACK * furthest else None


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [count / total for count in counts]


def _distance(item: Sequence[float], other: Sequence[float]) -> float:
    """Which share of the rows is in other hours."""
    return sum(abs(a - b) for a, b in zip(item, other, strict=True)) / 2
