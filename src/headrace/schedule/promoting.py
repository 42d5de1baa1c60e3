"""What was made beside production becomes visible at once: nothing of it is stale because of another part of it."""

from __future__ import annotations

from headrace.model.times import Duration
from headrace.schedule.events import Promoted
from headrace.schedule.graph import GraphNode
from headrace.schedule.partition_states import TrackedPartition, bounds
from headrace.schedule.publishing import Propagation
from headrace.schedule.queueing import Queue
from headrace.schedule.scheduler_state import SchedulerState
from headrace.schedule.states import PartitionState


class Promotions:
    """Records what is promoted."""

    def __init__(self, scheduler_state: SchedulerState, queue: Queue, waves: Propagation) -> None:
        self._all, self._queue, self._waves = scheduler_state, queue, waves
        self._partition_states = scheduler_state.partition_states

    def promote(self, event: Promoted) -> tuple[str, ...]:
        """All of it stands as published; only then what reads it, and isn't part of it, is told. The nodes that it is of."""
        nodes: dict[str, list[str]] = {}
        for name, key, _ in event.contents:
            nodes.setdefault(name, []).append(key)
        first = [name for name in nodes if name not in self._partition_states.visible]
        restated = [self._stands(event, place) for place in range(len(event.contents))]
        self._waves.together = frozenset((name, key) for name, key, _ in event.contents)
        for (name, key, changed), before in zip(event.contents, restated, strict=True):
            self._spread(self._all.nodes[name], key, changed=changed or not before, restated=before)
        for name, keys in nodes.items():
            self._waves.passed(self._all.nodes[name], keys, first=name in first)
        for name in first:
            self._waves.first_seen(self._all.nodes[name])
        self._waves.together = frozenset()
        for name, key, _ in event.contents:
            self._partition_states.settle(name, key)
        return tuple(nodes)

    def _stands(self, event: Promoted, place: int) -> bool:
        """A partition is published now; whether readers saw something of it before. An attempt that is at it goes on, and is done again:
        it may have read what is replaced now."""
        name, key, changed = event.contents[place]
        node = self._all.nodes[name]
        if not self._partition_states.known(name, key):
            self._queue.add(name, key, TrackedPartition(PartitionState.PUBLISHED))
        tracked = self._partition_states.tracked(name, key)
        before = tracked.published
        if tracked.queued:
            self._all.put_back(name, key)
        if tracked.state is PartitionState.RUNNING:
            tracked.dirty = True
        else:
            tracked.state = PartitionState.PUBLISHED
        publication = event.publications[place] if event.publications else 0
        self._waves.made(node, key, tracked, publication=publication if changed or not before else 0)
        return before

    def _spread(self, node: GraphNode, key: str, *, changed: bool, restated: bool) -> None:
        tracked = self._partition_states.tracked(node.name, key)
        self._waves.spread(node, key, tracked, changed=changed, restated=restated, too_late=self._too_late(node, key))

    def _too_late(self, node: GraphNode, key: str) -> bool:
        """Whether what reads a partition isn't computed again without asking: it is older than what its sources may restate. Not found
        out where nothing reads it."""
        if node.partition.grain is None or not self._all.network.children[node.name]:
            return False
        above = (self._all.nodes[name] for name in self._all.network.ancestors(node))
        within = {source.restate_within for source in above if source.restate_within is not None}
        end = bounds(node, key)[1]
        return any(self._all.now > Duration.parse(item).after_us(end, node.timezone) for item in within)
