"""The scheduler's state, and the queue of partitions that may run."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from headrace.scheduler.capacity import AttemptDurations, ReadyEntry, ReadyQueue
from headrace.scheduler.dependencies import Network, urgency
from headrace.scheduler.events import (
    AttemptId,
    AwaitedPartition,
    Command,
    FailsAlike,
    PartitionUpdate,
    failed_like,
)
from headrace.scheduler.gates import Demand, Demands, Gates
from headrace.scheduler.graph import (
    LAPSE_US,
    Graph,
    GraphNode,
    PoolCapacity,
    PoolLease,
    Takes,
    slots_taken,
)
from headrace.scheduler.partition_states import (
    EVERYTHING,
    PartitionRange,
    PartitionStates,
    waits,
)
from headrace.scheduler.ranges import IntegerSet
from headrace.scheduler.readiness import Needs
from headrace.scheduler.states import (
    PartitionState,
    PartitionTransition,
    TrackedPartition,
)

# Everything that the core knows at one point in time, and the small changes that all parts of the
# core share.


def failed_unattempted(tracked: TrackedPartition) -> bool:
    """Whether a partition failed without an attempt, because the code failed in another one."""
    return tracked.state is PartitionState.FAILED and failed_like(tracked.reason) is not None


class Running(NamedTuple):
    """An occupied slot, which is freed at `expires_at` at the latest."""

    node: str
    keys: tuple[str, ...]
    expires_at: int
    runs: tuple[int, ...] = ()
    """The runs that wanted it when it was dispatched, newest first."""


class SchedulerState:
    """The graph with its partition states, requests, running attempts, and queues."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: dict[str, GraphNode] = {node.name: node for node in graph.nodes}
        self.partition_states = PartitionStates(self.nodes)
        self.network = Network(graph, self.partition_states)
        self.demands = Demands(self.partition_states)
        self.gates = Gates(self.partition_states, self.network, self.demands)
        self.needs = Needs(self.partition_states, self.network, self.will_run)
        self.durations = AttemptDurations()
        self.takes: dict[str, Takes] = {
            node.name: slots_taken(node, graph.pools) for node in graph.nodes
        }
        """Node → pool slots that an attempt at it takes."""
        self.ready = ReadyQueue()
        """Partitions that may run."""
        self.later: list[tuple[int, str, str]] = []
        """Heap of failed partitions by the time of their retry."""
        self.alarms: list[tuple[int, str, str]] = []
        """Heap of partitions by the time at which time alone makes them ready."""
        self.running: dict[AttemptId, Running] = {}
        self.timed_out: set[AttemptId] = set()
        self.cancelled: set[AttemptId] = set()
        self.gathering: dict[tuple[str, str], None] = {}
        """Partitions that run once their ancestors are terminal."""
        self.elsewhere: Takes = ()
        """Slots of these pools that attempts of other cores hold."""
        self.apart: set[str] = set()
        """Nodes whose batches gave another result than single partitions: they are computed one by
        one."""
        self.in_a_row: dict[str, int] = {}
        """Node whose code is called once per partition → partitions published in a row, since the
        last attempt that wasn't or since the graph was loaded, as the code may have changed."""
        self.alike: dict[str, FailsAlike] = {}
        """Node whose code fails in every partition → the first failure. Its other partitions fail
        without an attempt until one is requested again or the code changes."""
        self.unattempted: set[str] = set()
        """Nodes of which partitions may have failed without an attempt."""
        self.earlier: dict[str, bool] = {}
        """Sources that turned out to begin earlier, until the partitions expected from that were
        found → whether nothing was known of the source before."""
        self.commands: list[Command] = []
        """Commands that the current event has led to."""
        self.now = 0

    def will_run(self, node: str, key: str) -> bool:
        """Return whether a waiting partition is going to run.

        If so, its readers wait for it even though an older publication exists.
        """
        return (
            self.demands.wanted(node, key)
            and self.gates.shut(self.nodes[node], key, self.now) is None
        )

    def pace(self, node: GraphNode, partitions: int, seconds: float) -> None:
        """Record the duration of a published attempt, by which the next batches are sized."""
        if node.called_each:
            self.in_a_row[node.name] = self.in_a_row.get(node.name, 0) + partitions
            self.durations.call(node.name, seconds / partitions)
        elif node.batch_max > 1:
            self.durations.pace(node.name, partitions, seconds)

    def ingests_first(self, node: GraphNode) -> bool:
        """Return whether a source's first delivery is still being ingested.

        It is ingested alone, because it may define what the others are checked against.
        """
        return (
            node.is_source
            and node.name not in self.partition_states.visible
            and bool(self.partition_states.busy.get(node.name))
        )

    def blocked(self, node: GraphNode, key: str) -> Iterator[AwaitedPartition]:
        """Yield what blocks a partition.

        Its node's gate, then its missing inputs in their order.
        """
        shut = self.gates.shut(node, key, self.now)
        if shut is not None:
            yield shut
        yield from self.needs.missing(node, key, self.now)

    def room(self, *, alone: bool = False) -> PoolCapacity:
        """Return the free pool slots; `alone` ignores slots that other cores hold."""
        leases = (
            PoolLease(self.takes[item.node], item.expires_at) for item in self.running.values()
        )
        return PoolCapacity(self.graph.pools, leases, self.now, () if alone else self.elsewhere)

    def held(self) -> Takes:
        """Return the pool slots that attempts hold."""
        room = self.room(alone=True)
        return tuple((pool, slots) for pool in self.graph.pools if (slots := room.in_use(pool)))

    def short(self) -> tuple[str, ...]:
        """Return the pools whose slots held by other cores keep a ready partition from running."""
        full, alone, results = self.room(), self.room(alone=True), dict[str, None]()
        for entry, takes in self.ready.heads() if self.elsewhere else ():
            tracked = self.partition_states.get(self.network.order[entry.rank], entry.key)
            if tracked is not None and tracked.queued and not alone.short(takes):
                results.update(dict.fromkeys(full.short(takes)))
        return tuple(results)

    def lapses(self) -> list[int]:
        """Return when the pool leases of timed-out attempts lapse, in microseconds.

        The end of these attempts is unknown.
        """
        if not self.graph.pools:
            return []
        lapses = [
            self.running[attempt].expires_at + LAPSE_US
            for attempt in self.timed_out
            if attempt in self.running
        ]
        return [at for at in lapses if at > self.now]

    def put_back(self, node: str, key: str) -> None:
        """Remove a partition from the queue; it isn't to run now."""
        self.partition_states.tracked(node, key).queued = False
        self.rest(node, key)

    def put_aside(self, node: str, key: str, change: PartitionTransition, reason: str) -> None:
        """Settle a partition that isn't running without an attempt."""
        tracked = self.partition_states.tracked(node, key)
        if tracked.queued:
            self.put_back(node, key)
        tracked.step(change)
        tracked.reason = reason
        tracked.stale = tracked.proposed = False
        tracked.failures, tracked.not_before = 0, None
        self.mark(node, key, tracked)

    def mark(self, node: str, key: str, tracked: TrackedPartition) -> None:
        """Emit a command with the partition's new state."""
        self.commands.append(
            PartitionUpdate(
                node,
                key,
                tracked.state,
                tracked.stale,
                tracked.failures,
                tracked.not_before,
                tracked.reason,
                tracked.proposed,
            )
        )

    def begin(self, node: str, key: str) -> None:
        """Count a partition as queued."""
        self.partition_states.busy[node] = self.partition_states.busy.get(node, 0) + 1
        self.demands.begun(node, key)

    def rest(self, node: str, *keys: str) -> None:
        """Count partitions as neither queued nor running."""
        self.partition_states.rest(node, len(keys))
        for key in keys:
            self.demands.rested(node, key)

    def under_way(self) -> Iterator[tuple[str, str]]:
        """Yield each queued or running partition once."""
        for running in self.running.values():
            yield from ((running.node, key) for key in running.keys)
        for name, key in {
            (self.network.order[entry.rank], entry.key): None for entry in self.ready
        }:  # put-back partitions left entries
            tracked = self.partition_states.get(name, key)
            if tracked is not None and tracked.queued:
                yield name, key


