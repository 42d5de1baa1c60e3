"""A source that isn't declared any more: nobody can decide about what is left of it, and nothing
says that somebody should."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from runlab import DAYS, Lab
from test_wrong_paths import RIGHT, at, declare, deliver, tick


def test_what_is_held_of_a_removed_source_counts_nowhere(tmp_path: Path) -> None:
    """Would catch: rows that `status` says are held for days, though no command does anything about
    them."""
    lab = Lab(tmp_path / "p")
    lab.write(
        "sources/more.yaml",
        "source: more\nowner: acme\npartition: day\nfiles: landing/more_{date:%Y-%m-%d}.csv\n"
        "checks:\n  - range: {column: amount, min: 0}\n",
    )
    lab.orders(DAYS[0])
    for day, amount in zip(DAYS[:2], ("1.00", "-1.00"), strict=True):
        (lab.root / f"landing/more_{day}.csv").write_text(f"id,amount,day\n1,{amount},{day}\n")
    lab.tick()
    assert lab.headrace("status")["quarantine"]["partitions"] == 1
    assert [item["cause"]["node"] for item in lab.headrace("incidents")] == ["more"]
    (lab.root / "sources/more.yaml").unlink()
    lab.now += timedelta(minutes=1)
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    lab.tick()
    status = lab.headrace("status")
    assert (status["quarantine"], status["open"]) == (
        {"deliveries": 0, "partitions": 0, "rows": 0},
        [],
    )
    assert lab.headrace("incidents") == []


def test_nobody_waits_for_the_file_of_a_removed_source(tmp_path: Path) -> None:
    """Would catch: "Headrace goes on by itself as soon as the file comes" of a source that isn't
    declared any more.
    """
    lab = Lab(tmp_path / "p")
    more = (
        "source: more\nowner: acme\npartition: day\nfiles:"
        " landing/more_{date:%Y-%m-%d}.csv\nexpect: {by: '05:00'}\n"
    )
    lab.write("sources/more.yaml", more)
    (lab.root / f"landing/more_{DAYS[0]}.csv").write_text("id\n1\n")
    lab.tick()
    lab.now += timedelta(days=1)
    lab.tick()
    (late,) = lab.headrace("incidents")
    assert (late["cause"]["kind"], late["repair"]["automatic"]) == ("late_source", True)
    (lab.root / "sources/more.yaml").unlink()
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    (late,) = lab.headrace("incidents")
    assert late["repair"]["text"] == "it ends with the next pass; more isn't declared any more"
    refused = lab.headrace("fix", late["id"], "--yes", code=3)
    assert refused is None or "needs no repair" in str(refused)
    lab.tick()
    assert lab.headrace("incidents") == []


@pytest.mark.long
def test_what_was_removed_isnt_affected_any_more(tmp_path: Path) -> None:
    """Would catch: "affects 2 assets, 2 consumers" of an incident beside "1 cause holds 1 asset and
    1 consumer" in `status`, after one of each was removed."""
    lab = Lab(tmp_path / "p")
    report = "- {consumer: report, owner: core, reads: [clean], due: '07:00'}\n"
    board = "- {consumer: board, owner: core, reads: [totals], due: '07:00'}\n"
    lab.write("consumers.yaml", report + board)
    lab.sql("clean", "select * from orders")
    lab.sql("totals", "select day, count(*) as n from orders group by all")
    declare(lab, RIGHT)
    for day in range(1, 4):
        deliver(lab, f"2025-01-{day:02d}")
        tick(lab, f"{day + 1:02d}T01:05:00")
    tick(lab, "05T08:05:00")
    (before,) = lab.headrace("incidents")
    assert set(before["affected"]["assets"]) == {"clean", "totals"}
    (lab.root / "assets/totals.sql").unlink()
    lab.write("consumers.yaml", report)
    lab.headrace("apply", "--yes", "--now", at("05T09:00:00").isoformat())
    (after,) = lab.headrace("incidents")
    assert (after["affected"]["assets"], after["affected"]["consumers"]) == (["clean"], ["report"])
    status = lab.headrace("status")["holding"]
    assert (status["assets"], status["consumers"]) == (1, 1)
