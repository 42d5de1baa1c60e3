"""`incidents assign` and `ticket`: who handles an incident, and where it is discussed.

Both are lines of the incident's timeline and entries of the audit trail. They change no state.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from headrace.access.permissions import OPERATE, command
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import leader_command
from headrace.model import UsageError
from headrace.project.parameters import Argument, IncidentId
from headrace.project.session import Progress, ProjectSession
from headrace.repairs.incident_rows import number_of
from headrace.responses.incidents import IncidentRow
from headrace.security.audit import Action
from headrace.services.incident_records import Addition, add_to_incident
from headrace.store import Transaction
from headrace.store.queries.incident_handling import ASSIGNEE, TICKET, HandlingPart, handling_of

PERSON_MAX = 100
URL_MAX = 500


@command(
    "incidents assign",
    OPERATE,
    http="POST /incidents/{incident}/assign do_assign",
    session="assign",
)
def assign(
    session: ProjectSession,
    incident: IncidentId,
    *,
    person: Annotated[str | None, Argument("PERSON", help="who handles it")],
    progress: Progress,
) -> IncidentRow:
    """Assign an incident to a person, or to nobody with null. No state or figure changes.

    `person` is any name of at most 100 characters. Raise UsageError for another one, or for an
    unknown incident.
    """
    name = None if person is None else _one_line(person, PERSON_MAX, "the name of a person")
    return _assign.perform(session, progress, number_of(incident), name)


@command(
    "incidents ticket",
    OPERATE,
    http="POST /incidents/{incident}/ticket do_ticket",
    session="link_ticket",
)
def link_ticket(
    session: ProjectSession,
    incident: IncidentId,
    *,
    url: Annotated[str | None, Argument("URL", help="where it is discussed")],
    progress: Progress,
) -> IncidentRow:
    """Link an incident to its ticket in another system, or remove the link with null.

    `url` is an address with http or https, of at most 500 characters. Headrace never opens it.
    Raise UsageError for another one, or for an unknown incident.
    """
    address = None if url is None else _web_address(url)
    return _link_ticket.perform(session, progress, number_of(incident), address)


@leader_command("assign_incident", IncidentRow)
def _assign(context: CommandContext, number: int, value: str | None) -> IncidentRow:
    return _set(context, number, value, ASSIGNEE, Action.INCIDENT_ASSIGNED)


@leader_command("link_ticket", IncidentRow)
def _link_ticket(context: CommandContext, number: int, value: str | None) -> IncidentRow:
    return _set(context, number, value, TICKET, Action.INCIDENT_TICKET_LINKED)


def _set(
    context: CommandContext, number: int, value: str | None, part: HandlingPart, action: Action
) -> IncidentRow:
    """Write the line and the audit trail entry, unless the value is the current one."""

    def addition_of(tx: Transaction, _now: int, number: int) -> Addition | None:
        before = getattr(handling_of(tx, number), part.act)
        if before == value:
            return None
        line, after = part.line(value), {part.act: value}
        return Addition(action, line, part.act, before={part.act: before}, after=after)

    return add_to_incident(context, number, addition_of)


def _one_line(text: str, longest: int, what: str) -> str:
    """Return a text without spaces around it. Raise UsageError for an unusable one."""
    line = text.strip()
    if not line:
        raise UsageError(f"{what} is missing", hint="--none removes the current one")
    if len(line) > longest:
        raise UsageError(f"{what} has at most {longest} characters, this one {len(line):,}")
    wrong = next((number for number, sign in enumerate(line) if not sign.isprintable()), None)
    if wrong is not None:
        raise UsageError(
            f"{what} has no line breaks or invisible characters; character {wrong + 1} is"
            f" U+{ord(line[wrong]):04X}"
        )
    return line


def _web_address(url: str) -> str:
    """Return an address that a browser can open. Raise UsageError for another one."""
    address = _one_line(url, URL_MAX, "the address of a ticket")
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in address
        _ = parts.port  # raises ValueError for one that is no number
        user = parts.username is not None or parts.password is not None
    except ValueError:
        usable = user = False
    if not usable:
        raise UsageError(
            "a ticket is linked by an address with http:// or https://",
            hint="headrace incidents ticket ID https://…",
        )
    if user:
        raise UsageError(
            "the address of a ticket has no user or password in it: every reader sees it",
            hint="leave out what stands before the @",
        )
    return address
