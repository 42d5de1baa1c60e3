"""Evidence of attempts, of what waits for people, and of workers and a lake out of order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.incidents.diagnosis.evidence import Evidence, needed, says_disk
from headrace.incidents.evidence import attempts, downtime, people
from headrace.incidents.evidence.arrivals import BlockedInterval
from headrace.incidents.evidence.records import Gathered
from headrace.model import Settings
from headrace.model.policy import Approval
from headrace.plan.backfills import Backfill, BackfillSpan, Chosen, Mode, Publishes
from headrace.slo.blockage import Blocked, BlockReason
from headrace.store import Store, Transaction
from headrace.store.queries import lake_maintenance
from headrace.store.queries.changes import FactNews

SECOND, HOUR = 1_000_000, 3_600_000_000
NOW = 100 * HOUR


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[Transaction]:
    with (
        Store.open(tmp_path, Settings(name="t"), create=True) as store,
        store.write(None) as opened,
    ):
        opened.execute(
            "insert into run (id, kind, request, actor, state, started_at) values (1, 'tick', '{}',"
            " 't', 'succeeded', 0)"
        )
        yield opened


def attempt(
    tx: Transaction,
    n: int,
    state: str = "published",
    seconds: float | None = 2.0,
    *,
    keys: tuple[str, ...] = ("2025-01-01",),
    error: dict[str, Any] | None = None,
    measures: dict[str, float] | None = None,
) -> None:
    started = NOW - HOUR
    finished = None if seconds is None else started + int(seconds * SECOND)
    texts = [None if value is None else json.dumps(value) for value in (error, measures)]
    tx.execute(
        "insert into attempt (epoch, n, run_id, node, kind, partitions, state, queued_at,"
        " started_at, finished_at, error, measures, reason, snapshot_read) values (1, ?, 1, 'a',"
        " 'produce', ?, ?, ?, ?, ?, ?, ?, 'gone', 0)",
        (n, json.dumps(keys), state, started - SECOND, started, finished, *texts),
    )


def stands(tx: Transaction, key: str, state: str) -> None:
    tx.execute(
        "insert into partition (node, partition, state, since, revision) values ('a', ?, ?, 0, 1)",
        (key, state),
    )


def gathered(tx: Transaction, after: int = 0) -> dict[str, Evidence]:
    result = Gathered()
    attempts.gather_lost_and_slow(tx, result, (1, after), NOW)
    return result.seen


def usual(tx: Transaction, count: int = 10, **more: Any) -> None:
    for n in range(1, count + 1):
        attempt(tx, n, seconds=float(n), **more)


@pytest.mark.parametrize(
    ("count", "seconds", "slow"), [(10, 51.0, True), (10, 50.0, False), (9, 51.0, False)]
)
def test_a_run_is_slow_beyond_five_times_the_usual(
    tx: Transaction, count: int, seconds: float, *, slow: bool
) -> None:
    """Would catch: another factor or quantile, or a judgement from too few runs."""
    usual(tx, count)
    attempt(tx, 20, seconds=seconds)
    seen = gathered(tx, 15)
    assert list(seen) == (["slow:1.20"] if slow else [])
    if slow:
        item = seen["slow:1.20"]
        assert (item.expected, item.observed, item.partition, item.held) == (
            "up to 10.0 s", "51.0 s", "2025-01-01", False,
        )  # fmt: skip
        assert (item.began_us, item.at_us) == (NOW - HOUR, NOW - HOUR + 51 * SECOND)


def test_a_short_run_is_never_slow_and_one_that_runs_is_measured_until_now(tx: Transaction) -> None:
    """Would catch: an incident for 4 seconds instead of a tenth, and none for a run that hangs."""
    for n in range(1, 13):
        attempt(tx, n, seconds=0.1)
    attempt(tx, 20, seconds=5.0)
    attempt(tx, 21, "running", None, keys=("*",))
    seen = gathered(tx, 15)
    assert list(seen) == ["slow:1.21"]
    assert (seen["slow:1.21"].observed, seen["slow:1.21"].partition) == ("3600.0 s", "")
    assert seen["slow:1.21"].at_us == NOW


@pytest.mark.parametrize(
    ("measures", "keys", "slow"),
    [
        ({"rows_in": 100, "bytes_in": 10}, 1, True),
        ({"rows_in": 200, "bytes_in": 10}, 1, False),
        ({"rows_in": 100, "bytes_in": 20}, 1, False),
        ({"rows_in": 100, "bytes_in": 10}, 2, False),
        ({"rows_in": 1, "bytes_in": 1}, 1, True),
    ],
)
def test_a_run_with_more_to_read_may_take_longer(
    tx: Transaction, measures: dict[str, float], keys: int, *, slow: bool
) -> None:
    """Would catch: an incident for the day with twice the rows; less to read as an excuse, or as a
    reason for a stricter limit."""
    usual(tx, measures={"rows_in": 100, "bytes_in": 10})
    attempt(tx, 20, seconds=60, measures=measures, keys=("2025-01-01", "2025-01-02")[:keys])
    seen = gathered(tx, 15)
    assert bool(seen) is slow
    if slow:
        rows = measures["rows_in"]
        # the attempt itself is among those that are known
        assert seen["slow:1.20"].observed == f"60.0 s; it read {rows} rows, usually 100"


@pytest.mark.parametrize(
    ("seconds", "waited", "observed"),
    [
        (70, 10.04, "60.0 s, and 10.0 s more in which it waited for a processor"),
        (60, 10.0, None),
        (61, 0.09, "60.9 s"),
    ],
)
def test_waits_for_a_processor_arent_the_runs(
    tx: Transaction, seconds: float, waited: float, observed: str | None
) -> None:
    """Would catch: a busy machine taken for a slow asset."""
    usual(tx)
    attempt(tx, 20, seconds=seconds, measures={"processor_wait_seconds": waited})
    assert [item.observed for item in gathered(tx, 15).values()] == (
        [] if observed is None else [observed]
    )


def test_lost_workers_and_a_lack_of_memory_are_evidence_for_each_partition(tx: Transaction) -> None:
    """Would catch: one of several partitions left out, a lost worker taken for a lack of memory,
    and evidence that stays open although the partition was published since."""
    attempt(tx, 1, "lost", keys=("2025-01-01", "2025-01-02"))
    attempt(tx, 2, "failed", keys=("*",), error={"kind": "resources", "message": "no memory"})
    attempt(tx, 3, "failed", error={"kind": "deterministic", "message": "KeyError"})
    attempt(tx, 4, "published")
    stands(tx, "2025-01-01", "published")
    stands(tx, "2025-01-02", "waiting")
    stands(tx, "*", "failed")
    result = Gathered()
    assert attempts.gather_lost_and_slow(tx, result, (0, 0), NOW) == (1, 4)
    shown = {
        id_: (str(item.family), item.partition, item.observed, item.error_kind, item.host)
        for id_, item in result.seen.items()
    }
    assert shown == {
        "attempt:1.1@2025-01-01": ("lost", "2025-01-01", "gone", "lost_worker", "workers"),
        "attempt:1.1@2025-01-02": ("lost", "2025-01-02", "gone", "lost_worker", "workers"),
        "attempt:1.2@": ("resources", "", "no memory", "resources", ""),
    }
    result.write(tx, NOW)
    over = dict(tx.execute("select id, ended_at from evidence").fetchall())
    assert over == {
        "attempt:1.1@2025-01-01": NOW,
        "attempt:1.1@2025-01-02": None,
        "attempt:1.2@": None,
    }
    assert gathered(tx) == {}  # each is gathered once


def fact(detail: str, expected: str = "100 rows", observed: str = "90 rows") -> FactNews:
    return FactNews(
        1, "a", "p", "1.1", "restatement", "", "warn", expected, observed, 12.0, detail, 0, None,
        None,
    )  # fmt: skip


def test_a_restatement_is_compared_by_shares_of_its_rows() -> None:
    """Would catch: two intervals that changed alike taken for different ones, a share of the rows
    of the smaller side, and thousands read as ones."""
    one = attempts.restated_shares(fact("62 rows changed; amount: 62 rows, 60 values became 59"))
    assert (one.rows, one.columns) == ({"changed": 0.62}, {"amount": 0.62})
    large = attempts.restated_shares(
        fact("1,000 rows added, 500 rows removed; a: 1,500 rows", "1,000 rows", "2,000 rows")
    )
    assert large.rows == {"added": 0.5, "removed": 0.25}
    assert large.columns == {"a": 0.75}
    assert attempts.restated_shares(fact("rows changed", "", "")).rows == {"changed": 0}
    twice = attempts.restated_shares(fact("31 rows changed; amount: 31 rows"))
    less = attempts.restated_shares(fact("30 rows changed; amount: 30 rows"))
    other = attempts.restated_shares(fact("62 rows changed; dep: 62 rows"))
    few = attempts.restated_shares(fact("62 rows changed; amount: 2 rows"))
    assert one.is_like(twice)
    assert twice.is_like(one)
    assert not one.is_like(less)
    assert not less.is_like(one)
    assert not one.is_like(other)
    assert not one.is_like(few)


@pytest.mark.parametrize(("columns", "leaves"), [(0, False), (1, True), (4, True), (5, False)])
def test_a_column_is_known_to_be_the_same_if_all_changed_ones_are_named(
    columns: int, *, leaves: bool
) -> None:
    """Would catch: "left as it was" of a column that a cut list doesn't name."""
    named = "".join(f"; c{number}: 3 rows" for number in range(columns))
    shares = attempts.restated_shares(fact(f"3 rows changed{named}"))
    assert shares.leaves("other") is leaves
    assert not shares.leaves("c0") or columns == 0


