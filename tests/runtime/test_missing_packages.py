"""Packages that several assets lack: what the incident, its repair and the run's list say."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from runlab import DAYS, Lab

NEEDS = "def {name}(ctx: Context, orders):\n    import {package}\n    return orders"


@pytest.mark.long
def test_all_assets_that_lack_a_package_are_tried_again_once_it_is_installed(
    tmp_path: Path,
) -> None:
    """Would catch: "correct assets/a.py" of code that is right, and a command for the first of two
    assets only."""
    lab = Lab(tmp_path / "p")
    for name, package in {"a": "xgboost", "b": "xgboost", "c": "lightgbm"}.items():
        lab.python(
            name, NEEDS.format(name=name, package=package), partition="day", inputs=["orders"]
        )
    lab.orders(DAYS[0])
    lab.tick()
    incidents = lab.headrace("incidents")
    repairs = {
        incident["repair"]["first"]: incident["repair"]["commands"] for incident in incidents
    }
    assert repairs == {
        "install what is missing where Headrace runs: pip install xgboost": [
            "headrace retry a",
            "headrace retry b",
        ],
        "install what is missing where Headrace runs: pip install lightgbm": ["headrace retry c"],
    }
    rows = {
        row["node"]: (row["first"], row["commands"]) for row in lab.headrace("status")["repairs"]
    }
    assert rows["b"] == (
        "install what is missing where Headrace runs: pip install xgboost",
        [f"headrace retry b@{DAYS[0]}"],
    )
    (lab.root / "xgboost.py").write_text("")
    lab.headrace("apply", "--yes")
    for command in repairs["install what is missing where Headrace runs: pip install xgboost"]:
        lab.headrace(*command.split()[1:])
    assert lab.rows("select node from partition where state = 'failed'") == [("c",)]


@pytest.mark.long
def test_a_package_that_a_backfill_lacks_is_to_be_installed_before_it_is_computed(
    tmp_path: Path,
) -> None:
    """Would catch: a repair that computes with the code which has just failed, because it is newer
    than the rows that readers see."""
    lab = Lab(tmp_path / "p")
    lab.python(
        "a", "def a(ctx: Context, orders):\n    return orders", partition="day", inputs=["orders"]
    )
    lab.orders(DAYS[0])
    lab.tick()
    lab.python("a", NEEDS.format(name="a", package="xgboost"), partition="day", inputs=["orders"])
    lab.headrace("apply", "--yes")
    tried = lab.headrace(
        "backfill", "a", "--from", DAYS[0], "--to", DAYS[0], "--reason", "new", "--yes", code=1
    )
    first = "install what is missing where Headrace runs: pip install xgboost"
    assert [item["first"] for item in tried["failures"]] == [first]
    (incident,) = lab.headrace("incidents")
    assert incident["repair"]["first"] == first
    (command,) = incident["repair"]["commands"]
    (lab.root / "xgboost.py").write_text("")
    lab.headrace("apply", "--yes")
    lab.headrace(*shlex.split(command)[1:], "--yes")
    lab.tick()
    assert [item["state"] for item in lab.headrace("incidents", "--all")] == ["resolved"]


@pytest.mark.long
def test_packages_that_only_a_backfill_used_are_stored(tmp_path: Path) -> None:
    """Would catch: an attempt of a backfill whose packages nobody can look up, because only those
    of a run are stored."""
    lab = Lab(tmp_path / "p")
    lab.orders(DAYS[0])
    days = ("--from", DAYS[0], "--to", DAYS[0])
    lab.python("a", NEEDS.format(name="a", package="msgspec"), partition="day", inputs=["orders"])
    lab.headrace("apply", "--yes")
    lab.headrace("run", "orders")
    lab.headrace("backfill", "a", *days, "--reason", "new", "--yes")
    (environment,) = lab.rows("select measures ->> 'environment' from attempt where node = 'a'")
    assert environment[0]
    assert lab.rows("select count(*) from content where hash = ?", *environment) == [(1,)]
