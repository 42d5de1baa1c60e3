"""What reports on cost, causes and sources are computed from."""

from __future__ import annotations

from typing import Any

import pytest
from written_rows import attempt, delivery, ended, published, quarantined, run

from headrace.store import Store, Transaction
from headrace.store.queries import quality, quarantine, reports
from headrace.store.queries.reports import (
    Attempted,
    WindowDelivery,
    WindowIncident,
    WindowPublication,
    Worked,
)

SINCE, UNTIL = 100, 200


def test_attempts_of_a_window_tell_what_they_took_and_held(store: Store) -> None:
    """Would catch: an attempt that ended at the window's beginning, or after it; the time of the
    audit counted twice; durations rounded down; rows that were held and never staged left out."""
    with store.write(None) as tx:
        run(tx)
        delivery(tx, 8)
        delivery(tx, 9)
        measures = {
            "rows_out": 30,
            "seconds": 2.0000016,
            "audit_seconds": 0.7000007,
            "publish_seconds": 0.2000008,
        }
        attempt(tx, 1, "early", delivery=8)
        ended(tx, 1, "held", SINCE)
        attempt(tx, 2, "a")
        ended(tx, 2, "published", SINCE + 1, measures=measures)
        attempt(tx, 3, "b", delivery=8)
        ended(tx, 3, "rejected", UNTIL, measures={"seconds": 0.25, "audit_seconds": 0.5})
        quarantined(tx, 3, "b", "d1", rows=40)
        quarantined(tx, 3, "b", "d2", rows=2)
        attempt(tx, 4, "c", delivery=9)
        ended(tx, 4, "failed", UNTIL)
        attempt(tx, 5, "late")
        ended(tx, 5, "published", UNTIL + 1)
        attempt(tx, 6, "exported", kind="export")
        ended(tx, 6, "published", UNTIL)
        attempt(tx, 7, "runs")
        attempt(tx, 8, "d")
        ended(tx, 8, "held", UNTIL, measures={"rows_out": 7})
        quarantined(tx, 8, "d", "d1", rows=3)
        quarantine.decide(tx, [3], "dropped", 1)
        assert reports.attempts(tx, SINCE, UNTIL) == [
            Attempted(1, 2, "a", "published", 101, 30, None, 2_000_002, 700_001, 200_001),
            Attempted(1, 3, "b", "rejected", 200, 42, 8, 250_000, 500_000, 0, "held", True),
            Attempted(1, 4, "c", "failed", 200, 0, 9),
            Attempted(1, 8, "d", "held", 200, 7, None, 0, 0, 0, "dropped"),
        ]


def test_publications_of_a_window_are_those_by_its_end(store: Store) -> None:
    """Would catch: the publication of data that was released after the window; an export; the
    number of rows in the place of the bytes."""
    with store.write(None) as tx:
        run(tx)
        for n, at in ((1, SINCE), (2, SINCE + 1), (3, UNTIL), (4, UNTIL + 1), (5, UNTIL)):
            attempt(tx, n, kind="export" if n == 5 else "produce")
            ended(tx, n, "published", at)
            published(tx, n, partition=f"d{n}", published_at=at)
        published(tx, 6, partition="d2", n=2, published_at=UNTIL, identical=True)
        published(tx, 7, partition="late", n=2, published_at=UNTIL + 1)
        assert reports.publications(tx, SINCE, UNTIL) == [
            WindowPublication(1, 2, "d2", 200, False, 101, 200, 2000),
            WindowPublication(1, 3, "d3", 300, False, 200, None, 3000),
            WindowPublication(1, 2, "d2", 600, True, 200, None, 6000),
        ]


def _incident(
    tx: Transaction,
    number: int,
    opened: int,
    state: str = "resolved",
    restored: int | None = None,
    recurrence_of: int | None = None,
) -> None:
    tx.execute(
        "insert into incident (id, state, kind, node, fingerprint, owner, summary, confidence,"
        " evidence, affected, began_at, opened_at, restored_at, resolved_at, updated_at,"
        " recurrence_of) values (?, ?, 'late', 'a', 'f', 'ann', '', '1', '[]', '{}', ?, ?, ?, ?, 0,"
        " ?)",
        (number, state, opened - 5, opened, restored, opened + 70, recurrence_of),
    )


