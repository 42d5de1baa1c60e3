"""`token`: API tokens, each with a name, roles and an expiry."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

import msgspec

from headrace.access.access_events import note_failed_sign_in
from headrace.access.permissions import ADMINISTER, command, freeze_of
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import leader_command
from headrace.model import Refused, UnknownName, UsageError
from headrace.model.access import SCOPE_FIELDS, Grant, Role, Scope
from headrace.model.errors import did_you_mean
from headrace.model.intervals import DAY_US
from headrace.model.link_problems import unknown_names
from headrace.model.times import Duration
from headrace.project.parameters import Argument, Option, Reason
from headrace.project.session import Progress, ProjectSession
from headrace.responses.access import NewTokenResponse, TokenRow
from headrace.security import tokens
from headrace.security.access import Identity, IdentityKind
from headrace.security.access_events import UNKNOWN
from headrace.security.audit import Action, AuditEvent, Object, append, rfc3339
from headrace.security.token_use import last_uses, note_use
from headrace.store import Transaction
from headrace.store.clock import instant, real_us
from headrace.store.queries import access_tokens
from headrace.store.queries.access_tokens import AccessToken

EXPIRES_DEFAULT = "30d"
EXPIRES_DAYS_MAX = 366
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SCOPE_HINT = "write --scope viewer, or --scope operator:domain=finance,env=prod"


def identify(session: ProjectSession, text: str) -> Identity:
    """Return the identity of a token. Raise Refused if it is unknown, expired or revoked."""
    token = None
    if tokens.is_token(text) and session.store is not None:
        with session.store.read() as tx:
            token = access_tokens.by_hash(tx, tokens.hash_of(text))
    if token is None:
        note_failed_sign_in(session, "token", UNKNOWN, "unknown")
        raise Refused("this token isn't known", hint="an admin creates one: headrace token create")
    if not token.valid(real_us()):
        note_failed_sign_in(session, "token", token.name, _state(session, token))
        raise Refused(
            f"the token {token.name} is {_state(session, token)}",
            hint=f"an admin creates a new one: headrace token create {token.name}",
        )
    note_use(session.data_folder, token.id)
    return tokens.identity_of(token.name, token.grants)


def token_of(session: ProjectSession, identity: Identity) -> TokenRow | None:
    """Return the valid token that has an identity's name; None for people."""
    if identity.kind is not IdentityKind.TOKEN or session.store is None:
        return None
    with session.store.read() as tx:
        every = access_tokens.every(tx)
    now_us = real_us()
    valid = (
        token for token in every if token.valid(now_us) and f"token:{token.name}" == identity.who
    )
    token = next(valid, None)
    return None if token is None else _row(session, token)


