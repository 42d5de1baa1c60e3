"""Intervals of nodes as days: when they end, and which deliveries of them are expected."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from headrace.extension import UsageError
from headrace.model.intervals import bounds_us, day_start_us, key_at_us, local_date, next_key
from headrace.model.partitions import SEPARATOR, join
from headrace.scheduler import GraphNode


class Span(NamedTuple):
    """Days in a row: intervals that end from `start_us` until before `end_us`."""

    start_us: int
    days: int
    timezone: str

    @property
    def first_day(self) -> int:
        """The ordinal of the first day."""
        return local_date(self.start_us, self.timezone).toordinal()

    @property
    def end_us(self) -> int:
        """The end of the last day, in microseconds."""
        return day_start_us(date.fromordinal(self.first_day + self.days), self.timezone)


def expected_arrivals(node: GraphNode, span: Span) -> Iterable[tuple[str, int, int, str]]:
    """Yield the intervals of a source that end in a span: key, end (microseconds), day, slot."""
    grain = node.partition.grain
    if grain is None:
        return
    time_key = key_at_us(span.start_us - 1, grain, node.timezone)
    end = bounds_us(time_key, grain, node.timezone)[1]
    while end < span.end_us:
        if not node.days_off.covers(time_key, grain, node.timezone):
            for data in node.partition.values or ("",):
                key = join(time_key, data) if data else time_key
                yield key, end, *day_and_slot(node, key, end, span.timezone)
        time_key = next_key(time_key, grain, node.timezone)
        end = bounds_us(time_key, grain, node.timezone)[1]


def recurs(node: GraphNode) -> bool:
    """Whether the same partitions are computed again and again."""
    return node.partition.grain is None and not node.partition.by_delivery


def day_and_slot(node: GraphNode, key: str, at_us: int, timezone: str) -> tuple[int, str]:
    """Return the day (ordinal) of a partition, and what tells it from others of that day.

    For a partition without an interval, the day is that of `at_us` (microseconds).
    """
    grain = node.partition.grain
    if grain is None:
        return local_date(at_us, timezone).toordinal(), key if recurs(node) else ""
    time_key, _, data = key.partition(SEPARATOR)
    end = end_us(node, time_key)
    ended = local_date(end, node.timezone) if end is not None else local_date(at_us, timezone)
    hour = time_key[10:] if grain.value == "hour" else ""
    return ended.toordinal(), f"{hour}{SEPARATOR}{data}" if data else hour


def end_us(node: GraphNode, key: str) -> int | None:
    """Return the end of a partition's interval.

    None without one, and for a key from before a change of the declaration.
    """
    if node.partition.grain is None:
        return None
    try:
        return bounds_us(key.partition(SEPARATOR)[0], node.partition.grain, node.timezone)[1]
    except UsageError:
        return None
