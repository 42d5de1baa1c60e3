"""`retain_rebuildable`: partitions that give the same rows again go, and come back with these rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from serve_lab import serving
from warm_fork_servers import headrace

from headrace.project.session import ProjectSession, Silent
from headrace.services.rebuildable import remove_rebuildable
from headrace.serving import rebuildable_cleanup

OLD, OTHER, NEW = (
    (datetime.now(UTC) - timedelta(days=back)).strftime("%Y-%m-%d") for back in (50, 40, 2)
)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
HEADER = "/* headrace\nowner: core\npartition: {by: day, column: day}\n"
CLEAN = (
    "select cast(day as date) as day, customer, cast(amount as decimal(18,2)) as amount from sales"
)


class Shop:
    """A project with three days, two of them old."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("headrace.toml", '[project]\nname = "shop"\ntimezone = "UTC"\n')
        self.write("owners.yaml", "core: {kind: team}\n")
        self.write(
            "sources/sales.yaml",
            "source: sales\nowner: core\npartition: day\non_anomaly: ignore\n"
            "files: landing/sales_{date:%Y-%m-%d}.csv\n",
        )
        self.asset("clean", CLEAN, "retain_rebuildable: 30d\n")
        self.asset("revenue", "select day, sum(amount) as revenue from clean group by day")
        for day in (OLD, OTHER, NEW):
            self.deliver(day)
        self.headrace("tick")

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def asset(self, name: str, sql: str, more: str = "") -> None:
        self.write(f"assets/{name}.sql", f"{HEADER}{more}*/\n{sql}\n")

    def deliver(self, day: str) -> None:
        path = self.root / f"landing/sales_{day}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"customer,amount,day\nC-1,10.25,{day}\nC-2,4.75,{day}\n")
        os.utime(path, (path.stat().st_mtime - 3_600,) * 2)

    def headrace(self, *arguments: str, code: int = 0) -> str:
        done = headrace([*arguments, "--project", str(self.root)], self.root, os.environ, 300)
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout + (done.stderr if code else "")

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.headrace(*arguments, "--json", code=code))

    def days(self, asset: str = "clean") -> set[str]:
        return {row["day"] for row in self.json("read", asset)["rows"]}


@pytest.fixture
def shop(tmp_path: Path, warm_fork_servers: None) -> Shop:
    del warm_fork_servers
    return Shop(tmp_path / "p")


def test_what_gives_the_same_rows_goes_and_comes_back(shop: Shop) -> None:
    """Would catch: rows that go without a proof, a reader that computes from nothing, a rebuilt
    partition that nobody compares, a legal hold that doesn't win, a count that isn't in the trail.
    """
    before = shop.json("read", "clean", "--partition", OLD)["rows"]
    shop.headrace("hold", "clean", "--reason", "case 12")
    (held,) = shop.json("db", "gc")["rebuildable"]
    assert (held["partitions"], held["hold"]) == (0, "case 12")
    assert shop.days() == {OLD, OTHER, NEW}
    shop.headrace("hold", "release", "clean", "--reason", "closed")

    (planned,) = shop.json("db", "gc", "--dry-run")["rebuildable"]
    assert (planned["node"], planned["partitions"], planned["rows"]) == ("clean", 2, 4)
    assert "clean: 2 partitions before" in shop.headrace("status")
    (done,) = shop.json("db", "gc")["rebuildable"]
    assert (done["partitions"], done["rows"], done["stay"], done["why"]) == (2, 4, 0, None)
    assert shop.days() == {NEW}
    assert shop.days("revenue") == shop.days("sales") == {OLD, OTHER, NEW}
    assert list(shop.json("status")["not_rebuilt"][0]) and shop.json("audit", "verify")["ok"]
    assert shop.json("audit", "verify")["missing"] == []
    assert shop.json("db", "check", "--deep")["ok"]
    (entry,) = shop.json("audit", "show", "--action", "data.retired")
    assert set(entry["after"]["hashes"]) == {OLD, OTHER}

    shop.headrace("tick")
    assert shop.days() == {NEW}, "nothing is computed again by itself"
    shown = " ".join(shop.headrace("read", "clean", "--partition", OLD).split())
    command = f"headrace run clean --partition {OLD} --again --reason TEXT"
    assert command in shown
    again = ("--partition", OLD, "--again", "--reason", "audit")
    shop.headrace("run", "revenue", *again, code=1)
    assert command in str(shop.json("runs")) + shop.headrace("runs")
    assert shop.days("revenue") == {OLD, OTHER, NEW}
    shop.headrace("run", "clean", *again)
    assert shop.json("read", "clean", "--partition", OLD)["rows"] == before
    assert shop.json("status")["restated"] == [], "rebuilt rows are no other rows"
    assert [row["rejected"] for row in shop.json("status", "--explain", "goodput")["rows"]] == [
        0
    ] * 3
    removed = {row["partition"]: row["state"] for row in shop.json("status")["not_rebuilt"]}
    assert removed == {OTHER: "removed"}
    shop.headrace("run", "revenue", *again)


