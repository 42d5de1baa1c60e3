"""Nodes that somebody needs: consumers, and readers that were observed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from headrace.model.reachability import reachable
from headrace.plan import Compiled


def needed_nodes(compiled: Compiled, seen: Collection[str]) -> frozenset[str]:
    """Return the nodes that a consumer or an observed reader needs, directly or not.

    `seen` are the nodes of which reads were observed. References of checks are needed, too.
    """

    def above(name: str) -> Iterable[str]:
        node = compiled.nodes.get(name)
        return (
            () if node is None else (*(each.node for each in node.inputs), *node.check_references)
        )

    reads = (name for consumer in compiled.project.consumers.values() for name in consumer.reads)
    return frozenset(compiled.nodes.keys() & reachable({*reads, *seen}, above).keys())
