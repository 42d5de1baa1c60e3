"""Held deliveries whose columns have other names: which decisions are offered, and what becomes of one that is published as it is."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from runlab import DAYS, Lab

HEADER = "order_id,customer,amount,day"
RENAMED = "order_id,customer,amount_no,day"
SOURCE = """source: orders
owner: acme
partition: day
files: landing/orders_{date:%Y-%m-%d}.csv
checks:
  - not_null: [amount]
"""
DAY = DAYS[5]
AT = f"orders@{DAY}"


def deliver(lab: Lab, day: str, header: str = HEADER, n: int = 24) -> None:
    lab.deliver(day, [f"{day[-2:]}{i},c{i % 3},{1.5 + i % 7},{day}" for i in range(n)], header)


def command(lab: Lab, *words: str, code: int | None = 0) -> Any:
    lab.now += timedelta(minutes=1)
    return lab.headrace(*words, "--now", lab.now.isoformat(), code=code)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Five sound days, and one whose amounts have another name."""
    made = Lab(tmp_path / "p")
    made.write("sources/orders.yaml", SOURCE)
    made.sql("totals", "select day, sum(amount) as total from orders group by all")
    made.write("consumers.yaml", "- {consumer: report, owner: core, reads: [totals], max_age: 30d}\n")
    for day in DAYS[:5]:
        deliver(made, day)
    made.tick()
    deliver(made, DAY, RENAMED)
    made.tick()
    return made


def totals(lab: Lab) -> dict[str, float | None]:
    return {row["day"]: row["total"] for row in lab.read("totals")}


def accept(lab: Lab, at: str = AT) -> Any:
    return command(lab, "quarantine", "accept", at, "--reason", "it isn't known yet")


def test_a_failed_check_that_was_accepted_holds_nothing(lab: Lab) -> None:
    """Would catch: an incident of what readers see as an exception that stays open for ever, with a repair that changes nothing,
    because a check that fails over it is still said to keep it from them."""
    accept(lab)
    (incident,) = command(lab, "incidents")
    assert incident["repair"]["automatic"], incident["repair"]
    assert "it ends by itself on" in incident["repair"]["text"]
    lab.now += timedelta(days=1, hours=1)
    lab.tick()
    assert command(lab, "incidents") == []
    (ended,) = command(lab, "incidents", "--all")
    assert ended["ended"].startswith(f"Accepted as an exception by {ended['timeline'][1]['by']}: {AT}"), ended["ended"]
