"""Selections over a project: the graph that `model.select` walks, declared or applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from headrace.model import Asset, Consumer, Project, Source, UsageError
from headrace.model.selection import select
from headrace.project.session import ProjectSession, usable

if TYPE_CHECKING:
    from headrace.plan import Compiled
    from headrace.plan.node_graph import NodeGraph

NOTHING_SELECTED = "no node matches the selection"


class ProjectGraph:
    """Nodes and edges of one project; edges raise UsageError without `compiled`."""

    def __init__(
        self, session: ProjectSession, project: Project, compiled: Compiled | None
    ) -> None:
        self._session = session
        self._project = project
        self._compiled = compiled

    def names(self) -> list[str]:
        """All nodes: sources, then assets, then consumers, each sorted by name."""
        project = self._project
        names = [*sorted(project.sources), *sorted(project.assets), *sorted(project.consumers)]
        return list(filter(self._session.shows, names))

    def kind(self, name: str) -> str:
        """Return `source`, `asset` or `consumer`."""
        return (
            "source"
            if name in self._project.sources
            else "asset"
            if name in self._project.assets
            else "consumer"
        )

    def parents(self, name: str) -> list[str]:
        """Return a node's inputs and dependencies, or a consumer's inputs."""
        return list(filter(self._shows, self._edges.above.get(name, ())))

    def children(self, name: str) -> list[str]:
        """Return the nodes that read a node or depend on it."""
        return list(filter(self._shows, self._edges.below.get(name, ())))

    def _shows(self, name: str) -> bool:
        return self._session.shows(name) and self._project.node(name) is not None

    @cached_property
    def _edges(self) -> NodeGraph:
        from headrace.plan.node_graph import NodeGraph
        from headrace.project.snapshots import node_graph

        if self._compiled is None:
            raise UsageError(
                "it isn't known what reads what while the files have errors",
                hint="headrace validate",
            )
        if self._compiled is self._session.compiled:
            return node_graph(self._session, self._compiled)
        return NodeGraph(self._compiled)

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
        return changed_nodes(self._session)

    def selectors(self) -> Mapping[str, str]:
        """Return the declared selections by name."""
        return self._session.settings.selectors

    def _node(self, name: str) -> Source | Asset | Consumer:
        node = self._project.node(name)
        if node is None:
            raise KeyError(name)
        return node


def selected(
    session: ProjectSession,
    selection: Sequence[str],
    exclude: Sequence[str] = (),
    *,
    compiled: Compiled | None = None,
    project: Project | None = None,
) -> list[str]:
    """Return the selected names of the applied project, or of another `compiled` or `project`.

    Before the first apply those of the files. A `project` with errors has no `compiled`.

    An empty selection means everything. Raise UsageError (with did-you-mean) if a selection matches
    nothing.
    """
    if project is None:
        compiled = compiled or session.compiled or usable(session.declared())
        project = compiled.project
    try:
        return select(selection, exclude, ProjectGraph(session, project, compiled))
    except UsageError as error:
        may_help = session.compiled is not None and session.visible is None
        if not may_help or not _selects(session, selection, exclude):
            raise
        raise UsageError(
            f"{error} in the applied version: only the files have it", hint="headrace apply"
        ) from error


def _selects(session: ProjectSession, selection: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether the files, applied or not, have nodes for a selection."""
    declared = session.declared().compiled
    if declared is None:
        return False
    try:
        return bool(select(selection, exclude, ProjectGraph(session, declared.project, declared)))
    except UsageError:
        return False


def changed_nodes(session: ProjectSession) -> frozenset[str]:
    """Return the nodes whose files differ from the applied project; all before the first apply.

    In an environment they are compared with production, as `plan` does.
    """
    from headrace.plan import changes

    against = session.production or session
    return frozenset(
        change.node for change in changes(against.compiled, usable(session.declared()))
    )
