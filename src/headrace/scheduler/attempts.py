"""Attempts: dispatch by urgency and in batches, unsuccessful ends, and retries."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Sequence

from headrace.model.intervals import next_key
from headrace.scheduler.capacity import AttemptGroup, Slots, fitted
from headrace.scheduler.events import AttemptId, AttemptUnsuccessful, Dispatch, FailsAlike, Kill, WorkerLost
from headrace.scheduler.graph import GraphNode
from headrace.scheduler.publications import Propagation
from headrace.scheduler.state import Queue, Running, SchedulerState
from headrace.scheduler.states import WAITS, FailureKind, PartitionState, PartitionTransition, TrackedPartition, next_state

# Consecutive partitions that one attempt computes, where the asset's code allows several at once.
# An attempt gets as many ready partitions as take about `SECONDS`, or as take as long as the
# fixed cost of an attempt if that is more: where starting is expensive, larger batches cost
# little. A batch never leaves another worker without work. After an end without publication the
# failing partition is unknown, so the batch is retried in halves until a single partition fails.
# Transient causes are waited for first, because they are no partition's fault.

BATCH_SECONDS = 1.0
"""What an attempt at several partitions should take: short enough to be cancelled, paused and lost without regret."""
UNKNOWN_BATCH_MAX = 16
"""So many partitions at once, of a node that never ran."""
ROUNDING = 1e-6
TRIED_SECONDS = 30.0
"""Where all attempts were at one partition, nobody knows what the next would cost: two are tried if that takes no longer than this at
worst."""


def partitions_per_attempt(seen: Sequence[AttemptGroup], batch_max: int) -> int:
    """How many partitions one attempt should be given, by what attempts took."""
    if not seen:
        return min(batch_max, UNKNOWN_BATCH_MAX)
    fit = fitted(seen)
    wanted = max(BATCH_SECONDS - fit.attempt, fit.attempt)
    if len(seen) == 1 and seen[0].size < 2 and 2 * seen[0].seconds <= TRIED_SECONDS:
        wanted = max(wanted, 2 * fit.each)
    return max(1, min(batch_max, int(wanted / max(fit.each, wanted / batch_max) + ROUNDING)))


class Batches:
    """Gathers partitions of a state of the scheduler that are queued."""

    def __init__(self, scheduler_state: SchedulerState) -> None:
        self._all, self._partition_states = scheduler_state, scheduler_state.partition_states

    def complete(self, node: GraphNode) -> bool:
        """Whether no more of a node's partitions are about to be ready: what it reads is at rest."""
        if self._one_by_one(node):
            return True
        return not any(link.input.name in self._partition_states.busy for link in self._all.network.links[node.name] if not link.newest)

    def most(self, node: GraphNode, key: str, slots: Slots) -> int:
        """How many partitions an attempt may be given that begins with one."""
        if self._one_by_one(node) or not self._together(node, key, self._partition_states.tracked(node.name, key)):
            return 1
        most = partitions_per_attempt(self._all.durations.seen(node.name), node.batch_max)
        return max(1, min(most, -(-self._queued(node) // slots.free)))

    def following(self, node: GraphNode, key: str) -> str | None:
        """The partition after one, if it is queued and may be computed with it."""
        assert node.partition.grain is not None
        key = next_key(key, node.partition.grain, node.timezone)
        tracked = self._partition_states.get(node.name, key)
        return key if tracked is not None and tracked.queued and self._together(node, key, tracked) else None

    def _one_by_one(self, node: GraphNode) -> bool:
        return node.batch_max <= 1 or node.name in self._all.apart

    def _together(self, node: GraphNode, key: str, tracked: TrackedPartition) -> bool:
        """Whether a partition may be computed with others: not one that failed alone, nor one that something isn't there for."""
        if tracked.cap == 1:
            return False
        return next(self._all.needs.done_without(node, key, self._all.now), None) is None

    def _queued(self, node: GraphNode) -> int:
        """How many partitions of a node are ready."""
        running = sum(len(item.keys) for item in self._all.running.values() if item.node == node.name)
        return self._partition_states.busy.get(node.name, 0) - running


# Dispatch of the most urgent partitions, as far as there is capacity.

HISTORY_NEEDED = 28
"""From so many published intervals on, one more hardly changes how a delivery is judged
(`checks.anomalies.expectations.HISTORY_HOLD_MIN`)."""


class Dispatcher:
    """Starts attempts, `slots` at once (a few more are given out ahead), numbered within the leader's epoch."""

    def __init__(self, scheduler_state: SchedulerState, *, epoch: int, slots: int, after: int) -> None:
        self._all = scheduler_state
        self._partition_states = scheduler_state.partition_states
        self._batches = Batches(scheduler_state)
        self._epoch, self._slots, self._last_n = epoch, slots, after
        self._rested: dict[str, None] = {}
        """Nodes of which something that was queued isn't to run after all, since the last look."""

    def admit(self) -> list[str]:
        """Give out what may run, and say of which nodes something that was queued isn't to run after all."""
        self._rested.clear()
        if self._all.ready:
            self._give_out_all()
        return list(self._rested)

    def _give_out_all(self) -> None:
        """Take what may run from the queue, most urgent first. What has no room in a pool is in the way of nothing but what is less
        urgent and takes from the same pool."""
        scheduler_state = self._all
        heads, room = scheduler_state.ready.heads(), scheduler_state.room()
        slots = Slots(self._slots, (item.node for item in scheduler_state.running.values()), scheduler_state.durations)
        while heads:
            entry, takes = heads[0]
            node = scheduler_state.nodes[scheduler_state.network.order[entry.rank]]
            tracked = self._partition_states.get(node.name, entry.key)
            queued = tracked is not None and tracked.queued  # it may have gone out with others; if it came back, it keeps this place
            if queued and not slots.admit(node.name, ahead=self._may_lie_ahead(node)):
                return
            if queued and room.short(takes):
                room.wait(takes)
                heapq.heappop(heads)
                continue
            scheduler_state.ready.pop(takes)
            if queued and self._still(node, entry.key):
                room.take(takes)
                most = self._batches.most(node, entry.key, slots)
                slots.take(node.name)
                self._give_out(node, entry.key, most)
            following = scheduler_state.ready.head(takes)
            if following is None:
                heapq.heappop(heads)
            else:
                heapq.heapreplace(heads, (following, takes))

    def _may_lie_ahead(self, node: GraphNode) -> bool:
        """Whether a partition may be given out while all workers are busy. A delivery of a young
        source may not: it is judged by those that are published when it is given out, and whether
        these are enough to hold it must not depend on how quick the machine is."""
        judged = node.is_source and node.partition.grain is not None
        if judged and len(self._partition_states.resting[node.name]) < HISTORY_NEEDED:
            return False
        return self._batches.complete(node)

    def _still(self, node: GraphNode, key: str) -> bool:
        """Whether a partition that was queued is still wanted and complete; it rests if it isn't."""
        scheduler_state, tracked = self._all, self._partition_states.tracked(node.name, key)
        wanted = tracked.state is PartitionState.WAITING and scheduler_state.demands.wanted(node.name, key)
        if wanted and next(scheduler_state.needs.missing(node, key, scheduler_state.now), None) is None:
            return True
        scheduler_state.put_back(node.name, key)
        self._rested[node.name] = None
        if node.name in scheduler_state.network.gathers:
            scheduler_state.gathering[node.name, key] = None
        return False

    def _give_out(self, node: GraphNode, key: str, most: int) -> None:
        tracked = self._partition_states.tracked(node.name, key)
        tracked.queued = False
        others = self._bundled(node, key, tracked) if node.is_source else self._following(node, key, tracked, most)
        self._dispatch(node, (key, *others), tracked.queued_at)

    def _following(self, node: GraphNode, key: str, tracked: TrackedPartition, most: int) -> list[str]:
        """The partitions after one that are computed with it."""
        results: list[str] = []
        most = min(most, tracked.cap or most)
        while len(results) + 1 < most and (following := self._batches.following(node, key)) is not None:
            partition = self._partition_states.tracked(node.name, following)
            if 0 < partition.cap < len(results) + 2 or not self._still(node, following):
                break
            most = min(most, partition.cap or most)
            partition.queued = False
            results.append(following)
            key = following
        return results

    def ahead(self) -> int:
        """How many attempts lie in the pipes of workers that are at another one."""
        return len(self._all.running) - self._slots

    def _bundled(self, node: GraphNode, key: str, tracked: TrackedPartition) -> list[str]:
        """The other partitions that came in the same file and wait as well."""
        results = []
        for other in self._partition_states.bundles.get((node.name, tracked.bundle), ()) if tracked.bundle else ():
            partition = self._partition_states.tracked(node.name, other)
            waits = partition.state is PartitionState.WAITING and partition.not_before is None
            wanted = self._all.demands.wanted(node.name, other) and self._all.needs.expected(node, other)
            if other == key or not waits or not wanted:
                continue
            if not partition.queued:
                self._all.begin(node.name, other)
            partition.queued = False
            results.append(other)
        return results

    def _without(self, node: GraphNode, keys: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        return tuple(results for key in keys for results in self._all.needs.done_without(node, key, self._all.now))

    def _dispatch(self, node: GraphNode, keys: tuple[str, ...], queued_at: int) -> None:
        scheduler_state = self._all
        keys = tuple(sorted(keys, key=lambda key: self._partition_states.order(node, key)))
        self._last_n += 1
        attempt = AttemptId(self._epoch, self._last_n)
        for key in keys:
            tracked = self._partition_states.tracked(node.name, key)
            tracked.state = next_state(tracked.state, PartitionTransition.DISPATCHED)
            tracked.dirty = False
        runs = tuple(sorted({demand.run for key in keys for demand in scheduler_state.demands.wanting(node.name, key)}, reverse=True))
        scheduler_state.running[attempt] = Running(node.name, keys, scheduler_state.now + node.timeout_us, runs)
        scheduler_state.commands.append(Dispatch(attempt, node.name, keys, queued_at, self._without(node, keys), runs))


# Time of the next try after a failure, by the kind of its cause: never blindly (SEMANTICS §6).

BACKOFF_FIRST_US = 500_000
BACKOFF_MAX_US = 300_000_000
RESOURCES_TRIES_MAX = 2
ENVIRONMENT_WAIT_US = 15_000_000
"""How long after the disk was full it is tried whether that is over."""
INSTALLED_WAIT_US = 3_600_000_000
"""How long after a package or program was missing the next partition tries whether it is there."""
POISON_LOSSES_MAX = 3
"""Three lost workers over one partition make it poison: the loss is taken to be the body's doing."""


def retry_after_us(kind: FailureKind, failures: int, attempts_max: int, draw: float) -> int | None:
    """Microseconds until the next try after the `failures`-th failure (from 1), or None: not again until code,
    inputs or parameters change, or a person asks. `draw` in [0, 1) spreads the waits so that they don't meet."""
    if kind is FailureKind.LOST_WORKER:
        return 0 if failures < POISON_LOSSES_MAX else None
    if kind is FailureKind.RESOURCES:
        return 0 if failures < RESOURCES_TRIES_MAX else None
    if kind is FailureKind.TRANSIENT and failures < attempts_max:
        wait = min(BACKOFF_MAX_US, BACKOFF_FIRST_US * 2 ** (failures - 1))
        return int(wait * (0.75 + 0.5 * draw))
    return None


def draw(node: str, key: str, failures: int) -> float:
    """A number in [0, 1) that is the same for the same try: replaying a history waits the same."""
    digest = hashlib.blake2b(f"{node}\0{key}\0{failures}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


# Attempts that end without publishing: cancelled, failed, lost, or timed out.

TIMED_OUT = "was ended because it ran past its timeout"
"""How the worker of an attempt ended that took too long."""
_TRANSITIONS = {PartitionState.HELD: PartitionTransition.HELD, PartitionState.REJECTED: PartitionTransition.REJECTED}


class Endings:
    """Records how attempts ended."""

    def __init__(self, scheduler_state: SchedulerState, queue: Queue, waves: Propagation) -> None:
        self._all, self._queue, self._waves = scheduler_state, queue, waves
        self._partition_states, self._network = scheduler_state.partition_states, scheduler_state.network

    def ended(self, event: AttemptUnsuccessful) -> None:
        """An attempt was held, rejected or failed."""
        running = self._all.running.pop(event.attempt)
        node = self._all.nodes[running.node]
        self._all.rest(node.name, *running.keys)
        together = len(running.keys) > 1 and not node.is_source and event.kind is not FailureKind.CANCELLED
        if event.kind in WAITS:
            self._waits(node, running.keys, event)
        elif together and not event.everywhere:
            self._together_ended(node, running.keys, event)
        else:
            self._each_ended(node, running.keys, event)
        self._waves.passed(node, running.keys)
        self._tell(node, running.keys)
        if event.everywhere:
            until = self._all.now + INSTALLED_WAIT_US if event.machine else None
            self._fail_alike(node, FailsAlike(node.name, running.keys[0], event.reason, until))

    def _fail_alike(self, node: GraphNode, alike: FailsAlike) -> None:
        """The code can't work in any partition: those that are queued fail without an attempt, and so do others that become ready."""
        self._all.alike[node.name] = alike
        queued = tuple(other for other, tracked in self._partition_states.open(node.name) if tracked.queued)
        for other in queued:
            self._queue.fails_alike(node, other)
        self._waves.passed(node, queued)
        self._tell(node, queued)

    def _waits(self, node: GraphNode, keys: tuple[str, ...], event: AttemptUnsuccessful) -> None:
        """Nothing is wrong with the partitions: they are tried again when what they wait for may be over, and nothing is counted."""
        wait = ENVIRONMENT_WAIT_US if event.after_us is None else event.after_us
        for key in keys:
            tracked = self._partition_states.tracked(node.name, key)
            tracked.state = next_state(tracked.state, PartitionTransition.PUT_BACK)
            tracked.reason, tracked.dirty = event.reason, False
            self._again(node, key, tracked, wait)

    def _together_ended(self, node: GraphNode, keys: tuple[str, ...], event: AttemptUnsuccessful) -> None:
        """Several partitions at once came to nothing: that isn't any one's failure yet. They are tried again in halves, or one by one
        where several at once come to something else than one; what may pass by itself is tried again as it was, a while later."""
        wait = self._passing(node, keys) if event.kind is FailureKind.TRANSIENT else None
        cap = 0 if wait is not None else len(keys) // 2
        if event.kind is FailureKind.NOT_SEPARABLE:
            self._all.apart.add(node.name)
            cap = 1
        for key in keys:
            tracked = self._partition_states.tracked(node.name, key)
            tracked.cap, tracked.dirty = cap or tracked.cap, False
            tracked.state = next_state(tracked.state, PartitionTransition.PUT_BACK)
            tracked.reason = f"computed with {len(keys) - 1} others: {event.reason}"
            self._again(node, key, tracked, wait)

    def _passing(self, node: GraphNode, keys: tuple[str, ...]) -> int | None:
        """Count one more try of several partitions; how long the next is waited for, None if there were enough."""
        tracked_partitions = [self._partition_states.tracked(node.name, key) for key in keys]
        tries = 1 + max(tracked.failures for tracked in tracked_partitions)
        wait = retry_after_us(FailureKind.TRANSIENT, tries, node.attempts_max, draw(node.name, keys[0], tries))
        for tracked in tracked_partitions if wait is not None else ():
            tracked.failures = tries
        return wait

    def _each_ended(self, node: GraphNode, keys: tuple[str, ...], event: AttemptUnsuccessful) -> None:
        change = _TRANSITIONS.get(event.state, PartitionTransition.FAILED)
        for key in keys:
            tracked = self._partition_states.tracked(node.name, key)
            tracked.reason = event.reason
            if tracked.dirty:
                tracked.state = next_state(tracked.state, PartitionTransition.PUT_BACK)
                tracked.dirty = False
                self._all.mark(node.name, key, tracked)
                self._queue.consider(node, key)
            elif change is PartitionTransition.FAILED:
                self._failed(node, key, tracked, event.kind or FailureKind.DETERMINISTIC, keys[0])
            else:
                tracked.state = next_state(tracked.state, change)
                self._all.mark(node.name, key, tracked)

    def lost(self, event: WorkerLost) -> None:
        """A worker died, with what it was at and what lay ahead of it."""
        for attempt in event.queued:  # it never started: no failure of its own
            running = self._all.running.pop(attempt)
            self._all.rest(running.node, *running.keys)
            for key in running.keys:
                tracked = self._partition_states.tracked(running.node, key)
                tracked.state = next_state(tracked.state, PartitionTransition.PUT_BACK)
                self._queue.consider(self._all.nodes[running.node], key)
            self._waves.passed(self._all.nodes[running.node], running.keys)
            self._tell(self._all.nodes[running.node], running.keys)
        if event.running is not None:
            kind = FailureKind.RESOURCES if event.running in self._all.timed_out else FailureKind.LOST_WORKER
            kind = FailureKind.CANCELLED if event.running in self._all.cancelled else kind
            self._all.timed_out.discard(event.running)
            self._all.cancelled.discard(event.running)
            self.ended(AttemptUnsuccessful(event.running, PartitionState.FAILED, event.reason, kind))

    def time_out(self) -> None:
        """End the attempts that ran too long."""
        for attempt, running in self._all.running.items():
            if running.expires_at <= self._all.now and attempt not in self._all.timed_out:
                self._all.timed_out.add(attempt)
                self._all.commands.append(Kill(attempt, TIMED_OUT))

    def _tell(self, node: GraphNode, keys: tuple[str, ...]) -> None:
        """What waited for an attempt to end reads the older publication; what can do without it isn't held up any longer."""
        for key in keys:
            self._queue.put_off(node, key)
        for child, link in self._network.children[node.name]:
            for wanted in {touch: None for key in keys for touch in link.touches(key)} if link.optional else ():
                self._queue.consider(child, wanted)
        busy = node.name in self._partition_states.busy  # then they wait on
        for child, link in self._network.children[node.name] if not busy else ():
            if (link.newest and not link.gathers) or node.name not in self._partition_states.visible:
                self._waves.reference_moved(child, stales=False)
        if node.name not in self._partition_states.visible:
            self._queue.next_delivery(node)

    def _failed(self, node: GraphNode, key: str, tracked: TrackedPartition, kind: FailureKind, first: str) -> None:
        """`first` is the first of the attempt's partitions: all of them are tried again at the same time."""
        tracked.failures += 1
        # A delivery over which workers died is given out once more, to be kept and rejected without being read.
        failures = tracked.failures - 1 if node.is_source and kind is FailureKind.LOST_WORKER else tracked.failures
        wait = retry_after_us(kind, failures, node.attempts_max, draw(node.name, first, tracked.failures))
        if wait is None:
            tracked.state = next_state(tracked.state, PartitionTransition.FAILED)
        else:
            tracked.state = next_state(tracked.state, PartitionTransition.PUT_BACK)
        if node.batch_max > 1:
            tracked.cap = 1  # whatever it was, others have nothing to do with it
        self._again(node, key, tracked, wait)

    def _again(self, node: GraphNode, key: str, tracked: TrackedPartition, wait: int | None) -> None:
        """A partition runs again after so long, if it is one that waits."""
        tracked.not_before = self._all.now + wait if wait else None
        self._all.mark(node.name, key, tracked)
        if tracked.not_before is not None:
            heapq.heappush(self._all.later, (tracked.not_before, node.name, key))
        elif tracked.state is PartitionState.WAITING:
            self._queue.consider(node, key)
