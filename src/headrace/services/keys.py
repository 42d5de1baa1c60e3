"""`keys`: the versions of the keys of masks, their rotation, and values behind tokens."""

from __future__ import annotations

import functools
from typing import Annotated

from headrace.access.permissions import ADMINISTER, AUDIT, command
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import leader_command, required_reason
from headrace.model import UsageError
from headrace.privacy.masking import key_store, reversible_mask
from headrace.project import targets
from headrace.project.parameters import Argument, Option, Reason, RequiredReason
from headrace.project.session import Progress, ProjectSession
from headrace.responses.base import Response
from headrace.responses.keys import KeyRotationRow, KeyVersionRow, RevealedResponse
from headrace.security.audit import Action, AuditEvent, Object, append
from headrace.security.masks import reveal
from headrace.store import Transaction


@command("keys status", AUDIT, session="keys")
def key_status(session: ProjectSession) -> list[KeyVersionRow]:
    """Return the versions of the domains' keys, and how many data keys each of them encrypts.

    No root key is needed for it.
    """
    return [
        KeyVersionRow(
            domain=row.domain,
            version=row.version,
            state="current" if row.newest else "being replaced",
            data_keys=row.data_keys,
            root=row.root,
            created_at=session.instant(row.created_us),
        )
        for row in key_store(session).versions()
    ]


@command("keys rotate", ADMINISTER, session="rotate_keys")
def rotate_keys(
    session: ProjectSession,
    domain: Annotated[str | None, Argument("[DOMAIN]", help="one domain (default: all)")] = None,
    *,
    reason: Reason = None,
    progress: Progress,
) -> list[KeyRotationRow]:
    """Replace the key of a domain, or of all. Tokens stay the same; a killed rotation continues.

    Raise UsageError for an unknown domain and for a reason without a word, and KeyProblem for a
    missing or a different root key.
    """
    if reason is not None and not reason.strip():
        raise UsageError(
            "--reason has no word, and it would be recorded like that",
            hint="headrace keys rotate --reason TEXT, or leave --reason out",
        )
    store = key_store(session)
    if not store.check(domain):
        return []
    # recorded first, so that no rotation is missing in the trail, however it ends
    _record.perform(session, progress, domain or "", (reason or "").strip())
    return [
        KeyRotationRow(domain=name, version=version, data_keys=moved)
        for name, version, moved in store.rotate(domain)
    ]


@leader_command("keys_rotate", KeyRotationRow)
def _record(context: CommandContext, domain: str, reason: str) -> KeyRotationRow:

    _append(context, Action.KEYS_ROTATED, Object("keys", domain or "*"), reason)
    return KeyRotationRow(domain=domain, version=0, data_keys=0)


@command("keys reveal", ADMINISTER, session="reveal_token")
def reveal_token(
    session: ProjectSession,
    token: Annotated[str, Argument("TOKEN", help="s1v1_…, as a masked column shows it")],
    *,
    node: Annotated[str, Option("--node", metavar="NODE", help="the source or asset")],
    column: Annotated[str, Option("--column", metavar="COLUMN", help="its column")],
    reason: RequiredReason,
    progress: Progress,
) -> RevealedResponse:
    """Return the value behind a token of the method `token`. It is recorded before it is shown.

    Raise UsageError for an unknown node, Refused without a reason, for a column without this
    method, and for a token that was changed or is another column's, and KeyProblem for a missing
    key.
    """
    why = required_reason(reason, "keys reveal", "why somebody needs the value")
    if not node or not column:
        raise UsageError(
            "keys reveal needs the column that the token is from",
            hint="headrace keys reveal TOKEN --node NODE --column COLUMN --reason TEXT",
        )
    name = targets.target(node, session.project())[0]
    store = key_store(session)
    value = reveal(
        token.strip(),
        reversible_mask(session, name, column),
        functools.partial(store.data_key, create=False),
    )
    revealed = RevealedResponse(column=f"{name}.{column}", value=value)
    _record_reveal.perform(session, progress, revealed.column, why)
    return revealed


class RecordedReveal(Response, frozen=True, kw_only=True):
    """The column of the entry in the trail."""

    column: str


@leader_command("keys_reveal", RecordedReveal)
def _record_reveal(context: CommandContext, column: str, reason: str) -> RecordedReveal:
    _append(context, Action.TOKEN_REVEALED, Object("column", column), reason)
    return RecordedReveal(column=column)


def _append(context: CommandContext, action: Action, about: Object, reason: str) -> None:
    def write(tx: Transaction, now: int) -> None:
        event = AuditEvent(action=action, actor=context.actor, object=about, reason=reason)
        append(tx, now, event)

    context.tell(write=write)
