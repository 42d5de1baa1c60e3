"""Why a partition isn't running: one clause for each thing that keeps it, at the cost of that partition."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from headrace.model.required import WHOLE
from headrace.model.times import Offset
from headrace.model.zones import from_us
from headrace.schedule.commands import AwaitedPartition
from headrace.schedule.graph import GraphNode
from headrace.schedule.partition_states import bounds, ended
from headrace.schedule.pools import OF_NODE, OF_OWNER
from headrace.schedule.scheduler_state import Running, SchedulerState
from headrace.schedule.states import PartitionState
from headrace.schedule.tracked import TrackedPartition

REASONS_MAX = 50
SHOWN_MAX = 3
_STOPPED = {
    PartitionState.HELD: "is held",
    PartitionState.REJECTED: "was rejected",
    PartitionState.FAILED: "failed",
    PartitionState.WITHDRAWN: "was withdrawn",
    PartitionState.WAIVED: "was passed over",
}


class WaitKind(enum.StrEnum):
    """What keeps a partition."""

    INPUT = "input"
    PAUSED = "paused"
    TRIGGER = "trigger"
    BACKOFF = "backoff"
    POOL = "pool"
    SLOTS = "slots"
    PROPOSED = "proposed"
    FIRST = "first"
    UNWANTED = "unwanted"
    NOT_DUE = "not due"
    INTERVAL = "interval"
    STOPPED = "stopped"


class Reason(NamedTuple):
    """One thing that keeps a partition. `node` and `key` are what it waits for: another partition, or itself."""

    kind: WaitKind
    text: str
    """One clause: `waits for flights 2013-02-11, expected by 2013-02-12 05:00`."""
    node: str
    key: str
    until: int | None = None
    """When time alone ends it, in microseconds; of an input, until when it was promised."""


def why(scheduler_state: SchedulerState, node: GraphNode, key: str, slots: int = 0) -> list[Reason]:
    """All that keeps a partition from running, nearest first; empty for one that runs, or is published and nothing is to be done.
    `slots` are the workers, which matter only to what is ready."""
    tracked = scheduler_state.partition_states.get(node.name, key)
    return list(islice(_Asked(scheduler_state, node, key, slots).reasons(tracked), REASONS_MAX))


class _Asked:
    """One question."""

    def __init__(self, scheduler_state: SchedulerState, node: GraphNode, key: str, slots: int) -> None:
        self._all, self._node, self._key, self._slots = scheduler_state, node, key, slots

    def reasons(self, tracked: TrackedPartition | None) -> Iterator[Reason]:
        state = PartitionState.MISSING if tracked is None else tracked.state
        if state is PartitionState.RUNNING:
            return
        if tracked is not None and tracked.proposed:
            yield self._own(WaitKind.PROPOSED, "is stale, and is made again only if a person asks for it by name")
        elif tracked is not None and state in _STOPPED:
            yield self._own(WaitKind.STOPPED, _STOPPED[state] + (f": {tracked.reason}" if tracked.reason else ""))
        elif state is not PartitionState.PUBLISHED:
            yield from self._waiting(tracked)

    def _waiting(self, tracked: TrackedPartition | None) -> Iterator[Reason]:
        if tracked is not None and tracked.queued:
            yield from self._no_room()
            return
        node, key, now = self._node, self._key, self._all.now
        if node.is_source and (tracked is None or tracked.state is PartitionState.MISSING):
            yield self._undelivered(node, key)
            return
        if not self._all.demands.wanted(node.name, key):
            yield self._own(WaitKind.UNWANTED, "isn't wanted by any run")
        if not self._all.needs.expected(node, key):
            early = bounds(node, key)[1] <= self._all.needs.starts_us(node)
            yield self._own(
                WaitKind.NOT_DUE, f"isn't made: {'it lies before the start of ' + node.name if early else 'nothing is due for it'}"
            )
        if not ended(node, key, now):
            yield self._own(WaitKind.INTERVAL, "its interval hasn't ended", bounds(node, key)[1])
        if tracked is not None and tracked.not_before is not None:
            yield self._own(WaitKind.BACKOFF, f"is tried again{': ' + tracked.reason if tracked.reason else ''}", tracked.not_before)
        shut = self._all.gates.shut(node, key, now)
        if shut is not None:
            yield self._own(WaitKind.PAUSED if self._all.gates.pauses.of(node.name) else WaitKind.TRIGGER, shut.reason, shut.until)
        if node.is_source and node.name not in self._all.partition_states.visible and self._all.partition_states.busy.get(node.name):
            yield self._own(WaitKind.FIRST, "waits for its first delivery, which is ingested alone")
        yield from (self._input(partition) for partition in self._all.needs.missing(node, key, now) if partition[:2] != (node.name, key))

    def _own(self, kind: WaitKind, text: str, until: int | None = None) -> Reason:
        said = "" if until is None else f" ({'from' if kind is WaitKind.BACKOFF else 'until'} {self._moment(until)})"
        return Reason(kind, text + said, self._node.name, self._key, until)

    def _input(self, waiting: AwaitedPartition) -> Reason:
        node, named = self._all.nodes[waiting.node], waiting.node if waiting.key == WHOLE else f"{waiting.node} {waiting.key}"
        if waiting.until is not None:
            complete = ", complete from" if waiting.state is PartitionState.PUBLISHED else ", but no longer than until"
            return Reason(WaitKind.INPUT, f"waits for {named}{complete} {self._moment(waiting.until)}", *waiting[:2], waiting.until)
        if node.is_source and waiting.state is PartitionState.MISSING:
            return self._undelivered(node, waiting.key)
        if waiting.state in _STOPPED:
            message = f"{named}, which {_STOPPED[waiting.state]}" + (f": {waiting.reason}" if waiting.reason else "")
            return Reason(WaitKind.INPUT, f"waits for {message}", *waiting[:2])
        message = f", which {waiting.reason}" if waiting.reason.startswith("is ") else f": {waiting.reason}" if waiting.reason else ""
        return Reason(WaitKind.INPUT, f"waits for {named}{message}", *waiting[:2])

    def _undelivered(self, node: GraphNode, key: str) -> Reason:
        """A delivery that nobody has seen: when it was promised for."""
        if node.partition.grain is None or key == WHOLE or node.expect_by is None:
            return Reason(WaitKind.INPUT, f"waits for {node.name}{'' if key == WHOLE else ' ' + key}, which hasn't arrived", node.name, key)
        by = Offset.parse(node.expect_by).after_us(bounds(node, key)[1], node.timezone, node.days_off.holds)
        expected = "expected by" if by > self._all.now else "overdue since"
        return Reason(WaitKind.INPUT, f"waits for {node.name} {key}, {expected} {self._moment(by)}", node.name, key, by)

    def _no_room(self) -> Iterator[Reason]:
        """It is ready, and stands in the queue."""
        takes, running = self._all.takes[self._node.name], self._all.running.values()
        room, sizes = self._all.room(), self._all.graph.pools
        short = room.short(takes)
        for pool in short:
            holders = [item for item in running if pool in dict(self._all.takes[item.node])]
            other = " and other work" if pool in dict(self._all.elsewhere) else ""
            yield self._own(WaitKind.POOL, f"{_pool(pool)} {room.taken(pool)} of {sizes[pool]}, held by {_named(holders)}{other}")
        if not short and len(running) >= self._slots:
            yield self._own(WaitKind.SLOTS, f"all {self._slots} workers are taken, by {_named(running)}")
        elif not short:
            yield self._own(WaitKind.POOL, "what is more urgent waits for the same pool")

    def _moment(self, at: int) -> str:
        return f"{from_us(at, self._node.timezone):%Y-%m-%d %H:%M}"


def _pool(name: str) -> str:
    if name.startswith(OF_NODE):
        return f"`concurrency` of {name.removeprefix(OF_NODE)}:"
    return f"`concurrency` of the owner {name.removeprefix(OF_OWNER)}:" if name.startswith(OF_OWNER) else f"pool {name}"


def _named(running: Iterable[Running]) -> str:
    """Who holds something, the first few by name."""
    all_of_them = [f"{item.node} {item.keys[0]}" if item.keys[0] != WHOLE else item.node for item in running]
    text = ", ".join(all_of_them[:SHOWN_MAX]) or "nobody"
    return text + (f" and {len(all_of_them) - SHOWN_MAX} more" if len(all_of_them) > SHOWN_MAX else "")
