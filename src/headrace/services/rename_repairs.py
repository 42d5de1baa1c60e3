"""The repair of deliveries with renamed columns: one decision may end several incidents."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from headrace.checks.facts import ValueDifferenceKind
from headrace.model import Asset, Project, Source
from headrace.model.causes import CauseKind
from headrace.model.partitions import command_line
from headrace.plan.backfills import Mode
from headrace.services.incident_partitions import places_of
from headrace.services.repair_steps import Mending, RepairAction, with_backfill
from headrace.store import Transaction
from headrace.store.queries import incidents as stored
from headrace.store.queries import quality
from headrace.store.queries.incidents import Incident

_DECIDED = (CauseKind.SCHEMA_CHANGE, CauseKind.DISTRIBUTION_SHIFT)
"""Causes that one command decides: renamed columns and their changed values."""
_OF_VALUES = (ValueDifferenceKind.SCALE, ValueDifferenceKind.SIGN)


def repaired_together(
    tx: Transaction, incident: Incident, accepting: str, reread: Collection[str]
) -> tuple[str, ...]:
    """Return the open incidents that one decision about renames and values ends, including this.

    The decision is about the source's delivery of the partition `accepting`; the partitions
    `reread` are then re-ingested. Empty if it ends no other incident.
    """
    beside = [
        item
        for item in stored.open_incidents(tx)
        if item.node == incident.node and item.kind in _DECIDED and item.columns
    ]
    if len(beside) < 2:
        return ()
    decided = _decided_columns(tx, incident.node, accepting)
    results = {
        item.id: item.label
        for item in stored.open_incidents(tx)
        if (item.node, item.state) == (incident.node, "open")
        and item.columns
        and set(item.columns) <= decided.get(CauseKind(item.kind), set())
        and set(item.affected.partitions) <= set(reread)
    }
    return tuple(results.values()) if incident.id in results and len(results) > 1 else ()


def _decided_columns(tx: Transaction, source: str, key: str) -> dict[CauseKind, set[str]]:
    """Return the columns that accepting the proposed renames decides, by cause."""
    from headrace.services.renames import proposed_renames  # imports the SQL parser

    mappings = proposed_renames(tx, source, quality.newest_drift(tx, source, key))
    with_other_values = {
        mapping.column
        for mapping in mappings
        if any(difference.kind in _OF_VALUES for difference in mapping.differs)
    }
    return {
        CauseKind.SCHEMA_CHANGE: {mapping.column for mapping in mappings},
        CauseKind.DISTRIBUTION_SHIFT: with_other_values,
    }


def of_renamed(
    tx: Transaction,
    project: Project,
    incident: Incident,
    node: Source | Asset,
    renamed: Sequence[str],
) -> Mending:
    """Return the repair of deliveries with undecided renames.

    It accepts the renames if these are the incident's cause; otherwise a person asks the owner for
    other data.
    """
    together = repaired_together(tx, incident, renamed[0], renamed)
    if not together and (names := _renaming(tx, incident)) is not None:
        asked = (
            f"ask {node.owner} for the data as it was agreed: {names.label} only accepts its new"
            " names"
        )
        return Mending(first=asked, commands=(command_line("tick"),))
    result = with_backfill(project, incident, Mode.MISSING)
    return msgspec.structs.replace(
        result,
        acts=(RepairAction.MAP, *result.acts),
        accepting=f"{node.name}@{renamed[0]}",
        reread=tuple(renamed),
        together=together,
    )


def _renaming(tx: Transaction, incident: Incident) -> Incident | None:
    """Return the other incident whose repair accepts the renames of the same deliveries."""
    if incident.kind == CauseKind.SCHEMA_CHANGE:
        return None
    places = set(places_of(tx, incident))
    others = (
        item
        for item in stored.open_incidents(tx)
        if (item.kind, item.node) == (CauseKind.SCHEMA_CHANGE, incident.node)
    )
    return next((incident for incident in others if places <= set(places_of(tx, incident))), None)
