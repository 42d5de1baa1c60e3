"""Runs: requests, cancellations and ends; gates, expected intervals, and reasons for waiting."""

from __future__ import annotations

import enum
import heapq
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from headrace.model.intervals import bounds_us, from_us, key_at_us
from headrace.model.partitions import WHOLE
from headrace.model.times import Offset
from headrace.scheduler.events import (
    CANCELLED,
    WAITING_SHOWN_MAX,
    AwaitedPartition,
    Cancelled,
    Fired,
    FiredAt,
    Kill,
    Loaded,
    Paused,
    Requested,
    Resumed,
    Settled,
    Target,
)
from headrace.scheduler.gates import RETRY_AWAITED_US, STATES_RUN_AGAIN, Demand, Firings
from headrace.scheduler.graph import OF_NODE, OF_OWNER, GraphNode
from headrace.scheduler.partition_states import PartitionRange, bounds, ended, span_of, waits
from headrace.scheduler.ranges import IntegerSet, PartitionSet
from headrace.scheduler.readiness import unannounced_partitions
from headrace.scheduler.state import Queue, Running, SchedulerState
from headrace.scheduler.states import STOPPED, PartitionState, TrackedPartition

# The reasons why a partition isn't running, one clause each. Finding them costs as much as
# examining this one partition.

REASONS_MAX = 50
SHOWN_MAX = 3
_STOPPED_CLAUSES = {
    PartitionState.HELD: "is held",
    PartitionState.REJECTED: "was rejected",
    PartitionState.FAILED: "failed",
    PartitionState.WITHDRAWN: "was withdrawn",
    PartitionState.WAIVED: "was passed over",
}


class WaitKind(enum.StrEnum):
    """The kind of reason why a partition waits."""

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
    """One reason why a partition waits; `node` and `key` name the other partition, or itself."""

    kind: WaitKind
    text: str
    """One clause: `waits for flights 2013-02-11, expected by 2013-02-12 05:00`."""
    node: str
    key: str
    until: int | None = None
    """When time alone ends the wait, in microseconds; for an input, when it was promised."""


def why(scheduler_state: SchedulerState, node: GraphNode, key: str, slots: int = 0) -> list[Reason]:
    """Return all reasons why a partition isn't running, nearest first.

    Empty for a partition that is running, or published with nothing to be done. `slots` is the
    number of workers, which matters only to ready partitions.
    """
    tracked = scheduler_state.partition_states.get(node.name, key)
    search = _ReasonSearch(scheduler_state, node, key, slots)
    return list(islice(search.reasons(tracked), REASONS_MAX))


