"""The nodes and consumers of a compiled project with their edges, and what is up and downstream.

Views are nodes here. Which *partitions* a change reaches is in `headrace.plan.invalidation`.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping

from headrace.model.reachability import reachable
from headrace.plan.compiled import Compiled


class NodeGraph:
    """Edges by name, in both directions; consumers are downstream of what they read.

    With `data_only`, `depends` is left out: it orders runs and carries no data.
    """

    def __init__(self, compiled: Compiled, *, data_only: bool = False) -> None:
        project = compiled.project
        self._consumers = project.consumers
        self._order = compiled.order
        above = {
            name: (
                *(spec.node for spec in node.inputs),
                *(() if data_only else node.depends),
            )
            for name, node in compiled.nodes.items()
        }
        above |= {consumer.name: consumer.reads for consumer in project.consumers.values()}
        self.above: Mapping[str, tuple[str, ...]] = {
            name: tuple(dict.fromkeys(parents)) for name, parents in above.items()
        }
        """Name → its direct inputs."""
        self.below: dict[str, list[str]] = {}
        """Name → its direct readers."""
        for name, parents in self.above.items():
            for parent in parents:
                self.below.setdefault(parent, []).append(name)

    def within(self, names: Collection[str]) -> NodeGraph:
        """Return the graph of some nodes, with the edges between them."""
        result = copy.copy(self)
        result.above = {
            name: tuple(parent for parent in parents if parent in names)
            for name, parents in self.above.items()
            if name in names
        }
        result.below = {
            name: [child for child in children if child in names]
            for name, children in self.below.items()
            if name in names
        }
        return result

    def downstream(self, names: Iterable[str], levels: int | None = None) -> dict[str, int]:
        """Return the names and all nodes and consumers downstream, nearest first, with distances.

        At most `levels` steps; None means no limit.
        """
        return reachable(names, lambda name: self.below.get(name, ()), levels)

    def upstream(self, names: Iterable[str], levels: int | None = None) -> dict[str, int]:
        """Return the names and all nodes upstream, nearest first, with distances.

        At most `levels` steps; None means no limit.
        """
        return reachable(names, lambda name: self.above.get(name, ()), levels)

    def consumers(self, names: Iterable[str]) -> list[str]:
        """Return the consumers among the names and downstream of them, sorted by name."""
        return sorted(name for name in self.downstream(names) if name in self._consumers)

    def consumers_by_node(self) -> dict[str, frozenset[str]]:
        """Return name → the same for each name, in one pass over the graph."""
        reached = {name: frozenset([name]) for name in self._consumers}
        for name in reversed(self._order):
            reached[name] = frozenset[str]().union(
                *(reached[reader] for reader in self.below.get(name, ()))
            )
        return reached
