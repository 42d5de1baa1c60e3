"""What time alone brings: partitions of nodes that follow no input, each when its interval has ended."""

from __future__ import annotations

import heapq

from headrace.model.intervals import bounds_us, key_at_us
from headrace.schedule.asking import unprompted
from headrace.schedule.events import Target
from headrace.schedule.graph import GraphNode
from headrace.schedule.queueing import Queue
from headrace.schedule.scheduler_state import SchedulerState


class Passing:
    """Expects them for a server; what is asked for once is expected when it is asked for."""

    def __init__(self, scheduler_state: SchedulerState, queue: Queue) -> None:
        self._all, self._queue = scheduler_state, queue
        self._ends: list[tuple[int, str]] = []

    def begin(self) -> None:
        """From now on."""
        for node in self._all.graph.nodes:
            if not node.is_source and node.partition.grain is not None and not self._all.network.paced(node):
                self._await(node)

    def wake(self) -> None:
        """Expect what has come, and queue it."""
        while self._ends and self._ends[0][0] <= self._all.now:
            _, name = heapq.heappop(self._ends)
            node = self._all.nodes[name]
            if self._all.demands.stand_for(name):
                for key in unprompted(node, Target(name), self._all.now, self._all.network, self._all.needs, self._all.partition_states):
                    self._queue.expect(node, key)
                    self._queue.consider(node, key)
            self._await(node)

    def next_event(self) -> int | None:
        """When an interval ends next, if anybody waits for it."""
        return self._ends[0][0] if self._ends and self._all.demands.standing else None

    def _await(self, node: GraphNode) -> None:
        grain = node.partition.grain
        assert grain is not None
        end = bounds_us(key_at_us(self._all.now, grain, node.timezone), grain, node.timezone)[1]
        heapq.heappush(self._ends, (end, node.name))
