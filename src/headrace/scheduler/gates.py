"""Gates: demands of runs, pauses and triggers, which decide whether a ready partition starts."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import NamedTuple

from headrace.model.intervals import day_start_us, local_date, next_key
from headrace.model.partitions import join, split
from headrace.model.times import times_after, times_until
from headrace.scheduler.dependencies import Network
from headrace.scheduler.events import AwaitedPartition, Paused, Requested
from headrace.scheduler.graph import GraphNode, NodeTrigger
from headrace.scheduler.partition_states import Covering, PartitionRange, PartitionStates, bounds, span_of
from headrace.scheduler.readiness import STEPS_MAX, Needs
from headrace.scheduler.states import PartitionState, TrackedPartition

# Demands of runs: a partition runs only while some run wants it.

RETRY_AWAITED_US = 2_500_000
"""A run waits so long for a partition that is to be tried again; what takes longer is left to the next one."""


class Demand:
    """What one run wants, and how much of it is under way."""

    def __init__(self, event: Requested, partition_states: PartitionStates) -> None:
        self.run, self.standing = event.run, event.standing
        self.named = event.retry
        """The nodes that a person named: what is only proposed otherwise runs."""
        self.active = 0
        """Of what it wants, how many partitions are queued or running."""
        spans: dict[str, list[PartitionRange]] = {}
        for target in event.targets:
            spans.setdefault(target.node, []).append(span_of(partition_states.nodes[target.node], target))
        self._spans = {node: Covering(ranges) for node, ranges in spans.items()}

    @property
    def nodes(self) -> Iterable[str]:
        """The nodes that it asks for."""
        return self._spans

    def stands_for(self, node: str) -> bool:
        """Whether all of a node is wanted for as long as the leader runs."""
        return self.standing and node in self._spans and self._spans[node].everything

    def covers(self, partition_states: PartitionStates, node: str, key: str) -> bool:
        """Whether a partition is wanted."""
        spans = self._spans.get(node)
        return spans is not None and (spans.everything or spans.covers(partition_states.order(partition_states.nodes[node], key)))


class Demands:
    """All that is wanted now, oldest run first."""

    def __init__(self, partition_states: PartitionStates) -> None:
        self._partition_states = partition_states
        self._demands: dict[int, Demand] = {}

    def add(self, demand: Demand) -> None:
        """A run wants something; under the same number it replaces what it wanted before."""
        self._demands[demand.run] = demand

    def remove(self, run: int) -> Demand | None:
        """It isn't wanted any more; what it was."""
        return self._demands.pop(run, None)

    @property
    def standing(self) -> bool:
        """Whether anything is wanted for as long as the leader runs."""
        return any(demand.standing for demand in self._demands.values())

    def stand_for(self, node: str) -> bool:
        """Whether all of a node is wanted for as long as the leader runs."""
        return any(demand.stands_for(node) for demand in self._demands.values())

    def wanting(self, node: str, key: str) -> list[Demand]:
        """The runs that want a partition."""
        return [demand for demand in self._demands.values() if demand.covers(self._partition_states, node, key)]

    def wanted(self, node: str, key: str, run: int | None = None) -> bool:
        """Whether any run wants a partition, or that one."""
        demands = self._demands.values()
        return any(demand.covers(self._partition_states, node, key) for demand in demands if run is None or demand.run == run)

    def asked_for(self, node: str, key: str) -> bool:
        """Whether any run wants a partition that somebody asked for, besides what a server does by itself."""
        return any(demand.covers(self._partition_states, node, key) for demand in self._demands.values() if not demand.standing)

    def named(self, node: str, key: str) -> bool:
        """Whether a person asked for a partition by its node's name."""
        return any(node in demand.named and demand.covers(self._partition_states, node, key) for demand in self._demands.values())

    def begun(self, node: str, key: str) -> None:
        """A partition is queued, that wasn't queued nor running."""
        for demand in self.wanting(node, key):
            demand.active += 1

    def rested(self, node: str, key: str) -> None:
        """A partition is neither queued nor running any more."""
        for demand in self.wanting(node, key):
            demand.active -= 1

    def at_rest(self) -> list[Demand]:
        """The runs of which nothing is under way."""
        return [demand for demand in self._demands.values() if not demand.active and not demand.standing]


# Paused nodes: none of their attempts start; running attempts continue.


class NodePause(NamedTuple):
    """Why, and until when (microseconds); None where only a person ends it."""

    reason: str
    until: int | None


