"""Columns that are limited in rows of earlier code, and would be shown by the code in force.

A column can keep its name while the query changes. Rows that were published before hold what the
earlier code computed until they are computed again, which isn't always done (`apply --keep`, rows
older than `restate_within`), and a read of an older snapshot shows them for as long as it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from headrace.plan.column_limits import ColumnLimits, LimitRoots, all_classified, limits_of
from headrace.plan.compiled import Compiled
from headrace.plan.impact import Lineage
from headrace.plan.node_graph import NodeGraph


class Code(NamedTuple):
    """A compiled version with its lineage."""

    compiled: Compiled
    lineage: Lineage | None


class StoredCode(NamedTuple):
    """What is stored of earlier code, as functions."""

    versions: Callable[[str], Sequence[int]]
    """Node → the versions that its readable rows are of."""
    changed: Callable[[int], frozenset[str]]
    """Version → the nodes whose code isn't the one in force; empty for the version in force."""
    load: Callable[[int], Code | None]
    """Version → its code; None if it isn't stored any more."""


def limited_by_earlier_code(
    code: Code, graph: NodeGraph, stored: StoredCode, node: str, roots: LimitRoots
) -> frozenset[tuple[str, str]]:
    """Return (node, column) of one asset that its readable rows of earlier code limit.

    Columns with the same mask before and now aren't among them. Columns are in lower case.
    """
    columns: set[tuple[str, str]] = set()
    above = graph.upstream([node])
    for version in stored.versions(node):
        if not stored.changed(version).isdisjoint(above):
            earlier = stored.load(version)
            if earlier is not None and node in earlier.compiled.nodes:
                columns |= _limited_in(code, earlier, node, roots)
    return frozenset(columns)


def changed_nodes(compiled: Compiled, before: dict[str, str]) -> frozenset[str]:
    """Return the nodes whose fingerprint isn't that of an earlier version."""
    return frozenset(
        name for name, node in compiled.nodes.items() if before.get(name) != node.fingerprint
    )


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
