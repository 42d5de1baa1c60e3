"""The repair of an incident, the same on its page, in the API and in messages to people."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.operations.incident_responses import IncidentRepairRow
from headrace.plan import Compiled
from headrace.store import Transaction
from headrace.store.queries.incidents import Incident

AWAITED = (CauseKind.LATE_SOURCE, CauseKind.MISSING_SOURCE)
"""Nothing that is typed ends these: somebody outside has to deliver."""


def repair_text(row: IncidentRepairRow, incident: Incident, paused: str = "") -> str | None:
    """What a person does first, when it ends by itself, or what else the command repairs; None where it
    repairs this alone. `paused` says of what ends by itself what doesn't, as it is paused."""
    if row.note is not None:
        return row.note
    if row.first is not None:
        return row.first
    if row.automatic and incident.kind in AWAITED:
        return f"Headrace goes on by itself as soon as the file comes{paused}; {incident.owner} answers for it"
    if row.automatic and incident.state == "open":
        return _of_a_place(incident, paused) or f"Headrace does it by itself{paused}"
    return f"Headrace does it by itself{paused}" if row.automatic else row.text


def _of_a_place(incident: Incident, paused: str) -> str | None:
    """Of a place that can't be read or written: who has to look at it, as Headrace does no more than try
    again. None of other causes."""
    if incident.kind == CauseKind.DESTINATION_UNAVAILABLE:
        place = f"look at where {incident.node} is written, and at the rights there"
        return f"{place}; Headrace goes on by itself as soon as it can be written{paused}"
    if incident.kind != CauseKind.SOURCE_UNAVAILABLE:
        return None
    place = f"look at the server or the folder that {incident.node} needs, for which {incident.owner} answers"
    return f"{place}; Headrace goes on by itself as soon as it can be reached{paused}"


def repair_told(tx: Transaction, compiled: Compiled, incident: Incident) -> tuple[str, list[str]] | None:
    """The repair for a message to a person, and the commands to be typed then; None where nothing is
    left to repair. What an attempt said, which may hold a value, stays on the incident's page."""
    from headrace.operations.mending import repair_of  # with all that plans: not before something is told

    row = repair_of(tx, compiled, incident)
    if row is None:
        return None
    if row.first is not None and incident.kind == CauseKind.DATA_CORRUPTED:
        return "somebody has to decide", [f"headrace incident {incident.shown}"]
    if row.text is None:
        return "", [row.command]
    if row.first is not None:
        return f"{row.text}, then", row.commands
    if row.automatic and row.note is None and incident.kind not in AWAITED:
        away = incident.kind in (CauseKind.SOURCE_UNAVAILABLE, CauseKind.DESTINATION_UNAVAILABLE)
        return f"{row.text}; {'to try it now' if away else 'at once'}", [row.command]
    return row.text, [] if row.automatic or row.note is not None else [row.command]
