"""Failed partitions, and attempts that were lost, short of resources or slow."""

from __future__ import annotations

import msgspec
from state_kinds import ONLY_SQLITE
from table_rows import add

from headrace.store import Store, Transaction
from headrace.store.queries import failures
from headrace.store.queries.failures import InputTotals, NodeFailure, Working

STATES = (
    ("a", "d1", "failed", 3),
    ("a", "d2", "published", 0),
    ("a", "d3", "missing", 0),
    ("a", "d4", "rejected", 1),
    ("a", "d5", "waiting", 1),
    ("a", "d6", "waiting", 0),
    ("a", "d7", "held", 0),
    ("a", "d8", "running", 1),
    ("b", "d2", "failed", 1),
    ("b", "d1", "failed", 1),
    ("c", "d1", "held", 0),
)


def _states(tx: Transaction) -> None:
    columns = ("node", "partition", "state", "failures")
    add(tx, "partition", *(dict(zip(columns, row, strict=True)) for row in STATES))


def test_what_retry_starts_again(store: Store) -> None:
    """Would catch: partitions of another run, ones that were published since, one named twice, an
    order by number that forgets the epoch."""
    with store.write(None) as tx:
        _states(tx)
        add(tx, "run", {"id": 1}, {"id": 2})
        add(
            tx,
            "attempt",
            {"epoch": 2, "n": 1, "partitions": '["d1", "d2"]', "state": "failed"},
            {"epoch": 2, "n": 2, "partitions": '["d3"]', "state": "lost"},
            {"epoch": 2, "n": 3, "partitions": '["d4"]', "state": "rejected"},
            {"epoch": 2, "n": 4, "partitions": '["d5"]', "state": "published"},
            {"epoch": 2, "n": 5, "partitions": '["d1"]', "state": "failed"},
            {"epoch": 2, "n": 6, "partitions": '["d7"]', "state": "failed"},
            {"epoch": 2, "n": 7, "partitions": '["d6"]', "state": "failed", "run_id": 2},
            {"epoch": 1, "n": 9, "partitions": '["d2"]', "state": "lost", "node": "b"},
        )
        assert failures.failed_in_run(tx, 1) == [
            ("b", "d2"),
            ("a", "d1"),
            ("a", "d3"),
            ("a", "d4"),
        ]
        assert failures.failed_in_run(tx, 2) == [("a", "d6")]
        assert failures.failed_in_run(tx, 3) == []
        assert failures.failed_at_node(tx, "a") == [("a", f"d{n}") for n in (1, 4, 5, 6)]
        assert failures.failed_at_node(tx, "a", "d4") == [("a", "d4")]
        assert failures.failed_at_node(tx, "a", "d6") == [("a", "d6")]
        add(tx, "attempt", {"epoch": 3, "n": 1, "partitions": '["d6", "d9"]', "state": "held"})
        assert failures.failed_at_node(tx, "a", "d6") == []
        assert failures.failed_at_node(tx, "b") == [("b", "d1"), ("b", "d2")]


def test_partitions_that_need_something(store: Store) -> None:
    """Would catch: a stale partition that counts as published, a limit that isn't one."""
    with store.write(None) as tx:
        _states(tx)
        assert failures.failing_nodes(tx) == ["a", "b"]
        unpublished = [key for node, key, state, _ in STATES if node == "a" and key != "d2"]
        assert sorted(failures.unpublished_partitions(tx, "a")) == unpublished
        tx.execute("update partition set stale = 1 where node = 'a' and partition = 'd2'")
        assert "d2" in failures.unpublished_partitions(tx, "a")
        assert failures.failed_held_or_rejected(tx, 5) == [
            ("a", "d1", "failed"),
            ("a", "d4", "rejected"),
            ("a", "d7", "held"),
            ("b", "d1", "failed"),
            ("b", "d2", "failed"),
        ]
        assert failures.failed_held_or_rejected(tx, 6)[5:] == [("c", "d1", "held")]


