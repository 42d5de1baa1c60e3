"""Nodes that aren't declared any more, and still have published data."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from headrace.lake import catalog
from headrace.model import Source
from headrace.model.intervals import to_us
from headrace.plan import Compiled
from headrace.runtime.garbage import RetentionPolicy
from headrace.store import Transaction
from headrace.store.clock import instant
from headrace.store.queries import applied_versions
from headrace.store.queries import removed_rows as stored

EVERY_KEY = "\U0010ffff"
"""Comes after the key of each partition."""


class PrunedNode(NamedTuple):
    """A node with data that an applied version took out: which one, and when (microseconds).

    `declared_in` is the last version that has it.
    """

    node: str
    version: int
    at_us: int
    declared_in: int


def with_removed(tx: Transaction, keep: RetentionPolicy) -> RetentionPolicy:
    """Return a policy that also has the sources and assets that aren't declared any more.

    Each keeps the `retain:` and `retain_raw` of its last declaration.
    """
    if keep.names is None or catalog.missing(tx):
        return keep
    nodes, raw = dict(keep.nodes), dict(keep.raw)
    for item in pruned_nodes(tx, set(catalog.tables(tx)) - keep.names):
        content = applied_versions.compiled(tx, item.declared_in)
        node = msgspec.msgpack.decode(content, type=Compiled).project.source_or_asset(item.node)
        if node is not None and node.retain is not None:
            nodes[item.node] = node
        if isinstance(node, Source):
            raw[item.node] = node.retain_raw
    return msgspec.structs.replace(keep, nodes=nodes, raw=raw)


def expired_nodes(tx: Transaction, keep: RetentionPolicy, now_us: int) -> list[PrunedNode]:
    """Return the nodes whose data `[retention] pruned` ends now; none without it."""
    if keep.pruned is None or keep.names is None:
        return []
    before_us = to_us(instant(now_us) - keep.pruned)
    nodes = set(stored.published_nodes(tx)) - keep.names
    return [item for item in pruned_nodes(tx, nodes) if item.at_us <= before_us]


def pruned_nodes(tx: Transaction, nodes: set[str]) -> list[PrunedNode]:
    """Return which of these nodes the newest version hasn't, and since which version.

    A node that no stored version has isn't returned: nobody knows since when it is gone.
    """
    results, missing, after = [], set(nodes), None
    for heading in applied_versions.headings(tx) if nodes else ():
        present = missing & applied_versions.fingerprints(tx, heading.id).keys()
        if after is not None:
            results += [
                PrunedNode(node, after.id, after.applied_at, heading.id) for node in sorted(present)
            ]
        missing -= present
        after = heading
        if not missing:
            break
    return results