class _ReasonSearch:
    """The search for the reasons of one partition."""

    def __init__(
        self, scheduler_state: SchedulerState, node: GraphNode, key: str, slots: int
    ) -> None:
        self._all, self._node, self._key, self._slots = scheduler_state, node, key, slots

    def reasons(self, tracked: TrackedPartition | None) -> Iterator[Reason]:
        state = PartitionState.MISSING if tracked is None else tracked.state
        if state is PartitionState.RUNNING:
            return
        if tracked is not None and tracked.proposed:
            yield self._reason(
                WaitKind.PROPOSED,
                "is stale, and is recomputed only if a person requests it by name",
            )
        elif tracked is not None and state in _STOPPED_CLAUSES:
            yield self._reason(WaitKind.STOPPED, _STOPPED_CLAUSES[state] + _suffix(tracked.reason))
        elif state is PartitionState.PUBLISHED:
            return
        elif tracked is not None and tracked.queued:
            yield from self._no_room()
        elif self._node.is_source and state is PartitionState.MISSING:
            yield self._undelivered(self._node, self._key)
        else:
            yield from self._waiting(tracked)

    def _waiting(self, tracked: TrackedPartition | None) -> Iterator[Reason]:
        """Yield what keeps a partition from getting into the queue."""
        node, key, now = self._node, self._key, self._all.now
        if not self._all.demands.wanted(node.name, key):
            yield self._reason(WaitKind.UNWANTED, "isn't wanted by any run")
        if not self._all.needs.expected(node, key):
            yield self._not_due(node, key)
        if not ended(node, key, now):
            yield self._reason(WaitKind.INTERVAL, "its interval hasn't ended", bounds(node, key)[1])
        if tracked is not None and tracked.not_before is not None:
            yield self._reason(
                WaitKind.BACKOFF,
                f"is tried again{_suffix(tracked.reason)}",
                tracked.not_before,
            )
        shut = self._all.gates.shut(node, key, now)
        if shut is not None:
            yield self._reason(
                WaitKind.PAUSED if self._all.gates.pauses.of(node.name) else WaitKind.TRIGGER,
                shut.reason,
                shut.until,
            )
        if self._all.ingests_first(node):
            yield self._reason(
                WaitKind.FIRST, "waits for its first delivery, which is ingested alone"
            )
        for awaited in self._all.needs.missing(node, key, now):
            if (awaited.node, awaited.key) != (node.name, key):
                yield self._input_reason(awaited)

    def _reason(self, kind: WaitKind, text: str, until: int | None = None) -> Reason:
        suffix = (
            ""
            if until is None
            else f" ({'from' if kind is WaitKind.BACKOFF else 'until'} {self._time_text(until)})"
        )
        return Reason(kind, text + suffix, self._node.name, self._key, until)

    def _not_due(self, node: GraphNode, key: str) -> Reason:
        """Return the reason for a partition that isn't expected."""
        early = bounds(node, key)[1] <= self._all.needs.starts_us(node)
        reason = f"it lies before the start of {node.name}" if early else "nothing is due for it"
        return self._reason(WaitKind.NOT_DUE, f"isn't made: {reason}")

    def _input_reason(self, awaited: AwaitedPartition) -> Reason:
        """Return the reason for an upstream partition that has to be published first."""
        node = self._all.nodes[awaited.node]
        if awaited.until is None and node.is_source and awaited.state is PartitionState.MISSING:
            return self._undelivered(node, awaited.key)
        name = awaited.node if awaited.key == WHOLE else f"{awaited.node} {awaited.key}"
        text = f"waits for {name}{self._awaited_clause(awaited)}"
        return Reason(WaitKind.INPUT, text, awaited.node, awaited.key, awaited.until)

    def _awaited_clause(self, awaited: AwaitedPartition) -> str:
        """Return why an upstream partition isn't usable yet; empty if no reason is recorded."""
        if awaited.until is not None and awaited.state is PartitionState.PUBLISHED:
            otherwise = f", {awaited.reason}" if awaited.reason else ""
            return f", complete from {self._time_text(awaited.until)}{otherwise}"
        if awaited.until is not None:
            return f", but no longer than until {self._time_text(awaited.until)}"
        if awaited.state in _STOPPED_CLAUSES:
            return f", which {_STOPPED_CLAUSES[awaited.state]}{_suffix(awaited.reason)}"
        if awaited.reason.startswith("is "):
            return f", which {awaited.reason}"
        return _suffix(awaited.reason)

    def _undelivered(self, node: GraphNode, key: str) -> Reason:
        """Return the reason for a missing delivery, with the time by which it was promised."""
        unnamed = node.second_hour_reason(key)
        if node.partition.grain is None or key == WHOLE or node.expect_by is None or unnamed:
            text = f"waits for {node.name}{'' if key == WHOLE else ' ' + key}, which hasn't arrived"
            if unnamed:
                text += f": {unnamed}"
            return Reason(WaitKind.INPUT, text, node.name, key)
        by = Offset.parse(node.expect_by).after_us(
            bounds(node, key)[1], node.timezone, node.days_off.holds
        )
        expected = "expected by" if by > self._all.now else "overdue since"
        return Reason(
            WaitKind.INPUT,
            f"waits for {node.name} {key}, {expected} {self._time_text(by)}",
            node.name,
            key,
            by,
        )

    def _no_room(self) -> Iterator[Reason]:
        """Yield the reasons of a ready partition that is in the queue."""
        takes, running = self._all.takes[self._node.name], self._all.running.values()
        room, sizes = self._all.room(), self._all.graph.pools
        short = room.short(takes)
        for pool in short:
            holders = [item for item in running if pool in dict(self._all.takes[item.node])]
            other = " and other work" if pool in dict(self._all.elsewhere) else ""
            yield self._reason(
                WaitKind.POOL,
                f"{_pool_name(pool)} {room.in_use(pool)} of {sizes[pool]}, held by"
                f" {_holders(holders)}{other}",
            )
        if not short and len(running) >= self._slots:
            yield self._reason(
                WaitKind.SLOTS, f"all {self._slots} workers are taken, by {_holders(running)}"
            )
        elif not short:
            yield self._reason(WaitKind.POOL, "what is more urgent waits for the same pool")

    def _time_text(self, at: int) -> str:
        return f"{from_us(at, self._node.timezone):%Y-%m-%d %H:%M}"


