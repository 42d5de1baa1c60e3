"""Cards: a node's declaration and state in short."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from headrace.extension import node_row
from headrace.model import (
    Asset,
    Project,
    Source,
)
from headrace.project.caches import cached
from headrace.project.session import ProjectSession
from headrace.project.snapshots import project_state
from headrace.store import Transaction
from headrace.store.queries import (
    incidents,
    partition_states,
    quarantine,
    scheduling,
)
from headrace_ui.responses.catalog import CardRow

NEVER = "never"


class _NodeStates(msgspec.Struct, frozen=True):
    """The state of all nodes."""

    states: Mapping[str, str] = {}
    quarantined: frozenset[str] = frozenset()
    paused: frozenset[str] = frozenset()
    incidents: dict[str, str] = {}
    causes: frozenset[str] = frozenset()


class Cards:
    """The state of a project's nodes at one point in time.

    Details of a card are loaded on request.
    """

    def __init__(self, session: ProjectSession) -> None:
        self.project: Project = session.project()
        self._session = session
        self._current = cached(session, "standing", lambda: _node_states(session))

    @property
    def nodes(self) -> list[Source | Asset]:
        """All sources and assets."""
        return [*self.project.sources.values(), *self.project.assets.values()]

    def state(self, name: str) -> str:
        """Return a node's freshness as a plain string."""
        return str(self._current.states.get(name, NEVER))

    def state_of(self, name: str) -> str:
        """Return a node's freshness as stored (an enumeration's member); faster for many nodes."""
        return self._current.states.get(name, NEVER)

    @property
    def states(self) -> Mapping[str, str]:
        """Freshness of all nodes, by name."""
        return self._current.states

    def quarantined(self, name: str) -> bool:
        """Whether a node has quarantined data."""
        return name in self._current.quarantined

    def any_quarantined(self, names: Iterable[str]) -> bool:
        """Whether any of the nodes has quarantined data."""
        return not self._current.quarantined.isdisjoint(names)

    @property
    def has_incidents(self) -> bool:
        """Whether any incident is open."""
        return bool(self._current.incidents)

    def paused(self, name: str) -> bool:
        """Whether the node is paused."""
        return name in self._current.paused

    def incident(self, name: str) -> str | None:
        """Return the oldest open incident of a node's own, or else the oldest that affects it.

        None if there is none.
        """
        return self._current.incidents.get(name)

    def is_cause(self, name: str) -> bool:
        """Whether an open incident has its cause at the node."""
        return name in self._current.causes

    def owner(self, name: str) -> str | None:
        """Return the node's owner."""
        node = self.project.node(name)
        return node.owner if node is not None else None

    def consumer_states(self) -> dict[str, str]:
        """Return the state of each consumer, as in `status`."""
        return cached(self._session, "consumers", lambda: _consumers(self._session))

    def of(self, names: Iterable[str]) -> list[CardRow]:
        """Return the cards of some nodes."""
        session = self._session
        if session.store is None:
            return [self._card(name, None) for name in names]
        with session.store.read() as tx:
            return [self._card(name, tx) for name in names]

    def published(self) -> dict[str, int]:
        """Return when each node's newest partition was published, in µs since 1970 UTC."""
        return cached(self._session, "published", lambda: _published(self._session))

    def _card(self, name: str, tx: Transaction | None) -> CardRow:
        node = self.project.node(name)
        assert isinstance(node, Source | Asset)
        extent = partition_states.extent(tx, name) if tx is not None else None
        declared = msgspec.structs.asdict(node_row(self.project, name))
        return CardRow(
            **declared,
            description=node.description,
            materialize=node.materialize if isinstance(node, Asset) else None,
            state=self.state(name),
            quarantined=self.quarantined(name),
            paused=self.paused(name),
            incident=self.incident(name),
            data_through=extent.newest
            if extent is not None and node.partition.grain is not None
            else None,
            published_at=self._session.instant(extent.newest_at) if extent is not None else None,
            verdict=extent.newest_verdict if extent is not None else None,
            rows=extent.newest_rows if extent is not None else None,
        )


def _node_states(session: ProjectSession) -> _NodeStates:
    if session.store is None or session.compiled is None:
        return _NodeStates()
    now_us, held = session.clock.now_us(), dict[str, str]()
    with project_state(session, now_us) as snapshot:
        current = list(incidents.open_incidents(snapshot.tx))
        for incident in current:  # a node's own cause before what holds it up
            held.setdefault(incident.node, incident.label)
        for incident in current:
            for name in (*incident.affected.assets, *incident.affected.consumers):
                held.setdefault(name, incident.label)
        return _NodeStates(
            states=snapshot.nodes.states,
            quarantined=frozenset(quarantine.nodes(snapshot.tx)),
            paused=frozenset(
                pause.node
                for pause in scheduling.all_pauses(snapshot.tx)
                if pause.until is None or pause.until > now_us
            ),
            incidents=held,
            causes=frozenset(incident.node for incident in current),
        )


def _consumers(session: ProjectSession) -> dict[str, str]:
    if session.store is None or session.compiled is None:
        return {}
    now_us = session.clock.now_us()
    with project_state(session, now_us) as snapshot:
        consumers = snapshot.evaluation(session, (now_us, now_us)).status.consumers
    return {consumer.name: consumer.state.value for consumer in consumers}


def _published(session: ProjectSession) -> dict[str, int]:
    if session.store is None or session.compiled is None:
        return {}
    with project_state(session, session.clock.now_us()) as snapshot:
        newest = ((name, snapshot.facts.newest(name)) for name in snapshot.context.declared.nodes)
        return {name: item.at_us for name, item in newest if item is not None}
