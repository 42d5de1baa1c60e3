"""Views of the graph: a few dozen cards with the rest rolled up, never all of the graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Annotated

import msgspec

from headrace.model import UsageError
from headrace.plan.node_graph import NodeGraph
from headrace.services.caches import cached_by_version
from headrace.services.catalog_search import NEVER, Cards
from headrace.services.incidents import ID, incident
from headrace.services.parameters import Excluded, Selected
from headrace.services.permissions import authorised
from headrace.services.responses import Response
from headrace.services.responses.catalog import CardView, CountedRow, EdgeView, GraphView
from headrace.services.selection import selected
from headrace.services.session import ProjectSession, usable
from headrace.services.snapshots import node_graph
from headrace.services.targets import unknown

# The state of everything in the graph: nodes and consumers, with the incidents that affect them.

WORST_FIRST = ("wrong", "late", "stale", "behind", "at_risk", "never", "unknown", "fresh", "served")
"""States of nodes and consumers, the most urgent first."""


class GraphOverview:
    """The whole applied graph (or the declared one, before the first apply) and its cards."""

    def __init__(self, session: ProjectSession) -> None:
        compiled = session.compiled if session.compiled is not None else usable(session.declared())
        self.session, self.project = session, compiled.project
        self.reach = node_graph(session, compiled)
        self.cards = Cards(session)
        self.names = [
            name for name in (*compiled.order, *compiled.project.consumers) if session.shows(name)
        ]
        if session.visible is not None:
            self.reach = self.reach.within(session.visible)
        self._states = {**self.cards.states, **self.cards.consumer_states()}

    def state(self, name: str) -> str:
        """Return a node's freshness, or a consumer's state."""
        return str(self._states.get(name, NEVER))

    def domain(self, name: str) -> str:
        """Return its domain; empty without one."""
        node = self.project.node(name)
        return (node.domain if node is not None else None) or ""

    def id(self, name: str) -> str:
        """Return the id of its card."""
        kind = (
            "consumer"
            if name in self.project.consumers
            else "source"
            if name in self.project.sources
            else "asset"
        )
        return f"{kind}:{name}"

    def each(self, steps: dict[str, int]) -> list[CardView]:
        """Return one card per name; `steps` maps each name to its distance from the root."""
        nodes = {
            row.name: row
            for row in self.cards.of(name for name in steps if name not in self.project.consumers)
        }
        return [
            CardView(
                id=self.id(name),
                kind=self.id(name).partition(":")[0],
                name=name,
                state=self.state(name),
                worst=self.state(name),
                states=[],
                count=1,
                owner=self.cards.owner(name),
                domain=self.domain(name) or None,
                data_through=nodes[name].data_through if name in nodes else None,
                quarantined=name in nodes and nodes[name].quarantined,
                paused=self.cards.paused(name),
                incident=self.cards.incident(name),
                steps=at,
                hidden_above=0,
                hidden_below=0,
            )
            for name, at in steps.items()
        ]

    def several(
        self, card_id: str, kind: str, domain: str, names: Sequence[str], steps: int
    ) -> CardView:
        """Return one card for several nodes."""
        counted = Counter(map(str, map(self._states.get, names, repeat(NEVER))))
        incident = (
            next(filter(None, map(self.cards.incident, names)), None)
            if self.cards.has_incidents
            else None
        )
        return CardView(
            id=card_id,
            kind=kind,
            name=domain,
            state=None,
            states=[CountedRow(value=v, count=n) for v, n in counted.most_common()],
            worst=min(counted, key=WORST_FIRST.index, default=NEVER),
            count=len(names),
            owner=None,
            domain=domain or None,
            data_through=None,
            quarantined=self.cards.any_quarantined(names),
            paused=False,
            incident=incident,
            steps=steps,
            hidden_above=0,
            hidden_below=0,
        )


class Domains:
    """The nodes of each domain, and the number of edges between domains."""

    def __init__(self, whole: GraphOverview) -> None:
        domain_of = {name: whole.domain(name) for name in whole.names}
        self.names: dict[str, list[str]] = {}
        self.edges: Counter[tuple[str, str]] = Counter()
        for name, domain in domain_of.items():
            self.names.setdefault(domain, []).append(name)
            self.edges.update(
                (domain_of[parent], domain)
                for parent in whole.reach.above.get(name, ())
                if parent in domain_of
            )


def domains_of(whole: GraphOverview) -> Domains:
    """Return the domains of the applied project, cached per version."""
    session = whole.session
    return (
        Domains(whole)
        if session.version is None or session.visible is not None
        else cached_by_version(session, "domains", lambda: Domains(whole))
    )


MODES = ("domains", "focus", "blast")
BUDGET_MAX = 150
HOPS_MAX = 10
_REST = "more:down:"
ROLLED_MAX = 12
"""Maximum number of rolled-up cards on one side; the smallest domains share the last."""


class GraphViewQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A view: `focus` shows `hops` both ways around `root`, `blast` all nodes downstream of it.

    The root of `blast` may be an incident, whose cause it then starts from.
    """

    mode: str = "domains"
    root: str | None = None
    hops: Annotated[int, msgspec.Meta(ge=0, le=HOPS_MAX)] = 2
    budget: Annotated[int, msgspec.Meta(ge=1, le=BUDGET_MAX)] = 48


