"""`retain:`: old partitions leave everything that Headrace keeps, whatever ends it in between."""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from warm_fork_servers import headrace

from headrace.faults import FaultPoint
from headrace.model import UsageError
from headrace.model.nodes import Grain, PartitionSpec, Place, Source
from headrace.model.retention import first_kept, parse_retention

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


@pytest.mark.parametrize(
    "fault", ["", *(FaultPoint.RETENTION_REWRITTEN, FaultPoint.RETENTION_REGISTERED)]
)
def test_old_partitions_go_and_what_was_computed_stays(shop: Path, fault: str) -> None:
    """Would catch: rows that stay, a partition that counts as missing, or an incident about it."""
    if fault:
        assert command(shop, "db", "gc", fault=f"{fault}=kill").returncode == -signal.SIGKILL
    assert command(shop, "db", "gc").returncode == 0
    assert [row["id"] for row in rows(shop, "orders")] == [f"row-of-{KEPT}"]
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
