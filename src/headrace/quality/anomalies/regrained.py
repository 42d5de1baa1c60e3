"""Rows that are of something else under the same header: most of what a column named the day before is gone, and something else came.

A truncated file loses names and brings none; a dimension that grows brings names and loses none.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from headrace.quality.anomalies.history import MetricHistory
from headrace.quality.metrics import Metrics

LASTING = 0.6
"""A column names things that last where so much of each day's values always came again the next day."""
GONE = 0.5
"""Less than that part of what always came again is another set of things."""
NEW_MIN = 0.2
"""So much of what is named must be new."""
KNOWN_MIN = 14
"""So often it must have been measured, …"""
NONE_KEPT_MIN = 7
"""… and so often where not a single value came again."""


SAME_NUMBER = math.log(1.25)
"""Values whose number differs by no more than that are as many as before."""
SCARCE = 0.01


class Regrained(NamedTuple):
    """A column, what share of the day before's values came again, the least that ever did, what share
    of today's is new, and how many times as many values there are as before, as a logarithm."""

    column: str
    kept: float
    least: float
    new: float
    more: float

    def as_many(self, lost: float) -> bool:
        """Whether there are as many values as before, where that share of the rows is missing and may
        have had values of its own."""
        return math.log(max(1 - lost, SCARCE)) - SAME_NUMBER <= self.more <= SAME_NUMBER


def regrained(today: Metrics, history: MetricHistory) -> Regrained | None:
    """The column that lost most of its values, if one did."""
    results = [item for name in today.columns if (item := _of(name, today, history)) is not None]
    return min(results, key=lambda item: item.kept / item.least, default=None)


def _of(name: str, today: Metrics, history: MetricHistory) -> Regrained | None:
    column = today.columns[name]
    newest = history.metrics(len(history) - 1) if len(history) else None
    if column.kept is None or column.distinct is None or newest is None or name not in newest.columns:
        return None
    past = [kept for metrics in history.all() if name in metrics.columns and (kept := metrics.columns[name].kept) is not None]
    least, before = min(past, default=0.0), newest.columns[name].distinct
    if len(past) < (KNOWN_MIN if column.kept else NONE_KEPT_MIN) or least < LASTING or column.kept >= GONE * least or before is None:
        return None
    new = max(1 - column.kept * math.exp(before - column.distinct), 0.0)
    return Regrained(name, column.kept, least, new, column.distinct - before) if new >= NEW_MIN else None
