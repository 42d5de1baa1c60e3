"""Deadlines of consumers, as they reach the nodes: by when a partition has to begin, and which obligations will be missed.

`at_risk` is what other rooms ask: give it the obligations that aren't met yet and a `Forecast`; it answers those that won't be met in
time, each with the step that is to blame.

    network = network_of(graph)                                  # `run.graph.graph_of(compiled)`; once a version
    forecast = Forecast(network, stand, now, seconds=p95, paused={"clean": None})
    for risk in at_risk(awaited, forecast):                      # `awaited`: open obligations, with what they require
        risk.consumer, risk.interval, risk.due, risk.predicted, risk.cause

`stand(node, key)` answers a `Stand` for what the store knows of a partition, None for what nothing was heard of.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import NamedTuple

from headrace.model import Grain
from headrace.model.days_off import DaysOff
from headrace.model.intervals import bounds_us, key_at_us
from headrace.model.times import Duration, Offset
from headrace.schedule.board import Board, bounds
from headrace.schedule.forecast import Forecast, Step
from headrace.schedule.graph import Graph, GraphNode, Promise
from headrace.schedule.network import Network

DAY_US = 86_400_000_000
REMEMBERED_MAX = 1 << 14


class Awaited(NamedTuple):
    """An obligation that isn't met: an interval of a consumer, by when it is due, and the partitions that it requires of its reads
    (without those that count as present)."""

    consumer: str
    interval: str
    due: int
    requires: tuple[tuple[str, str], ...]


class Risk(NamedTuple):
    """An obligation that won't be met in time. `predicted` is when it will be, None where nothing says when."""

    consumer: str
    interval: str
    due: int
    predicted: int | None
    cause: Step | None
    """What makes it late: its node, its partition, and one clause that says why."""


def network_of(graph: Graph) -> Network:
    """The links of a graph, for forecasts outside of a core."""
    return Network(graph, Board({node.name: node for node in graph.nodes}))


def at_risk(awaited: Iterable[Awaited], forecast: Forecast) -> list[Risk]:
    """The obligations that will be missed, in the order in which they are asked for. Those that are overdue are among them."""
    found = []
    for one in awaited:
        outlook = forecast.of_all(one.requires)
        if outlook.at is None or outlook.at > one.due:
            found.append(Risk(one.consumer, one.interval, one.due, outlook.at, outlook.cause))
    return found


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


def _latest(promise: Promise, node: GraphNode, key: str, now: int) -> int:
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