def test_incidents_of_a_window_include_those_open_still(store: Store) -> None:
    """Would catch: one that was resolved before the window, or opened after it; the time of its end
    where its readers were served earlier."""
    with store.write(None) as tx:
        _incident(tx, 1, SINCE, "resolved")
        _incident(tx, 2, SINCE - 50, "open", restored=120)
        _incident(tx, 3, SINCE + 1, "resolved", recurrence_of=1)
        _incident(tx, 4, UNTIL, "recovering")
        _incident(tx, 5, UNTIL + 1, "open")
        assert reports.incidents(tx, SINCE, UNTIL) == [
            WindowIncident(2, "late", "a", "ann", 45, 50, 120, None),
            WindowIncident(3, "late", "a", "ann", 96, 101, 171, 1),
            WindowIncident(4, "late", "a", "ann", 195, 200, 270, None),
        ]


def test_deliveries_of_a_window_tell_whether_they_drifted(store: Store) -> None:
    """Would catch: deliveries that wait or were divided; another source's; the drift of one at
    all of them."""
    with store.write(None) as tx:
        for number, at, state in (
            (1, SINCE, "published"),
            (2, SINCE + 1, "published"),
            (3, UNTIL, "held"),
            (4, UNTIL, "waiting"),
            (5, UNTIL, "recut"),
            (6, UNTIL + 1, "published"),
        ):
            delivery(tx, number, key=f"d{number}", observed_at=at, state=state)
        delivery(tx, 7, "t", observed_at=UNTIL)
        drift = quality.DriftRow(
            "s", "d3", 3, 1, 3, "added", "qty", None, None, "[]", "allow", "[]", 1
        )
        quality.write_drift(tx, [drift])
        assert reports.deliveries(tx, "s", SINCE, UNTIL) == [
            WindowDelivery(2, "d2", 19, False),
            WindowDelivery(3, "d3", 29, True),
        ]


def test_a_difference_that_lasts_is_one_change(store: Store) -> None:
    """Would catch: a column that a vendor added once, counted against each delivery since; the
    first of a window as changed, because the one before it lies outside; another key's header, or
    a correction of an interval before the change, taken for the one before."""
    with store.write(None) as tx:
        arrived = (
            "1/s",
            "2/s qty",
            "3/s qty",
            "4/s qty",
            "5/s rest",
            "6/n",
            "6/s qty",
            "2/n",
            "1/s",
        )
        for number, delivered in enumerate((*arrived, "7/s qty", "7/s qty"), 1):
            key, _, column = delivered.partition(" ")
            delivery(tx, number, key=key, observed_at=UNTIL if number > 2 else SINCE)
            if column:
                drift = quality.DriftRow(
                    "s", key, number, 1, number, "added", column, None, None, "[]", "map", "[]", 1
                )
                quality.write_drift(tx, [drift])
        found = reports.deliveries(tx, "s", SINCE, UNTIL)
        assert [item.id for item in found if item.drifted] == [5, 7]
        everything = reports.deliveries(tx, "s", 0, UNTIL)
        assert [item.id for item in everything if item.drifted] == [2, 5, 7]


def test_different_faults_in_a_row_are_changes_each(store: Store) -> None:
    """Would catch: another wrong value or another separator each day, counted once, because the kind
    of the drift is the same; a separator, an encoding, a wider type or a text that stays, counted
    daily."""
    bar, semicolon = "separated by a bar", "separated by a semicolon"
    latin = "the encoding is WINDOWS-1252 instead of UTF-8 (line {}: byte 0xE9 isn't utf-8)"
    found = [
        ("type", "qty", "VARCHAR", "first value that isn't BIGINT: 'five' at line 2, 1 row"),
        ("type", "qty", "VARCHAR", "first value that isn't BIGINT: '2026-01-01' at line 2, 1 row"),
        ("type", "qty", "VARCHAR", "first value that isn't BIGINT: '2026-01-01' at line 9, 2 rows"),
        ("type", "qty", "VARCHAR", "first value that isn't BIGINT: 'A1' at line 2, 4 rows"),
        ("type", "qty", "VARCHAR", "first value that isn't BIGINT: 'B1' at line 2, 7 rows"),
        ("type", "qty", "DOUBLE", "first value that isn't BIGINT: '1.5' at line 2, 1 row"),
        ("type", "qty", "DOUBLE", "first value that isn't BIGINT: '2.5' at line 3, 1 row"),
        ("format", "", None, semicolon),
        ("format", "", None, semicolon),
        ("format", "", None, bar),
        ("format", "", None, latin.format(2)),
        ("format", "", None, latin.format(5)),
        ("format", "day", "%d/%m/%Y", "first value that isn't DATE: '13/01/2026'"),
        ("format", "day", "%d/%m/%Y", "first value that isn't DATE: '14/01/2026'"),
        ("renamed", "qty", "amount", "90 % of the values are alike"),
        ("renamed", "qty", "amount", "80 % of the values are alike"),
    ]
    with store.write(None) as tx:
        for number, (kind, column, to, evidence) in enumerate(found, 1):
            key = f"d{number:02}"
            delivery(tx, number, key=key, observed_at=UNTIL)
            drift = quality.DriftRow(
                "s",
                key,
                number,
                1,
                number,
                kind,
                column,
                to,
                None,
                f'["{evidence}"]',
                "map",
                "[]",
                1,
            )
            quality.write_drift(tx, [drift])
            published(tx, number, "s", key, delivery_id=number, rows=8)
        changed = [item.id for item in reports.deliveries(tx, "s", SINCE, UNTIL) if item.drifted]
        assert changed == [1, 2, 4, 6, 8, 10, 11, 13, 15]


