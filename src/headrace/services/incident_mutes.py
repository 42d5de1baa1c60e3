"""`incidents mute` and `unmute`: whether messages about an incident are sent.

Both are lines of the incident's timeline and entries of the audit trail. They change no state.
"""

from __future__ import annotations

from headrace.access.permissions import OPERATE, command
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import leader_command, required_reason
from headrace.model import UsageError
from headrace.model.partitions import command_line
from headrace.project.parameters import IncidentId, MutedUntil, Reason, RequiredReason
from headrace.project.session import Progress, ProjectSession
from headrace.repairs.incident_rows import found_in, number_of
from headrace.responses.incidents import IncidentRow
from headrace.security.audit import Action, rfc3339
from headrace.services.incident_records import Addition, add_to_incident, short_enough
from headrace.services.pause import lapses_at
from headrace.slo.times import dated
from headrace.store import Transaction
from headrace.store.clock import instant
from headrace.store.queries import notifications
from headrace.store.queries.incident_handling import UNMUTED
from headrace.store.queries.incident_mutes import Mute, mute_line, mute_of
from headrace.store.queries.incidents import display_id


@command("incidents mute", OPERATE, http="POST /incidents/{incident}/mute do_mute", session="mute")
def mute(
    session: ProjectSession,
    incident: IncidentId,
    *,
    reason: RequiredReason,
    until: MutedUntil = None,
    progress: Progress,
) -> IncidentRow:
    """Send no messages about an open incident until a time, or until it is unmuted or reopened.

    No state or figure changes. Those who got a message about it before get one about its end.
    Raise Refused without a reason, UsageError for an unknown or resolved incident, a past time or
    a reason that is too long.
    """
    text = required_reason(reason, "incidents mute", "who misses a message has to know why")
    return _mute.perform(
        session, progress, number_of(incident), short_enough(text, "a reason"), until
    )


@command(
    "incidents unmute",
    OPERATE,
    http="POST /incidents/{incident}/unmute do_unmute",
    session="unmute",
)
def unmute(
    session: ProjectSession,
    incident: IncidentId,
    *,
    reason: Reason = None,
    progress: Progress,
) -> IncidentRow:
    """Send messages about a muted incident again, also about what has changed since it was muted.

    Raise UsageError for an unknown incident, one that isn't muted, or a reason that is too long.
    """
    why = short_enough((reason or "").strip(), "a reason")
    return _unmute.perform(session, progress, number_of(incident), why)


@leader_command("mute_incident", IncidentRow)
def _mute(context: CommandContext, number: int, reason: str, until: str | None) -> IncidentRow:
    now_us = context.clock.now_us()
    ends_at = None if until is None else lapses_at(context, until, now_us)
    end = "" if ends_at is None else dated(ends_at, context.session.timezone)
    act, text = mute_line(ends_at, end, reason)

    def addition_of(tx: Transaction, now: int, number: int) -> Addition:
        if found_in(tx, number).state == "resolved":
            raise UsageError(
                f"{display_id(number)} is resolved: only an open incident can be muted",
                hint="headrace incidents",
            )
        before = _as_recorded(mute_of(tx, number, now))
        notifications.forget_waiting(tx, number)
        after = {"until": _timestamp(ends_at)}
        return Addition(Action.INCIDENT_MUTED, text, act, reason, before, after)

    return add_to_incident(context, number, addition_of)


@leader_command("unmute_incident", IncidentRow)
def _unmute(context: CommandContext, number: int, reason: str) -> IncidentRow:
    why = f": {reason}" if reason else ""

    def addition_of(tx: Transaction, now: int, number: int) -> Addition:
        before = mute_of(tx, number, now)
        if before is None or found_in(tx, number).state == "resolved":
            raise UsageError(
                f"{display_id(number)} isn't muted",
                hint=command_line("incident", display_id(number)),
            )
        line, recorded = f"{UNMUTED}{why}", _as_recorded(before)
        return Addition(Action.INCIDENT_UNMUTED, line, UNMUTED, reason, recorded)

    return add_to_incident(context, number, addition_of)


def _as_recorded(mute: Mute | None) -> dict[str, str | None] | None:
    """Return a mute for the audit trail."""
    if mute is None:
        return None
    return {"reason": mute.reason, "by": mute.actor, "until": _timestamp(mute.until)}


def _timestamp(us: int | None) -> str | None:
    return None if us is None else rfc3339(instant(us))
