"""Which history and stored bytes may be deleted, and what is deleted with them."""

from __future__ import annotations

import msgspec
from state_kinds import ONLY_SQLITE
from written_rows import attempt, check, delivery, ended, published, quarantined, run

from headrace.store import Store, Transaction
from headrace.store.queries import leader_writes, publications, quarantine, retention
from headrace.store.queries.retention import RemovableAttempt, RetainedDelivery

BEFORE = 100


def _ended(tx: Transaction, n: int, state: str = "failed", at: int = 50, **more: int) -> None:
    attempt(tx, n, f"n{n}", **more)
    ended(tx, n, state, at, epoch=more.get("epoch", 1), seconds=9)


def test_attempts_that_nothing_needs_may_be_deleted(store: Store) -> None:
    """Would catch: an attempt deleted that runs, is young, or whose data waits for a decision; a
    page that begins again with its first attempt."""
    with store.write(None) as tx:
        run(tx)
        _ended(tx, 1)
        _ended(tx, 2, at=BEFORE)
        _ended(tx, 3, queued=BEFORE)
        attempt(tx, 4)
        _ended(tx, 5, "held")
        quarantined(tx, 5, "n5")
        _ended(tx, 6, "held", at=60)
        quarantine.decide(tx, [quarantined(tx, 6, "n6")], "dropped", 1)
        _ended(tx, 1, epoch=2, at=BEFORE - 1)
        first = RemovableAttempt(1, 1, "n1", "failed", 2, 50)
        sixth = RemovableAttempt(1, 6, "n6", "held", 2, 60)
        last = RemovableAttempt(2, 1, "n1", "failed", 2, 99)
        assert retention.removable_attempts(tx, BEFORE, (0, 0), 9) == [first, sixth, last]
        assert retention.removable_attempts(tx, BEFORE, (0, 0), 2) == [first, sixth]
        assert retention.removable_attempts(tx, BEFORE, (1, 1), 9) == [sixth, last]
        assert retention.removable_attempts(tx, BEFORE, (1, 6), 9) == [last]


def test_first_visible_and_newest_changed_publications_stay(store: Store) -> None:
    """Would catch: a partition that looks as if it had been late because its first publication was
    deleted; an attempt of several partitions deleted for one of them."""
    with store.write(None) as tx:
        run(tx)
        for n in range(1, 7):
            _ended(tx, n, "published")
            published(tx, n, published_at=n, identical=n == 5)
        assert [item.n for item in retention.removable_attempts(tx, BEFORE, (0, 0), 9)] == [
            2,
            3,
            4,
            5,
        ]
        published(tx, 7, partition="d2", n=2)
        assert [item.n for item in retention.removable_attempts(tx, BEFORE, (0, 0), 9)] == [3, 4, 5]
        assert retention.removable_attempts(tx, 4, (0, 0), 9) == []


def test_the_newest_changed_publication_stays_below_identical_ones(store: Store) -> None:
    """Would catch: no record left of when the visible content was published first."""
    with store.write(None) as tx:
        run(tx)
        for n in range(1, 6):
            _ended(tx, n, "published")
            published(tx, n, published_at=n, identical=n > 3)
        assert [item.n for item in retention.removable_attempts(tx, BEFORE, (0, 0), 9)] == [2]


def test_an_attempt_is_deleted_with_all_its_rows(store: Store) -> None:
    """Would catch: rows of a deleted attempt that stay for ever; another attempt's rows; a run whose
    outcome is forgotten with its attempts."""
    with store.write(None) as tx:
        number = run(tx)
        for n in (1, 2):
            _ended(tx, n, "failed")
            check(tx, n, f"n{n}")
            published(tx, n, f"n{n}")
            quarantine.withhold(tx, [(1, n, b"outcome")])
            leader_writes.write_profiles(tx, [(1, n, f"n{n}", "d1", "{}")])
            tx.execute(
                "insert into metric (epoch, n, node, partition, vector) values (1, ?, 'a', 'd1',"
                " ?)",
                (n, b"m"),
            )
        leader_writes.finish_run(tx, number, "partial", 60)
        going = [RemovableAttempt(1, 1, "n1", "failed", 2, 50)]
        evidence = retention.evidence_of(tx, going)
        assert [row[:2] for row in evidence[:1]] == [(1, 1)]
        assert [row[1:3] for row in evidence[1:2]] == [("n1", "d1")]
        assert evidence[2][2:5] == ("n1", "d1", "unique")
        assert len(evidence) == 3
        retention.remove_attempts(tx, going)
        for table in ("check_result", "profile", "metric", "withheld", "publication", "attempt"):
            assert tx.execute(f"select epoch, n from {table}").fetchall() == [(1, 2)], table
        assert tx.execute("select good from run").fetchall() == [(0,)]


