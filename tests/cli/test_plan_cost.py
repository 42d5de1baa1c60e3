"""What `plan` says a change costs: compute time now, and in a month."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from clilab import Project

NEW = (
    "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
    "select id, day from orders_clean\n"
)


def _duration(project: Project, node: str, seconds: float) -> None:
    """Give all attempts of a node the same duration, whatever this machine took."""
    with closing(sqlite3.connect(project.root / ".headrace/state.db")) as state, state:
        state.execute(
            "update attempt set finished_at = started_at + ? where node = ?",
            (round(seconds * 1e6), node),
        )


def _change(project: Project) -> None:
    revenue = project.root / "assets/revenue.sql"
    revenue.write_text(revenue.read_text().replace("sum(amount)", "max(amount)"))


def test_the_compute_time_of_what_becomes_stale(shop: Project) -> None:
    """Would catch: a time of other nodes, seconds of the wall clock instead of those of worker
    slots, or a node without history counted as nothing."""
    _change(shop)
    for node in ("revenue", "page", "fails"):
        _duration(shop, node, 6.0)
    plan = shop.json("plan")
    chosen = plan["backfills"][0]
    assert plan["compute"]["partitions"] == chosen["counts"]["partitions"]
    assert plan["compute"]["cost"] is None
    text = shop.text("plan")
    assert "compute time: about" in text
    (shop.root / "assets/new.sql").write_text(NEW)
    plan = shop.json("plan")
    assert "new" in plan["compute"]["unknown"]
    assert plan["month"] == {"seconds": None, "cost": None, "unknown": ["new", "revenue"]}
    assert "new: unknown" in shop.text("plan")


def test_a_removed_asset_saves_what_it_took(shop: Project) -> None:
    """Would catch: a saving that isn't the work of the last 30 days, or the wrong sign."""
    (shop.root / "assets/fails.py").unlink()
    with closing(sqlite3.connect(shop.root / ".headrace/state.db")) as state:
        (number,) = state.execute(
            "select count(*) from attempt where node = 'fails' and started_at is not null"
        ).fetchone()
    assert number
    _duration(shop, "fails", 3600.0)
    settings = shop.root / "headrace.toml"
    settings.write_text(settings.read_text() + '[costs]\ncurrency = "EUR"\nslot_hour = 0.5\n')
    plan = shop.json("plan", "--now", "2025-03-07T08:00+01:00")
    assert plan["month"]["seconds"] == pytest.approx(-3600.0 * number)
    assert plan["month"]["cost"] == pytest.approx(-0.5 * number)
    text = shop.text("plan", "--now", "2025-03-07T08:00+01:00")
    assert f"less compute time (costs {0.5 * number:.2f} less)" in text
    assert plan["compute"] is None


def test_nothing_is_said_of_other_changes(new: Project, shop: Project) -> None:
    """Would catch: a cost of a change that computes nothing, or one before anything is applied."""
    plan = new.json("plan")
    assert plan["compute"] is None
    assert plan["month"] is None
    consumers = shop.root / "consumers.yaml"
    consumers.write_text(consumers.read_text().replace("07:00", "08:00"))
    plan = shop.json("plan")
    assert plan["steps"]
    assert plan["compute"] is None
    assert plan["month"] is None