class Pauses:
    """What is paused."""

    def __init__(self) -> None:
        self._paused: dict[str, NodePause] = {}
        self._ends: list[tuple[int, str]] = []

    def pause(self, event: Paused) -> None:
        """Nodes are paused; what was said before of one is replaced."""
        for node in event.nodes:
            self._paused[node] = NodePause(event.reason, event.until)
            if event.until is not None:
                heapq.heappush(self._ends, (event.until, node))

    def resume(self, nodes: Iterable[str]) -> list[str]:
        """Nodes aren't paused any more; those that were."""
        return [node for node in nodes if self._paused.pop(node, None) is not None]

    def over(self, now: int) -> list[str]:
        """The nodes whose pause has come to its end; they aren't paused any more."""
        results = []
        while self._ends and self._ends[0][0] <= now:
            at, node = heapq.heappop(self._ends)
            pause = self._paused.get(node)
            if pause is not None and pause.until == at:  # it may have been paused again since, or for longer
                results += self.resume([node])
        return results

    def of(self, node: str) -> NodePause | None:
        """The pause of a node."""
        return self._paused.get(node)

    def next_event(self) -> int | None:
        """When one ends by itself next."""
        return self._ends[0][0] if self._ends else None

    def until(self) -> dict[str, int | None]:
        """All that are paused, with when that ends."""
        return {node: pause.until for node, pause in self._paused.items()}


# Firings of triggers (SEMANTICS §6; docs/how-to/schedule.md). Most nodes have no trigger: they
# run when their inputs are complete. For scheduled work, a node with one runs only partitions
# that a firing released: the interval had ended by then, and the partition hadn't been published
# and become stale after it. Data that isn't partitioned by time is released by a firing after it
# began to wait. A request that names the node runs it in any case.

DAYS_OFF_MAX = 1_000
"""So many days in a row that it would fire on may be off before a trigger is taken never to fire."""
_DAY = timedelta(days=1)


def fires_by_time(trigger: NodeTrigger) -> bool:
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
        if not fires_by_time(trigger):
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


# Answers whether a gate keeps a partition from starting.

STATES_RUN_AGAIN = (PartitionState.PUBLISHED, PartitionState.FAILED, PartitionState.REJECTED, PartitionState.HELD)
"""What a firing runs again, where a node has neither inputs nor partitions."""


class Gates:
    """Answers over a partition states and a network."""

    def __init__(self, partition_states: PartitionStates, network: Network, demands: Demands) -> None:
        self._partition_states, self._network, self._demands = partition_states, network, demands
        self.pauses = Pauses()
        self.firings = Firings(network, (), 0)

    def shut(self, node: GraphNode, key: str, now: int) -> AwaitedPartition | None:
        """What a partition waits for before it may be looked at; None if nothing."""
        pause = self.pauses.of(node.name)
        if pause is not None:
            return AwaitedPartition(node.name, key, PartitionState.WAITING, f"is paused: {pause.reason}", pause.until)
        if node.trigger is None or self._demands.named(node.name, key):
            return None
        tracked = self._partition_states.get(node.name, key)
        if tracked is None or self.firings.released(node, key, tracked):
            return None
        return AwaitedPartition(node.name, key, PartitionState.WAITING, "waits for its trigger", self.next_release(node, key, now))

    def next_release(self, node: GraphNode, key: str, now: int) -> int | None:
        """When time fires a node next, so that it releases a partition."""
        end = bounds(node, key)[1] - 1 if node.partition.grain is not None else now
        return self.firings.next_of(node.name, max(now, end))

    def passed_over(self, node: GraphNode, key: str, tracked: TrackedPartition, needs: Needs) -> str | None:
        """Under `catch_up: latest`: the newer interval that makes this one, which was never published, unwanted."""
        trigger = node.trigger
        if trigger is None or not trigger.latest or tracked.published or node.partition.grain is None:
            return None
        last = self.firings.last(node.name)
        if last is None or self._demands.named(node.name, key):
            return None
        return self._newer(node, key, min(last, self._heard(node)), needs)

    def _newer(self, node: GraphNode, key: str, until: float, needs: Needs) -> str | None:
        """A later interval that ended by then, and that something is due for."""
        grain = node.partition.grain
        assert grain is not None
        moment, data = split(key, node.partition)
        for _ in range(STEPS_MAX):
            moment = next_key(moment, grain, node.timezone)
            item = join(moment, data)
            if bounds(node, item)[1] > until:
                return None
            if needs.expected(node, item):
                return moment
        return None

    def _heard(self, node: GraphNode) -> float:
        """The end of the newest interval for which something was heard of all that a node requires, all the way up."""
        results: dict[str, float] = {}
        for name in self._above(node):
            newest = self._partition_states.newest.get(name)
            own = bounds(self._network.nodes[name], newest[1])[1] if newest is not None else -math.inf
            results[name] = max(own, min((results.get(source.name, math.inf) for source in self._paced(name)), default=-math.inf))
        return results[node.name]

    def _above(self, node: GraphNode) -> list[str]:
        """A node and all that are cut by time and required above it, sources first."""
        results, open_ends = {node.name}, [node.name]
        while open_ends:
            new = {source.name for source in self._paced(open_ends.pop()) if source.partition.grain is not None} - results
            results |= new
            open_ends += new
        return sorted(results, key=self._network.rank.__getitem__)

    def _paced(self, name: str) -> list[GraphNode]:
        return [link.input for link in self._network.links[name] if not link.newest and not link.optional]
