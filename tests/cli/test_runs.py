"""`headrace runs`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from clilab import Project

from headrace.project.session import ProjectSession

LISTED = {"node", "partition", "state", "verdict", "at", "reason"}


def test_every_row_has_what_lists_have(shop: Project) -> None:
    rows = shop.json("runs")
    assert all(set(row) >= LISTED for row in rows)
    assert [row["run_id"] for row in rows] == sorted((row["run_id"] for row in rows), reverse=True)


def test_counts_agree_between_the_list_and_the_run(shop: Project) -> None:
    """Two pages that count the same thing by two queries must not disagree."""
    rows = shop.json("runs", "1")
    published = sum(row["state"] == "published" for row in rows)
    assert f"{published} published" in shop.text("runs")
    assert f"{published} published" in shop.text("runs", "1")


def test_only_what_failed(shop: Project) -> None:
    rows = shop.json("runs", "--failed")
    assert {row["state"] for row in rows} <= {"failed", "lost", "rejected", "held"}
    failed = next(row for row in rows if row["node"] == "fails")
    assert failed["error"]["file"] == "assets/fails.py"
    assert failed["error"]["line"] == 6
    assert "no such thing" in failed["reason"]


def test_what_is_held_is_among_what_failed(shop: Project) -> None:
    """Would catch: "nothing attempted" of a run that held what it attempted."""
    assert "1 held, 1 rejected" in shop.text("runs", "--failed")
    assert {(row["node"], row["state"]) for row in shop.json("runs", "2", "--failed")} == {
        ("orders", "held"),
        ("orders_clean", "rejected"),
    }
    assert shop.call(shop.root, "runs", "2", "--exit-code")[0] == 1


@pytest.mark.parametrize(
    ("states", "text"),
    [
        (["published", "held"], "1 held"),
        (["published", "cancelled", "skipped"], "1 cancelled, 1 skipped"),
        (["published", "published"], "no attempt failed"),
        ([], "no attempt failed"),
    ],
)
def test_a_run_that_failed_never_says_that_it_attempted_nothing(
    shop: Project, states: list[str], text: str
) -> None:
    """Would catch: "nothing attempted" of a run that was cancelled, or lost its leader."""
    with closing(sqlite3.connect(shop.root / ".headrace/state.db")) as state, state:
        ids = state.execute("select epoch, n from attempt where run_id = 2").fetchall()
        state.execute("update attempt set state = 'published' where run_id = 2")
        for (epoch, n), changed in zip(ids, states, strict=False):
            state.execute(
                "update attempt set state = ? where epoch = ? and n = ?", (changed, epoch, n)
            )
        if not states:
            state.execute("update attempt set run_id = 1 where run_id = 2")
    [line] = [
        line for line in shop.text("runs", "--failed").splitlines() if line.startswith("    2")
    ]
    assert text in line
    assert text in shop.text("runs", "2", "--failed")
    with closing(sqlite3.connect(shop.root / ".headrace/state.db")) as state, state:
        state.execute("update run set state = 'succeeded' where id = 2")
    if "held" not in states:
        assert "no attempt failed" in shop.text("runs", "2", "--failed"), "it succeeded"


def test_each_attempt_says_how_much_memory_it_used(shop: Project) -> None:
    """Would catch: an incident of memory without what earlier attempts used."""
    used = [row["peak_memory_bytes"] for row in shop.json("runs") if row["node"] == "fails"]
    assert used and all(peak > 2**20 for peak in used)


def test_partitions_are_counted_once(tmp_path: Path, call: Any) -> None:
    """Catches: "8 rejected" of two, which were in an attempt at four, then at two, then alone; and
    a next command that names one that is published."""
    files = {
        "headrace.toml": '[project]\nname = "q"\n[run]\nworkers = 1\n[environments.dev]\n',
        "owners.yaml": "core: {kind: team}\n",
        "sources/people.yaml": (
            "source: people\nowner: core\nfiles: 'p_{date:%Y-%m-%d}.csv'\npartition: day\n"
        ),
        "assets/clean.sql": (
            "/* headrace\nowner: core\npartition: {by: day, column: day}\n"
            "checks: [{range: {column: id, max: 5}}]\n*/ select day, id from people\n"
        ),
        **{
            f"p_2025-01-0{day}.csv": f"day,id\n2025-01-0{day},{day + 2}\n"
            for day in (1, 2, 3, 4, 5)
        },
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    project = Project(tmp_path, call)
    call(tmp_path, "tick", "--now", "2025-01-06T12:00")
    path = tmp_path / "assets/clean.sql"
    path.write_text(path.read_text().replace("day, id", "day, id, 1 as one"))
    project.text("apply", "--yes", "--env", "dev")
    call(tmp_path, "run", "--env", "dev")
    text = project.text("runs", "1", "--env", "dev")
    assert "3 published, 2 rejected" in text
    assert "next: headrace quarantine clean@2025-01-04" in text
    assert "3 published, 2 rejected" in project.text("runs", "--env", "dev")


def test_since_a_time_or_a_duration(shop: Project) -> None:
    assert {row["run_id"] for row in shop.json("runs", "--since", "1h")} == {"2"}
    assert {row["run_id"] for row in shop.json("runs", "--since", "2025-03-06")} == {"2"}
    assert {row["run_id"] for row in shop.json("runs", "--since", "30d")} == {"1", "2"}
    assert shop.json("runs", "--since", "2025-03-07") == []
    assert "no time" in shop.refused("runs", "--since", "whenever")


def test_limit_counts_runs(shop: Project) -> None:
    assert {row["run_id"] for row in shop.json("runs", "--limit", "1")} == {"2"}
    assert "less than 1" in shop.refused("runs", "--limit", "0")


def test_a_run_that_is_not_there(shop: Project, new: Project) -> None:
    for run in ("99", "x", "-", "1" * 40):
        assert "no run" in shop.refused("runs", run)
    assert "no run" in new.refused("runs", "1")
    assert new.json("runs") == []


def test_the_error_is_told_with_its_place_and_the_next_command(shop: Project) -> None:
    text = shop.text("runs", "1")
    assert "at assets/fails.py:6" in text
    assert text.splitlines()[-1].startswith("next: headrace logs 1.")


def test_a_held_delivery_shows_the_rows_that_it_has(shop: Project) -> None:
    """Would catch: "rows 0" of a delivery whose rows are in quarantine."""
    [row] = [
        row
        for row in shop.json("runs", "2")
        if (row["node"], row["partition"]) == ("orders", "2025-03-05")
    ]
    assert (row["state"], row["rows"]) == ("held", 3)
    pages = pytest.importorskip("headrace_ui.services.run_pages")
    timed = pages.run_timeline(ProjectSession(shop.root, "prod", None, "t"), "2", None)
    assert [
        attempt.rows
        for attempt in timed.attempts
        if (attempt.node, attempt.state) == ("orders", "held")
    ] == [3]
    [line] = [
        line for line in shop.text("runs", "2").splitlines() if "orders" in line and "held" in line
    ]
    assert "  3  " in line


def test_a_file_that_could_not_be_read_has_no_number_of_rows(shop: Project) -> None:
    """Would catch: "rows 0" of a file of which nobody knows how many it has."""
    (shop.root / "landing/orders_2025-03-06.csv").write_bytes(bytes(range(256)) * 4)
    [row] = [
        row
        for row in shop.json("tick", "--now", "2025-03-07T06:00+01:00")["attempts"]
        if row["asset"] == "orders"
    ]
    assert (row["state"], row["rows"]) == ("rejected", None)
