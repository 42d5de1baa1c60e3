"""A consumer that is wrong is served again by the commands that its incident names."""

from __future__ import annotations

import os
import shlex
from datetime import datetime
from pathlib import Path

import pytest
from runlab import DAYS, Lab

pytestmark = pytest.mark.long
JOINED = """select o.day, o.order_id, o.customer, c.name, o.amount
from orders o left join customers c on o.customer = c.id"""
CHECKS = "{not_null: [name], severity: warning}"
REFERENCES = "{references: {column: customer, to: customers.id}}"


def joined(root: Path, checks: str, partition: str = "") -> Lab:
    """Six days whose names are partly missing, with a warning, and a consumer."""
    lab = Lab(root / "p")
    lab.write(
        "sources/customers.yaml",
        "source: customers\nowner: acme\nfiles: landing/customers.csv\n",
    )
    customers(lab, "c0,Ada", "c1,Bob", "c2,")
    lab.sql("named", JOINED, f"{partition}checks: [{checks}]")
    lab.write("consumers.yaml", "- {consumer: report, owner: core, reads: [named], due: '06:00'}\n")
    for day in DAYS[:6]:
        lab.orders(day)
    tick(lab, "2025-01-07T05:00:00+00:00")
    return lab


def customers(lab: Lab, *rows: str) -> None:
    lab.write("landing/customers.csv", "\n".join(["id,name", *rows]) + "\n")


def tick(lab: Lab, now: str) -> None:
    lab.now = datetime.fromisoformat(now)
    lab.tick()


def state(lab: Lab) -> str:
    (consumer,) = lab.headrace("status", "--now", lab.now.isoformat())["consumers"]
    return str(consumer["state"])


def test_code_that_fails_makes_nothing_wrong_that_was_warned_of(tmp_path: Path) -> None:
    """Would catch: an error of new code put down to a check that has warned every day, so that a
    consumer is wrong that reads what it has always read."""
    lab = joined(tmp_path, CHECKS)
    broken = JOINED.replace("o.amount", "cast(o.customer as integer) as amount")
    lab.sql("named", broken, f"checks: [{CHECKS}]")
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    lab.orders(DAYS[6])
    tick(lab, "2025-01-08T05:00:00+00:00")
    (incident,) = lab.headrace("incidents")
    assert incident["cause"]["kind"] == "code_error"
    assert state(lab) == "at_risk"
    lab.sql("named", JOINED, f"checks: [{CHECKS}]")
    for command in incident["repair"]["commands"]:
        follow(lab, command)
    assert lab.headrace("incidents") == []
    assert state(lab) == "served"


def test_wrong_rows_are_recomputed_from_a_corrected_reference(tmp_path: Path) -> None:
    """Would catch: a backfill that finds nothing to do, because a newer reference makes no
    partition stale, and a consumer that stays wrong for ever."""
    lab = joined(tmp_path, f"{CHECKS}, {REFERENCES}", "partition: {by: day, column: day}\n")
    lab.deliver(DAYS[6], [f"07{at},{'zz' if at < 5 else 'c1'},1.50,{DAYS[6]}" for at in range(10)])
    tick(lab, "2025-01-08T05:00:00+00:00")
    assert state(lab) == "wrong"
    customers(lab, "c0,Ada", "c1,Bob", "c2,Cyd", "zz,Zed")
    os.utime(lab.root / "landing/customers.csv", (1_736_320_000, 1_736_320_000))
    tick(lab, "2025-01-08T05:10:00+00:00")
    incident = next(
        item for item in lab.headrace("incidents") if item["cause"]["kind"] == "reference_broken"
    )
    for command in incident["repair"]["commands"]:
        follow(lab, command)
    assert state(lab) == "served"
    assert {row["name"] for row in lab.read("named")} == {"Ada", "Bob", "Cyd", "Zed"}


def follow(lab: Lab, command: str) -> None:
    """Run a command as it is printed."""
    lab.session().close()  # a minute later
    _, *arguments = shlex.split(command)
    agreed = ["--yes"] if arguments[0] in ("apply", "backfill") else []
    lab.headrace(*arguments, *agreed, "--now", lab.now.isoformat())
