"""Attempts: dispatch by urgency and in batches, unsuccessful ends, and retries."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Sequence

from headrace.model.intervals import next_key
from headrace.scheduler.capacity import AttemptGroup, Slots, fitted, weighted_median
from headrace.scheduler.events import (
    AttemptId,
    AttemptUnsuccessful,
    Dispatch,
    FailsAlike,
    Kill,
    WorkerLost,
)
from headrace.scheduler.graph import GraphNode
from headrace.scheduler.publications import Propagation
from headrace.scheduler.state import Queue, Running, SchedulerState
from headrace.scheduler.states import (
    WAITS,
    FailureKind,
    PartitionState,
    PartitionTransition,
    TrackedPartition,
)

# Consecutive partitions that one attempt computes, where the asset's code allows several at once.
# An attempt gets as many ready partitions as take about `SECONDS`, or as take as long as the
# fixed cost of an attempt if that is more: where starting is expensive, larger batches cost
# little. A batch never leaves another worker without work. After an end without publication the
# failing partition is unknown, so the batch is retried in halves until a single partition fails.
# Transient causes are waited for first, because they are no partition's fault.
#
# Code that is called once per partition (Python) may have effects outside, so a partition is never
# in two unsuccessful batches: each is computed alone after the first. And a batch has at most as
# many partitions as the node published in a row before: batches cost at most as many further calls
# as there were good ones.

BATCH_SECONDS = 1.0
"""Target duration of an attempt at several partitions in seconds, short enough to cancel, pause or
lose it."""
UNKNOWN_BATCH_MAX = 16
"""Maximum batch size for a node that never ran."""
HISTORY_NEEDED = 28
"""Number of published intervals from which one more hardly changes how a delivery is evaluated
(`checks.anomalies.expectations.HISTORY_HOLD_MIN`)."""
UNDELIVERED_MAX = 7
"""Maximum number of intervals without a delivery between two deliveries of a batch."""
ROUNDING = 1e-6
CALL_SECONDS = 0.05
"""Seconds per partition up to which calls are batched: for longer ones an attempt costs little."""
TIMEOUT_SHARE = 0.5
"""The share of the timeout of one call that a batch of calls is expected to take at most."""
GROWTH_MIN = 16
"""Number of ready partitions from which calls aren't dispatched ahead while batches still grow."""
TRIED_SECONDS = 30.0
"""With attempts at one partition only, a second one's cost is unknown: two are tried if that takes
at most this many seconds in the worst case."""


def partitions_per_attempt(seen: Sequence[AttemptGroup], batch_max: int) -> int:
    """Return the number of partitions for one attempt, from the durations of earlier attempts."""
    if not seen:
        return min(batch_max, UNKNOWN_BATCH_MAX)
    fit = fitted(seen)
    target_seconds = max(BATCH_SECONDS - fit.attempt, fit.attempt)
    if len(seen) == 1 and seen[0].size < 2 and 2 * seen[0].seconds <= TRIED_SECONDS:
        target_seconds = max(target_seconds, 2 * fit.each)
    return max(
        1,
        min(batch_max, int(target_seconds / max(fit.each, target_seconds / batch_max) + ROUNDING)),
    )


def calls_per_attempt(seen: Sequence[AttemptGroup], node: GraphNode) -> int:
    """Return the number of calls for one attempt, from the median of the newest earlier ones.

    An attempt at several partitions has the timeout of one call.
    """
    if not seen:
        return 1
    each = weighted_median((group.seconds / group.size, 1) for group in seen)
    if each > CALL_SECONDS:
        return 1
    target_seconds = min(BATCH_SECONDS, TIMEOUT_SHARE * node.timeout_us / 1_000_000)
    return max(1, int(target_seconds / max(each, target_seconds / node.batch_max) + ROUNDING))


def usual_per_attempt(seen: Sequence[AttemptGroup], node: GraphNode) -> int:
    """Return the number of partitions for one attempt at a node once its durations are known."""
    if node.called_each:
        return calls_per_attempt(seen, node)
    return partitions_per_attempt(seen, node.batch_max)


