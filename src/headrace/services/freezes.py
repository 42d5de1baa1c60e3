"""`freeze`, `unfreeze`: stop a person, a group, a token or everybody, and let them work again."""

from __future__ import annotations

from typing import Annotated

from headrace.access.permissions import ADMINISTER, command
from headrace.acts import commands
from headrace.acts.command_context import TOKEN_PREFIX, CommandContext
from headrace.acts.commands import leader_command
from headrace.model import Refused, UnknownName, UsageError
from headrace.model.access import SUBJECT_KINDS
from headrace.model.errors import did_you_mean
from headrace.project.parameters import Argument, Option, RequiredReason
from headrace.project.session import Progress, ProjectSession
from headrace.responses.access import FreezeResponse, FreezeRow
from headrace.security.audit import Action, AuditEvent, Object, append
from headrace.store import Transaction
from headrace.store.queries import access_tokens, freezes
from headrace.store.queries.freezes import EVERYBODY, Freeze

Who = Annotated[
    str | None, Argument("[WHO]", help="token:NAME, user:NAME or group:NAME; else --all")
]
Every = Annotated[bool, Option("--all", help="everybody but admins", key="all")]


@command(
    "freeze",
    ADMINISTER,
    session="freeze",
    group="operate",
    summary="stop a person, a token, or everybody but admins",
)
def freeze(
    session: ProjectSession,
    who: Who = None,
    *,
    every: Every = False,
    reason: RequiredReason,
    progress: Progress,
) -> FreezeResponse:
    """Refuse all commands and requests of a person, a group or a token, or of everybody but admins.

    Attempts that run go on, and so does scheduled work. Raise UsageError without a subject,
    UnknownName for an unknown token, and Refused without a reason or for oneself.
    """
    subject = _subject(session, who, every=every)
    if subject in session.identity.subjects:
        raise Refused(
            f"this would stop yourself: you are {subject}",
            hint="another admin can do it, or freeze --all, which doesn't stop admins",
        )
    why = commands.required_reason(reason, "freeze", "the people who are stopped read it")
    return _freeze.perform(session, progress, subject, why)


@command(
    "unfreeze",
    ADMINISTER,
    session="unfreeze",
    group="operate",
    summary="let somebody who is frozen work again",
)
def unfreeze(
    session: ProjectSession,
    who: Who = None,
    *,
    every: Every = False,
    reason: RequiredReason,
    progress: Progress,
) -> FreezeResponse:
    """Lift a freeze; `--all` lifts the freeze of everybody, and not those of single people.

    Raise UsageError without a subject, and UnknownName for somebody who isn't frozen.
    """
    why = commands.required_reason(reason, "unfreeze", "it is recorded in the audit trail")
    subject = _typed_subject(who, every=every)
    with_prefix = subject if subject == EVERYBODY or ":" in subject else TOKEN_PREFIX + subject
    return _unfreeze.perform(session, progress, with_prefix, why)


@leader_command("freeze", FreezeResponse)
def _freeze(context: CommandContext, subject: str, reason: str) -> FreezeResponse:
    with context.store.read() as tx:
        before = freezes.in_force(tx)
    if not any(item.subject == subject for item in before):

        def write(tx: Transaction, now: int) -> None:
            freezes.add(
                tx,
                subject=subject,
                reason=reason,
                actor=context.actor.id,
                now=now,
            )
            append(tx, now, _event(context, Action.ACCESS_FROZEN, subject, reason))

        context.tell(write=write)
    return _response(context)


@leader_command("unfreeze", FreezeResponse)
def _unfreeze(context: CommandContext, subject: str, reason: str) -> FreezeResponse:
    with context.store.read() as tx:
        subjects = [item.subject for item in freezes.in_force(tx)]
    if subject not in subjects:
        raise UnknownName(
            f"{_shown(subject)} isn't frozen",
            hint=f"frozen: {', '.join(map(_shown, subjects[:8])) or 'nobody'}",
        )

    def write(tx: Transaction, now: int) -> None:
        freezes.lift(tx, subject=subject, actor=context.actor.id, now=now)
        append(tx, now, _event(context, Action.ACCESS_UNFROZEN, subject, reason))

    context.tell(write=write)
    return _response(context)


def _event(context: CommandContext, action: Action, subject: str, reason: str) -> AuditEvent:
    return AuditEvent(
        action=action,
        actor=context.actor,
        object=Object("subject", subject),
        reason=reason,
    )


def _response(context: CommandContext) -> FreezeResponse:
    with context.store.read() as tx:
        return FreezeResponse(
            frozen=[freeze_row(context.session, item) for item in freezes.in_force(tx)]
        )


def freeze_row(session: ProjectSession, item: Freeze) -> FreezeRow:
    """Return a freeze as a row of a response."""
    return FreezeRow(
        who=_shown(item.subject),
        reason=item.reason,
        by=item.created_by,
        at=session.instant(item.created_at),
    )


def _shown(subject: str) -> str:
    return "everybody but admins" if subject == EVERYBODY else subject


def _subject(session: ProjectSession, who: str | None, *, every: bool) -> str:
    """Return the subject to freeze; a name without a kind is that of a token."""
    subject = _typed_subject(who, every=every)
    if subject == EVERYBODY:
        return subject
    kind, _, name = subject.rpartition(":")
    if kind in ("user", "group") and name:
        return subject
    if kind not in ("", *SUBJECT_KINDS) or not name:
        raise UnknownName(f"{subject[:60]!r} is nobody", hint="token:NAME, user:NAME or group:NAME")
    existing = []
    if session.store is not None:
        with session.store.read() as tx:
            existing = [token.name for token in access_tokens.every(tx)]
    if name not in existing:
        hint = did_you_mean(name, existing) or "headrace token list; user:NAME for a person"
        raise UnknownName(f"there is no token {name[:60]!r}", hint=hint)
    return TOKEN_PREFIX + name


def _typed_subject(who: str | None, *, every: bool) -> str:
    if every == (who is not None):
        raise UsageError(
            "name one subject, or --all", hint="headrace freeze token:ci --reason TEXT"
        )
    return EVERYBODY if who is None else who
