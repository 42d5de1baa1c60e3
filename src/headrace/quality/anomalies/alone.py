"""A column that is emptied alone, though it was always null in as many rows as another one: what the two tell of didn't happen.

Delays and times in the air are null for the flights that were cancelled, in fair weather and in storms. How many these are differs from
day to day by far, and by how much the two columns differ doesn't: rows with one and without the other are a fault, however few.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headrace.quality.anomalies.history import MetricHistory
from headrace.quality.metrics import Metrics

LESS_MIN = 0.02
"""From this share of the rows on a difference is worth a word."""
HELD = 0.05
TIMES_EVER = 4.0
"""… if it is so many times the largest that ever was, …"""
TWINS = 0.1
"""… which was at most this part of the nulls on the worst day: else the columns have never been null together."""
OFTEN = 3
"""In one of so many partitions there were nulls."""
KNOWN_MIN = 14


class UnsharedNulls(NamedTuple):
    """A column with more nulls than the one that it shares them with; by how much, and by how much at most before."""

    column: str
    other: str
    nulls: float
    expected: float
    most: float


def alone(today: Metrics, history: MetricHistory) -> list[UnsharedNulls]:
    """The columns that are null where the column nearest to them isn't, each once."""
    worse = [name for name, column in today.columns.items() if column.nulls >= LESS_MIN]
    if not worse:
        return []
    past = history.all()
    results = (_of(name, today, past) for name in worse)
    return [nulls for nulls in results if nulls is not None]


def _of(name: str, today: Metrics, past: Sequence[Metrics]) -> UnsharedNulls | None:
    own = _nulls(name, past)
    if len(own) < KNOWN_MIN or sum(share > 0 for share in own) * OFTEN < len(own):
        return None
    others = ((_apart(own, _nulls(other, past)), other) for other in today.columns if other != name)
    most, twin = min(others, default=(1.0, ""))
    if most > TWINS * max(own):
        return None
    nulls, expected = today.columns[name].nulls, today.columns[twin].nulls
    return UnsharedNulls(name, twin, nulls, expected, most) if nulls - expected >= max(LESS_MIN, TIMES_EVER * most) else None


def _nulls(name: str, past: Sequence[Metrics]) -> list[float]:
    return [metrics.columns[name].nulls for metrics in past if name in metrics.columns]


def _apart(item: Sequence[float], other: Sequence[float]) -> float:
    """The most by which two columns' nulls ever differed; 1 where they weren't always there together."""
    return max((abs(a - b) for a, b in zip(item, other, strict=True)), default=1.0) if len(item) == len(other) else 1.0
