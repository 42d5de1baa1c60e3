"""Responses of `token` and `access`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from headrace.model.access import ACCESS_FILE
from headrace.model.errors import Refused
from headrace.responses.base import Response, encoded
from headrace.security.access import NotAllowed


class RoleRow(Response, frozen=True, kw_only=True):
    """A role that somebody has, and what it is limited to."""

    role: str
    scope: str
    """Such as `domain=finance`; empty for the whole project."""
    until: str | None
    """The last day; null for a role without an end, and for a token's own roles."""
    expires_at: datetime | None = None
    """When a role ends that was taken by break-glass; null for others."""
    file: str | None
    line: int | None
    """The rule in `access.yaml`; null for a token's own roles."""


class WhoAmIResponse(Response, frozen=True, kw_only=True):
    """`access whoami`: who runs the command, with the roles. `enforced` is false without rules."""

    who: str
    kind: str
    """`local`, `token`, or `user` for a person who signed in to the server."""
    groups: list[str]
    roles: list[RoleRow]
    enforced: bool
    frozen: str | None
    """Why an admin has stopped this person or token; null if nobody has."""
    token: TokenRow | None = None
    """The API token that is used; null for people."""


class RefusedActRow(Response, frozen=True, kw_only=True):
    """An act that the reader's roles refuse."""

    act: str
    """The name of its command, as in `access matrix`: `pause`, `backfills cancel`."""
    reason: str
    """`needs the role operator for orders; ask core`."""
    somewhere: bool = False
    """In the session: whether the roles allow it for some nodes. False for acts that name none."""


class FreezeRow(Response, frozen=True, kw_only=True):
    """Somebody who is stopped."""

    who: str
    """`token:ci`, `user:ana`, `group:ops` or `everybody but admins`."""
    reason: str
    by: str
    at: datetime


class FreezeResponse(Response, frozen=True, kw_only=True):
    """`freeze`, `unfreeze`: who is stopped from now on."""

    frozen: list[FreezeRow]


class EmergencyRow(Response, frozen=True, kw_only=True):
    """`access break-glass`: a role that somebody took in an emergency."""

    who: str
    """`user:ana` or `token:ci`."""
    role: str
    scope: str
    reason: str
    started_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    """Null for one that wasn't ended early."""
    ended_by: str | None
    messages: int | None = None
    """How many messages to owners were queued when it began; null when it ends."""


class EndedEmergenciesResponse(Response, frozen=True, kw_only=True):
    """`access break-glass --end`: the roles that end now."""

    ended: list[EmergencyRow]


class RuleRow(Response, frozen=True, kw_only=True):
    """The line of `access.yaml` that decided."""

    file: str
    line: int


def refusal_fields(error: NotAllowed | None) -> dict[str, Any]:
    """Return the fields of a refusal, for `--json` and for problem+json; empty without one."""
    if error is None:
        return {}
    rule = error.decision.rule
    return {
        "who": error.who,
        "command": error.command,
        "rule": None if rule is None else RuleRow(file=ACCESS_FILE, line=rule.line),
        "ask": list(error.owners),
    }


def refusal(error: Refused) -> str | None:
    """Return the JSON text of `{"error": …}` for a missing permission; None for another refusal."""
    if not isinstance(error, NotAllowed):
        return None
    fields = {"code": error.code, "message": str(error), "hint": error.hint}
    return encoded({"error": {**fields, **refusal_fields(error)}}).decode()


class AccessDecisionResponse(Response, frozen=True, kw_only=True):
    """`access explain`: whether somebody may run a command, and why."""

    who: str
    command: str
    node: str | None
    decision: str
    """`allow` or `deny`."""
    rule: RuleRow | None
    masked: list[str]
    """The columns of the node that are masked or left out when this person reads it."""
    reason: str


class AccessRow(Response, frozen=True, kw_only=True):
    """`access matrix`: whether a role without a limit may run a command."""

    command: str
    permission: str
    role: str
    decision: str


class ReviewRuleRow(Response, frozen=True, kw_only=True):
    """`access review`: one rule about a user, group or token, or one of a token's own roles."""

    kind: str
    """`role`, `forbid` or `break_glass`."""
    name: str
    """The role; of `forbid`, the permission."""
    scope: str
    columns: list[str]
    """Of `forbid`: the only columns that are forbidden; empty for others."""
    until: str | None
    """The last day; of a token's own role, when the token expires."""
    ended: bool
    file: str | None
    line: int | None
    """Null for a token's own roles."""


class ReviewRow(Response, frozen=True, kw_only=True):
    """`access review`: a user, group or token with all rules that name it."""

    who: str
    kind: str
    rules: list[ReviewRuleRow]
    last_used_at: datetime | None
    """Of a token, to the hour; of a user, by sessions that are signed in. Null if unknown."""


class TokenRow(Response, frozen=True, kw_only=True):
    """An API token, without its text. `state` is `valid`, `frozen`, `expired` or `revoked`."""

    id: str
    name: str
    scopes: list[str]
    state: str
    created_at: datetime
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None
    """To the hour; null for a token that was never used."""


class NewTokenResponse(Response, frozen=True, kw_only=True):
    """`token create`: the token's text, which isn't stored and can't be shown again."""

    id: str
    name: str
    token: str
    scopes: list[str]
    expires_at: datetime


class SessionRow(Response, frozen=True, kw_only=True):
    """A session of a browser. Its `id` names it and isn't the secret in the browser's cookie."""

    id: str
    who: str
    name: str
    """The person's name as the provider reports it; else empty."""
    kind: str
    """How they signed in: `start_link`, `password` or `oidc`."""
    started_at: datetime
    used_at: datetime
    ends_at: datetime
    """When it ends without another request."""


class EndedSessionsResponse(Response, frozen=True, kw_only=True):
    """`session end`: the sessions that ended."""

    ended: list[SessionRow]


class UserRow(Response, frozen=True, kw_only=True):
    """A user who signs in with a password."""

    name: str
    who: str
    """The subject of `access.yaml`: `user:NAME`."""
    added_at: datetime
    password_set_at: datetime
