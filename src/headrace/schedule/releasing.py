"""Gates open and shut: nodes are paused and go on, triggers fire."""

from __future__ import annotations

from headrace.schedule.asking import unprompted
from headrace.schedule.commands import FiredAt
from headrace.schedule.events import Fired, Loaded, Paused, Resumed, Target
from headrace.schedule.gates import AGAIN
from headrace.schedule.graph import GraphNode
from headrace.schedule.queueing import Queue
from headrace.schedule.readiness import WHOLE
from headrace.schedule.scheduler_state import SchedulerState
from headrace.schedule.triggers import Firings


class Releases:
    """Opens and shuts the gates of a state of the scheduler."""

    def __init__(self, scheduler_state: SchedulerState, queue: Queue) -> None:
        self._all, self._queue = scheduler_state, queue
        self._partition_states, self._gates = scheduler_state.partition_states, scheduler_state.gates

    def begin(self, event: Loaded) -> None:
        """When triggers fired last. What counts as fired from now on is told, so that the next leader knows what it missed."""
        self._gates.firings = Firings(self._all.network, event.fired, self._all.now)
        self._all.commands += [FiredAt(name, at) for name, at in self._gates.firings.unrecorded]

    def wake(self) -> None:
        """Open what time opens. It comes before any event: what begins to wait with that waits for the next firing."""
        for node in self._gates.pauses.over(self._all.now):
            self._queue.look_again(self._all.nodes[node])
        for name, at in self._gates.firings.due(self._all.now):
            self._fire(self._all.nodes[name], at)

    def pause(self, event: Paused) -> None:
        """Nothing of these nodes is started; what is queued is put back."""
        known = tuple(node for node in event.nodes if node in self._all.nodes)
        self._gates.pauses.pause(Paused(known, event.reason, event.until))
        for node in known:
            for key, tracked in self._partition_states.open(node):
                if tracked.queued:
                    self._all.put_back(node, key)
            self._look_below(node)

    def resume(self, event: Resumed) -> None:
        """These nodes may run again."""
        for node in self._gates.pauses.resume(event.nodes):
            self._queue.look_again(self._all.nodes[node])

    def fired(self, event: Fired) -> None:
        """A trigger fires from outside."""
        if event.node in self._all.nodes:
            self._fire_now(event.node)

    def published(self, node: str) -> None:
        """Something of a node became visible: triggers that follow it fire."""
        for name in self._gates.firings.fired_by.get(node, ()):
            self._fire_now(name)

    def _fire_now(self, name: str) -> None:
        if self._gates.firings.fire(name, self._all.now):
            self._fire(self._all.nodes[name], self._all.now)

    def _fire(self, node: GraphNode, at: int) -> None:
        """A node's trigger fired: what waited for that is released. What reads nothing and isn't cut runs again; it has begun to wait
        now, so that is when it counts as fired: a leader that ends here leaves it released."""
        if not node.inputs:
            at = self._begin_again(node, at)
        self._all.commands.append(FiredAt(node.name, at))
        self._queue.look_again(node)

    def _begin_again(self, node: GraphNode, at: int) -> int:
        if not node.partition.whole:
            for key in unprompted(node, Target(node.name), self._all.now, self._all.network, self._all.needs, self._partition_states):
                self._queue.expect(node, key)
            return at
        self._gates.firings.fire(node.name, self._all.now)
        tracked = self._partition_states.get(node.name, WHOLE)
        if tracked is not None and tracked.state in AGAIN:
            self._queue.want(node, WHOLE, force=True)
        return self._all.now

    def _look_below(self, node: str) -> None:
        """What waited for a node that doesn't run now reads what is published of it."""
        for child, _ in self._all.network.children[node]:
            self._queue.look_again(child)
        for follower in self._all.network.followers[node]:
            self._queue.look_again(self._all.nodes[follower])
