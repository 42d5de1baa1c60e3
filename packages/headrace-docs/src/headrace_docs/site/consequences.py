"""What depends on a node, through any number of others, and where its columns come from first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from typing import NamedTuple

from headrace_docs.responses.description import DescribedNode, Description

ORIGINS_MAX = 9
"""Columns from which a column comes first that are remembered."""
Column = tuple[str, str]
"""A node and a column, in lower case."""


class Consequences(NamedTuple):
    """What is missing or wrong where a node is."""

    assets: int
    consumers: Sequence[str]


class Downstream:
    """Who depends on each node: a set is a number, whose bits are the names in their order."""

    def __init__(self, described: Description) -> None:
        self._consumers = [row.name for row in described.consumers]
        self._bits = {name: 1 << at for at, name in enumerate(self._consumers)}
        self._bits |= {
            node.name: 1 << at
            for at, node in enumerate(described.nodes, start=len(self._consumers))
        }
        self._below = dict.fromkeys(self._consumers, 0)
        for node in reversed(in_order(described.nodes)):
            below = 0
            for edge in node.read_by:
                if edge.node in self._below:
                    below |= self._bits[edge.node] | self._below[edge.node]
            self._below[node.name] = below

    def of(self, name: str) -> Consequences:
        """Return what depends on a node."""
        below = self._below[name]
        consumers = below & ((1 << len(self._consumers)) - 1)
        return Consequences(
            assets=below.bit_count() - consumers.bit_count(),
            consumers=[self._consumers[place] for place in _places(consumers)],
        )


def _places(bits: int) -> Iterator[int]:
    """Yield the places of the bits that are set, lowest first."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def first_columns(described: Description) -> Mapping[Column, frozenset[Column]]:
    """Return from which columns of sources each column comes, through any number of others.

    At most `ORIGINS_MAX` each. A column that comes from nothing is its own origin.
    """
    origins: dict[Column, frozenset[Column]] = {}
    for node in in_order(described.nodes):
        for column in node.columns:
            steps = [
                origins.get((step.node, step.column.lower()), {(step.node, step.column)})
                for step in column.comes_from
                if step.node != node.name
            ]
            columns = sorted(set().union(*steps)) or [(node.name, column.name)]
            origins[node.name, column.name.lower()] = frozenset(columns[:ORIGINS_MAX])
    return origins


def in_order(nodes: Sequence[DescribedNode]) -> list[DescribedNode]:
    """Return nodes after those that they read, whatever they read of themselves."""
    by_name = {node.name: node for node in nodes}
    reads = {
        node.name: [edge.node for edge in node.reads if edge.node != node.name] for node in nodes
    }
    return [by_name[name] for name in TopologicalSorter(reads).static_order() if name in by_name]
