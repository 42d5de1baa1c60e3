"""The repair of deliveries with renamed columns."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.model import Asset, Project, Source
from headrace.model.causes import CauseKind
from headrace.model.partitions import command_line
from headrace.plan.backfills import Mode
from headrace.repairs.incident_partitions import places_of
from headrace.repairs.repair_steps import Mending, RepairAction, with_backfill
from headrace.store import Transaction
from headrace.store.queries import incidents as stored
from headrace.store.queries.incidents import Incident


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
    if (names := _renaming(tx, incident)) is not None:
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
