"""What is wanted, by which run: a partition runs only while some run wants it."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.schedule.covering import Covering
from headrace.schedule.events import Requested
from headrace.schedule.partition_states import PartitionRange, PartitionStates, span_of

WAITED_US = 2_500_000
"""A run waits so long for a partition that is to be tried again; what takes longer is left to the next one."""


class Demand:
    """What one run wants, and how much of it is under way."""

    def __init__(self, event: Requested, partition_states: PartitionStates) -> None:
        self.run, self.standing = event.run, event.standing
        self.named = event.retry
        """The nodes that a person named: what is only proposed otherwise runs."""
        self.active = 0
        """Of what it wants, how many partitions are queued or running."""
        spans: dict[str, list[PartitionRange]] = {}
        for target in event.targets:
            spans.setdefault(target.node, []).append(span_of(partition_states.nodes[target.node], target))
        self._spans = {node: Covering(ranges) for node, ranges in spans.items()}

    @property
    def nodes(self) -> Iterable[str]:
        """The nodes that it asks for."""
        return self._spans

    def stands_for(self, node: str) -> bool:
        """Whether all of a node is wanted for as long as the leader runs."""
        return self.standing and node in self._spans and self._spans[node].everything

    def covers(self, partition_states: PartitionStates, node: str, key: str) -> bool:
        """Whether a partition is wanted."""
        spans = self._spans.get(node)
        return spans is not None and (spans.everything or spans.covers(partition_states.order(partition_states.nodes[node], key)))


class Demands:
    """All that is wanted now, oldest run first."""

    def __init__(self, partition_states: PartitionStates) -> None:
        self._partition_states = partition_states
        self._demands: dict[int, Demand] = {}

    def add(self, demand: Demand) -> None:
        """A run wants something; under the same number it replaces what it wanted before."""
        self._demands[demand.run] = demand

    def remove(self, run: int) -> Demand | None:
        """It isn't wanted any more; what it was."""
        return self._demands.pop(run, None)

    @property
    def standing(self) -> bool:
        """Whether anything is wanted for as long as the leader runs."""
        return any(demand.standing for demand in self._demands.values())

    def stand_for(self, node: str) -> bool:
        """Whether all of a node is wanted for as long as the leader runs."""
        return any(demand.stands_for(node) for demand in self._demands.values())

    def wanting(self, node: str, key: str) -> list[Demand]:
        """The runs that want a partition."""
        return [demand for demand in self._demands.values() if demand.covers(self._partition_states, node, key)]

    def wanted(self, node: str, key: str, run: int | None = None) -> bool:
        """Whether any run wants a partition, or that one."""
        demands = self._demands.values()
        return any(demand.covers(self._partition_states, node, key) for demand in demands if run is None or demand.run == run)

    def asked_for(self, node: str, key: str) -> bool:
        """Whether any run wants a partition that somebody asked for, besides what a server does by itself."""
        return any(demand.covers(self._partition_states, node, key) for demand in self._demands.values() if not demand.standing)

    def named(self, node: str, key: str) -> bool:
        """Whether a person asked for a partition by its node's name."""
        return any(node in demand.named and demand.covers(self._partition_states, node, key) for demand in self._demands.values())

    def begun(self, node: str, key: str) -> None:
        """A partition is queued, that wasn't queued nor running."""
        for demand in self.wanting(node, key):
            demand.active += 1

    def rested(self, node: str, key: str) -> None:
        """A partition is neither queued nor running any more."""
        for demand in self.wanting(node, key):
            demand.active -= 1

    def at_rest(self) -> list[Demand]:
        """The runs of which nothing is under way."""
        return [demand for demand in self._demands.values() if not demand.active and not demand.standing]
