"""The simulator's own account of partitions and attempts, and invariants of starting attempts.

The account is derived from the core's events and commands, and not from its state, so it can
contradict the core.
"""

from __future__ import annotations

import sys
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from headrace.model import InputMode
from headrace.model.intervals import next_key
from headrace.scheduler.capacity import AHEAD, SAMPLES_MIN
from headrace.scheduler.dependencies import urgency
from headrace.scheduler.events import (
    AttemptId,
    AttemptPublished,
    AttemptUnsuccessful,
    Cancelled,
    Dispatch,
    Loaded,
    PartitionUpdate,
    Paused,
    Promoted,
    Requested,
    Resumed,
    WorkerLost,
)
from headrace.scheduler.graph import LAPSE_US, Graph, GraphNode
from headrace.scheduler.states import FailureKind, PartitionState
from simulation.delivery_batches import DeliveryInvariants, in_batches
from simulation.scenario import Violation, drawn
from simulation.store import SimulatedTransaction

if TYPE_CHECKING:
    from simulation.leader import SimulatedLeader
    from simulation.simulator import Simulation


# Attempts at several partitions: the nodes that have them, their faults, and their invariants.

BATCH_MAX = 8


def batched(seed: int, graph: Graph) -> Graph:
    """Return the graph with batches on 60 % of the nodes whose code could be separable."""
    nodes = (_batched(seed, node) if _may_be_separable(node) else node for node in graph.nodes)
    return Graph(tuple(nodes), graph.pools)


def _batched(seed: int, node: GraphNode) -> GraphNode:
    if drawn(seed, "batch", node.name) >= 0.6:
        return node
    called = drawn(seed, "called", node.name) < 0.3
    return msgspec.structs.replace(node, batch_max=BATCH_MAX, called_each=called)


def _may_be_separable(node: GraphNode) -> bool:
    by_time = node.partition.grain is not None and node.partition.key is None
    alone = any(
        spec.lookback is not None or spec.mode is InputMode.PREVIOUS for spec in node.inputs
    )
    return by_time and not (node.is_source or node.chained or alone)


def falsely_separable(seed: int, graph: Graph) -> frozenset[str]:
    """Return nodes wrongly assumed to be separable: their batches give another result."""
    return frozenset(
        node.name
        for node in graph.nodes
        if node.batch_max > 1 and not node.is_source and drawn(seed, "lies", node.name) < 0.15
    )


def memory_limited(seed: int, graph: Graph) -> dict[str, int]:
    """Return node → maximum number of its partitions that fit into memory together.

    Other nodes have no limit.
    """
    some = [
        node.name
        for node in graph.nodes
        if node.batch_max > 1 and not node.is_source and drawn(seed, "heavy", node.name) < 0.2
    ]
    return {name: 1 + int(3 * drawn(seed, "fits", name)) for name in some}