def test_deliveries_of_a_window_tell_whether_they_repeat_another(store: Store) -> None:
    """Would catch: the content before the last taken for a repetition; that of another interval; one
    that wasn't ingested."""
    with store.write(None) as tx:
        for number, key, content in (
            (1, "d1", "A"),
            (2, "d1", None),
            (3, "d1", "A"),
            (4, "d1", "B"),
            (5, "d1", "A"),
            (6, "d2", "A"),
            (7, "d2", "B"),
        ):
            delivery(tx, number, key=key, observed_at=UNTIL, fingerprint=content)
        published(tx, 1, "s", "d2", delivery_id=7, identical=True)
        found = reports.deliveries(tx, "s", SINCE, UNTIL)
        assert [item.id for item in found if item.repeated] == [3, 7]


def test_rows_of_deliveries_are_those_published_and_those_refused(store: Store) -> None:
    """Would catch: rows that were released counted as refused; those that were held until the next
    delivery forgotten; the smallest publication of a delivery; deliveries beyond the window."""
    with store.write(None) as tx:
        for number, at in ((1, SINCE), (2, SINCE + 1), (3, UNTIL), (4, UNTIL), (5, UNTIL + 1)):
            delivery(tx, number, key=f"d{number}", observed_at=at)
            published(tx, number, "s", f"d{number}", delivery_id=number, rows=number)
        published(tx, 6, "s", "d2", delivery_id=2, rows=66)
        published(tx, 7, "s", "d2", delivery_id=2, rows=5)
        for n, number, state in (
            (1, 1, "held"),
            (2, 3, "rejected"),
            (3, 4, "held"),
            (4, 5, "held"),
            (5, 3, "superseded"),
        ):
            quarantined(tx, n, "s", f"d{number}", state, delivery_id=number, rows=number * 10)
        quarantine.decide(tx, [3], "released", 1)
        quarantined(tx, 9, "s", "d2", delivery_id=2, rows=None)
        assert reports.rows_of_deliveries(tx, "s", SINCE, UNTIL, {}) == (
            {2: 66, 3: 3, 4: 4},
            {3: 30},
        )
        assert reports.rows_of_deliveries(tx, "t", SINCE, UNTIL, {}) == ({}, {})


def test_rows_that_retention_removed_were_delivered(store: Store) -> None:
    """Would catch: a vendor whose deliveries count as empty once `retain:` has removed their rows;
    the rows of an attempt with several deliveries counted for each of them."""
    with store.write(None) as tx:
        for number in (1, 2, 3, 4, 5):
            delivery(tx, number, key=f"d{number}", observed_at=UNTIL)
        gone: dict[str, Any] = {"rows": 0, "content_hash": None}
        published(tx, 1, "s", "d1", delivery_id=1, **gone)
        published(tx, 2, "s", "d2", delivery_id=2, **gone)
        published(tx, 3, "s", "d3", delivery_id=3, n=2, rows=7)
        published(tx, 4, "s", "d4", delivery_id=4, **gone)
        published(tx, 5, "s", "d5", delivery_id=5, n=4, **gone)
        removed = {"1.1": 40, "1.2": 50, "1.4": 3, "1.9": 60}
        delivered, _ = reports.rows_of_deliveries(tx, "s", SINCE, UNTIL, removed)
        assert delivered == {1: 40, 2: 50, 3: 7, 4: 1, 5: 2}