class Batches:
    """Collects queued partitions into batches."""

    def __init__(self, scheduler_state: SchedulerState) -> None:
        self._all, self._partition_states = scheduler_state, scheduler_state.partition_states

    def complete(self, node: GraphNode) -> bool:
        """Return whether no more partitions of a node are about to become ready."""
        if self._one_by_one(node):
            return True
        return not any(
            link.input.name in self._partition_states.busy
            for link in self._all.network.links[node.name]
            if not link.newest
        )

    def most(self, node: GraphNode, key: str, slots: Slots) -> int:
        """Return the maximum number of partitions for an attempt that begins with `key`."""
        if self._one_by_one(node) or not self._together(
            node, key, self._partition_states.tracked(node.name, key)
        ):
            return 1
        most = usual_per_attempt(self._all.durations.seen(node.name), node)
        if node.called_each:
            most = min(most, self._all.in_a_row.get(node.name, 0))
        return max(1, min(most, -(-self._queued(node) // slots.free)))

    def growing(self, node: GraphNode) -> bool:
        """Return whether the next batches may be larger, and many partitions wait for them."""
        if not node.called_each or node.name in self._all.apart:
            return False
        in_a_row = self._all.in_a_row.get(node.name, 0)
        return in_a_row < node.batch_max and self._queued(node) >= GROWTH_MIN

    def following(self, node: GraphNode, key: str) -> str | None:
        """Return the next partition, if it is queued and may be computed in the same attempt.

        Of a source, intervals without a delivery may lie between.
        """
        for _ in range(1 + (UNDELIVERED_MAX if node.is_source else 0)):
            key = next_key(key, node.partition.time_grain, node.timezone)
            tracked = self._partition_states.get(node.name, key)
            if tracked is not None and (tracked.queued or not _undelivered(tracked)):
                return key if tracked.queued and self._together(node, key, tracked) else None
        return None

    def _one_by_one(self, node: GraphNode) -> bool:
        return (
            node.batch_max <= 1
            or node.name in self._all.apart
            or (node.is_source and self.young(node))
        )

    def young(self, node: GraphNode) -> bool:
        """Return whether a node has few published intervals, so that each one changes how the
        next is evaluated.
        """
        timed = node.partition.grain is not None
        return timed and len(self._partition_states.resting[node.name]) < HISTORY_NEEDED

    def _together(self, node: GraphNode, key: str, tracked: TrackedPartition) -> bool:
        """Return whether a partition may be part of a batch.

        Not if it failed alone, if an optional input is missing, or if a delivery replaces a
        publication or holds other intervals as well.
        """
        if tracked.cap == 1:
            return False
        if node.is_source:
            return not tracked.published and not tracked.bundle
        return next(self._all.needs.done_without(node, key, self._all.now), None) is None

    def _queued(self, node: GraphNode) -> int:
        """Return the number of ready partitions of a node."""
        running = sum(
            len(item.keys) for item in self._all.running.values() if item.node == node.name
        )
        return self._partition_states.busy.get(node.name, 0) - running


def _undelivered(tracked: TrackedPartition) -> bool:
    """Return whether nothing of an interval is published or being ingested."""
    return not tracked.published and tracked.state is not PartitionState.RUNNING


# Dispatch of the most urgent partitions, as far as there is capacity.


class Dispatcher:
    """Starts attempts, `slots` at once plus a few ahead, numbered within the leader's epoch."""

    def __init__(
        self, scheduler_state: SchedulerState, *, epoch: int, slots: int, after: int
    ) -> None:
        self._all = scheduler_state
        self._partition_states = scheduler_state.partition_states
        self._batches = Batches(scheduler_state)
        self._epoch, self._slots, self._last_n = epoch, slots, after
        self._rested: dict[str, None] = {}
        """Nodes with queued partitions that turned out not to run, since the last admission."""

    def admit(self) -> list[str]:
        """Dispatch ready partitions.

        Return the nodes with queued partitions that turned out not to run.
        """
        self._rested.clear()
        if self._all.ready:
            self._give_out_all()
        return list(self._rested)

    def _give_out_all(self) -> None:
        """Dispatch ready partitions, most urgent first.

        A partition that lacks pool slots delays only less urgent ones that need the same pool.
        """
        scheduler_state = self._all
        heads, room = scheduler_state.ready.heads(), scheduler_state.room()
        slots = Slots(
            self._slots,
            ((item.node, len(item.keys)) for item in scheduler_state.running.values()),
            scheduler_state.durations,
        )
        while heads:
            entry, takes = heads[0]
            node = scheduler_state.nodes[scheduler_state.network.order[entry.rank]]
            tracked = self._partition_states.get(node.name, entry.key)
            # It may have been dispatched in a batch; if it came back, it keeps this place.
            queued = tracked is not None and tracked.queued
            if queued and not slots.admit(node.name, ahead=self._may_lie_ahead(node)):
                return
            if queued and room.short(takes):
                room.wait(takes)
                heapq.heappop(heads)
                continue
            scheduler_state.ready.pop(heads)
            if queued and self._still(node, entry.key):
                room.take(takes)
                most = self._batches.most(node, entry.key, slots)
                slots.take(node.name, self._give_out(node, entry.key, most))

    def _may_lie_ahead(self, node: GraphNode) -> bool:
        """Return whether a partition may be dispatched while all workers are busy.

        One of a young node may not. It is evaluated against the partitions published when it is
        dispatched, and whether these are enough to hold it must not depend on the speed of the
        machine.
        """
        if self._batches.young(node):
            return False
        return self._batches.complete(node) and not self._batches.growing(node)

    def _still(self, node: GraphNode, key: str) -> bool:
        """Return whether a queued partition is still wanted and ready.

        Otherwise remove it from the queue.
        """
        scheduler_state, tracked = self._all, self._partition_states.tracked(node.name, key)
        demanded = tracked.state is PartitionState.WAITING and scheduler_state.demands.wanted(
            node.name, key
        )
        if (
            demanded
            and next(scheduler_state.needs.missing(node, key, scheduler_state.now), None) is None
        ):
            return True
        scheduler_state.put_back(node.name, key)
        self._rested[node.name] = None
        if node.name in scheduler_state.network.gathers:
            scheduler_state.gathering[node.name, key] = None
        return False

    def _give_out(self, node: GraphNode, key: str, most: int) -> int:
        """Dispatch a partition, with others in the same attempt; return their number."""
        tracked = self._partition_states.tracked(node.name, key)
        tracked.queued = False
        others = (
            self._bundled(node, key, tracked)
            if tracked.bundle
            else self._following(node, key, tracked, most)
        )
        self._dispatch(node, (key, *others), tracked.queued_at)
        return 1 + len(others)

    def _following(
        self, node: GraphNode, key: str, tracked: TrackedPartition, most: int
    ) -> list[str]:
        """Return the partitions after `key` for the same attempt."""
        results: list[str] = []
        most = min(most, tracked.cap or most)
        while (
            len(results) + 1 < most
            and (following := self._batches.following(node, key)) is not None
        ):
            partition = self._partition_states.tracked(node.name, following)
            if 0 < partition.cap < len(results) + 2 or not self._still(node, following):
                break
            most = min(most, partition.cap or most)
            partition.queued = False
            results.append(following)
            key = following
        return results

    def ahead(self) -> int:
        """Return the number of attempts queued in the pipes of busy workers."""
        return len(self._all.running) - self._slots

    def _bundled(self, node: GraphNode, key: str, tracked: TrackedPartition) -> list[str]:
        """Return the other waiting partitions from the same file."""
        results = []
        for other in self._partition_states.bundles.get((node.name, tracked.bundle), ()):
            partition = self._partition_states.tracked(node.name, other)
            waits = partition.state is PartitionState.WAITING and partition.not_before is None
            demanded = self._all.demands.wanted(node.name, other) and self._all.needs.expected(
                node, other
            )
            if other == key or not waits or not demanded:
                continue
            if not partition.queued:
                self._all.begin(node.name, other)
            partition.queued = False
            results.append(other)
        return results

    def _without(self, node: GraphNode, keys: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        return tuple(
            results
            for key in keys
            for results in self._all.needs.done_without(node, key, self._all.now)
        )

    def _dispatch(self, node: GraphNode, keys: tuple[str, ...], queued_at: int) -> None:
        scheduler_state = self._all
        keys = tuple(sorted(keys, key=lambda key: self._partition_states.order(node, key)))
        self._last_n += 1
        attempt = AttemptId(self._epoch, self._last_n)
        for key in keys:
            tracked = self._partition_states.tracked(node.name, key)
            tracked.step(PartitionTransition.DISPATCHED)
            tracked.dirty = False
        runs = tuple(
            sorted(
                {
                    demand.run
                    for key in keys
                    for demand in scheduler_state.demands.wanting(node.name, key)
                },
                reverse=True,
            )
        )
        scheduler_state.running[attempt] = Running(
            node.name, keys, scheduler_state.now + node.timeout_us, runs
        )
        scheduler_state.commands.append(
            Dispatch(attempt, node.name, keys, queued_at, self._without(node, keys), runs)
        )


# Time of the next try after a failure, by the kind of its cause: never blindly (SEMANTICS §6).

BACKOFF_FIRST_US = 500_000
BACKOFF_MAX_US = 300_000_000
RESOURCES_TRIES_MAX = 2
ENVIRONMENT_WAIT_US = 15_000_000
"""Microseconds between tries after the disk was full."""
INSTALLED_WAIT_US = 3_600_000_000
"""Microseconds until the next partition tries again after a package or program was missing."""
POISON_LOSSES_MAX = 3
"""Number of lost workers after which a partition is poison: the asset code is taken to be the
cause."""


def retry_after_us(kind: FailureKind, failures: int, attempts_max: int, draw: float) -> int | None:
    """Return the microseconds until the next try after the `failures`-th failure (from 1).

    None means no retry until code, inputs or parameters change, or a person requests it. `draw` in
    [0, 1) spreads the waits so that retries don't coincide.
    """
    if kind is FailureKind.LOST_WORKER:
        return 0 if failures < POISON_LOSSES_MAX else None
    if kind is FailureKind.RESOURCES:
        return 0 if failures < RESOURCES_TRIES_MAX else None
    if kind is FailureKind.TRANSIENT and failures < attempts_max:
        wait = min(BACKOFF_MAX_US, BACKOFF_FIRST_US * 2 ** (failures - 1))
        return int(wait * (0.75 + 0.5 * draw))
    return None


def draw(node: str, key: str, failures: int) -> float:
    """Return a number in [0, 1) that depends only on the try, so that replays wait equally long."""
    digest = hashlib.blake2b(f"{node}\0{key}\0{failures}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


# Attempts that end without publishing: cancelled, failed, lost, or timed out.

TIMED_OUT = "was ended because it ran past its timeout"
"""The reason for ending the worker of a timed-out attempt."""
_TRANSITIONS = {
    PartitionState.HELD: PartitionTransition.HELD,
    PartitionState.REJECTED: PartitionTransition.REJECTED,
}


class Endings:
    """Records how attempts ended."""

    def __init__(self, scheduler_state: SchedulerState, queue: Queue, waves: Propagation) -> None:
        self._all, self._queue, self._waves = scheduler_state, queue, waves
        self._partition_states, self._network = (
            scheduler_state.partition_states,
            scheduler_state.network,
        )

    def ended(self, event: AttemptUnsuccessful) -> None:
        """Record that an attempt was held, rejected or failed."""
        running = self._all.running.pop(event.attempt)
        node = self._all.nodes[running.node]
        self._all.rest(node.name, *running.keys)
        self._all.in_a_row.pop(node.name, None)
        together = (
            len(running.keys) > 1
            and not self._came_in_one_file(node, running.keys)
            and event.kind is not FailureKind.CANCELLED
        )
        if event.kind in WAITS:
            self._waits(node, running.keys, event, alone=together and node.called_each)
        elif together and not event.everywhere:
            self._together_ended(node, running.keys, event)
        else:
            self._each_ended(node, running.keys, event)
        self._waves.passed(node, running.keys)
        self._tell(node, running.keys)
        if event.everywhere:
            until = self._all.now + INSTALLED_WAIT_US if event.machine else None
            self._fail_alike(node, FailsAlike(node.name, running.keys[0], event.reason, until))

    def _came_in_one_file(self, node: GraphNode, keys: Sequence[str]) -> bool:
        """Return whether an attempt was at one file with several intervals, which aren't split.

        A source with batches has such files if it was declared otherwise when they came.
        """
        if not node.is_source or node.batch_max == 1:
            return node.is_source
        return all(self._partition_states.tracked(node.name, key).bundle for key in keys)

    def _fail_alike(self, node: GraphNode, alike: FailsAlike) -> None:
        """Fail all queued partitions of a node whose code can't work in any partition.

        Others fail when they become ready.
        """
        self._all.alike[node.name] = alike
        queued = tuple(
            other
            for other, _ in self._partition_states.open(node.name, lambda tracked: tracked.queued)
        )
        for other in queued:
            self._queue.fails_alike(node, other)
        self._waves.passed(node, queued)
        self._tell(node, queued)

    def _waits(
        self, node: GraphNode, keys: tuple[str, ...], event: AttemptUnsuccessful, *, alone: bool
    ) -> None:
        """Put partitions back without counting a failure, because nothing is wrong with them.

        They are retried when the cause may be over, each `alone` or as before.
        """
        wait = ENVIRONMENT_WAIT_US if event.after_us is None else event.after_us
        for key in keys:
            tracked = self._partition_states.tracked(node.name, key)
            tracked.step(PartitionTransition.PUT_BACK)
            tracked.reason, tracked.dirty = event.reason, False
            tracked.cap = 1 if alone else tracked.cap
            self._again(node, key, tracked, wait)

    def _together_ended(
        self, node: GraphNode, keys: tuple[str, ...], event: AttemptUnsuccessful
    ) -> None:
        """Split a failed batch, because the failing partition is unknown.

        It is retried in halves, or one by one if the batch's result differs from that of single
        partitions, or if the code is called for each. After a transient cause it is retried
        unchanged, a while later.
        """
        wait = self._passing(node, keys) if event.kind is FailureKind.TRANSIENT else None
        cap = 0 if wait is not None else len(keys) // 2
        if node.called_each:
            cap = 1
        if event.kind is FailureKind.NOT_SEPARABLE:
            self._all.apart.add(node.name)
            cap = 1
        for key in keys:
            tracked = self._partition_states.tracked(node.name, key)
            tracked.cap, tracked.dirty = cap or tracked.cap, False
            tracked.step(PartitionTransition.PUT_BACK)
            how = "ingested" if node.is_source else "computed"
            tracked.reason = f"{how} with {len(keys) - 1} others: {event.reason}"
            self._again(node, key, tracked, wait)

    def _passing(self, node: GraphNode, keys: tuple[str, ...]) -> int | None:
        """Count one more try of a batch.

        Return the wait in microseconds, None after the last try.
        """
        tracked_partitions = [self._partition_states.tracked(node.name, key) for key in keys]
        tries = 1 + max(tracked.failures for tracked in tracked_partitions)
        wait = retry_after_us(
            FailureKind.TRANSIENT, tries, node.attempts_max, draw(node.name, keys[0], tries)
        )
        for tracked in tracked_partitions if wait is not None else ():
            tracked.failures = tries
        return wait

    def _each_ended(
        self, node: GraphNode, keys: tuple[str, ...], event: AttemptUnsuccessful
    ) -> None:
        change = _TRANSITIONS.get(event.state, PartitionTransition.FAILED)
        for key in keys:
            tracked = self._partition_states.tracked(node.name, key)
            tracked.reason = event.reason
            if tracked.dirty:
                tracked.step(PartitionTransition.PUT_BACK)
                tracked.dirty = False
                self._all.mark(node.name, key, tracked)
                self._queue.consider(node, key)
            elif change is PartitionTransition.FAILED:
                self._failed(node, key, tracked, event.kind or FailureKind.DETERMINISTIC, keys[0])
            else:
                tracked.step(change)
                self._all.mark(node.name, key, tracked)

    def lost(self, event: WorkerLost) -> None:
        """Record the loss of a worker, with its running attempt and those queued behind it."""
        for attempt in event.queued:  # it never started: no failure of its own
            running = self._all.running.pop(attempt)
            self._all.rest(running.node, *running.keys)
            for key in running.keys:
                tracked = self._partition_states.tracked(running.node, key)
                tracked.step(PartitionTransition.PUT_BACK)
                self._queue.consider(self._all.nodes[running.node], key)
            self._waves.passed(self._all.nodes[running.node], running.keys)
            self._tell(self._all.nodes[running.node], running.keys)
        if event.running is not None:
            kind = (
                FailureKind.RESOURCES
                if event.running in self._all.timed_out
                else FailureKind.LOST_WORKER
            )
            kind = FailureKind.CANCELLED if event.running in self._all.cancelled else kind
            self._all.timed_out.discard(event.running)
            self._all.cancelled.discard(event.running)
            self.ended(
                AttemptUnsuccessful(event.running, PartitionState.FAILED, event.reason, kind)
            )

    def time_out(self) -> None:
        """End the attempts that ran too long."""
        for attempt, running in self._all.running.items():
            if running.expires_at <= self._all.now and attempt not in self._all.timed_out:
                self._all.timed_out.add(attempt)
                self._all.commands.append(Kill(attempt, TIMED_OUT))

    def _tell(self, node: GraphNode, keys: tuple[str, ...]) -> None:
        """Reconsider readers after an attempt ended without publishing.

        They use the older publication, or run without it if it is optional.
        """
        for key in keys:
            self._queue.put_off(node, key)
        self._release_optional(node, keys)
        visible = node.name in self._partition_states.visible
        if node.name not in self._partition_states.busy:  # else they continue to wait
            for child, link in self._network.children[node.name]:
                if not visible or link.reads_newest:
                    self._waves.reference_moved(child, stales=False)
        if not visible:
            self._queue.next_delivery(node)

    def _release_optional(self, node: GraphNode, keys: tuple[str, ...]) -> None:
        """Reconsider partitions for which these are an optional input."""
        for child, link in self._network.children[node.name]:
            if link.optional:
                for wanted in {touch: None for key in keys for touch in link.touches(key)}:
                    self._queue.consider(child, wanted)

    def _failed(
        self, node: GraphNode, key: str, tracked: TrackedPartition, kind: FailureKind, first: str
    ) -> None:
        """Record the failure of one partition.

        `first` is the first partition of the attempt: all of them are retried at the same time.
        """
        tracked.failures += 1
        # A delivery over which workers died is dispatched once more, to be stored and rejected
        # without being read.
        failures = (
            tracked.failures - 1
            if node.is_source and kind is FailureKind.LOST_WORKER
            else tracked.failures
        )
        wait = retry_after_us(
            kind, failures, node.attempts_max, draw(node.name, first, tracked.failures)
        )
        if wait is None:
            tracked.step(PartitionTransition.FAILED)
        else:
            tracked.step(PartitionTransition.PUT_BACK)
        if node.batch_max > 1:
            tracked.cap = 1  # whatever the cause, it runs alone from now on
        self._again(node, key, tracked, wait)

    def _again(
        self, node: GraphNode, key: str, tracked: TrackedPartition, wait: int | None
    ) -> None:
        """Retry a waiting partition after `wait` microseconds."""
        tracked.not_before = self._all.now + wait if wait else None
        self._all.mark(node.name, key, tracked)
        if tracked.not_before is not None:
            heapq.heappush(self._all.later, (tracked.not_before, node.name, key))
        elif tracked.state is PartitionState.WAITING:
            self._queue.consider(node, key)
