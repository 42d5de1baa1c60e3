"""Runs: the newest and the failed ones, and those whose leader has died."""

from __future__ import annotations

import pytest
from written_rows import run

from headrace.store import Lease, Store
from headrace.store.queries import leader_writes, runs
from headrace.store.queries.runs import Run, RunFilter


@pytest.fixture
def filled(store: Store) -> Store:
    """Five runs that began at 10, 20, … 50; the second goes on."""
    with store.write(None) as tx:
        for number, state in enumerate(("failed", "", "partial", "succeeded", "lost"), 1):
            run(tx, f"kind {number}", now=number * 10)
            if state:
                leader_writes.finish_run(tx, number, state, number * 10 + 5)
    return store


def _ids(items: list[Run]) -> list[tuple[int, str]]:
    return [(item.id, item.state) for item in items]


def test_a_run_without_a_leader_is_lost(filled: Store) -> None:
    """Would catch: a run that is shown as running after its leader was killed; one shown as lost
    under a leader; failed runs that lack the lost ones."""
    with filled.read() as tx:
        assert _ids(runs.failed(tx)) == [(5, "lost"), (3, "partial"), (2, "lost"), (1, "failed")]
        assert _ids(runs.page(tx, RunFilter(failed=True), limit=9, before=None)) == _ids(
            runs.failed(tx)
        )
        assert [item.state for item in runs.newest(tx)] == [
            "lost",
            "succeeded",
            "partial",
            "lost",
            "failed",
        ]
        assert runs.get(tx, 2) == Run(2, "kind 2", "{}", "ann", "lost", 20, None)
        assert runs.get(tx, 4) == Run(4, "kind 4", "{}", "ann", "succeeded", 40, 45)
        assert runs.get(tx, 9) is None
    lease = Lease.take(filled, "ann")
    assert lease is not None
    with filled.read() as tx:
        assert _ids(runs.failed(tx)) == [(5, "lost"), (3, "partial"), (1, "failed")]
        assert _ids(runs.page(tx, RunFilter(failed=True), limit=9, before=None)) == _ids(
            runs.failed(tx)
        )
        second = runs.get(tx, 2)
        assert second is not None and second.state == "running"
        assert [item.state for item in runs.newest(tx)][3] == "running"
    lease.release()


def test_runs_are_listed_within_their_bounds(filled: Store) -> None:
    """Would catch: a page that repeats a run of the page before it; a bound that counts or
    doesn't; the oldest runs instead of the newest."""
    with filled.read() as tx:
        assert [item.id for item in runs.newest(tx, limit=2)] == [5, 4]
        assert [item.id for item in runs.newest(tx, since_us=40)] == [5, 4]
        assert [item.id for item in runs.failed(tx, limit=2)] == [5, 3]
        assert [item.id for item in runs.failed(tx, since_us=20)] == [5, 3, 2]
        assert [item.id for item in runs.page(tx, RunFilter(), limit=2, before=None)] == [5, 4]
        assert [item.id for item in runs.page(tx, RunFilter(), limit=2, before=4)] == [3, 2]
        assert [item.id for item in runs.page(tx, RunFilter(failed=True), limit=2, before=5)] == [
            3,
            2,
        ]


def test_at_most_50_runs_are_listed(store: Store) -> None:
    """Would catch: a list that grows with the history; a first run that began at 0 left out."""
    with store.write(None) as tx:
        run(tx, now=0)
        leader_writes.finish_run(tx, 1, "failed", 1)
        assert [item.id for item in runs.newest(tx)] == [1]
        assert [item.id for item in runs.failed(tx)] == [1]
        for number in range(2, 52):
            run(tx, now=number)
            leader_writes.finish_run(tx, number, "failed", number)
        assert [item.id for item in runs.newest(tx)] == list(range(51, 1, -1))
        assert [item.id for item in runs.failed(tx)] == list(range(51, 1, -1))


def test_a_cancelled_run_shows_so_and_tells_by_whom(filled: Store) -> None:
    """Would catch: the state of its work shown instead, or its columns in exchange."""
    with filled.write(None) as tx:
        leader_writes.cancel_run(tx, 2, "partial", 70, "bob", "wrong day")
        cancelled, failed = runs.get(tx, 2), runs.get(tx, 1)
        assert cancelled == Run(2, "kind 2", "{}", "ann", "partial", 20, 70, 70, "bob", "wrong day")
        assert failed is not None
        assert (cancelled.shown_state, failed.shown_state) == ("cancelled", "failed")
