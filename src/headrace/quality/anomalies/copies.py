"""Rows that are there several times under keys of their own: all that isn't a key is the same.

Nobody sees it in keys that are unique. What tells is that each of the other rows' contents comes
twice, without
an exception: by chance that never happens. Where it always was so (two legs of a booking), it is
the data's nature.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from headrace.quality.anomalies.history import MetricHistory
from headrace.quality.facts import FactSeverity
from headrace.quality.metrics import Metrics

MORE = 1.3
"""So many times as many rows as any day of the last week are more than a day may have."""
WEEK = 7
KNOWN_MIN = 3


class DuplicateRows(NamedTuple):
    """How often each row is there, and the columns in which its copies differ."""

    times: int
    apart: tuple[str, ...]
    severity: FactSeverity


def copied(today: Metrics, history: MetricHistory) -> DuplicateRows | None:
    """Whether all rows are there several times but for their keys; None where they aren't, or
    always were."""
    times = today.copies or 1
    known = [metrics.copies for metrics in history.all() if metrics.copies is not None]
    if times < 2 or not today.apart or any(each >= 2 for each in known):
        return None
    more = _more(today, history)
    keyed = all(_numbers_rows(today, name) for name in today.apart)
    if not keyed and not more:  # what is other in each pair may be what the pair is there for
        return None
    return DuplicateRows(times, today.apart, FactSeverity.HOLD if known or more else FactSeverity.WARN)


def _more(today: Metrics, history: MetricHistory) -> bool:
    """Whether there are more rows than on any of the last days."""
    rows = [metrics.rows for _, metrics in history.newest(WEEK)]
    return len(rows) >= KNOWN_MIN and today.rows > MORE * max(rows)


def _numbers_rows(today: Metrics, name: str) -> bool:
    column = today.columns.get(name)
    return column is not None and column.distinct is not None and round(math.exp(column.distinct)) == today.rows
