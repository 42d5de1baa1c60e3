"""Which consumers an incident affects, and which incident a consumer waits for.

`evaluation` needs both. They are in this package because the package `incidents` imports it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from headrace.model import Project
from headrace.model.causes import HEADRACE, CauseKind
from headrace.model.reachability import reachable
from headrace.slo.blockage import HOLDS, Blockage, Blocked, in_repair_order
from headrace.slo.declared_promises import WHOLE, DeclaredPromises, Terms
from headrace.slo.obligations import EvaluationContext, Obligation
from headrace.store.queries.incidents import Incident, OpenIncidents

# Downstream of nodes: the assets derived from their data, directly or not, and the consumers that
# read any of them.


def still_declared(incident: Incident, project: Project) -> Incident:
    """Return an incident without affected assets and consumers that were removed since.

    A resolved incident keeps what it affected.
    """
    if incident.state == "resolved":
        return incident
    assets = tuple(name for name in incident.affected.assets if name in project.assets)
    consumers = tuple(name for name in incident.affected.consumers if name in project.consumers)
    affected = msgspec.structs.replace(incident.affected, assets=assets, consumers=consumers)
    return msgspec.structs.replace(incident, affected=affected)


class DownstreamIndex:
    """Nodes, assets and consumers downstream of each node in the applied version.

    Create it once per applied version.
    """

    def __init__(self, declared_promises: DeclaredPromises) -> None:
        self._declared_promises = declared_promises
        self._rank = {name: number for number, name in enumerate(declared_promises.nodes)}
        self._below: dict[str, list[str]] = {}
        for node in declared_promises.nodes.values():
            for spec in node.inputs:
                self._below.setdefault(spec.node, []).append(node.name)

    def assets(self, *nodes: str) -> tuple[str, ...]:
        """Return the assets downstream of any of these nodes, in topological order."""
        readers = (reader for node in nodes for reader in self._below.get(node, ()))
        below = reachable(readers, lambda name: self._below.get(name, ()))
        return tuple(sorted(below, key=self._rank.__getitem__))

    def consumers(self, *nodes: str) -> tuple[str, ...]:
        """Return the consumers that read any of these nodes or anything derived from them.

        For a consumer's export, return that consumer; for Headrace itself, all consumers.
        """
        return self.readers(nodes, self.assets(*nodes))

    def readers(self, nodes: Iterable[str], below: Iterable[str]) -> tuple[str, ...]:
        """Return the same consumers, where `below` are the known downstream nodes."""
        names = {*nodes, *below}
        return tuple(
            terms.consumer
            for terms in self._declared_promises.consumers
            if HEADRACE in names or terms.consumer in names or not names.isdisjoint(terms.reads)
        )


# The incident that a consumer waits for, or that makes its data wrong. If several hold the same
# interval, they are in the order of the delay ledger (`blockage.in_repair_order`), so that both
# name the same incident.

UNMET_ASKED = 50
"""At most this many of a consumer's unmet obligations are searched for blockers."""


def holding_incident(
    opened: OpenIncidents,
    context: EvaluationContext,
    terms: Terms,
    obligations: Sequence[Obligation],
    now_us: int,
) -> Incident | None:
    """Return the open incident that a consumer waits for; None if there is none.

    In this order: the incident that keeps the consumer late, that of the interval for which it
    became late, that of the next interval that an incident holds, one that keeps its reads from
    ever being published. If several hold the same interval, return the one that the delay ledger
    names. `obligations` are all obligations of the consumer.
    """
    mine = [incident for incident in opened.all if terms.consumer in incident.affected.consumers]
    if not mine:
        return None
    blockage, wrong = Blockage(context, now_us), _wrong(opened, mine)
    for obligation in blockage.unserved(terms, obligations)[:UNMET_ASKED]:
        holding = _holding(opened, blockage, terms, obligation.interval, wrong)
        if holding:
            return min(holding, key=_order).incident
    return _keeps_empty(opened.all, context, terms)


def _holding(
    opened: OpenIncidents,
    blockage: Blockage,
    terms: Terms,
    interval: str,
    wrong: Mapping[tuple[str, str], _Held],
) -> list[_Held]:
    """Return the incidents that hold an interval back, those of `wrong` partitions included."""
    blocked = blockage.of(terms, interval)
    blocking = _blocking(opened, blocked)
    if blocked and blocking is None:
        return []  # a wait without an incident isn't due to wrong data
    holding = [] if blocking is None else [blocking]
    if wrong:
        holding += [wrong[place] for place in blockage.above(terms, interval) if place in wrong]
    return holding


def holding_incidents(
    opened: OpenIncidents,
    context: EvaluationContext,
    terms: Terms,
    obligations: Sequence[Obligation],
    now_us: int,
) -> list[Incident]:
    """Return the open incidents that hold back anything due for a consumer, each once."""
    blockage = Blockage(context, now_us)
    due = blockage.unserved(terms, obligations)[:UNMET_ASKED]
    places = {
        (item.node, item.partition) for each in due for item in blockage.of(terms, each.interval)
    }
    held = (opened.at(node, "" if key == WHOLE else key) for node, key in sorted(places))
    return list({incident.id: incident for incident in held if incident is not None}.values())


class _Held(NamedTuple):
    """An incident that holds an interval back.

    `rank` 0: a person must act first; 1: anything else.
    """

    rank: int
    since_us: int
    incident: Incident


def _order(held: _Held) -> tuple[int, int]:
    """Return the sort key: what needs a person first, then the oldest first, as in the ledger."""
    return held.rank, held.since_us


def _blocking(opened: OpenIncidents, results: Sequence[Blocked]) -> _Held | None:
    """Return the first missing partition that has an open incident."""
    for item in in_repair_order(results):
        key = "" if item.partition == WHOLE else item.partition
        incident = opened.at(item.node, key)
        if incident is not None:
            return _Held(int(item.block not in HOLDS), item.since_us or 0, incident)
    return None


def _wrong(opened: OpenIncidents, incidents: Sequence[Incident]) -> Mapping[tuple[str, str], _Held]:
    """Return (node, partition) of wrong data that readers see, each with its incident."""
    # data computed from a file before its damage is sound
    known = {each.id: each for each in incidents if each.kind != CauseKind.DATA_CORRUPTED}
    wrong: dict[tuple[str, str], _Held] = {}
    for number, node, partition, published_us in opened.wrong if known else ():
        if number in known:
            wrong.setdefault((node, partition), _Held(0, published_us, known[number]))
    return wrong


def _keeps_empty(
    incidents: Sequence[Incident], context: EvaluationContext, terms: Terms
) -> Incident | None:
    """Return the oldest open incident of an unpublished node upstream of the consumer.

    No obligation leads to it before the first deadline, or while no interval is known.
    """
    for incident in sorted(incidents, key=lambda each: (each.began_at, each.id)):
        if (
            terms.consumer in incident.affected.consumers
            and incident.node in context.declared.nodes
            and context.facts.newest(incident.node) is None
        ):
            return incident
    return None
