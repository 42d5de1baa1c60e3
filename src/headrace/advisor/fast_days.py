"""Simulated days of plain projects, about fifteen times as fast as on the production core.

It shares with the core which partitions a partition needs (`InputLink.needs`), the order of ready
partitions (`ReadyEntry` with `urgency`), the slots of pools (`PoolCapacity`) and the waits between
tries (`retry_after_us`). Its own are the loop over events and the admission to workers. It computes
each partition alone: only projects in which nothing else can happen are played here, and a test
compares each passage with that of the core.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from headrace.advisor.sampling import Arrival, Span, expected_arrivals
from headrace.advisor.virtual_days import (
    AFTER_US,
    ATTEMPT_US,
    FAILURES,
    Days,
    Draw,
    Passage,
    Played,
)
from headrace.model.partitions import order_of
from headrace.scheduler import FailureKind, GraphNode
from headrace.scheduler.attempts import draw as retry_draw
from headrace.scheduler.attempts import retry_after_us
from headrace.scheduler.capacity import ReadyEntry
from headrace.scheduler.dependencies import Network, latest_safe_start, network_of, urgency
from headrace.scheduler.graph import PoolCapacity, PoolLease, Takes, slots_taken

_SECOND_US = 1_000_000
_NEVER = 1 << 62


def is_plain(days: Days) -> bool:
    """Return whether nothing but arrivals, inputs, workers and pools decides what runs when."""
    network = network_of(days.graph)
    return (
        days.workers > 1
        and not days.losses
        and not network.gathers
        and not network.coarse
        and not network.free
        and all(_is_plain_node(network, node) for node in days.graph.nodes)
    )


def _is_plain_node(network: Network, node: GraphNode) -> bool:
    ordered = node.depends or network.checked_against(node) or node.chained
    links = network.links[node.name]
    return (
        node.partition.grain is not None
        and node.trigger is None
        and not ordered
        and not any(link.newest or link.optional for link in links)
        and (node.is_source or bool(links))
        and node.complete_after is None
        and not node.watermark
    )


class FastDays:
    """The partitions of the days, with what each needs; `play` plays one sample."""

    def __init__(self, days: Days, span: Span) -> None:
        self._days = days
        network = network_of(days.graph)
        self._nodes = [
            (node, key) for node in days.graph.nodes for key, *_ in expected_arrivals(node, span)
        ]
        self._places = {(node.name, key): n for n, (node, key) in enumerate(self._nodes)}
        self._readers: list[list[int]] = [[] for _ in self._nodes]
        self._needs: list[int] = []
        for number, (node, key) in enumerate(self._nodes):
            needed = list(self._needed(network, node, key))
            self._needs.append(len(needed) + node.is_source)
            for other in needed:
                self._readers[other].append(number)
        self._takes = {n.name: slots_taken(n, days.graph.pools) for n in days.graph.nodes}
        self._entries = [_entry(network, node, key) for node, key in self._nodes]

    def _needed(self, network: Network, node: GraphNode, key: str) -> Iterator[int]:
        """Yield the partitions within the days that a partition needs."""
        for link in network.links[node.name]:
            for needed in link.needs(key):
                place = self._places.get((link.input.name, needed))
                if place is not None:
                    yield place

    def play(self, arrivals: Sequence[Arrival], draw: Draw) -> Played:
        """Play all arrivals, and return what was published when."""
        return _Play(self, draw).play(arrivals)


_BY_READINESS = -1
"""The urgency of partitions without a deadline, until they are ready."""


def _entry(network: Network, node: GraphNode, key: str) -> ReadyEntry:
    """Return the place of a partition among ready ones; with an interval, it has one deadline."""
    latest = latest_safe_start(node, key, 0)
    due = _BY_READINESS if latest is None else latest
    order = order_of(key, node.partition, node.timezone)
    return ReadyEntry(-(node.priority or 0), due, 1, 0, order, network.rank[node.name], key)


class _Play:
    """One sample. `happenings` are ends of attempts, arrivals and tries by their time."""

    def __init__(self, plan: FastDays, draw: Draw) -> None:
        self._plan, self._draw, self._days = plan, draw, plan._days
        self._missing = list(plan._needs)
        self._ready: dict[Takes, list[tuple[ReadyEntry, int, int]]] = {}
        self._running: dict[int, tuple[int, int, str, str]] = {}
        self._tries: dict[int, int] = {}
        self._happenings: list[tuple[int, int]] = []
        self._now = 0
        self._played = Played({}, {}, {}, 0)
        self._busy_us = 0

    def play(self, arrivals: Sequence[Arrival]) -> Played:
        plan, last = self._plan, self._days.end_us + AFTER_US
        for arrival in arrivals:
            place = plan._places.get((arrival.source, arrival.key))
            if place is not None:
                heapq.heappush(self._happenings, (arrival.at_us, place))
        while self._happenings and self._happenings[0][0] <= last:
            self._now = self._happenings[0][0]
            while self._happenings and self._happenings[0][0] == self._now:
                self._happened(heapq.heappop(self._happenings)[1])
            self._admit()
        return self._played._replace(busy_us=self._busy_us)

    def _happened(self, place: int) -> None:
        running = self._running.pop(place, None)
        if running is not None:
            self._ended(place, *running)
            return
        node, key = self._plan._nodes[place]
        if node.is_source and self._missing[place]:
            self._played.arrived[node.name, key] = self._now
            self._missing[place] = 0
        self._queue(place)

    def _ended(self, place: int, ready_us: int, began_us: int, crowded: str, kind: str) -> None:
        node, key = self._plan._nodes[place]
        self._busy_us += self._now - began_us
        if kind:
            self._failed(place, kind)
            return
        self._played.passages[node.name, key] = Passage(ready_us, began_us, self._now, crowded)
        for reader in self._plan._readers[place]:
            self._missing[reader] -= 1
            if not self._missing[reader]:
                self._queue(reader)

    def _failed(self, place: int, kind: str) -> None:
        node, key = self._plan._nodes[place]
        failures = self._tries[place]
        failure = FAILURES.get(kind, FailureKind.TRANSIENT)
        wait = retry_after_us(
            failure, failures, node.attempts_max, retry_draw(node.name, key, failures)
        )
        if wait:
            heapq.heappush(self._happenings, (self._now + wait, place))
        elif wait is not None:
            self._queue(place)

    def _queue(self, place: int) -> None:
        node, key = self._plan._nodes[place]
        entry = self._plan._entries[place]
        if entry.urgency == _BY_READINESS:
            entry = entry._replace(urgency=urgency(node, key, self._now))
        ready = self._ready.setdefault(self._plan._takes[node.name], [])
        heapq.heappush(ready, (entry, place, self._now))

    def _admit(self) -> None:
        """Give free workers the most urgent partitions whose pools have room."""
        if len(self._running) >= self._days.workers or not self._ready:
            return
        if not self._days.graph.pools:
            self._admit_all()
            return
        heads = [(ready[0][0], takes) for takes, ready in self._ready.items()]
        heapq.heapify(heads)
        room = self._room()
        while heads and len(self._running) < self._days.workers:
            takes = heads[0][1]
            if takes and room.short(takes):
                room.wait(takes)
                heapq.heappop(heads)
                continue
            ready = self._ready[takes]
            _, place, ready_us = heapq.heappop(ready)
            if ready:
                heapq.heapreplace(heads, (ready[0][0], takes))
            else:
                del self._ready[takes]
                heapq.heappop(heads)
            room.take(takes)
            self._begin(place, ready_us)

    def _admit_all(self) -> None:
        """Give free workers the most urgent partitions of a project without pools."""
        ready = self._ready[()]
        while ready and len(self._running) < self._days.workers:
            _, place, ready_us = heapq.heappop(ready)
            self._begin(place, ready_us)
        if not ready:
            del self._ready[()]

    def _room(self) -> PoolCapacity:
        pools = self._days.graph.pools
        leases = (
            PoolLease(self._plan._takes[self._plan._nodes[place][0].name], _NEVER)
            for place in self._running
        )
        return PoolCapacity(pools, leases, self._now)

    def _begin(self, place: int, ready_us: int) -> None:
        node, key = self._plan._nodes[place]
        drawn = self._draw(node.name, key, ready_us)
        seconds, kind, tried = drawn.seconds, "", self._tries.get(place, 0)
        if drawn.failed and tried < len(drawn.failed):
            seconds, kind = drawn.failed[tried]
        self._tries[place] = tried + 1
        takes = self._plan._takes[node.name]
        crowded = takes[0][0] if takes else "workers"
        took = ATTEMPT_US + int(seconds * _SECOND_US)
        if took > node.timeout_us:
            took, kind = node.timeout_us, FailureKind.RESOURCES.value
        end = self._now + took
        self._running[place] = (ready_us, self._now, crowded, kind)
        heapq.heappush(self._happenings, (end, place))
