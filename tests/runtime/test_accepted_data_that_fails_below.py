"""Accepted data over which an asset fails: its cause is the delivery that somebody accepted, not
the asset."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from runlab import DAYS, Lab

ODD, OTHER = DAYS[5], DAYS[6]
AT = f"orders@{ODD}"
BODIES = {
    "rows of another interval": ("", ""),
    "an asset's own check": ("where day >= $partition_start and day < $partition_end", "min: 5"),
}


def _command(lab: Lab, *words: str) -> Any:
    lab.now += timedelta(minutes=1)
    return lab.headrace(*words, "--now", lab.now.isoformat())


def _accepted(root: Path, how: str) -> Lab:
    """Five days, and the file of a sixth with the rows of the seventh, which somebody accepted."""
    where, rows = BODIES[how]
    lab = Lab(root)
    checks = f"\nchecks: [{{row_count: {{{rows}}}}}]" if rows else ""
    lab.sql(
        "daily", f"select * from orders {where}", f"partition: {{by: day, column: day}}{checks}"
    )
    lab.write("consumers.yaml", "- {consumer: report, owner: core, reads: [daily], max_age: 9d}\n")
    for day in DAYS[:5]:
        lab.orders(day)
    lab.tick()
    lab.deliver(ODD, [f"x{i},c{i % 3},1.50,{OTHER}" for i in range(10)])
    assert [attempt.state for attempt in lab.tick().attempts] == ["held"]
    _command(lab, "quarantine", "accept", AT, "--reason", "the vendor says so")
    return lab


@pytest.mark.parametrize("how", BODIES)
def test_the_delivery_and_its_owner_answer_for_it(tmp_path: Path, how: str) -> None:
    """Would catch: SQL that nobody touched as the culprit, and its owner told to correct it."""
    lab = _accepted(tmp_path / "p", how)
    (incident,) = lab.headrace("incidents", "--all")
    assert (incident["state"], incident["cause"]["kind"], incident["cause"]["node"]) == (
        "open",
        "stale_data",
        "orders",
    )
    assert incident["owner"] == "acme"
    who = incident["timeline"][1]["by"]
    assert f"accepted as an exception by {who}" in incident["timeline"][1]["what"]
    assert {symptom["node"] for symptom in incident["symptoms"]} == {"daily"}
    assert f"headrace unpublish {AT}" in incident["repair"]["first"]
    assert "daily" not in incident["repair"]["first"]
    (report,) = lab.headrace("status")["consumers"]
    assert report["state"] != "wrong", "what was accepted isn't called wrong"
    lab.now += timedelta(days=3, hours=1)
    lab.tick()
    (incident,) = lab.headrace("incidents")
    assert incident["cause"]["node"] == "orders", "an old warning explains what it explained"
    lab.orders(ODD)
    lab.tick()
    assert lab.headrace("incidents") == []


def test_what_nobody_fails_over_is_no_incident(tmp_path: Path) -> None:
    """Would catch: an incident about each exception, or one that stays open a day after its end."""
    lab = _accepted(tmp_path / "p", "an asset's own check")
    _command(lab, "quarantine", "accept", f"daily@{ODD}", "--reason", "then it is empty")
    assert lab.headrace("incidents") == []
    (report,) = lab.headrace("status")["consumers"]
    assert report["state"] == "served"


def test_another_delivery_of_the_same_day_has_a_cause_of_its_own(tmp_path: Path) -> None:
    """Would catch: an accepted delivery that explains what is wrong with the next one."""
    lab = _accepted(tmp_path / "p", "an asset's own check")
    _command(lab, "quarantine", "accept", f"daily@{ODD}", "--reason", "then it is empty")
    lab.deliver(ODD, [f"x{i},1.50,{ODD}" for i in range(10)], header="order_id,amount,day")
    lab.tick()
    (incident,) = lab.headrace("incidents")
    assert incident["cause"]["kind"] == "schema_change"
