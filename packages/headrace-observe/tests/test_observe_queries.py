"""What collectors of lineage, traces and metrics read."""

from __future__ import annotations

import msgspec
from written_rows import attempt, check, delivery, ended, partition, published, run

from headrace.store import Store
from headrace.store.queries import ingestion, leader_writes, telemetry
from headrace.store.queries.telemetry import LineageCursor
from headrace_observe import queries
from headrace_observe.queries import (
    AttemptSummary,
    Checked,
    LastObservation,
    LineageAttempt,
    OpenWork,
    Ran,
)

# Lineage


def test_lineage_begins_with_what_ends_from_then_on(store: Store) -> None:
    """Would catch: years of history sent to a collector at its first start; a position that is
    moved by a second start."""
    with store.write(None) as tx:
        assert telemetry.lineage_cursor(tx) is None
        run(tx)
        for n, at in ((1, 40), (2, 30)):
            attempt(tx, n)
            ended(tx, n, at=at)
        queries.begin_lineage(tx)
        begun = telemetry.lineage_cursor(tx)
        assert begun is not None and begun.at == 40
        assert queries.ended_attempts(tx, begun, 9) == []
        attempt(tx, 3)
        ended(tx, 3, at=50)
        queries.begin_lineage(tx)
        assert telemetry.lineage_cursor(tx) == begun
        assert [item.n for item in queries.ended_attempts(tx, begun, 9)] == [3]


def test_lineage_of_a_new_store_begins_at_0(store: Store) -> None:
    """Would catch: the first attempt of a project that no collector hears of."""
    with store.write(None) as tx:
        queries.begin_lineage(tx)
        cursor = telemetry.lineage_cursor(tx)
        assert cursor is not None and cursor.at == 0


def test_a_position_of_lineage_replaces_the_one_before(store: Store) -> None:
    """Would catch: events that are sent again after a restart, or refusals that are forgotten."""
    first = LineageCursor(10, 1, 2)
    second = LineageCursor(20, 3, 4, frozenset({(5, 6), (7, 8)}), 9, 10, "refused", 11)
    with store.write(None) as tx:
        telemetry.save_lineage_cursor(tx, first)
        assert telemetry.lineage_cursor(tx) == first
        telemetry.save_lineage_cursor(tx, second)
        assert telemetry.lineage_cursor(tx) == second
    assert LineageCursor(1) == LineageCursor(1, 0, 0, frozenset(), 0, 0, "", None)


def test_ended_attempts_come_in_the_order_of_their_ends(store: Store) -> None:
    """Would catch: an event that is never sent because another attempt ended in the same
    microsecond; one sent twice."""
    with store.write(None) as tx:
        run(tx)
        for epoch, n, at in ((1, 1, 30), (1, 2, 20), (2, 1, 30), (1, 3, 30), (1, 4, 40)):
            attempt(tx, n, epoch=epoch)
            ended(tx, n, at=at, epoch=epoch)
        attempt(tx, 9)

        def after(*place: int, limit: int = 9) -> list[tuple[int, int]]:
            return [item.id for item in queries.ended_attempts(tx, LineageCursor(*place), limit)]

        assert after(0) == [(1, 2), (1, 1), (1, 3), (2, 1), (1, 4)]
        assert after(0, limit=2) == [(1, 2), (1, 1)]
        assert after(20) == [(1, 2), (1, 1), (1, 3), (2, 1), (1, 4)]
        assert after(30, 1, 1) == [(1, 3), (2, 1), (1, 4)]
        assert after(30, 1, 3) == [(2, 1), (1, 4)]
        assert after(30, 2, 1) == [(1, 4)]


