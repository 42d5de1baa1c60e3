"""`retain:`: old partitions leave everything that Headrace keeps, whatever ends it in between."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from warm_fork_servers import headrace

from headrace.faults import FaultPoint
from headrace.model import Settings, UsageError
from headrace.model.nodes import Grain, PartitionSpec, Place, Source
from headrace.model.retention import first_kept, is_shortened, parse_retention
from headrace.store import Store
from headrace.store.queries import durations, partition_states, quality

pytestmark = pytest.mark.timeout(300)
OLD, KEPT = ((datetime.now(UTC) - timedelta(days=back)).strftime("%Y-%m-%d") for back in (40, 2))


def command(root: Path, *arguments: str, fault: str = "") -> Any:
    return headrace([*arguments, "--project", str(root)], root, os.environ, 120, fault)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    root = tmp_path / "p"
    for path, text in {
        "headrace.toml": '[project]\nname = "shop"\ntimezone = "UTC"\n',
        "owners.yaml": 'tills: {kind: vendor, contact: ["mailto:t@example.com"]}\n',
        "sources/orders.yaml": "source: orders\nowner: tills\npartition: day\nretain: 30d\n"
        "files: landing/orders_{date:%Y-%m-%d}.csv\n",
        "assets/daily.sql": "/* headrace\nowner: tills\npartition: {by: day, column: day}\n*/\n"
        "select cast(day as date) as day, count(*) as n from orders group by day\n",
        **{f"landing/orders_{day}.csv": f"id,day\nrow-of-{day},{day}\n" for day in (OLD, KEPT)},
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    for path in (root / "landing").iterdir():
        os.utime(path, (path.stat().st_mtime - 3_600,) * 2)
    done = command(root, "tick")
    assert done.returncode == 0, done
    return root


def rows(root: Path, asset: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(command(root, "read", asset, "--json").stdout)["rows"]
    return found


@pytest.mark.long
@pytest.mark.parametrize(
    "fault", ["", *(FaultPoint.RETENTION_REWRITTEN, FaultPoint.RETENTION_REGISTERED)]
)
def test_old_partitions_go_and_what_was_computed_stays(shop: Path, fault: str) -> None:
    """Would catch: rows that stay, a partition that counts as missing, or an incident about it."""
    if fault:
        assert command(shop, "db", "gc", fault=f"{fault}=kill").returncode == -signal.SIGKILL
    assert command(shop, "db", "gc").returncode == 0
    assert [row["id"] for row in rows(shop, "orders")] == [f"row-of-{KEPT}"]
    with closing(sqlite3.connect(shop / ".headrace/state.db")) as state:
        metrics = state.execute("select vector from metric where node = 'orders'").fetchall()
    assert f"row-of-{OLD}" not in repr(metrics) and f"row-of-{KEPT}" in repr(metrics)
    assert len(rows(shop, "daily")) == 2
    assert command(shop, "tick").returncode == 0
    assert len(rows(shop, "daily")) == 2
    verified = json.loads(command(shop, "audit", "verify", "--json").stdout)
    assert (verified["ok"], verified["missing"]) == (True, [])
    assert json.loads(command(shop, "db", "check", "--deep", "--json").stdout)["ok"]
    assert json.loads(command(shop, "incidents", "--json").stdout) == []
    assert "data.retired" in command(shop, "audit", "show").stdout
    again = command(shop, "run", "orders", "--partition", OLD, "--again", "--reason", "x")
    assert (again.returncode, "retain: 30d" in again.stderr) == (3, True), again
    computed = command(shop, "run", "daily", "--partition", OLD, "--again", "--reason", "x")
    assert "retain: 30d" in computed.stdout + computed.stderr
    assert len(rows(shop, "daily")) == 2


@pytest.mark.long
def test_the_retention_of_a_removed_source_goes_on(shop: Path) -> None:
    """Would catch: a deleted declaration that keeps old rows, and their delivery, for ever."""
    (shop / "assets/daily.sql").unlink()
    declared = shop / "sources/orders.yaml"
    text = declared.read_text()
    declared.unlink()
    done = command(shop, "apply", "--yes")
    assert done.returncode == 0, done
    announced = json.loads(command(shop, "db", "gc", "--dry-run", "--json").stdout)["partitions"]
    assert [(row["node"], row["first"], row["last"]) for row in announced] == [("orders", OLD, OLD)]
    assert command(shop, "db", "gc").returncode == 0
    declared.write_text(text)
    assert command(shop, "apply", "--yes").returncode == 0
    assert [row["id"] for row in rows(shop, "orders")] == [f"row-of-{KEPT}"]


@pytest.mark.long
def test_removed_rows_are_no_empty_deliveries(shop: Path) -> None:
    """Would catch: a partition whose rows retention removed that counts as delivered empty where
    volumes are compared: "its input grew", or "the other source has few rows, too"; and an empty
    delivery that no longer counts."""
    (shop / "assets/none.sql").write_text(
        "/* headrace\nowner: tills\npartition: {by: day, column: day}\n*/\n"
        "select cast(day as date) as day, id from orders where id = 'x'\n"
    )
    older = (shop / "sources/orders.yaml").read_text().replace("orders", "older")
    (shop / "sources/older.yaml").write_text(older)
    delivered = shop / f"landing/older_{OLD}.csv"
    delivered.write_text(f"id,day\n1,{OLD}\n")
    os.utime(delivered, (delivered.stat().st_mtime - 3_600,) * 2)
    assert command(shop, "apply", "--yes").returncode == 0
    assert command(shop, "tick").returncode == 0
    assert command(shop, "run", "none", "--from", OLD, "--to", KEPT).returncode == 0
    now_us = round(datetime.now(UTC).timestamp() * 1e6)
    history = pytest.importorskip("headrace_ui.queries.history")

    def points_of(node: str) -> tuple[list[tuple[str, int]], list[str], int | None]:
        with Store.open(shop, Settings(name="shop")) as store, store.read() as tx:
            points = [
                (item.partition, item.rows) for item in history.newest_points(tx, node, "", 9)
            ]
            extent = partition_states.extent(tx, node)
            assert extent is not None
            return points, [extent.oldest, extent.newest], extent.newest_rows

    def rows_of(node: str) -> tuple[list[tuple[str, int]], list[int]]:
        with Store.open(shop, Settings(name="shop")) as store, store.read() as tx:
            until = quality.rows_until(tx, node, KEPT, 10)
            return until, durations.published_rows(tx, node, 0, now_us)

    empty = ([(OLD, 0), (KEPT, 0)], [0, 0])
    assert rows_of("orders") == ([(OLD, 1), (KEPT, 1)], [1, 1])
    assert rows_of("none") == empty
    assert points_of("older") == ([(OLD, 1)], [OLD, OLD], 1)
    assert command(shop, "db", "gc").returncode == 0
    assert points_of("orders") == ([(KEPT, 1)], [OLD, KEPT], 1)
    assert points_of("none") == ([(OLD, 0), (KEPT, 0)], [OLD, KEPT], 0)
    assert points_of("older") == ([], [OLD, OLD], None)
    assert rows_of("orders") == ([(KEPT, 1)], [1])
    assert rows_of("none") == empty


def test_a_legal_hold_keeps_them(shop: Path) -> None:
    """Would catch: data that is removed although a court has asked for it."""
    assert command(shop, "hold", "--all", "--reason", "case 12").returncode == 0
    assert command(shop, "db", "gc").returncode == 0
    assert len(rows(shop, "orders")) == 2


@pytest.mark.parametrize("text", ["", "13", "13 months", "0d", "-1d", "1.5y", "101y", "1w", "९d"])
def test_what_is_no_retention(text: str) -> None:
    """Would catch: a typing error that removes data."""
    with pytest.raises(UsageError):
        parse_retention(text)


@pytest.mark.parametrize(
    ("retain", "grain", "today", "first"),
    [
        ("30d", Grain.DAY, "2026-03-31", "2026-03-01"),
        ("13mo", Grain.DAY, "2026-03-31", "2025-02-28"),
        ("1mo", Grain.MONTH, "2026-03-31", "2026-02"),
        ("7y", Grain.YEAR, "2026-03-31", "2019"),
        ("1y", Grain.DAY, "2024-02-29", "2023-02-28"),
    ],
)
def test_the_first_kept_interval(retain: str, grain: Grain, today: str, first: str) -> None:
    """Would catch: an interval that goes before all of it is older."""
    source = Source(
        name="s", owner="o", partition=PartitionSpec(grain=grain), timezone="UTC", retain=retain,
        place=Place(file="s.yaml", line=1),
    )  # fmt: skip
    now = datetime.fromisoformat(f"{today}T12:00+00:00")
    assert first_kept(source, int(now.timestamp() * 1_000_000)) == first


def shorten(root: Path, retain: str) -> None:
    path = root / "sources/orders.yaml"
    path.write_text(path.read_text().replace("retain: 30d\n", f"retain: {retain}\n"))


def document(root: Path, *arguments: str) -> Any:
    done = command(root, *arguments, "--json")
    assert done.returncode == 0, done
    return json.loads(done.stdout)


@pytest.mark.long
def test_a_plan_says_what_a_shorter_retention_removes(shop: Path) -> None:
    """Would catch: data that an `apply` removes without a word, or without a rule's approval."""
    assert command(shop, "db", "gc").returncode == 0
    shorten(shop, "1d")
    plan = document(shop, "plan")
    assert plan["weakens"][0]["what"] == "retain"
    assert [(row["from"], row["partitions"], row["rows"]) for row in plan["removes"]] == [
        (KEPT, 1, 1)
    ]
    [step] = [step for step in plan["steps"] if step["kind"] == "weaken"]
    assert (step["from"], step["to"], step["partitions"]) == (KEPT, KEPT, 1)
    text = command(shop, "plan").stdout
    assert f"of orders: 1 partition, 1 row {KEPT}: by the first cleanup" in " ".join(
        text.split()
    ), text
    refused = command(shop, "apply")
    assert (refused.returncode, "there is no terminal to confirm" in refused.stderr) == (3, True)
    assert command(shop, "db", "gc").returncode == 0
    assert len(rows(shop, "orders")) == 1, "it isn't applied yet"
    assert document(shop, "apply", "--yes")["state"] == "applied"
    assert command(shop, "db", "gc").returncode == 0
    assert rows(shop, "orders") == []
    entries = [
        entry["after"]
        for entry in document(shop, "audit", "show")
        if entry["action"] == "data.retired"
    ]
    by_rule = {entry["retain"]: entry for entry in entries}
    assert (by_rule["1d"]["version"], by_rule["30d"]["version"]) == (2, 1)
    assert by_rule["1d"]["kept_from"] > KEPT
    assert document(shop, "audit", "verify")["missing"] == []


