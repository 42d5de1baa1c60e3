"""What is most urgent is given out, as far as there is room."""

from __future__ import annotations

import heapq

from headrace.schedule.admission import Slots
from headrace.schedule.batching import Batches
from headrace.schedule.commands import Dispatch
from headrace.schedule.events import AttemptId
from headrace.schedule.graph import GraphNode
from headrace.schedule.partition_states import TrackedPartition
from headrace.schedule.scheduler_state import Running, SchedulerState
from headrace.schedule.states import PartitionState, PartitionTransition, step

YOUNG = 28
"""From so many published intervals on, one more hardly changes how a delivery is judged
(`quality.anomalies.limits.HISTORY_HOLD_MIN`)."""


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
        if judged and len(self._partition_states.resting[node.name]) < YOUNG:
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
            tracked.state = step(tracked.state, PartitionTransition.DISPATCHED)
            tracked.dirty = False
        runs = tuple(sorted({demand.run for key in keys for demand in scheduler_state.demands.wanting(node.name, key)}, reverse=True))
        scheduler_state.running[attempt] = Running(node.name, keys, scheduler_state.now + node.timeout_us, runs)
        scheduler_state.commands.append(Dispatch(attempt, node.name, keys, queued_at, self._without(node, keys), runs))
