"""Notifications as they are queued, sent, tried again and forgotten."""

from __future__ import annotations

from typing import Any

import msgspec
from table_rows import add

from headrace.store import Store, Transaction
from headrace.store.queries import notifications
from headrace.store.queries.notifications import (
    CLAIMED_US,
    DeliveredNotifications,
    DueNotification,
    PriorNotification,
    Queued,
    UndeliveredNotifications,
)

FIRST = Queued(
    incident=1,
    kind="opened",
    subject="INC-1",
    recipient="ann",
    channel="mail",
    title="a is late",
    body="since 07:00",
    description="late",
    not_before=50,
)


def queued(subject: str, **changes: Any) -> Queued:
    return msgspec.structs.replace(FIRST, subject=subject, **changes)


def put(tx: Transaction, *items: Queued, now: int = 10) -> None:
    if tx.execute("select 1 from incident limit 1").fetchone() is None:
        add(tx, "incident", {"id": 1}, {"id": 2})
    notifications.put(tx, items, now)


def states(tx: Transaction) -> list[tuple[Any, ...]]:
    """(state, error, not_before, tries) of all notifications."""
    rows = tx.execute("select state, error, not_before, tries from notice order by id").fetchall()
    return [tuple(row) for row in rows]


def test_nobody_is_notified_twice_of_the_same(store: Store) -> None:
    """Would catch: a second mail about the same, one that another recipient doesn't get because the
    first one has, one that is lost because of its channel."""
    other = queued("INC-1", recipient="bob", channel="chat", description="d", incident=2)
    dropped = queued("INC-1", kind="changed", state="dropped", error="quiet hours")
    with store.write(None) as tx:
        put(tx, FIRST)
        again = queued("INC-1", title="again")
        put(tx, again, other, queued("INC-1", channel="chat"), dropped, now=20)
        about = notifications.about(tx, [1, 2, 9])
        ids = [item.id for item in about[1]]
        assert ids == sorted(set(ids))
        assert about == {
            1: [
                PriorNotification(
                    ids[0], 1, "opened", "INC-1", "ann", "mail", "late", "waiting", 10
                ),
                PriorNotification(
                    ids[1], 1, "opened", "INC-1", "ann", "chat", "late", "waiting", 20
                ),
                PriorNotification(
                    ids[2], 1, "changed", "INC-1", "ann", "mail", "late", "dropped", 20
                ),
            ],
            2: [
                PriorNotification(
                    about[2][0].id, 2, "opened", "INC-1", "bob", "chat", "d", "waiting", 20
                )
            ],
            9: [],
        }
        known = notifications.subjects(tx, "opened", "INC-1")
        assert sorted(known) == [("ann", "chat"), ("ann", "mail"), ("bob", "chat")]
        assert notifications.subjects(tx, "changed", "INC-1") == [("ann", "mail")]
        assert notifications.subjects(tx, "opened", "INC-2") == []


def test_due_notifications_are_taken_once(store: Store) -> None:
    """Would catch: a notification that two processes send, one before its time, a message about an
    incident that isn't a reply to the first one about it."""
    with store.write(None) as tx:
        assert notifications.next_at(tx) is None
        put(
            tx,
            queued("s1", not_before=50),
            queued("s2", not_before=40, channel="chat", incident=None),
            queued("s3", not_before=51),
            queued("s4", not_before=50),
            queued("s5", not_before=1, state="dropped"),
        )
        assert notifications.next_at(tx) == 40
        assert [item.subject for item in notifications.take(tx, 50, 2)] == ["s2", "s1"]
        assert [item.subject for item in notifications.take(tx, 50, 2)] == ["s4"]
        assert notifications.take(tx, 50, 2) == []
        assert notifications.next_at(tx) == 51
        waiting = [("waiting", None, 50 + CLAIMED_US, 1)] * 2
        assert states(tx)[:3] == [*waiting, ("waiting", None, 51, 0)]

        numbers = {
            str(subject): int(number)
            for number, subject in tx.execute("select id, subject from notice").fetchall()
        }
        notifications.sent(tx, numbers["s1"], 60, "m7")
        notifications.sent(tx, numbers["s2"], 61, "m1")
        due = notifications.take(tx, 50 + CLAIMED_US, 9)
        assert due == [
            DueNotification(
                id=numbers["s3"],
                incident=1,
                kind="opened",
                subject="s3",
                recipient="ann",
                channel="mail",
                title="a is late",
                body="since 07:00",
                tries=0,
                created_at=10,
                reference="m7",
            ),
            msgspec.structs.replace(due[0], id=numbers["s4"], subject="s4", tries=1),
        ]
    assert CLAIMED_US == 120_000_000


