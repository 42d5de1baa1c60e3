"""What an environment's state records of production, and what production takes over from it."""

from __future__ import annotations

from stored_rows import attempt, insert, publication

from headrace.store import Store, Transaction
from headrace.store.queries import attempts, environments
from headrace.store.queries.environments import FIRST, Borrowed

DAY = "2025-01-01"


def test_what_production_publishes_is_what_readers_see(store: Store) -> None:
    with store.write(None) as tx:
        publication(tx, 1, DAY, content_hash="old", ended_snapshot=2)
        publication(tx, 2, DAY, content_hash="new")
        publication(tx, 3, "", node="daily")
        assert environments.published_in_production(tx) == {
            ("orders", DAY): Borrowed(2, "new"),
            ("daily", ""): Borrowed(3, None),
        }


def test_only_what_differs_in_production_is_written(store: Store) -> None:
    """A publication that is remembered although production has withdrawn it; an event log that
    grows by all of production's partitions at each change."""
    with store.write(None) as tx:
        assert environments.borrowed_nodes(tx) == frozenset()
        seen = {
            ("a", "1"): Borrowed(1, "unchanged hash"),
            ("a", "2"): Borrowed(2, None),
            ("b", "1"): Borrowed(3, "h3"),
        }
        environments.remember_publications(tx, ["b", "a"], seen)
        assert environments.borrowed_nodes(tx) == {"a", "b"}
        assert environments.remembered_publications(tx) == seen
    later = {
        ("a", "1"): Borrowed(1, "unchanged hash"),
        ("a", "2"): Borrowed(9, "another hash"),
        ("c", "1"): Borrowed(7, None),
    }
    with store.write(None) as tx:
        environments.remember_publications(tx, ["a", "c"], later)
    with store.read() as tx:
        assert environments.borrowed_nodes(tx) == {"a", "c"}
        assert environments.remembered_publications(tx) == later
        (content,) = tx.execute(
            "select content from event_log order by seq desc limit 1"
        ).fetchone()
    assert b"another hash" in bytes(content)
    assert b"unchanged hash" not in bytes(content)


def test_reads_from_production_are_recorded_by_attempt(store: Store) -> None:
    with store.write(None) as tx:
        insert(tx, "run", id=1)
        for n, (node, read) in enumerate((("a", 11), ("a", 12), ("b", 13), ("a", 14)), start=1):
            attempt(tx, n, node=node, snapshot_read=read, epoch=2)
        environments.record_reads(tx, [(2, 1, 101), (2, 2, 102), (2, 3, 103), (1, 4, 104)])
        assert environments.recorded_reads(tx, "a") == {(2, 1): (11, 101), (2, 2): (12, 102)}
        assert environments.recorded_reads(tx, "c") == {}


def _promote(tx: Transaction, epoch: int, *keys: str) -> int:
    return environments.add_promotion(
        tx, epoch=epoch, run_id=1, node="orders", keys=keys, version=5, reason="from dev", now=70
    )


def test_promotions_have_numbers_of_their_own(store: Store) -> None:
    """A promotion with the number of an attempt that a worker computes, or of another promotion."""
    with store.write(None) as tx:
        insert(tx, "run", id=1)
        attempt(tx, 8, epoch=2)
        attempt(tx, FIRST - 1, epoch=2)
        attempt(tx, FIRST + 40, epoch=1)
        assert FIRST == 900_000_000
        assert _promote(tx, 2, DAY, "2025-01-02") == FIRST
        assert _promote(tx, 2, DAY) == FIRST + 1
        assert _promote(tx, 1, DAY) == FIRST + 41
        assert _promote(tx, 3, DAY) == FIRST
        attempt(tx, FIRST + FIRST // 9, epoch=3)
        assert _promote(tx, 3, DAY) == FIRST + 1
        attempt(tx, FIRST + FIRST // 9 - 2, epoch=3)
        assert _promote(tx, 3, DAY) == FIRST + FIRST // 9 - 1
        promoted = attempts.get(tx, 2, FIRST)
        assert promoted is not None
        assert promoted.partitions == (DAY, "2025-01-02")
        assert (promoted.run_id, promoted.node, promoted.kind, promoted.state) == (
            1,
            "orders",
            "produce",
            "published",
        )
        assert (promoted.version, promoted.reason) == (5, "from dev")
        assert (promoted.queued_at, promoted.finished_at, promoted.published_at) == (70, 70, 70)


def test_outcomes_of_an_attempt_are_copied(store: Store) -> None:
    """Checks of another partition of the same attempt taken over."""
    with store.write(None) as tx:
        for n, node, partition, name in (
            (1, "orders", DAY, "unique"),
            (1, "orders", DAY, "amount"),
            (1, "orders", "2025-01-02", "unique"),
            (2, "orders", DAY, "unique"),
        ):
            insert(
                tx,
                "check_result",
                epoch=1,
                n=n,
                node=node,
                partition=partition,
                name=name,
                kind="sql",
                severity="blocking",
                outcome="passed",
                rows=10 * n,
                failing=n,
                detail=f"{name} of {n}",
                at=1,
            )
        rows = environments.checks_of(tx, 1, 1, "orders", DAY)
        assert [tuple(row) for row in rows] == [
            ("amount", "sql", "blocking", "passed", 10, 1, "amount of 1"),
            ("unique", "sql", "blocking", "passed", 10, 1, "unique of 1"),
        ]
        insert(tx, "profile", epoch=1, n=1, node="orders", partition=DAY, columns='{"a": 1}')
        assert environments.profile_of(tx, 1, 1, DAY) == '{"a": 1}'
        assert environments.profile_of(tx, 1, 1, "2025-01-02") is None
        insert(tx, "run", id=1)
        for n in (1, 2, 3):
            attempt(tx, n, DAY)
        environments.mark_verdicts(tx, [("passed", 1, 1), ("warned", 1, 3)])
        verdicts = [item.verdict for item in attempts.of_run(tx, 1)]
        assert verdicts == ["passed", None, "warned"]
