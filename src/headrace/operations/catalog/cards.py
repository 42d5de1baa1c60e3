"""Nodes in short: as they are declared, and how they stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from headrace.model import Asset, Project, Source
from headrace.operations.catalog.responses import CardRow
from headrace.operations.ls import row
from headrace.operations.remembering import remembered
from headrace.operations.session import ProjectSession
from headrace.operations.standing import standing
from headrace.store import Transaction
from headrace.store.queries import incidents, partitions, pauses, quarantine

NEVER = "never"


class _Standing(msgspec.Struct, frozen=True):
    """How all nodes stand."""

    states: Mapping[str, str] = {}
    quarantined: frozenset[str] = frozenset()
    paused: frozenset[str] = frozenset()
    incidents: dict[str, str] = {}


class Cards:
    """How the nodes of a project stand at one moment; what one card needs is looked up when it is asked for."""

    def __init__(self, session: ProjectSession) -> None:
        self.project: Project = session.project()
        self._session = session
        self._standing = remembered(session, "standing", lambda: _standing(session))

    @property
    def nodes(self) -> list[Source | Asset]:
        """All sources and assets."""
        return [*self.project.sources.values(), *self.project.assets.values()]

    def state(self, name: str) -> str:
        """A node's freshness."""
        return str(self._standing.states.get(name, NEVER))

    def state_of(self, name: str) -> str:
        """The same for who asks it of very many: as the enumeration has it."""
        return self._standing.states.get(name, NEVER)

    @property
    def states(self) -> Mapping[str, str]:
        """Node → freshness, of all."""
        return self._standing.states

    def quarantined(self, name: str) -> bool:
        """Whether something of a node waits in quarantine."""
        return name in self._standing.quarantined

    def any_quarantined(self, names: Iterable[str]) -> bool:
        """The same of any of these."""
        return not self._standing.quarantined.isdisjoint(names)

    @property
    def has_incidents(self) -> bool:
        """Whether any incident is open."""
        return bool(self._standing.incidents)

    def paused(self, name: str) -> bool:
        """Whether nothing of it is started."""
        return name in self._standing.paused

    def incident(self, name: str) -> str | None:
        """The oldest open incident whose cause is at a node, or that holds a node or a consumer back."""
        return self._standing.incidents.get(name)

    def owner(self, name: str) -> str | None:
        """Who answers for it."""
        node = self.project.node(name)
        return node.owner if node is not None else None

    def consumer_states(self) -> dict[str, str]:
        """Consumer → how it is served, as `status` says it."""
        return remembered(self._session, "consumers", lambda: _consumers(self._session))

    def of(self, names: Iterable[str]) -> list[CardRow]:
        """The cards of some nodes."""
        session = self._session
        if session.store is None:
            return [self._card(name, None) for name in names]
        with session.store.read() as tx:
            return [self._card(name, tx) for name in names]

    def published(self) -> dict[str, int]:
        """Node → when its newest partition was published, in microseconds."""
        return remembered(self._session, "published", lambda: _published(self._session))

    def _card(self, name: str, tx: Transaction | None) -> CardRow:
        node = self.project.node(name)
        assert isinstance(node, Source | Asset)
        extent = partitions.extent(tx, name) if tx is not None else None
        declared = msgspec.structs.asdict(row(self.project, name))
        return CardRow(
            **declared,
            description=node.description,
            materialize=node.materialize if isinstance(node, Asset) else None,
            state=self.state(name),
            quarantined=self.quarantined(name),
            paused=self.paused(name),
            incident=self.incident(name),
            data_through=extent.newest if extent is not None and node.partition.grain is not None else None,
            published_at=self._session.instant(extent.newest_at) if extent is not None else None,
            verdict=extent.newest_verdict if extent is not None else None,
            rows=extent.newest_rows if extent is not None else None,
        )


def _standing(session: ProjectSession) -> _Standing:
    if session.store is None or session.compiled is None:
        return _Standing()
    now_us, held = session.clock.now_us(), dict[str, str]()
    with standing(session, now_us) as snapshot:
        for incident in incidents.open_ones(snapshot.tx):
            for name in (incident.node, *incident.affected.assets, *incident.affected.consumers):
                held.setdefault(name, incident.shown)
        return _Standing(
            states=snapshot.nodes.states,
            quarantined=frozenset(quarantine.nodes(snapshot.tx)),
            paused=frozenset(pause.node for pause in pauses.all_of(snapshot.tx) if pause.until is None or pause.until > now_us),
            incidents=held,
        )


def _consumers(session: ProjectSession) -> dict[str, str]:
    if session.store is None or session.compiled is None:
        return {}
    now_us = session.clock.now_us()
    with standing(session, now_us) as snapshot:
        consumers = snapshot.evaluation(session, (now_us, now_us)).status.consumers
    return {consumer.name: consumer.state.value for consumer in consumers}


def _published(session: ProjectSession) -> dict[str, int]:
    if session.store is None or session.compiled is None:
        return {}
    with standing(session, session.clock.now_us()) as snapshot:
        newest = ((name, snapshot.facts.newest(name)) for name in snapshot.context.declared.nodes)
        return {name: item.at_us for name, item in newest if item is not None}
