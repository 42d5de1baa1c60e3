"""The text of an incident's repair, the same on its page, in the API and in notifications."""

from __future__ import annotations

from headrace.model.causes import CauseKind
from headrace.responses.incidents import IncidentRepairRow
from headrace.store.queries.incidents import Incident

AWAITED = (CauseKind.LATE_SOURCE, CauseKind.MISSING_SOURCE)
"""Causes that no command ends: a file from outside must arrive."""
AWAY = (CauseKind.SOURCE_UNAVAILABLE, CauseKind.DESTINATION_UNAVAILABLE)
"""Causes that Headrace only tries again: somebody examines a server or a folder."""


def repair_text(row: IncidentRepairRow, incident: Incident, paused: str = "") -> str | None:
    """Return what a person must do first, or how the incident ends; None if the command suffices.

    `paused` is appended to automatic endings: it names the paused nodes, for which they don't
    happen, and says when the others are expected.
    """
    if row.note is not None:
        return row.note
    if row.first is not None:
        return row.first
    if row.automatic and incident.kind in AWAITED and incident.state == "open":
        return (
            f"Headrace goes on by itself as soon as the file comes{paused}; {incident.owner}"
            " answers for it"
        )
    if row.automatic and incident.state == "open":
        return _of_a_place(incident, paused) or f"Headrace does it by itself{paused}"
    return f"Headrace does it by itself{paused}" if row.automatic else None


def _of_a_place(incident: Incident, paused: str) -> str | None:
    """Return who must examine a location that can't be read or written; None for other causes.

    Headrace itself only retries.
    """
    if incident.kind == CauseKind.DESTINATION_UNAVAILABLE:
        place = f"look at where {incident.node} is written, and at the rights there"
        return f"{place}; Headrace goes on by itself as soon as it can be written{paused}"
    if incident.kind != CauseKind.SOURCE_UNAVAILABLE:
        return None
    place = (
        f"look at the server or the folder that {incident.node} needs, for which {incident.owner}"
        " answers"
    )
    return f"{place}; Headrace goes on by itself as soon as it can be reached{paused}"