def test_a_longer_retention_removes_nothing(shop: Path) -> None:
    """Would catch: a warning of a loss where there is none."""
    shorten(shop, "7y")
    plan = document(shop, "plan")
    assert (plan["removes"], plan["weakens"]) == ([], [])


def test_a_rule_asks_for_an_approval_of_the_loss(shop: Path) -> None:
    """Would catch: a rule about rows that doesn't count those that `retain:` removes."""
    settings = shop / "headrace.toml"
    settings.write_text(
        settings.read_text() + '[[policy.rule]]\nname = "loss"\nwhen = "rows > 0 and weakens"\n'
    )
    assert document(shop, "apply", "--yes")["state"] == "applied"
    shorten(shop, "1d")
    assert "loss" in str(document(shop, "plan")["approval"])
    done = command(shop, "apply", "--yes")
    assert done.returncode == 3, done
    assert document(shop, "ls", "orders")[0]["retain"] == "1d"


@pytest.mark.long
def test_what_goes_next_is_listed(shop: Path) -> None:
    """Would catch: a retention that nobody sees before it removes something."""
    [row] = document(shop, "status")["retention"]
    assert (row["node"], row["partitions"], row["from"], row["next"], row["hold"]) == (
        "orders", 1, OLD, KEPT, None,
    )  # fmt: skip
    gone = datetime.fromisoformat(f"{KEPT}T00:00+00:00") + timedelta(days=31)
    assert row["next_on"] == gone.strftime("%Y-%m-%d")
    assert f"removes 1 partition, {OLD}" in command(shop, "status").stdout
    assert "retain" in command(shop, "ls").stdout
    assert command(shop, "db", "gc").returncode == 0
    [row] = document(shop, "status")["retention"]
    assert (row["partitions"], row["from"]) == (0, None)
    text = command(shop, "status").stdout
    assert f"orders@{KEPT} goes next, on {row['next_on']} (retain 30d)" in text, text
    assert command(shop, "hold", "orders", "--reason", "case 12").returncode == 0
    assert "legal hold" in command(shop, "ls").stdout
    assert document(shop, "status")["holds"][0]["reason"] == "case 12"
    assert document(shop, "status")["retention"][0]["hold"] == "case 12"
    assert "case 12" in command(shop, "status").stdout


