"""Which incidents one repair ends: a renamed column and its other values are decided by one command."""

from __future__ import annotations

from collections.abc import Collection

from headrace.observe.diagnosis.causes import CauseKind
from headrace.quality.value_changes import ValueDifferenceKind
from headrace.store import Transaction
from headrace.store.queries import drift
from headrace.store.queries import incidents as stored
from headrace.store.queries.incidents import Incident

_DECIDED = (CauseKind.SCHEMA_CHANGE, CauseKind.DISTRIBUTION_SHIFT)
_OF_VALUES = (ValueDifferenceKind.SCALE, ValueDifferenceKind.SIGN)


def repaired_together(tx: Transaction, incident: Incident, accepting: str, reread: Collection[str]) -> tuple[str, ...]:
    """The open incidents, this one among them, that are over once the names in its source's delivery of the partition `accepting` are
    accepted with a decision about their values, and the partitions `reread` are ingested again; none where that ends no other one."""
    beside = [item for item in stored.open_ones(tx) if item.node == incident.node and item.kind in _DECIDED and item.columns]
    if len(beside) < 2:
        return ()
    from headrace.operations.renaming import proposed  # it loads the SQL parser

    mappings = proposed(tx, incident.node, drift.newest_drift(tx, incident.node, accepting))
    decided = {
        CauseKind.SCHEMA_CHANGE: {mapping.column for mapping in mappings},
        CauseKind.DISTRIBUTION_SHIFT: {mapping.column for mapping in mappings if any(each.kind in _OF_VALUES for each in mapping.differs)},
    }
    results = {
        item.id: item.shown
        for item in stored.open_ones(tx)
        if (item.node, item.state) == (incident.node, "open")
        and item.columns
        and set(item.columns) <= decided.get(CauseKind(item.kind), set())
        and set(item.affected.partitions) <= set(reread)
    }
    return tuple(results.values()) if incident.id in results and len(results) > 1 else ()
