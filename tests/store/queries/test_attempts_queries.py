"""Attempts at partitions: which are found, in which order, and what an ended leader left."""

from __future__ import annotations

import pytest
from state_kinds import ONLY_SQLITE
from stored_rows import attempt, insert, keys_of, publication
from table_rows import add

from headrace.store import Store
from headrace.store.lease import Lease
from headrace.store.queries import attempts
from headrace.store.queries.attempts import Attempt, PlanAttempt

DAY = "2025-01-01"
SECOND = 1_000_000


def test_an_attempt_is_read_with_all_its_columns(store: Store) -> None:
    """A column that stands in the place of its neighbour."""
    with store.write(None) as tx:
        insert(tx, "run", id=1)
        insert(tx, "delivery", id=7, source="src", partition=DAY)
        insert(
            tx,
            "attempt",
            epoch=2,
            n=3,
            run_id=1,
            node="src",
            kind="take_in",
            partitions=keys_of("a", "b"),
            state="held",
            version=5,
            snapshot_read=6,
            delivery_id=7,
            queued_at=8,
            started_at=9,
            finished_at=10,
            published_at=11,
            verdict="warned",
            reason="why",
            measures='{"rows_out": 12, "environment": "e"}',
            error='{"kind": "data"}',
        )
        insert(tx, "content", hash="e", bytes=b'{"python": "3.13"}')
        expected = Attempt(
            epoch=2,
            n=3,
            run_id=1,
            node="src",
            kind="take_in",
            partitions=("a", "b"),
            state="held",
            version=5,
            snapshot_read=6,
            delivery_id=7,
            queued_at=8,
            started_at=9,
            finished_at=10,
            published_at=11,
            verdict="warned",
            reason="why",
            measures={"rows_out": 12, "environment": "e"},
            error={"kind": "data"},
        )
        assert attempts.get(tx, 2, 3) == expected
        assert expected.id == "2.3"
        assert attempts.get(tx, 3, 2) is None
        assert attempts.environment(tx, expected) == b'{"python": "3.13"}'
        for n, measures in enumerate((None, '{"rows_out": 1}', '{"environment": "gone"}')):
            attempt(tx, n, DAY, measures=measures)
            other = attempts.get(tx, 1, n)
            assert other is not None
            assert attempts.environment(tx, other) is None


def test_attempts_are_found_by_run_plan_and_node(store: Store) -> None:
    """Attempts of another run or node; a limit that keeps the oldest ones of a node."""
    with store.write(None) as tx:
        for run, plan in ((1, None), (2, 9), (3, 9), (4, 8)):
            insert(tx, "run", id=run, plan_id=plan)
        for epoch, n, run, node, state in (
            (1, 8, 1, "orders", "published"),
            (1, 9, 2, "orders", "failed"),
            (2, 1, 3, "daily", "published"),
            (2, 2, 3, "orders", "held"),
            (2, 3, 2, "orders", "published"),
            (2, 4, 4, "orders", "failed"),
        ):
            attempt(tx, n, DAY, epoch=epoch, run_id=run, node=node, state=state)
        assert [item.id for item in attempts.of_run(tx, 2)] == ["1.9", "2.3"]
        assert [item.id for item in attempts.of_run(tx, 2, limit=1)] == ["1.9"]
        assert [item.id for item in attempts.of_plan(tx, 9)] == ["1.9", "2.1", "2.2", "2.3"]
        assert attempts.of_plan(tx, 7) == []
        ids = [item.id for item in attempts.of_node(tx, "orders")]
        assert ids == ["2.4", "2.3", "2.2", "1.9", "1.8"]
        assert [item.id for item in attempts.of_node(tx, "orders", limit=2)] == ids[:2]
        failed = attempts.of_node(tx, "orders", states=("failed", "held"), limit=2)
        assert [item.id for item in failed] == ["2.4", "2.2"]


def test_lists_have_a_default_limit(store: Store) -> None:
    with store.write(None) as tx:
        insert(tx, "run", id=1)
        for n in range(52):
            attempt(tx, n, DAY)
        assert [item.n for item in attempts.of_node(tx, "orders")] == list(range(51, 1, -1))
        assert [item.n for item in attempts.of_partition(tx, "orders", DAY)] == list(
            range(51, 41, -1)
        )


