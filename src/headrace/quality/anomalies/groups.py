"""A group of rows that was always there and isn't: one carrier, one region, one kind of record."""

from __future__ import annotations

from typing import NamedTuple

from headrace.quality.anomalies.history import History
from headrace.quality.metrics import Metrics

ROWS_MIN = 20
"""A group that had fewer rows than that may be missing by chance."""
HELD_SHARE = 0.05
"""From this share on, in every partition so far, its absence holds the delivery."""


class Missing(NamedTuple):
    """A category without rows, and the share that it had at least."""

    column: str
    value: str
    share: float


def missing(today: Metrics, history: History) -> list[Missing]:
    """The categories that every partition so far had, and this one hasn't."""
    newest = history.metrics(len(history) - 1) if len(history) else None
    if newest is None:
        return []
    gone = [
        (name, value)
        for name, column in today.columns.items()
        if column.shares and name in newest.columns and history.recurring(name)
        for value, share in newest.columns[name].shares.items()
        if value not in column.shares and share * today.rows >= ROWS_MIN
    ]
    found = (Missing(name, value, _least(name, value, history)) for name, value in gone)
    return [one for one in found if one.share * today.rows >= ROWS_MIN]


def _least(column: str, value: str, history: History) -> float:
    """The smallest share that a category ever had; 0 where it wasn't always there."""
    return min((found.columns[column].shares.get(value, 0.0) for found in history.all() if column in found.columns), default=0.0)
