"""Anomalies of rows: duplicates, copies under new keys, stale content, truncated files."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.facts import FactSeverity
from headrace.checks.metrics import Metrics

# Identical rows, compared with the usual number of them.

REPEATED_HELD = 0.02
REPEATED_WARNED = 0.005
REPEATED_KNOWN_MIN = 3
"""The minimum number of partitions that show whether a source repeats rows."""


def repeated_rows(today: Metrics, history: MetricHistory) -> tuple[FactSeverity, float] | None:
    """Return the severity of identical rows and their largest share so far; None if usual."""
    if not today.repeated or not today.rows:
        return None
    share = today.repeated / today.rows
    shares = [
        metrics.repeated / metrics.rows
        for metrics in history.all()
        if metrics.rows and metrics.repeated is not None
    ]
    most = max(shares, default=0.0)
    if share <= max(2 * most, most + REPEATED_WARNED) or today.repeated < 2:
        return None
    held = share >= REPEATED_HELD + 2 * most and len(shares) >= REPEATED_KNOWN_MIN
    return FactSeverity.HOLD if held else FactSeverity.WARN, most


# Rows that occur several times under different keys, with all other columns the same. Checks of
# unique keys can't notice it. The evidence is that the content of every row occurs several times,
# without exception, which never happens by chance. If it always was so (two legs of a booking), it
# is the nature of the data.

COPIES_MORE_ROWS = 1.3
"""The maximum ratio of a day's rows to any day of the last week."""
WEEK = 7
COPIES_KNOWN_MIN = 3


class DuplicateRows(NamedTuple):
    """The number of copies of each row, and the columns in which the copies differ."""

    times: int
    apart: tuple[str, ...]
    severity: FactSeverity


def copied_rows(today: Metrics, history: MetricHistory) -> DuplicateRows | None:
    """Return the copies if all rows occur several times, apart from their keys.

    None if they don't, or if they always did.
    """
    times = today.copies or 1
    known = [metrics.copies for metrics in history.all() if metrics.copies is not None]
    if times < 2 or not today.apart or any(each >= 2 for each in known):
        return None
    more = _more(today, history)
    keyed = all(_numbers_rows(today, name) for name in today.apart)
    if not keyed and not more:  # the differing columns may be why rows come in pairs
        return None
    return DuplicateRows(
        times, today.apart, FactSeverity.HOLD if known or more else FactSeverity.WARN
    )


def _more(today: Metrics, history: MetricHistory) -> bool:
    """Return whether there are many more rows than on any of the last days."""
    rows = [metrics.rows for _, metrics in history.newest(WEEK)]
    return len(rows) >= COPIES_KNOWN_MIN and today.rows > COPIES_MORE_ROWS * max(rows)


def _numbers_rows(today: Metrics, name: str) -> bool:
    column = today.columns.get(name)
    return (
        column is not None
        and column.distinct is not None
        and round(math.exp(column.distinct)) == today.rows
    )


# Stale content: the rows of another partition, delivered again under a new name.

STALE_ROWS_MIN = 10
"""The minimum number of rows; fewer may be equal by chance."""
CONSTANT_CONTENT = 0.1
"""The share of versions equal to another partition's from which on a node's data is constant."""


class PublishedContent(NamedTuple):
    """Content that was published for a partition at any time."""

    partition: str
    content_hash: str


def same_as(
    partition: str, content_hash: str | None, versions: Sequence[PublishedContent]
) -> str | None:
    """Return the partition with the same rows, or None if there is none or the data is constant.

    `versions` are newest first.
    """
    others = [version for version in versions if version.partition != partition]
    result = next(
        (content.partition for content in others if content.content_hash == content_hash), None
    )
    if content_hash is None or result is None:
        return None
    of_hash: dict[str, set[str]] = {}
    for content in others:
        of_hash.setdefault(content.content_hash, set()).add(content.partition)
    repeated = sum(len(keys) for keys in of_hash.values() if len(keys) > 1)
    return None if repeated > CONSTANT_CONTENT * len(others) else result


# A file whose end is missing: rows stop at an hour at which they never stopped before, instead of
# being fewer all day.

