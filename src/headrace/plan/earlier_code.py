"""Columns that are limited in rows of earlier code, and would be shown by the code in force.

A column can keep its name while the query changes. Rows that were published before hold what the
earlier code computed until they are computed again, which isn't always done (`apply --keep`, rows
older than `restate_within`), and a read of an older snapshot shows them for as long as it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from headrace.plan.column_limits import ColumnLimits, LimitRoots, all_classified, limits_of
from headrace.plan.compiled import Compiled
from headrace.plan.impact import Lineage
from headrace.plan.node_graph import NodeGraph


class Code(NamedTuple):
    """A compiled version with its lineage."""

    compiled: Compiled
    lineage: Lineage | None


class StoredVersions(NamedTuple):
    """What is stored of versions, as functions."""

    fingerprints: Callable[[int], Mapping[str, str]]
    """Version → the fingerprint of each node's code."""
    load: Callable[[int], Code | None]
    """Version → its code; None if it isn't stored any more."""


class EarlierCode:
    """The versions before the one in force, each read once."""

    def __init__(self, code: Code, graph: NodeGraph) -> None:
        """`code` is in force, `graph` is its graph."""
        self._code, self._graph = code, graph
        self._changed: dict[int, frozenset[str]] = {}
        self._loaded: dict[int, Code | None] = {}

    def limited(
        self, node: str, versions: Sequence[int], stored: StoredVersions, roots: LimitRoots
    ) -> frozenset[tuple[str, str]]:
        """Return (node, column) of an asset that its rows of some versions limit.

        Columns with the same mask before and now aren't among them. Columns are in lower case.
        """
        columns: set[tuple[str, str]] = set()
        for version in versions:
            changed = self._changed_since(version, stored)
            if changed and not changed.isdisjoint(self._graph.upstream([node])):
                earlier = self._code_of(version, stored)
                if earlier is not None and node in earlier.compiled.nodes:
                    columns |= _limited_in(self._code, earlier, node, roots)
        return frozenset(columns)

    def _changed_since(self, version: int, stored: StoredVersions) -> frozenset[str]:
        """Return the nodes whose code isn't that of a version."""
        if version not in self._changed:
            before, nodes = stored.fingerprints(version), self._code.compiled.nodes
            self._changed[version] = frozenset(
                name for name, node in nodes.items() if before.get(name) != node.fingerprint
            )
        return self._changed[version]

    def _code_of(self, version: int, stored: StoredVersions) -> Code | None:
        if version not in self._loaded:
            self._loaded[version] = stored.load(version)
        return self._loaded[version]


def _limited_in(code: Code, earlier: Code, name: str, roots: LimitRoots) -> set[tuple[str, str]]:
    gone = {
        at: value
        for at, value in all_classified(earlier.compiled.project).items()
        if code.compiled.project.source_or_asset(at[0]) is None
    }
    before = LimitRoots(roots.forbidden, {**roots.classified, **gone})
    limits, now = _limits(earlier, before, name), _limits(code, roots, name)
    if limits.opaque:
        return {(name, column.lower()) for column in code.compiled.nodes[name].column_names or ()}
    return {
        (name, column)
        for column in limits.names
        if column in limits.left_out or limits.masks[column] != now.masks.get(column)
    }


def _limits(code: Code, roots: LimitRoots, name: str) -> ColumnLimits:
    compiled = code.compiled
    return limits_of(compiled.project, roots, code.lineage, name, compiled.nodes[name].column_names)
