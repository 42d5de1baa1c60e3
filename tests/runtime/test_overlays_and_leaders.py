"""Backfills over several leaders, and beside a production that goes on: what was made stays made,
what moved is made again.
"""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest
from overlay_lab import PERSON, keep, leading, order, planned, resume, work
from runlab import DAYS, Lab
from test_leaders import answer, begin, wait_for

from headrace.project.session import Silent
from headrace.runtime.garbage import RetentionPolicy, waste
from headrace.runtime.leader import Leader
from headrace.runtime.overlays.partitions import staged_paths
from headrace.runtime.runs import RunRequest
from headrace.scheduler import core
from headrace.services.apply import apply
from headrace.store.queries import backfill_plans, scheduling

SLOW = """def total(clean):
    import time, pathlib
    flag = pathlib.Path({flag!r})
    flag.touch()
    time.sleep({seconds})
    day = clean.column('day')[0].as_py()
    import pyarrow as pa
    return pa.table({{'day': [day], 'total': [float(sum(clean.column('amount').to_pylist()))]}})
"""
CLEAN = (
    "select order_id, cast(amount * {factor} as double) as amount, cast(day as date) as day from"
    " orders"
)
BODY_SECONDS = 60.0
SPANS = {"clean": (DAYS[0], DAYS[3]), "total": (DAYS[0], DAYS[3])}
SEEN_SPANS = {**SPANS, "total_told": (DAYS[1], DAYS[1])}


def project(lab: Lab, seconds: float = 0.0) -> Path:
    """Days are totalled one by one, in Python."""
    flag = lab.root / "total-has-begun"
    lab.sql("clean", CLEAN.format(factor=1))
    lab.python(
        "total", SLOW.format(flag=str(flag), seconds=seconds), partition="day", inputs=["clean"]
    )
    for day in DAYS[:4]:
        lab.orders(day)
    return flag


def project_seen(lab: Lab) -> None:
    """A day's total is told after it was staged: a plan of that can't come to its end in the turn
    in which the total is staged, however many answers the leader ingests at once and whichever
    comes last."""
    project(lab)
    lab.sql("total_told", "select day, total from total")


def totals(lab: Lab) -> dict[str, float]:
    return {str(row["day"]): float(row["total"]) for row in lab.read("total")}


def staged(lab: Lab, node: str) -> list[str]:
    return [
        key
        for (key,) in lab.rows(
            "select partition from overlay where node = ? and state = 'staged' order by 1", node
        )
    ]


@pytest.mark.slow
def test_a_killed_leader_loses_nothing_that_was_staged(lab: Lab) -> None:
    """Catches a restart that makes everything again, publishes half, or forgets what production
    published meanwhile.
    """
    project(lab)
    assert lab.tick().state == "succeeded"
    flag = project(lab, seconds=30)
    with leading(lab) as (leader, held):
        backfill = planned(SPANS)
        number = keep(held, leader, backfill)
        with held.store.write(held.lease.epoch) as tx:
            backfill_plans.move(tx, number, "running", held.clock.now_us())
    flag.unlink(missing_ok=True)
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    process = begin(lab, "tick", "--now", (lab.now + timedelta(minutes=1)).isoformat())
    wait_for(flag)
    made = staged(lab, "clean")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert made, "what the body that hangs reads was staged"
    assert lab.rows("select count(*) from publication where n > 1000000000") == [(0,)]
    attempts = lab.rows(
        "select epoch, n from attempt where node = 'clean' and n > 1000000000 order by n"
    )
    project(lab)
    lab.now += timedelta(minutes=5)
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    lab.orders(
        DAYS[1], amount="2.50"
    )  # delivered again: the next leader takes it in, and what was made of it is made again
    lab.now += timedelta(minutes=5)
    said = answer(begin(lab, "tick", "--now", lab.now.isoformat()))
    assert said["state"] == "succeeded"
    assert lab.rows("select state, steps_done from plan") == [("succeeded", 1)]
    assert totals(lab) == {day: 25.0 if day == DAYS[1] else 15.0 for day in DAYS[:4]}
    published = set(
        lab.rows("select epoch, n from publication where node = 'clean' and n > 1000000000")
    )
    assert published & set(attempts), "what was staged before the kill is published"


@pytest.mark.long
def test_what_production_publishes_meanwhile_is_made_again(lab: Lab) -> None:
    """Catches a plan that publishes what was made of older deliveries, decisions that can't be
    replayed, and a sweep of staged files.
    """
    project_seen(lab)
    assert lab.tick().state == "succeeded"
    lab.sql("clean", CLEAN.format(factor=2))
    with leading(lab) as (leader, held):
        backfill = planned(SEEN_SPANS)
        number = keep(held, leader, backfill)
        run = leader.begin(order(number, backfill))
        assert (
            work(leader, run, lambda: len(staged(lab, "clean")) == 4 and bool(staged(lab, "total")))
            is None
        )
        leader.pause_plan(number, PERSON, "look at it")
        while leader.plans_busy:
            leader.step(0.2)
        before = staged(lab, "total")
        swept_nothing(held, leader)
        lab.orders(DAYS[0], amount="9.50")
        taken = leader.begin(
            RunRequest(
                kind="run",
                targets=tuple(t for t in leader.everything if t.node in ("orders", "clean")),
                actor=PERSON,
            )
        )
        assert work(leader, taken) is not None
        assert DAYS[0] not in staged(lab, "clean"), "production has published it as well"
        assert set(staged(lab, "clean")) == set(DAYS[1:4])
        assert before
        result = work(leader, resume(leader, number, "go on"))
        assert result is not None
        assert result.state == "succeeded"
        replayed(held, leader, number)
    assert totals(lab) == {day: 95.0 if day == DAYS[0] else 15.0 for day in DAYS[:4]}


