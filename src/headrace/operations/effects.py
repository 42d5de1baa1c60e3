"""Whom an act reaches, before it is done: the nodes that it is done to, what is made of them, who reads that."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.operations.catalog.reach import EdgeIndex
from headrace.operations.responses import Response
from headrace.operations.selection import selected
from headrace.operations.session import ProjectSession, usable


class EffectResponse(Response, frozen=True, kw_only=True):
    """`nodes` are those that are selected, `downstream` the assets that are made of them; both reach `consumers` and `owners`."""

    nodes: list[str]
    downstream: list[str]
    consumers: list[str]
    owners: list[str]


def effect(session: ProjectSession, selection: Sequence[str], exclude: Sequence[str]) -> EffectResponse:
    """Of what is applied, or declared before that. UsageError for a selection that names nothing."""
    compiled = session.compiled if session.compiled is not None else usable(session.declared())
    nodes, project = selected(session, selection, exclude, compiled=compiled), compiled.project
    reach = EdgeIndex(project, compiled)
    below = {name: None for node in nodes for name in reach.distances(node, reach.below)}
    consumers = [name for name in below if name in project.consumers]
    touched = [result for name in below if (result := project.node(name)) is not None]
    return EffectResponse(
        nodes=nodes,
        downstream=[name for name in below if name not in nodes and name not in project.consumers],
        consumers=consumers,
        owners=sorted({node.owner for node in touched}),
    )
