"""`headrace status` on a store that real ticks filled."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from clilab import Project

from headrace.responses import StatusResponse

INTERFACE = {
    "now",
    "observed_at",
    "runtime",
    "clock",
    "consumers",
    "assets",
    "honest_availability",
    "honest_mean",
    "minutes_lost",
    "claimed_availability",
    "classic_uptime",
    "promises_weakened",
    "window",
    "incidents_open",
    "not_applied",
}
CONSUMER = {
    "name",
    "owner",
    "state",
    "states",
    "since",
    "due_interval",
    "data_through",
    "backlog",
    "reads",
    "reason",
    "incident",
    "next",
}


def test_the_response_has_every_field_of_the_interface(shop: Project) -> None:
    """Programs read these names; what isn't built is null, not left out."""
    response = shop.json("status")
    assert set(response) >= INTERFACE
    assert set(response) == set(StatusResponse.__struct_fields__)
    for consumer in response["consumers"]:
        assert set(consumer) >= CONSUMER
        assert {"asset", "state", "data_through"} == set(consumer["reads"][0])
    assert set(response["assets"]) == {
        "fresh",
        "behind",
        "stale",
        "quarantined",
        "never",
        "unchecked",
    }


def test_who_is_late_since_when_and_why(shop: Project) -> None:
    response = shop.json("status")
    report = next(item for item in response["consumers"] if item["name"] == "morning-report")
    assert report["state"] == "late"
    assert report["since"] == "2025-03-05T07:00:00+01:00"
    assert report["data_through"] == "2025-03-03"
    assert report["next"] == "headrace quarantine orders@2025-03-05", (
        "what stands in the way of the newest day"
    )
    assert response["clock"] == "replay"
    assert response["quarantine"] == {"deliveries": 1, "partitions": 2, "rows": 7}


def test_assets_add_up(shop: Project) -> None:
    """The states are counted once each, and the page says the same numbers as the document."""
    counts = shop.json("status")["assets"]
    assert counts["fresh"] + counts["behind"] + counts["stale"] + counts["never"] == len(
        [r for r in shop.json("ls") if r["kind"] == "asset"]
    )
    assert f"{counts['behind']} behind" in shop.text("status")


def test_the_path_of_the_page_can_be_opened(shop: Project) -> None:
    [files] = shop.json("status")["files"]
    assert (shop.root / files["paths"][0]).read_text() == "1"
    assert files["paths"][0] in shop.text("status")


def test_before_anything_ran_nothing_is_claimed(new: Project) -> None:
    response = new.json("status")
    assert [consumer["state"] for consumer in response["consumers"]] == ["never", "never"]
    assert response["next"] == "headrace tick"
    assert not (new.root / ".headrace/state.db").exists(), "a command that reports makes no store"


def test_a_selection_narrows_to_consumers(shop: Project) -> None:
    assert [item["name"] for item in shop.json("status", "revenue")["consumers"]] == [
        "morning-report"
    ]
    assert [item["name"] for item in shop.json("status", "consumer:dashboard")["consumers"]] == [
        "dashboard"
    ]
    assert "nope" in shop.refused("status", "nope")


def test_files_that_are_not_applied_are_counted_without_touching_what_runs(shop: Project) -> None:
    path = shop.root / "assets/revenue.sql"
    path.write_text(path.read_text().replace("count(*)", "count(id)"))
    response = shop.json("status")
    assert response["not_applied"] == 1
    path.write_text(path.read_text() + "-- a comment changes nothing\n")
    path.write_text(path.read_text().replace("count(id)", "count(*)"))
    assert shop.json("status")["not_applied"] == 0
    path.write_text("select from where")
    assert shop.json("status")["not_applied"] is None
    assert "files have errors" in shop.text("status")


def test_exit_code_makes_a_problem_1(shop: Project) -> None:
    assert shop.call(shop.root, "status")[0] == 0
    assert shop.call(shop.root, "status", "--exit-code")[0] == 1


def test_utc_and_later_now(shop: Project) -> None:
    assert "07:00 UTC (replay clock)" in shop.text("status", "--utc")
    later = shop.json("status", "--now", "2025-03-20T08:00+01:00")
    assert later["now"] == "2025-03-20T08:00:00+01:00"
    assert later["consumers"][0]["state"] == "unknown", "not observed since"
    assert "earlier" in shop.refused("status", "--now", "2025-03-01")
    assert "no time" in shop.refused("status", "--now", "yesterday")


def test_neither_duckdb_nor_sqlglot_is_on_the_way(shop: Project) -> None:
    """`status` has 0.4 s; one careless import takes all of it."""
    code = (
        "import sys; from headrace.cli.main import run; run(['status']); print(*sys.modules,"
        " file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=shop.root
    )
    loaded = set(done.stderr.split())
    heavy = {
        "duckdb",
        "sqlglot",
        "pyarrow",
        "numpy",
        "pydantic",
        "typer",
        "rich.console",
        "yaml",
        "jsonschema",
        "sqlalchemy",
        "headrace.compiler.compiling",
    }
    assert not loaded & heavy


def test_the_next_command_runs_when_pasted(shop: Project, tmp_path: Path) -> None:
    """From another folder too: then it says which project."""
    for arguments, cwd in (
        (["status"], shop.root),
        (["status", "--project", str(shop.root)], tmp_path),
    ):
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        said = subprocess.run(
            ["headrace", *arguments],
            capture_output=True,
            text=True,
            check=True,
            cwd=cwd,
            env=environment,
        ).stdout
        command = said.splitlines()[-1].removeprefix("next: ").partition("      then: ")[0]
        assert shlex.split(command)[0] == "headrace"
        done = subprocess.run(
            ["bash", "-c", command],
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            env=environment,
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("damage", ["not a database", ""])
def test_a_damaged_store_is_said(shop: Project, damage: str) -> None:
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        (shop.root / ".headrace" / name).unlink(missing_ok=True)
    (shop.root / ".headrace/state.db").write_text(damage * 1000)
    assert "state" in shop.refused("status", code=1)
