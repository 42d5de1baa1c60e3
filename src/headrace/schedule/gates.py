"""What keeps a partition from starting although nothing that it needs is missing: a pause, a trigger, a newer interval."""

from __future__ import annotations

import math

from headrace.model.intervals import next_key
from headrace.model.required import join, split
from headrace.schedule.commands import AwaitedPartition
from headrace.schedule.demands import Demands
from headrace.schedule.graph import GraphNode
from headrace.schedule.needs import STEPS_MAX, Needs
from headrace.schedule.network import Network
from headrace.schedule.partition_states import PartitionStates, TrackedPartition, bounds
from headrace.schedule.pauses import Pauses
from headrace.schedule.states import PartitionState
from headrace.schedule.triggers import Firings

AGAIN = (PartitionState.PUBLISHED, PartitionState.FAILED, PartitionState.REJECTED, PartitionState.HELD)
"""What a firing runs again, where a node has neither inputs nor partitions."""


class Gates:
    """Answers over a partition states and a network."""

    def __init__(self, partition_states: PartitionStates, network: Network, demands: Demands) -> None:
        self._partition_states, self._network, self._demands = partition_states, network, demands
        self.pauses = Pauses()
        self.firings = Firings(network, (), 0)

    def shut(self, node: GraphNode, key: str, now: int) -> AwaitedPartition | None:
        """What a partition waits for before it may be looked at; None if nothing."""
        pause = self.pauses.of(node.name)
        if pause is not None:
            return AwaitedPartition(node.name, key, PartitionState.WAITING, f"is paused: {pause.reason}", pause.until)
        if node.trigger is None or self._demands.named(node.name, key):
            return None
        tracked = self._partition_states.get(node.name, key)
        if tracked is None or self.firings.released(node, key, tracked):
            return None
        return AwaitedPartition(node.name, key, PartitionState.WAITING, "waits for its trigger", self.next_release(node, key, now))

    def next_release(self, node: GraphNode, key: str, now: int) -> int | None:
        """When time fires a node next, so that it releases a partition."""
        end = bounds(node, key)[1] - 1 if node.partition.grain is not None else now
        return self.firings.next_of(node.name, max(now, end))

    def passed_over(self, node: GraphNode, key: str, tracked: TrackedPartition, needs: Needs) -> str | None:
        """Under `catch_up: latest`: the newer interval that makes this one, which was never published, unwanted."""
        trigger = node.trigger
        if trigger is None or not trigger.latest or tracked.published or node.partition.grain is None:
            return None
        last = self.firings.last(node.name)
        if last is None or self._demands.named(node.name, key):
            return None
        return self._newer(node, key, min(last, self._heard(node)), needs)

    def _newer(self, node: GraphNode, key: str, until: float, needs: Needs) -> str | None:
        """A later interval that ended by then, and that something is due for."""
        grain = node.partition.grain
        assert grain is not None
        moment, data = split(key, node.partition)
        for _ in range(STEPS_MAX):
            moment = next_key(moment, grain, node.timezone)
            item = join(moment, data)
            if bounds(node, item)[1] > until:
                return None
            if needs.expected(node, item):
                return moment
        return None

    def _heard(self, node: GraphNode) -> float:
        """The end of the newest interval for which something was heard of all that a node requires, all the way up."""
        results: dict[str, float] = {}
        for name in self._above(node):
            newest = self._partition_states.newest.get(name)
            own = bounds(self._network.nodes[name], newest[1])[1] if newest is not None else -math.inf
            results[name] = max(own, min((results.get(source.name, math.inf) for source in self._paced(name)), default=-math.inf))
        return results[node.name]

    def _above(self, node: GraphNode) -> list[str]:
        """A node and all that are cut by time and required above it, sources first."""
        results, open_ends = {node.name}, [node.name]
        while open_ends:
            new = {source.name for source in self._paced(open_ends.pop()) if source.partition.grain is not None} - results
            results |= new
            open_ends += new
        return sorted(results, key=self._network.rank.__getitem__)

    def _paced(self, name: str) -> list[GraphNode]:
        return [link.input for link in self._network.links[name] if not link.newest and not link.optional]
