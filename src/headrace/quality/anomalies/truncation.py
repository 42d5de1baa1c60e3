"""A file whose end is missing: rows stop at an hour where they never stopped before, instead of being fewer all day long."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from headrace.quality.anomalies.history import MetricHistory
from headrace.quality.metrics import Metrics

MISSING_MIN = 0.05
"""From this share of the rows on a missing end is worth a word."""
NATS_MIN = 10.0
"""So much likelier a cut must be than fewer rows all day long."""
LEFT = 0.1
"""After a cut at most this part of what is usual is there."""
ONE_HOUR = 0.5
"""A column with more of its values than that in one hour says when something was written, not when things happened."""
THERE = 0.25
"""Where hardly more than this part of what a cut would have taken isn't there, nothing was cut: the hours are others."""
HOURS_OF_DAY = 24


class RowTruncation(NamedTuple):
    """Rows stop before this hour of a column of instants; the share that is missing; how much likelier than thinning, in nats."""

    column: str
    hour: int
    missing: float
    strength: float


def cut(partition: str, today: Metrics, history: MetricHistory) -> RowTruncation | None:
    """The cut that explains most, if there is one. Columns with nulls tell nothing: what was cancelled has no hour."""
    like = [past for at in history.like(partition) if (past := history.metrics(at)) is not None]
    cuts = [
        truncation
        for name, column in today.columns.items()
        if len(column.hours) == HOURS_OF_DAY and not column.nulls and (truncation := _of(name, column.hours, _hours(name, like)))
    ]
    best = max(cuts, key=lambda truncation: truncation.strength, default=None)
    if best is None or not _earlier_than_ever(best.column, today, history):
        return None
    return best if _by_all_days(best, today, history) else None


def _by_all_days(truncation: RowTruncation, today: Metrics, history: MetricHistory) -> bool:
    """Whether the end is missing by what all days have there, too: two Mondays may have had much of it by chance."""
    usual = _usual(_hours(truncation.column, history.all()))
    row_truncation = _at(truncation.column, truncation.hour, today.columns[truncation.column].hours, usual)
    return row_truncation is not None


def _hours(column: str, past: Sequence[Metrics]) -> list[tuple[int, ...]]:
    return [
        metrics.columns[column].hours
        for metrics in past
        if column in metrics.columns and len(metrics.columns[column].hours) == HOURS_OF_DAY
    ]


def _of(column: str, counts: Sequence[int], past: Sequence[Sequence[int]]) -> RowTruncation | None:
    usual = _usual(past)
    if not usual or max(usual) > ONE_HOUR * sum(usual) or max(counts) > ONE_HOUR * sum(counts):
        return None
    cuts = (_at(column, hour, counts, usual) for hour in range(1, HOURS_OF_DAY))
    best = max((cut for cut in cuts if cut is not None), key=lambda truncation: truncation.strength, default=None)
    return best if best is not None and sum(counts) < (1 - THERE * best.missing) * sum(usual) else None


def _usual(past: Sequence[Sequence[int]]) -> list[float]:
    """How many rows each hour has on average."""
    return [statistics.fmean(bins) for bins in zip(*past, strict=True)]


def _at(column: str, hour: int, counts: Sequence[int], usual: Sequence[float]) -> RowTruncation | None:
    """The rows as if they stopped before an hour, against as if they were fewer (or more) all day."""
    came, due = (sum(counts[:hour]), sum(counts[hour:])), (sum(usual[:hour]), sum(usual[hour:]))
    if not due[0] or not due[1] or not came[0]:
        return None
    before, after = came[0] / due[0], came[1] / due[1]
    missing = max(before * due[1] - came[1], 0) / (before * (due[0] + due[1]))
    if after > LEFT * before or missing < MISSING_MIN:
        return None
    even = sum(came) / sum(due)
    strength = came[0] * math.log(before / even) + (came[1] * math.log(after / even) if came[1] else 0.0)
    return RowTruncation(column, hour, missing, strength) if strength >= NATS_MIN else None


def _earlier_than_ever(column: str, today: Metrics, history: MetricHistory) -> bool:
    past = [_end(hours) for hours in _hours(column, history.all()) if sum(hours)]
    return bool(past) and _end(today.columns[column].hours) < min(past)


def _end(hours: Sequence[int]) -> int:
    """The hour before whose end 99 of 100 rows lie."""
    seen, enough = 0, 0.99 * sum(hours)
    for hour, count in enumerate(hours):
        seen += count
        if seen >= enough:
            return hour
    return HOURS_OF_DAY
