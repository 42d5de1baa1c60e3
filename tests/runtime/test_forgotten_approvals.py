"""A backfill that nobody approves: who is to be told of it, and when."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from runlab import DAYS, Lab


@pytest.mark.long
def test_a_plan_that_waits_for_an_approval_is_told_after_a_while_and_ends_with_it(
    tmp_path: Path,
) -> None:
    """Would catch: a repair that was asked for and lies there unseen, because what it replaces is
    published; one that is told of while it is being typed; an incident that outlives the plan."""
    lab = Lab(tmp_path / "p")
    lab.sql("clean", "select order_id, day from orders")
    for day in DAYS[:4]:
        lab.orders(day)
    lab.tick()
    settings = lab.root / "headrace.toml"
    settings.write_text(settings.read_text() + '[policy]\nbackfill_approval = "partitions > 2"\n')
    lab.headrace(
        "backfill",
        "clean",
        "--from",
        DAYS[0],
        "--to",
        DAYS[3],
        "--mode",
        "all",
        "--reason",
        "made again",
        "--yes",
        "--now",
        lab.now.isoformat(),
        code=3,
    )
    lab.now += timedelta(minutes=20)
    lab.tick()
    assert lab.rows("select kind, node, state from incident") == []
    lab.now += timedelta(hours=2)
    lab.tick()
    assert lab.rows("select kind, node, state from incident") == [
        ("approval_pending", "clean", "open")
    ]
    (incident,) = lab.headrace("incidents")
    rules = [seen["expected"] for seen in incident["cause"]["evidence"]]
    assert rules == ["an approval: headrace.toml:7 backfill_approval = 'partitions > 2'"]
    assert incident["repair"]["first"].startswith("another person than the one who asked decides")
    assert incident["repair"]["commands"] == ["headrace approve 1 --reason TEXT"]
    lab.headrace("backfills", "cancel", "1", "--reason", "not needed", "--now", lab.now.isoformat())
    lab.now += timedelta(hours=1)
    lab.tick()
    assert lab.rows("select kind, node, state from incident") == [
        ("approval_pending", "clean", "resolved")
    ]
    (over,) = lab.headrace("incidents", "--all")
    assert over["ended"].startswith("Backfill cancelled by "), over["ended"]
    assert "(backfill 1): clean (not needed)" in over["ended"] and "again" not in over["ended"]