def test_a_rebuilt_partition_with_other_rows_is_named(shop: Shop) -> None:
    """Would catch: a rebuilt partition that differs, and nobody says so."""
    shop.headrace("db", "gc")
    shop.asset("clean", CLEAN.replace("customer,", "lower(customer) as customer,"),
               "retain_rebuildable: 30d\n")  # fmt: skip
    shop.headrace("apply", "--yes")
    shop.headrace("run", "clean", "--partition", OLD, "--again", "--reason", "audit")
    assert f"clean@{OLD} was rebuilt, and has other rows" in shop.headrace("status")
    states = {row["partition"]: row["state"] for row in shop.json("status")["not_rebuilt"]}
    assert states == {OLD: "differs", OTHER: "removed"}


def test_a_server_removes_it_daily_within_limits(shop: Shop) -> None:
    """Would catch: a declaration that only `db gc` follows; a day that computes all of a history;
    a removal of the maintenance that the trail gives to a person, or doesn't have."""
    assert rebuildable_cleanup.DAILY_PARTITIONS_MAX == 20
    job = json.dumps({"root": str(shop.root), "env": "prod"})
    with serving(shop.root):
        done = subprocess.run(
            [sys.executable, "-m", "headrace.serving.rebuildable_cleanup"],
            input=job, capture_output=True, text=True, timeout=300, check=True,
        )  # fmt: skip
        assert done.stderr == ""
        assert shop.days() == {NEW}
    (entry,) = shop.json("audit", "show", "--action", "data.retired")
    assert (entry["actor"], entry["actor_type"]) == ("headrace", "system")
    assert set(entry["after"]["hashes"]) == {OLD, OTHER}
    assert shop.json("audit", "verify")["ok"]


def test_the_cleanup_stops_at_its_limits(shop: Shop) -> None:
    """Would catch: a limit of partitions or of time that isn't asked for."""
    session = ProjectSession(shop.root, "prod", None, "test", trusted=True)
    (over,) = remove_rebuildable(session, Silent(), until=time.monotonic() - 1)
    assert (over.partitions, over.stay, over.why) == (0, 0, None)
    session.close()
    assert shop.days() == {OLD, OTHER, NEW}
    session = ProjectSession(shop.root, "prod", None, "test", trusted=True)
    (first,) = remove_rebuildable(session, Silent(), partitions_max=1)
    assert (first.partitions, first.rows) == (1, 2)
    session.close()
    assert shop.days() == {OTHER, NEW}, "the oldest one first"


@pytest.mark.parametrize(
    ("sql", "reader", "why"),
    [
        (
            CLEAN.replace("amount from", "amount, now() as at from"),
            "",
            "give the same rows only if",
        ),
        (
            (
                f"select day, customer, sum(cast(amount as double)) as amount from ({CLEAN}) as c"
                " group by day, customer"
            ),
            "",
            "give the same rows only if",
        ),
        (CLEAN, "select count(*) as n from clean", "reads more of it than the same partition"),
    ],
)
def test_what_cant_be_proven_stays(shop: Shop, sql: str, reader: str, why: str) -> None:
    """Would catch: a query with the time in it, and a reader of the whole table."""
    shop.asset("clean", sql, "retain_rebuildable: 30d\n")
    if reader:
        shop.write("assets/whole.sql", f"/* headrace\nowner: core\n*/\n{reader}\n")
    shop.headrace("apply", "--yes")
    shop.headrace("tick")
    (row,) = shop.json("db", "gc")["rebuildable"]
    assert row["partitions"] == 0 and why in row["why"]
    assert shop.days() == {OLD, OTHER, NEW}


def test_a_plan_says_what_goes(shop: Shop) -> None:
    """Would catch: a new rule that nobody sees before the data goes, and one that is impossible."""
    shop.asset("revenue", "select day, sum(amount) as revenue from clean group by day",
               "retain_rebuildable: 30d\n")  # fmt: skip
    text = " ".join(shop.headrace("plan").split())
    assert "retain_rebuildable 30d is about what is older than" in text
    assert "of revenue: 2 partitions, 2 rows" in text
    shop.asset("revenue", "select day, sum(amount) as revenue from clean group by day",
               "materialize: append\nretain_rebuildable: 30d\n")  # fmt: skip
    assert "has materialize: append" in shop.headrace("validate", code=1)
