"""What the leader writes as attempts begin and end, and what it reads of what it published."""

from __future__ import annotations

from typing import Any

import msgspec
from table_rows import add

from headrace.store import Store, Transaction
from headrace.store.queries import leader_writes, partition_states, publications
from headrace.store.queries.leader_writes import (
    AttemptEnd,
    AttemptStart,
    PartitionRecord,
    PublicationRecord,
    QuarantineRecord,
)

PUBLICATION = PublicationRecord(
    id=1,
    node="a",
    partition="d1",
    epoch=2,
    n=17,
    snapshot=31,
    published_at=41,
    rows=51,
    size_bytes=61,
    verdict="warned",
    content_hash="h1",
    identical=True,
    version=7,
    delivery_id=8,
    manifest="[]",
)


def rows_of(tx: Transaction, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in tx.execute(sql).fetchall()]


def publication(number: int, partition: str, **changes: Any) -> PublicationRecord:
    return msgspec.structs.replace(PUBLICATION, id=number, partition=partition, **changes)


# Runs and attempts
# --------------------------------------------------------------------------------------------------


def test_runs_from_their_start_to_their_end(store: Store) -> None:
    """Would catch: the end of one run written into all, a cancelled run without who did it."""
    with store.write(None) as tx:
        first = leader_writes.start_run(tx, kind="tick", request="{}", actor="ann", now=10)
        given = {"kind": "run", "request": '{"x": 1}', "actor": "bob", "now": 20, "plan": 4}
        second = leader_writes.start_run(tx, **given)
        third = leader_writes.start_run(tx, kind="demo", request="{}", actor="cy", now=30)
        fourth = leader_writes.start_run(tx, kind="demo", request="{}", actor="cy", now=31)
        assert first < second < third < fourth
        leader_writes.finish_run(tx, first, "succeeded", 40)
        leader_writes.cancel_run(tx, third, "partial", 50, "dee", "too slow")
        leader_writes.cancel_run(tx, fourth, "failed", 60, "eve", "")
        rows = rows_of(
            tx,
            "select id, kind, request, actor, state, started_at, plan_id, finished_at,"
            " cancelled_at, cancelled_by, reason from run order by id",
        )
        nothing = (None, None, None)
        assert rows == [
            (first, "tick", "{}", "ann", "succeeded", 10, None, 40, *nothing),
            (second, "run", '{"x": 1}', "bob", "running", 20, 4, None, *nothing),
            (third, "demo", "{}", "cy", "partial", 30, None, 50, 50, "dee", "too slow"),
            (fourth, "demo", "{}", "cy", "failed", 31, None, 60, 60, "eve", None),
        ]


def _start(epoch: int, n: int, **changes: Any) -> AttemptStart:
    given = AttemptStart(epoch, n, 1, "a", "produce", ("d1", "d2"), 3, 4, None, 5, 6)
    return msgspec.structs.replace(given, **changes)


def test_attempts_from_their_start_to_their_end(store: Store) -> None:
    """Would catch: an attempt that was sent ahead and seems to have worked since then, an end
    written into another leader's attempt of the same number."""
    with store.write(None) as tx:
        add(tx, "run", {"id": 1})
        add(tx, "delivery", {"id": 9, "source": "a", "partition": "d1"})
        leader_writes.start_attempts(
            tx,
            [
                _start(1, 1),
                _start(2, 1, node="b", kind="take_in", keys=("d3",), delivery_id=9),
                _start(2, 2, started_at=3_000_000),
            ],
        )
        started = "epoch, n, run_id, node, kind, partitions, version, snapshot_read, delivery_id"
        assert rows_of(tx, f"select {started} from attempt order by epoch, n")[:2] == [
            (1, 1, 1, "a", "produce", '["d1","d2"]', 3, 4, None),
            (2, 1, 1, "b", "take_in", '["d3"]', 3, 4, 9),
        ]
        ended = AttemptEnd(
            2, 1, "held", 9_000_000, 2.5, 8_000_000, "held", "bad", '{"rows": 1}', '{"code": 2}'
        )
        leader_writes.end_attempts(tx, [ended, AttemptEnd(2, 2, "failed", 4_000_000, 2.0)])
        times = "queued_at, dispatched_at, started_at, finished_at, published_at"
        texts = "state, verdict, reason, measures, error"
        assert rows_of(tx, f"select {times}, {texts} from attempt order by epoch, n") == [
            (5, 6, 6, None, None, "running", None, None, None, None),
            (
                *(5, 6, 6_500_000, 9_000_000, 8_000_000),
                *("held", "held", "bad", '{"rows": 1}', '{"code": 2}'),
            ),
            (5, 3_000_000, 3_000_000, 4_000_000, None, "failed", None, None, None, None),
        ]


