"""What the page of a run reads of its attempts, on both databases."""

from __future__ import annotations

from typing import Any

from stored_rows import attempt, insert
from table_rows import add

from headrace.store import Store, Transaction
from headrace.store.queries import ledger
from headrace.store.queries.ledger import AttemptRecord
from headrace_ui.queries import run_attempts
from headrace_ui.queries.run_attempts import AttemptFilter


def _runs(tx: Transaction) -> None:
    """Run 1, and run 2 of the backfill 4."""
    add(tx, "plan", {"id": 4, "created_at": 44, "started_at": 45, "needs": "policy"})
    add(tx, "run", {"id": 1, "started_at": 11}, {"id": 2, "started_at": 22, "plan_id": 4})


def _numbers(records: list[AttemptRecord]) -> list[tuple[int, int]]:
    return [(record.epoch, record.n) for record in records]


def test_attempts_of_a_run(store: Store) -> None:
    """Would catch: a page that begins with the last attempt of the one before, one that skips
    attempts of the next leader, an attempt that goes on among those without a publication."""
    with store.write(None) as tx:
        _runs(tx)
        add(
            tx,
            "attempt",
            {"n": 7, "state": "failed"},
            {"n": 8, "state": "published", "node": "b", "queued_at": 5},
            {"epoch": 2, "n": 1, "state": "held"},
            {"epoch": 2, "n": 2, "state": "running", "partitions": '["d2", "d1"]'},
            {"epoch": 2, "n": 3, "state": "queued", "partitions": '["d1"]'},
            {"epoch": 2, "n": 4, "state": "queued", "partitions": '["d3"]', "node": "b"},
            {"epoch": 2, "n": 5, "state": "lost"},
            {"epoch": 2, "n": 6, "state": "lost", "run_id": 2},
            {"epoch": 2, "n": 7, "state": "running", "run_id": 2},
        )

        def page(after: tuple[int, int], limit: int, **only: Any) -> list[tuple[int, int]]:
            rows = run_attempts.of_run(tx, 1, after, limit, AttemptFilter(**only))
            return _numbers([record for _, record in rows])

        assert page((0, 0), 2) == [(1, 7), (1, 8)]
        assert page((1, 8), 3) == [(2, 1), (2, 2), (2, 3)]
        assert page((2, 3), 9) == [(2, 4), (2, 5)]
        assert page((0, 0), 9, unpublished=True) == [(1, 7), (2, 1), (2, 5)]
        assert page((0, 0), 9, state="queued") == [(2, 3), (2, 4)]
        assert page((0, 0), 9, nodes=frozenset("b")) == [(1, 8), (2, 4)]
        assert page((0, 0), 9, state="queued", nodes=frozenset("b")) == [(2, 4)]
        assert page((0, 0), 9, nodes=frozenset()) == []
        ((node, record),) = run_attempts.of_run(tx, 1, (1, 7), 1, AttemptFilter())
        assert (node, record.n, record.queued_at, record.partitions) == ("b", 8, 5, '["d1"]')
        assert run_attempts.under_way_of_run(tx, 1) == [("a", "d2"), ("a", "d1"), ("b", "d3")]


def test_when_an_attempt_was_tried_before(store: Store) -> None:
    """Would catch: an attempt of another run, kind or set of partitions as the try before."""
    with store.write(None) as tx:
        _runs(tx)
        add(
            tx,
            "attempt",
            {"n": 1, "finished_at": 31},
            {"n": 2, "finished_at": 32},
            {"n": 3, "finished_at": 33, "run_id": 2},
            {"n": 4, "finished_at": 34, "kind": "export"},
            {"n": 5, "finished_at": 35, "node": "b"},
            {"n": 6, "finished_at": 36, "partitions": '["d2"]'},
            {"epoch": 2, "n": 1, "finished_at": 41},
        )
        newest, before, first = (
            ledger.attempts(tx, [("a", "d1")])["a", "d1"][n] for n in (-1, 1, 0)
        )
        assert (newest.n, newest.epoch, before.n, first.n) == (1, 2, 2, 1)
        assert run_attempts.tried_before(tx, "a", newest) == 32
        assert run_attempts.tried_before(tx, "a", before) == 31
        assert run_attempts.tried_before(tx, "a", first) is None


def test_a_batch_was_tried_before_at_all_of_its_partitions(store: Store) -> None:
    """Would catch: attempts whose lists of partitions begin alike, taken for each other."""
    hours = [f"h{hour:05}-{hour * 7919 % 100_003:06}" for hour in range(2000)]
    with store.write(None) as tx:
        insert(tx, "run", id=1)
        for n, keys in enumerate((hours, hours[:-1], hours), start=1):
            attempt(tx, n, *keys, node="src", queued_at=n, finished_at=10 + n)
        records = ledger.attempts(tx, [("src", hours[0])])["src", hours[0]]
        newest = next(record for record in records if record.n == 3)
        assert run_attempts.tried_before(tx, "src", newest) == 11


def test_what_a_run_left_unpublished(store: Store) -> None:
    """Would catch: data that a backfill has staged, a batch whose deliveries were ingested in other
    attempts, a wait that is over, among what wasn't published."""
    full = {"state": "skipped", "error": '{"kind": "environment"}', "queued_at": 5}
    with store.write(None) as tx:
        _runs(tx)
        states = ("failed", "lost", "held", "rejected", "cancelled", "queued", "running", "staged")
        add(
            tx,
            "attempt",
            *({"n": n, "state": state, "queued_at": 5} for n, state in enumerate(states, 1)),
            {"n": 9, "state": "skipped", "reason": "ingested alone", "queued_at": 5},
            {"n": 10, "partitions": '["d1","d2"]'} | full,
            {"n": 11, "partitions": '["d1"]'} | full,
            {"n": 12, "node": "b", "partitions": '["d1"]'} | full,
        )
        add(tx, "publication", {"id": 1, "node": "a", "partition": "d1", "published_at": 5})
        add(tx, "publication", {"id": 2, "node": "b", "partition": "d1", "published_at": 4})
        listed = run_attempts.of_run(tx, 1, (0, 0), 99, AttemptFilter(unpublished=True))
        assert [record.n for _, record in listed] == [1, 2, 3, 4, 5, 10, 12]
        assert run_attempts.unpublished_of_run(tx, 1) == [("a", 6), ("b", 1)]
        assert run_attempts.open_of_run(tx, 1, (0, 0), (9, 99)) == {(1, 10), (1, 12)}
        assert run_attempts.open_of_run(tx, 1, (1, 2), (1, 10)) == {(1, 10)}


def test_attempts_of_runs_are_counted_by_state_and_node(store: Store) -> None:
    """Would catch: attempts of another run; a node before one that was attempted first."""
    with store.write(None) as tx:
        add(tx, "run", {"id": 3}, {"id": 4}, {"id": 5})
        tried = (("lost", "a"), ("published", "z"), ("published", "a"), ("published", "z"))
        add(
            tx,
            "attempt",
            *(
                {"n": n, "state": state, "node": node, "run_id": 3}
                for n, (state, node) in enumerate(tried, 1)
            ),
            {"n": 9, "state": "queued", "run_id": 4},
            {"n": 10, "state": "failed", "run_id": 5},
        )
        assert run_attempts.counts_of_runs(tx, [3, 4, 99]) == {
            3: [("lost", "a", 1), ("published", "z", 2), ("published", "a", 1)],
            4: [("queued", "a", 1)],
        }
