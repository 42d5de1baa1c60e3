"""Views of the graph: a few dozen cards with the rest rolled up, never all of the graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import msgspec

from headrace.extension import (
    SEE,
    Excluded,
    ProjectSession,
    Response,
    Selected,
    UsageError,
    command,
)
from headrace.plan.node_graph import NodeGraph
from headrace.project.selection import selected
from headrace.project.session import usable
from headrace.project.targets import unknown
from headrace.repairs.incident_rows import ID
from headrace.services.incidents import incident
from headrace_ui.responses.catalog import CardView, GraphView
from headrace_ui.views.graph_cards import GraphFilters, GraphOverview, edges_between
from headrace_ui.views.graph_groups import CARDS_MAX, overview
from headrace_ui.views.graph_past import PastCards, past_time, version_at

MODES = ("overview", "focus", "blast")
HOPS_MAX = 10
FOUND_MAX = 20
"""Maximum number of matches in groups that a view names."""
ROLLED_MAX = 12
"""Maximum number of rolled-up cards on one side; the smallest domains share the last."""


class GraphViewQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A view: `focus` shows `hops` both ways around `root`, `blast` all nodes downstream of it.

    The root of `blast` may be an incident, whose cause it then starts from. `overview` shows the
    whole graph: each node or, in a large project and with `by`, groups; those in `open` are shown
    node by node. `find` (words that the name contains), `state`, `owner` and `tag` leave the view
    as it is and count on each card the nodes that match them all. With `at`, a time, the view is
    as it stood then: the version in force, the state of each node's last attempt, the consumers'
    states and the open incidents.
    """

    mode: str = "overview"
    by: str | None = None
    open: tuple[str, ...] = ()
    root: str | None = None
    hops: Annotated[int, msgspec.Meta(ge=0, le=HOPS_MAX)] = 2
    budget: Annotated[int, msgspec.Meta(ge=1, le=CARDS_MAX)] = 48
    find: str = ""
    state: str | None = None
    owner: str | None = None
    tag: str | None = None
    at: str | None = None


@command("graph", SEE, of="query.root", lists=True, http="GET /graph/view graph")
def view(session: ProjectSession, query: GraphViewQuery) -> GraphView:
    """Return a view with at most `budget` nodes in cards of their own, nearest to the root first.

    Raise UsageError for an unknown mode, grouping or root, or for an `at` that hasn't come yet.
    """
    if query.mode not in MODES:
        raise UsageError(f"{query.mode[:40]!r} is no view", hint=f"one of {', '.join(MODES)}")
    if query.at is not None:
        return _view_at(session, query, past_time(session, query.at, "at"))
    return _filtered(session, GraphOverview(session), query)


def _filtered(session: ProjectSession, whole: GraphOverview, query: GraphViewQuery) -> GraphView:
    matching = whole.filter(GraphFilters(query.find, query.state, query.owner, query.tag))
    result, names = _view(session, whole, query), whole.matching()
    in_groups = sorted(
        names - {card.name for card in result.cards if card.id == whole.id(card.name)}
    )
    return msgspec.structs.replace(result, matching=matching, found=in_groups[:FOUND_MAX])


def _view_at(session: ProjectSession, query: GraphViewQuery, at_us: int) -> GraphView:
    """Return the view at a past time; without cards if nothing of it was applied then."""
    at, version = session.instant(at_us), version_at(session, at_us)
    if version is None:
        return _absent(session, query, at, None, "Nothing had been applied by then.")
    whole = GraphOverview(session, PastCards(session, at_us, version))
    if query.mode != "overview" and query.root is not None:
        root = _named(session, query.root)
        if root not in whole.names and root in GraphOverview(session).names:
            return _absent(session, query, at, version, f"{root} wasn't applied then.")
    result = _filtered(session, whole, query)
    return msgspec.structs.replace(result, at=at, version=version)


def _absent(
    session: ProjectSession, query: GraphViewQuery, at: datetime, version: int | None, note: str
) -> GraphView:
    return GraphView(
        now=session.now(),
        mode=query.mode,
        by=None,
        root=None,
        hops=None,
        total=0,
        shown=0,
        cards=[],
        edges=[],
        at=at,
        version=version,
        note=note,
    )


