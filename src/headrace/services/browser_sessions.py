"""`session`: sessions of browsers, and whether who signed in is still who they were."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec

from headrace.access.permissions import ADMINISTER, command, rules_of
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import leader_command
from headrace.model import Refused, UnknownName
from headrace.model.access import AccessRules, Grant
from headrace.project.parameters import Argument, Reason
from headrace.project.session import Progress, ProjectSession
from headrace.responses.access import EndedSessionsResponse, SessionRow
from headrace.security.access import Identity, IdentityKind, local_identity, roles_of
from headrace.security.audit import Action, AuditEvent, Object, append
from headrace.security.sessions import (
    SESSIONS_FILE,
    BrowserSession,
    Sessions,
    SignedIn,
    SignInKind,
)
from headrace.security.users import USERS_FILE, read_users
from headrace.store import Transaction

SUBJECT = "user:"
"""How the name of a person begins who signed in; the local user's name has no colon."""
_AGAIN = "sign in again"


def signed_in(
    session: ProjectSession,
    kind: SignInKind,
    who: str,
    groups: Collection[str] = (),
    *,
    label: str = "",
    credential: str = "",
    provider: tuple[str, str, str] = ("", "", ""),
) -> SignedIn:
    """Return who signed in, with the groups and roles that the applied rules give them now.

    `provider` has `iss`, `sub` and `sid`. Of the groups, those that no rule names are left out, so
    that ten thousand groups cost nothing; the session ends when the rules name others.
    """
    rules = rules_of(session)
    named = _named_groups(rules)
    named_groups = sorted(named.intersection(groups))
    identity = _identity(who, named_groups)
    issuer, subject, provider_session = provider
    return SignedIn(
        kind=kind,
        who=who,
        label=label,
        groups=tuple(named_groups),
        named_groups=_digest(sorted(named)) if groups else "",
        roles=_roles(session, rules, identity),
        credential=credential,
        issuer=issuer,
        subject=subject,
        provider_session=provider_session,
    )


def session_identity(session: ProjectSession, browser: BrowserSession) -> Identity:
    """Return who uses a browser's session. Raise Refused if the session must end.

    It ends when the roles of the person change, when the rules name other groups, and when a user
    is removed or gets another password.
    """
    person = browser.signed_in
    if person.kind is SignInKind.START_LINK:
        return local_identity()
    if person.kind is SignInKind.PASSWORD:
        user = read_users(users_file(session)).get(person.who.removeprefix(SUBJECT))
        if user is None or user.credential != person.credential:
            raise Refused("the user has been removed, or has another password", hint=_AGAIN)
    rules = rules_of(session)
    identity = _identity(person.who, person.groups)
    if person.named_groups and person.named_groups != _digest(sorted(_named_groups(rules))):
        raise Refused("access.yaml names other groups now", hint=_AGAIN)
    if person.roles != _roles(session, rules, identity):
        raise Refused("your roles have changed", hint=_AGAIN)
    return identity


def users_file(session: ProjectSession) -> Path:
    """Return the file of users; all environments share production's."""
    return (session.production or session).data_folder / USERS_FILE


def has_users(session: ProjectSession) -> bool:
    """Whether anybody can sign in with a password."""
    return bool(read_users(users_file(session)))


def _identity(who: str, groups: Collection[str]) -> Identity:
    subjects = frozenset({who, *(f"group:{group}" for group in groups)})
    return Identity(name=who, kind=IdentityKind.USER, subjects=subjects)


def _named_groups(rules: AccessRules | None) -> set[str]:
    if rules is None:
        return set()
    named = [grant.to for grant in rules.grants] + [forbid.to for forbid in rules.forbids]
    return {
        subject.removeprefix("group:")
        for subjects in named
        for subject in subjects
        if subject.startswith("group:")
    }


def _roles(session: ProjectSession, rules: AccessRules | None, identity: Identity) -> str:
    """Identify the roles of somebody, wherever their rules stand in the file."""
    grants = roles_of(rules, identity, today=session.now().date())
    return _digest(sorted(_text(grant) for grant in grants))


def _text(grant: Grant) -> str:
    bare = msgspec.structs.replace(grant, line=1, to=())
    return msgspec.json.encode(bare).decode()


def _digest(items: list[str]) -> str:
    return hashlib.sha256(msgspec.json.encode(items)).hexdigest()[:32]


@command(
    "session list",
    ADMINISTER,
    http="GET /sessions sessions",
    of_files=True,
    session="list_sessions",
)
def list_sessions(session: ProjectSession) -> list[SessionRow]:
    """Return the sessions of browsers that are signed in, the newest first.

    A session's id here is no secret: nobody can use it to sign in.
    """
    current = sorted(
        _sessions(session).current().items(), key=lambda item: item[1].started_at, reverse=True
    )
    return [_row(session, session_id, browser) for session_id, browser in current]


@command(
    "session end",
    ADMINISTER,
    http="POST /sessions/{ended}/end do_end_session",
    session="end_session",
)
def end_session(
    session: ProjectSession,
    ended: Annotated[
        str, Argument("ID", help="of one session, or user:NAME for all sessions of somebody")
    ],
    *,
    reason: Reason = None,
    progress: Progress,
) -> EndedSessionsResponse:
    """End one session of a browser, or all of a person: its next request is refused.

    Raise UnknownName if there is no such session.
    """
    sessions = _sessions(session)
    ending = {
        session_id: _row(session, session_id, browser)
        for session_id, browser in sessions.current().items()
        if ended in (session_id, browser.signed_in.who)
    }
    if not ending:
        raise UnknownName(f"there is no session {ended[:60]!r}", hint="headrace session list")
    sessions.end_where(lambda session_id, _: session_id in ending)
    _record.perform(
        session,
        progress,
        [SessionEvent(row.id, row.who, row.kind) for row in ending.values()],
        ended=True,
        reason=(reason or "").strip(),
    )
    return EndedSessionsResponse(ended=list(ending.values()))


class SessionEvent(msgspec.Struct, frozen=True):
    """A session that began or ended."""

    id: str
    who: str
    kind: str


@leader_command("session_record", EndedSessionsResponse)
def _record(
    context: CommandContext, sessions: list[SessionEvent], ended: bool, reason: str = ""
) -> EndedSessionsResponse:

    def write(tx: Transaction, now: int) -> None:
        for item in sessions:
            event = AuditEvent(
                action=Action.SESSION_ENDED if ended else Action.SESSION_STARTED,
                actor=context.actor,
                object=Object("session", item.id),
                reason=reason,
                after={"who": item.who, "kind": item.kind},
            )
            append(tx, now, event)

    context.tell(write=write)
    return EndedSessionsResponse(ended=[])


def record_later(
    session: ProjectSession, events: list[SessionEvent], *, ended: bool, reason: str = ""
) -> None:
    """Ask the current or next leader to record sessions, without waiting for it."""
    _record.submit(session, events, ended, reason)


def _sessions(session: ProjectSession) -> Sessions:
    return Sessions(session.data_folder / SESSIONS_FILE)


def _row(session: ProjectSession, session_id: str, browser: BrowserSession) -> SessionRow:
    person = browser.signed_in
    return SessionRow(
        id=session_id,
        who=person.who or local_identity().who,
        name=person.label,
        kind=person.kind,
        started_at=_time(session, browser.started_at),
        used_at=_time(session, browser.used_at),
        ends_at=_time(session, browser.ends_at),
    )


def _time(session: ProjectSession, seconds: float) -> datetime:
    return session.instant(int(seconds * 1_000_000))