MISSING_MIN = 0.05
"""The minimum missing share of the rows."""
NATS_MIN = 10.0
"""The minimum evidence, in nats, for a cut over fewer rows all day."""
LEFT = 0.1
"""The maximum part of the usual rows after a cut."""
ONE_HOUR = 0.5
"""The maximum share of one hour; above it, a column has times of writing, not of events."""
THERE = 0.25
"""The minimum part of the missing rows by which the total must be lower; else hours moved."""
HOURS_OF_DAY = 24


class RowTruncation(NamedTuple):
    """A cut before an hour of a column of instants.

    `missing` is the share of missing rows, `strength` the evidence against fewer rows all day, in
    nats.
    """

    column: str
    hour: int
    missing: float
    strength: float


def truncated_rows(partition: str, today: Metrics, history: MetricHistory) -> RowTruncation | None:
    """Return the cut with the most evidence, or None.

    Columns with nulls are ignored: cancelled events have no hour.
    """
    like = [past for at in history.like(partition) if (past := history.metrics(at)) is not None]
    cuts = [
        truncation
        for name, column in today.columns.items()
        if len(column.hours) == HOURS_OF_DAY
        and not column.nulls
        and (truncation := _truncation_in(name, column.hours, _hours(name, like)))
    ]
    best = max(cuts, key=lambda truncation: truncation.strength, default=None)
    if best is None or not _earlier_than_ever(best.column, today, history):
        return None
    return best if _by_all_days(best, today, history) else None


def _by_all_days(truncation: RowTruncation, today: Metrics, history: MetricHistory) -> bool:
    """Return whether the end is missing compared with all days: a few similar days may mislead."""
    usual = _usual(_hours(truncation.column, history.all()))
    row_truncation = _truncation_at(
        truncation.column, truncation.hour, today.columns[truncation.column].hours, usual
    )
    return row_truncation is not None


def _hours(column: str, past: Sequence[Metrics]) -> list[tuple[int, ...]]:
    return [
        metrics.columns[column].hours
        for metrics in past
        if column in metrics.columns and len(metrics.columns[column].hours) == HOURS_OF_DAY
    ]


def _truncation_in(
    column: str, counts: Sequence[int], past: Sequence[Sequence[int]]
) -> RowTruncation | None:
    usual = _usual(past)
    if not usual or max(usual) > ONE_HOUR * sum(usual) or max(counts) > ONE_HOUR * sum(counts):
        return None
    if sum(counts) >= (1 - THERE * MISSING_MIN) * sum(usual):
        return None  # too few rows are missing, wherever the cut is
    cuts = (_truncation_at(column, hour, counts, usual) for hour in range(1, HOURS_OF_DAY))
    best = max(
        (cut for cut in cuts if cut is not None),
        key=lambda truncation: truncation.strength,
        default=None,
    )
    return (
        best if best is not None and sum(counts) < (1 - THERE * best.missing) * sum(usual) else None
    )


def _usual(past: Sequence[Sequence[int]]) -> list[float]:
    """Return the mean number of rows of each hour."""
    return [statistics.fmean(bins) for bins in zip(*past, strict=True)]


def _truncation_at(
    column: str, hour: int, counts: Sequence[int], usual: Sequence[float]
) -> RowTruncation | None:
    """Compare a cut before an hour with fewer or more rows all day; None without evidence."""
    actual, due = (sum(counts[:hour]), sum(counts[hour:])), (sum(usual[:hour]), sum(usual[hour:]))
    if not due[0] or not due[1] or not actual[0]:
        return None
    before, after = actual[0] / due[0], actual[1] / due[1]
    missing = max(before * due[1] - actual[1], 0) / (before * (due[0] + due[1]))
    if after > LEFT * before or missing < MISSING_MIN:
        return None
    even = sum(actual) / sum(due)
    strength = actual[0] * math.log(before / even) + (
        actual[1] * math.log(after / even) if actual[1] else 0.0
    )
    return RowTruncation(column, hour, missing, strength) if strength >= NATS_MIN else None


def _earlier_than_ever(column: str, today: Metrics, history: MetricHistory) -> bool:
    past = [_end(hours) for hours in _hours(column, history.all()) if sum(hours)]
    return bool(past) and _end(today.columns[column].hours) < min(past)


def _end(hours: Sequence[int]) -> int:
    """Return the first hour by whose end 99 % of the rows lie."""
    seen, enough = 0, 0.99 * sum(hours)
    for hour, count in enumerate(hours):
        seen += count
        if seen >= enough:
            return hour
    return HOURS_OF_DAY
