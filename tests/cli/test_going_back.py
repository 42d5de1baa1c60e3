"""`apply --version N`: an earlier version is a plan like any other; the folder stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from clilab import Project

Call = Callable[..., Any]
PYTHON = """
from headrace import asset
from helper import FACTOR

@asset(owner="data-team", partition="*")
def factor():
    return [{"n": FACTOR}]
"""


def test_yesterdays_code_and_data_are_back_in_one_act(tmp_path: Path, call: Call) -> None:
    """Would catch: files of the folder in a version of stored ones, a helper module that keeps its
    new code, a plan id of other files, or an audit trail without the reason."""
    assert call(tmp_path, "init", "shop")[0] == 0
    folder, shop = tmp_path / "shop", Project(tmp_path / "shop", call)
    (folder / "assets/factor.py").write_text(PYTHON)
    (folder / "helper.py").write_text("FACTOR = 1\n")
    assert shop.json("run")["state"] == "succeeded"
    before = shop.json("read", "daily_revenue")["rows"], shop.json("read", "factor")["rows"]
    revenue = folder / "assets/daily_revenue.sql"
    revenue.write_text(revenue.read_text().replace("count(*)", "2 * count(*)"))
    (folder / "helper.py").write_text("FACTOR = 2\n")
    (folder / "assets/extra.sql").write_text("/* headrace\nowner: data-team\n*/\nselect 1 as x")
    assert shop.json("run", "--apply", "--yes")["state"] == "succeeded"
    assert shop.json("read", "factor")["rows"] == [{"n": 2}]

    plan = shop.json("plan", "--version", "1")
    assert {row["node"] for row in plan["changes"]} == {"daily_revenue", "factor", "extra"}
    assert plan["affects"]["consumers"] == ["morning-report"]
    assert plan["next"] == f"headrace apply {plan['plan_id']} --version 1"
    code, _, err = call(folder, "apply", "--version", "1")
    assert (code, "--version 1 --yes" in err) == (3, True)
    refused = call(folder, "apply", plan["plan_id"], "--yes")
    assert refused[0] == 3, "the plan is of other files than the folder's"
    response = shop.json(
        "apply", plan["plan_id"], "--version", "1", "--yes", "--backfill", "--reason", "wrong figures"
    )  # fmt: skip
    assert (response["state"], response["version"]) == ("applied", 3)
    assert (
        shop.json("read", "daily_revenue")["rows"],
        shop.json("read", "factor")["rows"],
    ) == before
    [entry, *_] = [
        item
        for item in shop.json("audit", "show", "--action", "project.applied")
        if item["object"] == "version:3"
    ]
    assert entry["reason"] == "wrong figures"
    assert "2 * count(*)" in revenue.read_text(), "the folder stays as it is"
    versions = {row["version"]: row["files"] for row in shop.json("versions")}
    assert versions[3] == versions[1]
    assert {row["node"] for row in shop.json("plan")["changes"]} == {
        "daily_revenue",
        "factor",
        "extra",
    }


def test_versions_that_are_not_there(tmp_path: Path, call: Call) -> None:
    assert call(tmp_path, "init", "shop")[0] == 0
    for command in ("plan", "apply"):
        code, _, err = call(tmp_path / "shop", command, "--version", "1")
        assert (code, "Traceback" in err) == (1, False), err
    assert call(tmp_path / "shop", "run")[0] == 0
    for command in ("plan", "apply"):
        code, _, err = call(tmp_path / "shop", command, "--version", "7")
        assert (code, "there is no version 7" in err) == (2, True), err
    code, out, _ = call(tmp_path / "shop", "apply", "--version", "1", "--yes")
    assert (code, "nothing to apply" in out) == (0, True)
