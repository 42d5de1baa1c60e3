"""Backfills beside each other, and beside a server: each comes to its end, and production never
waits for one.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from overlay_lab import PERSON, SECONDS_MAX, keep, leading, order, planned, work
from runlab import DAYS, Lab

from headrace.runtime.runs import RunRequest, RunResult

TOTALLED = """def {name}(clean):
    import pathlib, time
    import pyarrow as pa
    flag = pathlib.Path({flag!r})
    if flag.exists():
        (flag.parent / 'held').touch()
        for _ in range(600):
            time.sleep({wait} and 0.1)
    day = clean.column('day')[0].as_py()
    return pa.table({{'day': [day], 'total': [{factor} * float(sum(clean.column('amount').to_pylist()))]}})
"""
CLEAN = (
    "select order_id, cast(amount * {factor} as double) as amount, cast(day as date) as day from"
    " orders"
)


def totals(lab: Lab, name: str) -> dict[str, float]:
    return {str(row["day"]): float(row["total"]) for row in lab.read(name)}


def total(
    lab: Lab, name: str, *, factor: int = 1, wait: bool = False, pool: str | None = None
) -> Path:
    """An asset in Python; where its flag is there, and it is to wait, it takes a minute."""
    flag = lab.root / f"{name}-waits"
    body = TOTALLED.format(name=name, flag=str(flag), factor=factor, wait=wait)
    lab.python(
        name, body, partition="day", inputs=["clean"], **({} if pool is None else {"pool": pool})
    )
    return flag


@pytest.mark.long
@pytest.mark.timeout(150)
def test_two_plans_side_by_side_come_to_their_ends(any_lab: Lab) -> None:
    """Catches a plan that waits for another, publishes what is another's, answers that go astray,
    and statements that only one kind of store takes."""
    lab = any_lab
    lab.sql("clean", CLEAN.format(factor=1))
    lab.sql("other", "select day, count(*) as n from clean group by day")
    total(lab, "total")
    for day in DAYS[:6]:
        lab.orders(day)
    assert lab.tick().state == "succeeded"
    lab.sql("clean", CLEAN.format(factor=2))
    total(lab, "total", factor=3)
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    with leading(lab) as (leader, held):
        item, two = (
            planned(dict.fromkeys(("clean", "total", "other"), span))
            for span in ((DAYS[0], DAYS[2]), (DAYS[3], DAYS[5]))
        )
        numbers = [keep(held, leader, item), keep(held, leader, two)]
        runs = [
            leader.begin(order(number, plan))
            for number, plan in zip(numbers, (item, two), strict=True)
        ]
        both = set()
        results: dict[int, RunResult] = {}
        until = time.monotonic() + SECONDS_MAX
        while len(results) < len(runs) and time.monotonic() < until:
            leader.step(0.2)
            both |= {plan for (plan,) in lab.rows("select distinct plan_id from overlay")}
            results |= {
                run: result
                for run in runs
                if run not in results and (result := leader.result(run)) is not None
            }
        assert [results[run].state for run in runs] == ["succeeded", "succeeded"]
        assert [results[run].partitions for run in runs] == [9, 9]
        assert both == set(numbers)
    assert totals(lab, "total") == dict.fromkeys(DAYS[:6], 90.0)
    for number, days in zip(numbers, (DAYS[:3], DAYS[3:6]), strict=True):
        made = "select distinct partition from publication where n > ? and n < ? order by 1"
        assert lab.rows(made, number * 10**9, (number + 1) * 10**9) == [(day,) for day in days]
    assert lab.rows("select count(distinct snapshot) from publication where n > 1000000000") == [
        (2,)
    ]
    assert lab.rows(
        "select (select count(*) from overlay) + (select count(*) from overlay_attempt)"
    ) == [(0,)]


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_a_plan_that_begins_waits_for_what_production_holds_of_a_pool(lab: Lab) -> None:
    """Catches a plan that begins before it was told what is taken: two connections to a database
    that bears one.
    """
    lab.write("headrace.toml", (lab.root / "headrace.toml").read_text() + "[pools]\none = 1\n")
    lab.sql("clean", CLEAN.format(factor=1))
    flag = total(lab, "total", pool="one")
    for day in DAYS[:2]:
        lab.orders(day)
    assert lab.tick().state == "succeeded"
    body = TOTALLED.replace("for _ in range(600):", "while flag.exists():").replace(
        "{wait} and 0.1", "0.05"
    )
    lab.python(
        "total",
        body.format(name="total", flag=str(flag), factor=2),
        partition="day",
        inputs=["clean"],
        pool="one",
    )
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    with leading(lab) as (leader, held):
        leader.begin(
            RunRequest(kind="serve", targets=leader.everything, actor=PERSON, continuous=True)
        )
        flag.touch()
        lab.orders(DAYS[2])
        leader.observe({"orders"})
        while not (flag.parent / "held").exists():
            leader.step(0.2)
        backfill = planned({"total": (DAYS[0], DAYS[1])})
        run = leader.begin(order(keep(held, leader, backfill), backfill))
        for _ in range(20):  # it begins, and nothing of it does
            leader.step(0.05)
            assert not leader.plans_busy
        assert lab.rows(
            "select count(*) from attempt where state in ('queued', 'running') and node = 'total'"
        ) == [(1,)]
        flag.unlink()
        result = work(leader, run)
        assert result is not None
        assert result.state == "succeeded"
    assert totals(lab, "total") == dict.fromkeys(DAYS[:3], 30.0)


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_a_plan_gives_way_in_a_pool_that_production_needs(lab: Lab) -> None:
    """Catches a delivery that waits for an hour because a backfill holds the only connection to a
    database, attempts that fail because they gave way, and a plan that never comes to its end after
    it."""
    lab.write("headrace.toml", (lab.root / "headrace.toml").read_text() + "[pools]\none = 1\n")
    lab.sql("clean", CLEAN.format(factor=1))
    flag = total(lab, "total", pool="one")
    for day in DAYS[:3]:
        lab.orders(day)
    assert lab.tick().state == "succeeded"
    total(lab, "total", factor=2, wait=True, pool="one")
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    with leading(lab) as (leader, held):
        leader.begin(
            RunRequest(kind="serve", targets=leader.everything, actor=PERSON, continuous=True)
        )
        backfill = planned({"total": (DAYS[0], DAYS[2])})
        number = keep(held, leader, backfill)
        flag.touch()
        run = leader.begin(order(number, backfill))
        assert work(leader, run, (flag.parent / "held").exists) is None
        assert lab.rows(
            "select count(*) from attempt where state = 'running' and n > 1000000000"
        ) == [(1,)]
        # what begins from now on takes no time; what holds the pool goes on for a minute
        flag.unlink()
        lab.orders(DAYS[3])
        leader.observe({"orders"})
        asked = time.monotonic()

        def there() -> bool:
            return bool(
                lab.rows(
                    "select 1 from publication where node = 'total' and partition = ?", DAYS[3]
                )
            )

        assert (
            work(leader, run, lambda: there() or time.monotonic() > asked + 40) is None or there()
        )
        assert there(), "production didn't get the pool"
        reason = "made room for production"
        assert (
            lab.rows(
                "select count(*) from attempt where state = 'cancelled' and reason = ?", reason
            )[0][0]
            >= 1
        )
        assert lab.rows("select count(*) from attempt where state = 'failed'") == [(0,)]
        result = leader.result(run) or work(leader, run)
        assert result is not None and result.state == "succeeded"
    assert totals(lab, "total") == dict.fromkeys(DAYS[:4], 30.0)
