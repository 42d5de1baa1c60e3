"""An asset's identity is all code of the project that it uses: what is edited is seen, and runs
only once it is applied.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import pytest
from runlab import DAYS, Lab
from warm_fork_servers import headrace

REPORT = """from headrace import asset
from lib.rates import doubled


@asset(owner="core", partition="day", inputs=["orders"])
def totals(orders):
    return [{"day": str(orders.column("day")[0]), "total": doubled(orders.num_rows)}]
"""
HELPER = "from lib import factors\n\n\ndef doubled(n):\n    return n * factors.FACTOR\n"
COMMAND = """asset: exported
owner: core
partition: day
inputs: [orders]
command: [sh, jobs/run.sh, jobs/settings.yaml]
"""
SCRIPT = """
out=$(sed 's/.*"output_directory":"\\([^"]*\\)".*/\\1/' "$HEADRACE_CONTEXT")
printf 'value\\n%s\\n' "$(cat jobs/settings.yaml)" > "$out/rows.csv"
"""
MODEL = """from pathlib import Path

from headrace import asset


@asset(owner="core", partition="day", inputs=["orders"], code_files=["models/*.txt"])
def scored(orders):
    return [{"score": Path(__file__).parents[1].joinpath("models/weights.txt").read_text().strip()}]
"""


@pytest.fixture
def project(lab: Lab) -> Lab:
    """Three assets whose code lies in other files than their own, with two days published."""
    for folder in ("lib", "jobs", "models"):
        (lab.root / folder).mkdir()
    lab.write("assets/report.py", REPORT)
    lab.write("lib/__init__.py", "")
    lab.write("lib/rates.py", HELPER)
    lab.write("lib/factors.py", "FACTOR = 2\n")
    lab.write("assets/exported.yaml", COMMAND)
    lab.write("jobs/run.sh", SCRIPT)
    lab.write("jobs/settings.yaml", "1")
    lab.write("assets/scored.py", MODEL)
    lab.write("models/weights.txt", "1")
    lab.write(
        "consumers.yaml",
        "- {consumer: page, owner: core, reads: [totals, exported, scored], max_age: 400d}\n",
    )
    lab.write(".gitignore", ".headrace/\n")
    for day in DAYS[:2]:
        lab.orders(day)
    lab.tick()
    return lab


def commit(root: Path) -> None:
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *words],
            cwd=root,
            check=True,
        )


def changed(response: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    return {
        item["node"]: [(file["path"], file["via"]) for file in item["code"]]
        for item in response["changes"]
        if item["change"] == "body"
    }


def values(lab: Lab, asset: str, column: str) -> list[str]:
    return [str(row[column]) for row in lab.read(asset)]


EDITS = [
    (
        "lib/factors.py",
        "FACTOR = 3\n",
        "totals",
        "total",
        ["20", "20"],
        ["30", "30"],
        "assets/report.py:2 from lib.rates import doubled → lib/rates.py:1 from lib import factors",
    ),
    (
        "jobs/run.sh",
        SCRIPT.replace("value", "value # new").replace("value # new", "value") + "true\n",
        "exported",
        "value",
        ["1", "1"],
        ["1", "1"],
        "command",
    ),
    ("jobs/settings.yaml", "7", "exported", "value", ["1", "1"], ["7", "7"], "command"),
    (
        "models/weights.txt",
        "5",
        "scored",
        "score",
        ["1", "1"],
        ["5", "5"],
        "code_files: models/*.txt",
    ),
]


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("path", "text", "asset", "column", "before", "after", "via"),
    EDITS,
    ids=[edit[0] for edit in EDITS],
)
def test_an_edit_is_planned_and_runs_only_once_it_is_applied(
    project: Lab,
    path: str,
    text: str,
    asset: str,
    column: str,
    before: list[str],
    after: list[str],
    via: str,
) -> None:
    """Would catch: "nothing changes" of a plan while new code runs; two definitions mixed in one
    table; an edit that runs before it was applied."""
    commit(project.root)
    assert changed(project.headrace("plan", "--against", "HEAD", "--exit-code")) == {}
    project.write(path, text)
    plan = project.headrace("plan")
    assert changed(plan) == {asset: [(path, via)]}
    assert [(item["node"], item["partitions"]) for item in plan["stale"]] == [(asset, 2)]
    assert changed(project.headrace("plan", "--against", "HEAD", "--exit-code", code=1)) == {
        asset: [(path, via)]
    }
    shown = headrace(
        ["plan", "--format", "markdown", "--project", str(project.root)], Path.cwd(), os.environ, 50
    ).stdout
    assert f"| `{path}` | changed | `{asset}` | `{via}` |" in shown
    assert project.headrace("status")["not_applied"] == 1
    again = ["run", asset, "--from", DAYS[0], "--to", DAYS[1], "--again", "--reason", "look"]
    project.headrace(*again)
    assert values(project, asset, column) == before
    project.headrace("apply", "--yes")
    assert changed(project.headrace("plan")) == {}
    project.headrace(
        "backfill", asset, "--from", DAYS[0], "--to", DAYS[1], "--reason", "new code", "--yes"
    )
    assert values(project, asset, column) == after


@pytest.mark.timeout(300)
def test_comments_of_a_helper_change_nothing(project: Lab) -> None:
    """Would catch: a formatter's run that invalidates every table that uses the library."""
    project.write("lib/factors.py", '"""Factors."""\n\nFACTOR = (  # doubled\n    2\n)\n')
    assert project.headrace("plan")["changes"] == []


