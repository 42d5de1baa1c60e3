"""The part of the graph that a plan is about: the changed nodes and everything downstream."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from headrace.access.permissions import visible_of
from headrace.access.visible_plans import without_hidden_errors
from headrace.extension import SEE, Progress, ProjectSession, command
from headrace.model.reachability import reachable
from headrace.plan import Compiled, changes
from headrace.plan.comparison import renames
from headrace.plan.node_graph import NodeGraph
from headrace.project.session import usable
from headrace.services.plans import compared_with
from headrace_ui.responses.catalog import EdgeView
from headrace_ui.responses.plan_graphs import PlanGraphResponse, PlanGraphRow

NODES_MAX = 60
"""The maximum number of nodes that are returned: changed ones first, then the nearest ones."""


@command("plan graph", SEE, lists=True, http="GET /plan/graph plan_graph", of_files=True)
def plan_graph(session: ProjectSession, *, progress: Progress) -> PlanGraphResponse:
    """Return the nodes that the files change and all nodes downstream, compared as `plan` compares.

    The edges are those of the files and those of what they are compared with. A role that is
    limited to nodes gets its nodes, and what is downstream of them through its nodes.
    Raise InvalidProject if the files have errors.
    """
    with without_hidden_errors(session):
        compiled = usable(session.declared_exactly(progress)[1])
    base = compared_with(session)
    projects = [item.project for item in (compiled, base.compiled) if item is not None]
    nodes = [node for project in projects for node in project.nodes()]
    names = {node.name for node in nodes}
    visible = names if session.visible is None else visible_of(session, nodes)
    kinds: dict[str, list[str]] = {}
    for change in changes(base.compiled, compiled):
        if change.node in names:  # changes of settings and owners have the file in place of a node
            kinds.setdefault(change.node, []).append(change.change.value)
    readers = _readers(base.compiled, compiled, visible)
    distances = reachable(sorted(visible & kinds.keys()), lambda name: readers.get(name, ()))
    listed, unlisted = list(distances)[:NODES_MAX], list(distances)[NODES_MAX:]
    applied = {node.name for node in session.project().nodes()}
    return PlanGraphResponse(
        against=base.called,
        nodes=[
            PlanGraphRow(
                name=name,
                kind=next(filter(None, (project.kind(name) for project in projects))),
                changes=kinds.get(name, []),
                applied=name in applied,
            )
            for name in listed
        ],
        edges=[
            EdgeView(from_=name, to=reader, weight=1)
            for name in listed
            for reader in readers.get(name, ())
            if reader in listed
        ],
        more_changed=sum(name in kinds for name in unlisted),
        more_downstream=sum(name not in kinds for name in unlisted),
        left_out=not visible.issuperset(kinds),
    )


def _readers(
    old: Compiled | None, new: Compiled, visible: Collection[str]
) -> Mapping[str, list[str]]:
    """Return node → what reads it in either project, by name; a renamed node has its new name."""
    former_names = {former: name for name, former in renames(old, new).items()}
    edges = {
        (former_names.get(parent, parent), former_names.get(name, name))
        for compiled in (old, new)
        if compiled is not None
        for name, parents in NodeGraph(compiled).above.items()
        for parent in parents
    }
    readers: dict[str, list[str]] = {}
    for parent, name in sorted(edges):
        if parent in visible and name in visible:
            readers.setdefault(parent, []).append(name)
    return readers
