"""What waits in quarantine because of an incident; read without what decides about it."""

from __future__ import annotations

from headrace.model.required import WHOLE
from headrace.store import Transaction
from headrace.store.queries import drift, incidents, quarantine
from headrace.store.queries.incidents import Incident
from headrace.store.queries.quarantine import Quarantined


def waiting_for(tx: Transaction, incident: Incident) -> list[Quarantined]:
    """What waits at the partitions that an incident is seen at, by node and partition."""
    seen = {(node, key or WHOLE) for node, key in incidents.partitions_of(tx, incident.id)}
    nodes = sorted({node for node, _ in seen})
    results = [row for node in nodes for row in quarantine.waiting(tx, node=node)]
    return [row for row in results if (row.node, row.partition) in seen]


def decided_together(tx: Transaction, incident: Incident, word: str) -> list[Quarantined]:
    """What one decision (`accept`, `drop`) about an incident is about: of deliveries whose columns have new names these are decided
    before, one after the other, since a column would be empty in all of their rows."""
    rows = waiting_for(tx, incident)
    return [row for row in rows if word != "accept" or not drift.renames_wait(tx, row.node, row.partition)]
