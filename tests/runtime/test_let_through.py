"""Anomalies that `on_anomaly: warn` publishes: they open an incident and don't become the normal."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from runlab import Lab

FIRST = date(2025, 3, 1)
KNOWN = 30


def day(number: int) -> str:
    return (FIRST + timedelta(days=number)).isoformat()


def rows(number: int, nulls: int = 2, count: int = 300) -> list[str]:
    """A day of orders, the first of every hundred without a customer."""
    return [
        f"{number + 1}{n:05},{'' if n % 100 < nulls else f'c{n % 7}'},{n % 9 + number % 3}.50,{day(number)}"
        for n in range(count + 7 * (number % 5))
    ]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Thirty days of orders, published, with a policy that only warns."""
    lab = Lab(tmp_path / "p")
    source = lab.root / "sources/orders.yaml"
    source.write_text(f"{source.read_text()}on_anomaly: warn\n")
    lab.sql("clean", "select order_id, customer, cast(day as date) as day from orders")
    for number in range(KNOWN):
        lab.deliver(day(number), rows(number))
    tick(lab, KNOWN)
    return lab


def tick(lab: Lab, number: int) -> list[tuple[str, str]]:
    """Run on the morning of a day; return the states of its attempts on orders."""
    lab.now = datetime.fromisoformat(f"{day(number)}T04:00:00+00:00")
    result = lab.tick()
    return [(item.verdict or "", item.reason or "") for item in result.attempts]


def open_causes(lab: Lab) -> list[str]:
    return [
        item["cause"]["kind"] for item in lab.headrace("incidents", "--now", lab.now.isoformat())
    ]


@pytest.mark.long
def test_what_nobody_accepted_is_no_normal(lab: Lab) -> None:
    """Would catch: 55 % nulls a week after 57 %, published in silence, and a warning that leaves no
    incident; would catch, too, a real change of level that nobody can accept."""
    lab.deliver(day(KNOWN), rows(KNOWN, nulls=57))
    tick(lab, KNOWN + 1)
    assert open_causes(lab) == ["null_spike"]
    shown = lab.headrace("incident", "INC-1", "--now", lab.now.isoformat())
    accept = f"headrace quarantine accept orders@{day(KNOWN)} --reason TEXT"
    assert accept in shown["repair"]["text"]
    for number in range(KNOWN + 1, KNOWN + 7):
        lab.deliver(day(number), rows(number))
    tick(lab, KNOWN + 7)
    assert open_causes(lab) == []
    lab.deliver(day(KNOWN + 7), rows(KNOWN + 7, nulls=55))
    tick(lab, KNOWN + 8)
    assert open_causes(lab) == ["null_spike"]
    decided = lab.headrace(
        "quarantine", "accept", "INC-1", "--reason", "guests", "--now", lab.now.isoformat()
    )
    assert (decided["state"], decided["partitions"]) == ("accepted", [day(KNOWN), day(KNOWN + 7)])
    lab.deliver(day(KNOWN + 8), rows(KNOWN + 8, nulls=55))
    tick(lab, KNOWN + 9)
    assert open_causes(lab) == []


@pytest.mark.long
def test_each_kind_that_is_let_through_opens_an_incident(lab: Lab) -> None:
    """Would catch: a volume of × 30 that is warned of and leaves no incident, or that makes readers
    wrong whose owner declared to publish it."""
    lab.deliver(day(KNOWN), rows(KNOWN, count=9_000))
    tick(lab, KNOWN + 1)
    assert open_causes(lab) == ["volume_anomaly"]
