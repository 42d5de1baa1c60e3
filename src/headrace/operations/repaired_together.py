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
    beside = [one for one in stored.open_ones(tx) if one.node == incident.node and one.kind in _DECIDED and one.columns]
    if len(beside) < 2:
        return ()
    from headrace.operations.renaming import proposed  # it loads the SQL parser

    mappings = proposed(tx, incident.node, drift.newest_drift(tx, incident.node, accepting))
    decided = {
        CauseKind.SCHEMA_CHANGE: {one.column for one in mappings},
        CauseKind.DISTRIBUTION_SHIFT: {one.column for one in mappings if any(each.kind in _OF_VALUES for each in one.differs)},
    }
    found = {
        one.id: one.shown
        for one in stored.open_ones(tx)
        if (one.node, one.state) == (incident.node, "open")
        and one.columns
        and set(one.columns) <= decided.get(CauseKind(one.kind), set())
        and set(one.affected.partitions) <= set(reread)
    }
    return tuple(found.values()) if incident.id in found and len(found) > 1 else ()
