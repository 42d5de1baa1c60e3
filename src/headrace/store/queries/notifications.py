"""Notifications: who is notified of what over which channel; what waits to be sent, and what was sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from headrace.store.transaction import Transaction

CLAIMED_US = 120_000_000
"""Who takes a notice to send it has so long; then another may take it."""


class Queued(msgspec.Struct, frozen=True, kw_only=True):
    """A notice as it is decided. `channel` is the contact as declared, `said` what it is about in short, `error` why it is dropped."""

    incident: int | None
    kind: str
    subject: str
    recipient: str
    channel: str
    title: str
    body: str
    said: str = ""
    not_before: int
    state: str = "waiting"
    error: str | None = None


class PriorNotification(msgspec.Struct, frozen=True, gc=False):
    """What was queued about an incident before. `created_at` in microseconds."""

    id: int
    incident: int
    kind: str
    subject: str
    recipient: str
    channel: str
    said: str
    state: str
    created_at: int


class DueNotification(msgspec.Struct, frozen=True, kw_only=True):
    """A notice that is to be sent now. `reference` is what the channel calls the first one about the same."""

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
    """Messages to one recipient over one channel; when the last went out."""

    recipient: str
    channel: str
    count: int
    last_at: int


class UndeliveredNotifications(msgspec.Struct, frozen=True, gc=False):
    """Notices to one recipient over one channel that were given up or wait for another try; the newest error."""

    recipient: str
    channel: str
    count: int
    error: str


# What is asked ---------------------------------------------------------------------------------------------------------


def about(tx: Transaction, incidents: Iterable[int]) -> dict[int, list[PriorNotification]]:
    """Incident → what was queued about it, oldest first."""
    results: dict[int, list[PriorNotification]] = {}
    for number in incidents:
        rows = tx.execute(
            "select id, incident_id, kind, subject, recipient, channel, said, state, created_at from notice"
            " where incident_id = ? order by id",
            (number,),
        )
        results[number] = [PriorNotification(*row) for row in rows]
    return results


def subjects(tx: Transaction, kind: str, subject: str) -> list[tuple[str, str]]:
    """(recipient, channel) that are told of a subject already."""
    rows = tx.execute("select recipient, channel from notice where subject = ? and kind = ?", (subject, kind))
    return [(recipient, channel) for recipient, channel in rows]


def newest_subject(tx: Transaction, kind: str, recipient: str, *, before: str) -> str | None:
    """The greatest subject below `before` of what somebody was told; None where there is none."""
    row = tx.execute(
        "select max(subject) from notice where kind = ? and recipient = ? and subject < ?", (kind, recipient, before)
    ).fetchone()
    return None if row is None or row[0] is None else str(row[0])


def count_since(tx: Transaction, recipient: str, since: int) -> int:
    """How many messages were queued for somebody since; what was dropped isn't one."""
    row = tx.execute("select count(*) from notice where recipient = ? and created_at > ? and state <> 'dropped'", (recipient, since))
    return int(row.fetchone()[0])


def next_at(tx: Transaction) -> int | None:
    """When the next message is to be sent; None where none waits."""
    row = tx.execute("select min(not_before) from notice where state = 'waiting'").fetchone()
    return None if row[0] is None else int(row[0])


def undelivered(tx: Transaction, since: int) -> list[UndeliveredNotifications]:
    """What couldn't be sent since then: given up, or tried in vain until now."""
    rows = tx.execute(
        "select recipient, channel, count(*), max(error) from notice where error is not null and created_at >= ?"
        " and (state = 'failed' or (state = 'waiting' and tries > 0)) group by recipient, channel order by 1, 2",
        (since,),
    )
    return [UndeliveredNotifications(*row) for row in rows]


def count_failed(tx: Transaction, since: int) -> int:
    """How many messages of that time were given up."""
    return int(tx.execute("select count(*) from notice where state = 'failed' and created_at >= ?", (since,)).fetchone()[0])


def sent_since(tx: Transaction, since: int) -> list[DeliveredNotifications]:
    """What went out since then, by recipient and channel."""
    rows = tx.execute(
        "select recipient, channel, count(*), max(sent_at) from notice where state = 'sent' and created_at >= ?"
        " group by recipient, channel order by 1, 2",
        (since,),
    )
    return [DeliveredNotifications(*row) for row in rows]


# What is written -------------------------------------------------------------------------------------------------------


def put(tx: Transaction, notifications: Iterable[Queued], now: int) -> None:
    """Queue these; what somebody is told of already over the same channel isn't queued again."""
    tx.executemany(
        "insert into notice (incident_id, kind, subject, recipient, channel, title, body, said, state, not_before, created_at, error)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (subject, kind, recipient, channel) do nothing",
        [
            (n.incident, n.kind, n.subject, n.recipient, n.channel, n.title, n.body, n.said, n.state, n.not_before, now, n.error)
            for n in notifications
        ],
    )


def reword(tx: Transaction, number: int, title: str, body: str, said: str) -> None:
    """What still waits says what is so now."""
    tx.execute("update notice set title = ?, body = ?, said = ? where id = ? and state = 'waiting'", (title, body, said, number))


def hasten(tx: Transaction, number: int, at: int) -> None:
    """What waits for quiet hours to end can't wait any more."""
    tx.execute("update notice set not_before = ? where id = ? and state = 'waiting' and tries = 0 and not_before > ?", (at, number, at))


def drop(tx: Transaction, number: int, why: str) -> None:
    """What still waits isn't sent any more."""
    tx.execute("update notice set state = 'dropped', error = ? where id = ? and state = 'waiting'", (why, number))


def take(tx: Transaction, now: int, limit: int) -> list[DueNotification]:
    """The messages to be sent now, oldest first. They are this process's for CLAIMED_US."""
    rows = tx.execute(
        "select n.id, n.incident_id, n.kind, n.subject, n.recipient, n.channel, n.title, n.body, n.tries, n.created_at,"
        " (select min(o.reference) from notice o where o.incident_id = n.incident_id and o.channel = n.channel)"
        " from notice n where n.state = 'waiting' and n.not_before <= ? order by n.not_before, n.id limit ?",
        (now, limit),
    )
    notifications = [_taken(row) for row in rows]
    tx.executemany(
        "update notice set tries = tries + 1, not_before = ? where id = ?",
        [(now + CLAIMED_US, notification.id) for notification in notifications],
    )
    return notifications


def sent(tx: Transaction, number: int, now: int, reference: str | None) -> None:
    """It has gone out."""
    tx.execute(
        "update notice set state = 'sent', sent_at = ?, reference = ?, error = null where id = ? and state = 'waiting'",
        (now, reference, number),
    )


def again(tx: Transaction, number: int, at: int, error: str) -> None:
    """It couldn't be sent, and is tried again at a time."""
    tx.execute("update notice set not_before = ?, error = ? where id = ? and state = 'waiting'", (at, error, number))


def fail(tx: Transaction, number: int, error: str) -> None:
    """It couldn't be sent, and isn't tried any more."""
    tx.execute("update notice set state = 'failed', error = ? where id = ? and state = 'waiting'", (error, number))


def forget(tx: Transaction, before: int) -> None:
    """What was told before that, of incidents that are over, isn't kept."""
    tx.execute(
        "delete from notice where created_at < ? and state <> 'waiting' and (incident_id is null or incident_id in"
        " (select id from incident where state = 'resolved'))",
        (before,),
    )


def _taken(row: tuple[Any, ...]) -> DueNotification:
    return DueNotification(**dict(zip(DueNotification.__struct_fields__, row, strict=True)))
