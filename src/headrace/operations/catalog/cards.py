"""Nodes in short: as they are declared, and how they stand."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from headrace.model import Asset, Project, Source
from headrace.observe.availability.overview import Overview
from headrace.observe.freshness import freshnesses
from headrace.observe.obligations import Scene
from headrace.operations.availability import window_began
from headrace.operations.catalog.documents import CardRow
from headrace.operations.ls import row
from headrace.operations.remembering import remembered
from headrace.operations.session import Session
from headrace.operations.status import WINDOW
from headrace.store import Transaction
from headrace.store.queries import incidents, partitions, pauses, quarantine

NEVER = "never"


class _Standing(msgspec.Struct, frozen=True):
    """How all nodes stand."""

    states: dict[str, str] = {}
    quarantined: frozenset[str] = frozenset()
    paused: frozenset[str] = frozenset()
    incidents: dict[str, str] = {}


class Cards:
    """How the nodes of a project stand at one moment; what one card needs is looked up when it is asked for."""

    def __init__(self, session: Session) -> None:
        self.project: Project = session.project()
        self._session = session
        self._standing = remembered(session, "standing", lambda: _standing(session))

    @property
    def nodes(self) -> list[Source | Asset]:
        """All sources and assets."""
        return [*self.project.sources.values(), *self.project.assets.values()]

    def state(self, name: str) -> str:
        """A node's freshness."""
        return self._standing.states.get(name, NEVER)

    def quarantined(self, name: str) -> bool:
        """Whether something of a node waits in quarantine."""
        return name in self._standing.quarantined

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
        return remembered(self._session, "published", lambda: _published(self._session, [node.name for node in self.nodes]))

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


def _standing(session: Session) -> _Standing:
    if session.store is None or session.compiled is None:
        return _Standing()
    now_us, held = session.clock.now_us(), dict[str, str]()
    with session.world() as (tx, world):
        states = freshnesses(Scene(session.watched, world), now_us)
        for one in incidents.open_ones(tx):
            for name in (one.node, *one.affected.assets, *one.affected.consumers):
                held.setdefault(name, one.shown)
        return _Standing(
            states={name: str(state) for name, state in states.items()},
            quarantined=frozenset(quarantine.nodes(tx)),
            paused=frozenset(one.node for one in pauses.all_of(tx) if one.until is None or one.until > now_us),
            incidents=held,
        )


def _consumers(session: Session) -> dict[str, str]:
    if session.store is None or session.compiled is None:
        return {}
    now_us = session.clock.now_us()
    window = (window_began(WINDOW, now_us, session.timezone), now_us)
    with session.world() as (tx, world):
        found = Overview(tx, session.compiled, session.watched, world, window).status()
    return {one.name: one.state.value for one in found.consumers}


def _published(session: Session, names: list[str]) -> dict[str, int]:
    if session.store is None:
        return {}
    with session.store.read() as tx:
        return {name: extent.newest_at for name in names if (extent := partitions.extent(tx, name)) is not None}