def test_seconds_are_those_of_attempts_that_ended_in_the_window(store: Store) -> None:
    """Would catch: microseconds for seconds; one attempt for all of a node; a bound that counts or
    doesn't."""
    with store.write(None) as tx:
        run(tx)
        for n, node, started, at in (
            (1, "a", 0, 1_000_000),
            (2, "a", 0, 1_500_000),
            (3, "a", 1_000_000, 2_000_000),
            (4, "b", 0, 2_000_000),
            (5, "b", 0, 2_000_001),
        ):
            attempt(tx, n, node, started=started)
            ended(tx, n, "failed", at, seconds=9)
        attempt(tx, 6, "c")
        assert sorted(reports.seconds(tx, 1_000_000, 2_000_000)) == [("a", 2.5), ("b", 2.0)]


def test_a_delivery_restates_what_another_brought(store: Store) -> None:
    """Would catch: a delivery that was read again, or brought the same rows, called another one;
    the first delivery of an interval."""
    with store.write(None) as tx:
        for number in range(1, 7):
            delivery(tx, number)
        for number, (at, item, identical) in enumerate(
            (
                (SINCE - 9, 1, False),
                (SINCE, 2, False),
                (SINCE + 1, 3, False),
                (SINCE + 2, 4, True),
                (UNTIL - 1, None, False),
                (UNTIL, 5, False),
                (UNTIL + 1, 6, False),
            ),
            1,
        ):
            published(tx, number, "s", delivery_id=item, published_at=at, identical=identical)
        published(tx, 8, "s", "d2", delivery_id=6, published_at=UNTIL)
        published(tx, 9, "s", "d2", delivery_id=6, published_at=UNTIL)
        found = reports.replacements(tx, "s", SINCE, UNTIL)
        assert [item[:2] for item in found] == [
            (3, 1),
            (3, 2),
            (5, 1),
            (5, 2),
            (5, 3),
            (5, 4),
        ]
        assert reports.replacements(tx, "t", SINCE, UNTIL) == []


@pytest.mark.parametrize(
    ("started", "finished", "took"), [(5, 12, 7), (None, 12, 0), (5, None, 0), (None, None, 0)]
)
def test_an_attempt_takes_from_its_beginning_to_its_end(
    started: int | None, finished: int | None, took: int
) -> None:
    """Would catch: a negative duration of an attempt that was never begun."""
    assert Worked(1, 1, "a", started, finished).took_us == took


def test_attempts_enter_and_leave_a_sliding_window(store: Store) -> None:
    """Would catch: an attempt that is counted twice or never because its leader is a newer one."""
    with store.write(None) as tx:
        assert reports.newest_attempt(tx) == (0, 0)
        run(tx)
        for epoch, n, at in ((1, 8, 100), (1, 9, 150), (2, 1, 200), (2, 2, 201)):
            attempt(tx, n, f"n{n}", epoch=epoch, started=n)
            ended(tx, n, "failed", at, epoch=epoch, seconds=9)
        attempt(tx, 3, "n3", epoch=2, started=3)
        attempt(tx, 4, "n4", epoch=2, started=4)
        tx.execute("update attempt set state = 'queued', started_at = null where n = 4")
        assert reports.newest_attempt(tx) == (2, 4)
        under_way = [Worked(2, 3, "n3", 3, None), Worked(2, 4, "n4", None, None)]
        assert sorted(reports.attempts_under_way(tx)) == under_way
        assert sorted(item[:2] for item in reports.attempts_after(tx, (1, 9))) == [
            (2, 1),
            (2, 2),
            (2, 3),
            (2, 4),
        ]
        assert sorted(item[:2] for item in reports.attempts_after(tx, (2, 2))) == [(2, 3), (2, 4)]
        assert reports.attempts_of(tx, [(2, 1), (3, 3), (1, 8)]) == [
            Worked(2, 1, "n1", 1, 200),
            Worked(1, 8, "n8", 8, 100),
        ]
        assert sorted(item[:2] for item in reports.attempts_ended(tx, 100, 200)) == [(1, 9), (2, 1)]