@pytest.mark.timeout(300)
def test_a_changed_macro_is_named(lab: Lab) -> None:
    """Would catch: an asset that is changed by `plan`, and nothing that says why."""
    (lab.root / "macros").mkdir()
    lab.write("macros/money.sql", "create macro cents(x) as cast(x * 100 as bigint);\n")
    lab.sql("clean", "select order_id, cents(amount) as c, cast(day as date) as day from orders")
    lab.sql("plain", "select order_id, cast(day as date) as day from orders")
    lab.orders(DAYS[0])
    lab.tick()
    lab.write("macros/money.sql", "create macro cents(x) as cast(x * 1000 as bigint);\n")
    assert changed(lab.headrace("plan")) == {"clean": [("macros/money.sql", "macro")]}


@pytest.mark.timeout(300)
def test_new_code_may_leave_what_is_published_as_it_is(project: Lab) -> None:
    """Would catch: a backfill of years for a change that concerns the future only; or a table of
    two definitions in silence.
    """
    project.write("lib/factors.py", "FACTOR = 3\n")
    for refused, code in (
        (["--keep", "totals"], 3),
        (["--keep", "exported", "--reason", "x"], 2),
        (["--keep", "totals", "--reason", " "], 3),
    ):
        project.headrace("apply", "--yes", *refused, code=code)
    planned = project.headrace("plan")["plan_id"]
    response = project.headrace(
        "apply", "--yes", "--keep", "totals", "--reason", "from 2025-01-03 on"
    )
    assert (
        response["state"] == "applied" and response["stale"] == [] and response["backfills"] == []
    )
    assert response["plan_id"] != planned  # what is agreed to is another plan
    assert [(item["kind"], item["detail"]) for item in response["plan"]["steps"]] == [
        ("declare", "body, what is published is kept")
    ]
    project.orders(DAYS[2])
    project.tick()
    assert values(project, "totals", "total") == ["20", "20", "30"]
    assert project.headrace("plan")["changes"] == []
    trail = [
        item for item in project.headrace("audit", "show") if item["action"] == "project.applied"
    ]
    assert (trail[0]["reason"], trail[0]["after"]["steps"][0]["detail"]) == (
        "from 2025-01-03 on",
        "body, what is published is kept",
    )
    versions = project.headrace("lineage", "totals")["code"]
    assert [(version["partitions"], version["from"], version["to"]) for version in versions] == [
        (2, DAYS[0], DAYS[1]),
        (1, DAYS[2], DAYS[2]),
    ]
    assert len({version["fingerprint"] for version in versions}) == 2
    runs = {
        row["partition"]: row["code"]["fingerprint"]
        for run in ("1", "2")
        for row in project.headrace("runs", run)
        if row["node"] == "totals"
    }
    assert [runs[day] for day in DAYS[:3]] == [versions[0]["fingerprint"]] * 2 + [
        versions[1]["fingerprint"]
    ]


@pytest.mark.timeout(300)
def test_ls_and_runs_list_the_code_with_its_hashes(project: Lab) -> None:
    """Would catch: a file that counts and isn't shown; an attempt that doesn't say by which
    interpreter and packages it ran.
    """
    nodes = {item["name"]: item["code"] for item in project.headrace("ls")}
    assert nodes["orders"] is None
    totals = nodes["totals"]
    paths = ["assets/report.py", "lib/__init__.py", "lib/rates.py", "lib/factors.py"]
    assert sorted(file["path"] for file in totals["files"]) == sorted(paths)
    for file in totals["files"]:
        assert (
            file["sha256"] == hashlib.sha256((project.root / file["path"]).read_bytes()).hexdigest()
        )
    assert {file["path"]: file["via"] for file in totals["files"]}[
        "lib/rates.py"
    ] == "assets/report.py:2 from lib.rates import doubled"
    assert [item["name"] for item in totals["packages"]] == ["headrace"] and totals["secrets"] == []
    row = next(row for row in project.headrace("runs", "1") if row["node"] == "totals")
    assert {**row["code"], "interpreter": None} == totals
    assert row["code"]["interpreter"].endswith(platform.python_version())
    exported = next(row for row in project.headrace("runs", "1") if row["node"] == "exported")[
        "code"
    ]
    assert [file["path"] for file in exported["files"]] == [
        "assets/exported.yaml",
        "jobs/run.sh",
        "jobs/settings.yaml",
    ]
