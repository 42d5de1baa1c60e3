"""Attempts that end without publishing: stopped, failed, lost, or out of time."""

from __future__ import annotations

import heapq

from headrace.schedule.commands import Kill
from headrace.schedule.events import AttemptUnsuccessful, FailsAlike, WorkerLost
from headrace.schedule.graph import GraphNode
from headrace.schedule.partition_states import TrackedPartition
from headrace.schedule.publishing import Propagation
from headrace.schedule.queueing import Queue
from headrace.schedule.retry import ENVIRONMENT_WAIT_US, INSTALLED_WAIT_US, draw, retry_after_us
from headrace.schedule.scheduler_state import SchedulerState
from headrace.schedule.states import WAITS, FailureKind, PartitionState, PartitionTransition, step

TIMED_OUT = "was ended because it ran past its timeout"
"""How the worker of an attempt ended that took too long."""
_CHANGES = {PartitionState.HELD: PartitionTransition.HELD, PartitionState.REJECTED: PartitionTransition.REJECTED}


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
            tracked.state = step(tracked.state, PartitionTransition.PUT_BACK)
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
            tracked.state = step(tracked.state, PartitionTransition.PUT_BACK)
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
        change = _CHANGES.get(event.state, PartitionTransition.FAILED)
        for key in keys:
            tracked = self._partition_states.tracked(node.name, key)
            tracked.reason = event.reason
            if tracked.dirty:
                tracked.state = step(tracked.state, PartitionTransition.PUT_BACK)
                tracked.dirty = False
                self._all.mark(node.name, key, tracked)
                self._queue.consider(node, key)
            elif change is PartitionTransition.FAILED:
                self._failed(node, key, tracked, event.kind or FailureKind.DETERMINISTIC, keys[0])
            else:
                tracked.state = step(tracked.state, change)
                self._all.mark(node.name, key, tracked)

    def lost(self, event: WorkerLost) -> None:
        """A worker died, with what it was at and what lay ahead of it."""
        for attempt in event.queued:  # it never started: no failure of its own
            running = self._all.running.pop(attempt)
            self._all.rest(running.node, *running.keys)
            for key in running.keys:
                tracked = self._partition_states.tracked(running.node, key)
                tracked.state = step(tracked.state, PartitionTransition.PUT_BACK)
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
            tracked.state = step(tracked.state, PartitionTransition.FAILED)
        else:
            tracked.state = step(tracked.state, PartitionTransition.PUT_BACK)
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
