"""`incidents note`: what a person knows about a cause stands in its timeline, for whoever comes after."""

from __future__ import annotations

import msgspec

from headrace.govern.audit import Action, AuditEvent, Object, append
from headrace.model import ProjectError, UsageError
from headrace.operations import reasons
from headrace.operations.incident_responses import IncidentRow
from headrace.operations.incidents import found_in, number_of, row_of
from headrace.operations.performing import CommandContext, leader_command, perform
from headrace.operations.progress import Progress
from headrace.operations.session import ProjectSession
from headrace.store import Transaction
from headrace.store.queries import incidents as stored
from headrace.store.queries.incidents import Happened, shown

TEXT_MAX = 2_000


class NoteArguments(msgspec.Struct, frozen=True):
    """An incident's number, and what is said of it."""

    number: int
    text: str


def note(session: ProjectSession, target: str, *, text: str | None, progress: Progress) -> IncidentRow:
    """Write something down about an incident; it changes nothing else of it. Refused without a text, UsageError for an incident that
    there isn't."""
    said = reasons.given(text, "incidents note", "it is what is written down")
    if len(said) > TEXT_MAX:
        raise UsageError(f"a note has at most {TEXT_MAX:,} characters, this one {len(said):,}", hint="write where the rest can be read")
    return perform(session, "note_incident", NoteArguments(number_of(target), said), progress)  # type: ignore[no-any-return]


@leader_command("note_incident", NoteArguments, IncidentRow)
def _note(context: CommandContext, arguments: NoteArguments, progress: Progress) -> IncidentRow:
    del progress
    applied = context.applied()
    if applied is None:
        raise ProjectError("nothing is applied yet, so there are no incidents", hint="headrace apply")

    def write(tx: Transaction, now: int) -> None:
        number = found_in(tx, arguments.number).id
        stored.happened(tx, number, [Happened(now, f"note: {arguments.text}", context.actor.id)])
        about = Object("incident", shown(number))
        append(tx, now, AuditEvent(action=Action.INCIDENT_NOTED, actor=context.actor, object=about, reason=arguments.text))

    context.tell(write=write)
    with context.store.read() as tx:
        return row_of(context.session, applied.compiled, tx, found_in(tx, arguments.number))