class BatchInvariants:
    """Checks attempts at several partitions."""

    def __init__(self, world: Simulation) -> None:
        self._world = world
        self.deliveries = DeliveryInvariants(world)
        self._most: dict[Key, int] = {}
        """Maximum batch size of a partition after a larger batch failed."""
        self._apart: set[str] = set()
        self._ended: dict[Key, int] = {}
        """Partitions of batches that ended since the last decision → their allowed failures: the
        old number, or one more if the whole batch is retried."""

    def loaded(self) -> None:
        """Forget everything, as a new core does."""
        self._most.clear()
        self._apart.clear()
        self._ended.clear()

    def dispatched(
        self,
        tx: SimulatedTransaction,
        command: Dispatch,
        running: Mapping[AttemptId, Dispatch],
    ) -> None:
        """Check that a batch is consecutive, complete, and at most half of a failed batch.

        Partitions whose code is called for each are alone after a failed batch.
        """
        node, keys = self._world.rules.nodes[command.node], command.keys
        if len(keys) == 1:
            return
        if not node.is_source:
            self._is_separable(node, command)
        elif not self.deliveries.dispatched(tx, command, running):
            return
        at = f"{command.node}@{keys}"
        most = min(self._most.get((command.node, key), len(keys)) for key in keys)
        if len(keys) > most:
            raise Violation("batches_are_halved", f"{at}, at most {most}")

    def _is_separable(self, node: GraphNode, command: Dispatch) -> None:
        at, keys = f"{command.node}@{command.keys}", command.keys
        if len(keys) > node.batch_max or node.name in self._apart:
            raise Violation(
                "batches_are_allowed",
                f"{at}, at most {1 if node.name in self._apart else node.batch_max}",
            )
        grain = node.partition.grain
        if grain is None or any(
            next_key(item, grain, node.timezone) != other for item, other in pairwise(keys)
        ):
            raise Violation("batches_follow_each_other", at)
        if command.without:
            raise Violation("batches_have_all_inputs", f"{at} without {command.without}")

    def ended(self, dispatch: Dispatch, kind: FailureKind | None, failures: dict[Key, int]) -> None:
        """Record that an attempt ended without publishing and wasn't cancelled."""
        if not self._is_batch(dispatch) or kind is FailureKind.CANCELLED:
            return
        before = {key: failures.get((dispatch.node, key), 0) for key in dispatch.keys}
        tries = 1 + max(before.values())
        node = self._world.rules.nodes[dispatch.node]
        if kind is FailureKind.TRANSIENT and tries < node.attempts_max:
            self._world.coverage.batch("waited for")
            self._ended |= {(dispatch.node, key): tries for key in dispatch.keys}
            if node.called_each:
                self._most |= {(dispatch.node, key): 1 for key in dispatch.keys}
            return
        self._world.coverage.batch(
            "not separable" if kind is FailureKind.NOT_SEPARABLE else "halved"
        )
        if kind is FailureKind.NOT_SEPARABLE:
            self._apart.add(dispatch.node)
        most = 1 if node.called_each else len(dispatch.keys) // 2
        self._most |= {(dispatch.node, key): most for key in dispatch.keys}
        self._ended |= {(dispatch.node, key): count for key, count in before.items()}

    def _is_batch(self, dispatch: Dispatch) -> bool:
        if self._world.rules.nodes[dispatch.node].is_source:
            return self.deliveries.together(dispatch)
        return len(dispatch.keys) > 1

    def published(self, dispatch: Dispatch, given_back: Sequence[str]) -> None:
        """Record that an attempt's partitions became visible.

        Of those `given_back`, the first is ingested alone, and at most half of the others together.
        """
        if self._is_batch(dispatch):
            of = "of deliveries " if self.deliveries.together(dispatch) else ""
            self._world.coverage.batch(f"{of}published in part" if given_back else f"{of}published")
        for key in dispatch.keys:
            self._most.pop((dispatch.node, key), None)
        for place, key in enumerate(given_back):
            self._most[dispatch.node, key] = max(1, len(given_back) // 2) if place else 1

    def marked(self, mark: PartitionUpdate, before: PartitionState) -> None:
        """Check that a failed batch counts as no partition's failure.

        A partition that is requested again may be part of any batch.
        """
        place = mark.node, mark.key
        failures = self._ended.pop(place, None)
        if failures is not None and (
            mark.failures > failures or mark.state in (S.FAILED, S.HELD, S.REJECTED)
        ):
            raise Violation(
                "a_batch_has_no_failures",
                f"{mark.node}@{mark.key} is {mark.state} with {mark.failures} failures",
            )
        if mark.state is S.WAITING and before not in (S.WAITING, S.RUNNING):
            self._most.pop(place, None)

    def decided(self) -> None:
        """Check that the core has decided about every ended batch."""
        if self._ended:
            raise Violation("a_batch_is_put_back", f"nothing is said of {next(iter(self._ended))}")


# Partition states, running attempts and requests, by the events and commands of the core.

Key = tuple[str, str]
S = PartitionState


class Account:
    """The account for the current core; a new core starts a new account."""

    def __init__(self, world: Simulation) -> None:
        self._world = world
        self._state: defaultdict[str, dict[str, PartitionState]] = defaultdict(dict)
        self.failures: dict[Key, int] = {}
        self.not_before: dict[Key, int] = {}
        self.running: dict[AttemptId, Dispatch] = {}
        self.killed: set[AttemptId] = set()
        self.cancelled_ones: set[AttemptId] = set()
        self.together = BatchInvariants(world)
        self.just_promoted: set[Key] = set()
        """Partitions promoted since the last decision."""
        self.failed: dict[Key, FailureKind] = {}
        """Failures of attempts since the last decision, except for attempts that the core ended."""
        self.taken_back: set[int] = set()
        """Runs cancelled since the last decision."""
        self.waived: set[str] = set()
        """Nodes with a waived partition at any time."""
        self.open: set[int] = set()
        self._asked_for: dict[int, Requested] = {}
        self.paused: dict[str, int | None] = {}
        self.was_paused: set[str] = set()
        """Nodes that were paused at any time."""
        self.samples: dict[str, int] = {}
        """Node → number of its attempts with a known duration."""
        self.lapse: dict[AttemptId, int] = {}
        """Attempt → when its pool lease ends at the latest."""

    def of(self, node: str, key: str) -> PartitionState:
        """Return the state of a partition."""
        return self._state[node].get(key, S.MISSING)

    def renewed(self) -> None:
        """Start a new account for a new core."""
        for kept in (
            self._state,
            self.failures,
            self.not_before,
            self.paused,
            self.open,
            self.samples,
        ):
            kept.clear()
        self.together.loaded()

    def decided(self) -> None:
        """Forget the events before the core's decision."""
        self.together.decided()
        self.just_promoted.clear()
        self.failed.clear()
        self.taken_back.clear()

    # Events of the core

    def loaded(self, event: Loaded) -> None:
        """Record the state that the core loads."""
        self.running = {}
        for tracked in event.tracked_partitions:
            stale = tracked.stale and not tracked.proposed and tracked.state is S.PUBLISHED
            self._state[tracked.node][tracked.key] = S.WAITING if stale else tracked.state
            self.failures[tracked.node, tracked.key] = tracked.failures
            if tracked.not_before is not None:
                self.not_before[tracked.node, tracked.key] = tracked.not_before
            self._world.coverage.happened(tracked.state, "loaded")
        for item in event.running:
            self.running[item.attempt] = Dispatch(item.attempt, item.node, item.keys, 0)
            self.lapse[item.attempt] = item.expires_at + LAPSE_US
            self._state[item.node].update(dict.fromkeys(item.keys, S.RUNNING))

    def asked(self, event: Requested) -> None:
        """Record a run's request."""
        self.open.add(event.run)
        self._asked_for[event.run] = event
        for node in {target.node: None for target in event.targets}:
            how = "again" if node in event.again else "retried" if node in event.retry else "asked"
            for key, state in self._state[node].items():
                if self._world.wants(event, node, key):
                    self._world.coverage.happened(state, how)

    def cancelled(self, event: Cancelled) -> None:
        """Record the cancellation of a run."""
        self.open.discard(event.run)
        self.taken_back.add(event.run)
        request = self._asked_for[event.run]
        for node in {target.node: None for target in request.targets}:
            for key, state in self._state[node].items():
                if state in (S.WAITING, S.RUNNING) and self._world.wants(request, node, key):
                    self._world.coverage.happened(state, "cancelled")

    def promoted(self, event: Promoted) -> None:
        """Record the promotion of a plan's results."""
        for node, key, _ in event.contents:
            if self.of(node, key) is S.RUNNING:
                raise Violation(
                    "production_wins", f"{node}@{key} is promoted while an attempt is at it"
                )
            self._world.coverage.happened(self.of(node, key), "promoted")
            self.just_promoted.add((node, key))
            self._shown(node, key)

    def gated(self, event: Paused | Resumed) -> None:
        """Record that nodes are paused or resumed."""
        how = "paused" if isinstance(event, Paused) else "resumed"
        for node in event.nodes:
            for state in self._state[node].values():
                self._world.coverage.happened(state, how)
            if isinstance(event, Paused):
                self.paused[node] = event.until
                self.was_paused.add(node)
            else:
                self.paused.pop(node, None)

    def answered(self, event: AttemptPublished | AttemptUnsuccessful) -> None:
        """Record the end of an attempt."""
        dispatch = self.running.pop(event.attempt)
        given_back: tuple[str, ...] = ()
        if isinstance(event, AttemptPublished):
            self.samples[dispatch.node] = self.samples.get(dispatch.node, 0) + 1
            named = {key for key, _ in event.contents}
            given_back = tuple(key for key in dispatch.keys if key not in named)
            self.together.published(dispatch, given_back)
            text = "published"
        else:
            self.together.ended(dispatch, event.kind, self.failures)
            text = f"failed: {event.kind}" if event.kind else event.state.value
        for key in dispatch.keys:
            if key in given_back:
                self._world.coverage.happened(self.of(dispatch.node, key), "given back")
                self._state[dispatch.node][key] = S.WAITING
                continue
            self._world.coverage.happened(self.of(dispatch.node, key), text)
            if isinstance(event, AttemptPublished):
                self._shown(dispatch.node, key)
            elif event.state is S.FAILED and event.attempt not in self.killed:
                self.failed[dispatch.node, key] = event.kind or FailureKind.DETERMINISTIC

    def lost(self, event: WorkerLost) -> None:
        """Record the loss of a worker."""
        cover = self._world.coverage.happened
        for attempt in event.queued:
            dispatch = self.running.pop(attempt)
            for key in dispatch.keys:
                cover(self.of(dispatch.node, key), "lost before it began")
                self._state[dispatch.node][key] = S.WAITING
        if event.running is not None:
            dispatch = self.running.pop(event.running)
            cancelled = event.running in self.cancelled_ones
            self.together.ended(
                dispatch,
                FailureKind.CANCELLED if cancelled else FailureKind.LOST_WORKER,
                self.failures,
            )
            for key in dispatch.keys:
                cover(self.of(dispatch.node, key), "lost")
                if event.running not in self.killed:
                    self.failed[dispatch.node, key] = FailureKind.LOST_WORKER

    def _shown(self, node: str, key: str) -> None:
        self._state[node][key], self.failures[node, key] = S.PUBLISHED, 0
        self.not_before.pop((node, key), None)

    # Commands of the core

    def marked(self, mark: PartitionUpdate, before: PartitionState) -> None:
        """Record the new state of a partition."""
        if mark.state is S.WAITING and before is not S.RUNNING:
            self._world.coverage.happened(before, "wanted")
        if mark.proposed:
            self._world.coverage.happened(before, "proposed")
        if mark.state is S.WAIVED:
            self._world.coverage.happened(before, "waived")
            self.waived.add(mark.node)
        place = mark.node, mark.key
        self._state[mark.node][mark.key], self.failures[place] = mark.state, mark.failures
        if mark.not_before is None:
            self.not_before.pop(place, None)
        else:
            self.not_before[place] = mark.not_before

    def runs(self, node: str, key: str) -> None:
        """Record that an attempt starts at a partition."""
        self._world.coverage.happened(S.WAITING, "dispatched")
        self._state[node][key] = S.RUNNING

    def begun(self, command: Dispatch, now: int) -> None:
        """Record that an attempt starts."""
        self.running[command.attempt] = command
        self.lapse[command.attempt] = (
            now + self._world.rules.nodes[command.node].timeout_us + LAPSE_US
        )


# Invariants of every attempt that begins.

REMEMBERED = 500
_FIRST = (-sys.maxsize, 0)
"""More urgent than any other rank."""
_NOT_THERE = (S.HELD, S.REJECTED, S.FAILED, S.WITHDRAWN)


class Beginnings:
    """Checks every attempt that production's core dispatches, before it is committed."""

    def __init__(self, world: Simulation, account: Account) -> None:
        self._world, self._account = world, account
        self._last = AttemptId(0, 0)
        self._newest: deque[tuple[int, tuple[int, int], str]] = deque(maxlen=REMEMBERED)
        """Starting times, urgencies and partitions of attempts."""
        self._urgent: dict[Key, tuple[int, int]] = {}
        """Highest urgency of each partition: one that is retried keeps its place."""

    def since(self, last: AttemptId) -> None:
        """Lower bound of the numbers of new attempts."""
        self._last = last

    def took_over(self, epoch: int) -> None:
        """Record that a leader has the lease."""
        self._last = max(self._last, AttemptId(epoch, 0))

    def dispatched(
        self, leader: SimulatedLeader, tx: SimulatedTransaction, command: Dispatch
    ) -> None:
        """Check an attempt that is dispatched."""
        node = self._world.rules.nodes[command.node]
        self._attempt_numbers_grow(command)
        self._slots_are_kept(command)
        self._pools_are_kept(leader, command)
        self._nothing_paused_starts(leader, command)
        self._only_what_is_wanted_runs(leader, command)
        self._nothing_is_passed(leader, command)
        self._account.together.dispatched(tx, command, self._account.running)
        for key in command.keys:
            self._only_what_waits_starts(node, key)
            self._waits_are_kept(leader, node, key)
            if not node.is_source:
                self._inputs_are_there(tx, node, key)
            self._account.runs(node.name, key)
        self._account.begun(command, leader.now)

    def _attempt_numbers_grow(self, command: Dispatch) -> None:
        """Check that a later attempt has a larger number, which fences the earlier one."""
        if command.attempt <= self._last:
            raise Violation("attempt_numbers_grow", f"{command.attempt} after {self._last}")
        self._last = command.attempt

    def _nothing_paused_starts(self, leader: SimulatedLeader, command: Dispatch) -> None:
        """Check that a paused node isn't dispatched."""
        if command.node in self._account.paused:
            until = self._account.paused[command.node]
            if until is None or leader.now < until:
                raise Violation(
                    "nothing_paused_starts",
                    f"{command.node} is paused until {until}, it is {leader.now}",
                )

    def _only_what_is_wanted_runs(self, leader: SimulatedLeader, command: Dispatch) -> None:
        """Check that an attempt belongs to open runs that want each of its partitions."""
        for key in command.keys:
            if not any(
                self._world.wants(request, command.node, key) for request in leader.runs.values()
            ):
                raise Violation(
                    "only_what_is_wanted_runs",
                    f"{command.node}@{key} for {command.runs} of {sorted(leader.runs)}",
                )
        if not command.runs or not set(command.runs) <= self._account.open:
            raise Violation(
                "only_what_is_wanted_runs",
                f"{command.node}@{command.keys} for {command.runs} of {sorted(self._account.open)}",
            )

    def _nothing_is_passed(self, leader: SimulatedLeader, command: Dispatch) -> None:
        """Check that nothing starves.

        While a partition that takes no pool slots was queued, nothing less urgent started. Every
        urgency is a point in time, so later partitions rank behind waiting ones.
        """
        node = self._world.rules.nodes[command.node]
        if node.partition.whole:
            return
        urgencies = [
            (-(node.priority or 0), urgency(node, key, command.queued_at)) for key in command.keys
        ]
        for began, other, text in reversed(self._newest) if not node.takes else ():
            if began <= command.queued_at:
                break
            if other > max(urgencies):
                raise Violation(
                    "nothing_is_passed",
                    f"{node.name}@{command.keys} waits while {text} begins, which is less urgent",
                )
        kept = (
            _FIRST if node.name in self._account.was_paused else (sys.maxsize, 0)
        )  # a pause doesn't cost the place in the queue
        for key, results in zip(command.keys, urgencies, strict=True):
            self._urgent[node.name, key] = min(
                results, kept, self._urgent.get((node.name, key), results)
            )
        self._newest.append(
            (
                leader.now,
                min(self._urgent[node.name, key] for key in command.keys),
                f"{node.name}@{command.keys}",
            )
        )
        if (
            len(command.keys) > 1
            # a partition that returns from a batch has its own earlier place, which isn't known
            # here
        ):
            self._urgent.update(((node.name, key), _FIRST) for key in command.keys)

    def _only_what_waits_starts(self, node: GraphNode, key: str) -> None:
        """Check that no partition starts that is running, or wasn't requested since it ended."""
        if self._account.of(node.name, key) not in (S.MISSING, S.WAITING):
            raise Violation(
                "only_what_waits_starts", f"{node.name}@{key} is {self._account.of(node.name, key)}"
            )

    def _waits_are_kept(self, leader: SimulatedLeader, node: GraphNode, key: str) -> None:
        """Check that a partition isn't retried before its backoff ends."""
        until = self._account.not_before.get((node.name, key), 0)
        if leader.now < until:
            raise Violation(
                "waits_are_kept",
                f"{node.name}@{key} may be tried from {until} on, it is {leader.now}",
            )

    def _inputs_are_there(self, tx: SimulatedTransaction, node: GraphNode, key: str) -> None:
        """Check that all inputs of an attempt are published, complete and sound."""
        for name, item in self._missing(tx, node, key):
            raise Violation("inputs_are_there", f"{node.name}@{key} runs without {name}@{item}")

    def _missing(self, tx: SimulatedTransaction, node: GraphNode, key: str) -> Iterator[Key]:
        rules = self._world.rules
        if not rules.expected(node, key):
            yield node.name, key
        for read in rules.inputs[node.name]:
            source = read.source
            if read.refers or read.everything:
                if not self._anything_of(tx, source.name):
                    yield source.name, "*"
                continue
            for item in () if read.spec.optional else rules.required(node, read, key):
                if not self._there(tx, source, item) and not rules.absent(source, item):
                    yield source.name, item
        before = rules.before(node, key) if node.chained else None
        if before is not None and not self._there(tx, node, before):
            yield node.name, before

    def _there(self, tx: SimulatedTransaction, node: GraphNode, key: str) -> bool:
        """Return whether a partition can be read; a waived one counts as present and empty."""
        if self._account.of(node.name, key) is S.WAIVED:
            return True
        if (
            tx.get("publication", (node.name, key)) is None
            or self._account.of(node.name, key) in _NOT_THERE
        ):
            return False
        return not node.is_source or self._world.rules.complete(
            node, key, tx.get("single", "clock")
        )

    def _anything_of(self, tx: SimulatedTransaction, name: str) -> bool:
        if any(node == name for node, _ in self._world.store.tables["publication"]):
            return True
        return any(table == "publication" and place[0] == name for table, place in tx.writes)

    def _slots_are_kept(self, command: Dispatch) -> None:
        """Check that attempts don't exceed the slots.

        None is dispatched ahead while an attempt is known to be longer than a few milliseconds.
        """
        count, slots = len(self._account.running), self._world.scenario.slots
        partitions = sum(len(dispatch.keys) for dispatch in self._account.running.values())
        long = [
            dispatch.node
            for dispatch in (*self._account.running.values(), command)
            if self._takes_long(dispatch.node)
        ]
        busy = count >= max(slots, 2 if slots == 1 else 0)
        if busy and (long or (count >= 2 * slots and partitions >= slots * AHEAD)):
            raise Violation(
                "slots_are_kept",
                f"{command.node} starts beside {count} attempts of {partitions} partitions in"
                f" {slots} slots; long are {sorted(long)}",
            )

    def _takes_long(self, node: str) -> bool:
        return (
            node not in self._world.scenario.brief
            and not in_batches(self._world.rules.nodes[node])  # they report milliseconds
            and self._account.samples.get(node, 0) >= SAMPLES_MIN
        )

    def _pools_are_kept(self, leader: SimulatedLeader, command: Dispatch) -> None:
        """Check that running attempts don't exceed a pool.

        An attempt that needs more slots than a pool has takes all of them.
        """
        pools = self._world.graph.pools
        taken = dict.fromkeys(pools, 0)
        for dispatch in (*self._account.running.values(), command):
            lapsed = dispatch is not command and self._account.lapse[dispatch.attempt] <= leader.now
            for take in () if lapsed else self._world.rules.nodes[dispatch.node].takes:
                taken[take.pool] += min(take.slots, pools[take.pool])
        for pool, slots in leader.backfill.core.held() if leader.backfill is not None else ():
            taken[pool] += slots
        for pool, slots in taken.items():
            if slots > pools[pool]:
                raise Violation(
                    "pools_are_kept",
                    f"{slots} of the {pools[pool]} slots of {pool} are taken with {command.node}",
                )
