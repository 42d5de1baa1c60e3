"""A repair that fails half way: what it showed is said at once, not after the next pass has failed
at it, too."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from runlab import SETTINGS, Lab

pytestmark = pytest.mark.long
DAYS = [f"2025-01-{day:02}" for day in range(1, 10)]
TODAY = "2025-01-10"
TOPS = "def tops(ctx: Context, clean):\n    return clean.select(['customer', 'amount', 'day'])"
BROKEN = "def tops(ctx: Context, clean):\n    raise ValueError('nothing is higher')"
RENAMED = "order_id,customer,total_amount,day"
CONSUMERS = "- {consumer: board, owner: core, reads: [tops], due: '09:00'}\n"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A renamed column is repaired over code of an asset below it that fails."""
    made = Lab(tmp_path / "p")
    made.sql("clean", "select day, customer, amount from orders")
    code(made, TOPS)
    made.write("consumers.yaml", CONSUMERS)
    for day in DAYS:
        made.orders(day)
    made.tick()
    rows = [f"10{number},c{number % 3},1.50,{TODAY}" for number in range(10)]
    made.deliver(TODAY, rows, RENAMED)
    at(made, "04:00", "tick")
    code(made, BROKEN)
    at(made, "04:02", "apply", "--yes")
    (incident,) = at(made, "04:03", "incidents")
    at(made, "04:05", "fix", incident["id"], "--yes")
    return made


def code(lab: Lab, body: str) -> None:
    lab.python("tops", body, inputs=["clean"], partition={"by": "day", "column": "day"})


def at(lab: Lab, time: str, *arguments: str) -> Any:
    now = datetime.fromisoformat(f"2025-01-11T{time}+00:00")
    return lab.headrace(*arguments, "--now", now.isoformat(), code=None)


def board(lab: Lab, time: str) -> Any:
    (row,) = at(lab, time, "status")["consumers"]
    return row


def test_a_consumer_is_at_risk_by_what_its_repair_failed_at(lab: Lab) -> None:
    """Would catch: "served", and "waits for clean, which could begin now", of a consumer of which
    the repair has shown that its asset fails, until a pass has failed as well."""
    (incident,) = at(lab, "04:06", "incidents")
    assert (incident["cause"]["kind"], incident["cause"]["node"]) == ("code_error", "tops")
    row = board(lab, "04:06")
    assert row["state"] == "at_risk"
    assert row["reason"].startswith(
        "late at 09:00: tops: ValueError: nothing is higher, failed since 04:05"
    )
    for subject in ("board", f"tops@{TODAY}"):
        result = at(lab, "04:06", "why", subject)
        assert "ValueError: nothing is higher" in result["verdict"], result["verdict"]
        assert result["next"] == f"headrace incident {incident['id']}"
        assert ("clean", TODAY) in {
            (item["node"], item["partition"]) for item in result["waiting_for"]
        }


def test_corrected_code_is_not_said_to_fail(lab: Lab) -> None:
    """Would catch: "tops failed since 04:05" of code that has been corrected since; "served",
    though nobody computes it before its deadline."""
    code(lab, TOPS)
    at(lab, "04:10", "apply", "--yes")
    row = board(lab, "04:11")
    assert (row["state"], row["next"]) == ("at_risk", "headrace tick")
    assert row["reason"] == f"late at 09:00: clean@{TODAY}: isn't computed yet, and nothing runs it"
    assert "ValueError" not in at(lab, "04:11", "why", f"tops@{TODAY}")["verdict"]
    at(lab, "04:12", "tick")
    assert board(lab, "04:13")["data_through"] == TODAY


def test_a_repair_that_published_nothing_repaired_nothing(tmp_path: Path) -> None:
    """Would catch: "Repaired by ann with `headrace fix INC-1`", mailed, of names that were accepted
    and whose rows couldn't be read again."""
    lab = Lab(tmp_path / "p")
    lab.write("headrace.toml", f'{SETTINGS}[connections.bank]\nurl = "sqlite:bank.db"\n')
    query = 'query: "select * from orders where day = $partition_start"\n'
    source = (
        f"source: orders\nowner: acme\npartition: day\nconnection: bank\nstart: {DAYS[-2]}\n{query}"
    )
    lab.write("sources/orders.yaml", source)
    lab.write("consumers.yaml", "- {consumer: board, owner: core, reads: [orders], due: '09:00'}\n")
    with closing(sqlite3.connect(lab.root / "bank.db")) as bank, bank:
        bank.execute("create table orders (customer text, amount real, day date)")
        bank.executemany(
            "insert into orders values ('ann', 2.5, ?)", [(day,) for day in (*DAYS[-2:], TODAY)]
        )
    lab.now = datetime.fromisoformat(f"{TODAY}T04:00+00:00")
    lab.tick()
    with closing(sqlite3.connect(lab.root / "bank.db")) as bank, bank:
        bank.execute("alter table orders rename column amount to total_amount")
    at(lab, "04:00", "tick")
    (held,) = at(lab, "04:01", "incidents")
    assert held["cause"]["kind"] == "schema_change"
    (lab.root / "bank.db").rename(lab.root / "bank.away")
    made = at(lab, "04:05", "fix", held["id"], "--yes")["backfill"]
    assert (made["state"], made["published"]) == ("failed", 0)
    assert "unable to open" in made["failures"][0]["reason"]
    over = at(lab, "04:06", "incident", held["id"])
    assert over["state"] == "resolved"
    assert over["ended"].startswith("Names accepted by "), over["ended"]
    assert "Repaired" not in over["ended"]
    at(lab, "04:10", "tick")
    row = board(lab, "04:11")
    assert (row["state"], row["reason"].partition(",")[0]) == (
        "at_risk",
        "late at 09:00: orders: bank.db: unable to open database file",
    )
    known = [
        (item["cause"]["kind"], item["state"]) for item in at(lab, "04:12", "incidents", "--all")
    ]
    assert sorted(known) == [("schema_change", "resolved"), ("source_unavailable", "open")], (
        "one cause, one incident"
    )
