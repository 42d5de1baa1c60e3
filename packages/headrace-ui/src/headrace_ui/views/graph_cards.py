"""Cards and edges of the graph: one for a node or a consumer, or one for several of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import NamedTuple

from headrace.extension import ProjectSession
from headrace.plan.node_graph import NodeGraph
from headrace.project.session import usable
from headrace.project.snapshots import node_graph
from headrace_ui.responses.catalog import CardView, CountedRow, EdgeView
from headrace_ui.views.graph_past import WORST_FIRST, PastCards
from headrace_ui.views.node_cards import NEVER, Cards


class GraphFilters(NamedTuple):
    """Words that the name contains, a state, an owner and a tag, all of which must match."""

    find: str = ""
    state: str | None = None
    owner: str | None = None
    tag: str | None = None


class GraphOverview:
    """The whole applied graph (or the declared one, before the first apply) and its cards.

    With `past`, the graph and the states of that time.
    """

    def __init__(self, session: ProjectSession, past: PastCards | None = None) -> None:
        compiled = (
            past.compiled
            if past is not None
            else session.compiled
            if session.compiled is not None
            else usable(session.declared())
        )
        self.session, self.project, self.past = session, compiled.project, past
        self.reach = node_graph(session, compiled) if past is None else NodeGraph(compiled)
        self.cards: Cards | PastCards = past or Cards(session)
        self.names = [
            name for name in (*compiled.order, *compiled.project.consumers) if session.shows(name)
        ]
        if session.visible is not None:
            self.reach = self.reach.within(session.visible)
        self._states = {**self.cards.states, **self.cards.consumer_states()}
        self._matching: frozenset[str] | None = None

    def filter(self, filters: GraphFilters) -> int | None:
        """Count on each card the nodes that match; return their number in the whole graph.

        Nothing is counted without a filter, which is None.
        """
        if filters == GraphFilters():
            return None
        self._matching = frozenset(name for name in self.names if self._matches(name, filters))
        return len(self._matching)

    def matching(self) -> frozenset[str]:
        """Return the nodes that match the filter; none without one."""
        return self._matching or frozenset()

    def _matches(self, name: str, filters: GraphFilters) -> bool:
        node = self.project.node(name)
        return (
            all(word in name.lower() for word in filters.find.lower().split())
            and filters.state in (None, self.state(name))
            and filters.owner in (None, self.cards.owner(name))
            and (filters.tag is None or (node is not None and filters.tag in node.tags))
        )

    def _count(self, names: Sequence[str]) -> int | None:
        return None if self._matching is None else sum(name in self._matching for name in names)

    def state(self, name: str) -> str:
        """Return a node's freshness, or a consumer's state."""
        return str(self._states.get(name, NEVER))

    def domain(self, name: str) -> str:
        """Return its domain; empty without one."""
        node = self.project.node(name)
        return (node.domain if node is not None else None) or ""

    def id(self, name: str) -> str:
        """Return the id of its card."""
        return f"{self.project.kind(name)}:{name}"

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
                cause=self.cards.is_cause(name),
                steps=at,
                hidden_above=0,
                hidden_below=0,
                matching=self._count([name]),
            )
            for name, at in steps.items()
        ]

    def several(
        self, card_id: str, kind: str, domain: str, names: Sequence[str], steps: int
    ) -> CardView:
        """Return one card for several nodes."""
        counted = Counter(map(str, map(self._states.get, names, repeat(NEVER))))
        causes = [name for name in names if self.cards.is_cause(name)]
        incident = (
            next(filter(None, map(self.cards.incident, causes or names)), None)
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
            cause=bool(causes),
            steps=steps,
            hidden_above=0,
            hidden_below=0,
            matching=self._count(names),
        )


def edges_between(whole: GraphOverview, card_of: Mapping[str, str]) -> list[EdgeView]:
    """Return the edges between the existing cards."""
    weights: Counter[tuple[str, str]] = Counter()
    for name, card in card_of.items():
        for parent in whole.reach.above.get(name, ()):
            if parent in card_of:
                weights[card_of[parent], card] += 1
    return weighted_edges(weights)


def weighted_edges(weights: Mapping[tuple[str, str], int]) -> list[EdgeView]:
    """Return the edges, without those within one card."""
    return [
        EdgeView(from_=source, to=target, weight=n)
        for (source, target), n in sorted(weights.items())
        if source != target
    ]
