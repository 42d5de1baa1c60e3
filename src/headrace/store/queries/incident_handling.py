"""Who handles an incident, and its ticket: the last lines of its timeline that set them.

The lines that mute an incident are of its handling, too (`incident_mutes`).
"""

from __future__ import annotations

from typing import NamedTuple

from headrace.store.transaction import Transaction


class HandlingPart(NamedTuple):
    """A part of the handling as a line of the timeline: its act, and its text with a value.

    An erasure overwrites the lines of the timeline that quote an erased value. The audit entry of
    the command has the value, too, and stays as it is: the audit trail is append-only.
    """

    act: str
    prefix: str
    removed: str
    """The line's text if the value was removed."""

    def line(self, value: str | None) -> str:
        """Return the text of the line that sets a value, or removes it."""
        return self.removed if value is None else f"{self.prefix}{value}"

    def value(self, line: str) -> str | None:
        """Return the value that a line sets; None if it removes it."""
        return line.removeprefix(self.prefix) if line.startswith(self.prefix) else None


ASSIGNEE = HandlingPart("assignee", "assigned to ", "assignment removed")
TICKET = HandlingPart("ticket", "ticket: ", "link to the ticket removed")
_SET = (ASSIGNEE.act, TICKET.act)
MUTE = "mute:"
"""Prefix of the act of a line that mutes an incident; the end in microseconds follows, if any.

The reason follows the first `: ` of the line.
"""
UNMUTED = "unmuted"
"""Act, and beginning, of a line that ends a mute."""
IS_HANDLING = f"(act in ('{ASSIGNEE.act}', '{TICKET.act}', '{UNMUTED}') or act like '{MUTE}%')"
"""SQL condition: a line of the timeline is about the handling."""


def is_handling(act: str) -> bool:
    """Return whether an act is about the handling. It repairs nothing."""
    return act in (*_SET, UNMUTED) or act.startswith(MUTE)


class Handling(NamedTuple):
    """Who handles an incident, and the address of its ticket; None where it isn't set."""

    assignee: str | None
    ticket: str | None


def handling_of(tx: Transaction, number: int) -> Handling:
    """Return an incident's handling."""
    rows = tx.execute(
        "select act, what from incident_event where id in (select max(id) from incident_event where"
        " incident_id = ? and act in (?, ?) group by act)",
        (number, *_SET),
    )
    last = {str(act): str(what) for act, what in rows}
    return Handling(
        ASSIGNEE.value(last.get(ASSIGNEE.act, "")), TICKET.value(last.get(TICKET.act, ""))
    )
