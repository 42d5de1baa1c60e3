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
from headrace.scheduler.partition_states import (
    Covering,
    PartitionRange,
    PartitionStates,
    bounds,
    span_of,
)
from headrace.scheduler.readiness import STEPS_MAX, Needs
from headrace.scheduler.states import PartitionState, TrackedPartition

# Demands of runs: a partition runs only while some run wants it.

RETRY_AWAITED_US = 2_500_000
"""Longest wait for a retry within one run, in microseconds; longer retries are left to the next
run."""


class Demand:
    """The request of one run, with the number of its partitions in progress."""

    def __init__(self, event: Requested, partition_states: PartitionStates) -> None:
        self.run, self.standing = event.run, event.standing
        self.named = event.retry
        """Nodes that a person named: their proposed partitions run, too."""
        self.active = 0
        """Number of wanted partitions that are queued or running."""
        spans: dict[str, list[PartitionRange]] = {}
        for target in event.targets:
            spans.setdefault(target.node, []).append(
                span_of(partition_states.nodes[target.node], target)
            )
        self._spans = {node: Covering(ranges) for node, ranges in spans.items()}

    @property
    def nodes(self) -> Iterable[str]:
        """The requested nodes."""
        return self._spans

    def stands_for(self, node: str) -> bool:
        """Return whether all of a node is wanted for as long as the leader runs."""
        return self.standing and self.wants_all(node)

    def wants_all(self, node: str) -> bool:
        """Return whether all of a node is wanted."""
        return node in self._spans and self._spans[node].everything

    def covers(self, partition_states: PartitionStates, node: str, key: str) -> bool:
        """Return whether a partition is wanted."""
        spans = self._spans.get(node)
        return spans is not None and (
            spans.everything
            or spans.covers(partition_states.order(partition_states.nodes[node], key))
        )


class Demands:
    """The requests of all active runs, oldest run first."""

    def __init__(self, partition_states: PartitionStates) -> None:
        self._partition_states = partition_states
        self._demands: dict[int, Demand] = {}

    def add(self, demand: Demand) -> None:
        """Add a request; it replaces one with the same run number."""
        self._demands[demand.run] = demand

    def remove(self, run: int) -> Demand | None:
        """Remove and return the request of a run; None if there is none."""
        return self._demands.pop(run, None)

    @property
    def continuous(self) -> bool:
        """Whether any request lasts as long as the leader."""
        return any(demand.standing for demand in self._demands.values())

    def stand_for(self, node: str) -> bool:
        """Return whether all of a node is wanted for as long as the leader runs."""
        return any(demand.stands_for(node) for demand in self._demands.values())

    def wants_all(self, node: str) -> bool:
        """Return whether any run wants all of a node."""
        return any(demand.wants_all(node) for demand in self._demands.values())

    def wanting(self, node: str, key: str) -> list[Demand]:
        """Return the requests that want a partition."""
        return [
            demand
            for demand in self._demands.values()
            if demand.covers(self._partition_states, node, key)
        ]

    def wanted(self, node: str, key: str, run: int | None = None) -> bool:
        """Return whether any run, or the given one, wants a partition."""
        demands = self._demands.values()
        return any(
            demand.covers(self._partition_states, node, key)
            for demand in demands
            if run is None or demand.run == run
        )

    def asked_for(self, node: str, key: str) -> bool:
        """Return whether a run other than the server's own wants a partition."""
        return any(
            demand.covers(self._partition_states, node, key)
            for demand in self._demands.values()
            if not demand.standing
        )

    def named(self, node: str, key: str) -> bool:
        """Return whether a person requested a partition by its node's name."""
        return any(
            node in demand.named and demand.covers(self._partition_states, node, key)
            for demand in self._demands.values()
        )

    def begun(self, node: str, key: str) -> None:
        """Count a partition as queued."""
        for demand in self.wanting(node, key):
            demand.active += 1

    def rested(self, node: str, key: str) -> None:
        """Count a partition as neither queued nor running."""
        for demand in self.wanting(node, key):
            demand.active -= 1

    def at_rest(self) -> list[Demand]:
        """Return the requests with nothing in progress."""
        return [
            demand for demand in self._demands.values() if not demand.active and not demand.standing
        ]


# Paused nodes: none of their attempts start; running attempts continue.


class NodePause(NamedTuple):
    """Reason and end (microseconds) of a pause; None if only a person ends it."""

    reason: str
    until: int | None