@pytest.mark.long
def test_a_hold_keeps_stored_deliveries_and_earlier_snapshots(shop: Path) -> None:
    """Would catch: raw bytes or earlier versions that age out while a court needs them, or a dry
    run that announces what a hold prevents."""
    settings = shop / "headrace.toml"
    settings.write_text(settings.read_text() + '[retention]\nsnapshots = "1s"\nraw = "1s"\n')
    assert document(shop, "apply", "--yes")["state"] == "applied"
    delivered = shop / f"landing/orders_{KEPT}.csv"
    delivered.write_text(f"id,day\nagain,{KEPT}\n")
    os.utime(delivered, (delivered.stat().st_mtime - 1_800,) * 2)
    assert command(shop, "tick").returncode == 0
    for path in (shop / ".headrace/raw").rglob("*"):
        os.utime(path, (path.stat().st_mtime - 90 * 86_400,) * 2)
    before = sorted(path.name for path in (shop / ".headrace/raw").rglob("*"))
    files = len(list((shop / ".headrace").rglob("*.parquet")))
    assert command(shop, "hold", "orders", "--reason", "case 12").returncode == 0
    dry = document(shop, "db", "gc", "--dry-run")
    assert (dry["partitions"], dry["snapshots"]) == ([], 0)
    assert {row["kind"]: row["files"] for row in dry["freed"]}.get("raw", 0) == 0
    assert command(shop, "db", "gc").returncode == 0
    assert sorted(path.name for path in (shop / ".headrace/raw").rglob("*")) == before
    assert len(list((shop / ".headrace").rglob("*.parquet"))) == files
    assert command(shop, "hold", "release", "orders", "--reason", "x").returncode == 0
    assert command(shop, "db", "gc").returncode == 0
    assert len(list((shop / ".headrace/raw").rglob("*"))) < len(before)


@pytest.mark.parametrize(
    ("before", "after", "shorter"),
    [
        (None, "7y", True), ("7y", None, False), ("30d", "30d", False), ("1y", "12mo", False),
        ("13mo", "1y", True), ("1y", "13mo", False), ("1mo", "30d", True), ("60d", "90d", False),
    ],
)  # fmt: skip
def test_what_is_shorter(before: str | None, after: str | None, shorter: bool) -> None:
    """Would catch: a loss that isn't announced, by units that aren't compared."""
    assert is_shortened(before, after) is shorter