def test_nodes_whose_newest_attempt_failed(store: Store) -> None:
    """Would catch: a failure of earlier code, or one that a later attempt has made good."""
    failed = {"version": 3, "state": "failed", "error": '{"code": "x"}', "finished_at": 77}
    with store.write(None) as tx:
        add(tx, "run", {"id": 1})
        for node in ("a", "b", "c", "d", "e", "f", "g", "h"):
            add(tx, "partition", {"node": node, "partition": "d2", "state": "failed"})
        add(tx, "partition", {"node": "e", "partition": "d1", "state": "waiting"})
        keys = {"partitions": '["d2", "d3"]'}
        add(
            tx,
            "attempt",
            failed | keys | {"n": 1, "node": "a", "error": "{}"},
            failed | keys | {"n": 2, "node": "a", "reason": "broken"},
            failed | keys | {"n": 3, "node": "b"},
            keys | {"n": 4, "node": "b", "version": 3, "state": "running", "error": "{}"},
            failed | keys | {"n": 5, "node": "c", "version": 2},
            failed | keys | {"n": 6, "node": "d", "error": None},
            failed | {"n": 7, "node": "e", "partitions": '["d1", "d2"]'},
            failed | keys | {"n": 8, "node": "g"},
            failed | {"n": 9, "node": "h", "partitions": '["d9"]'},
        )
        assert failures.newest_failures(tx, 3) == [
            NodeFailure("a", "d2", "broken", '{"code": "x"}', 77),
            NodeFailure("g", "d2", "", '{"code": "x"}', 77),
        ]
        assert [item.node for item in failures.newest_failures(tx, 2)] == ["c"]


def _ended(n: int, seconds: float, measures: dict[str, float] | None = None) -> dict[str, object]:
    times = {"started_at": 5_000_000, "finished_at": 5_000_000 + int(seconds * 1_000_000)}
    text = None if measures is None else msgspec.json.encode(measures).decode()
    return {"n": n, "measures": text} | times


def test_durations_and_inputs_of_a_node(store: Store) -> None:
    """Would catch: a wait for a processor that counts as work, a clock that was set back and makes
    a duration negative, an attempt that came to nothing."""
    with store.write(None) as tx:
        add(tx, "run", {"id": 1})
        read = {"rows_in": 30, "bytes_in": 400}
        add(
            tx,
            "attempt",
            _ended(1, 5.0, read | {"processor_wait_seconds": 1.5}),
            _ended(2, 7.0) | {"state": "staged", "partitions": '["d1", "d2"]'},
            _ended(3, 9.0, read) | {"state": "failed"},
            {"n": 4, "finished_at": 9_000_000},
            {"n": 5, "started_at": 9_000_000},
            _ended(6, -2.0, {}) | {"partitions": '["d1", "d2", "d3"]', "epoch": 2},
            _ended(7, 8.0) | {"node": "b"},
        )
        assert failures.seconds_of_node(tx, "a") == [("2.6", 0.0), ("1.2", 7.0), ("1.1", 3.5)]
        assert failures.inputs_of_node(tx, "a") == [InputTotals(3, 0, 0), InputTotals(1, 30, 400)]
        assert failures.inputs_of_node(tx, "b") == []


def test_fifty_successes_among_the_newest_two_hundred_attempts(store: Store) -> None:
    """Would catch: a search through all failures of years, for a node that always fails."""
    with store.write(None) as tx:
        add(tx, "run", {"id": 1})
        add(tx, "attempt", *(_ended(n, 1.0) for n in range(1, 52)))
        assert [item for item, _ in failures.seconds_of_node(tx, "a")] == [
            f"1.{n}" for n in range(51, 1, -1)
        ]
        add(tx, "attempt", *({"n": n, "state": "failed"} for n in range(100, 299)))
        assert failures.seconds_of_node(tx, "a") == [("1.51", 1.0)]
        add(tx, "attempt", {"n": 299, "state": "failed"})
        assert failures.seconds_of_node(tx, "a") == []


