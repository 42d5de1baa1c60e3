"""`keys`: the versions of the keys of masks, and their rotation."""

from __future__ import annotations

from typing import Annotated

import msgspec

from headrace.security.audit import Action, AuditEvent, Object, append
from headrace.services.command_context import CommandContext
from headrace.services.commands import leader_command, perform
from headrace.services.masking import key_store
from headrace.services.parameters import Argument, Reason
from headrace.services.permissions import authorised
from headrace.services.responses.keys import KeyRotationRow, KeyVersionRow
from headrace.services.session import Progress, ProjectSession
from headrace.store import Transaction


@authorised
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


class RotateArguments(msgspec.Struct, frozen=True):
    """The domain whose key is replaced; empty for all."""

    domain: str
    reason: str


@authorised
def rotate_keys(
    session: ProjectSession,
    domain: Annotated[
        str | None, Argument("[DOMAIN]", help="of rotate: one domain (default: all)")
    ] = None,
    *,
    reason: Reason = None,
    progress: Progress,
) -> list[KeyRotationRow]:
    """Replace the key of a domain, or of all. Tokens stay the same; a killed rotation continues.

    Raise UsageError for an unknown domain, and KeyProblem for a missing or a different root key.
    """
    store = key_store(session)
    if not store.check(domain):
        return []
    # recorded first, so that no rotation is missing in the trail, however it ends
    perform(session, "keys_rotate", RotateArguments(domain or "", (reason or "").strip()), progress)
    return [
        KeyRotationRow(domain=name, version=version, data_keys=moved)
        for name, version, moved in store.rotate(domain)
    ]


@leader_command("keys_rotate", RotateArguments, KeyRotationRow)
def _record(
    context: CommandContext, arguments: RotateArguments, progress: Progress
) -> KeyRotationRow:
    del progress

    def write(tx: Transaction, now: int) -> None:
        event = AuditEvent(
            action=Action.KEYS_ROTATED,
            actor=context.actor,
            object=Object("keys", arguments.domain or "*"),
            reason=arguments.reason,
        )
        append(tx, now, event)

    context.tell(write=write)
    return KeyRotationRow(domain=arguments.domain, version=0, data_keys=0)