class Pauses:
    """The paused nodes."""

    def __init__(self) -> None:
        self._paused: dict[str, NodePause] = {}
        self._ends: list[tuple[int, str]] = []

    def pause(self, event: Paused) -> None:
        """Pause nodes; this replaces an earlier pause of a node."""
        for node in event.nodes:
            self._paused[node] = NodePause(event.reason, event.until)
            if event.until is not None:
                heapq.heappush(self._ends, (event.until, node))

    def resume(self, nodes: Iterable[str]) -> list[str]:
        """Resume nodes; return those that were paused."""
        return [node for node in nodes if self._paused.pop(node, None) is not None]

    def over(self, now: int) -> list[str]:
        """Return the nodes whose pause has ended, which are no longer paused."""
        results = []
        while self._ends and self._ends[0][0] <= now:
            at, node = heapq.heappop(self._ends)
            pause = self._paused.get(node)
            if (
                pause is not None and pause.until == at
            ):  # it may have been paused again since, or for longer
                results += self.resume([node])
        return results

    def of(self, node: str) -> NodePause | None:
        """Return the pause of a node; None if it isn't paused."""
        return self._paused.get(node)

    def next_event(self) -> int | None:
        """Return when the next pause ends by itself, in microseconds; None if none does."""
        return self._ends[0][0] if self._ends else None

    def until(self) -> dict[str, int | None]:
        """Return all paused nodes with the end of their pause."""
        return {node: pause.until for node, pause in self._paused.items()}


# Firings of triggers (SEMANTICS §6; docs/how-to/schedule.md). Most nodes have no trigger: they
# run when their inputs are complete. For scheduled work, a node with one runs only partitions
# that a firing released: the interval had ended by then, and the partition hadn't been published
# and become stale after it. Data that isn't partitioned by time is released by a firing after it
# began to wait. A request that names the node runs it in any case.

DAYS_OFF_MAX = 1_000
"""Number of consecutive matching days off after which a trigger is assumed never to fire."""
_DAY = timedelta(days=1)


def fires_by_time(trigger: NodeTrigger) -> bool:
    """Return whether time alone fires a trigger."""
    return trigger.cron is not None or trigger.every_us is not None


def next_firing(trigger: NodeTrigger, after_us: int) -> int | None:
    """Return the first time after `after_us` at which a trigger fires by itself.

    None for a trigger that only events fire.
    """
    for _ in range(DAYS_OFF_MAX):
        at = next(_times_after(trigger, after_us), None)
        if at is None or not _off(trigger, at):
            return at
        after_us = day_start_us(local_date(at, trigger.timezone) + _DAY, trigger.timezone) - 1
    return None


