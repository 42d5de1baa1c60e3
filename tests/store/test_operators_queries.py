"""Durations and pauses: what is found, and at what cost."""

from __future__ import annotations

from state_kinds import ONLY_SQLITE

from headrace.store import Store, Transaction
from headrace.store.queries import attempts, scheduling
from headrace.store.queries.scheduling import Pause


def _attempts(
    tx: Transaction, node: str, seconds: list[float], state: str = "published", first: int = 1
) -> None:
    tx.executemany(
        "insert into attempt (epoch, n, run_id, node, kind, partitions, state, queued_at,"
        " started_at, finished_at) values (1, ?, 1, ?, 'produce', '[]', ?, 0, ?, ?)",
        [
            (first + i, node, state, 5_000_000, 5_000_000 + int(s * 1_000_000))
            for i, s in enumerate(seconds)
        ],
    )


def _run(tx: Transaction) -> None:
    tx.execute(
        "insert into run (id, kind, request, actor, state, started_at) values (1, 'tick', '{}',"
        " 'ann', 'partial', 10)"
    )


def test_only_the_newest_that_succeeded_count(store: Store) -> None:
    """A p95 that failures or last year's slow attempts move."""
    with store.write(None) as tx:
        _run(tx)
        _attempts(tx, "a", [900.0] * 30)
        _attempts(tx, "a", [float(s) for s in range(1, 51)], first=100)
        _attempts(tx, "a", [0.001] * 20, "failed", first=200)
        result = attempts.durations_of_node(tx, "a")
        assert result == attempts.DurationStatistics(p50=25.0, p95=48.0, count=50)
        assert attempts.durations_of_nodes(tx, ["never", "a"]) == {"never": None, "a": result}


def test_one_attempt_is_all_that_is_known(store: Store) -> None:
    """An index out of range, or a percentile of one value that isn't that value."""
    with store.write(None) as tx:
        _run(tx)
        _attempts(tx, "a", [3.5])
        assert attempts.durations_of_node(tx, "a") == attempts.DurationStatistics(3.5, 3.5, 1)


def test_a_node_that_always_fails_costs_no_scan_of_its_history(store: Store) -> None:
    """A search for the last success that walks through all failures of years."""
    with store.write(None) as tx:
        _run(tx)
        _attempts(tx, "a", [1.0])
        _attempts(tx, "a", [1.0] * (attempts.SEARCHED_MAX + 1), "failed", first=10)
        assert attempts.durations_of_node(tx, "a") is None


def test_a_batch_counts_as_what_it_computed(store: Store) -> None:
    """Attempts at thirty days that make one day seem slow; one that is staged and not published
    passed over."""
    with store.write(None) as tx:
        _run(tx)
        _attempts(tx, "a", [1.0, 9.0], "staged")
        tx.execute(
            """update attempt set partitions = '["2025-01-01", "2025-01-02", "2025-01-03"]' where n = 2"""
        )
        of_a = attempts.durations_by_version(tx, "a")
        assert [sample for _, sample in of_a] == [(3, 9.0), (1, 1.0)]
        tx.execute("update run set plan_id = 7 where id = 1")
        assert [
            (item.node, len(item.partitions), item.finished_at)
            for item in attempts.attempts_of_plan(tx, 7, limit=1)
        ] == [("a", 3, 14_000_000)]
        assert attempts.attempts_of_plan(tx, 8, limit=5) == []


@ONLY_SQLITE
def test_durations_are_found_by_an_index(store: Store) -> None:
    """A window that is found by sorting the whole history."""
    ids, parameters = attempts.newest_ids(["a"], 200)
    with store.write(None) as tx:
        plan = str(
            tx.execute(
                f"explain query plan {ids}",
                parameters,
            ).fetchall()
        )
    assert "attempt_of" in plan, plan


def test_a_pause_ends_by_itself_and_keeps_its_beginning(store: Store) -> None:
    """A pause that outlives `until`; a second word about it that makes it look as if it had just
    begun."""
    with store.write(None) as tx:
        scheduling.put_pauses(
            tx, [Pause("a", "vendor", "ann", 10, 100), Pause("b", "vendor", "ann", 10, None)]
        )
        scheduling.put_pauses(tx, [Pause("a", "longer", "bob", 50, 200)])
        assert scheduling.pauses_in_force(tx, 60) == [
            Pause("a", "longer", "bob", 10, 200),
            Pause("b", "vendor", "ann", 10, None),
        ]
        assert [item.node for item in scheduling.pauses_in_force(tx, 200)] == ["b"]
        scheduling.put_pauses(tx, [Pause("a", "again", "ann", 300, None)])
        assert scheduling.pauses_in_force(tx, 300)[0].since == 300
        scheduling.end_pauses(tx, ["a", "b", "never"], 400)
        assert scheduling.pauses_in_force(tx, 300) == []


def test_names_are_data(store: Store) -> None:
    """A node's name that ends up in the text of a statement."""
    with store.write(None) as tx:
        hostile = "x'; drop table pause; --"
        scheduling.put_pauses(tx, [Pause(hostile, hostile, hostile, 1, None)])
        assert scheduling.pauses_in_force(tx, 2)[0].node == hostile