def plan(tx: Transaction, number: int, created: int, *names: str, needs: Approval | None) -> None:
    chosen = tuple(
        Chosen(node=name, spans=(BackfillSpan(first="a", last="b"),), partitions=2, why="")
        for name in names
    )
    content = msgspec.msgpack.encode(
        Backfill(
            mode=Mode.MISSING, chosen=chosen, skipped=(), steps=(), publishes=Publishes.ATOMICALLY
        )
    )
    text = None if needs is None else msgspec.json.encode(needs).decode()
    tx.execute(
        "insert into plan (id, state, actor, reason, request, version, content, created_at, needs)"
        " values (?, 'awaiting_approval', 'ann', 'x', '{}', 1, ?, ?, ?)",
        (number, content, created, text),
    )


def test_an_approval_is_asked_for_at_once_where_somebody_waits_and_else_after_an_hour(
    tx: Transaction,
) -> None:
    """Would catch: an incident a second after a backfill was planned, none where a report waits for
    it, and one at the wrong node."""
    rule = Approval("partitions > 1", "headrace.toml", 7)
    plan(tx, 1, NOW - 1, "x", "a", "b", needs=rule)
    plan(tx, 2, NOW - HOUR, "x", needs=None)
    plan(tx, 3, NOW - HOUR + 1, "x", needs=rule)
    plan(tx, 4, NOW - 2 * HOUR, needs=rule)
    waited = BlockedInterval(
        "report",
        "i",
        NOW,
        (Blocked(BlockReason.WAITING, None, "a", "2025-01-01", "waiting", "waits"),),
    )
    seen = list(people.gather_pending_approvals(tx, [waited], NOW))
    assert [(item.id, item.node, item.expected, item.began_us) for item in seen] == [
        ("plan:1", "a", "an approval: headrace.toml:7 backfill_approval = 'partitions > 1'", NOW - 1),
        ("plan:2", "x", "an approval: the policy asks for one", NOW - HOUR),
    ]  # fmt: skip
    assert [item.observed for item in seen] == ["backfill 1 waits", "backfill 2 waits"]