def test_attempts_at_a_partition_are_those_alone_and_with_others(store: Store) -> None:
    """A partition's newest attempt that isn't found because it computed a whole month; one of
    another partition that has a similar key."""
    with store.write(None) as tx:
        insert(tx, "run", id=1)
        attempt(tx, 1, DAY, epoch=1)
        attempt(tx, 2, "2024-12-31", DAY, epoch=1)
        attempt(tx, 3, "2024-12-31", "2025-01-01T00:00", epoch=1)
        attempt(tx, 1, DAY, "2025-01-02", epoch=2)
        attempt(tx, 2, "2025-01-01T00:00", epoch=2)
        attempt(tx, 3, DAY, epoch=2)
        attempt(tx, 4, DAY, epoch=2, node="daily")
        ids = [item.id for item in attempts.of_partition(tx, "orders", DAY)]
        assert ids == ["2.3", "2.1", "1.2", "1.1"]
        assert [item.id for item in attempts.of_partition(tx, "orders", DAY, limit=3)] == ids[:3]


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("error", "short"),
    [
        ({"kind": "resources", "code": "out_of_disk"}, True),
        ({"kind": "resources", "code": "out_of_memory"}, False),
        ({"kind": "data", "code": "out_of_disk"}, False),
    ],
)
def test_only_other_shortages_count(store: Store, error: dict[str, str], short: bool) -> None:
    """A node that runs out of memory by itself, explained by a machine that is short of it."""
    text = str(error).replace("'", '"')
    with store.write(None) as tx:
        insert(tx, "run", id=1)
        attempt(tx, 1, node="daily", state="failed", finished_at=50, error=text)
        attempt(tx, 2, node="daily", state="failed", finished_at=60, error=None)
        attempt(tx, 3, node="daily", state="published", finished_at=60, error=text)
        attempt(tx, 4, node="orders", state="failed", finished_at=60, error=text)
        assert attempts.others_short(tx, "orders", 50, "out_of_memory") is short
        assert not attempts.others_short(tx, "orders", 51, "out_of_memory")


def test_failures_in_a_row_end_at_the_last_success(store: Store) -> None:
    """Failures counted across a success; a cancelled attempt that begins the count anew."""
    with store.write(None) as tx:
        insert(tx, "run", id=1)
        states = ["failed", "published", "failed", "skipped", "lost", "cancelled", "failed"]
        for n, state in enumerate([*states, "queued"], start=1):
            attempt(tx, n, DAY, state=state)
        attempt(tx, 1, DAY, epoch=2, state="failed")
        assert attempts.failed_in_a_row(tx, "orders", DAY) == ["2.1", "1.8", "1.7", "1.5", "1.3"]
        assert attempts.failed_in_a_row(tx, "orders", DAY, until=(1, 7)) == ["1.7", "1.5", "1.3"]
        assert attempts.failed_in_a_row(tx, "orders", DAY, until=(1, 6)) == ["1.5", "1.3"]
        assert attempts.failed_in_a_row(tx, "orders", "never") == []


def test_failures_in_a_row_are_counted_up_to_a_limit(store: Store) -> None:
    """A count that walks through years of failures."""
    with store.write(None) as tx:
        insert(tx, "run", id=1)
        for n in range(203):
            attempt(tx, n, DAY, state="failed")
        ids = attempts.failed_in_a_row(tx, "orders", DAY)
        assert (len(ids), ids[0], ids[-1]) == (200, "1.202", "1.3")


def test_open_attempts_of_an_ended_leader_are_lost(store: Store) -> None:
    """An attempt shown as running for ever after its leader was killed, or counted as running."""
    with store.write(None) as tx:
        insert(tx, "run", id=1)
    lease = Lease.take(store, "the leader")
    assert lease is not None
    before, now = lease.epoch - 1, lease.epoch
    with store.write(None) as tx:
        for epoch in (before, now):
            for n, state in enumerate(("running", "published", "queued"), start=1):
                attempt(tx, n, DAY, epoch=epoch, state=state, reason="as written")
    with store.read() as tx:
        assert [(item.id, item.state, item.reason) for item in attempts.of_run(tx, 1)] == [
            (f"{before}.1", "lost", "the runtime ended while it ran"),
            (f"{before}.2", "published", "as written"),
            (f"{before}.3", "lost", "the runtime ended while it ran"),
            (f"{now}.1", "running", "as written"),
            (f"{now}.2", "published", "as written"),
            (f"{now}.3", "queued", "as written"),
        ]
        assert [item.id for item in attempts.running(tx)] == [f"{now}.1", f"{now}.3"]
        assert attempts.failed_in_a_row(tx, "orders", DAY) == []  # the newest that ended succeeded
    lease.release()
    with store.read() as tx:
        assert {item.state for item in attempts.of_run(tx, 1)} == {"lost", "published"}
        assert attempts.running(tx) == []
        assert attempts.failed_in_a_row(tx, "orders", DAY) == [f"{now}.3"]