def test_up_to_where_all_attempts_ended(store: Store) -> None:
    """Would catch: evidence that is gathered beyond an attempt which still runs, and so never from
    it."""
    with store.write(None) as tx:
        assert failures.ended_up_to(tx) == (0, 0)
        add(tx, "run", {"id": 1})
        add(tx, "attempt", {"epoch": 2, "n": 9}, {"epoch": 3, "n": 5}, {"epoch": 3, "n": 7})
        assert failures.ended_up_to(tx) == (3, 7)
        add(tx, "attempt", {"epoch": 3, "n": 8, "state": "queued"})
        add(tx, "attempt", {"epoch": 4, "n": 2, "state": "running"}, {"epoch": 4, "n": 3})
        assert failures.ended_up_to(tx) == (3, 7)
        tx.execute("update attempt set state = 'lost' where epoch = 3")
        assert failures.ended_up_to(tx) == (4, 1)


def test_attempts_that_were_lost_or_lacked_resources(store: Store) -> None:
    """Would catch: an attempt that is evidence twice, because the position itself counts; inputs of
    one that has no end."""
    short = '{"kind": "resources"}'
    measures = '{"rows_in": 30, "bytes_in": 400, "processor_wait_seconds": 2.5}'
    with store.write(None) as tx:
        add(tx, "run", {"id": 1})
        add(
            tx,
            "attempt",
            {"epoch": 1, "n": 9, "state": "lost"},
            {"epoch": 2, "n": 3, "state": "lost"},
            {"epoch": 2, "n": 4, "state": "failed", "error": '{"kind": "user_code"}'},
            {"epoch": 2, "n": 5, "state": "published", "error": short},
            {"epoch": 2, "n": 6, "state": "lost", "measures": measures, "started_at": 61},
            {
                "epoch": 2,
                "n": 7,
                "node": "b",
                "partitions": '["d1", "d2"]',
                "state": "failed",
                "reason": "memory",
                "error": short,
                "started_at": 71,
                "finished_at": 72,
                "measures": measures,
            },
            {"epoch": 3, "n": 1, "state": "lost", "finished_at": 82},
        )
        assert failures.lost_or_short(tx, (2, 3)) == [
            Working("2.6", "a", ("d1",), "lost", "", None, 61, None),
            Working(
                "2.7",
                "b",
                ("d1", "d2"),
                "failed",
                "memory",
                short,
                71,
                72,
                InputTotals(2, 30, 400),
                2.5,
            ),
            Working("3.1", "a", ("d1",), "lost", "", None, 0, 82),
        ]
        assert [item.attempt for item in failures.lost_or_short(tx, (0, 0))][:3] == [
            "1.9",
            "2.3",
            "2.6",
        ]


def test_attempts_that_took_long_or_have_so_far(store: Store) -> None:
    """Would catch: an attempt that is as long as the limit, a running one whose duration is
    unknown, one that failed and so says nothing about the work's duration."""
    with store.write(None) as tx:
        add(tx, "run", {"id": 1})
        times = {"started_at": 100, "finished_at": 151}
        add(
            tx,
            "attempt",
            {"n": 1} | times,
            {"n": 2} | times,
            {"n": 3, "started_at": 100, "finished_at": 150},
            {"n": 4, "state": "running", "started_at": 149},
            {"n": 5, "state": "running", "started_at": 150},
            {"n": 6, "state": "failed"} | times,
            {"n": 7, "state": "queued"},
            {"n": 8, "state": "held"} | times,
        )
        result = failures.long_running(tx, (1, 1), least=50, now=200)
        assert [(item.attempt, item.finished_at) for item in result] == [
            ("1.2", 151),
            ("1.4", None),
            ("1.8", 151),
        ]


@ONLY_SQLITE
def test_at_most_5000_attempts_are_evidence_at_once(store: Store) -> None:
    with store.write(None) as tx:
        add(tx, "run", {"id": 1})
        tx.executemany(
            "insert into attempt (epoch, n, run_id, node, kind, partitions, state, queued_at)"
            " values (1, ?, 1, 'a', 'produce', '[]', 'lost', 1)",
            [(n,) for n in range(5_001)],
        )
        assert len(failures.lost_or_short(tx, (0, 0))) == 5_000