def test_only_waiting_notifications_change(store: Store) -> None:
    """Would catch: a mail that is reworded, dropped or failed after it was sent; one whose error
    remains although it was sent at last."""
    with store.write(None) as tx:
        put(tx, *(queued(f"s{n}", not_before=50) for n in range(1, 8)))
        ids = [number for (number,) in tx.execute("select id from notice order by id").fetchall()]
        again, drop, fail, sent, reword, hasten, tried = ids
        notifications.again(tx, again, 90, "refused")
        notifications.drop(tx, drop, "resolved")
        notifications.fail(tx, fail, "no such user")
        notifications.again(tx, sent, 70, "refused")
        notifications.sent(tx, sent, 80, "m1")
        notifications.reword(tx, reword, "title", "body", "short")
        notifications.hasten(tx, hasten, 60)
        notifications.hasten(tx, reword, 49)
        tx.execute("update notice set tries = 1 where id = ?", (tried,))
        notifications.hasten(tx, tried, 40)
        expected = [
            ("waiting", "refused", 90, 0),
            ("dropped", "resolved", 50, 0),
            ("failed", "no such user", 50, 0),
            ("sent", None, 70, 0),
            ("waiting", None, 49, 0),
            ("waiting", None, 50, 0),
            ("waiting", None, 50, 1),
        ]
        assert states(tx) == expected
        for number in (drop, fail, sent):
            notifications.again(tx, number, 99, "x")
            notifications.drop(tx, number, "x")
            notifications.fail(tx, number, "x")
            notifications.sent(tx, number, 99, "x")
            notifications.reword(tx, number, "x", "x", "x")
            notifications.hasten(tx, number, 1)
        assert states(tx) == expected
        rows = tx.execute(
            "select title, body, said, sent_at, reference from notice where id in (?, ?, ?) order"
            " by id",
            (drop, sent, reword),
        ).fetchall()
        assert [tuple(row) for row in rows] == [
            ("a is late", "since 07:00", "late", None, None),
            ("a is late", "since 07:00", "late", 80, "m1"),
            ("title", "body", "short", None, None),
        ]


def test_numbers_of_notifications_since_a_time(store: Store) -> None:
    """Would catch: dropped notifications in a recipient's limit, a first failure that counts as
    undelivered after it was sent."""
    with store.write(None) as tx:
        put(tx, queued("old"), now=9)
        put(tx, *(queued(f"s{n}") for n in range(1, 5)), now=10)
        put(tx, queued("s5"), queued("s6", channel="chat"), queued("b", recipient="bob"), now=11)
        put(tx, queued("s7", state="dropped", error="x"), now=12)
        assert [notifications.count_since(tx, "ann", at) for at in (8, 9, 10, 11)] == [7, 6, 2, 0]
        assert notifications.count_since(tx, "bob", 10) == 1
        numbers = {
            str(subject): int(number)
            for number, subject in tx.execute("select id, subject from notice").fetchall()
        }
        for subject, at in (("old", 70), ("s1", 72), ("s2", 71), ("s6", 73)):
            notifications.sent(tx, numbers[subject], at, None)
        notifications.fail(tx, numbers["s3"], "a: refused")
        notifications.fail(tx, numbers["b"], "no such user")
        notifications.again(tx, numbers["s4"], 80, "b: refused")
        assert notifications.sent_since(tx, 10) == [
            DeliveredNotifications("ann", "chat", 1, 73),
            DeliveredNotifications("ann", "mail", 2, 72),
        ]
        assert notifications.sent_since(tx, 9)[1] == DeliveredNotifications("ann", "mail", 3, 72)
        assert [notifications.count_failed(tx, at) for at in (10, 11, 12)] == [2, 1, 0]
        failed = UndeliveredNotifications("bob", "mail", 1, "no such user")
        assert notifications.undelivered(tx, 10) == [
            UndeliveredNotifications("ann", "mail", 1, "a: refused"),
            failed,
        ]
        tx.execute("update notice set tries = 1 where subject = 's4'")
        assert notifications.undelivered(tx, 10) == [
            UndeliveredNotifications("ann", "mail", 2, "b: refused"),
            failed,
        ]
        assert notifications.undelivered(tx, 11) == [failed]


def test_the_greatest_subject_before_another(store: Store) -> None:
    """Would catch: a digest that begins at itself, or at one of another recipient."""
    with store.write(None) as tx:
        for day, kind, recipient in (
            ("2026-03-01", "digest", "ann"),
            ("2026-03-02", "digest", "ann"),
            ("2026-03-05", "digest", "ann"),
            ("2026-03-03", "digest", "bob"),
            ("2026-03-04", "opened", "ann"),
        ):
            put(tx, queued(day, kind=kind, recipient=recipient))
        newest = notifications.newest_subject(tx, "digest", "ann", before="2026-03-05")
        assert newest == "2026-03-02"
        assert notifications.newest_subject(tx, "digest", "ann", before="2026-03-01") is None


def test_old_notifications_are_forgotten(store: Store) -> None:
    """Would catch: a notification that is sent again because it was forgotten while its incident is
    open, or one that was never sent."""
    with store.write(None) as tx:
        done = {"state": "sent"}
        put(
            tx,
            queued("open", **done),
            queued("resolved", incident=2, **done),
            queued("none", incident=None, state="failed"),
            queued("waiting", incident=None),
        )
        put(tx, queued("newer", incident=None, **done), now=11)
        tx.execute("update incident set state = 'resolved' where id = 2")
        notifications.forget(tx, 10)
        assert len(states(tx)) == 5
        notifications.forget(tx, 11)
        rows = tx.execute("select subject from notice order by id").fetchall()
        assert [subject for (subject,) in rows] == ["open", "waiting", "newer"]