def _suffix(reason: str) -> str:
    """Return a recorded reason as the end of a clause; empty without one."""
    return f": {reason}" if reason else ""


def _pool_name(name: str) -> str:
    if name.startswith(OF_NODE):
        return f"`concurrency` of {name.removeprefix(OF_NODE)}:"
    return (
        f"`concurrency` of the owner {name.removeprefix(OF_OWNER)}:"
        if name.startswith(OF_OWNER)
        else f"pool {name}"
    )


def _holders(running: Iterable[Running]) -> str:
    """Return the names of the first few holders."""
    all_of_them = [
        f"{item.node} {item.keys[0]}" if item.keys[0] != WHOLE else item.node for item in running
    ]
    text = ", ".join(all_of_them[:SHOWN_MAX]) or "nobody"
    return text + (
        f" and {len(all_of_them) - SHOWN_MAX} more" if len(all_of_them) > SHOWN_MAX else ""
    )


# Runs request work, are cancelled, and end.


class Requests:
    """Records the requests of runs."""

    def __init__(self, scheduler_state: SchedulerState, queue: Queue) -> None:
        self._all, self._queue = scheduler_state, queue
        self._partition_states, self._demands = (
            scheduler_state.partition_states,
            scheduler_state.demands,
        )

    def request(self, event: Requested) -> None:
        """Add the request of a run."""
        demand = Demand(event, self._partition_states)
        self._demands.add(demand)
        demand.active = sum(
            1
            for node, key in self._all.under_way()
            if demand.covers(self._partition_states, node, key)
        )
        for target in event.targets:
            node = self._all.nodes[target.node]
            for key in unannounced_partitions(
                node,
                target,
                self._all.now,
                self._all.network,
                self._all.needs,
                self._partition_states,
            ):
                self._queue.expect(node, key)
            self._request_span(event, node, span_of(node, target))

    def cancel(self, event: Cancelled) -> None:
        """Put back partitions that only this run wanted, and end its attempts.

        That includes attempts that a server would have started by itself. Partitions that a server
        wants only after a trigger has fired are put back as well.
        """
        removed, rested = self._demands.remove(event.run), dict[str, None]()
        for name, key in list(self._all.under_way()):
            tracked = self._partition_states.tracked(name, key)
            if tracked.queued and not self._all.will_run(name, key):
                tracked.queued = False
                self._partition_states.rest(name, 1)
                rested[name] = None
        for attempt, running in self._all.running.items():
            if self._ends_with(event.run, running):
                self._all.cancelled.add(attempt)
                self._all.commands.append(Kill(attempt, CANCELLED))
        for name in rested:
            self._queue.at_rest(name)
        if removed is not None:
            self._queue.let_go(removed)

    def _ends_with(self, run: int, running: Running) -> bool:
        """Return whether an attempt is cancelled together with a run."""
        if any(self._demands.asked_for(running.node, key) for key in running.keys):
            return False
        return run in running.runs or not any(
            self._demands.wanted(running.node, key) for key in running.keys
        )

    def settle(self) -> bool:
        """Settle the runs with nothing in progress and nothing soon.

        Return whether there were any.
        """
        ended = [demand for demand in self._demands.at_rest() if not self._soon(demand)]
        for demand in ended:
            if not demand.active:  # the end of another run may have released its partitions
                self._end(demand)
        return bool(ended)

    def _soon(self, demand: Demand) -> bool:
        """Return whether a retry of the run is due so soon that the run waits for it."""
        soon = (item for item in self._all.later if item[0] <= self._all.now + RETRY_AWAITED_US)
        return any(demand.covers(self._partition_states, node, key) for _, node, key in soon)

    def _end(self, demand: Demand) -> None:
        scheduler_state = self._all
        blocked = (
            (name, key, reason.text)
            for name, key in self.waiting(scheduler_state.now, demand.run)
            for reason in why(scheduler_state, scheduler_state.nodes[name], key)[:1]
        )
        scheduler_state.commands.append(
            Settled(demand.run, tuple(islice(blocked, WAITING_SHOWN_MAX)))
        )
        self._demands.remove(demand.run)
        self._queue.let_go(demand)

    def waiting(self, now: int, run: int | None) -> Iterator[tuple[str, str]]:
        """Yield wanted partitions of ended intervals that wait for something other than a slot."""
        for name, node in self._all.nodes.items():
            for key, tracked in self._partition_states.open(name, waits):
                if self._is_waiting(node, key, tracked, now, run):
                    yield name, key

    def _is_waiting(
        self, node: GraphNode, key: str, tracked: TrackedPartition, now: int, run: int | None
    ) -> bool:
        return (
            not tracked.queued
            and self._demands.wanted(node.name, key, run)
            and self._all.needs.expected(node, key)
            and ended(node, key, now)
        )

    def waiting_of(self, name: str, now: int) -> PartitionSet:
        """Return what `waiting` yields of a node, counted by ranges as far as possible."""
        node, states = self._all.nodes[name], self._partition_states
        waiting = PartitionSet(node.partition, node.timezone)
        if self._demands.wants_all(name):
            self._add_due_groups(waiting, node, now)
        for key, tracked in states.open(
            name, waits, lambda data, numbers: numbers - waiting.runs.get(data, IntegerSet())
        ):
            if self._is_waiting(node, key, tracked, now, None):
                waiting.add(key)
        return waiting

    def _add_due_groups(self, waiting: PartitionSet, node: GraphNode, now: int) -> None:
        """Add the partitions of waiting groups that are due."""
        for group in self._partition_states.groups[node.name]:
            if not waits(group.state):
                continue
            for data, numbers in group.partitions.runs.items():
                due = self._all.needs.due_numbers(node, numbers, now)
                if due is not None and due.edges:
                    waiting.runs[data] = waiting.runs.get(data, IntegerSet()) | due

    def _request_span(self, event: Requested, node: GraphNode, span: PartitionRange) -> None:
        """Request a range of a node's partitions.

        It visits those that aren't terminal, or all partitions if they are to be recomputed.
        """
        if node.name in event.again:
            self._recompute(node, span)

        if node.name not in event.retry:
            self._queue.look_again(node, span)
            return
        for key, tracked in self._partition_states.open(node.name):
            if not span.covers(self._partition_states.order(node, key)):
                continue
            if self._retries(event, node, tracked):
                self._again(node, key)
            else:
                self._queue.consider(node, key)

    def _recompute(self, node: GraphNode, span: PartitionRange) -> None:
        """Request the published partitions in a range again."""
        for key in self._partition_states.published(node.name):
            tracked = self._partition_states.get(node.name, key)
            if (
                tracked is not None
                and tracked.state is PartitionState.PUBLISHED
                and span.covers(self._partition_states.order(node, key))
            ):
                self._again(node, key)

    def _retries(self, event: Requested, node: GraphNode, tracked: TrackedPartition) -> bool:
        """Return whether naming the node requests this partition again.

        That is the case for a partition that would otherwise not run, or only after a backoff. A
        waived partition has to be named itself.
        """
        if tracked.state is PartitionState.WAIVED:
            return any(
                target.first is not None for target in event.targets if target.node == node.name
            )
        backs_off = tracked.not_before is not None
        return (
            tracked.state in STOPPED
            or tracked.state is PartitionState.WITHDRAWN
            or tracked.proposed
            or backs_off
        )

    def _again(self, node: GraphNode, key: str) -> None:
        tracked = self._partition_states.tracked(node.name, key)
        if tracked.not_before is None:
            tracked.failures = 0
        else:  # the retry is immediate but counts; else failures would repeat forever
            tracked.not_before = None
            self._all.mark(node.name, key, tracked)
        tracked.late, tracked.proposed = tracked.proposed, False
        self._queue.want(node, key, force=True)