def test_open_work_of_earlier_leaders_is_lost(store: Store) -> None:
    """Would catch: a new leader that ends its own attempts, or those that had ended before."""
    with store.write(None) as tx:
        add(tx, "run", {"id": 1}, {"id": 2, "state": "partial", "finished_at": 5})
        leader_writes.start_attempts(tx, [_start(1, 1), _start(2, 1), _start(2, 2), _start(3, 1)])
        tx.execute("update attempt set state = 'queued' where epoch = 2 and n = 1")
        leader_writes.end_attempts(tx, [AttemptEnd(2, 2, "published", 7)])
        assert leader_writes.lose_open_work(tx, 3, 90) == 2
        lost = ("lost", 90, "the leader ended while it ran")
        assert rows_of(tx, "select state, finished_at, reason from attempt order by epoch, n") == [
            lost,
            lost,
            ("published", 7, None),
            ("running", None, None),
        ]
        assert rows_of(tx, "select state, finished_at from run order by id") == [
            ("lost", 90),
            ("partial", 5),
        ]
        assert leader_writes.lose_open_work(tx, 3, 91) == 0


# Partitions and publications
# --------------------------------------------------------------------------------------------------


def test_states_of_partitions(store: Store) -> None:
    """Would catch: a state that seems to begin each time it is written, a change that a checkpoint
    doesn't see, an empty change that costs one."""
    with store.write(None) as tx:
        first = PartitionRecord("a", "d1", "waiting", True, 2, 77, "throttled", 10, proposed=True)
        second = PartitionRecord("a", "d2", "failed", False, 1, None, "", 10)
        leader_writes.mark_partitions(tx, [first, second])
        leader_writes.mark_partitions(tx, [])
        assert partition_states.last_revision(tx) == 1
        changed = PartitionRecord("a", "d2", "waiting", True, 3, 88, "again", 20, proposed=True)
        same = PartitionRecord("a", "d1", "waiting", False, 0, None, "", 20)
        leader_writes.mark_partitions(tx, [same, changed])
        columns = "state, stale, failures, not_before, reason, since, proposed, revision"
        assert rows_of(tx, f"select {columns} from partition order by partition") == [
            ("waiting", 0, 0, None, None, 10, 0, 2),
            ("waiting", 1, 3, 88, "again", 20, 1, 2),
        ]
        tx.execute("delete from partition")
        leader_writes.mark_partitions(tx, [first])
        assert rows_of(tx, f"select {columns} from partition") == [
            ("waiting", 1, 2, 77, "throttled", 10, 1, 1)
        ]


def test_a_publication_replaces_the_one_before_it(store: Store) -> None:
    """Would catch: two visible publications of a partition, a partition that remains stale or held,
    an exception that still waits."""
    with store.write(None) as tx:
        assert publications.last_id(tx) == 0
        leader_writes.publish(tx, [])
        leader_writes.publish(tx, [PUBLICATION, publication(2, "d2")])
        add(tx, "quarantine", {"node": "a", "partition": "d1", "state": "held"})
        add(tx, "quarantine", {"node": "a", "partition": "d1", "state": "rejected"})
        add(tx, "quarantine", {"node": "a", "partition": "d1", "state": "dropped"})
        add(tx, "quarantine", {"node": "a", "partition": "d2", "state": "held"})
        waits = {"node": "a", "quarantine_id": 1, "actor": "ann", "reason": "", "at": 1}
        add(tx, "accepted", waits | {"partition": "d1"}, waits | {"partition": "d2"})
        stale = PartitionRecord("a", "d1", "published", True, 2, 77, "stale", 42, proposed=True)
        held = PartitionRecord("a", "d3", "held", False, 1, None, "bad", 43)
        leader_writes.mark_partitions(tx, [stale, held])
        again = {"snapshot": 32, "published_at": 52, "identical": False, "content_hash": None}
        leader_writes.publish(tx, [publication(3, "d1", **again), publication(4, "d3", **again)])
        assert publications.last_id(tx) == 4

        columns = (
            "id, node, partition, epoch, n, snapshot, published_at, rows, bytes, verdict,"
            " content_hash, identical, version, delivery_id, manifest, ended_snapshot, ended_at"
        )
        first, second, third, fourth = rows_of(tx, f"select {columns} from publication order by id")
        rest = (51, 61, "warned")
        assert first == (1, "a", "d1", 2, 17, 31, 41, *rest, "h1", 1, 7, 8, "[]", 32, 52)
        assert third == (3, "a", "d1", 2, 17, 32, 52, *rest, None, 0, 7, 8, "[]", None, None)
        assert (second[-2:], fourth[-2:]) == ((None, None), (None, None))
        columns = (
            "partition, state, stale, failures, not_before, reason, since, proposed, revision,"
            " publication_id"
        )
        published = ("published", 0, 0, None, None)
        assert rows_of(tx, f"select {columns} from partition order by partition") == [
            ("d1", *published, 41, 0, 3, 3),
            ("d2", *published, 41, 0, 1, 2),
            ("d3", *published, 52, 0, 3, 4),
        ]
        assert rows_of(tx, "select state from quarantine order by id") == [
            ("superseded",),
            ("superseded",),
            ("dropped",),
            ("held",),
        ]
        assert rows_of(tx, "select publication_id from accepted order by id") == [(3,), (None,)]