@pytest.mark.long
@pytest.mark.parametrize("leaders", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_what_is_made_of_something_that_is_gone_is_not_published(lab: Lab, leaders: int) -> None:
    """Catches a plan that may publish a part of itself, and publishes totals of rows that nobody
    will ever see: what they were made of had to be made again, and broke. The next leader only
    finds in the store that it isn't there."""
    project_seen(lab)
    assert lab.tick().state == "succeeded"
    lab.sql(
        "clean",
        CLEAN.format(factor="(case when amount > 5 then error('too much')::int else 2 end)"),
    )
    apply(lab.session(), confirm=lambda _: True, progress=Silent())
    with leading(lab) as (leader, held):
        backfill = planned(SEEN_SPANS, allow_partial=True)
        number = keep(held, leader, backfill)
        assert (
            work(
                leader,
                leader.begin(order(number, backfill)),
                lambda: DAYS[1] in staged(lab, "total"),
            )
            is None
        )
        leader.pause_plan(number, PERSON, "look at it")
        lab.orders(DAYS[1], amount="9.50")
        targets = tuple(t for t in leader.everything if t.node == "orders")
        assert (
            work(leader, leader.begin(RunRequest(kind="run", targets=targets, actor=PERSON)))
            is not None
        )
        assert DAYS[1] not in staged(lab, "clean")
        assert DAYS[1] in staged(lab, "total"), "it might have come to the same again"
        result = work(leader, resume(leader, number, "go on")) if leaders == 1 else None
        if result is not None:
            replayed(held, leader, number)
    if result is None:
        with leading(lab) as (leader, held):
            result = work(leader, resume(leader, number, "go on"))
            replayed(held, leader, number)
    assert result is not None
    assert (result.state, result.partitions) == ("partial", 6)
    assert [(node, key) for node, key, _ in result.waiting] == [
        ("clean", DAYS[1]),
        ("total", DAYS[1]),
        ("total_told", DAYS[1]),
    ]
    assert totals(lab) == {day: 15.0 if day == DAYS[1] else 30.0 for day in DAYS[:4]}


@pytest.mark.long
@pytest.mark.parametrize("command", ["pause", "cancel"])
def test_a_body_that_takes_long_is_ended_by_a_pause(lab: Lab, command: str) -> None:
    """Catches an operator who waits for an hour's attempt, a failure that is nobody's, and a plan
    that can't go on after it."""
    project(lab)
    assert lab.tick().state == "succeeded"
    flag = project(lab, seconds=BODY_SECONDS)
    lab.now += timedelta(minutes=1)
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    with leading(lab) as (leader, held):
        backfill = planned(SPANS)
        number = keep(held, leader, backfill)
        flag.unlink(missing_ok=True)
        run = leader.begin(order(number, backfill))
        assert work(leader, run, flag.exists) is None
        began = time.monotonic()
        (leader.pause_plan if command == "pause" else leader.cancel_plan)(number, PERSON, "now")
        while leader.plans_busy:
            leader.step(5.0)
        took = time.monotonic() - began
        result = leader.result(run)
        assert result is not None and result.state in ("paused", "cancelled")
    assert took < BODY_SECONDS / 2, (
        "it was waited for"
    )  # 2 s on a machine that has nothing else to do
    assert lab.rows(
        "select distinct state from attempt where node = 'total' and n > 1000000000"
    ) == [("cancelled",)]
    assert lab.rows(
        "select count(*) from overlay where state in ('failed', 'held', 'rejected')"
    ) == [(0,)]
    if command == "pause":
        assert len(staged(lab, "clean")) == 4
        project(lab)
        lab.now += timedelta(minutes=1)
        lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
        with leading(lab) as (leader, _):
            result = work(leader, resume(leader, number, "go on"))
            assert result is not None and result.state == "succeeded"


def swept_nothing(held, leader: Leader) -> None:  # type: ignore[no-untyped-def]
    """Nothing that a plan has staged is garbage, however old it is."""
    with held.store.read() as tx:
        for path in (held.folders.lake / "main").rglob("*.parquet"):
            os.utime(path, (1, 1))
        result = waste(
            tx,
            held.folders,
            RetentionPolicy.declared(leader.applied.compiled.project),
            held.clock.now_us(),
        )
        made = staged_paths(tx)
    orphans = next(item for item in result if item.kind == "orphans").paths
    assert made
    assert made & {str(Path(path).relative_to(held.folders.lake)) for path in orphans} == set()


def replayed(held, leader: Leader, plan: int) -> None:  # type: ignore[no-untyped-def]
    """A plan's core decides the same from its journal."""
    with held.store.read() as tx:
        rows = list(scheduling.events_of_epoch(tx, leader.lease.epoch, plan))
    assert rows
    turns = tuple(
        core.LoopIteration(row.at, core.decode_events(row.events), row.decisions) for row in rows
    )
    assert (
        core.replay(
            core.LeaderHistory(leader.lease.epoch, rows[0].slots, turns, after=plan * 10**9)
        )
        == []
    )
