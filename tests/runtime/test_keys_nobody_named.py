"""Rows that name what nobody knows: held before they are joined, and before readers of their keys
see them.
"""

from __future__ import annotations

import random
from datetime import date, timedelta
from pathlib import Path

import pytest
from runlab import Lab

FIRST = date(2024, 12, 1)
DAYS = 24
KEYS = [f"G{number}" for number in range(80)]


def day(number: int) -> str:
    return (FIRST + timedelta(number)).isoformat()


def rows(number: int, unknown: float = 0.0) -> list[str]:
    chance = random.Random(number)
    keys = [
        key.replace("G", "Y") if chance.random() < unknown else key
        for key in chance.choices(KEYS, k=90)
    ]
    return [
        f"{number + 1}{n:03d},{key},{chance.lognormvariate(3, 0.3):.2f},{day(number)}"
        for n, key in enumerate(keys)
    ]


@pytest.mark.long
def test_keys_that_nobody_knows_are_held_before_anything_is_made_of_them(tmp_path: Path) -> None:
    """Would catch: a small delivery, most of whose rows name unknown customers, published to all
    who don't join it."""
    lab = Lab(tmp_path / "p")
    lab.write(
        "sources/people.yaml",
        "source: people\nowner: acme\npartition: '*'\nfiles: landing/people.csv\nexpect:"
        " {unchanged: ok}\n",
    )
    lab.write(
        "landing/people.csv", "code,region\n" + "".join(f"{key},R{key[-1]}\n" for key in KEYS)
    )
    lab.sql("clean", "select order_id, customer as who, amount, day from orders")
    lab.sql(
        "joined",
        "select c.day, c.order_id, p.region from clean c left join people p on c.who = p.code",
    )
    lab.sql("listed", "select day, who, count(*) as n from clean group by all")
    for number in range(DAYS):
        lab.deliver(day(number), rows(number))
    lab.tick()
    lab.deliver(day(DAYS), rows(DAYS, 0.6))
    lab.tick()
    assert lab.rows(
        "select node, state from partition where partition = ? order by node", day(DAYS)
    )[-1] == ("orders", "held")
    assert lab.rows("select count(*) from publication where partition = ?", day(DAYS)) == [(0,)]
    (incident,) = lab.headrace("incidents")
    assert (incident["cause"]["kind"], incident["cause"]["node"]) == ("reference_broken", "orders")
    assert incident["cause"]["summary"].endswith(
        "% of the rows have keys in customer that the intervals before hadn't"
    )
    lab.deliver(day(DAYS), rows(DAYS))
    lab.tick()
    assert lab.headrace("incidents") == []
