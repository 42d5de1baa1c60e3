"""Notifications by recipient and channel: waiting, sent and failed ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from headrace.store.queries.incident_mutes import mutes_of
from headrace.store.transaction import Transaction

CLAIMED_US = 120_000_000
"""Time in microseconds to send a taken notification; then another process may take it."""


class Queued(msgspec.Struct, frozen=True, kw_only=True):
    """A new notification.

    `channel` is the contact as declared, `said` a short description, `error` the reason if it is
    dropped.
    """

    incident: int | None
    kind: str
    subject: str
    recipient: str
    channel: str
    title: str
    body: str
    description: str = ""
    not_before: int
    state: str = "waiting"
    error: str | None = None


class PriorNotification(msgspec.Struct, frozen=True, gc=False):
    """An earlier notification about an incident. `created_at` is in microseconds."""

    id: int
    incident: int
    kind: str
    subject: str
    recipient: str
    channel: str
    description: str
    state: str
    created_at: int


class DueNotification(msgspec.Struct, frozen=True, kw_only=True):
    """A notification to send now. `reference` is the channel's id of the first one of its kind."""

    id: int
    incident: int | None
    kind: str
    subject: str
    recipient: str
    channel: str
    title: str
    body: str
    tries: int
    created_at: int
    reference: str | None


class DeliveredNotifications(msgspec.Struct, frozen=True, gc=False):
    """Number of notifications to one recipient over one channel; time of the last one."""

    recipient: str
    channel: str
    count: int
    last_at: int


class UndeliveredNotifications(msgspec.Struct, frozen=True, gc=False):
    """Failed or retried notifications to one recipient over one channel, with the newest error."""

    recipient: str
    channel: str
    count: int
    error: str


# Queries.


def about(tx: Transaction, incidents: Iterable[int]) -> dict[int, list[PriorNotification]]:
    """Return the notifications about incidents, by incident, oldest first."""
    results: dict[int, list[PriorNotification]] = {}
    for number in incidents:
        rows = tx.execute(
            "select id, incident_id, kind, subject, recipient, channel, said, state, created_at"
            " from notice where incident_id = ? order by id",
            (number,),
        )
        results[number] = [PriorNotification(*row) for row in rows]
    return results


def subjects(tx: Transaction, kind: str, subject: str) -> list[tuple[str, str]]:
    """Return (recipient, channel) that were already notified of a subject."""
    rows = tx.execute(
        "select recipient, channel from notice where subject = ? and kind = ?", (subject, kind)
    )
    return [(recipient, channel) for recipient, channel in rows]


def newest_subject(tx: Transaction, kind: str, recipient: str, *, before: str) -> str | None:
    """Return a recipient's greatest notified subject below `before`, or None."""
    row = tx.execute(
        "select max(subject) from notice where kind = ? and recipient = ? and subject < ?",
        (kind, recipient, before),
    ).fetchone()
    return None if row is None or row[0] is None else str(row[0])


def count_since(tx: Transaction, recipient: str, since: int) -> int:
    """Return the number of a recipient's notifications since a time, without dropped ones."""
    row = tx.execute(
        "select count(*) from notice where recipient = ? and created_at > ? and state <> 'dropped'",
        (recipient, since),
    )
    return int(row.fetchone()[0])


def next_at(tx: Transaction) -> int | None:
    """Return when the next notification is due; None if none waits."""
    row = tx.execute("select min(not_before) from notice where state = 'waiting'").fetchone()
    return None if row[0] is None else int(row[0])


def undelivered(tx: Transaction, since: int) -> list[UndeliveredNotifications]:
    """Return notifications since a time that failed finally, or so far."""
    rows = tx.execute(
        "select recipient, channel, count(*), max(error) from notice where error is not null and"
        " created_at >= ? and (state = 'failed' or (state = 'waiting' and tries > 0)) group by"
        " recipient, channel order by 1, 2",
        (since,),
    )
    return [UndeliveredNotifications(*row) for row in rows]


def count_failed(tx: Transaction, since: int) -> int:
    """Return the number of finally failed notifications since a time."""
    return int(
        tx.execute(
            "select count(*) from notice where state = 'failed' and created_at >= ?", (since,)
        ).fetchone()[0]
    )


def sent_since(tx: Transaction, since: int) -> list[DeliveredNotifications]:
    """Return the notifications sent since a time, by recipient and channel."""
    rows = tx.execute(
        "select recipient, channel, count(*), max(sent_at) from notice where state = 'sent' and"
        " created_at >= ? group by recipient, channel order by 1, 2",
        (since,),
    )
    return [DeliveredNotifications(*row) for row in rows]


