"""Other code over inputs that are unusual: what the code did isn't put down to them."""

from __future__ import annotations

import random
from datetime import date, timedelta
from pathlib import Path

import pytest
from runlab import Lab

FIRST = date(2024, 12, 1)
DAYS = 30


def day(number: int) -> str:
    return (FIRST + timedelta(number)).isoformat()


def rows(number: int, nulls: float = 0.02, many: int | None = None) -> list[str]:
    chance = random.Random(number)
    count = many or 200 + chance.randrange(-10, 10)
    return [
        f"{1 + number}{n:04d},{'' if chance.random() < nulls else f'c{n % 5}'},{chance.lognormvariate(3, 0.3):.2f},{day(number)}"
        for n in range(count)
    ]


@pytest.mark.long
def test_rows_that_new_code_doubles_are_held_though_a_column_was_emptied(tmp_path: Path) -> None:
    """Would catch: rows that a changed query doubles, published and put down to nulls in what it
    reads."""
    lab = Lab(tmp_path / "p")
    lab.sql("clean", "select order_id, customer, amount, day from orders")
    for number in range(DAYS):
        lab.deliver(day(number), rows(number))
    lab.tick()
    lab.sql("clean", "select o.order_id, o.customer, o.amount, o.day from orders o, range(2) g")
    lab.headrace("apply", "--yes")
    lab.deliver(day(DAYS), rows(DAYS, 0.1))
    lab.tick()
    assert lab.rows("select kind, column_name, severity from fact where node = 'orders'") == [
        ("null_spike", "customer", "warn")
    ]
    assert lab.rows(
        "select state from partition where node = 'clean' and partition = ?", day(DAYS)
    ) == [("held",)]
    assert ("code_error", "clean") in [
        (item["cause"]["kind"], item["cause"]["node"]) for item in lab.headrace("incidents")
    ]


@pytest.mark.long
def test_rows_that_new_code_doubles_are_held_however_unlike_the_days_are(tmp_path: Path) -> None:
    """Would catch: a changed query that doubles its rows, published because days differ by as much;
    other code that makes as many rows as before held where there are more to read."""
    lab = Lab(tmp_path / "p")
    lab.sql("clean", "select order_id, customer, amount, day from orders")
    for number in range(20):
        lab.deliver(day(number), rows(number, many=150 if number % 3 else 290))
    lab.tick()
    lab.sql("clean", "select order_id, customer, amount, day from orders where amount > 0")
    lab.headrace("apply", "--yes")
    lab.deliver(day(20), rows(20, many=290))
    lab.tick()
    assert lab.rows(
        "select state from partition where node = 'clean' and partition = ?", day(20)
    ) == [("published",)]
    lab.sql("clean", "select o.order_id, o.customer, o.amount, o.day from orders o, range(2) g")
    lab.headrace("apply", "--yes")
    lab.deliver(day(21), rows(21, many=150))
    lab.tick()
    assert lab.rows(
        "select state from partition where node = 'clean' and partition = ?", day(21)
    ) == [("held",)]
    (incident,) = [item for item in lab.headrace("incidents") if item["cause"]["node"] == "clean"]
    assert incident["cause"]["kind"] == "code_error"
    said = "300 rows, expected at most 150 rows made of 150 rows of orders, as by the code before"
    assert incident["cause"]["summary"] == f"{said}; version 3 changed its code"
