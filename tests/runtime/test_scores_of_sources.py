"""Scores of a source: its faults count, and repeating a delivery counts for nothing."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from runlab import Lab, built_once

DAYS = [f"2025-01-{day:02}" for day in range(1, 21)]


@built_once
def lab(root: Path) -> Lab:
    """Twenty good days, all but the first on the day after them."""
    lab = Lab(root)
    source = root / "sources/orders.yaml"
    source.write_text(source.read_text() + "checks: [{unique: [order_id]}]\n")
    lab.write("consumers.yaml", "[]\n")
    for n, day in enumerate(DAYS):
        lab.orders(day, amount=f"{n + 1}.50")
        lab.now = lab.now.replace(day=1, hour=3) + timedelta(days=n + 1)
        lab.tick()
    return lab


def scores(lab: Lab) -> dict[str, Any]:
    (row,) = lab.headrace("status", "--explain", "sources", "--now", after(lab, 1))["rows"]
    return dict(row)


def after(lab: Lab, minutes: int) -> str:
    return (lab.now + timedelta(minutes=minutes)).isoformat()


def figures(row: dict[str, Any]) -> tuple[float, float]:
    return float(row["stability"]), float(row["quality"])


@pytest.mark.long
def test_a_delivery_that_comes_again_unchanged_counts_for_nothing(lab: Lab) -> None:
    """Would catch: scores that rise because a vendor touched its files."""
    before = scores(lab)
    for n, day in enumerate(DAYS[10:19], 10):
        lab.orders(day, amount=f"{n + 1}.50")
        (lab.root / f"landing/orders_{day}.csv").touch()
    assert len(lab.tick().published) == 9
    assert scores(lab) == before


@pytest.mark.long
@pytest.mark.parametrize("header", ["order_id,client,amount,day", "order_id,customer,amount,day"])
def test_the_same_bytes_after_a_drop_count_once(lab: Lab, header: str) -> None:
    """Would catch: two faults of a vendor whose rejected file was uploaded again as it was."""
    day = "2025-01-21"
    lab.sql("clean", "select order_id, customer, amount, day from orders")
    lab.headrace("apply", "--yes", "--now", after(lab, 2))
    lab.now += timedelta(days=1)
    for n in range(3):
        lab.deliver(day, [f"1,c,1.50,{day}"] * 2, header=header)
        (lab.root / f"landing/orders_{day}.csv").touch()
        lab.now += timedelta(minutes=10)
        assert "orders" not in {row.asset for row in lab.tick().published}
        item, now = f"orders@{day}", after(lab, 1)
        lab.headrace("quarantine", "drop", item, "--reason", "no", "--now", now) if n < 2 else None
    assert (scores(lab)["deliveries"], scores(lab)["rows_refused"]) == (21, 2)


@pytest.mark.long
@pytest.mark.parametrize("corrected", [True, False])
def test_a_refused_delivery_counts_against_its_vendor(lab: Lab, corrected: bool) -> None:
    """Would catch: a fault that is forgotten once it is corrected, and a score above that of a
    vendor without faults, because a correction is one more delivery."""
    clean = figures(scores(lab))
    twice = [f"1,c,1.50,{DAYS[-1]}"] * 2
    lab.deliver(DAYS[-1], twice)
    assert not lab.tick().published
    if corrected:
        lab.orders(DAYS[-1], amount="20.50")
        (lab.root / f"landing/orders_{DAYS[-1]}.csv").touch()
        lab.tick()
    row = scores(lab)
    assert (row["rows_accepted"], row["rows_refused"]) == (200, 2)
    stability, quality = figures(row)
    assert quality < clean[1]
    assert stability <= clean[0]


def test_a_replaced_delivery_counts_against_its_vendor(lab: Lab) -> None:
    """Would catch: more accepted rows because a published day was delivered again with others."""
    clean = scores(lab)
    lab.orders(DAYS[-1], amount="21.50")
    assert len(lab.tick().published) == 1
    row = scores(lab)
    assert (row["changed"], row["rows_accepted"], row["rows_refused"]) == (1, 200, 10)
    assert [a < b for a, b in zip(figures(row), figures(clean), strict=True)] == [True, True]


@pytest.mark.long
def test_a_header_that_went_back_is_two_changes(lab: Lab) -> None:
    """Would catch: a stability of 0.162 after one renamed column that was accepted, because the old
    name, which the next forty files have again, differs from the contract of these days."""
    lab.sql("clean", "select order_id, amount, day from orders")
    lab.headrace("apply", "--yes", "--now", after(lab, 2))
    lab.now += timedelta(days=1)
    rows = [f"21{n},c{n % 3},21.50,2025-01-21" for n in range(10)]
    lab.deliver("2025-01-21", rows, header="order_id,customer,amount_eur,day")
    lab.tick()
    (incident,) = lab.headrace("incidents")
    lab.headrace("fix", incident["id"], "--yes", "--now", after(lab, 2))
    for n in range(22, 26):
        lab.now += timedelta(days=1)
        lab.orders(f"2025-01-{n}", amount=f"{n}.50")
        lab.orders("2025-01-20", amount="20.50")
        (lab.root / "landing/orders_2025-01-20.csv").touch()
        lab.tick()
    assert scores(lab)["changed"] == 2


def test_a_column_that_becomes_text_is_one_change(lab: Lab) -> None:
    """Would catch: a stability that falls with each day on which nobody accepts the text."""
    for n in range(21, 24):
        lab.now += timedelta(days=1)
        lab.orders(f"2025-01-{n}", amount=f"EUR {n}")
        lab.tick()
    assert (scores(lab)["changed"], scores(lab)["rows_refused"]) == (1, 30)


def test_late_deliveries_count_without_a_promise(lab: Lab) -> None:
    """Would catch: a vendor whose files come days late and are all on time, because no `expect:` is
    declared."""
    lab.now += timedelta(days=4)
    lab.tick()
    assert (scores(lab)["on_time"], scores(lab)["missing"]) == (20, 4)
    for n, day in enumerate(("2025-01-21", "2025-01-22", "2025-01-23", "2025-01-24")):
        lab.orders(day, amount=f"{n + 21}.50")
        (lab.root / f"landing/orders_{day}.csv").touch()
    lab.tick()
    row = scores(lab)
    assert (row["on_time"], row["expected"], row["missing"]) == (21, 24, 0)


@pytest.mark.long
def test_a_delivery_without_a_time_is_late_only_if_it_was_missed(lab: Lab) -> None:
    """Would catch: a server that says no times, late on each day on which nobody asked it between
    the agreed time and the next pass."""
    source = lab.root / "sources/orders.yaml"
    source.write_text(source.read_text() + "expect: {by: '02:00'}\n")
    lab.headrace("apply", "--yes", "--now", after(lab, 2))
    lab.now += timedelta(minutes=5)
    before = scores(lab)
    for day, missed in (("2025-01-21", False), ("2025-01-22", True)):
        lab.now += timedelta(days=1)
        if missed:
            lab.tick()
            lab.now += timedelta(minutes=30)
        lab.orders(day, amount=f"{day[-2:]}.50")
        ahead = (lab.now + timedelta(days=1)).timestamp()  # as if it told none
        os.utime(lab.root / f"landing/orders_{day}.csv", (ahead, ahead))
        lab.tick()
    row = scores(lab)
    assert (row["expected"] - before["expected"], row["on_time"] - before["on_time"]) == (2, 1)


@pytest.mark.long
def test_a_list_is_replaced_as_expected(lab: Lab) -> None:
    """Would catch: a list that is delivered whole each day, all of whose deliveries count as
    restated."""
    lab.write("sources/shops.yaml", "source: shops\nowner: acme\nfiles: landing/shops.csv\n")
    for n in range(11):
        (lab.root / "landing/shops.csv").write_text("id\n" + "\n".join(map(str, range(n + 5))))
        lab.now += timedelta(hours=1)
        lab.headrace("apply", "--yes", "--now", after(lab, 0)) if n == 0 else None
        lab.tick()
    rows = lab.headrace("status", "--explain", "sources", "--now", after(lab, 1))["rows"]
    (row,) = [row for row in rows if row["source"] == "shops"]
    assert (row["deliveries"], row["changed"], row["rows_refused"]) == (11, 0, 0)
