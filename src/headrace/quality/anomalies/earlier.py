"""Times of an earlier interval: rows of another day whose every time is of that day, whatever the file is called.

What is compared is between which times eight of ten rows lie: a few late rows of the day before are no other day. Later times prove
nothing: a column may say when the rows were written, and a delivery may come late.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from headrace.model import Grain
from headrace.model.required import SEPARATOR
from headrace.model.zones import EPOCH
from headrace.quality.anomalies.history import MetricHistory
from headrace.quality.anomalies.young import HOLD_MIN, WARN_MIN
from headrace.quality.metrics import ColumnMetrics

_MINUTES = {Grain.DAY: 24 * 60, Grain.HOUR: 60}
CLOCKS_DIFFER = 60
"""Minutes: a clock without zone may be set forward or back by so much."""
NEIGHBOURS = 1
"""Times that lie in more than an interval and its neighbour aren't those of the interval."""


class UnexpectedTimeRange(NamedTuple):
    """A column of times, from when on they were expected, and between which nearly all lie. `sure`: at least a week is known, with a
    day like this one."""

    column: str
    expected: str
    first: str
    last: str
    sure: bool


def earlier(partition: str, columns: dict[str, ColumnMetrics], history: MetricHistory) -> Iterator[UnexpectedTimeRange]:
    """The columns whose times all lie before their interval, and before those of all partitions so far."""
    minutes, begins = _MINUTES.get(history.grain) if history.grain else None, _begins(partition)
    if minutes is None or begins is None:
        return
    for name, column in columns.items():
        if column.between is None or column.between[1] >= begins:
            continue
        known = _known(name, history)
        lowest, highest = min((first for first, _ in known), default=0), max((last for _, last in known), default=0)
        if len(known) < WARN_MIN or highest // minutes - lowest // minutes > NEIGHBOURS:
            continue
        last = column.between[1] - begins
        if last < lowest - CLOCKS_DIFFER and last // minutes < lowest // minutes:
            sure = len(known) >= HOLD_MIN and bool(history.like(partition))
            yield UnexpectedTimeRange(name, _shown(begins + lowest), _shown(column.between[0]), _shown(column.between[1]), sure)


def _known(column: str, history: MetricHistory) -> list[tuple[int, int]]:
    """Between which minutes of each partition so far the times of a column lay, counted from where it begins."""
    results = []
    for key, metrics in history.newest(len(history)):
        begins, column_metrics = _begins(key), metrics.columns.get(column)
        if begins is not None and column_metrics is not None and column_metrics.between is not None:
            results.append((column_metrics.between[0] - begins, column_metrics.between[1] - begins))
    return results


def _begins(partition: str) -> int | None:
    """When a partition begins, local time, in minutes since 1970."""
    try:
        local = datetime.fromisoformat(partition.partition(SEPARATOR)[0]).replace(tzinfo=UTC)
    except ValueError:
        return None
    return (local - EPOCH) // timedelta(minutes=1)


def _shown(minutes: int) -> str:
    return f"{EPOCH + timedelta(minutes=minutes):%Y-%m-%d %H:%M}"
