"""Groups of rows that were always there and aren't, and others that never were: one carrier, one region, one kind of record."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from headrace.quality.anomalies.history import MetricHistory
from headrace.quality.metrics import ColumnMetrics, Metrics

ROWS_MIN = 20
"""A group that has fewer rows than that may be missing, or new, by chance."""
HELD_SHARE = 0.05
"""From this share on, its absence holds the delivery, and so does a group that never was."""
MEANT = 14
"""So many partitions say what share a group usually has."""
_SCARCE = 1e-6
_OTHERS_LEAST = 0.1


class MissingCategory(NamedTuple):
    """A category without rows, the share that it had at least, and under which name its rows are now; empty where they are gone."""

    column: str
    value: str
    share: float
    now: str = ""


class New(NamedTuple):
    """A category that no partition so far had, and its share."""

    column: str
    value: str
    share: float


def missing(today: Metrics, history: MetricHistory) -> list[MissingCategory]:
    """The categories that every partition so far had, and this one hasn't."""
    newest = history.metrics(len(history) - 1) if len(history) else None
    if newest is None:
        return []
    gone = [
        (name, value)
        for name, column in today.columns.items()
        if column.shares and name in newest.columns and history.recurring(name)
        for value, share in newest.columns[name].shares.items()
        if value not in column.shares and _due(share, today.rows) >= ROWS_MIN
    ]
    categories = [MissingCategory(name, value, _least(name, value, history)) for name, value in gone]
    categories = [category for category in categories if _due(category.share, today.rows) >= ROWS_MIN]
    columns = dict.fromkeys(category.column for category in categories)
    return [category for name in columns for category in _with_names([each for each in categories if each.column == name], today, history)]


def _due(share: float, rows: int) -> float:
    """How many rows a group would have beside those that are there, all of which are others'."""
    return rows * share / max(1 - share, _OTHERS_LEAST)


def new(today: Metrics, history: MetricHistory) -> list[New]:
    """The categories that no partition so far had, in columns whose values come again, where they are worth a word."""
    news = [
        New(name, value, share)
        for name, column in today.columns.items()
        if _is_code(column) and any(share >= HELD_SHARE for share in column.shares.values()) and history.recurring(name)
        for value, share in column.shares.items()
        if share >= HELD_SHARE and share * today.rows >= ROWS_MIN
    ]
    return [new for new in news if not any(new.value in past.columns[new.column].shares for past in _having(new.column, history))]


def _is_code(column: ColumnMetrics) -> bool:
    """Numbers that are few are measurements all the same: today's may be news."""
    return column.negative is None


def _with_names(gone: Sequence[MissingCategory], today: Metrics, history: MetricHistory) -> list[MissingCategory]:
    """The missing categories of one column, each with its new name, where it has one. Of several that may have a name, the one that
    fits best has it, and the others are looked at as if that had been its name ever since."""
    column = gone[0].column
    past = [(metrics.rows, metrics.columns[column].shares) for metrics in _having(column, history)[-MEANT:]]
    usual, now = _mean([shares for _, shares in past]), today.columns[column].shares
    ratio = today.rows / (sum(rows for rows, _ in past) / len(past))
    left, names = [category.value for category in gone], dict[str, str]()
    while named := {value: name for value in left if (name := _named(value, usual, now, ratio))}:
        best = min(named, key=lambda value: _apart(value, named[value], usual, now, left))
        names[best] = name = named[best]
        usual[name] = usual.get(name, 0.0) + usual.pop(best)
        left.remove(best)
    return [category._replace(now=names.get(category.value, "")) for category in gone]


def _apart(value: str, name: str, usual: Mapping[str, float], now: Mapping[str, float], gone: Sequence[str]) -> float:
    """How far a name's share is from what it would be if it were the category's: where the others that are missing are gone with their
    rows, or are there under other names, whichever is nearer."""
    share = usual[value] + usual.get(name, 0.0)
    others = sum(usual[other] for other in gone if other != value)
    return min(abs(now[name] - share), abs(now[name] - share / max(1 - others, _SCARCE)))


def _named(gone: str, usual: Mapping[str, float], now: Mapping[str, float], ratio: float) -> str:
    """The category that took over a missing one's rows: more probable than that they are gone. A group that is gone leaves the others in
    proportion to each other, one with another name makes one of them greater. `ratio`: how many rows there are of one that is usual."""
    left = {value: share for value, share in usual.items() if value != gone}
    lost = usual[gone]
    thinned = {value: share / max(1 - lost, _SCARCE) for value, share in left.items()}
    best = max(now, key=lambda value: now[value] - usual.get(value, 0.0), default="")
    moved = {**left, best: left.get(best, 0.0) + lost}
    if now.keys() == left.keys() == {best}:  # the only one that is left is all in either case: rows tell
        return best if abs(math.log(ratio)) < abs(math.log(ratio / max(1 - lost, _SCARCE))) else ""
    return best if _distance(now, moved) < _distance(now, thinned) else ""


def _mean(shares: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The share of each category over several partitions: those of one of them alone differ by
    chance."""
    values = {value for share in shares for value in share}
    return {value: sum(share.get(value, 0.0) for share in shares) / len(shares) for value in values}


def _distance(item: Mapping[str, float], other: Mapping[str, float]) -> float:
    return sum(abs(item.get(value, 0.0) - other.get(value, 0.0)) for value in item.keys() | other.keys())


def _least(column: str, value: str, history: MetricHistory) -> float:
    """The smallest share that a category ever had; 0 where it wasn't always there."""
    return min((metrics.columns[column].shares.get(value, 0.0) for metrics in _having(column, history)), default=0.0)


def _having(column: str, history: MetricHistory) -> list[Metrics]:
    return [metrics for metrics in history.all() if column in metrics.columns]