def test_totals_of_deleted_attempts_add_up(store: Store) -> None:
    """Would catch: a day whose total is that of the last few that were deleted."""
    with store.write(None) as tx:
        retention.summarise_attempts(tx, [("a", "2024-01-01", "failed", 2, 70)])
        retention.summarise_attempts(
            tx, [("a", "2024-01-01", "failed", 3, 500), ("a", "2024-01-01", "published", 4, 9)]
        )
        rows = tx.execute(
            "select node, day, state, attempts, took_us from attempt_day order by state"
        ).fetchall()
        assert rows == [
            ("a", "2024-01-01", "failed", 5, 570),
            ("a", "2024-01-01", "published", 4, 9),
        ]


def test_rows_that_are_decided_and_old_may_be_deleted(store: Store) -> None:
    """Would catch: open rows deleted at any age; the newest delivery of a file, by which it is known
    not to have changed; a page that begins again with its first row."""
    with store.write(None) as tx:
        for n, at, key in ((1, 50, "d1"), (2, 60, "d2"), (3, BEFORE, "d3"), (4, 50, "d4")):
            quarantined(tx, n, key=key, at=at)
        quarantine.decide(tx, [1, 2, 3], "released", 1)
        for at, state in (
            (50, "done"),
            (60, "failed"),
            (BEFORE, "done"),
            (50, "taken"),
        ):
            tx.execute(
                "insert into request (verb, arguments, actor, state, created_at, finished_at)"
                " values ('run', '{}', 'ann', ?, 1, ?)",
                (state, at),
            )
        for number, key in ((1, "d1"), (2, "d1"), (3, "d1"), (4, "d2"), (5, "d1")):
            delivery(tx, number, key=key, observed_at=50)
        tx.execute("update delivery set state = 'waiting' where id = 2")
        for epoch, at in ((1, 50), (2, 60), (1, 70), (2, BEFORE), (3, 50)):
            tx.execute(
                "insert into journal (epoch, slots, at, events, decisions) values (?, 1, ?, ?, ?)",
                (epoch, at, b"", b""),
            )
        runs = [run(tx, now=number) for number in range(5)]
        for number, at in zip(runs, (50, 60, BEFORE, 50, 50), strict=True):
            leader_writes.finish_run(tx, number, "succeeded", at)
        attempt(tx, 1, run_id=runs[3])
        tx.execute("update run set state = 'running' where id = ?", (runs[4],))
        expected = {
            "quarantine": [1, 2],
            "request": [1, 2],
            "delivery": [1, 3],
            "journal": [1, 3, 5],
            "run": [1, 2],
        }
        assert set(expected) | {"incident"} == set(retention.KINDS)
        for kind, numbers in expected.items():
            assert retention.removable_ids(tx, kind, BEFORE, 0, 9) == numbers, kind
            assert retention.removable_ids(tx, kind, BEFORE, 0, 1) == numbers[:1], kind
            assert retention.removable_ids(tx, kind, BEFORE, 1, 9) == numbers[1:], kind
        for kind, numbers in expected.items():
            retention.remove_rows(tx, kind, numbers)
            assert retention.removable_ids(tx, kind, BEFORE, 0, 9) == [], kind
        left = {kind: tx.execute(f"select count(*) from {kind}").fetchone()[0] for kind in expected}
        assert left == {"quarantine": 2, "request": 2, "delivery": 3, "journal": 2, "run": 3}


def test_a_deleted_run_counts_in_the_totals_of_its_day(store: Store) -> None:
    """Would catch: uptime of last year that changes as its runs are deleted."""
    day = 86_400_000_000
    with store.write(None) as tx:
        numbers = [run(tx, now=now) for now in (day, 2 * day - 1, 2 * day)]
        for number in numbers:
            leader_writes.finish_run(tx, number, "succeeded", 3 * day)
        retention.remove_rows(tx, "run", numbers)
        rows = tx.execute("select day, kind, state, runs from run_day order by day").fetchall()
        assert rows == [
            ("1970-01-02", "tick", "succeeded", 2),
            ("1970-01-03", "tick", "succeeded", 1),
        ]
        assert tx.execute("select count(*) from run").fetchone() == (0,)


def _incident(
    tx: Transaction,
    number: int,
    resolved: int | None,
    recurrence_of: int | None = None,
) -> None:
    tx.execute(
        "insert into incident (id, state, kind, node, fingerprint, owner, summary, confidence,"
        " evidence, affected, began_at, opened_at, resolved_at, updated_at, recurrence_of) values"
        " (?, ?, 'late', 'a', 'f', 'ann', '', '1', '[]', '{}', 1, 2, ?, 0, ?)",
        (number, "open" if resolved is None else "resolved", resolved, recurrence_of),
    )
    tx.execute(
        "insert into incident_event (incident_id, at, what, actor) values (?, 1, '', 'ann')",
        (number,),
    )


