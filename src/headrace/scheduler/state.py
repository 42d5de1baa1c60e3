"""The scheduler's state, and the queue of partitions that may run."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from headrace.scheduler.capacity import AttemptDurations, ReadyEntry, ReadyQueue
from headrace.scheduler.dependencies import Network, urgency
from headrace.scheduler.events import AttemptId, AwaitedPartition, Command, FailsAlike, PartitionUpdate
from headrace.scheduler.gates import Demand, Demands, Gates
from headrace.scheduler.graph import LAPSE_US, Graph, GraphNode, PoolCapacity, PoolLease, Takes, slots_taken
from headrace.scheduler.partition_states import PartitionStates
from headrace.scheduler.readiness import Needs
from headrace.scheduler.states import PartitionState, PartitionTransition, TrackedPartition, next_state

# Everything that the core knows at one instant, and the few changes that all parts of the core
# make alike.


class Running(NamedTuple):
    """A slot that is taken, until `expires_at` at the latest."""

    node: str
    keys: tuple[str, ...]
    expires_at: int
    runs: tuple[int, ...] = ()
    """The runs that wanted it when it was given out, newest first."""


class SchedulerState:
    """A graph, where its partitions stand, what is wanted, what runs, and what waits for its turn or its time."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: dict[str, GraphNode] = {node.name: node for node in graph.nodes}
        self.partition_states = PartitionStates(self.nodes)
        self.network = Network(graph, self.partition_states)
        self.demands = Demands(self.partition_states)
        self.gates = Gates(self.partition_states, self.network, self.demands)
        self.needs = Needs(self.partition_states, self.network, self.will_run)
        self.durations = AttemptDurations()
        self.takes: dict[str, Takes] = {node.name: slots_taken(node, graph.pools) for node in graph.nodes}
        """Node → what an attempt at it takes of pools."""
        self.ready = ReadyQueue()
        """What may run."""
        self.later: list[tuple[int, str, str]] = []
        """Heap of what failed and is tried again at a time."""
        self.alarms: list[tuple[int, str, str]] = []
        """Heap of partitions that only time makes ready."""
        self.running: dict[AttemptId, Running] = {}
        self.timed_out: set[AttemptId] = set()
        self.cancelled: set[AttemptId] = set()
        self.gathering: dict[tuple[str, str], None] = {}
        """Partitions that run once their ancestors are at rest."""
        self.elsewhere: Takes = ()
        """What other cores' attempts hold of the same pools."""
        self.apart: set[str] = set()
        """Nodes whose partitions came to something else when several were computed at once: they are computed one by one."""
        self.alike: dict[str, FailsAlike] = {}
        """Nodes whose code can't work in any partition → the one in which it failed, and how: the others fail without an attempt, until
        one of them is asked for again or the code changes."""
        self.earlier: dict[str, bool] = {}
        """Sources that begin earlier than was known, until what that makes expected was looked for → whether nothing was known of it."""
        self.commands: list[Command] = []
        """What the event that is being handled has led to."""
        self.now = 0

    def will_run(self, node: str, key: str) -> bool:
        """Whether a partition that waits is going to run: what reads it waits for it then, though something is published."""
        return self.demands.wanted(node, key) and self.gates.shut(self.nodes[node], key, self.now) is None

    def blocked(self, node: GraphNode, key: str) -> Iterator[AwaitedPartition]:
        """What keeps a partition from running: its node's gate, then what it needs, in the order of its inputs."""
        shut = self.gates.shut(node, key, self.now)
        if shut is not None:
            yield shut
        yield from self.needs.missing(node, key, self.now)

    def room(self, *, alone: bool = False) -> PoolCapacity:
        """What is free in pools; `alone`: if nobody else took of them."""
        leases = (PoolLease(self.takes[item.node], item.expires_at) for item in self.running.values())
        return PoolCapacity(self.graph.pools, leases, self.now, () if alone else self.elsewhere)

    def held(self) -> Takes:
        """What attempts hold of pools."""
        room = self.room(alone=True)
        return tuple((pool, taken) for pool in self.graph.pools if (taken := room.taken(pool)))

    def short(self) -> tuple[str, ...]:
        """The pools that something is ready for and would have room in, if nobody else took of them."""
        full, alone, results = self.room(), self.room(alone=True), dict[str, None]()
        for entry, takes in self.ready.heads() if self.elsewhere else ():
            tracked = self.partition_states.get(self.network.order[entry.rank], entry.key)
            if tracked is not None and tracked.queued and not alone.short(takes):
                results.update(dict.fromkeys(full.short(takes)))
        return tuple(results)

    def lapses(self) -> list[int]:
        """When leases lapse whose attempts ran out of time, and nobody heard of their end."""
        if not self.graph.pools:
            return []
        lapses = [self.running[attempt].expires_at + LAPSE_US for attempt in self.timed_out if attempt in self.running]
        return [at for at in lapses if at > self.now]

    def put_back(self, node: str, key: str) -> None:
        """A partition that is queued isn't to run now."""
        self.partition_states.tracked(node, key).queued = False
        self.rest(node, key)

    def put_aside(self, node: str, key: str, change: PartitionTransition, reason: str) -> None:
        """A partition that doesn't run isn't to be made any more."""
        tracked = self.partition_states.tracked(node, key)
        if tracked.queued:
            self.put_back(node, key)
        tracked.state, tracked.reason = next_state(tracked.state, change), reason
        tracked.stale = tracked.proposed = False
        tracked.failures, tracked.not_before = 0, None
        self.mark(node, key, tracked)

    def mark(self, node: str, key: str, tracked: TrackedPartition) -> None:
        """Say that a partition stands elsewhere now."""
        self.commands.append(
            PartitionUpdate(node, key, tracked.state, tracked.stale, tracked.failures, tracked.not_before, tracked.reason, tracked.proposed)
        )

    def begin(self, node: str, key: str) -> None:
        """A partition is queued."""
        self.partition_states.busy[node] = self.partition_states.busy.get(node, 0) + 1
        self.demands.begun(node, key)

    def rest(self, node: str, *keys: str) -> None:
        """Partitions are neither queued nor running any more."""
        self.partition_states.rest(node, len(keys))
        for key in keys:
            self.demands.rested(node, key)

    def under_way(self) -> Iterator[tuple[str, str]]:
        """What is queued or running, each once."""
        for running in self.running.values():
            yield from ((running.node, key) for key in running.keys)
        for name, key in {(self.network.order[entry.rank], entry.key): None for entry in self.ready}:  # what was put back left an entry
            tracked = self.partition_states.get(name, key)
            if tracked is not None and tracked.queued:
                yield name, key


