"""Deadlines of consumers, as they reach the nodes: by when a partition has to begin.

Whether they will be met is what a `Forecast` tells (`schedule/forecast.py`): other rooms make one over `network_of(graph)`.
"""

from __future__ import annotations

import functools

from headrace.model import Grain
from headrace.model.days_off import DaysOff
from headrace.model.intervals import bounds_us, key_at_us
from headrace.model.times import Duration, Offset
from headrace.schedule.graph import ConsumerDeadline, Graph, GraphNode
from headrace.schedule.network import Network
from headrace.schedule.partition_states import PartitionStates, bounds

DAY_US = 86_400_000_000
REMEMBERED_MAX = 1 << 14


def network_of(graph: Graph) -> Network:
    """The links of a graph, for forecasts outside of a core."""
    return Network(graph, PartitionStates({node.name: node for node in graph.nodes}))


def latest_safe_start(node: GraphNode, key: str, now: int) -> int | None:
    """When an attempt at a partition has to begin at the latest, so that every consumer gets its interval in time (if what comes after
    it takes as long as usual); None where nobody was promised anything. What isn't cut by time counts for the newest interval that
    has ended."""
    return min((_latest(promise, node, key, now) for promise in node.promises), default=None)


def urgency(node: GraphNode, key: str, now: int) -> int:
    """What sorts partitions that are ready: the latest safe start. What was promised to nobody counts as due by the end of the day
    after the one (in UTC) on which it became ready, so that it doesn't wait for ever behind what was."""
    latest = latest_safe_start(node, key, now)
    return latest if latest is not None else (now // DAY_US + 2) * DAY_US


def _latest(promise: ConsumerDeadline, node: GraphNode, key: str, now: int) -> int:
    grain, zone = promise.grain, promise.timezone
    last = bounds(node, key)[1] - 1 if node.partition.grain is not None else _newest_end(grain, zone, now) - 1
    return _due(grain, zone, promise.due, promise.max_age, promise.days_off, last) - promise.after_us


def _newest_end(grain: Grain, timezone: str, now: int) -> int:
    """When the newest of the intervals that have ended did so."""
    return bounds_us(key_at_us(now, grain, timezone), grain, timezone)[0]


@functools.lru_cache(maxsize=REMEMBERED_MAX)
def _due(grain: Grain, timezone: str, due: str, max_age: str | None, off: DaysOff, last: int) -> int:
    """By when the interval that an instant lies in is due; microseconds. Under `max_age`: when the one before becomes too old."""
    began, ended = bounds_us(key_at_us(last, grain, timezone), grain, timezone)
    if max_age is not None:
        return Duration.parse(max_age).after_us(began, timezone)
    return Offset.parse(due).after_us(ended, timezone, off.holds)
