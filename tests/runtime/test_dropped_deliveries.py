"""A delivery that somebody dropped isn't published by what is done afterwards about
other things.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from runlab import DAYS, Lab

SOURCE = """source: orders
owner: acme
partition: day
files: landing/orders_{{date:%Y-%m-%d}}.csv
checks:
  - row_count: {{min: {least}}}
"""


def later(lab: Lab, *arguments: str) -> Any:
    lab.now += timedelta(minutes=1)
    return lab.headrace(*arguments, "--now", lab.now.isoformat(), code=None)


def test_a_dropped_delivery_is_not_what_failed(tmp_path: Path) -> None:
    """Would catch: a test file that a person dropped, read again by `retry` and `backfill --mode
    failed`, proposed by `apply` as what a looser check may repair, and then published."""
    lab = Lab(tmp_path / "p")
    lab.write("sources/orders.yaml", SOURCE.format(least=8))
    lab.orders(DAYS[0])
    lab.orders(DAYS[1], n=5)
    lab.tick()
    later(lab, "quarantine", "drop", f"orders@{DAYS[1]}", "--reason", "a test of the tills")
    assert later(lab, "retry", f"orders@{DAYS[1]}")["state"] == "nothing_due"
    lab.write("sources/orders.yaml", SOURCE.format(least=3))
    assert [step["kind"] for step in lab.headrace("plan")["steps"]] == ["declare", "weaken"]
    later(lab, "apply", "--yes")
    backfill = lab.headrace(
        "backfill",
        "orders",
        "--from",
        DAYS[0],
        "--to",
        DAYS[1],
        "--mode",
        "failed",
        "--reason",
        "x",
        "--dry-run",
    )
    assert backfill["partitions_total"] == 0
    lab.tick()
    assert [
        item["partition"]
        for item in lab.headrace("deliveries", "orders")
        if item["state"] == "published"
    ] == [DAYS[0]]
    again = later(
        lab, "run", "orders", "--partition", DAYS[1], "--again", "--reason", "it was a sale"
    )
    assert [item["partition"] for item in again["published"]] == [DAYS[1]], (
        "who asks for it by name gets it"
    )


def test_nobody_is_sent_to_quarantine_for_what_was_dropped(tmp_path: Path) -> None:
    """Would catch: `headrace quarantine` proposed for a delivery that isn't there any more."""
    lab = Lab(tmp_path / "p")
    lab.write("sources/orders.yaml", SOURCE.format(least=8))
    lab.sql("totals", "select day, count(*) as n from orders group by all")
    lab.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], due: '07:00'}\n"
    )
    lab.now = lab.now.replace(day=2)
    lab.orders(DAYS[0])
    lab.tick()
    lab.now = lab.now.replace(day=3, hour=6)
    lab.orders(DAYS[1], n=5)
    lab.tick()
    lab.now = lab.now.replace(hour=12)
    later(lab, "quarantine", "drop", f"orders@{DAYS[1]}", "--reason", "a test of the tills")
    (report,) = later(lab, "status")["consumers"]
    assert (report["state"], report["next"]) == ("late", f"headrace why orders@{DAYS[1]}")
    assert later(lab, "why", f"orders@{DAYS[1]}")["next"] == "headrace deliveries orders"


def test_what_reads_a_dropped_delivery_ends_nothing_by_being_computed_again(tmp_path: Path) -> None:
    """Would catch: a backfill of a table over all days named among what ended the incident of a
    delivery that was dropped, and that nobody waits for since."""
    lab = Lab(tmp_path / "p")
    lab.write("sources/orders.yaml", SOURCE.format(least=8))
    lab.sql("ever", "select count(*) as n from orders", front="")
    lab.write("consumers.yaml", "- {consumer: all, owner: core, reads: [ever], due: '07:00'}\n")
    lab.now = lab.now.replace(day=2)
    lab.orders(DAYS[0])
    lab.tick()
    lab.now = lab.now.replace(day=3, hour=8)
    lab.orders(DAYS[1], n=5)
    lab.tick()
    later(lab, "quarantine", "drop", f"orders@{DAYS[1]}", "--reason", "a test of the tills")
    days = ("--from", DAYS[0], "--to", DAYS[1])
    done = later(lab, "backfill", "ever", *days, "--mode", "all", "--reason", "again", "--yes")
    assert done["state"] == "succeeded"
    later(lab, "waive", f"all@{DAYS[1]}", "--reason", "none that day")
    (incident,) = later(lab, "incidents", "--all")
    assert incident["state"] == "resolved"
    assert incident["ended"].startswith("Dropped by ") and "; waived by " in incident["ended"]
    assert "backfill" not in incident["ended"]


def test_what_was_dropped_is_not_to_be_accepted_any_more(tmp_path: Path) -> None:
    """Would catch: "or accept it as an exception", of a delivery that isn't in
    quarantine any more.
    """
    lab = Lab(tmp_path / "p")
    lab.sql("clean", "select order_id, day from orders")
    days = [f"2025-01-{n:02d}" for n in range(1, 17)]
    for day in days[:-1]:
        lab.orders(day, n=60)
    lab.now = lab.now.replace(day=16, hour=6)
    lab.tick()
    lab.orders(days[-1], n=10)
    lab.now = lab.now.replace(day=17)
    lab.tick()
    (held,) = later(lab, "incidents")
    assert "quarantine accept" in held["repair"]["first"]
    later(lab, "quarantine", "drop", f"orders@{days[-1]}", "--reason", "a test of the tills")
    (dropped,) = later(lab, "incidents")
    assert (
        dropped["repair"]["first"]
        == "ask acme for the file as it was agreed, and put it where the source looks"
    )
