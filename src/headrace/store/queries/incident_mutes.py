"""Which incidents are muted: until when, by whom and why. Their timelines say it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from headrace.store.queries.incident_handling import MUTE, UNMUTED
from headrace.store.queries.incidents import REOPENED, Incident
from headrace.store.transaction import Transaction


class Mute(NamedTuple):
    """Who muted an incident, and why. `since` and `until` are in microseconds.

    `until` None: until somebody unmutes the incident.
    """

    since: int
    until: int | None
    actor: str
    reason: str


def mute_line(until: int | None, until_text: str, reason: str) -> tuple[str, str]:
    """Return the act and the text of the line that mutes an incident."""
    end = "" if until is None else f" until {until_text}"
    return f"{MUTE}{'' if until is None else until}", f"muted{end}: {reason}"


def mute_of(tx: Transaction, number: int, at: int) -> Mute | None:
    """Return the mute of an incident that is in force at a time. Reopening the incident ends it."""
    row = tx.execute(
        "select at, what, actor, act from incident_event where incident_id = :id and at <= :at and"
        f" (act like '{MUTE}%' or act = '{UNMUTED}' or what like '{REOPENED}%')"
        " order by id desc limit 1",
        {"id": number, "at": at},
    ).fetchone()
    if row is None or row[3] is None or not row[3].startswith(MUTE):
        return None
    since, what, actor, act = row
    end = act.removeprefix(MUTE)
    until = int(end) if end else None
    if until is not None and until <= at:
        return None
    return Mute(since, until, actor, what.partition(": ")[2])


def mutes(tx: Transaction, incidents: Iterable[Incident], at: int) -> dict[int, Mute]:
    """Return incident → its mute in force at a time, or at its end if it was resolved before."""
    times = {incident.id: min(at, incident.resolved_at or at) for incident in incidents}
    return _in_force(tx, times)


def mutes_of(tx: Transaction, numbers: Iterable[int], at: int) -> dict[int, Mute]:
    """Return the number of an incident → its mute in force at a time."""
    return _in_force(tx, dict.fromkeys(numbers, at))


def _in_force(tx: Transaction, times: Mapping[int, int]) -> dict[int, Mute]:
    """Return incident → its mute in force at its time. Only those ever muted are looked at."""
    if not times:
        return {}
    rows = tx.execute(
        "select distinct incident_id from incident_event where incident_id in"
        " (select cast(value as bigint) from json_each(:numbers))"
        f" and act like '{MUTE}%' order by incident_id",
        {"numbers": msgspec.json.encode(list(times)).decode()},
    ).fetchall()
    results = {number: mute_of(tx, number, times[number]) for (number,) in rows}
    return {number: mute for number, mute in results.items() if mute is not None}
