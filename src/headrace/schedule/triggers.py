"""When nodes with a trigger may run (SEMANTICS §6; docs/how-to/schedule.md).

Most nodes have none: they run when their inputs are complete. A node that has one runs, for what is scheduled, only what a firing
released: a partition whose interval had ended by then, and that hadn't been published and become stale after that. What isn't cut by
time is released by a firing after it began to wait. What a person asks for by the node's name runs anyway.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from datetime import timedelta

from headrace.model.cron import times_after, times_until
from headrace.model.zones import day_start_us, local_date
from headrace.schedule.graph import GraphNode, NodeTrigger
from headrace.schedule.network import Network
from headrace.schedule.partition_states import TrackedPartition, bounds

DAYS_OFF_MAX = 1_000
"""So many days in a row that it would fire on may be off before a trigger is taken never to fire."""
_DAY = timedelta(days=1)


def timed(trigger: NodeTrigger) -> bool:
    """Whether time alone fires it."""
    return trigger.cron is not None or trigger.every_us is not None


def next_firing(trigger: NodeTrigger, after_us: int) -> int | None:
    """The first time after an instant at which a trigger fires by itself; None for one that only events fire."""
    for _ in range(DAYS_OFF_MAX):
        at = next(_times_after(trigger, after_us), None)
        if at is None or not _off(trigger, at):
            return at
        after_us = day_start_us(local_date(at, trigger.timezone) + _DAY, trigger.timezone) - 1
    return None


def last_firing(trigger: NodeTrigger, until_us: int) -> int | None:
    """The newest time at or before an instant at which a trigger fired by itself."""
    for _ in range(DAYS_OFF_MAX):
        at = next(_times_until(trigger, until_us), None)
        if at is None or not _off(trigger, at):
            return at
        until_us = day_start_us(local_date(at, trigger.timezone), trigger.timezone) - 1
    return None


def _off(trigger: NodeTrigger, at_us: int) -> bool:
    return not trigger.days_off.none and trigger.days_off.holds(local_date(at_us, trigger.timezone))


def _times_after(trigger: NodeTrigger, after_us: int) -> Iterator[int]:
    if trigger.cron is not None:
        return times_after(trigger.cron, trigger.timezone, after_us)
    every = trigger.every_us
    return iter(()) if every is None else iter(range((after_us // every + 1) * every, 1 << 62, every))


def _times_until(trigger: NodeTrigger, until_us: int) -> Iterator[int]:
    if trigger.cron is not None:
        return times_until(trigger.cron, trigger.timezone, until_us)
    every = trigger.every_us
    return iter(()) if every is None else iter(range(until_us // every * every, -(1 << 62), -every))


class Firings:
    """When the trigger of each node fired last, and when it fires next. `recorded` is what was written down of it: a time that was
    missed since fires at once, the newest only. Of a trigger that never fired, the newest time that has passed counts as fired."""

    def __init__(self, network: Network, recorded: Iterable[tuple[str, int]], now: int) -> None:
        self._triggers = {name: node.trigger for name, node in network.nodes.items() if node.trigger is not None}
        self._last: dict[str, int] = {name: at for name, at in recorded if name in self._triggers}
        self._next: list[tuple[int, str]] = []
        self.fired_by = _fired_by(network)
        """Node → the nodes that each of its publications fires."""
        self.unrecorded: list[tuple[str, int]] = []
        """What counts as fired and isn't written down."""
        for name, trigger in self._triggers.items():
            self._begin(name, trigger, now)

    def _begin(self, name: str, trigger: NodeTrigger, now: int) -> None:
        if not timed(trigger):
            return
        if name not in self._last and (last := last_firing(trigger, now)) is not None:
            self._last[name] = last
            self.unrecorded.append((name, last))
        self._set_next(name, trigger, self._last.get(name, now))

    def _set_next(self, name: str, trigger: NodeTrigger, after: int) -> None:
        at = next_firing(trigger, after)
        if at is not None:
            heapq.heappush(self._next, (at, name))

    def due(self, now: int) -> list[tuple[str, int]]:
        """The nodes whose time has come, each with the newest of its times; they fire with this."""
        results = []
        while self._next and self._next[0][0] <= now:
            at, name = heapq.heappop(self._next)
            trigger = self._triggers[name]
            self._last[name] = last_firing(trigger, now) or at
            self._set_next(name, trigger, now)
            results.append((name, self._last[name]))
        return results

    def fire(self, name: str, now: int) -> bool:
        """An event fires a node; whether it has a trigger at all."""
        if name not in self._triggers:
            return False
        self._last[name] = max(now, self._last.get(name, now))
        return True

    def next_event(self) -> int | None:
        """When time fires something next."""
        return self._next[0][0] if self._next else None

    def last(self, name: str) -> int | None:
        """When a node's trigger fired last."""
        return self._last.get(name)

    def next_of(self, name: str, now: int) -> int | None:
        """When time fires a node next."""
        return next_firing(self._triggers[name], now)

    def released(self, node: GraphNode, key: str, tracked: TrackedPartition) -> bool:
        """Whether a firing released a partition; true of what has no trigger."""
        if node.trigger is None:
            return True
        last = self._last.get(node.name)
        if last is None or last < tracked.since:
            return False
        by_data = node.trigger.arrival is not None or node.trigger.upstream is not None
        return by_data or node.partition.grain is None or bounds(node, key)[1] <= last


def _fired_by(network: Network) -> dict[str, list[str]]:
    results: dict[str, list[str]] = {}
    for name, node in network.nodes.items():
        for fire in _fires(network, node):
            results.setdefault(fire, []).append(name)
    return results


def _fires(network: Network, node: GraphNode) -> Iterable[str]:
    """The nodes each of whose publications fires a node."""
    if node.trigger is None:
        return ()
    if node.trigger.upstream is not None:
        return (node.trigger.upstream,) if node.trigger.upstream else dict.fromkeys(spec.node for spec in node.inputs)
    if node.trigger.arrival is None:
        return ()
    if node.trigger.arrival:
        return (node.trigger.arrival,)
    return sorted(name for name in network.ancestors(node) if network.nodes[name].is_source)
