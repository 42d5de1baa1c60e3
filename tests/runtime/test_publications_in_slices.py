"""A step of a backfill is prepared and tidied up in slices, and published in one transaction."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from overlay_lab import PERSON, Spans, keep, leading, order, planned, resume, work
from runlab import DAYS, Lab

from headrace.project.session import Silent
from headrace.runtime.leader import Leader
from headrace.runtime.overlays import backfill as overlays_backfill
from headrace.runtime.overlays.backfill import Backfilling
from headrace.runtime.runs import RunRequest
from headrace.services.apply import apply
from headrace.store.queries import backfill_plans

CLEAN = "select order_id, amount * {factor} as amount, cast(day as date) as day from orders"
TOTAL = "select day, sum(amount) as total from clean group by day"
SPANS: Spans = {"clean": (DAYS[1], DAYS[4]), "total": (DAYS[1], DAYS[4])}
PARTITIONS = 8
OURS = "select count(*) from publication where n > 1000000000"
STAGED = "select count(*) from overlay"
CURRENT = (
    "select count(*) from ducklake_data_file f join ducklake_table t on t.table_id = f.table_id and"
    " f.end_snapshot is null"
)


def project(lab: Lab) -> None:
    """A published week, and new code for it in force."""
    lab.sql("clean", CLEAN.format(factor=1))
    lab.sql("total", TOTAL)
    for day in DAYS:
        lab.orders(day)
    assert lab.tick().state == "succeeded"
    lab.sql("clean", CLEAN.format(factor=2))
    apply(lab.session(), confirm=lambda _: True, progress=Silent())


def totals(lab: Lab) -> list[float]:
    return [float(row["total"]) for row in lab.read("total")]


def count(lab: Lab, sql: str) -> int:
    ((number,),) = lab.rows(sql)
    return int(number)


def opened(leader: Leader, number: int) -> Backfilling:
    return leader._plans._open[number]


def is_found(leader: Leader, number: int) -> bool:
    """Whether the next iteration publishes the step."""
    item = leader._plans._open[number]
    return item.ready and item.to_find is None and bool(item._files_found)


@contextmanager
def seen(lab: Lab, sql: str) -> Iterator[set[int]]:
    """What a reader sees who asks all the time."""
    numbers: set[int] = set()
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            numbers.add(count(lab, sql))

    reader = threading.Thread(target=ask)
    reader.start()
    try:
        yield numbers
    finally:
        over.set()
        reader.join()


@pytest.mark.long
def test_readers_see_all_partitions_of_a_step_or_none(
    any_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a publication that is divided, staged results that stay, and ones that are deleted at
    once, so that production waits for all of it."""
    monkeypatch.setattr(overlays_backfill, "TIDIED_AT_ONCE", 1)
    lab = any_lab
    project(lab)
    left = []
    with leading(lab) as (leader, held):
        backfill = planned(SPANS)
        number = keep(held, leader, backfill)
        run = leader.begin(order(number, backfill))
        with seen(lab, OURS) as numbers:
            while (result := leader.result(run)) is None:
                leader.step(0.2)
                numbers.add(count(lab, OURS))
                left.append(count(lab, STAGED))
        assert result.state == "succeeded"
    assert numbers == {0, PARTITIONS}
    assert left[-1] == 0
    assert len({number for number in left[left.index(PARTITIONS) :] if number}) > 1
    assert lab.rows("select distinct identical from publication where n > 1000000000") == [(0,)]
    assert lab.headrace("db", "check")["ok"], "the event log repeats these statements"
    assert totals(lab) == [15, 30, 30, 30, 30, 15, 15]


@pytest.mark.long
def test_the_next_leader_tidies_up_and_publishes_nothing_twice(any_lab: Lab) -> None:
    """Catches a leader that takes what is published for staged, publishes it again, or leaves it
    where it waited."""
    lab = any_lab
    project(lab)
    with leading(lab) as (leader, held):
        backfill = planned(
            dict.fromkeys(SPANS, (DAYS[1], DAYS[2])),
            dict.fromkeys(SPANS, (DAYS[3], DAYS[4])),
        )
        number = keep(held, leader, backfill)
        run = leader.begin(order(number, backfill))
        assert work(leader, run, lambda: opened(leader, number).steps_done == 1) is None
        assert (count(lab, OURS), count(lab, STAGED)) == (4, 4)
    with leading(lab) as (leader, held):
        with held.store.read() as tx:
            assert backfill_plans.staged(tx, number) == []
        assert opened(leader, number).to_tidy
        leader.pause_plan(number, PERSON, "look at it")
        while opened(leader, number).to_tidy:
            leader.step(0.0)
        assert count(lab, STAGED) == 0
        assert count(lab, "select count(*) from overlay_attempt") == 0
        result = work(leader, resume(leader, number, "go on"))
        assert result is not None and result.state == "succeeded"
    assert (
        lab.rows(
            "select node, partition from publication where n > 1000000000 group by node, partition"
            " having count(*) > 1"
        )
        == []
    )
    assert count(lab, OURS) == PARTITIONS
    assert totals(lab) == [15, 30, 30, 30, 30, 15, 15]


@pytest.mark.long
@pytest.mark.parametrize("day", [DAYS[2], DAYS[5]])
def test_files_that_production_replaced_after_they_were_found_are_found_again(
    any_lab: Lab, day: str
) -> None:
    """Catches rows that are there twice: production copied a file that the step shares with it,
    after the leader had found it, so the copy stayed beside the new rows."""
    lab = any_lab
    project(lab)
    with leading(lab) as (leader, held):
        week = planned(dict.fromkeys(SPANS, (DAYS[0], DAYS[6])))
        assert work(leader, leader.begin(order(keep(held, leader, week), week))) is not None
        assert count(lab, f"{CURRENT} where t.table_name = 'clean'") < len(DAYS), "some are shared"
        before = count(lab, OURS)
        backfill = planned(SPANS)
        number = keep(held, leader, backfill)
        run = leader.begin(order(number, backfill))
        assert work(leader, run, lambda: is_found(leader, number)) is None
        leader.pause_plan(number, PERSON, "look at it")
        lab.orders(day, amount="9.50")
        targets = tuple(t for t in leader.everything if t.node in ("orders", "clean", "total"))
        request = RunRequest(kind="run", targets=targets, actor=PERSON)
        assert work(leader, leader.begin(request)) is not None
        assert count(lab, OURS) == before
        result = work(leader, resume(leader, number, "go on"))
        assert result is not None and result.state == "succeeded"
    assert {str(row["day"]): float(row["total"]) for row in lab.read("total")} == {
        each: 190.0 if each == day else 30.0 for each in DAYS
    }
    assert len(lab.read("clean")) == 10 * len(DAYS)


@pytest.mark.long
def test_a_cancelled_backfill_publishes_nothing_that_was_prepared(any_lab: Lab) -> None:
    """Catches a publication of a plan that was cancelled between the two."""
    lab = any_lab
    project(lab)
    with leading(lab) as (leader, held):
        backfill = planned(SPANS)
        number = keep(held, leader, backfill)
        run = leader.begin(order(number, backfill))
        assert work(leader, run, lambda: is_found(leader, number)) is None
        leader.cancel_plan(number, PERSON, "not wanted")
        for _ in range(4):
            leader.step(0.0)
    assert (count(lab, OURS), count(lab, STAGED)) == (0, 0)
    assert totals(lab)[1:5] == [15, 15, 15, 15]
