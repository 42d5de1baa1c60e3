"""Names that nobody knew, and names that are gone: keys that find nothing, before anything looks for them.

A column of text names what lasts where most of a day's values came the day before as well. Which part of them is new, and which part of
the day before's is gone, hardly differs from day to day, however many there are of each. It only warns: customers come and go. What is
made of it says whether they find what they refer to.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from headrace.quality.anomalies.history import MetricHistory
from headrace.quality.metrics import ColumnMetrics, Metrics

LEAST = 0.05
"""From so much more than ever on it is worth a word, …"""
SIGMAS = 6.0
"""… if it is so far from what it is in the middle."""
KNOWN_MIN = 6
LASTING = 0.3
"""What is never more than that part the same as the day before is no name of anything."""


class Unfamiliar(NamedTuple):
    """A column, the share of its values that are new (or that are gone), the greatest that ever was, and how far that is off."""

    column: str
    new: bool
    share: float
    most: float
    sigmas: float


def unfamiliar(today: Metrics, history: MetricHistory) -> list[Unfamiliar]:
    """The columns with more new names than ever, or more that are gone; of each the one that is further off."""
    if not any(column.kept is not None for column in today.columns.values()):
        return []
    past = history.all()
    results = (_of(name, column, past) for name, column in today.columns.items() if column.kept is not None)
    return [unfamiliar for unfamiliar in results if unfamiliar is not None]


def _of(name: str, today: ColumnMetrics, past: Sequence[Metrics]) -> Unfamiliar | None:
    metrics = [result.columns[name] for result in past if name in result.columns]
    pairs = [(before, column_metrics) for before, column_metrics in itertools.pairwise(metrics) if column_metrics.kept is not None]
    if len(pairs) < KNOWN_MIN or min(metrics.kept or 0.0 for _, metrics in pairs) < LASTING:
        return None
    told = (
        _further(name, True, _new(metrics[-1], today), [_new(*pair) for pair in pairs], today),
        _further(name, False, 1 - (today.kept or 0.0), [1 - (column_metrics.kept or 0.0) for _, column_metrics in pairs], metrics[-1]),
    )
    return max((unfamiliar for unfamiliar in told if unfamiliar is not None), key=lambda item: item.sigmas, default=None)


def _new(before: ColumnMetrics, now: ColumnMetrics) -> float:
    """Which part of a day's values the day before hadn't."""
    return max(1 - (now.kept or 0.0) * math.exp((before.distinct or 0.0) - (now.distinct or 0.0)), 0.0)


def _further(name: str, new: bool, share: float, past: Sequence[float], of: ColumnMetrics) -> Unfamiliar | None:
    usual, most = statistics.median(past), max(past)
    chance = math.sqrt(usual * (1 - usual) / math.exp(of.distinct or 0.0)) + 0.5 / math.exp(of.distinct or 0.0)
    sigmas = (share - usual) / max(statistics.pstdev(past), chance)
    return Unfamiliar(name, new, share, most, sigmas) if share - most >= LEAST and sigmas >= SIGMAS else None
