"""What messages about an incident, and weekly digests, say of repairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.model.causes import CauseKind
from headrace.model.plugins import WEEKLY, functions
from headrace.plan import Compiled
from headrace.repairs.repair_texts import AWAITED, AWAY
from headrace.responses.incidents import (
    IncidentRepairRow,
)
from headrace.store import Transaction
from headrace.store.clock import last_written
from headrace.store.queries.incidents import (
    Incident,
)

if TYPE_CHECKING:
    from headrace.incidents.digest import DigestAudience


def weekly_lines(
    tx: Transaction, compiled: Compiled, audience: DigestAudience, until_us: int, now_us: int
) -> list[str]:
    """Return the weekly section of a digest that is due at a time, in microseconds.

    Installed packages have its parts.
    """
    sections = functions(WEEKLY)
    return [line for each in sections for line in each(tx, compiled, audience, until_us, now_us)]


def repair_message(
    tx: Transaction, compiled: Compiled, incident: Incident
) -> tuple[str, list[str]] | None:
    """Return the repair's text and commands for a notification; None if nothing is left to repair.

    Messages of attempts may contain values of the data; they stay on the incident's page.
    """
    from headrace.repairs.repair_actions import (
        repair_of,
    )  # imports all planning code: only if there is something to notify
    from headrace.repairs.repair_forecast import RepairForecast

    row = repair_of(tx, compiled, incident, RepairForecast(tx, compiled, last_written(tx)))
    if row is None:
        return None
    if row.first is not None and incident.kind == CauseKind.DATA_CORRUPTED:
        return "a person has to decide", [f"headrace incident {incident.label}"]
    if row.text is None:
        return "", row.commands[:1]
    if row.first is not None:
        return f"{row.text}, then", row.commands
    return _without_a_person(incident, row, row.text)


def _without_a_person(
    incident: Incident, row: IncidentRepairRow, text: str
) -> tuple[str, list[str]]:
    """Return the text of a repair before which nobody has to act, and its commands."""
    if not row.automatic:
        return text, [] if row.note is not None else row.commands[:1]
    if row.note is not None or incident.state == "recovering" or incident.kind in AWAITED:
        return text, []
    return f"{text}; {'to try it now' if incident.kind in AWAY else 'at once'}", row.commands[:1]