# Gates open and close: nodes are paused and resumed, triggers fire.


class Releases:
    """Opens and closes the gates of a scheduler state."""

    def __init__(self, scheduler_state: SchedulerState, queue: Queue) -> None:
        self._all, self._queue = scheduler_state, queue
        self._partition_states, self._gates = (
            scheduler_state.partition_states,
            scheduler_state.gates,
        )

    def begin(self, event: Loaded) -> None:
        """Load when triggers last fired.

        What counts as fired from now on is reported, so that the next leader knows which firings it
        missed.
        """
        self._gates.firings = Firings(self._all.network, event.fired, self._all.now)
        self._all.commands += [FiredAt(name, at) for name, at in self._gates.firings.unrecorded]

    def wake(self) -> None:
        """Open the gates whose time has come.

        This happens before any event, so a partition that begins to wait with the event waits for
        the next firing.
        """
        for node in self._gates.pauses.over(self._all.now):
            self._queue.look_again(self._all.nodes[node])
        for name, at in self._gates.firings.due(self._all.now):
            self._fire(self._all.nodes[name], at)

    def pause(self, event: Paused) -> None:
        """Pause nodes: nothing of them starts, and queued partitions are put back."""
        known = tuple(node for node in event.nodes if node in self._all.nodes)
        self._gates.pauses.pause(Paused(known, event.reason, event.until))
        for node in known:
            for key, _ in self._partition_states.open(node, lambda tracked: tracked.queued):
                self._all.put_back(node, key)
            self._look_below(node)

    def resume(self, event: Resumed) -> None:
        """Resume nodes."""
        for node in self._gates.pauses.resume(event.nodes):
            self._queue.look_again(self._all.nodes[node])

    def fired(self, event: Fired) -> None:
        """Fire a trigger from outside."""
        if event.node in self._all.nodes:
            self._fire_now(event.node)

    def published(self, node: str) -> None:
        """Fire the triggers that follow a node, after a publication of it."""
        for name in self._gates.firings.fired_by.get(node, ()):
            self._fire_now(name)

    def _fire_now(self, name: str) -> None:
        if self._gates.firings.fire(name, self._all.now):
            self._fire(self._all.nodes[name], self._all.now)

    def _fire(self, node: GraphNode, at: int) -> None:
        """Release the partitions that waited for a node's trigger.

        An unpartitioned node without inputs runs again. It begins to wait now, so it counts as
        fired now: if this leader ends here, it stays released.
        """
        if not node.inputs:
            at = self._begin_again(node, at)
        self._all.commands.append(FiredAt(node.name, at))
        self._queue.look_again(node)

    def _begin_again(self, node: GraphNode, at: int) -> int:
        if not node.partition.whole:
            for key in unannounced_partitions(
                node,
                Target(node.name),
                self._all.now,
                self._all.network,
                self._all.needs,
                self._partition_states,
            ):
                self._queue.expect(node, key)
            return at
        self._gates.firings.fire(node.name, self._all.now)
        tracked = self._partition_states.get(node.name, WHOLE)
        if tracked is not None and tracked.state in STATES_RUN_AGAIN:
            self._queue.want(node, WHOLE, force=True)
        return self._all.now

    def _look_below(self, node: str) -> None:
        """Let readers of a node that doesn't run now use its older publications."""
        for child, _ in self._all.network.children[node]:
            self._queue.look_again(child)
        for follower in self._all.network.followers[node]:
            self._queue.look_again(self._all.nodes[follower])


