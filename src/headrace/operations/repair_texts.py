"""The repair of an incident in one sentence, the same on its page and in messages to people."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.operations.incident_documents import IncidentRepairRow
from headrace.plan import Compiled
from headrace.store import Transaction
from headrace.store.queries.incidents import Incident


def repair_text(row: IncidentRepairRow) -> str | None:
    """What a person does first and the commands then, or when it ends by itself; None where the command alone repairs it."""
    if row.note is not None:
        return row.note
    if row.first is not None:
        return ", then ".join([row.first, *row.commands])
    return "Headrace does it by itself" if row.automatic else None


def repair_told(tx: Transaction, compiled: Compiled, incident: Incident) -> str | None:
    """The repair for a message to a person; None where nothing is left to repair. What an attempt
    said, which may hold a value, stays on the incident's page."""
    from headrace.operations.mending import repair_of  # with all that plans: not before something is told

    row = repair_of(tx, compiled, incident)
    if row is None:
        return None
    if row.first is not None and incident.kind == CauseKind.DATA_CORRUPTED:
        return f"somebody has to decide: headrace incident {incident.shown}"
    text = repair_text(row)
    return row.command if text is None else f"{text}; at once: {row.command}" if row.automatic and row.note is None else text
