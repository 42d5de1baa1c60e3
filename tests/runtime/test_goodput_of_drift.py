"""Goodput of deliveries that are held for their schema: they were never staged, and were delivered
all the same.
"""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from runlab import DAYS, Lab, built_once, three_days

SETTINGS = '[project]\nname = "lab"\ntimezone = "UTC"\n[run]\nworkers = 1\n'


@built_once
def lab(root: Path) -> Lab:
    return three_days(root, SETTINGS)


def test_a_delivery_held_for_its_schema_counts_as_delivered(lab: Lab) -> None:
    """Would catch: 100.0 % while delivered rows are held, and "no data" for a window that holds
    nothing else."""
    lab.deliver(
        DAYS[3], [f"4{i},c,1.50,{DAYS[3]}" for i in range(30)], header="order_id,client,amount,day"
    )
    lab.tick()
    assert lab.headrace("status")["quarantine"]["rows"] == 30
    rows = {row["node"]: row for row in lab.headrace("status", "--explain", "goodput")["rows"]}
    orders = rows["orders"]
    assert (orders["delivered"], orders["good"], orders["held"], orders["rejected"]) == (
        60,
        30,
        30,
        0,
    )
    assert (orders["ratio"], orders["goodput"], orders["window"]) == ("50.0", "50.0", "30d")
    assert (
        orders["rows_per_second"] > 0
        and orders["bytes_per_second"] > 0
        and orders["slowest"] in ("run", "audit", "publish")
    )
    said = lab.headrace("status", "--explain", "goodput")["said"]
    assert any(line.startswith("slowest: ") for line in said), said


@pytest.mark.long
@pytest.mark.parametrize("how", ["same window", "the month after", "other bytes between"])
def test_the_same_bytes_after_a_drop_are_delivered_once(lab: Lab, how: str) -> None:
    """Would catch: a vendor's rejected day counted twice in what was delivered, because its file
    was uploaded again as it was."""
    rows = [f"4{i},c,1.50,{DAYS[3]}" for i in range(30)]

    def deliver(rows: list[str]) -> None:
        lab.deliver(DAYS[3], rows, header="order_id,client,amount,day")
        (lab.root / f"landing/orders_{DAYS[3]}.csv").touch()
        lab.now += timedelta(minutes=10)
        lab.tick()

    def drop() -> None:
        item = f"orders@{DAYS[3]}"
        lab.headrace("quarantine", "drop", item, "--reason", "no", "--now", str(lab.now))

    deliver(rows)
    drop()
    if how == "other bytes between":
        deliver(rows[1:])
        drop()
    elif how == "the month after":
        lab.now += timedelta(days=40)
    deliver(rows)
    orders = goodput_of_orders(lab)
    expected = {"same window": 60, "the month after": 30, "other bytes between": 30 + 30 + 29 + 30}
    assert orders["delivered"] == expected[how], orders


def test_what_is_ingested_again_with_the_same_result_is_as_good_as_before(lab: Lab) -> None:
    """Would catch: a goodput that drops where nothing is wrong, because one of three sound
    deliveries was ingested again."""
    before = goodput_of_orders(lab)
    lab.run("orders", partitions=[DAYS[0]], again=True, reason="to see it")
    after = goodput_of_orders(lab)
    assert (before["goodput"], after["goodput"], after["identical"]) == ("100.0", "100.0", 10)
    assert (after["delivered"], after["good"]) == (before["delivered"], before["good"])


def test_a_day_stays_as_good_when_its_delivery_is_ingested_again_later(lab: Lab) -> None:
    """Would catch: 0 % on the day of a sound delivery because the same rows were published again
    the day after, and 0 % on that day, on which nothing was delivered."""
    days = [value for value in goodput_by_day(lab) if value is not None]
    assert days == [100.0]
    lab.now += timedelta(days=1)
    lab.run("orders", partitions=[DAYS[0]], again=True, reason="to see it")
    assert [value for value in goodput_by_day(lab) if value is not None] == days
    assert goodput_of_orders(lab)["identical"] == 10


def test_what_was_delivered_before_the_window_isnt_delivered_in_it(lab: Lab) -> None:
    """Would catch: 0.0 % of a month in which nothing was delivered, because a delivery of the month
    before was ingested again with the same result."""
    lab.now += timedelta(days=40)
    lab.run("orders", partitions=[DAYS[0]], again=True, reason="to see it")
    result = goodput_of_orders(lab)
    assert (result["delivered"], result["good"], result["identical"], result["ratio"]) == (
        0,
        0,
        10,
        None,
    )


def test_rows_are_held_as_long_as_they_wait(lab: Lab) -> None:
    """Would catch: held rows in goodput while nothing waits in quarantine, for the vendor delivered
    again."""
    renamed = [f"4{i},c,1.50,{DAYS[3]}" for i in range(30)]
    lab.deliver(DAYS[3], renamed, header="order_id,client,amount,day")
    lab.tick()
    assert goodput_of_orders(lab)["held"] == 30
    lab.orders(DAYS[3], n=20)
    lab.tick()
    result = goodput_of_orders(lab)
    assert (result["held"], result["superseded"], result["good"], result["delivered"]) == (
        0,
        30,
        50,
        80,
    )


@pytest.mark.long
def test_rows_that_were_removed_after_their_publication_are_counted_nowhere(lab: Lab) -> None:
    """Would catch: rows that were erased or older than `retain:` as rejected, and the work that
    published them as work in vain."""
    before = goodput_of_orders(lab)
    erase = ("erase", "s-1", "--where", f"order_id = '{DAYS[0][-2:]}1'", "--reason", "asked")
    lab.headrace(*erase, "--yes")
    result = goodput_of_orders(lab)
    assert (result["rejected"], result["good"], result["delivered"]) == (
        0,
        before["good"] - 1,
        before["delivered"] - 1,
    )
    pytest.importorskip("headrace_advisor")  # which has `costs`
    waste = lab.headrace("costs", "--by", "waste")["rows"]
    assert [row["of"] for row in waste] == ["unread"]


def goodput_of_orders(lab: Lab) -> Any:
    rows = lab.headrace("status", "--explain", "goodput")["rows"]
    return next(row for row in rows if row["node"] == "orders")


def goodput_by_day(lab: Lab) -> list[float | None]:
    trends = pytest.importorskip("headrace_ui.services.figure_trends")
    query = trends.TrendQuery(by=trends.TrendGroup.EACH)
    with closing(lab.session()) as session:
        trend = trends.figure_trend(session, "goodput", query)
    return next(row.values for row in trend.rows if row.of == "orders")