def test_what_is_visible_of_a_node(store: Store) -> None:
    """Would catch: rows of an ended publication, of another node, or of a partition between those
    that were asked for."""
    with store.write(None) as tx:
        items = [
            publication(1, "d1", rows=1, content_hash="x"),
            publication(2, "d2", rows=20, content_hash=None, snapshot=32, manifest=None),
            publication(3, "d3", rows=300),
            publication(4, "d4", rows=0),
            publication(5, "d5", rows=5_000),
            publication(6, "d2", rows=60_000, node="b"),
        ]
        leader_writes.publish(tx, items)
        leader_writes.publish(tx, [publication(7, "d1", rows=7, content_hash="y", snapshot=33)])
        tx.execute("update publication set ended_snapshot = 34, ended_at = 9 where id = 5")
        assert leader_writes.published_of(tx, "a", "d1") == (33, "y", "[]")
        assert leader_writes.published_of(tx, "a", "d2") == (32, None, None)
        assert leader_writes.published_of(tx, "a", "d5") is None
        assert leader_writes.published_each(tx, "a", ["d5", "d1"]) == {"d1": (33, "y", "[]")}
        assert leader_writes.published_each(tx, "a", []) == {}
        removed = "insert into rebuildable_partition values ('a', 'd2', 2, 20, 'r', 1, 'e', 9)"
        tx.execute(removed)
        assert leader_writes.published_each(tx, "a", ["d2"]) == {"d2": (32, "r", None)}
        asked = ["d3", "d1", "d5", "d9"]
        assert leader_writes.published_hashes(tx, "a", asked) == {"d1": "y", "d3": "h1"}
        assert leader_writes.published_hashes(tx, "a", []) == {}
        assert leader_writes.published_rows(tx, "a", asked) == 307
        assert leader_writes.published_rows(tx, "a", []) == 0
        assert leader_writes.published_rows(tx, "a", None) == 327
        assert leader_writes.published_rows(tx, "c", None) == 0

        before = [leader_writes.published_before(tx, "a", key) for key in ("d0", "d1", "d4", "d9")]
        assert before == [None, "d1", "d3", "d3"]
        assert leader_writes.last_published_before(tx, "a", "d9", 2) == ["d3", "d2"]
        assert leader_writes.last_published_before(tx, "a", "d3", 9) == ["d2", "d1"]
        assert leader_writes.published_keys(tx, "a") == ["d1", "d2", "d3", "d4"]
        assert [leader_writes.has_rows(tx, node) for node in ("a", "b", "c")] == [True, True, False]
        tx.execute("update publication set rows = 0 where node = 'b'")
        assert not leader_writes.has_rows(tx, "b")


def test_published_partitions_of_an_interval(store: Store) -> None:
    """Would catch: keys of a longer interval that begins with the same text."""
    keys = ("2026-03-01/us", "2026-03-01/eu", "2026-03-02/eu", "2026-03-01T05/eu", "2026-03")
    with store.write(None) as tx:
        items = [publication(number, key) for number, key in enumerate(keys, start=1)]
        leader_writes.publish(tx, items)
        found = leader_writes.published_keys(tx, "a", "2026-03-01")
        assert found == ["2026-03-01/eu", "2026-03-01/us"]
        tx.execute("update publication set ended_snapshot = 9 where id = 1")
        assert leader_writes.published_keys(tx, "a", "2026-03-01") == ["2026-03-01/eu"]
        assert leader_writes.published_keys(tx, "a") == sorted(keys[1:])


# Audits and quarantine
# --------------------------------------------------------------------------------------------------