def test_workers_that_dont_start_and_a_lake_that_cant_be_written_are_evidence(
    tx: Transaction,
) -> None:
    """Would catch: one taken for the other, or the last look for the beginning."""
    assert list(downtime.without_workers(tx)) == list(downtime.without_lake(tx)) == []
    for now in (10, 20):
        lake_maintenance.record_problem(tx, lake_maintenance.WORKERS, "no such file", now)
        lake_maintenance.record_problem(tx, lake_maintenance.LAKE, "Permission denied", now + 1)
    (workers,), (lake,) = downtime.without_workers(tx), downtime.without_lake(tx)
    assert (workers.kind, workers.observed, workers.began_us, workers.at_us) == (
        "runtime_down", "no such file", 10, 20,
    )  # fmt: skip
    assert (lake.kind, lake.expected, lake.began_us, lake.at_us, lake.error_kind) == (
        "resource_exhausted", "the right to use it", 11, 21, "environment",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("said", "need", "disk"),
    [
        ("Permission denied: lake", "the right to use it", True),
        ("No space left on device", "room on the disk", True),
        ("Read-only file system", "a disk that can be used", True),
        ("KeyError: 'x'", "a disk that can be used", False),
    ],
)
def test_what_a_disk_needs(said: str, need: str, *, disk: bool) -> None:
    """Would catch: an incident that asks for room where a right is missing."""
    assert (needed(said), says_disk(said)) == (need, disk)


def test_only_evidence_of_columns_that_were_ingested_anyway_is_of_a_mapping() -> None:
    """Would catch: every evidence, or none, taken for a change that was ingested anyway."""
    assert people.is_mapping("drift:1")
    assert not people.is_mapping("fact:1")