# Partitions of nodes that follow no input: each is expected once its interval has ended.


class Passing:
    """Expects ended intervals for a server; single requests expect them when they arrive."""

    def __init__(self, scheduler_state: SchedulerState, queue: Queue) -> None:
        self._all, self._queue = scheduler_state, queue
        self._ends: list[tuple[int, str]] = []

    def begin(self) -> None:
        """Start from now."""
        for node in self._all.graph.nodes:
            if (
                not node.is_source
                and node.partition.grain is not None
                and not self._all.network.paced(node)
            ):
                self._await(node)

    def wake(self) -> None:
        """Expect and queue the intervals that have ended."""
        while self._ends and self._ends[0][0] <= self._all.now:
            _, name = heapq.heappop(self._ends)
            node = self._all.nodes[name]
            if self._all.demands.stand_for(name):
                for key in unannounced_partitions(
                    node,
                    Target(name),
                    self._all.now,
                    self._all.network,
                    self._all.needs,
                    self._all.partition_states,
                ):
                    self._queue.expect(node, key)
                    self._queue.consider(node, key)
            self._await(node)

    def next_event(self) -> int | None:
        """Return when the next interval ends that a server waits for, in microseconds.

        None if there is none.
        """
        return self._ends[0][0] if self._ends and self._all.demands.continuous else None

    def _await(self, node: GraphNode) -> None:
        grain = node.partition.time_grain
        end = bounds_us(key_at_us(self._all.now, grain, node.timezone), grain, node.timezone)[1]
        heapq.heappush(self._ends, (end, node.name))
