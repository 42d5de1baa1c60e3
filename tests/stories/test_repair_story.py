"""Tried as an operator would, on real flights: a transformation is broken, three days go wrong, one
command repairs them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("headrace_demo")
from headrace_demo import demo_data
from headrace_demo.demo_data import DemoDataError, DemoFault

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
COMMAND = str(Path(sys.executable).with_name("headrace"))
GOOD_DAYS = 5
FIRST_WRONG = date(2013, 1, 6)
WRONG = [(FIRST_WRONG + timedelta(days=n)).isoformat() for n in range(3)]
ASSET = "assets/operations/carrier_delays.sql"
ARRIVED = "count(f.arr_delay) as arrived"
LATE = "count(*) filter (f.arr_delay >= $threshold) as late,"
FAILED = ("--mode", "failed", "--since", f"{FIRST_WRONG}T00:00-05:00")


def morning(day: date) -> str:
    """When the operator sits down: what was due has fallen due."""
    return datetime.combine(day, time(9, 30), tzinfo=demo_data.ZONE).isoformat()


class Operator:
    """Types commands in the demo's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, ""

    def types(self, *command: str, code: int = 0) -> Any:
        """The response of a command that ends with this code."""
        now = ["--now", self.now] if self.now else []
        done = subprocess.run(
            [COMMAND, *command, *now, "--json", "--project", str(self.folder)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, (
            command,
            done.returncode,
            done.stdout[-1500:],
            done.stderr[-1500:],
        )
        return json.loads(done.stdout)

    def edits(self, old: str, new: str) -> None:
        path = self.folder / ASSET
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))

    def lives_through(self, days: list[str]) -> None:
        """The vendor delivers, and each morning what is due is run."""
        for day in map(date.fromisoformat, days):
            demo_data.deliver(self.folder / "landing", day, DemoFault.NONE)
            self.now = demo_data.arrives(day).isoformat()
            self.types("tick")
        self.now = morning(FIRST_WRONG + timedelta(days=3))

    def state_of(self, consumer: str) -> str:
        result = [item for item in self.types("status")["consumers"] if item["name"] == consumer]
        return str(result[0]["state"])

    def exported(self, day: str) -> str:
        return (self.folder / f"exports/delays_{day}.csv").read_text()


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    """In a demo of five good days."""
    made = Operator(tmp_path / "demo")
    try:
        demo_data.sdist()
    except DemoDataError as error:
        pytest.skip(f"the demo's data can't be fetched: {error}")
    command = [
        COMMAND,
        "demo",
        str(made.folder),
        "--days",
        str(GOOD_DAYS),
        "--fault",
        "none",
        "--no-serve",
        "--json",
    ]
    subprocess.run(command, capture_output=True, check=True, timeout=120)
    made.now = morning(FIRST_WRONG)
    return made


def stale(plan: Any) -> dict[str, int]:
    return {change["node"]: change["partitions_stale"] for change in plan["changes"]}


def test_days_that_were_rejected_are_repaired_by_one_command(operator: Operator) -> None:
    """Catches a repair that needs somebody to find the days, one that isn't written down, and a
    consumer that stays unserved."""
    operator.edits(ARRIVED, "count(f.arr_delay) + 1 as arrived")
    operator.types("apply", "--yes")
    operator.lives_through(WRONG)
    assert operator.state_of("regulator-extract") != "served"

    operator.edits("count(f.arr_delay) + 1 as arrived", ARRIVED)
    assert [change["node"] for change in operator.types("plan")["changes"]] == ["carrier_delays"]
    operator.types("apply", "--yes")
    shown = operator.types("backfill", "carrier_delays", *FAILED, "--reason", "x", "--dry-run")
    assert [
        (item["asset"], item["partitions"])
        for item in shown["assets"]
        if item["asset"] == "carrier_delays"
    ] == [("carrier_delays", 3)]
    done = operator.types("backfill", "carrier_delays", *FAILED, "--reason", "off by one", "--yes")
    assert (done["state"], done["failed"]) == ("succeeded", 0)
    operator.types("tick")
    assert operator.state_of("regulator-extract") == "served"
    assert all(operator.exported(day) for day in WRONG)
    assert audited(operator, "off by one")


def test_days_that_were_published_wrong_are_replaced_and_the_difference_is_shown(
    operator: Operator,
) -> None:
    """Catches a backfill of more than went wrong, one that readers see by halves, and changes that
    nobody can look at."""
    operator.edits(LATE, LATE.replace(">=", "<"))
    operator.types("apply", "--yes")
    operator.lives_through(WRONG)
    wrong = {day: operator.exported(day) for day in WRONG}
    before = operator.now

    operator.edits(LATE.replace(">=", "<"), LATE)
    plan = operator.types("plan")
    assert stale(plan)["carrier_delays"] >= len(WRONG)
    assert "regulator-extract" in plan["affects"]["consumers"]
    operator.types("apply", "--yes")
    done = operator.types(
        "backfill",
        "carrier_delays",
        "--from",
        "2013-01-01",
        "--to",
        WRONG[-1],
        "--reason",
        "late was early",
        "--yes",
    )
    assert (done["state"], done["changed"]["partitions"] >= 3) == ("succeeded", True)
    operator.types("tick")
    assert all(operator.exported(day) != wrong[day] for day in WRONG)

    difference = operator.types("diff", "carrier_delays", "--at", before)
    changed = {
        item["partition"] for item in difference["partitions"] if item["change"] != "identical"
    }
    assert changed == set(WRONG)
    assert operator.state_of("regulator-extract") == "served"
    assert audited(operator, "late was early")


def audited(operator: Operator, reason: str) -> bool:
    """Whether the trail says who did it and why, and nobody has changed it."""
    assert operator.types("audit", "verify")["ok"]
    return reason in json.dumps(operator.types("audit", "show"))
