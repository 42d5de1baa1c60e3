"""`user`: people who sign in to the server with a name and a password."""

from __future__ import annotations

import time
from typing import Annotated

from headrace.access.access_events import note_failed_sign_in
from headrace.access.permissions import ADMINISTER, command
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import leader_command
from headrace.model import Refused, UnknownName, UsageError
from headrace.model.errors import did_you_mean
from headrace.model.partitions import command_line
from headrace.project.parameters import Argument, Reason
from headrace.project.session import Progress, ProjectSession
from headrace.responses.access import UserRow
from headrace.security.access_events import UNKNOWN
from headrace.security.audit import Action, AuditEvent, Object, append
from headrace.security.passwords import matches, password_hash
from headrace.security.sessions import SESSIONS_FILE, Sessions, SignedIn, SignInKind
from headrace.security.users import NAME, User, changing, read_users
from headrace.services.browser_sessions import SUBJECT, signed_in, users_file
from headrace.store import Transaction


@command("user list", ADMINISTER, session="list_users")
def list_users(session: ProjectSession) -> list[UserRow]:
    """Return the users of this server, by name."""
    users = read_users(users_file(session))
    return [_row(session, name, user) for name, user in sorted(users.items())]


@command("user add", ADMINISTER)
def add_user(
    session: ProjectSession,
    name: Annotated[str, Argument("NAME", help="of the user")],
    password: str,
    *,
    reason: Reason = None,
    progress: Progress,
) -> UserRow:
    """Add a user who signs in with a password. Roles are given in access.yaml, to user:NAME.

    Raise UsageError for an invalid name or a weak password, and Refused if the name is taken.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name[:60]!r} is no name of a user",
            hint="at most 63 letters, digits, `.`, `_` and `-`",
        )
    hashed, now = password_hash(name, password), time.time()
    with changing(users_file(session)) as users:
        taken = next((other for other in users if other.lower() == name.lower()), None)
        if taken is not None:
            raise Refused(
                f"there is a user {taken} already", hint=command_line("user", "password", taken)
            )
        users[name] = user = User(hashed, now, now)
    _record(session, Action.USER_ADDED, name, reason, progress)
    return _row(session, name, user)


@command("user password", ADMINISTER)
def set_password(
    session: ProjectSession,
    name: Annotated[str, Argument("NAME", help="of the user")],
    password: str,
    *,
    reason: Reason = None,
    progress: Progress,
) -> UserRow:
    """Give a user another password; all sessions of the user end.

    Raise UnknownName for an unknown user, and UsageError for a weak password.
    """
    _known(read_users(users_file(session)), name)  # before the password is checked
    hashed = password_hash(name, password)
    with changing(users_file(session)) as users:
        before = _known(users, name)
        users[name] = user = User(hashed, before.added_at, time.time())
    _end_sessions(session, name)
    _record(session, Action.USER_PASSWORD_CHANGED, name, reason, progress)
    return _row(session, name, user)


@command("user remove", ADMINISTER)
def remove_user(
    session: ProjectSession,
    name: Annotated[str, Argument("NAME", help="of the user")],
    *,
    reason: Reason = None,
    progress: Progress,
) -> UserRow:
    """Remove a user; all sessions of the user end. Raise UnknownName for an unknown user."""
    with changing(users_file(session)) as users:
        user = _known(users, name)
        del users[name]
    _end_sessions(session, name)
    _record(session, Action.USER_REMOVED, name, reason, progress)
    return _row(session, name, user)


def sign_in(session: ProjectSession, name: str, password: str) -> SignedIn | None:
    """Return who signs in; None for an unknown user or a wrong password, after the same time."""
    user = read_users(users_file(session)).get(name)
    if not matches(user, password):
        note_failed_sign_in(session, "user", UNKNOWN if user is None else name, "password")
        return None
    assert user is not None
    return signed_in(session, SignInKind.PASSWORD, SUBJECT + name, credential=user.credential)


def note_throttled(session: ProjectSession, name: str) -> None:
    """Note an attempt to sign in that wasn't looked at, because there were too many before."""
    known = name in read_users(users_file(session))
    note_failed_sign_in(session, "user", name if known else UNKNOWN, "throttled")


def _known(users: dict[str, User], name: str) -> User:
    if name not in users:
        hint = did_you_mean(name, list(users)) or "headrace user list"
        raise UnknownName(f"there is no user {name[:60]!r}", hint=hint)
    return users[name]


def _end_sessions(session: ProjectSession, name: str) -> None:
    """End the sessions of a user here; servers of other environments compare the password."""
    sessions = Sessions(session.data_folder / SESSIONS_FILE)
    sessions.end_where(
        lambda _, person: person.kind is SignInKind.PASSWORD and person.who == SUBJECT + name
    )


def _record(
    session: ProjectSession, action: Action, name: str, reason: str | None, progress: Progress
) -> None:
    _append.perform(session, progress, action, name, (reason or "").strip())


@leader_command("user_record", UserRow)
def _append(context: CommandContext, action: Action, name: str, reason: str) -> UserRow:
    event = AuditEvent(
        action=action,
        actor=context.actor,
        object=Object("user", name),
        reason=reason,
    )

    def write(tx: Transaction, now: int) -> None:
        append(tx, now, event)

    context.tell(write=write)
    return _row(context.session, name, User("", time.time(), time.time()))


def _row(session: ProjectSession, name: str, user: User) -> UserRow:
    return UserRow(
        name=name,
        who=SUBJECT + name,
        added_at=session.instant(int(user.added_at * 1_000_000)),
        password_set_at=session.instant(int(user.changed_at * 1_000_000)),
    )