# Durations


def test_durations_are_of_a_window_of_attempts(store: Store) -> None:
    """Attempts of last year in today's p95; a success beyond the search that is still counted."""
    with store.write(None) as tx:
        insert(tx, "run", id=1)

        def took(n: int, seconds: float, *keys: str, node: str = "orders", **more: object) -> None:
            finished = 10 * SECOND + int(seconds * SECOND)
            times = {"started_at": 10 * SECOND, "finished_at": finished}
            attempt(tx, n, *keys, node=node, **{**times, **more})

        for n in range(52):
            took(n, n, "a", "b", version=3)
        assert attempts.durations_by_version(tx, "orders") == [
            (3, (2, float(n))) for n in range(51, 1, -1)
        ]
        for n in range(52, 55):
            took(n, n, version=4, state="staged")
        took(55, -1.0, "a", version=None)
        took(56, 1.0, state="failed")
        took(57, 1.0, started_at=None)
        took(58, 1.0, finished_at=None)
        assert attempts.durations_by_version(tx, "orders")[:5] == [
            (None, (1, 0.0)),
            (4, (1, 54.0)),
            (4, (1, 53.0)),
            (4, (1, 52.0)),
            (3, (2, 51.0)),
        ]
        took(100, 7.0, node="failing")
        for n in range(101, 300):
            took(n, 1.0, node="failing", state="failed")
        [(_, sample)] = attempts.durations_by_version(tx, "failing")
        assert sample == (1, 7.0)
        assert attempts.p95_durations(tx, ["failing", "never"]) == {"failing": 7.0}
        took(300, 1.0, node="failing", state="failed")
        assert attempts.durations_by_version(tx, "failing") == []


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("count", "p50", "p95"), [(1, 1, 1), (2, 1, 2), (3, 2, 3), (20, 10, 19), (21, 11, 20)]
)
def test_percentiles_are_observed_durations(
    store: Store, count: int, p50: float, p95: float
) -> None:
    """A percentile that is interpolated, or that more attempts exceed than it says."""
    with store.write(None) as tx:
        insert(tx, "run", id=1)
        for n in range(1, count + 1):
            attempt(tx, n, started_at=0, finished_at=n * SECOND)
        assert attempts.durations_of_node(tx, "orders") == attempts.DurationStatistics(
            p50, p95, count
        )


def test_attempts_of_a_plan_are_those_of_its_newest_run(store: Store) -> None:
    """The estimate of a continued backfill from the run that was interrupted."""
    with store.write(None) as tx:
        for run, plan in ((1, 9), (2, 9), (3, 8)):
            insert(tx, "run", id=run, plan_id=plan)
        attempt(tx, 1, "a", run_id=1, started_at=1, finished_at=2)
        attempt(tx, 2, "a", "b", run_id=2, started_at=10, finished_at=20)
        attempt(tx, 3, "c", run_id=2, started_at=30, state="running", node="daily")
        attempt(tx, 4, "d", run_id=2, started_at=None, state="queued")
        attempt(tx, 5, "e", run_id=3, started_at=40)
        newest = [
            PlanAttempt("daily", ("c",), "running", 30, None),
            PlanAttempt("orders", ("a", "b"), "published", 10, 20),
        ]
        assert attempts.attempts_of_plan(tx, 9, limit=3) == newest
        assert attempts.attempts_of_plan(tx, 9, limit=2) == newest[:1]


