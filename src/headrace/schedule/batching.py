"""Which partitions that follow each other one attempt computes, where a body allows several at once.

An attempt is given what lies ready, as much as takes about `SECONDS`, or as takes as long as what an attempt costs in any case, if that
is more: where beginning is what costs, more at once costs little. It is never so much that another worker has nothing to do. Of what
ended otherwise than published nobody knows whose fault it was: it is tried again in halves, until one that is alone has the blame. What
passes by itself is waited for first: that is no partition's fault.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.model.intervals import next_key
from headrace.schedule.admission import Slots
from headrace.schedule.fitting import AttemptGroup, fitted
from headrace.schedule.graph import GraphNode
from headrace.schedule.partition_states import TrackedPartition
from headrace.schedule.scheduler_state import SchedulerState

SECONDS = 1.0
"""What an attempt at several partitions should take: short enough to be cancelled, paused and lost without regret."""
UNKNOWN_MAX = 16
"""So many partitions at once, of a node that never ran."""
ROUNDING = 1e-6
TRIED_SECONDS = 30.0
"""Where all attempts were at one partition, nobody knows what the next would cost: two are tried if that takes no longer than this at
worst."""


def bearable(seen: Sequence[AttemptGroup], batch_max: int) -> int:
    """How many partitions one attempt should be given, by what attempts took."""
    if not seen:
        return min(batch_max, UNKNOWN_MAX)
    fit = fitted(seen)
    wanted = max(SECONDS - fit.attempt, fit.attempt)
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
        most = bearable(self._all.durations.seen(node.name), node.batch_max)
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