@command("token create", ADMINISTER, session="create_token")
def create_token(
    session: ProjectSession,
    name: Annotated[str, Argument("NAME", help="of the program or agent that uses it")],
    *,
    scopes: Annotated[
        Sequence[str],
        Option(
            "--scope",
            metavar="ROLE[:SCOPE]",
            help="a role, and what it is limited to: operator:domain=finance",
            key="scope",
        ),
    ],
    expires: Annotated[
        str, Option("--expires", metavar="DURATION", help="how long it is valid")
    ] = EXPIRES_DEFAULT,
    reason: Reason = None,
    progress: Progress,
) -> NewTokenResponse:
    """Create an API token and return its text, once; only its hash is stored.

    Raise UsageError for an invalid name, role or duration and for a limit that nothing has, and
    Refused if a valid token has the name already.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name[:60]!r} is no name of a token",
            hint="at most 63 letters, digits, `.`, `_` and `-`",
        )
    if not scopes:
        raise UsageError("a token needs a role", hint=_SCOPE_HINT)
    grants = [grant_typed(f"token:{name}", text) for text in scopes]
    for grant in grants:
        for problem, hint in unknown_names(session.project(), grant.scope):
            raise UsageError(problem, hint=hint)
    text = tokens.new_token()
    expires_at = _expiry(expires, session.timezone)
    row: TokenRow = _create.perform(
        session,
        progress,
        name,
        tokens.hash_of(text),
        tokens.encoded_grants(grants),
        expires_at,
        (reason or "").strip(),
    )
    return NewTokenResponse(
        id=row.id, name=row.name, token=text, scopes=row.scopes, expires_at=row.expires_at
    )


@leader_command("token_create", TokenRow)
def _create(
    context: CommandContext, name: str, token_hash: str, grants: str, expires_at: int, reason: str
) -> TokenRow:
    now_us = real_us()
    with context.store.read() as tx:
        existing = access_tokens.every(tx)
        repeated = access_tokens.by_hash(tx, token_hash)
    if repeated is not None:  # a new leader repeats the request of one that ended
        return _row(context.session, repeated)
    if any(token.name == name and token.valid(now_us) for token in existing):
        raise Refused(
            f"there is a valid token {name} already",
            hint=f"headrace token revoke {name}, or choose another name",
        )
    scopes = _scopes(grants)

    def write(tx: Transaction, now: int) -> None:
        access_tokens.add(
            tx,
            name=name,
            token_hash=token_hash,
            grants=grants,
            now_us=now_us,
            created_by=context.actor.id,
            expires_at=expires_at,
        )
        event = AuditEvent(
            action=Action.TOKEN_CREATED,
            actor=context.actor,
            object=Object("token", name),
            reason=reason,
            after={"scopes": scopes, "expires_at": rfc3339(instant(expires_at))},
        )
        append(tx, now, event)

    context.tell(write=write)
    with context.store.read() as tx:
        created = access_tokens.by_hash(tx, token_hash)
    assert created is not None
    return _row(context.session, created)


@command("token list", ADMINISTER, session="list_tokens")
def list_tokens(session: ProjectSession) -> list[TokenRow]:
    """Return all API tokens, the newest first, with the expired and revoked ones."""
    if session.store is None:
        return []
    with session.store.read() as tx:
        existing = access_tokens.every(tx)
    return [_row(session, token) for token in existing]


@command("token revoke", ADMINISTER, session="revoke_token")
def revoke_token(
    session: ProjectSession,
    token: Annotated[str, Argument("NAME", help="its name, or its id")],
    *,
    reason: Reason = None,
    progress: Progress,
) -> TokenRow:
    """Revoke an API token: requests with it are refused from now on.

    Raise UnknownName for an unknown token.
    """
    return _revoke.perform(session, progress, token, (reason or "").strip())


@leader_command("token_revoke", TokenRow)
def _revoke(context: CommandContext, token: str, reason: str) -> TokenRow:
    with context.store.read() as tx:
        existing = access_tokens.every(tx)
    matching = [item for item in existing if token in (item.name, _id(item))]
    if not matching:
        known = [item.name for item in existing]
        raise UnknownName(
            f"there is no token {token[:60]!r}",
            hint=did_you_mean(token, known) or "headrace token list",
        )
    unrevoked = [item for item in matching if item.revoked_at is None]
    if not unrevoked:
        return _row(context.session, matching[0])
    now_us = real_us()

    def write(tx: Transaction, now: int) -> None:
        for item in unrevoked:
            access_tokens.revoke(tx, item.id, now_us)
            event = AuditEvent(
                action=Action.TOKEN_REVOKED,
                actor=context.actor,
                object=Object("token", item.name),
                reason=reason,
            )
            append(tx, now, event)

    context.tell(write=write)
    return _row(context.session, unrevoked[0]._replace(revoked_at=now_us))


def grant_typed(subject: str, text: str) -> Grant:
    """Return the grant of `ROLE[:FIELD=VALUE,…]`. Raise UsageError if it is invalid."""
    role, colon, written = text.partition(":")
    if role not in tuple(Role):
        raise UsageError(
            f"{role[:40]!r} is no role",
            hint=did_you_mean(role, tuple(Role)) or f"the roles are {', '.join(Role)}",
        )
    limits: dict[str, list[str]] = {}
    for part in written.split(",") if colon else ():
        field, equals, value = part.strip().partition("=")
        if field not in SCOPE_FIELDS or not equals or not value:
            hint = f"limits: {', '.join(SCOPE_FIELDS)}; as in operator:domain=finance,env=prod"
            raise UsageError(f"{part[:60]!r} limits nothing", hint=hint)
        limits.setdefault(field, []).append(value)
    scope = Scope(**{field: tuple(values) for field, values in limits.items()})
    return Grant(role=Role(role), to=(subject,), scope=scope)


def scope_text(scope: Scope) -> str:
    """Return a scope as it is typed: `domain=finance,env=prod`."""
    return ",".join(f"{field}={value}" for field in SCOPE_FIELDS for value in getattr(scope, field))


def _scopes(grants: str) -> list[str]:
    return [
        f"{grant.role}:{limits}" if (limits := scope_text(grant.scope)) else str(grant.role)
        for grant in msgspec.json.decode(grants, type=list[Grant])
    ]


def _expiry(text: str, timezone: str) -> int:
    now_us = real_us()
    expires_at = Duration.parse(text).after_us(now_us, timezone)
    if expires_at > now_us + EXPIRES_DAYS_MAX * DAY_US:
        raise UsageError(
            f"--expires {text[:20]} is too long", hint=f"at most {EXPIRES_DAYS_MAX} days"
        )
    return expires_at


def _row(session: ProjectSession, token: AccessToken) -> TokenRow:
    used = last_uses(session.data_folder).get(token.id)
    return TokenRow(
        id=_id(token),
        name=token.name,
        scopes=_scopes(token.grants),
        state=_state(session, token),
        created_at=session.instant(token.created_at),
        created_by=token.created_by,
        expires_at=session.instant(token.expires_at),
        revoked_at=None if token.revoked_at is None else session.instant(token.revoked_at),
        last_used_at=None if used is None else session.instant(int(used * 1_000_000)),
    )


def _id(token: AccessToken) -> str:
    return f"token-{token.id}"


def _state(session: ProjectSession, token: AccessToken) -> str:
    if token.revoked_at is not None:
        return "revoked"
    if not token.valid(real_us()):
        return "expired"
    frozen = freeze_of(session, tokens.identity_of(token.name, token.grants))
    return "valid" if frozen is None else "frozen"
