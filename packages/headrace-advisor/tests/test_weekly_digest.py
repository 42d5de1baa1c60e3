"""The weekly section of the digest: waits, proposals, and what applied changes came to."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from clilab import Project

MONDAY = "2025-03-10T09:00+00:00"
TUESDAY = "2025-03-11T09:00+00:00"
_OWNERS = "core: {kind: team, contact: ['mailto:core@example.com'], digest: '08:00'}\n"
_HOUR_US = 3_600_000_000
FILES = {
    "headrace.toml": '[project]\nname = "shop"\ntimezone = "UTC"\n[run]\nworkers = 1\n',
    "owners.yaml": _OWNERS,
    "sources/orders.yaml": (
        "source: orders\nowner: core\npartition: day\nfiles: landing/orders_{date:%Y-%m-%d}.csv\n"
    ),
    "assets/sales.sql": (
        "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
        "select distinct cast(day as date) as day, count(*) as orders from orders group by 1\n"
    ),
    "consumers.yaml": "- {consumer: report, owner: core, reads: [sales], due: '07:00'}\n",
}


@pytest.fixture
def shop(tmp_path: Path, call: Any) -> Project:
    """Eight days were delivered when Sunday's digest was due; Sunday's data isn't there yet."""
    root = tmp_path / "shop"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "landing").mkdir()
    for number in range(1, 9):
        lines = "".join(f"{i},2025-03-{number:02}\n" for i in range(200))
        (root / f"landing/orders_2025-03-{number:02}.csv").write_text("id,day\n" + lines)
    project = Project(root, call)
    project.text("tick", "--now", "2025-03-09T08:10+00:00")
    return project


def _state(project: Project) -> Any:
    return closing(sqlite3.connect(project.root / ".headrace/state.db"))


def _digest(project: Project, now: str) -> list[str]:
    """Return the lines of the digest that is due by a time."""
    project.text("tick", "--now", now)
    with _state(project) as state:
        (body,) = state.execute(
            "select body from notice where kind = 'digest' order by id desc limit 1"
        ).fetchone()
    return str(body).splitlines()


def _flat(lines: list[str]) -> str:
    return " ".join(lines)


def test_the_first_digest_of_a_week_says_what_took_the_time(shop: Project) -> None:
    """Would catch: a section on each day, or none; other figures than those of `bottleneck`."""
    text = _flat(_digest(shop, MONDAY))
    assert "in the last 7 days report waited" in text
    assert "(headrace bottleneck report --window 7d)" in text
    (row,) = shop.json("bottleneck", "report", "--window", "7d", "--now", MONDAY)
    assert row["said"] in text
    assert "in the last 7 days" not in _flat(_digest(shop, TUESDAY))


def test_a_proposal_comes_with_its_saving_until_its_basis_is_gone(shop: Project) -> None:
    """Would catch: advice that was never proven or measured, a saving without its command, and a
    proposal whose query or checks have changed since."""
    (row,) = [item for item in shop.json("optimize", "sales", "--prove", "--budget", "20s")
              if item["kind"] == "remove_distinct"]  # fmt: skip
    assert row["verdict"] == "proven"
    _made_faster(shop)
    text = _flat(_digest(shop, MONDAY))
    assert "proposal: sales would save" in text
    assert "a month, proven, and measured as faster by" in text
    assert f"(headrace optimize apply {row['id']})" in text
    (trial,) = shop.json("ab")
    assert trial["finding"] == row["id"]

    sales = shop.root / "assets/sales.sql"
    sales.write_text(
        sales.read_text().replace("owner: core\n", "owner: core\nchecks:\n  - not_null: [day]\n")
    )
    shop.text("apply", "--yes", "--now", "2025-03-12T09:00+00:00")
    assert "proposal" not in _flat(_digest(shop, "2025-03-17T09:00+00:00"))


@pytest.mark.long
def test_findings_that_go_together_are_one_proposal(shop: Project) -> None:
    """Would catch: a saving that is counted twice, as one finding and as a part of several."""
    (row,) = [item for item in shop.json("optimize", "sales", "--prove", "--budget", "20s")
              if item["kind"] == "remove_distinct"]  # fmt: skip
    together = f"{row['id']} o-0123456789"
    with _state(shop) as state, state:
        state.execute(
            "insert into trial (node, finding, change, version, code_before, code_after, actor, at,"
            " verdict, content, proven) select node, ?, '2 findings together', version,"
            " code_before, 'another', actor, at, verdict, content, proven from trial",
            (together,),
        )
    _made_faster(shop)
    text = _flat(_digest(shop, MONDAY))
    assert f"(headrace optimize apply {together})" in text
    assert text.count("proposal:") == 1


@pytest.mark.long
def test_unproven_and_slower_changes_are_no_proposals(shop: Project) -> None:
    """Would catch: a trial of `ab`, a change that isn't proven, or one that is slower proposed."""
    shop.json("optimize", "sales", "--prove", "--budget", "20s")
    _made_faster(shop, factor=2.0)
    assert "proposal" not in _flat(_digest(shop, MONDAY))
    _made_faster(shop)
    with _state(shop) as state, state:
        state.execute("update trial set proven = 0")
    assert "proposal" not in _flat(_digest(shop, "2025-03-17T09:00+00:00"))


def test_an_applied_change_is_compared_with_its_promise(shop: Project) -> None:
    """Would catch: a promise that nobody hears of again, or one that is repeated for ever."""
    (row,) = [item for item in shop.json("optimize", "sales", "--prove", "--budget", "20s")
              if item["kind"] == "remove_distinct"]  # fmt: skip
    _made_faster(shop)
    shop.text("optimize", "apply", row["id"], "--yes")
    _runs(shop)
    text = _flat(_digest(shop, MONDAY))
    assert "sales: promised -50.0 % of its time, was -25.0 % within a day" in text
    assert "proposal" not in text
    assert "promised" not in _flat(_digest(shop, "2025-05-12T09:00+00:00"))


def _made_faster(project: Project, factor: float = 0.5) -> None:
    """Give the stored trial times that don't depend on this machine, and that are conclusive."""
    with _state(project) as state, state:
        for number, content in state.execute("select id, content from trial").fetchall():
            trial = json.loads(content)
            for run in trial["runs"]:
                run["ms"] = 4000.0 * (factor if run["side"] == "after" else 1.0)
            state.execute(
                "update trial set content = ?, proven = 1 where id = ?", (json.dumps(trial), number)
            )


def _runs(project: Project) -> None:
    version = project.json("versions")[0]["version"]
    with _state(project) as state, state:
        (run, at) = state.execute("select max(run_id), max(at) from attempt, trial").fetchone()
        for n in range(30):
            old = n < 20
            after = at + (n - 40 if old else n + 1) * _HOUR_US // 10
            state.execute(
                "insert into attempt (epoch, n, run_id, node, kind, partitions, state, version,"
                " queued_at, started_at, finished_at, measures)"
                " values (0, ?, ?, 'sales', 'produce', ?, 'published', ?, ?, ?, ?, ?)",
                (n + 1, run, json.dumps([f"day {n}"]), 1 if old else version, *[after] * 3,
                 json.dumps({"seconds": 2.0 if old else 1.5})),
            )  # fmt: skip
