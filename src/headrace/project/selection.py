"""Selections over a project: the graph that `model.select` walks, declared or applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from headrace.model import Asset, Consumer, Project, Source, UsageError
from headrace.model.selection import select

if TYPE_CHECKING:
    from headrace.plan import Compiled
    from headrace.project.session import ProjectSession


NOTHING_SELECTED = "no node matches the selection"


class ProjectGraph:
    """Nodes and edges of one project; without `compiled` only the declared edges."""

    def __init__(
        self,
        project: Project,
        compiled: Compiled | None,
        changed: frozenset[str] = frozenset(),
        visible: frozenset[str] | None = None,
        selectors: Mapping[str, str] | None = None,
    ) -> None:
        self._selectors = selectors or {}
        self._visible = visible
        self._project = project
        self._compiled = compiled
        self._changed = changed

    def names(self) -> list[str]:
        """All nodes: sources, then assets, then consumers, each sorted by name."""
        project = self._project
        names = [*sorted(project.sources), *sorted(project.assets), *sorted(project.consumers)]
        return names if self._visible is None else [n for n in names if n in self._visible]

    def kind(self, name: str) -> str:
        """Return `source`, `asset` or `consumer`."""
        return (
            "source"
            if name in self._project.sources
            else "asset"
            if name in self._project.assets
            else "consumer"
        )

    def parents(self, name: str) -> Sequence[str]:
        """Return a node's inputs and dependencies, or a consumer's inputs."""
        return self._only_visible(self._parents.get(name, ()))

    def children(self, name: str) -> Sequence[str]:
        """Return the nodes that read a node or depend on it."""
        return self._only_visible(self._children.get(name, ()))

    def _only_visible(self, names: Sequence[str]) -> Sequence[str]:
        visible = self._visible
        return names if visible is None else [name for name in names if name in visible]

    def tags(self, name: str) -> Sequence[str]:
        return self._node(name).tags

    def owner(self, name: str) -> str:
        return self._node(name).owner

    def domain(self, name: str) -> str | None:
        return self._node(name).domain

    def path(self, name: str) -> str:
        """Return the file that declares the node, relative to the project."""
        return self._node(name).place.file

    def changed(self) -> frozenset[str]:
        """Return the nodes whose files differ from the applied project."""
        return self._changed

    def selectors(self) -> Mapping[str, str]:
        """Return the declared selections by name."""
        return self._selectors

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
            parents[name] = tuple(
                dict.fromkeys(parent for parent in inputs if self._project.node(parent))
            )
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
    """Return the selected names of the applied project, or of another `compiled` or `project`.

    An empty selection means everything. Raise UsageError (with did-you-mean) if a selection matches
    nothing.
    """
    compiled = compiled or session.compiled
    project = project or (compiled.project if compiled else session.project())
    graph = _graph(session, [*selection, *exclude], compiled, project)
    try:
        return select(list(selection), list(exclude), graph)
    except UsageError as error:
        if session.visible is not None or not _selects(session, selection, exclude):
            raise
        raise UsageError(
            f"{error} in the applied version: only the files have it", hint="headrace apply"
        ) from error


def _graph(
    session: ProjectSession, texts: Sequence[str], compiled: Compiled | None, project: Project
) -> ProjectGraph:
    """Return the graph for these texts: a cached one, unless they need more than the project."""
    named = any("selector:" in text for text in texts)
    selectors = session.settings.selectors if named else {}
    has_state = any("state:" in text for text in [*texts, *selectors.values()])
    changed = changed_nodes(session) if has_state else frozenset()
    is_applied = compiled is not None and compiled is session.compiled
    if named or changed or session.visible is not None or not is_applied:
        return ProjectGraph(project, compiled, changed, session.visible, selectors)
    from headrace.project.caches import cached_by_version

    return cached_by_version(session, "selection", lambda: ProjectGraph(project, compiled))


def _selects(session: ProjectSession, selection: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether the files, applied or not, have nodes for a selection."""
    declared = session.declared().compiled
    if declared is None:
        return False
    graph = _graph(session, [*selection, *exclude], declared, declared.project)
    try:
        return bool(select(selection, exclude, graph))
    except UsageError:
        return False


def changed_nodes(session: ProjectSession) -> frozenset[str]:
    """Return the nodes whose files differ from the applied project; all before the first apply.

    In an environment they are compared with production, as `plan` does.
    """
    from headrace.plan import changes
    from headrace.project.session import usable

    against = session.production or session
    return frozenset(
        change.node for change in changes(against.compiled, usable(session.declared()))
    )
