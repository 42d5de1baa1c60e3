"""Runs ask for work, take it back, and come to their end."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from headrace.schedule.asking import unprompted
from headrace.schedule.commands import CANCELLED, WAITING_SHOWN_MAX, Kill, Settled
from headrace.schedule.demands import WAITED_US, Demand
from headrace.schedule.events import Cancelled, Requested
from headrace.schedule.graph import GraphNode
from headrace.schedule.partition_states import PartitionRange, ended, span_of
from headrace.schedule.queueing import Queue
from headrace.schedule.scheduler_state import SchedulerState
from headrace.schedule.states import STOPPED, PartitionState
from headrace.schedule.tracked import TrackedPartition
from headrace.schedule.why import why


class Requests:
    """Records what runs want."""

    def __init__(self, scheduler_state: SchedulerState, queue: Queue) -> None:
        self._all, self._queue = scheduler_state, queue
        self._partition_states, self._demands = scheduler_state.partition_states, scheduler_state.demands

    def request(self, event: Requested) -> None:
        """A run wants something."""
        demand = Demand(event, self._partition_states)
        self._demands.add(demand)
        demand.active = sum(1 for node, key in self._all.under_way() if demand.covers(self._partition_states, node, key))
        for target in event.targets:
            node = self._all.nodes[target.node]
            for key in unprompted(node, target, self._all.now, self._all.network, self._all.needs, self._partition_states):
                self._queue.expect(node, key)
            self._ask(event, node, span_of(node, target))

    def cancel(self, event: Cancelled) -> None:
        """What only this run wanted is put back, and its attempts are ended: also those that a server would have run by itself. What a
        server wants only once a trigger has fired is put back as well."""
        gone, rested = self._demands.remove(event.run), dict[str, None]()
        for name, key in list(self._all.under_way()):
            tracked = self._partition_states.tracked(name, key)
            if tracked.queued and not self._all.will_run(name, key):
                tracked.queued = False
                self._partition_states.rest(name, 1)
                rested[name] = None
        for attempt, running in self._all.running.items():
            asked = any(self._demands.asked_for(running.node, key) for key in running.keys)
            if not asked and (event.run in running.runs or not any(self._demands.wanted(running.node, key) for key in running.keys)):
                self._all.cancelled.add(attempt)
                self._all.commands.append(Kill(attempt, CANCELLED))
        for name in rested:
            self._queue.at_rest(name)
        if gone is not None:
            self._queue.let_go(gone)

    def settle(self) -> bool:
        """Tell which runs have come to their end: nothing of them is under way, nor will be soon. Whether there were any."""
        ended = [demand for demand in self._demands.at_rest() if not self._soon(demand)]
        for demand in ended:
            if not demand.active:  # the end of another may have let something of it run
                self._end(demand)
        return bool(ended)

    def _soon(self, demand: Demand) -> bool:
        """Whether something of a run is tried again so soon that it waits for that."""
        soon = (item for item in self._all.later if item[0] <= self._all.now + WAITED_US)
        return any(demand.covers(self._partition_states, node, key) for _, node, key in soon)

    def _end(self, demand: Demand) -> None:
        scheduler_state = self._all
        blocked = (
            (name, key, reason.text)
            for name, key in self.waiting(scheduler_state.now, demand.run)
            for reason in why(scheduler_state, scheduler_state.nodes[name], key)[:1]
        )
        scheduler_state.commands.append(Settled(demand.run, tuple(islice(blocked, WAITING_SHOWN_MAX))))
        self._demands.remove(demand.run)
        self._queue.let_go(demand)

    def waiting(self, now: int, run: int | None) -> Iterator[tuple[str, str]]:
        """What is wanted, by one run or any, and waits for something else than a slot, though its interval has ended."""
        for name, node in self._all.nodes.items():
            for key, tracked in self._partition_states.open(name):
                if tracked.state is not PartitionState.WAITING or tracked.queued or not self._demands.wanted(name, key, run):
                    continue
                if self._all.needs.expected(node, key) and ended(node, key, now):
                    yield name, key

    def _ask(self, event: Requested, node: GraphNode, span: PartitionRange) -> None:
        """Look at the partitions of a node that are asked for: at those that aren't at rest, and at all if they are to be made again."""
        if node.name in event.again:
            for key in self._partition_states.published(node.name):
                tracked = self._partition_states.get(node.name, key)
                if (
                    tracked is not None
                    and tracked.state is PartitionState.PUBLISHED
                    and span.covers(self._partition_states.order(node, key))
                ):
                    self._again(node, key)
        for key, tracked in self._partition_states.open(node.name):
            if span.covers(self._partition_states.order(node, key)):
                if node.name in event.retry and self._asked_again(event, node, tracked):
                    self._again(node, key)
                else:
                    self._queue.consider(node, key)

    def _asked_again(self, event: Requested, node: GraphNode, tracked: TrackedPartition) -> bool:
        """Whether a person who names a node means a partition that nothing would happen to otherwise, or only after a pause between two
        tries. One that was passed over has to be named itself."""
        if tracked.state is PartitionState.WAIVED:
            return any(target.first is not None for target in event.targets if target.node == node.name)
        backs_off = tracked.not_before is not None
        return tracked.state in STOPPED or tracked.state is PartitionState.WITHDRAWN or tracked.proposed or backs_off

    def _again(self, node: GraphNode, key: str) -> None:
        tracked = self._partition_states.tracked(node.name, key)
        if tracked.not_before is None:
            tracked.failures = 0
        else:  # the next try comes at once, and counts as one: else one that always fails would be tried for ever
            tracked.not_before = None
            self._all.mark(node.name, key, tracked)
        tracked.late, tracked.proposed = tracked.proposed, False
        self._queue.want(node, key, force=True)