# Writes.


def put(tx: Transaction, notifications: Iterable[Queued], now: int) -> None:
    """Queue notifications, without those already queued for the same recipient and channel."""
    tx.executemany(
        "insert into notice (incident_id, kind, subject, recipient, channel, title, body, said,"
        " state, not_before, created_at, error) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on"
        " conflict (subject, kind, recipient, channel) do nothing",
        [
            (
                n.incident,
                n.kind,
                n.subject,
                n.recipient,
                n.channel,
                n.title,
                n.body,
                n.description,
                n.state,
                n.not_before,
                now,
                n.error,
            )
            for n in notifications
        ],
    )


def reword(tx: Transaction, number: int, title: str, body: str, description: str) -> None:
    """Update the text of a waiting notification."""
    tx.execute(
        "update notice set title = ?, body = ?, said = ? where id = ? and state = 'waiting'",
        (title, body, description, number),
    )


def hasten(tx: Transaction, number: int, at: int) -> None:
    """Send a notification earlier that waits for the end of quiet hours."""
    tx.execute(
        "update notice set not_before = ? where id = ? and state = 'waiting' and tries = 0 and"
        " not_before > ?",
        (at, number, at),
    )


def forget_waiting(tx: Transaction, incident: int) -> None:
    """Delete the untried notifications of an open incident, as if they had never been queued.

    Those tried before may be under way; `take` deletes what is left of them.
    """
    tx.execute(
        "delete from notice where incident_id = ? and state = 'waiting' and kind <> 'resolved' and"
        " tries = 0",
        (incident,),
    )


def drop(tx: Transaction, number: int, why: str) -> None:
    """Drop a waiting notification."""
    tx.execute(
        "update notice set state = 'dropped', error = ? where id = ? and state = 'waiting'",
        (why, number),
    )


def take(tx: Transaction, now: int, limit: int) -> list[DueNotification]:
    """Take the due notifications, oldest first, and reserve them for CLAIMED_US.

    Those about muted incidents are deleted, so that they are queued again after the mute.
    """
    _forget_muted(tx, now)
    rows = tx.execute(
        "select n.id, n.incident_id, n.kind, n.subject, n.recipient, n.channel, n.title, n.body,"
        " n.tries, n.created_at, (select min(o.reference) from notice o where o.incident_id ="
        " n.incident_id and o.channel = n.channel) from notice n where n.state = 'waiting' and"
        " n.not_before <= ? order by n.not_before, n.id limit ?",
        (now, limit),
    )
    notifications = [_due(row) for row in rows]
    tx.executemany(
        "update notice set tries = tries + 1, not_before = ? where id = ?",
        [(now + CLAIMED_US, notification.id) for notification in notifications],
    )
    return notifications


def _forget_muted(tx: Transaction, now: int) -> None:
    due = "state = 'waiting' and kind <> 'resolved' and not_before <= ?"
    rows = tx.execute(
        f"select distinct incident_id from notice where {due} and incident_id is not null", (now,)
    )
    tx.executemany(
        f"delete from notice where {due} and incident_id = ?",
        [(now, number) for number in mutes_of(tx, [row[0] for row in rows], now)],
    )


def sent(tx: Transaction, number: int, now: int, reference: str | None) -> None:
    """Mark a notification as sent."""
    tx.execute(
        "update notice set state = 'sent', sent_at = ?, reference = ?, error = null where id = ?"
        " and state = 'waiting'",
        (now, reference, number),
    )


def again(tx: Transaction, number: int, at: int, error: str) -> None:
    """Record an error, and the time of the next try."""
    tx.execute(
        "update notice set not_before = ?, error = ? where id = ? and state = 'waiting'",
        (at, error, number),
    )


def fail(tx: Transaction, number: int, error: str) -> None:
    """Mark a notification as finally failed."""
    tx.execute(
        "update notice set state = 'failed', error = ? where id = ? and state = 'waiting'",
        (error, number),
    )


def forget(tx: Transaction, before: int) -> None:
    """Delete notifications before a time, unless they wait or their incident is unresolved."""
    tx.execute(
        "delete from notice where created_at < ? and state <> 'waiting' and (incident_id is null or"
        " incident_id in (select id from incident where state = 'resolved'))",
        (before,),
    )


def _due(row: tuple[Any, ...]) -> DueNotification:
    return DueNotification(**dict(zip(DueNotification.__struct_fields__, row, strict=True)))
