"""Columns that are limited in rows of earlier code, and would be shown by the code in force.

A column can keep its name while the query changes. Rows that were published before hold what the
earlier code computed until they are computed again, which isn't always done (`apply --keep`, rows
older than `restate_within`), and a read of an older snapshot shows them for as long as it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from headrace.plan.column_limits import ColumnLimits, LimitRoots, all_classified, limits_of
from headrace.plan.compiled import Compiled
from headrace.plan.impact import Lineage
from headrace.plan.node_graph import NodeGraph


class Code:
    """A compiled version; its lineage is read when it is needed."""

    def __init__(self, compiled: Compiled, lineage: Callable[[], Lineage | None]) -> None:
        self.compiled, self._lineage = compiled, lineage

    @cached_property
    def lineage(self) -> Lineage | None:
        """The lineage of its columns."""
        return self._lineage()


class StoredVersions(NamedTuple):
    """What is stored of versions, as functions."""

    fingerprints: Callable[[int], Mapping[str, str]]
    """Version → the fingerprint of each node's code."""
    load: Callable[[int], Code | None]
    """Version → its code; None if it isn't stored any more."""
    names: Callable[[str], Sequence[str]]
    """Node → the names that its table has ever had, in lower case."""
    ever_classified: Callable[[], bool]
    """Whether any version may classify a column."""


class EarlierCode:
    """The versions before the one in force, each read once."""

    def __init__(self, code: Code, graph: NodeGraph) -> None:
        """`code` is in force, `graph` is its graph."""
        self._code, self._graph = code, graph
        self._changed: dict[int, frozenset[str]] = {}
        self._loaded: dict[int, Code | None] = {}
        self._names: dict[tuple[str, int], str | None] = {}
        self.ever_classified: bool | None = None
        """Whether any version may classify a column; None until `look_for_classes`."""

    def look_for_classes(self, stored: StoredVersions) -> bool:
        """Return whether any version may classify a column; without one, nothing is limited."""
        if self.ever_classified is None:
            self.ever_classified = stored.ever_classified()
        return self.ever_classified

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
                if earlier is not None:
                    former = self._name_in(version, node, stored)
                    columns |= _limited_in(self._code, earlier, node, former, roots)
        return frozenset(columns)

    def _name_in(self, version: int, node: str, stored: StoredVersions) -> str | None:
        """Return the name that a node had in a version; None if that can't be told."""
        earlier = self._code_of(version, stored)
        if earlier is None or node in earlier.compiled.nodes:
            return node
        if (node, version) not in self._names:
            self._names[node, version] = _former_name(earlier, stored.names(node))
        return self._names[node, version]

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


def _former_name(earlier: Code, names: Sequence[str]) -> str | None:
    """Return the one name of a table that is a node of earlier code.

    None if several are: another node may have taken the name since.
    """
    known = {name.lower(): name for name in earlier.compiled.nodes}
    former = [known[name] for name in names if name in known]
    return former[0] if len(former) == 1 else None


def _limited_in(
    code: Code, earlier: Code, name: str, former: str | None, roots: LimitRoots
) -> set[tuple[str, str]]:
    """Return the columns of `name` that are limited by `earlier`, in which it was `former`."""
    before = _roots_in(earlier, code, roots)
    if not before.forbidden and not before.classified:
        return set()
    if former is None:
        return _every_column(code, name)
    limits, now = _limits(earlier, before, former), _limits(code, roots, name)
    if limits.opaque:
        return _every_column(code, name)
    return {
        (name, column)
        for column in limits.names
        if column in limits.left_out or limits.masks[column] != now.masks.get(column)
    }


def _every_column(code: Code, name: str) -> set[tuple[str, str]]:
    return {(name, column.lower()) for column in code.compiled.nodes[name].column_names or ()}


def _roots_in(earlier: Code, code: Code, roots: LimitRoots) -> LimitRoots:
    """Return where limits begin in earlier code: also at nodes that are gone or renamed by now."""
    project = code.compiled.project
    new_names = {
        asset.renamed_from: name
        for name, asset in project.assets.items()
        if asset.renamed_from is not None
    }
    classified = dict(roots.classified)
    for (node, column), value in all_classified(earlier.compiled.project).items():
        if project.source_or_asset(node) is None:
            new_name = new_names.get(node)
            if new_name is None or (new_name, column) in roots.classified:
                classified[node, column] = value
    renamed = {
        (former, column)
        for former, new_name in new_names.items()
        for node, column in roots.forbidden
        if node == new_name
    }
    return LimitRoots(roots.forbidden | renamed, classified)


def _limits(code: Code, roots: LimitRoots, name: str) -> ColumnLimits:
    compiled = code.compiled
    return limits_of(compiled.project, roots, code.lineage, name, compiled.nodes[name].column_names)
