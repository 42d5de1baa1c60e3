"""Attempts at several partitions: which nodes have them, what goes wrong with them, and what must hold of them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from headrace.model import InputMode
from headrace.model.intervals import next_key
from headrace.schedule.commands import Dispatch, PartitionUpdate
from headrace.schedule.graph import Graph, GraphNode
from headrace.schedule.simulation.generator import drawn
from headrace.schedule.simulation.violation import Violation
from headrace.schedule.states import FailureKind, PartitionState

if TYPE_CHECKING:
    from headrace.schedule.simulation.world import Simulation

Key = tuple[str, str]
S = PartitionState
BATCH_MAX = 8


def batched(seed: int, graph: Graph) -> Graph:
    """Half of the nodes whose bodies could be separable are computed for several partitions at once."""
    nodes = (_batched(seed, node) if _could_be(node) else node for node in graph.nodes)
    return Graph(tuple(nodes), graph.pools)


def _batched(seed: int, node: GraphNode) -> GraphNode:
    yes = drawn(seed, "batch", node.name) < 0.6
    return msgspec.structs.replace(node, batch_max=BATCH_MAX) if yes else node


def _could_be(node: GraphNode) -> bool:
    by_time = node.partition.grain is not None and node.partition.key is None
    alone = any(spec.lookback is not None or spec.mode is InputMode.PREVIOUS for spec in node.inputs)
    return by_time and not (node.is_source or node.chained or alone)


def lying(seed: int, graph: Graph) -> frozenset[str]:
    """Nodes that were taken to be separable and aren't: several partitions at once come to something else."""
    return frozenset(node.name for node in graph.nodes if node.batch_max > 1 and drawn(seed, "lies", node.name) < 0.15)


def heavy(seed: int, graph: Graph) -> dict[str, int]:
    """Node → how many of its partitions at once fit into memory; of the others any number does."""
    some = [node.name for node in graph.nodes if node.batch_max > 1 and drawn(seed, "heavy", node.name) < 0.2]
    return {name: 1 + int(3 * drawn(seed, "fits", name)) for name in some}


class BatchInvariants:
    """Keeps account of attempts at several partitions."""

    def __init__(self, world: Simulation) -> None:
        self._world = world
        self._most: dict[Key, int] = {}
        """With how many at most a partition may be computed, since more came to nothing."""
        self._apart: set[str] = set()
        self._ended: dict[Key, int] = {}
        """Partitions of batches that ended since the last decision → the failures that they may have now: as many as before, or one more
        where all are tried again."""

    def loaded(self) -> None:
        """A new core knows nothing of this."""
        self._most.clear()
        self._apart.clear()
        self._ended.clear()

    def dispatched(self, command: Dispatch) -> None:
        """Several at once follow each other, need nothing that isn't there, and are halves of what came to nothing."""
        node, keys = self._world.rules.nodes[command.node], command.keys
        if len(keys) == 1 or node.is_source:
            return
        at = f"{command.node}@{keys}"
        if len(keys) > node.batch_max or node.name in self._apart:
            raise Violation("batches_are_allowed", f"{at}, at most {1 if node.name in self._apart else node.batch_max}")
        grain = node.partition.grain
        if grain is None or any(next_key(item, grain, node.timezone) != other for item, other in pairwise(keys)):
            raise Violation("batches_follow_each_other", at)
        if command.without:
            raise Violation("batches_have_all_inputs", f"{at} without {command.without}")
        most = min(self._most.get((command.node, key), len(keys)) for key in keys)
        if len(keys) > most:
            raise Violation("batches_are_halved", f"{at}, at most {most}")

    def ended(self, dispatch: Dispatch, kind: FailureKind | None, failures: dict[Key, int]) -> None:
        """An attempt ended otherwise than published, and wasn't cancelled."""
        if len(dispatch.keys) == 1 or self._world.rules.nodes[dispatch.node].is_source or kind is FailureKind.CANCELLED:
            return
        before = {key: failures.get((dispatch.node, key), 0) for key in dispatch.keys}
        tries = 1 + max(before.values())
        if kind is FailureKind.TRANSIENT and tries < self._world.rules.nodes[dispatch.node].attempts_max:
            self._world.coverage.batch("waited for")
            self._ended |= {(dispatch.node, key): tries for key in dispatch.keys}
            return
        self._world.coverage.batch("not separable" if kind is FailureKind.NOT_SEPARABLE else "halved")
        if kind is FailureKind.NOT_SEPARABLE:
            self._apart.add(dispatch.node)
        self._most |= {(dispatch.node, key): len(dispatch.keys) // 2 for key in dispatch.keys}
        self._ended |= {(dispatch.node, key): count for key, count in before.items()}

    def published(self, dispatch: Dispatch) -> None:
        """An attempt's partitions became visible."""
        if len(dispatch.keys) > 1 and not self._world.rules.nodes[dispatch.node].is_source:
            self._world.coverage.batch("published")
        for key in dispatch.keys:
            self._most.pop((dispatch.node, key), None)

    def marked(self, mark: PartitionUpdate, before: PartitionState) -> None:
        """What many came to is nobody's failure; what is asked for anew may be computed with any number again."""
        place = mark.node, mark.key
        failures = self._ended.pop(place, None)
        if failures is not None and (mark.failures > failures or mark.state in (S.FAILED, S.HELD, S.REJECTED)):
            raise Violation("a_batch_has_no_failures", f"{mark.node}@{mark.key} is {mark.state} with {mark.failures} failures")
        if mark.state is S.WAITING and before not in (S.WAITING, S.RUNNING):
            self._most.pop(place, None)

    def decided(self) -> None:
        """The core has said what becomes of all that ended."""
        if self._ended:
            raise Violation("a_batch_is_put_back", f"nothing is said of {next(iter(self._ended))}")
