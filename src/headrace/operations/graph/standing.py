"""How everything in the graph stands: nodes and consumers, with the incidents that hold them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from headrace.model import Project
from headrace.operations.catalog.cards import Cards
from headrace.operations.catalog.documents import CountedRow
from headrace.operations.catalog.reach import Reach
from headrace.operations.graph.documents import CardView
from headrace.operations.remembering import remembered
from headrace.operations.session import Session, usable


class Whole:
    """The whole graph of what is applied (or declared, before that) and its cards."""

    def __init__(self, session: Session) -> None:
        compiled = session.compiled if session.compiled is not None else usable(session.declared())
        self.session, self.project = session, compiled.project
        self.reach = remembered(session, "reach", lambda: Reach(compiled.project, compiled))
        self.cards = Cards(session)
        self.names = [*compiled.order, *compiled.project.consumers]
        self._consumers = self.cards.consumer_states()

    def state(self, name: str) -> str:
        """A node's freshness, or a consumer's state."""
        return self._consumers.get(name, "never") if name in self.project.consumers else self.cards.state(name)

    def domain(self, name: str) -> str:
        """Its domain; empty for one of none."""
        return domain_of(self.project, name)

    def id(self, name: str) -> str:
        """Its card's."""
        kind = "consumer" if name in self.project.consumers else "source" if name in self.project.sources else "asset"
        return f"{kind}:{name}"

    def each(self, steps: dict[str, int]) -> list[CardView]:
        """Cards of their own for some names, with how many steps each is from the root."""
        nodes = {row.name: row for row in self.cards.of(name for name in steps if name not in self.project.consumers)}
        return [
            CardView(
                id=self.id(name), kind=self.id(name).partition(":")[0], name=name, state=self.state(name), states=[], count=1,
                owner=self.cards.owner(name), domain=self.domain(name) or None,
                data_through=nodes[name].data_through if name in nodes else None,
                quarantined=name in nodes and nodes[name].quarantined, paused=self.cards.paused(name),
                incident=self.cards.incident(name), steps=at, hidden_above=0, hidden_below=0,
            )
            for name, at in steps.items()
        ]  # fmt: skip

    def several(self, card_id: str, kind: str, domain: str, names: Iterable[str], steps: int) -> CardView:
        """One card for many."""
        names = list(names)
        counted = Counter(self.state(name) for name in names)
        incident = next((found for name in names if (found := self.cards.incident(name)) is not None), None)
        return CardView(
            id=card_id, kind=kind, name=domain, state=None, states=[CountedRow(value=v, count=n) for v, n in counted.most_common()],
            count=len(names), owner=None, domain=domain or None, data_through=None, quarantined=any(map(self.cards.quarantined, names)),
            paused=False, incident=incident, steps=steps, hidden_above=0, hidden_below=0,
        )  # fmt: skip


def domain_of(project: Project, name: str) -> str:
    """The domain that a node or a consumer is declared in; empty for none."""
    node = project.node(name)
    return (node.domain if node is not None else None) or ""
