"""Queries of the grid of runs, of what ran beside a run, and of runs by owner, on both databases."""

from __future__ import annotations

from stored_rows import attempt, insert

from headrace.store import Store
from headrace.store.queries import runs
from headrace.store.queries.runs import RunFilter
from headrace_ui.queries import run_grid, run_load
from headrace_ui.queries.run_grid import OfRuns

ALL = OfRuns()


def filled(store: Store) -> None:
    with store.write(None) as tx:
        insert(tx, "run", id=1, started_at=100, actor="ann")
        insert(tx, "run", id=2, started_at=200, actor="bob", kind="serve")
        insert(tx, "run", id=3, started_at=300, actor="bob", plan_id=1)
        attempt(tx, 1, "2025-01-01", run_id=1, queued_at=10, started_at=11, finished_at=12)
        attempt(tx, 2, "2025-01-02", run_id=2, queued_at=20, state="failed", finished_at=25)
        attempt(tx, 3, "2025-01-01", "2025-01-03", run_id=2, queued_at=30, state="running")
        attempt(tx, 4, "2025-01-02/café", run_id=1, node="a%b", queued_at=40, finished_at=45)
        attempt(tx, 1, "*", epoch=2, run_id=3, node="whole", queued_at=50, state="cancelled")
        insert(tx, "partition", node="orders", partition="2025-01-02", state="failed")


def test_the_attempts_of_a_node_are_found_by_their_intervals(store: Store) -> None:
    """Would catch: a parameter or a sign of a pattern that only one of the databases takes, an
    attempt at several partitions that begins before the interval and is lost."""
    filled(store)
    with store.read() as tx:
        every = run_grid.at_intervals(tx, "orders", "2025-01-01", "2025-01-09", ALL)
        assert sorted(item.n for item in every) == [1, 2, 3]
        later = run_grid.at_intervals(tx, "orders", "2025-01-02", "2025-01-09", ALL)
        assert sorted(item.n for item in later) == [2, 3]
        mine = run_grid.at_intervals(tx, "orders", "2025-01-01", "2025-01-09", OfRuns(actor="bob"))
        assert sorted(item.n for item in mine) == [2, 3]
        (keyed,) = run_grid.at_intervals(tx, "a%b", "2025-01-02", "2025-01-02", ALL)
        assert keyed.partitions == '["2025-01-02/café"]'
        assert [item.n for item in run_grid.between(tx, "whole", 50, 51, ALL)] == [1]
        assert run_grid.between(tx, "whole", 51, 60, ALL) == []
        assert run_grid.newest(tx)[0] == ("whole", '["*"]', 50)


def test_the_nodes_that_may_fit_are_found(store: Store) -> None:
    """Would catch: a node that a filter leaves out on one of the databases."""
    filled(store)
    with store.read() as tx:
        assert run_grid.unpublished_nodes(tx, 0) == {"orders", "whole"}
        assert run_grid.unpublished_nodes(tx, 301) == {"orders"}
        assert run_grid.nodes_under_way(tx) == {"orders"}
        assert run_grid.nodes_in_states(tx, ["cancelled", "skipped"]) == {"whole"}
        assert run_grid.nodes_of_runs(tx, OfRuns(kind="serve"), 0) == {"orders"}
        assert run_grid.nodes_of_runs(tx, OfRuns(actor="bob"), 250) == {"whole"}
        page = runs.page(tx, RunFilter(nodes=frozenset({"a%b"})), limit=9, before=None)
        assert [run.id for run in page] == [1]
        assert runs.page(tx, RunFilter(nodes=frozenset()), limit=9, before=None) == []


def test_what_ran_beside_a_run_and_ended_it(store: Store) -> None:
    """Would catch: an attempt under way that isn't counted, and one that ended before."""
    filled(store)
    with store.read() as tx:
        beside = run_load.during(tx, 2, 20, 30)
        assert [(row.epoch, row.n) for row in beside] == [(1, 2)]
        beside = run_load.during(tx, 2, 11, 45)
        assert [(row.epoch, row.n) for row in beside] == [(1, 1), (1, 2), (1, 3), (1, 4)]
        assert run_load.spans_of_run(tx, 1) == [(1, 1, 4)]
        assert [item.n for item in run_load.last_ended(tx, 1)] == [4, 1]
        assert run_load.nodes_of_run(tx, 1) == {"orders", "a%b"}