def test_start_delays_are_of_the_newest_leaders(store: Store) -> None:
    """A leader that continued another's run, whose attempt seems to have started before it."""
    with store.write(None) as tx:
        assert attempts.start_delays(tx, 5) == []
        for run, started in ((1, 1), (2, 20), (3, 30), (4, 40)):
            insert(tx, "run", id=run, started_at=started * SECOND)
        attempt(tx, 1, epoch=1, run_id=1, started_at=5 * SECOND)
        attempt(tx, 2, epoch=1, run_id=1, started_at=19 * SECOND)
        attempt(tx, 1, epoch=3, run_id=2, started_at=19 * SECOND)  # before its run
        attempt(tx, 2, epoch=4, run_id=3, started_at=32 * SECOND)  # not its first
        attempt(tx, 1, epoch=6, run_id=3, started_at=30 * SECOND + 500_000)
        attempt(tx, 1, epoch=7, run_id=4, started_at=40 * SECOND)
        assert attempts.start_delays(tx, 5) == [0.0, 0.5, 4.0]
        assert attempts.start_delays(tx, 2) == [0.0, 0.5]
        assert attempts.start_delays(tx, 0) == []


# Sizes, and batching


def test_the_mean_size_is_of_the_newest_partitions(store: Store) -> None:
    """A mean over ten years, or one that counts unpublished partitions as empty."""
    with store.write(None) as tx:
        assert attempts.mean_partition_bytes(tx, "orders") == 0.0
        for number in range(1, 53):
            key = f"{number:03}"
            publication(tx, number, key, bytes=10**6 if number <= 2 else number)
            insert(tx, "partition", partition=key, publication_id=number)
        insert(tx, "partition", partition="053", state="failed")
        publication(tx, 60, "001", node="tiny", bytes=1)
        insert(tx, "partition", partition="001", node="tiny", publication_id=60)
        assert attempts.mean_partition_bytes(tx, "orders") == 27.5
        assert attempts.mean_partition_bytes(tx, "tiny") == 1.0


def test_batching_is_known_of_the_code_that_was_tested_last(store: Store) -> None:
    """Batching that is used for code that gave other results, or was never tested."""
    with store.write(None) as tx:
        attempts.record_batching(tx, "orders", "f1", proven=True)
        attempts.record_batching(tx, "daily", "f1", proven=False)
        assert attempts.is_batching_proven(tx, "orders", "f1")
        assert not attempts.is_batching_proven(tx, "daily", "f1")
        assert not attempts.is_batching_proven(tx, "weekly", "f1")
        attempts.record_batching(tx, "orders", "f2", proven=False)
        attempts.record_batching(tx, "daily", "f3", proven=True)
        assert attempts.known_batching(tx) == {"orders": ("f2", False), "daily": ("f3", True)}
        assert not attempts.is_batching_proven(tx, "orders", "f1")
        assert not attempts.is_batching_proven(tx, "orders", "f2")
        assert attempts.is_batching_proven(tx, "daily", "f3")


def test_an_attempt_may_have_thousands_of_partitions(store: Store) -> None:
    """Would catch: on PostgreSQL, a file with 2,000 hours ended each scheduling pass, because an
    index had the attempt's whole list of partitions. And: attempts whose lists begin alike are
    taken for each other."""
    hours = [f"h{hour:05}-{hour * 7919 % 100_003:06}" for hour in range(2000)]
    with store.write(None) as tx:
        insert(tx, "run", id=1)
        for n, keys in enumerate((hours, hours[:-1], hours), start=1):
            attempt(tx, n, *keys, node="src", queued_at=n, finished_at=10 + n)
        found = attempts.of_partition(tx, "src", hours[-1])
        assert [each.n for each in found] == [3, 1]


def test_work_samples_are_of_the_newest_successful_attempts(store: Store) -> None:
    """Would catch: a failed attempt as a sample, one without measures, another node's, the audit
    left out of the slot's time, a batch that counts as one partition."""
    measures = '{"bytes_in": 300, "seconds": 1.5, "audit_seconds": 0.5}'
    with store.write(None) as tx:
        add(tx, "run", {"id": 1, "started_at": 1})
        add(
            tx,
            "attempt",
            {"n": 1, "measures": measures},
            {"n": 2, "measures": "{}", "state": "staged", "partitions": '["d1","d2"]'},
            {"n": 3, "measures": measures, "state": "failed"},
            {"n": 4, "measures": measures, "node": "b"},
            {"n": 5},
        )
        assert attempts.work_samples(tx, "a") == [(2, 0.0, 0), (1, 2_000_000.0, 300)]
        assert attempts.work_samples(tx, "c") == []
