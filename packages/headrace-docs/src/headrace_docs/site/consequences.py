"""What depends on a node, through any number of others, and where its columns come from first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from typing import NamedTuple

from headrace_docs.responses.description import Description

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
        readers = {
            node.name: [
                edge.node
                for edge in node.read_by
                if edge.node in self._bits and edge.node != node.name
            ]
            for node in described.nodes
        }
        self._below: dict[str, int] = {}
        for name in TopologicalSorter(readers).static_order():
            below = 0
            for reader in readers.get(name, ()):
                below |= self._bits[reader] | self._below[reader]
            self._below[name] = below

    def of(self, name: str) -> Consequences:
        """Return what depends on a node."""
        below = self._below[name]
        consumers = below & ((1 << len(self._consumers)) - 1)
        return Consequences(
            assets=below.bit_count() - consumers.bit_count(),
            consumers=[each for each in self._consumers if consumers & self._bits[each]],
        )


def first_columns(described: Description) -> Mapping[Column, frozenset[Column]]:
    """Return from which columns of sources each column comes, through any number of others.

    At most `ORIGINS_MAX` each. A column that comes from nothing is its own origin.
    """
    columns_above = {
        (node.name, column.name.lower()): {
            (step.node, step.column.lower()) for step in column.comes_from if step.node != node.name
        }
        for node in described.nodes
        for column in node.columns
    }
    names = {
        (node.name, column.name.lower()): (node.name, column.name)
        for node in described.nodes
        for column in node.columns
    }
    origins: dict[Column, frozenset[Column]] = {}
    for key in TopologicalSorter(columns_above).static_order():
        steps = columns_above.get(key)
        if not steps:
            origins[key] = frozenset({names.get(key, key)})
            continue
        columns = sorted(set().union(*(origins[step] for step in steps)))
        origins[key] = frozenset(columns[:ORIGINS_MAX])
    return origins
