"""`access break-glass`: take a role in an emergency, for a short time, under the owners' eyes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from headrace.access.access_events import note_refusal
from headrace.access.emergency_roles import scope_for
from headrace.access.permissions import (
    ADMINISTER,
    COMMANDS,
    SEE,
    command,
    decision,
    freeze_of,
    rules_of,
)
from headrace.acts import commands
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import leader_command
from headrace.incidents.messages import MessageText, Recipients
from headrace.model import Project, Refused, UnknownName, UsageError
from headrace.model.access import AccessRules, Scope
from headrace.model.intervals import SECOND_US
from headrace.model.partitions import command_line
from headrace.model.settings import PRODUCTION
from headrace.model.times import Duration
from headrace.project.parameters import Argument, Option, RequiredReason
from headrace.project.session import Progress, ProjectSession
from headrace.responses.access import EmergencyRow, EndedEmergenciesResponse
from headrace.security.access import Decision, Frozen, NotAllowed, has_node
from headrace.security.audit import Action, AuditEvent, Object, append, clean, rfc3339
from headrace.services.tokens import grant_typed, scope_text
from headrace.store import Transaction
from headrace.store.clock import instant, real_us
from headrace.store.queries import emergencies as stored
from headrace.store.queries import notifications
from headrace.store.queries.emergencies import Emergency
from headrace.store.queries.notifications import Queued

SECONDS_MAX = 3_600
LASTS_DEFAULT = "60m"
RECIPIENTS_MAX = 50
"""Owners who get a message about an emergency that reaches the nodes of many."""
_ROW = COMMANDS["emergencies:break_glass"]


@command(
    "access break-glass",
    SEE,
    http="POST /break-glass do_break_glass",
    session="break_glass",
    not_for_agents="a person decides that there is an emergency",
    own_check=True,
)
def break_glass(
    session: ProjectSession,
    role: Annotated[str, Argument("ROLE[:SCOPE]", help="such as operator:domain=finance")],
    *,
    lasts: Annotated[
        str, Option("--for", metavar="DURATION", help="at most 60m", key="for")
    ] = LASTS_DEFAULT,
    reason: RequiredReason,
    progress: Progress,
) -> EmergencyRow:
    """Take a role for at most 60 minutes in an emergency, by a rule `break_glass` of access.yaml.

    Messages to the owners of what it reaches are queued, and the audit trail records it with the
    reason.
    Raise NotAllowed without such a rule, Refused without a reason or while the role is taken
    already, and UsageError for an invalid role or duration.
    """
    why = commands.required_reason(reason, "access break-glass", "the owners read it")
    subject = session.identity.who
    asked = grant_typed(subject, role)
    seconds = Duration.parse(lasts)
    if seconds.days or not 0 < seconds.seconds <= SECONDS_MAX:
        raise UsageError(f"--for {lasts[:20]} isn't 1 to 60 minutes", hint="write --for 30m")
    _refuse_frozen(session)
    rules, today = rules_of(session) or AccessRules(), session.now().date()
    scope = scope_for(rules, session.identity, asked.role, asked.scope, today)
    if scope is None:
        note_refusal(session, _ROW.name, NotAllowed.code)
        reason_text = f"no rule `break_glass: {asked.role}` names {subject} with these limits"
        raise NotAllowed(session.identity, _ROW.name, Decision(False, reason_text), ())
    session.actor = session.identity.name
    return _begin.perform(
        session, progress, subject, asked.role, scope, real_us() + seconds.seconds * SECOND_US, why
    )


def _refuse_frozen(session: ProjectSession) -> None:
    frozen = freeze_of(session)
    if frozen is not None:
        note_refusal(session, _ROW.name, Frozen.code)
        everybody = frozen.subject == "*"
        raise Frozen(session.identity, _ROW.name, frozen.reason, everybody=everybody)


@command(
    "access break-glass --end",
    SEE,
    http="POST /break-glass/end do_end_break_glass",
    session="end_break_glass",
    not_for_agents="a person decides that there is an emergency",
    own_check=True,
)
def end_break_glass(
    session: ProjectSession,
    who: Annotated[
        str | None, Argument("[WHO]", help="user:NAME or token:NAME; by default yourself")
    ] = None,
    *,
    reason: RequiredReason,
    progress: Progress,
) -> EndedEmergenciesResponse:
    """End the roles that somebody has taken by break-glass; for others than oneself, as an admin.

    Raise NotAllowed for another person without the permission `administer`, Refused without a
    reason, and UnknownName if there is no such role.
    """
    why = commands.required_reason(reason, "access break-glass --end", "the audit trail has it")
    subject = who or session.identity.who
    _refuse_frozen(session)
    if subject not in session.identity.subjects:
        result = decision(session, rules_of(session), ADMINISTER, None)
        if not result.allowed:
            note_refusal(session, "access break-glass --end", NotAllowed.code)
            raise NotAllowed(session.identity, "access break-glass --end", result, ())
    session.actor = session.identity.name
    return _end.perform(session, progress, subject, why)


@leader_command("break_glass", EmergencyRow)
def _begin(
    context: CommandContext, subject: str, role: str, scope: Scope, expires_at: int, reason: str
) -> EmergencyRow:
    stored_scope = msgspec.json.encode(scope).decode()
    now = real_us()
    item = Emergency(
        0,
        subject,
        context.actor.id,
        role,
        stored_scope,
        reason,
        now,
        min(expires_at, now + SECONDS_MAX * SECOND_US),
    )
    with context.store.read() as tx:
        active = stored.in_force(tx, now)
    same = [row for row in active if row[1:5] == item[1:5]]
    if any(row.reason == item.reason and row.expires_at == item.expires_at for row in same):
        # a new leader repeats the request
        messages = _messages(context.session, same[0], scope)
        return _with_messages(emergency_row(context.session, same[0]), messages)
    if same:
        ends = context.session.instant(same[0].expires_at).strftime("%H:%M")
        raise Refused(
            f"{item.subject} has taken {item.role} already, until {ends}",
            hint="headrace access break-glass --end --reason TEXT ends it",
        )
    numbers: list[int] = []
    messages = _messages(context.session, item, scope)

    def write(tx: Transaction, at: int) -> None:
        numbers.append(stored.add(tx, item))
        event = AuditEvent(
            action=Action.BREAK_GLASS_STARTED,
            actor=context.actor,
            object=Object("subject", item.subject),
            reason=item.reason,
            after={
                "role": item.role,
                "scope": scope_text(scope),
                "expires_at": rfc3339(instant(item.expires_at)),
            },
        )
        append(tx, at, event)
        queued = (_queued(message, f"break-glass/{numbers[-1]}", at) for message in messages)
        notifications.put(tx, queued, at)

    context.tell(write=write)
    return _with_messages(emergency_row(context.session, item._replace(id=numbers[-1])), messages)


def _with_messages(row: EmergencyRow, messages: Sequence[_Message]) -> EmergencyRow:
    """Return the row with the number of messages that can be sent."""
    count = sum(message.error is None for message in messages)
    return msgspec.structs.replace(row, messages=count)


@leader_command("break_glass_end", EndedEmergenciesResponse)
def _end(context: CommandContext, subject: str, reason: str) -> EndedEmergenciesResponse:
    now = real_us()
    with context.store.read() as tx:
        active = [row for row in stored.in_force(tx, now) if row.subject == subject]
    if not active:
        raise UnknownName(
            f"{subject[:60]} has taken no role by break-glass",
            hint="headrace status lists who has",
        )

    def write(tx: Transaction, at: int) -> None:
        for item in active:
            stored.end(tx, item.id, actor=context.actor.id, now=now)
            event = AuditEvent(
                action=Action.BREAK_GLASS_ENDED,
                actor=context.actor,
                object=Object("subject", item.subject),
                reason=reason,
                before={"role": item.role, "expires_at": rfc3339(instant(item.expires_at))},
            )
            append(tx, at, event)

    context.tell(write=write)
    ended = (item._replace(ended_at=now, ended_by=context.actor.id) for item in active)
    return EndedEmergenciesResponse(ended=[emergency_row(context.session, item) for item in ended])


class _Message(msgspec.Struct, frozen=True):
    recipient: str
    channel: str
    error: str | None
    text: MessageText


def _messages(session: ProjectSession, item: Emergency, scope: Scope) -> list[_Message]:
    """Return the messages to the owners of what an emergency reaches, in the order of names.

    Environments send none.
    """
    if session.env != PRODUCTION:
        return []
    project = session.project()
    people = Recipients(project)
    text = _message_text(session, item, scope)
    return [
        _Message(recipient.name, channel, people.wrong(channel, cause=False), text)
        for recipient in people.concerned(owners_in(project, scope))[:RECIPIENTS_MAX]
        for channel in recipient.owner.contact
    ]


def _message_text(session: ProjectSession, item: Emergency, scope: Scope) -> MessageText:
    limits = scope_text(scope) or "the whole project"
    ends = session.instant(item.expires_at).strftime("%Y-%m-%d %H:%M")
    name = session.settings.name
    ends_it = command_line("access", "break-glass", "--end", item.subject, "--reason", "TEXT")
    shows_it = command_line("audit", "show", "--actor", item.actor)
    return MessageText(
        f"{name}: {item.subject} took the role {item.role} by break-glass",
        f"{item.subject} ({item.actor}) has the role {item.role} for {limits}"
        f" until {ends} {session.timezone}.\n\nReason: {clean(item.reason)[:500]}\n\n"
        f"An admin ends it: {ends_it}\nWhat they do: {shows_it}",
    )


def _queued(message: _Message, subject: str, now: int) -> Queued:
    return Queued(
        incident=None,
        kind="break_glass",
        subject=subject,
        recipient=message.recipient,
        channel=message.channel,
        title=message.text.title,
        body=message.text.body,
        not_before=now,
        state="waiting" if message.error is None else "dropped",
        error=message.error,
    )


def owners_in(project: Project, scope: Scope) -> list[str]:
    """Return the owners of the nodes that limits reach, by name."""
    return sorted({node.owner for node in project.nodes() if has_node(scope, node)})


def emergency_row(session: ProjectSession, item: Emergency) -> EmergencyRow:
    """Return an emergency as a row of a response."""
    return EmergencyRow(
        who=item.subject,
        role=item.role,
        scope=scope_text(msgspec.json.decode(item.scope, type=Scope)),
        reason=item.reason,
        started_at=session.instant(item.started_at),
        expires_at=session.instant(item.expires_at),
        ended_at=None if item.ended_at is None else session.instant(item.ended_at),
        ended_by=item.ended_by,
    )