def _view(session: ProjectSession, whole: GraphOverview, query: GraphViewQuery) -> GraphView:
    if query.mode == "overview":
        return overview(whole, query.by, query.open, query.budget)
    root = _root(session, whole, query.root)
    below = whole.reach.downstream([root], query.hops if query.mode == "focus" else None)
    above = whole.reach.upstream([root], query.hops) if query.mode == "focus" else {root: 0}
    steps = {**{name: -n for name, n in above.items()}, **below}
    nearest = sorted(steps, key=lambda name: (abs(steps[name]), name))
    visible = {name: steps[name] for name in nearest[: query.budget]}
    rolled = _rolled(whole, steps, visible)
    return _drawn(session, whole, query, root, visible, rolled)


def _root(session: ProjectSession, whole: GraphOverview, root: str | None) -> str:
    if root is None:
        raise UsageError("what is looked at?", hint="root=NODE, or root=INC-1 with mode=blast")
    result = _named(session, root)
    if result not in whole.reach.above and result not in whole.reach.below:
        raise unknown(result, whole.names)
    return result


def _named(session: ProjectSession, root: str) -> str:
    """Return the root's node: of an incident, the node of its cause."""
    return incident(session, root).cause.node if ID.fullmatch(root) else root


def _rolled(
    whole: GraphOverview, steps: Mapping[str, int], visible: Mapping[str, int]
) -> dict[str, str]:
    """Return the rolled-up card of each node without a card of its own."""
    results: dict[str, str] = {}
    for side, names in (
        ("up", [name for name, at in steps.items() if at < 0 and name not in visible]),
        ("down", [name for name, at in steps.items() if at >= 0 and name not in visible]),
    ):
        domains = [
            domain for domain, _ in Counter(map(whole.domain, names)).most_common(ROLLED_MAX)
        ]
        for name in names:
            domain = whole.domain(name)
            results[name] = f"more:{side}:{domain if domain in domains else ''}"
    return results


def _drawn(
    session: ProjectSession,
    whole: GraphOverview,
    query: GraphViewQuery,
    root: str,
    visible: Mapping[str, int],
    rolled: Mapping[str, str],
) -> GraphView:
    groups: dict[str, list[str]] = {}
    for name, card in rolled.items():
        groups.setdefault(card, []).append(name)
    card_of = {**rolled, **{name: whole.id(name) for name in visible}}
    furthest = {
        "up": min(visible.values(), default=0) - 1,
        "down": max(visible.values(), default=0) + 1,
    }
    cards = [
        *(_with_hidden(whole, card, card_of) for card in whole.each(dict(visible))),
        *(
            whole.several(card, "more", card.split(":", 2)[2], names, furthest[card.split(":")[1]])
            for card, names in groups.items()
        ),
    ]
    return GraphView(
        now=session.now(),
        mode=query.mode,
        by=None,
        root=whole.id(root),
        hops=query.hops if query.mode == "focus" else None,
        total=len(whole.names),
        shown=len(visible),
        cards=cards,
        edges=edges_between(whole, card_of),
    )


def _with_hidden(whole: GraphOverview, card: CardView, card_of: Mapping[str, str]) -> CardView:
    above = sum(other not in card_of for other in whole.reach.above.get(card.name, ()))
    below = sum(other not in card_of for other in whole.reach.below.get(card.name, ()))
    return (
        msgspec.structs.replace(card, hidden_above=above, hidden_below=below)
        if above or below
        else card
    )


# Nodes, downstream nodes and consumers that an action would affect, before it is done.


class EffectResponse(Response, frozen=True, kw_only=True):
    """The selected `nodes`, and the `downstream` assets, `consumers` and `owners` affected."""

    nodes: list[str]
    downstream: list[str]
    consumers: list[str]
    owners: list[str]


@command("effect", SEE, of="select", lists=True, http="GET /effect effect")
def effect(session: ProjectSession, select: Selected, exclude: Excluded = ()) -> EffectResponse:
    """Return the effect on the applied project (declared, before the first apply).

    Raise UsageError for a select that matches nothing.
    """
    compiled = session.compiled if session.compiled is not None else usable(session.declared())
    nodes, project = selected(session, select, exclude, compiled=compiled), compiled.project
    graph = NodeGraph(compiled)
    reached = (name for node in nodes for name in graph.downstream([node]))
    below = {name: None for name in reached if session.shows(name)}
    consumers = [name for name in below if name in project.consumers]
    touched = [result for name in below if (result := project.node(name)) is not None]
    return EffectResponse(
        nodes=nodes,
        downstream=[name for name in below if name not in nodes and name not in project.consumers],
        consumers=consumers,
        owners=sorted({node.owner for node in touched}),
    )
