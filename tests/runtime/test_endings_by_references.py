"""How an incident ends whose data was checked against what somebody had ingested again."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from runlab import DAYS, Lab


def places(lab: Lab, *names: str) -> None:
    with closing(sqlite3.connect(lab.root / "erp.db")) as db, db:
        db.execute("create table if not exists places (customer text)")
        db.executemany("insert into places values (?)", [(name,) for name in names])


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Of `orders`, which is checked against a table of a database, day 3 has a customer that isn't
    there."""
    made = Lab(tmp_path / "p")
    with (made.root / "headrace.toml").open("a", encoding="utf-8") as file:
        file.write("[connections.erp]\npath = 'erp.db'\ntype = 'sqlite'\n")
    made.write(
        "sources/places.yaml",
        "source: places\nowner: acme\nconnection: erp\ntable: places\npartition: '*'\n",
    )
    with (made.root / "sources/orders.yaml").open("a", encoding="utf-8") as file:
        file.write("checks:\n  - references: {column: customer, to: places.customer}\n")
    made.sql("clean", "select order_id, customer, amount, day from orders")
    made.write("consumers.yaml", "- {consumer: shops, owner: core, reads: [clean], due: '09:00'}\n")
    places(made, "c0", "c1", "c2")
    for day in DAYS[:2]:
        made.orders(day)
    made.tick()
    made.deliver(DAYS[2], [f"3{i},c{i},1.50,{DAYS[2]}" for i in range(4)])
    made.now += timedelta(hours=1)
    made.tick()
    return made


def again(lab: Lab, *arguments: str, code: int | None = 0) -> Any:
    lab.now += timedelta(hours=1)
    return lab.headrace(*arguments, "--now", lab.now.isoformat(), code=code)


def test_it_ends_by_the_command_that_ingested_the_reference_again(lab: Lab) -> None:
    """Would catch: "attempt 4.1 published orders@…", and no word of the command and its reason."""
    (row,) = again(lab, "incidents")
    assert row["cause"]["kind"] == "reference_broken"
    again(lab, "run", "places", "--again", "--reason", "in vain")
    lab.tick()
    assert again(lab, "incident", row["id"])["state"] == "open"
    places(lab, "c3")
    again(lab, "run", "places", "--again", "--reason", "a new place")
    lab.tick()
    ended = again(lab, "incident", row["id"])["ended"]
    assert re.fullmatch(
        r"Run again by \S+: places \(a new place\); all whom it affected are served\.", ended
    ), ended


def test_what_headrace_ingested_by_itself_is_no_command(lab: Lab) -> None:
    """Would catch: a command named that published nothing of what it is checked against."""
    (row,) = again(lab, "incidents")
    places(lab, "c3")
    again(lab, "run", "clean", "--partition", DAYS[0], "--again", "--reason", "out of interest")
    lab.now += timedelta(days=1)
    lab.tick()
    ended = again(lab, "incident", row["id"])
    assert ended["state"] == "resolved" and " by " not in ended["ended"], ended


def test_an_assets_check_ends_by_the_command_at_its_input(lab: Lab) -> None:
    """Would catch: "attempt 17.1 published joined@…" of a joined table that was ingested again."""
    source = lab.root / "sources/orders.yaml"
    source.write_text(source.read_text().partition("checks:")[0])
    front = "partition: {by: day, column: day}\nchecks:\n  - not_null: [place]"
    query = "select o.*, p.customer as place from orders o left join places p using (customer)"
    lab.sql("clean", query, front)
    lab.headrace("apply", "--yes")
    lab.tick()
    (row,) = [item for item in again(lab, "incidents") if item["cause"]["node"] == "clean"]
    places(lab, "c3")
    again(lab, "run", "places", "--again", "--reason", "a new place")
    lab.tick()
    lab.tick()
    ended = again(lab, "incident", row["id"])["ended"]
    assert ended.startswith("Run again by ") and "places (a new place); all " in ended, ended
