"""Nodes whose published partitions have the same rows. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import combinations
from typing import NamedTuple

EQUAL_LEAST = 3
"""Two nodes are compared from this number of common partitions on."""
ALIKE_MAX = 20
"""Partitions that more nodes have in common say nothing about any two of them."""


class SameRows(NamedTuple):
    """Two nodes with equal rows in each of the `partitions` that both have."""

    node: str
    other: str
    partitions: int


def same_rows(contents: Iterable[tuple[str, str, str]]) -> list[SameRows]:
    """Return pairs of nodes that have equal rows in every common partition, by name.

    `contents` are node, partition and the hash of the rows, which doesn't depend on their order.
    """
    nodes: dict[tuple[str, str], set[str]] = defaultdict(set)
    partitions: dict[str, set[str]] = defaultdict(set)
    for node, partition, digest in contents:
        nodes[partition, digest].add(node)
        partitions[node].add(partition)
    equal: Counter[tuple[str, str]] = Counter()
    for alike in nodes.values():
        if len(alike) <= ALIKE_MAX:
            equal.update(combinations(sorted(alike), 2))
    return [
        SameRows(*pair, count)
        for pair, count in sorted(equal.items())
        if count >= EQUAL_LEAST and count == len(partitions[pair[0]] & partitions[pair[1]])
    ]
