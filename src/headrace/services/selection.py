"""Selections over a project: the graph that `model.select` walks, declared or applied."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from headrace.model import Asset, Consumer, Project, Source
from headrace.model.selection import select

if TYPE_CHECKING:
    from headrace.plan import Compiled
    from headrace.services.session import ProjectSession


class ProjectGraph:
    """Nodes and edges of one project. Without `compiled` the edges are those that are declared."""

    def __init__(self, project: Project, compiled: Compiled | None, changed: frozenset[str] = frozenset()) -> None:
        self._project = project
        self._compiled = compiled
        self._changed = changed

    def names(self) -> list[str]:
        """All nodes: sources, then assets, then consumers, each in order of their names."""
        project = self._project
        return [*sorted(project.sources), *sorted(project.assets), *sorted(project.consumers)]

    def kind(self, name: str) -> str:
        """`source`, `asset` or `consumer`."""
        return "source" if name in self._project.sources else "asset" if name in self._project.assets else "consumer"

    def parents(self, name: str) -> Sequence[str]:
        """What a node reads or waits for; what a consumer reads."""
        return self._parents.get(name, ())

    def children(self, name: str) -> Sequence[str]:
        """What reads a node or waits for it."""
        return self._children.get(name, ())

    def tags(self, name: str) -> Sequence[str]:
        """The node's tags."""
        return self._node(name).tags

    def owner(self, name: str) -> str:
        """The node's owner."""
        return self._node(name).owner

    def domain(self, name: str) -> str | None:
        """The node's domain."""
        return self._node(name).domain

    def path(self, name: str) -> str:
        """The file that declares the node, relative to the project."""
        return self._node(name).place.file

    def changed(self) -> frozenset[str]:
        """Nodes whose files differ from what is applied."""
        return self._changed

    def _node(self, name: str) -> Source | Asset | Consumer:
        node = self._project.node(name)
        if node is None:
            raise KeyError(name)
        return node

    @cached_property
    def _parents(self) -> dict[str, tuple[str, ...]]:
        parents = {name: consumer.reads for name, consumer in self._project.consumers.items()}
        for name, asset in self._project.assets.items():
            compiled = self._compiled.nodes[name] if self._compiled else asset
            inputs = [spec.node for spec in compiled.inputs] + list(compiled.depends)
            parents[name] = tuple(dict.fromkeys(parent for parent in inputs if self._project.node(parent)))
        return parents

    @cached_property
    def _children(self) -> dict[str, list[str]]:
        children: dict[str, list[str]] = {}
        for name, parents in self._parents.items():
            for parent in parents:
                children.setdefault(parent, []).append(name)
        return children


def selected(
    session: ProjectSession,
    selection: Sequence[str],
    exclude: Sequence[str] = (),
    *,
    compiled: Compiled | None = None,
    project: Project | None = None,
) -> list[str]:
    """The names that a selection means, of what is applied unless another `compiled` or `project` is given.

    Everything where nothing is selected. UsageError (with did-you-mean) for what names nothing.
    """
    compiled = compiled or session.compiled
    project = project or (compiled.project if compiled else session.project())
    changed = changed_nodes(session) if any("state:" in text for text in [*selection, *exclude]) else frozenset()
    if session.compiled is None or compiled is not session.compiled or project is not compiled.project or changed:
        return select(list(selection), list(exclude), ProjectGraph(project, compiled, changed))
    from headrace.services.caches import cached_by_version

    return select(list(selection), list(exclude), cached_by_version(session, "selection", lambda: ProjectGraph(project, compiled)))


def changed_nodes(session: ProjectSession) -> frozenset[str]:
    """Nodes whose files differ from what is applied; all of them where nothing is."""
    from headrace.plan import changes
    from headrace.services.session import usable

    return frozenset(change.node for change in changes(session.compiled, usable(session.declared())))