@authorised
def view(session: ProjectSession, query: GraphViewQuery) -> GraphView:
    """Return a view with at most `budget` nodes in cards of their own, nearest to the root first.

    Raise UsageError for an unknown mode or root.
    """
    if query.mode not in MODES:
        raise UsageError(f"{query.mode[:40]!r} is no view", hint=f"one of {', '.join(MODES)}")
    whole = GraphOverview(session)
    if query.mode == "domains":
        return _domains(session, whole, query)
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
    result = incident(session, root).cause.node if ID.fullmatch(root) else root
    if result not in whole.reach.above and result not in whole.reach.below:
        raise unknown(result, whole.names)
    return result


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
        root=whole.id(root),
        hops=query.hops if query.mode == "focus" else None,
        total=len(whole.names),
        shown=len(visible),
        cards=cards,
        edges=_edges(whole, card_of),
    )


def _with_hidden(whole: GraphOverview, card: CardView, card_of: Mapping[str, str]) -> CardView:
    above = sum(other not in card_of for other in whole.reach.above.get(card.name, ()))
    below = sum(other not in card_of for other in whole.reach.below.get(card.name, ()))
    return (
        msgspec.structs.replace(card, hidden_above=above, hidden_below=below)
        if above or below
        else card
    )


def _domains(session: ProjectSession, whole: GraphOverview, query: GraphViewQuery) -> GraphView:
    """Return a card for each domain; beyond the budget, the smallest share one."""
    domains = domains_of(whole)
    largest = sorted(domains.names, key=lambda domain: len(domains.names[domain]), reverse=True)[
        : query.budget
    ]
    card_ids = {domain: f"domain:{domain}" for domain in largest}
    groups: dict[str, list[str]] = {}
    for domain, names in domains.names.items():
        groups.setdefault(card_ids.get(domain, _REST), []).extend(names)
    weights: Counter[tuple[str, str]] = Counter()
    for (above, below), weight in domains.edges.items():
        weights[card_ids.get(above, _REST), card_ids.get(below, _REST)] += weight
    cards = [
        whole.several(card, card.partition(":")[0], card.split(":")[-1], names, 0)
        for card, names in groups.items()
    ]
    return GraphView(
        now=session.now(),
        mode=query.mode,
        root=None,
        hops=None,
        total=len(whole.names),
        shown=0,
        cards=cards,
        edges=_drawn_edges(weights),
    )


def _edges(whole: GraphOverview, card_of: Mapping[str, str]) -> list[EdgeView]:
    """Return the edges between the existing cards."""
    weights: Counter[tuple[str, str]] = Counter()
    for name, card in card_of.items():
        for parent in whole.reach.above.get(name, ()):
            if parent in card_of:
                weights[card_of[parent], card] += 1
    return _drawn_edges(weights)


def _drawn_edges(weights: Mapping[tuple[str, str], int]) -> list[EdgeView]:
    """Return the edges, without those within one card."""
    return [
        EdgeView(from_=source, to=target, weight=n)
        for (source, target), n in sorted(weights.items())
        if source != target
    ]


# Nodes, downstream nodes and consumers that an action would affect, before it is done.


class EffectResponse(Response, frozen=True, kw_only=True):
    """The selected `nodes`, and the `downstream` assets, `consumers` and `owners` affected."""

    nodes: list[str]
    downstream: list[str]
    consumers: list[str]
    owners: list[str]


@authorised
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


# Values that a server computes before the first request. For ten thousand assets the state takes a
# second, and the sums take a few seconds.


def load(session: ProjectSession) -> None:
    """Load the applied project and its state."""
    from headrace.services.snapshots import project_state

    if session.store is not None and session.compiled is not None:
        with project_state(session, session.clock.now_us()):
            pass


def _today(session: ProjectSession) -> None:
    from headrace.services.status import status

    status(session)


def _catalog(session: ProjectSession) -> None:
    from headrace.services.catalog_search import CatalogQuery, catalog

    if session.compiled is not None:
        catalog(session, CatalogQuery())


def _graph(session: ProjectSession) -> None:
    if session.compiled is not None:
        view(session, GraphViewQuery())


def _search(session: ProjectSession) -> None:
    from headrace.services.catalog_search import search

    search(session, "a", 1)


def _use(session: ProjectSession) -> None:
    from headrace.services.catalog_search import use

    use(session)


WARMED: tuple[Callable[[ProjectSession], None], ...] = (
    load,
    _today,
    _catalog,
    _graph,
    _search,
    _use,
)
"""In the usual order of the requests."""
