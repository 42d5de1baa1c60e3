"""How everything in the graph stands: nodes and consumers, with the incidents that hold them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import repeat

from headrace.operations.catalog.cards import NEVER, Cards
from headrace.operations.catalog.reach import reach_of
from headrace.operations.catalog.responses import CountedRow
from headrace.operations.graph.responses import CardView
from headrace.operations.remembering import of_version
from headrace.operations.session import ProjectSession, usable

WORST_FIRST = ("wrong", "late", "stale", "behind", "at_risk", "never", "unknown", "fresh", "served")
"""States of nodes and consumers, those that need somebody first."""


class GraphOverview:
    """The whole graph of what is applied (or declared, before that) and its cards."""

    def __init__(self, session: ProjectSession) -> None:
        compiled = session.compiled if session.compiled is not None else usable(session.declared())
        self.session, self.project = session, compiled.project
        self.reach = reach_of(session, compiled)
        self.cards = Cards(session)
        self.names = [*compiled.order, *compiled.project.consumers]
        self._states = {**self.cards.states, **self.cards.consumer_states()}

    def state(self, name: str) -> str:
        """A node's freshness, or a consumer's state."""
        return str(self._states.get(name, NEVER))

    def domain(self, name: str) -> str:
        """Its domain; empty for one of none."""
        node = self.project.node(name)
        return (node.domain if node is not None else None) or ""

    def id(self, name: str) -> str:
        """Its card's."""
        kind = "consumer" if name in self.project.consumers else "source" if name in self.project.sources else "asset"
        return f"{kind}:{name}"

    def each(self, steps: dict[str, int]) -> list[CardView]:
        """Cards of their own for some names, with how many steps each is from the root."""
        nodes = {row.name: row for row in self.cards.of(name for name in steps if name not in self.project.consumers)}
        return [
            CardView(
                id=self.id(name), kind=self.id(name).partition(":")[0], name=name, state=self.state(name), worst=self.state(name),
                states=[], count=1,
                owner=self.cards.owner(name), domain=self.domain(name) or None,
                data_through=nodes[name].data_through if name in nodes else None,
                quarantined=name in nodes and nodes[name].quarantined, paused=self.cards.paused(name),
                incident=self.cards.incident(name), steps=at, hidden_above=0, hidden_below=0,
            )
            for name, at in steps.items()
        ]  # fmt: skip

    def several(self, card_id: str, kind: str, domain: str, names: Sequence[str], steps: int) -> CardView:
        """One card for many."""
        counted = Counter(map(str, map(self._states.get, names, repeat(NEVER))))
        incident = next(filter(None, map(self.cards.incident, names)), None) if self.cards.has_incidents else None
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
    """The nodes of each domain, and how many edges go from one domain to another."""

    def __init__(self, whole: GraphOverview) -> None:
        domain_of = {name: whole.domain(name) for name in whole.names}
        self.names: dict[str, list[str]] = {}
        self.edges: Counter[tuple[str, str]] = Counter()
        for name, domain in domain_of.items():
            self.names.setdefault(domain, []).append(name)
            self.edges.update((domain_of[parent], domain) for parent in whole.reach.above.get(name, ()) if parent in domain_of)


def domains_of(whole: GraphOverview) -> Domains:
    """Those of what is applied, kept as long as it is."""
    session = whole.session
    return Domains(whole) if session.version is None else of_version(session, "domains", lambda: Domains(whole))
