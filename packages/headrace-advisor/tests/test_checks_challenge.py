"""`headrace checks challenge` and `checks suggest`: which checks can't fail, what none notices, and
what to add, in a project whose store is real.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from checked_shop import CHECKED, checked
from clilab import Project

from headrace.cli.completion import candidates

__all__ = ["checked"]


@pytest.fixture
def shop(checked: Any, call: Any) -> Project:
    """The project as it was filled; tests that change files change them back."""
    return Project(checked, call)


def test_a_challenge(shop: Project) -> None:
    """Would catch: a check that can't fail called effective; a fault noticed by the table after it
    called unnoticed."""
    rows = {row["check"]: row for row in shop.json("checks", "challenge", "orders_clean", "large")}
    assert {name: row["verdict"] for name, row in rows.items()} == {
        "unique_id": "effective",
        "not_null_customer": "effective",
        "nobody": "duplicate",
        "never": "cannot_fail",
        "large": "cannot_fail",
        "row_count": "effective",
        "not_null_id": "effective",
        "huge": "cannot_fail",
    }
    assert set(rows["never"]) >= {
        "check",
        "asset",
        "verdict",
        "mutations_tried",
        "mutations_caught",
        "cost_ms",
        "evidence",
    }
    assert rows["never"]["mutations_caught"] == 0 < rows["never"]["mutations_tried"]
    assert rows["unique_id"]["mutations_caught"] >= 3
    assert "not_null_customer" in rows["nobody"]["evidence"]
    assert rows["not_null_id"]["asset"] == "large"
    text = shop.text("checks", "challenge", "orders_clean")
    assert "can't fail" in text
    assert "morning-report" in text


def test_a_challenge_says_how_far_it_is(checked: Any, call: Any) -> None:
    """Would catch: most of a minute in which nobody knows whether anything happens."""
    code, _, errors = call(checked, "checks", "challenge", "orders_clean")
    assert code == 0
    assert "challenging orders_clean" in errors and " done in " in errors


def test_what_nobody_would_notice(shop: Project) -> None:
    """Would catch: faults ranked without regard to whom they reach; one that a later table's check
    notices counted as unnoticed.
    """
    rows = shop.json("checks", "challenge", "--unnoticed")
    reached = [len(row["consumers"]) for row in rows]
    assert reached == sorted(reached, reverse=True)
    assert reached[0] == 2
    faults = {(row["asset"], row["says"]): row for row in rows}
    assert faults["revenue", "no rows at all"]["suggestion"] == "row_count: {min: 1}"
    assert faults["orders_clean", "every tenth `amount` is 0"]["consumers"] == [
        "morning-report",
        "dashboard",
    ]
    assert (
        "orders_clean",
        "every tenth `amount` is null",
    ) not in faults, "no day before had a null"
    assert ("orders_clean", "`amount` × 100") not in faults, "no day before had such amounts"
    assert (
        "orders_clean",
        "`day` a day later",
    ) not in faults, "every audit asks for the partition's column"
    assert ("orders", "`day` is null") not in faults, "the table after it notices"
    assert ("orders", "all rows twice") not in faults
    assert ("orders", "every tenth `customer` is null") not in faults
    assert ("orders", "every tenth `amount` is 0") in faults
    alone = {row["says"] for row in shop.json("checks", "challenge", "orders", "--unnoticed")}
    assert "`day` is null" in alone, "of what isn't selected nothing is known"


def test_suggestions_are_written_and_then_notice(shop: Project) -> None:
    """Would catch: a file whose comments are gone, checks that are suggested again once they are
    there, a half-written project.
    """
    path, view = shop.root / "assets/orders_clean.sql", shop.root / "assets/large.sql"
    try:
        suggested = shop.json("checks", "suggest", "orders_clean")
        assert all(row["written"] is None for row in suggested)
        assert path.read_text() == CHECKED
        written = shop.json("checks", "suggest", "orders_clean", "--write")
        assert {row["written"] for row in written} == {"assets/orders_clean.sql"}
        text = path.read_text()
        assert (
            text.replace(
                "".join(
                    line
                    for line in text.splitlines(True)
                    if line.strip(" -\n").startswith(tuple(row["yaml"] for row in written))
                ),
                "",
            )
            == CHECKED
        )
        assert "# who bought" in text
        assert shop.json("checks", "suggest", "orders_clean") == []
        rows = {
            row["check"]: row["verdict"] for row in shop.json("checks", "challenge", "orders_clean")
        }
        assert rows["accepted_values_customer"] == "never_ran"
        assert shop.json("validate")["ok"]
        view.write_text(
            view.read_text().replace("checks: [{not_null", "tags: *all\nchecks: &all [{not_null")
        )
        assert shop.call(shop.root, "checks", "suggest", "--write")[0] != 0
        assert path.read_text() == text
    finally:
        path.write_text(CHECKED)
        view.write_text(view.read_text().replace("&all ", "").replace("tags: *all\n", ""))


def test_a_check_that_changed_its_mind_is_flaky(shop: Project) -> None:
    """Would catch: a verdict that changed on the same data overlooked, or one under another version
    taken for the same.
    """
    database = sqlite3.connect(next((shop.root / ".headrace").glob("*.db")))
    again = (
        "insert into attempt (epoch, n, run_id, node, kind, partitions, state, version,"
        " snapshot_read, queued_at) select epoch, n + 1000, run_id, node, kind, partitions,"
        " 'rejected', version + ?, snapshot_read, queued_at from attempt where node ="
        " 'orders_clean' and partitions like '%03-02%'"
    )
    result = (
        "insert into check_result select epoch, n + 1000, node, partition, name, kind, severity,"
        " 'failed', rows, 1, '', at from check_result where node = 'orders_clean' and partition ="
        " '2025-03-02' and name = 'row_count'"
    )
    gone = ("delete from check_result where n > 1000", "delete from attempt where n > 1000")
    try:
        for other, verdict in ((1, "effective"), (0, "flaky")):
            with database:
                database.execute(again, (other,))
                database.execute(result)
            rows = {row["check"]: row for row in shop.json("checks", "challenge", "orders_clean")}
            assert rows["row_count"]["verdict"] == verdict, rows["row_count"]
            with database:
                for statement in gone:
                    database.execute(statement)
            assert ("2025-03-02" in rows["row_count"]["evidence"]) == (verdict == "flaky")
    finally:
        database.close()


def test_before_anything_ran(new: Project) -> None:
    """Would catch: a crash where there is no store, or a check that is called good although nobody
    has asked it.
    """
    (row,) = new.json("checks", "challenge")
    assert (row["verdict"], row["mutations_tried"]) == ("never_ran", 0)
    assert new.json("checks", "suggest") == []


def test_an_option_of_the_other_action_is_refused(shop: Project) -> None:
    """Would catch: an option that is taken and does nothing."""
    assert "unknown: --write" in shop.refused("checks", "challenge", "--write")
    assert "unknown: --unnoticed" in shop.refused("checks", "suggest", "--unnoticed")


def test_completion() -> None:
    assert candidates(["checks", "ch"]) == ["challenge"]
    assert "--unnoticed" in candidates(["checks", "challenge", "--u"])