def last_firing(trigger: NodeTrigger, until_us: int) -> int | None:
    """Return the latest time until `until_us` at which a trigger fired by itself.

    None if there is none.
    """
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
    return (
        iter(()) if every is None else iter(range((after_us // every + 1) * every, 1 << 62, every))
    )


def _times_until(trigger: NodeTrigger, until_us: int) -> Iterator[int]:
    if trigger.cron is not None:
        return times_until(trigger.cron, trigger.timezone, until_us)
    every = trigger.every_us
    return iter(()) if every is None else iter(range(until_us // every * every, -(1 << 62), -every))


class Firings:
    """The last and the next firing of each node's trigger.

    `recorded` holds the stored firings. If times were missed since, only the newest fires, at once.
    For a trigger that never fired, its newest past time counts as fired.
    """

    def __init__(self, network: Network, recorded: Iterable[tuple[str, int]], now: int) -> None:
        self._triggers = {
            name: node.trigger for name, node in network.nodes.items() if node.trigger is not None
        }
        self._last: dict[str, int] = {name: at for name, at in recorded if name in self._triggers}
        self._next: list[tuple[int, str]] = []
        self.fired_by = _fired_by(network)
        """Node → the nodes that each of its publications fires."""
        self.unrecorded: list[tuple[str, int]] = []
        """Firings that aren't stored yet."""
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
        """Fire the triggers whose time has come; return their nodes, each with its newest time."""
        results = []
        while self._next and self._next[0][0] <= now:
            at, name = heapq.heappop(self._next)
            trigger = self._triggers[name]
            self._last[name] = last_firing(trigger, now) or at
            self._set_next(name, trigger, now)
            results.append((name, self._last[name]))
        return results

    def fire(self, name: str, now: int) -> bool:
        """Fire a node's trigger by an event; return whether it has one."""
        if name not in self._triggers:
            return False
        self._last[name] = max(now, self._last.get(name, now))
        return True

    def next_event(self) -> int | None:
        """Return when time fires the next trigger, in microseconds; None if there is none."""
        return self._next[0][0] if self._next else None

    def last(self, name: str) -> int | None:
        """Return when a node's trigger last fired, in microseconds; None if never."""
        return self._last.get(name)

    def next_of(self, name: str, now: int) -> int | None:
        """Return when time next fires a node's trigger, in microseconds; None if never."""
        return next_firing(self._triggers[name], now)

    def released(self, node: GraphNode, key: str, tracked: TrackedPartition) -> bool:
        """Return whether a firing released a partition; always true without a trigger."""
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
    """Return the nodes whose publications each fire this node."""
    if node.trigger is None:
        return ()
    if node.trigger.upstream is not None:
        return (
            (node.trigger.upstream,)
            if node.trigger.upstream
            else dict.fromkeys(spec.node for spec in node.inputs)
        )
    if node.trigger.arrival is None:
        return ()
    if node.trigger.arrival:
        return (node.trigger.arrival,)
    return sorted(name for name in network.ancestors(node) if network.nodes[name].is_source)


# Answers whether a gate keeps a partition from starting.

STATES_RUN_AGAIN = (
    PartitionState.PUBLISHED,
    PartitionState.FAILED,
    PartitionState.REJECTED,
    PartitionState.HELD,
)
"""States from which a firing runs a node again that has neither inputs nor partitions."""


class Gates:
    """Decides whether pauses, triggers or newer intervals keep partitions from running."""

    def __init__(
        self, partition_states: PartitionStates, network: Network, demands: Demands
    ) -> None:
        self._partition_states, self._network, self._demands = partition_states, network, demands
        self.pauses = Pauses()
        self.firings = Firings(network, (), 0)

    def shut(self, node: GraphNode, key: str, now: int) -> AwaitedPartition | None:
        """Return the gate that blocks a partition; None if there is none."""
        pause = self.pauses.of(node.name)
        if pause is not None:
            return AwaitedPartition(
                node.name, key, PartitionState.WAITING, f"is paused: {pause.reason}", pause.until
            )
        if node.trigger is None or self._demands.named(node.name, key):
            return None
        tracked = self._partition_states.get(node.name, key)
        if tracked is None or self.firings.released(node, key, tracked):
            return None
        return AwaitedPartition(
            node.name,
            key,
            PartitionState.WAITING,
            "waits for its trigger",
            self.next_release(node, key, now),
        )

    def next_release(self, node: GraphNode, key: str, now: int) -> int | None:
        """Return when time next releases a partition by a firing, in microseconds."""
        end = bounds(node, key)[1] - 1 if node.partition.grain is not None else now
        return self.firings.next_of(node.name, max(now, end))

    def passed_over(
        self, node: GraphNode, key: str, tracked: TrackedPartition, needs: Needs
    ) -> str | None:
        """Return the newer interval that makes a partition unwanted under `catch_up: latest`.

        Only for a partition that was never published; else None.
        """
        trigger = node.trigger
        if (
            trigger is None
            or not trigger.latest
            or tracked.published
            or node.partition.grain is None
        ):
            return None
        last = self.firings.last(node.name)
        if last is None or self._demands.named(node.name, key):
            return None
        return self._newer(node, key, min(last, self._complete_until(node)), needs)

    def _newer(self, node: GraphNode, key: str, until: float, needs: Needs) -> str | None:
        """Return a later interval that ended by `until` and has something due."""
        grain = node.partition.time_grain
        interval, data = split(key, node.partition)
        for _ in range(STEPS_MAX):
            interval = next_key(interval, grain, node.timezone)
            item = join(interval, data)
            if bounds(node, item)[1] > until:
                return None
            if needs.expected(node, item):
                return interval
        return None

    def _complete_until(self, node: GraphNode) -> float:
        """Return the end of the newest interval that all required ancestors have.

        It is in microseconds.
        """
        results: dict[str, float] = {}
        for name in self._above(node):
            newest = self._partition_states.newest.get(name)
            own_end = (
                bounds(self._network.nodes[name], newest[1])[1] if newest is not None else -math.inf
            )
            results[name] = max(
                own_end,
                min(
                    (results.get(source.name, math.inf) for source in self._paced(name)),
                    default=-math.inf,
                ),
            )
        return results[node.name]

    def _above(self, node: GraphNode) -> list[str]:
        """Return a node and its required ancestors partitioned by time, sources first."""
        results, open_ends = {node.name}, [node.name]
        while open_ends:
            new = {
                source.name
                for source in self._paced(open_ends.pop())
                if source.partition.grain is not None
            } - results
            results |= new
            open_ends += new
        return sorted(results, key=self._network.rank.__getitem__)

    def _paced(self, name: str) -> list[GraphNode]:
        return [link.input for link in self._network.required[name]]