def test_checks_and_profiles_of_an_attempt(store: Store) -> None:
    """Would catch: a check that passed, or one of another partition's attempt, as a failed one."""
    with store.write(None) as tx:
        leader_writes.publish(tx, [publication(1, "d1", n=17), publication(2, "d2", n=18)])
        leader_writes.write_checks(
            tx,
            [
                (2, n, node, key, name, "unique", "warning", outcome, 7, 3, "3 rows", 90)
                for n, node, key, name, outcome in (
                    (17, "a", "d1", "late", "failed"),
                    (17, "a", "d1", "empty", "failed"),
                    (17, "a", "d1", "unique", "passed"),
                    (18, "a", "d2", "other", "failed"),
                )
            ],
        )
        leader_writes.write_profiles(tx, [(2, 17, "a", "d1", "[1]"), (2, 18, "a", "d2", "[2]")])
        assert leader_writes.failed_as_published(tx, "a", "d1") == ("empty", "late")
        assert leader_writes.failed_as_published(tx, "a", "d3") == ()
        tx.execute("update publication set ended_snapshot = 9 where id = 1")
        assert leader_writes.failed_as_published(tx, "a", "d1") == ()
        assert rows_of(tx, "select * from profile order by n") == [
            (2, 17, "a", "d1", "[1]"),
            (2, 18, "a", "d2", "[2]"),
        ]
        assert rows_of(tx, "select kind, severity, rows, failing, detail, at from check_result")[
            0
        ] == ("unique", "warning", 7, 3, "3 rows", 90)


def test_data_in_quarantine_is_superseded_by_newer_data(store: Store) -> None:
    """Would catch: a decision about data that was replaced, one that is undone, a delivery that
    supersedes itself."""
    with store.write(None) as tx:
        given = QuarantineRecord("a", "d1", 2, 17, "held", "bad", "p", 5, "[]", 8, 90)
        other = msgspec.structs.replace(given, partition="d2", delivery_id=9)
        leader_writes.quarantine(tx, [given, other])
        tx.execute("update quarantine set state = 'released' where partition = 'd2'")
        newer = msgspec.structs.replace(given, n=18, state="rejected", delivery_id=10)
        leader_writes.quarantine(tx, [newer, msgspec.structs.replace(other, n=19)])
        columns = "node, partition, epoch, n, state, reason, path, rows, sample, delivery_id, at"
        rest = ("bad", "p", 5, "[]")
        assert rows_of(tx, f"select {columns} from quarantine order by id") == [
            ("a", "d1", 2, 17, "superseded", *rest, 8, 90),
            ("a", "d2", 2, 17, "released", *rest, 9, 90),
            ("a", "d1", 2, 18, "rejected", *rest, 10, 90),
            ("a", "d2", 2, 19, "held", *rest, 9, 90),
        ]
        leader_writes.superseded(tx, [("a", "d1", 11), ("a", "d2", 9), ("b", "d2", 99)])
        states = rows_of(tx, "select state from quarantine order by id")
        assert [state for (state,) in states] == ["superseded", "released", "superseded", "held"]


# Names
# --------------------------------------------------------------------------------------------------


def test_a_renamed_node_keeps_its_history(store: Store) -> None:
    """Would catch: a node that begins anew under its new name, a core that continues from a
    checkpoint with the old one."""
    with store.write(None) as tx:
        assert not leader_writes.is_known_node(tx, "a")
        waiting = PartitionRecord("b", "d1", "waiting", False, 0, None, "", 10)
        leader_writes.mark_partitions(tx, [waiting])
        leader_writes.publish(tx, [PUBLICATION])
        tx.execute("delete from partition where node = 'a'")
        assert leader_writes.is_known_node(tx, "a")
        assert leader_writes.is_known_node(tx, "b")

        partition_states.save_checkpoint(tx, 1, b"core", 60)
        leader_writes.rename_node(tx, "a", "new")
        assert not leader_writes.is_known_node(tx, "a")
        assert leader_writes.is_known_node(tx, "b")
        assert leader_writes.published_keys(tx, "new") == ["d1"]
        assert partition_states.checkpoint(tx) is None


def test_data_that_was_withdrawn_stays_so_under_a_new_name(store: Store) -> None:
    """Would catch: withdrawn rows, and what was computed from them, that are right again because
    their node has another name."""
    with store.write(None) as tx:
        leader_writes.publish(tx, [PUBLICATION])
        publications.withdraw(tx, "a", "d1", snapshot=32, now=50, reason="test rows")
        (before,) = publications.all_withdrawn(tx)
        leader_writes.rename_node(tx, "a", "new")
        assert publications.withdrawn(tx) == {("new", "d1")}
        assert publications.all_withdrawn(tx) == [before._replace(node="new")]