def test_a_lineage_attempt_has_the_values_of_its_row_and_run(store: Store) -> None:
    """Would catch: two columns in exchange; partitions or an error as text."""
    with store.write(None) as tx:
        delivery(tx, 8)
        run_id = run(tx, "backfill", now=3)
        attempt(
            tx,
            1,
            keys=["d1", "d2"],
            run_id=run_id,
            version=4,
            delivery=8,
            queued=5,
            started=6,
            kind="take_in",
        )
        assert queries.attempts_under_way(tx, 9) == [
            LineageAttempt(
                1,
                1,
                run_id,
                "a",
                "take_in",
                ("d1", "d2"),
                "running",
                4,
                8,
                6,
                5,
                None,
                None,
                "backfill",
                3,
            )
        ]
        ended(tx, 1, "failed", 9, error={"code": "boom"})
        attempt(tx, 3)
        attempt(tx, 2)
        assert [item.n for item in queries.attempts_under_way(tx, 9)] == [2, 3]
        assert [item.n for item in queries.attempts_under_way(tx, 1)] == [2]
        tx.execute("update attempt set dispatched_at = null where n = 1")
        (failed,) = queries.ended_attempts(tx, LineageCursor(0), 9)
        assert (failed.state, failed.begun_at, failed.finished_at, failed.error) == (
            "failed",
            5,
            9,
            {"code": "boom"},
        )


def test_a_summary_counts_and_shows_no_values(store: Store) -> None:
    """Would catch: the nulls in the number of values; one partition for all; checks that looked at
    nothing; a value of a column sent to a collector."""

    def columns(**counts: tuple[int, int]) -> str:
        content = {
            name: {"rows": rows, "nulls": nulls, "min": "secret"}
            for name, (rows, nulls) in counts.items()
        }
        return msgspec.json.encode(content).decode()

    with store.write(None) as tx:
        run(tx)
        attempt(tx, 1, keys=["d1", "d2"])
        attempt(tx, 2)
        attempt(tx, 3)
        for n, key, content in (
            (1, "d1", columns(qty=(10, 3), price=(8, 1))),
            (1, "d2", columns(qty=(20, 5))),
            (2, "d1", columns(qty=(99, 9))),
            (3, "d1", columns()),
        ):
            leader_writes.write_profiles(tx, [(1, n, "a", key, content)])
        published(tx, 1, partition="d1", n=1, rows=7, size_bytes=70, snapshot=6)
        published(tx, 2, partition="d2", n=1, rows=5, size_bytes=60, snapshot=5)
        check(tx, 1, key="d1", name="unique", rows=10, failing=1)
        check(tx, 1, key="d2", name="unique", rows=20, failing=2, outcome="failed")
        check(tx, 1, key="d1", name="range", kind="range", severity="warning", rows=4)
        check(tx, 1, key="d1", name="later", outcome="unchecked")
        check(tx, 2, name="other")
        first, second, third = queries.attempts_under_way(tx, 9)
        assert queries.attempt_summary(tx, first) == AttemptSummary(
            12,
            130,
            6,
            (
                Checked("range", "range", "warning", 4, 0, False),
                Checked("unique", "unique", "blocking", 30, 3, True),
            ),
            30,
            {"qty": {"nullCount": 8, "count": 22}, "price": {"nullCount": 1, "count": 7}},
        )
        summary = queries.attempt_summary(tx, second)
        assert (summary.rows, summary.bytes, summary.snapshot) == (None, None, None)
        assert (summary.audited, summary.columns) == (99, {"qty": {"nullCount": 9, "count": 90}})
        assert queries.attempt_summary(tx, third).audited == 0
        tx.execute("update publication set rows = 0, content_hash = null where partition = 'd2'")
        removed = queries.attempt_summary(tx, first)  # of which 7 rows would be too few
        assert (removed.rows, removed.bytes, removed.snapshot) == (None, 130, 6)
        tx.execute("delete from profile")
        assert queries.attempt_summary(tx, third) == AttemptSummary(None, None, None)


# Traces


