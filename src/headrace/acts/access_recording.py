"""Moves noted refusals, failed sign-ins and reads of classified columns into the audit trail."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from headrace.acts.command_context import CommandContext, actor_named
from headrace.security.access_events import UNKNOWN, CountedEvent, taken
from headrace.security.audit import (
    Action,
    ActionOutcome,
    Actor,
    ActorType,
    AuditEvent,
    Object,
    append_all,
    rfc3339,
)
from headrace.store import Transaction
from headrace.store.clock import instant

OUTCOMES = {
    Action.ACCESS_DENIED: ActionOutcome.DENIED,
    Action.SIGN_IN_FAILED: ActionOutcome.FAILED,
    Action.CLASSIFIED_READ: ActionOutcome.ALLOWED,
}


def record_access_events(context: CommandContext, *, ended_minutes: bool = False) -> None:
    """Move noted events into the audit trail; with `ended_minutes`, not those of this minute.

    Events that can't be read from their file stay there until the next time.
    """
    with suppress(OSError), taken(context.session.data_folder, ended_minutes=ended_minutes) as new:
        if new:

            def write(tx: Transaction, now: int) -> None:
                append_all(tx, now, [_audit_event(item) for item in new])

            context.tell(write=write)


def _audit_event(item: CountedEvent) -> AuditEvent:
    event = item.event
    after: dict[str, Any] = {
        "count": item.count,
        "first_at": rfc3339(instant(int(item.first_at * 1_000_000))),
        "last_at": rfc3339(instant(int(item.last_at * 1_000_000))),
    }
    given = {"code": event.code, "command": event.command, "columns": list(event.columns)}
    after |= {name: value for name, value in given.items() if value}
    unknown = event.actor == UNKNOWN
    return AuditEvent(
        action=event.action,
        actor=Actor(ActorType.SYSTEM, UNKNOWN) if unknown else actor_named(event.actor),
        object=Object(event.kind, event.id),
        outcome=OUTCOMES[event.action],
        after=after,
    )
