"""`plan --env NAME` says how what is built there differs from production: rows, columns, examples,
distributions."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from runlab import DAYS, Lab

from headrace.project.session import ProjectSession, Silent
from headrace.services.plans import plan
from headrace.services.run_results import tick
from headrace.standing import comparisons
from headrace.standing.comparisons import differences

TOML = (
    '[project]\nname = "lab"\ntimezone = "UTC"\n[run]\nworkers = 2\n[environments.dev]\nworkers'
    " = 1\n"
)
PARTITION = "partition: {by: day, column: day}"
CHECKS = f"{PARTITION}\nchecks: [{{unique: [customer]}}]"


def test_what_is_built_apart_is_compared_row_by_row(tmp_path: Path) -> None:
    """Would catch: partitions that aren't built told as removed rows, a changed row told as two, a
    change of values that nobody sees, and files of one lake read as the other's."""
    lab = Lab(tmp_path / "p")
    lab.write("headrace.toml", TOML)
    total = "select day, customer, sum(amount) as total from orders group by day, customer"
    lab.sql("total", total, CHECKS)
    for day in DAYS[:3]:
        lab.orders(day, n=3)
    lab.tick()
    lab.sql(
        "total",
        total.replace(
            "sum(amount)",
            f"case when customer = 'c1' and day <> '{DAYS[0]}' then -1 else sum(amount) end",
        ),
        CHECKS,
    )
    tick(ProjectSession.open(lab.root, "dev", None, "tester"), progress=Silent())
    lab.orders(DAYS[3], n=3)
    lab.tick()
    dev = ProjectSession.open(lab.root, "dev", None, "tester")
    (row,) = differences(dev)
    assert (row.node, row.identical, row.compared, row.not_built, row.only_here) == (
        "total",
        1,
        2,
        1,
        0,
    )
    assert (row.keys, row.rows_added, row.rows_removed, row.rows_changed) == (
        ["customer", "day"],
        0,
        0,
        2,
    )
    assert row.cells == {"total": 2}
    assert row.sample
    (spread,) = [spread for spread in row.spreads if spread.column == "total"]
    assert (spread.before["minimum"], spread.after["minimum"]) == ("1.5", "-1.0")
    assert spread.before["nulls"] == spread.after["nulls"] == 0
    response = plan(
        ProjectSession.open(lab.root, "dev", None, "tester"), against=None, progress=Silent()
    )
    assert [item.node for item in response.diff or []] == ["total"]
    assert "total against production" in page(lab)


def test_no_node_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a change of many nodes of which the first ones are compared, and no word of the
    others, which differ too."""
    lab = Lab(tmp_path / "p")
    lab.write("headrace.toml", TOML)
    for name in ("a", "b", "c"):
        lab.sql(name, "select day, amount from orders", PARTITION)
    lab.orders(DAYS[0])
    lab.tick()
    for name in ("a", "c"):
        lab.sql(name, "select day, -amount as amount from orders", PARTITION)
    lab.sql("b", "select day, amount + 0 as amount from orders", PARTITION)
    tick(ProjectSession.open(lab.root, "dev", None, "tester"), progress=Silent())
    monkeypatch.setattr(comparisons, "NODES_MAX", 1)
    rows = differences(ProjectSession.open(lab.root, "dev", None, "tester"))
    assert [(row.node, row.identical, row.compared, row.not_compared) for row in rows] == [
        ("a", 0, 1, 0),
        ("b", 1, 0, 0),
        ("c", 0, 0, 1),
    ]


def page(lab: Lab) -> str:
    command = [item for item in lab.command("plan", "--env", "dev") if item != "--json"]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=True).stdout


def test_in_production_and_before_anything_was_built_there_is_nothing_to_compare(
    tmp_path: Path,
) -> None:
    """Would catch: a traceback where an environment is new, or production is."""
    lab = Lab(tmp_path / "p")
    lab.write("headrace.toml", TOML)
    dev = ProjectSession.open(lab.root, "dev", None, "tester")
    assert differences(dev) == differences(lab.session()) == []
    lab.orders(DAYS[0])
    lab.tick()
    assert differences(ProjectSession.open(lab.root, "dev", None, "tester")) == []
