"""A publication is taken back, or what a plan had made is gone: what was made of it is stale, and waits until there is another."""

from __future__ import annotations

from headrace.schedule.events import GivenUp, TakenBack
from headrace.schedule.graph import GraphNode
from headrace.schedule.queueing import Queue
from headrace.schedule.scheduler_state import SchedulerState
from headrace.schedule.states import PartitionState, PartitionTransition


class Withdrawals:
    """Records what persons take back, and what plans give up."""

    def __init__(self, scheduler_state: SchedulerState, queue: Queue) -> None:
        self._all, self._queue = scheduler_state, queue
        self._partition_states, self._network = scheduler_state.partition_states, scheduler_state.network

    def take_back(self, event: TakenBack) -> None:
        """Readers see nothing of a partition any more. It isn't made again before a person names it or something that it is made of
        changes; an attempt that is at it goes on, because it began for such a reason."""
        if event.node not in self._all.nodes or not self._partition_states.known(event.node, event.key):
            return
        node, tracked = self._all.nodes[event.node], self._partition_states.tracked(event.node, event.key)
        self._partition_states.hide(node.name, tracked)
        queued = tracked.queued
        if tracked.state not in (PartitionState.RUNNING, PartitionState.WAIVED):  # one that was passed over since counts as empty already
            self._all.put_aside(node.name, event.key, PartitionTransition.WITHDRAWN, event.reason)
        if queued:
            self._queue.at_rest(node.name)
        self._partition_states.settle(node.name, event.key)
        self._tell(node, event.key)

    def give_up(self, event: GivenUp) -> None:
        """What was made of partitions is gone. Of one of which the core doesn't know that it was ever made (it may have been before this
        core began), what only refers to it is left as it is."""
        gone = [(self._all.nodes[name], key) for name, key in event.partitions if name in self._all.nodes and self._open(name, key)]
        shown = [self._partition_states.tracked(node.name, key).published for node, key in gone]
        for node, key in gone:
            self._partition_states.hide(node.name, self._partition_states.tracked(node.name, key))
        for (node, key), before in zip(gone, shown, strict=True):
            self._tell(node, key, referred=before)

    def _open(self, name: str, key: str) -> bool:
        """Whether a partition was heard of and isn't as it should be."""
        tracked = self._partition_states.get(name, key)
        return tracked is not None and tracked.state is not PartitionState.PUBLISHED

    def _tell(self, node: GraphNode, key: str, *, referred: bool = False) -> None:
        """`referred`: what refers to it is told as well."""
        for child, link in self._network.children[node.name]:
            if link.delivers:
                continue  # each of its partitions read the publication of its own time
            for touch in link.touches(key):
                self._stale(child, touch)
            if link.newest and (link.stales or referred) and not link.gathers:
                for wanted in (*self._partition_states.published(child.name), *self._running(child.name)):
                    self._stale(child, wanted)
        if node.chained and (following := self._all.needs.after(node, key)) is not None:
            self._stale(node, following)

    def _running(self, name: str) -> list[str]:
        return [
            key for key, tracked in self._partition_states.open(name) if tracked.state is PartitionState.RUNNING and not tracked.published
        ]

    def _stale(self, node: GraphNode, key: str) -> None:
        tracked = self._partition_states.get(node.name, key)
        if tracked is not None and (
            tracked.published or tracked.state is PartitionState.RUNNING
        ):  # what runs for the first time has read it
            self._queue.want(node, key, force=True, stale=True)
            self._partition_states.settle(node.name, key)