def test_traces_are_of_one_leaders_attempts_in_order(store: Store) -> None:
    """Would catch: attempts of another leader; one skipped or sent twice because two ended in the
    same microsecond."""
    with store.write(None) as tx:
        assert queries.newest_end(tx) == 0
        run(tx, now=3)
        for epoch, n, at in ((1, 1, 30), (1, 2, 20), (2, 7, 50), (1, 3, 30), (1, 4, 40)):
            attempt(tx, n, f"n{n}", epoch=epoch)
            ended(tx, n, "failed", at, epoch=epoch)
        attempt(tx, 9, "n9")

        def after(at: int, n: int, limit: int = 9) -> list[int]:
            return [record.n for _, record in queries.ended_of_epoch(tx, 1, (at, n), limit)]

        assert queries.newest_end(tx) == 50
        assert after(0, 0) == [2, 1, 3, 4]
        assert after(0, 0, limit=3) == [2, 1, 3]
        assert after(20, 2) == [1, 3, 4]
        assert after(30, 1) == [3, 4]
        assert after(30, 3) == [4]
        ((node, record),) = queries.ended_of_epoch(tx, 2, (0, 0), 9)
        assert (node, record.epoch, record.kind, record.state) == ("n7", 2, "produce", "failed")
        assert (record.queued_at, record.dispatched_at, record.finished_at) == (1, 2, 50)
        assert (record.run_id, record.asked_at, record.partitions) == (1, 3, '["d1"]')


def test_a_traced_run_has_its_own_values(store: Store) -> None:
    """Would catch: its beginning as its end; another run."""
    with store.write(None) as tx:
        run(tx, "tick", now=3)
        run(tx, "backfill", now=4)
        leader_writes.finish_run(tx, 1, "partial", 9)
        assert queries.traced_run(tx, 1) == Ran(1, "tick", "partial", 3, 9)
        assert queries.traced_run(tx, 2) == Ran(2, "backfill", "running", 4, None)
        assert queries.traced_run(tx, 3) is None


# Metrics


def test_open_work_is_counted_with_its_oldest(store: Store) -> None:
    """Would catch: a state without attempts that is missing instead of 0; ended attempts; the
    newest instead of the oldest."""
    with store.write(None) as tx:
        assert queries.open_work(tx) == OpenWork({"queued": 0, "running": 0}, None, 0)
        run(tx)
        for n, queued in ((1, 5), (2, 30), (3, 20), (4, 40)):
            attempt(tx, n, queued=queued)
        ended(tx, 1)
        assert queries.open_work(tx) == OpenWork({"queued": 0, "running": 3}, 20, 0)
        tx.execute("update attempt set state = 'queued', queued_at = 15 where n = 4")
        for state in ("waiting", "taken", "done", "failed"):
            tx.execute(
                "insert into request (verb, arguments, actor, state, created_at) values ('run',"
                " '{}', 'ann', ?, 1)",
                (state,),
            )
        assert queries.open_work(tx) == OpenWork({"queued": 1, "running": 2}, 15, 2)


def test_open_partitions_and_incidents_are_counted(store: Store) -> None:
    """Would catch: published partitions or resolved incidents among what is open."""
    with store.write(None) as tx:
        for key, state in (("d1", "held"), ("d2", "held"), ("d3", "failed"), ("d4", "published")):
            partition(tx, "a", key, state)
        assert queries.partitions_open(tx) == {"failed": 1, "held": 2}
        for state, kind in (
            ("open", "late"),
            ("recovering", "late"),
            ("resolved", "late"),
            ("open", "code"),
        ):
            tx.execute(
                "insert into incident (state, kind, node, fingerprint, owner, summary, confidence,"
                " evidence, affected, began_at, opened_at, updated_at) values (?, ?, 'a', 'f', '',"
                " '', '1', '[]', '{}', 1, 1, 1)",
                (state, kind),
            )
        assert queries.incidents_open(tx) == {"late": 2, "code": 1}


def test_the_newest_observation_of_each_source_is_told(store: Store) -> None:
    """Would catch: an outage that is over; a source that was never observed reported as sound."""
    with store.write(None) as tx:
        ingestion.record_observation(tx, "s", 10, 0, "refused")
        ingestion.record_observation(tx, "s", 20, 1, None)
        ingestion.record_observation(tx, "t", 15, 1, None)
        ingestion.record_observation(tx, "t", 25, 0, "refused")
        assert queries.last_observations(tx, ["t", "s", "never"]) == {
            "s": LastObservation(20, False),
            "t": LastObservation(25, True),
        }