def test_a_resolved_incident_is_deleted_with_its_rows(store: Store) -> None:
    """Would catch: wrong data that counts as served because the incident that named it is gone; a
    recurrence of an incident that doesn't exist."""
    with store.write(None) as tx:
        published(tx, 5)
        for number, resolved, of in (
            (1, 50, None),  # its recurrence is deletable too
            (2, 60, 1),
            (3, BEFORE, None),
            (4, None, None),
            (5, 50, None),  # names a publication as wrong
            (6, 50, None),  # has evidence that hasn't ended
            (7, 50, None),  # recurred in one that is open
            (8, None, 7),
            (9, 50, None),  # the newest
        ):
            _incident(tx, number, resolved, of)
        tx.execute(
            "insert into unsound (incident_id, publication_id, columns, known_at) values"
            " (5, 5, '[]', 1), (1, 99, '[]', 1)"
        )
        for number, incident, at in ((1, 6, None), (2, 1, 50)):
            tx.execute(
                "insert into evidence (id, node, partition, incident_id, held, content, at,"
                " ended_at) values (?, 'a', 'd1', ?, 0, ?, 1, ?)",
                (f"e{number}", incident, b"", at),
            )
        assert retention.removable_ids(tx, "incident", BEFORE, 0, 9) == [1, 2]
        retention.remove_rows(tx, "incident", [1])
        assert tx.execute("select id, recurrence_of from incident where id < 3").fetchall() == [
            (2, None)
        ]
        for table, left in (
            ("unsound", [5]),
            ("evidence", [6]),
            ("incident_event", list(range(2, 10))),
        ):
            rows = tx.execute(f"select incident_id from {table} order by incident_id").fetchall()
            assert [number for (number,) in rows] == left, table


# Bytes


def test_bytes_in_use_are_found(store: Store) -> None:
    """Would catch: bytes deleted that a delivery, the quarantine or a reader of an older snapshot
    needs; the targets of an export treated as Headrace's files."""

    def manifest(*names: str) -> str:
        entries = [{"path": name, "size": len(name), "sha256": f"of {name}"} for name in names]
        return msgspec.json.encode([*entries, {"target": "s3://x"}]).decode()

    with store.write(None) as tx:
        delivery(tx, 1, sha256="00", arrived_at=7)
        delivery(tx, 2, "t")
        assert retention.retained_deliveries(tx) == [RetainedDelivery("s", "d1", "00", 7)]
        quarantined(tx, 1, path="p/1")
        quarantined(tx, 2, key="d2", state="rejected", path="p/2")
        quarantined(tx, 3, key="d3")
        quarantine.decide(tx, [quarantined(tx, 4, key="d4", path="p/4")], "dropped", 1)
        assert retention.quarantined_paths(tx) == {"p/1", "p/2"}
        published(tx, 1, manifest=manifest("old"))
        published(tx, 2, manifest=manifest("replaced"), published_at=20)
        published(tx, 3, manifest=manifest("x", "longer"), published_at=30)
        published(tx, 4, partition="d2")
        publications.withdraw(tx, "a", "d2", snapshot=9, now=90, reason="wrong")
        files = retention.published_files(tx, 20)
        assert files == {
            "x": {"path": "x", "size": 1, "sha256": "of x"},
            "longer": {"path": "longer", "size": 6, "sha256": "of longer"},
            "replaced": {"path": "replaced", "size": 8, "sha256": "of replaced"},
        }


def test_code_in_use_is_of_the_newest_version_and_of_open_attempts(store: Store) -> None:
    """Would catch: code deleted under an attempt that runs."""
    with store.write(None) as tx:
        run(tx)
        for number in (1, 2, 3, 4):
            tx.execute(
                "insert into version (id, hash, manifest, compiled, applied_at, actor) values (?, ?,"
                " '{}', ?, 1, 'ann')",
                (number, f"h{number}", b""),
            )
        attempt(tx, 1, version=1)
        ended(tx, 1)
        attempt(tx, 2, version=2)
        assert retention.digests_in_use(tx) == {"h2", "h4"}


@ONLY_SQLITE
def test_the_snapshot_that_was_visible_at_a_time_does_not_expire(store: Store) -> None:
    """Would catch: a reader's snapshot that expires on the day on which it was made."""
    with store.write(None) as tx:
        tx.execute("create table ducklake_snapshot (snapshot_id bigint, snapshot_time text)")
        assert retention.expiring_snapshots(tx, "2024-01-02") == 0
        tx.executemany(
            "insert into ducklake_snapshot values (?, ?)",
            [(number, f"2024-01-0{number}") for number in (1, 2, 3)],
        )
        assert retention.expiring_snapshots(tx, "2024-01-03") == 2
        assert retention.expiring_snapshots(tx, "2024-01-02 12:00") == 1
        assert retention.expiring_snapshots(tx, "2024-01-01") == 0