# A partition that a run wants is queued as soon as nothing that it needs is missing.

FIRSTS = 4
"""So many partitions of each node come first, where nodes come one after the other."""


class Queue:
    """Puts partitions of a state of the scheduler into its ready queue."""

    def __init__(self, scheduler_state: SchedulerState) -> None:
        self._all = scheduler_state
        self._partition_states, self._network = scheduler_state.partition_states, scheduler_state.network
        self._firsts = Counter[str]()
        """Node → how many of its partitions were queued."""

    def expect(self, node: GraphNode, key: str) -> None:
        """A partition there should be: it waits, if nothing was heard of it."""
        if not self._partition_states.known(node.name, key):
            tracked = TrackedPartition(PartitionState.WAITING)
            self.add(node.name, key, tracked)
            if node.trigger is not None and node.partition.grain is None:  # written down, for a firing after this releases it
                tracked.since = self._all.now
                self._all.mark(node.name, key, tracked)

    def add(self, node: str, key: str, tracked: TrackedPartition) -> None:
        """A partition that nothing was heard of."""
        new = node not in self._partition_states.oldest
        if self._partition_states.add(node, key, tracked) and self._all.nodes[node].is_source:
            self._all.needs.forget_starts()
            self._all.earlier[node] = new or self._all.earlier.get(node, False)
        if self._partition_states.first_of_interval(node, key):
            self._known_keys(self._all.nodes[node], key)
        for child in self._network.heirs[node]:
            if self._all.needs.expected(child, key):
                self.expect(child, key)

    def _known_keys(self, node: GraphNode, key: str) -> None:
        """A first key is known of an interval of a node whose keys grow: what waited for others isn't known to need them any more."""
        for child, link in self._network.children[node.name]:
            if not link.same and not link.newest and child.partition.key == node.partition.key:
                for touched in link.touches(key):
                    for item in self._partition_states.beside(child, touched):
                        self.consider(child, item)

    def want(self, node: GraphNode, key: str, *, force: bool = False, stale: bool = False) -> None:
        """A partition is to be made; with `force` although it was."""
        tracked = self._partition_states.tracked(node.name, key)
        if tracked.state is PartitionState.RUNNING:
            tracked.dirty = True
            return
        if force or tracked.state is PartitionState.MISSING:
            known = tracked.state is not PartitionState.MISSING
            moved = tracked.state is not PartitionState.WAITING
            if tracked.state is PartitionState.FAILED:
                self._all.alike.pop(node.name, None)  # whoever asks again wants to see it fail
            news = moved or tracked.proposed or (stale and not tracked.stale)
            tracked.state = next_state(tracked.state, PartitionTransition.WANTED)
            tracked.dirty = tracked.proposed = False
            tracked.stale = tracked.stale or stale
            if moved:
                tracked.failures, tracked.not_before, tracked.since, tracked.cap = 0, None, self._all.now, 0
            if known and news:
                self._all.mark(node.name, key, tracked)
            if moved:
                self.put_off(node, key)
        self.consider(node, key)

    def consider(self, node: GraphNode, key: str) -> None:
        """Queue a partition if it waits, was asked for, and nothing it needs is missing."""
        scheduler_state = self._all
        tracked = self._partition_states.get(node.name, key)
        if tracked is None or tracked.queued or tracked.state is not PartitionState.WAITING or tracked.not_before is not None:
            return
        if self._first_alone(node) or not scheduler_state.demands.wanted(node.name, key) or not scheduler_state.needs.expected(node, key):
            return
        if self._kept(node, key, tracked):
            return
        missing = next(scheduler_state.needs.missing(node, key, scheduler_state.now), None)
        if missing is not None:
            self._set_alarm(node.name, key, tracked, missing.until)
            if node.name in self._network.gathers:
                scheduler_state.gathering[node.name, key] = None
            return
        if self.fails_alike(node, key):
            self._done_without(node, key)
            return
        tracked.queued, tracked.queued_at = True, scheduler_state.now
        scheduler_state.begin(node.name, key)
        scheduler_state.ready.push(scheduler_state.takes[node.name], self._entry(node, key))

    def fails_alike(self, node: GraphNode, key: str) -> bool:
        """Whether a partition fails without an attempt, since the code failed in another one as it does in all."""
        like = self._all.alike.get(node.name)
        if like is None:
            return False
        if like.until is not None and like.until <= self._all.now:
            del self._all.alike[node.name]
            return False
        self._all.put_aside(node.name, key, PartitionTransition.FAILS_ALIKE, like.text)
        return True

    def next_delivery(self, node: GraphNode) -> None:
        """A source's first delivery is done with, which the others waited for."""
        if node.is_source:
            for key, _ in self._partition_states.open(node.name):
                self.consider(node, key)

    def look_again(self, node: GraphNode) -> None:
        """Queue what waits of a node, if it may run now."""
        for key, tracked in self._partition_states.open(node.name):
            if tracked.state is PartitionState.WAITING:
                self.consider(node, key)

    def reconsider_gathers(self) -> None:
        """What ran into something that wasn't at rest may run now."""
        for name, key in list(self._all.gathering):
            tracked = self._partition_states.get(name, key)
            if tracked is None or tracked.state is not PartitionState.WAITING:
                del self._all.gathering[name, key]
            elif not tracked.queued:
                self.consider(self._all.nodes[name], key)

    def wake(self) -> None:
        """Look again at what only waited for a time that has come."""
        scheduler_state = self._all
        while scheduler_state.later and scheduler_state.later[0][0] <= scheduler_state.now:
            _, node, key = heapq.heappop(scheduler_state.later)
            tracked = self._partition_states.get(node, key)
            if tracked is not None and tracked.not_before is not None:
                self._partition_states.tracked(node, key).not_before = None
            self.consider(scheduler_state.nodes[node], key)
        while scheduler_state.alarms and scheduler_state.alarms[0][0] <= scheduler_state.now:
            _, node, key = heapq.heappop(scheduler_state.alarms)
            self.consider(scheduler_state.nodes[node], key)

    def _kept(self, node: GraphNode, key: str, tracked: TrackedPartition) -> bool:
        """Whether a pause, a trigger or a newer interval keeps a partition from running."""
        if self._all.gates.shut(node, key, self._all.now) is not None:
            return True
        newer = self._all.gates.passed_over(node, key, tracked, self._all.needs)
        if newer is not None:
            self._all.put_aside(node.name, key, PartitionTransition.WAIVED, f"passed over for {newer}: `catch_up: latest`")
            self._done_without(node, key)
        return newer is not None

    def at_rest(self, name: str) -> None:
        """Of a node something that was queued isn't any more: what waited for that to come to its end may run."""
        if name not in self._partition_states.visible:
            self.next_delivery(self._all.nodes[name])
        readers = [
            child
            for child, link in self._network.children[name]
            if link.newest or link.optional or name not in self._partition_states.visible
        ]
        for node in (*readers, *(self._all.nodes[follower] for follower in self._network.followers[name])):
            self.look_again(node)

    def put_off(self, node: GraphNode, key: str) -> None:
        """A partition waits again: if nobody has it made now, what reads it reads the older publication meanwhile."""
        tracked = self._partition_states.get(node.name, key)
        if tracked is not None and tracked.published and tracked.state is PartitionState.WAITING and not self._all.will_run(node.name, key):
            self._done_without(node, key)

    def let_go(self, demand: Demand) -> None:
        """A run doesn't want anything any more: what waits only for what it alone had made reads the older publications."""
        for name in demand.nodes:
            for key, _ in self._partition_states.open(name):
                self.put_off(self._all.nodes[name], key)

    def _done_without(self, node: GraphNode, key: str) -> None:
        """A partition counts as present and empty from now on: what waited for it may run."""
        for child, link in self._network.children[node.name]:
            if child.settled and node.partition.whole:
                self.look_again(child)
            for touch in link.touches(key):
                self.consider(child, touch)
        for follower in self._network.followers[node.name]:
            self.consider(self._all.nodes[follower], key)
        if node.chained and (following := self._all.needs.after(node, key)) is not None:
            self.consider(node, following)

    def _set_alarm(self, node: str, key: str, tracked: TrackedPartition, at: int | None) -> None:
        if at is not None and at != tracked.alarm:
            tracked.alarm = at
            heapq.heappush(self._all.alarms, (at, node, key))

    def _first_alone(self, node: GraphNode) -> bool:
        """A source's first delivery is ingested by itself: it may set what the others are held to."""
        return node.is_source and node.name not in self._partition_states.visible and bool(self._partition_states.busy.get(node.name))

    def _entry(self, node: GraphNode, key: str) -> ReadyEntry:
        """The declared priority, then what has to begin first to be in time; where nothing is promised: what everything refers to, then
        the oldest interval, then what others wait for, or the other way about."""
        rank, priority, now = self._network.rank[node.name], -(node.priority or 0), self._all.now
        if not node.partition.whole:
            return ReadyEntry(
                priority, urgency(node, key, now), 1, self._turn(node, rank), self._partition_states.order(node, key), rank, key
            )
        if node.name in self._network.gathers:
            return ReadyEntry(priority, urgency(node, key, now), 2, 0, "", rank, key)
        return ReadyEntry(priority, 0, 0, 0, "", rank, key)

    def _turn(self, node: GraphNode, rank: int) -> int:
        """Where nodes come one after the other, the first partitions of each come before all others: what takes long, or fails, is known
        early."""
        if not self._all.graph.by_node:
            return 0
        self._firsts[node.name] += 1
        return 0 if self._firsts[node.name] <= FIRSTS else rank