# A wanted partition is queued as soon as none of its required inputs is missing.

FIRSTS = 4
"""Number of partitions of each node that run first when the graph is run node by node."""


def _usable_meanwhile(tracked: TrackedPartition) -> bool:
    """Return whether a waiting partition has an older publication."""
    return tracked.published and waits(tracked)


class Queue:
    """Moves partitions of a scheduler state into its ready queue."""

    def __init__(self, scheduler_state: SchedulerState) -> None:
        self._all = scheduler_state
        self._partition_states, self._network = (
            scheduler_state.partition_states,
            scheduler_state.network,
        )
        self._firsts = Counter[str]()
        """Node → number of its partitions queued so far."""

    def expect(self, node: GraphNode, key: str) -> None:
        """Add a partition that ought to exist; if it is new, it waits."""
        if not self._partition_states.known(node.name, key):
            tracked = TrackedPartition(PartitionState.WAITING)
            self.add(node.name, key, tracked)
            if (
                node.trigger is not None and node.partition.grain is None
            ):  # stored, so that a later firing releases it
                tracked.since = self._all.now
                self._all.mark(node.name, key, tracked)

    def add(self, node: str, key: str, tracked: TrackedPartition) -> None:
        """Add a new partition."""
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
        """Reconsider readers when the first key of an interval becomes known.

        The node has a growing set of keys. Partitions with other keys turn out not to need this
        node.
        """
        for child, link in self._network.children[node.name]:
            if not link.same and not link.newest and child.partition.key == node.partition.key:
                for touched in link.touches(key):
                    for item in self._partition_states.beside(child, touched):
                        self.consider(child, item)

    def want(self, node: GraphNode, key: str, *, force: bool = False, stale: bool = False) -> None:
        """Request a partition; with `force` even if it was computed before."""
        tracked = self._partition_states.tracked(node.name, key)
        if tracked.state is PartitionState.RUNNING:
            tracked.dirty = True
            return
        if force or tracked.state is PartitionState.MISSING:
            self._wait(node, key, tracked, stale=stale)
        self.consider(node, key)

    def _wait(self, node: GraphNode, key: str, tracked: TrackedPartition, *, stale: bool) -> None:
        """Let a partition that isn't running wait for its computation, from now on if it didn't."""
        before = tracked.state
        begins = before is not PartitionState.WAITING
        if before is PartitionState.FAILED:
            self._all.alike.pop(node.name, None)  # a new request shows the failure again
        changed = begins or tracked.proposed or (stale and not tracked.stale)
        tracked.step(PartitionTransition.WANTED)
        tracked.dirty = tracked.proposed = False
        tracked.stale = tracked.stale or stale
        if begins:
            tracked.failures, tracked.not_before, tracked.cap = 0, None, 0
            tracked.since = self._all.now
        if changed and before is not PartitionState.MISSING:
            self._all.mark(node.name, key, tracked)
        if begins:
            self.put_off(node, key)

    def consider(self, node: GraphNode, key: str) -> None:
        """Queue a partition if it waits, is wanted, and none of its inputs is missing."""
        scheduler_state = self._all
        tracked = self._partition_states.get(node.name, key)
        if (
            tracked is None
            or tracked.queued
            or tracked.state is not PartitionState.WAITING
            or tracked.not_before is not None
        ):
            return
        if (
            scheduler_state.ingests_first(node)
            or not scheduler_state.demands.wanted(node.name, key)
            or not scheduler_state.needs.expected(node, key)
        ):
            return
        if self._blocked(node, key, tracked):
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
        tracked = self._partition_states.tracked(node.name, key)
        tracked.queued, tracked.queued_at = True, scheduler_state.now
        scheduler_state.begin(node.name, key)
        scheduler_state.ready.push(scheduler_state.takes[node.name], self._entry(node, key))

    def fails_alike(self, node: GraphNode, key: str) -> bool:
        """Return whether a partition fails without an attempt.

        It does if the node's code fails in every partition.
        """
        like = self._all.alike.get(node.name)
        if like is None:
            return False
        if like.until is not None and like.until <= self._all.now:
            del self._all.alike[node.name]
            return False
        self._all.put_aside(node.name, key, PartitionTransition.FAILS_ALIKE, like.text)
        self._all.unattempted.add(node.name)
        return True

    def works(self, node: GraphNode) -> None:
        """Request what failed without an attempt: an attempt has shown that the node's code works.

        Nothing else would: neither a failure of its own nor an incident is about these partitions.
        """
        if node.name not in self._all.unattempted:
            return
        self._all.unattempted.discard(node.name)
        for key, _ in list(self._partition_states.open(node.name, failed_unattempted)):
            self.want(node, key, force=True)

    def next_delivery(self, node: GraphNode) -> None:
        """Reconsider a source's other deliveries, which wait until its first one ends."""
        if node.is_source:
            self.look_again(node)

    def look_again(self, node: GraphNode, span: PartitionRange = EVERYTHING) -> None:
        """Queue the waiting partitions of a node that may run now."""
        for key, _ in self._partition_states.open(node.name, waits, partial(self._may_run, node)):
            if span.everything or span.covers(self._partition_states.order(node, key)):
                self.consider(node, key)

    def _may_run(self, node: GraphNode, data: str, numbers: IntegerSet) -> IntegerSet:
        """Return members of a waiting group without those that `consider` certainly leaves."""
        if self._all.gates.pauses.of(node.name) is not None:
            return IntegerSet()
        if node.trigger is not None and node.trigger.latest:  # what is passed over stops waiting
            return numbers
        return self._all.needs.may_run(node, data, numbers)

    def reconsider_gathers(self) -> None:
        """Queue the fan-ins whose ancestors are terminal now."""
        for name, key in list(self._all.gathering):
            tracked = self._partition_states.get(name, key)
            if tracked is None or tracked.state is not PartitionState.WAITING:
                del self._all.gathering[name, key]
            elif not tracked.queued:
                self.consider(self._all.nodes[name], key)

    def wake(self) -> None:
        """Reconsider the partitions that waited for a time that has come."""
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

    def _blocked(self, node: GraphNode, key: str, tracked: TrackedPartition) -> bool:
        """Return whether a pause, a trigger or a newer interval keeps a partition from running."""
        if self._all.gates.shut(node, key, self._all.now) is not None:
            return True
        newer = self._all.gates.passed_over(node, key, tracked, self._all.needs)
        if newer is not None:
            self._all.put_aside(
                node.name,
                key,
                PartitionTransition.WAIVED,
                f"passed over for {newer}: `catch_up: latest`",
            )
            self._done_without(node, key)
        return newer is not None

    def at_rest(self, name: str) -> None:
        """Reconsider readers of a node after one of its queued partitions ended."""
        if name not in self._partition_states.visible:
            self.next_delivery(self._all.nodes[name])
        readers = [
            child
            for child, link in self._network.children[name]
            if link.newest or link.optional or name not in self._partition_states.visible
        ]
        for node in (
            *readers,
            *(self._all.nodes[follower] for follower in self._network.followers[name]),
        ):
            self.look_again(node)

    def put_off(self, node: GraphNode, key: str) -> None:
        """Let readers use the older publication of a partition that won't be computed now."""
        tracked = self._partition_states.get(node.name, key)
        if (
            tracked is not None
            and tracked.published
            and tracked.state is PartitionState.WAITING
            and not self._all.will_run(node.name, key)
        ):
            self._done_without(node, key)

    def let_go(self, demand: Demand) -> None:
        """Let readers use older publications of partitions that only this run wanted."""
        for name in demand.nodes:
            for key, _ in self._partition_states.open(name, _usable_meanwhile):
                self.put_off(self._all.nodes[name], key)

    def _done_without(self, node: GraphNode, key: str) -> None:
        """Count a partition as present and empty from now on, so that its readers may run."""
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
            self._partition_states.tracked(node, key).alarm = at
            heapq.heappush(self._all.alarms, (at, node, key))

    def _entry(self, node: GraphNode, key: str) -> ReadyEntry:
        """Return the queue entry of a partition.

        Order: the declared priority; then the latest safe start; where nothing is due,
        unpartitioned nodes, then the oldest interval and the order of the graph, or the graph first
        (`by_node`).
        """
        rank, priority, now = self._network.rank[node.name], -(node.priority or 0), self._all.now
        if not node.partition.whole:
            return ReadyEntry(
                priority,
                urgency(node, key, now),
                1,
                self._node_rank(node, rank),
                self._partition_states.order(node, key),
                rank,
                key,
            )
        if node.name in self._network.gathers:
            return ReadyEntry(priority, urgency(node, key, now), 2, 0, "", rank, key)
        return ReadyEntry(priority, 0, 0, 0, "", rank, key)

    def _node_rank(self, node: GraphNode, rank: int) -> int:
        """Return 0 for the first FIRSTS partitions of a node, else its rank (`by_node`).

        The first ones run before all others, so that slow or failing nodes are known early.
        """
        if not self._all.graph.by_node:
            return 0
        self._firsts[node.name] += 1
        return 0 if self._firsts[node.name] <= FIRSTS else rank
