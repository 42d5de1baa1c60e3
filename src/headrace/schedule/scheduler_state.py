"""All that the core knows at an instant, and the few changes to it that every part makes alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from headrace.schedule.admission import AttemptDurations
from headrace.schedule.commands import AwaitedPartition, Command, PartitionUpdate
from headrace.schedule.demands import Demands
from headrace.schedule.events import AttemptId, FailsAlike
from headrace.schedule.gates import Gates
from headrace.schedule.graph import Graph, GraphNode
from headrace.schedule.needs import Needs
from headrace.schedule.network import Network
from headrace.schedule.partition_states import PartitionStates, TrackedPartition
from headrace.schedule.pools import LAPSE_US, PoolCapacity, PoolLease, Takes, takes_of
from headrace.schedule.ready import ReadyQueue
from headrace.schedule.states import PartitionTransition, step


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
        self.takes: dict[str, Takes] = {node.name: takes_of(node, graph.pools) for node in graph.nodes}
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
        tracked.state, tracked.reason = step(tracked.state, change), reason
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
