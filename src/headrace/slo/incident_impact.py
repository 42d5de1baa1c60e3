"""Which consumers an incident affects, and which incident a consumer waits for.

`evaluation` needs both. They stay below the package `incidents`, which imports this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from headrace.model import Project
from headrace.model.causes import HEADRACE, CauseKind
from headrace.slo.blockage import HOLDS, Blockage, Blocked, in_repair_order
from headrace.slo.declared_promises import WHOLE, DeclaredPromises, Terms
from headrace.slo.obligations import EvaluationContext, Obligation
from headrace.store.queries import incidents as stored
from headrace.store.queries import publications
from headrace.store.queries.incidents import Incident
from headrace.store.transaction import Transaction

# Downstream of nodes: the assets made from their data, directly or not, and the consumers that
# read any of them.


def still_declared(incident: Incident, project: Project) -> Incident:
    """An open incident that affects nothing that was removed from the project since. A resolved one keeps
    what it affected."""
    if incident.state == "resolved":
        return incident
    assets = tuple(name for name in incident.affected.assets if name in project.assets)
    consumers = tuple(name for name in incident.affected.consumers if name in project.consumers)
    affected = msgspec.structs.replace(incident.affected, assets=assets, consumers=consumers)
    return msgspec.structs.replace(incident, affected=affected)


class DownstreamIndex:
    """Downstream of nodes, as applied. Keep it as long as that is."""

    def __init__(self, declared_promises: DeclaredPromises) -> None:
        self._declared_promises = declared_promises
        self._rank = {name: number for number, name in enumerate(declared_promises.nodes)}
        self._below: dict[str, list[str]] = {}
        for node in declared_promises.nodes.values():
            for spec in node.inputs:
                self._below.setdefault(spec.node, []).append(node.name)

    def assets(self, *nodes: str) -> tuple[str, ...]:
        """The assets below any of these nodes, in topological order."""
        results, waiting = set[str](), list(nodes)
        while waiting:
            for name in self._below.get(waiting.pop(), ()):
                if name not in results:
                    results.add(name)
                    waiting.append(name)
        return tuple(sorted(results, key=self._rank.__getitem__))

    def consumers(self, *nodes: str) -> tuple[str, ...]:
        """The consumers that read any of these nodes or what is made of it; of a consumer's export, that consumer; of
        Headrace itself, all."""
        return self.readers(nodes, self.assets(*nodes))

    def readers(self, nodes: Iterable[str], below: Iterable[str]) -> tuple[str, ...]:
        """The same where what is below the nodes is known."""
        names = {*nodes, *below}
        return tuple(
            terms.consumer
            for terms in self._declared_promises.consumers
            if HEADRACE in names or terms.consumer in names or not names.isdisjoint(terms.reads)
        )


# The incident that a consumer waits for, or that makes its data wrong. Of several at one interval
# the order is that of the delay ledger (`blockage.in_repair_order`), so that both name the same
# incident.

UNMET_ASKED = 50
"""So many of a consumer's unmet obligations are asked what they wait for."""


def holding_incident(
    tx: Transaction, context: EvaluationContext, terms: Terms, obligations: Sequence[Obligation], now_us: int
) -> Incident | None:
    """The open incident that keeps a consumer late, else that of the interval for which it became late, else the next
    interval that one holds, else one that keeps what it reads from ever being published. Of several
    at one interval it is the one that its delay ledger names. `found` are all its obligations."""
    opened = stored.open_incidents(tx)
    mine = [incident for incident in opened if terms.consumer in incident.affected.consumers]
    if not mine:
        return None
    blockage, wrong = Blockage(context, now_us), _wrong(tx, mine)
    for obligation in blockage.unserved(terms, obligations)[:UNMET_ASKED]:
        blocked = blockage.of(terms, obligation.interval)
        held = [_blocking(tx, blocked)]
        if wrong and (held[0] is not None or not blocked):  # a wait without an incident isn't due to wrong data
            above = (wrong.get(place) for place in blockage.above(terms, obligation.interval))
            held.append(min((each for each in above if each is not None), key=_order, default=None))
        first = min((each for each in held if each is not None), key=_order, default=None)
        if first is not None:
            return first.incident
    return _keeps_empty(opened, context, terms)


def holding_incidents(
    tx: Transaction, context: EvaluationContext, terms: Terms, obligations: Sequence[Obligation], now_us: int
) -> list[Incident]:
    """The open incidents that hold back anything that is due of a consumer, each once."""
    blockage = Blockage(context, now_us)
    due = blockage.unserved(terms, obligations)[:UNMET_ASKED]
    places = {(item.node, item.partition) for each in due for item in blockage.of(terms, each.interval)}
    held = (stored.open_at(tx, node, "" if key == WHOLE else key) for node, key in sorted(places))
    return list({incident.id: incident for incident in held if incident is not None}.values())


class _Held(NamedTuple):
    """What holds an interval back: `rank` 0 waits to be mended, 1 for anything else."""

    rank: int
    since_us: int
    incident: Incident


def _order(held: _Held) -> tuple[int, int]:
    """What waits to be mended first, then what began first: as the ledger has it."""
    return held.rank, held.since_us


def _blocking(tx: Transaction, results: Sequence[Blocked]) -> _Held | None:
    """The first of what isn't there, and of which an incident is open."""
    for item in in_repair_order(results):
        key = "" if item.partition == WHOLE else item.partition
        incident = stored.open_at(tx, item.node, key)
        if incident is not None:
            return _Held(int(item.block not in HOLDS), item.since_us or 0, incident)
    return None


def _wrong(tx: Transaction, incidents: Sequence[Incident]) -> Mapping[tuple[str, str], _Held]:
    """Node and partition of what readers see and incidents make wrong, each with its incident."""
    wrong: dict[tuple[str, str], _Held] = {}
    for incident in incidents:
        if incident.kind == CauseKind.DATA_CORRUPTED:
            continue  # what was computed before from a file that was damaged since is sound
        for place in stored.wrong_keys(tx, incident.id):
            if (publication := publications.current(tx, *place)) is not None:
                wrong.setdefault(place, _Held(0, publication.published_at, incident))
    return wrong


def _keeps_empty(incidents: Sequence[Incident], context: EvaluationContext, terms: Terms) -> Incident | None:
    """The oldest open incident of a node above the consumer of which nothing was ever published: before the first
    deadline, and where no interval is known yet, no obligation leads to it."""
    for incident in sorted(incidents, key=lambda each: (each.began_at, each.id)):
        if (
            terms.consumer in incident.affected.consumers
            and incident.node in context.declared.nodes
            and context.facts.newest(incident.node) is None
        ):
            return incident
    return None
