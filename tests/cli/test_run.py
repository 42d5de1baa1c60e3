"""`headrace run`, `tick`, `apply`, `try` as they are typed; what they do is tested with their
operations.
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from clilab import Project

from headrace.cli.run_results import _attempts_row, repaired_text
from headrace.model import Refused, UsageError
from headrace.project.session import ProjectSession, Silent
from headrace.responses import AttemptRow, RepairedRow
from headrace.services.run import run

HEADRACE = str(Path(sys.executable).with_name("headrace"))
INTERFACE = {"now", "run_id", "state", "attempts", "published", "rejected", "incidents_opened"}


def test_tick_gives_the_response_of_the_interface(shop: Project) -> None:
    response = shop.json("tick")
    assert set(response) >= INTERFACE
    assert response["state"] == "nothing_due"
    assert "nothing is due" in shop.text("tick")


def test_run_again_needs_a_reason_and_replaces(shop: Project) -> None:
    for words in ((), ("--reason", " "), ("--reason", " ", "--apply", "--yes")):
        assert "needs --reason" in shop.refused("run", "revenue", "--again", *words, code=3)
    response = shop.json(
        "run",
        "revenue",
        "--partition",
        "2025-03-01",
        "--partition",
        "2025-03-02",
        "--again",
        "--reason",
        "to see it",
    )
    assert {row["partition"] for row in response["published"] if row["asset"] == "revenue"} == {
        "2025-03-01",
        "2025-03-02",
    }
    attempt = response["attempts"][0]
    assert set(attempt) >= {
        "id",
        "asset",
        "partitions",
        "state",
        "rows",
        "queued_at",
        "started_at",
        "finished_at",
        "published_at",
        "error",
    }


def test_ranges_are_one_thing_or_the_other(shop: Project) -> None:
    assert "exclude each other" in shop.refused(
        "run", "--partition", "2025-03-01", "--from", "2025-03-01"
    )


def test_programs_are_refused_what_the_command_line_is(shop: Project) -> None:
    """Would catch: a range that is ignored beside partitions, or a blank reason, by HTTP."""
    with closing(ProjectSession.open(shop.root, "prod", None, "tester")) as session:
        with pytest.raises(Refused, match="needs --reason"):
            run(session, ["revenue"], again=True, reason=" ", progress=Silent())
        with pytest.raises(UsageError, match="exclude each other"):
            run(
                session,
                ["revenue"],
                partitions=["2025-03-01"],
                last="2025-03-02",
                progress=Silent(),
            )


def test_keys_that_no_partition_has_are_named(new: Project) -> None:
    """Would catch: a misspelt key that reads as "nothing is due", or as a table without rows."""
    files = {
        "landing/shops_Harbour.csv": "id,v\n1,2\n",
        "landing/sales_2025-03-01_Harbour.csv": "id,v\n1,2\n",
        "landing/all.csv": "id,v\n1,2\n",
        "sources/shops.yaml": (
            "source: shops\nowner: acme\npartition: {key: shop}\nfiles: landing/shops_{key}.csv\n"
        ),
        "sources/sales.yaml": (
            "source: sales\nowner: acme\npartition: [day, {key: shop}]\n"
            "files: landing/sales_{date:%Y-%m-%d}_{key}.csv\n"
        ),
        "sources/everything.yaml": (
            "source: everything\nowner: acme\npartition: '*'\nfiles: landing/all.csv\n"
        ),
        "assets/total.sql": "/* headrace\nowner: acme\n*/\nselect sum(v) as v from everything\n",
    }
    for name, text in files.items():
        (new.root / name).parent.mkdir(exist_ok=True)
        (new.root / name).write_text(text)
    new.json("tick")
    for node, key in (("shops", "Harbor"), ("sales", "2025-03-01/Harbor")):
        reason = f"no partition of {node} with the shop `Harbor` is known"
        code, out, err = new.call(new.root, "run", node, "--partition", key)
        assert (code, out) == (2, "")
        assert f"error: {reason}\n" in err
        assert new.json("read", node, "--partition", key)["reason"] == reason
        assert f"{reason}\n" in new.text("read", node, "--partition", key)
        known = key.replace("Harbor", "Harbour")
        assert new.json("run", node, "--partition", known)["reason"] is None
        assert new.json("read", node, "--partition", known)["reason"] is None
    for node in ("total", "everything"):
        for command in ("run", "read"):
            refused = new.refused(command, node, "--partition", "Harbour")
            assert f"{node} isn't partitioned: it has no 'Harbour'" in refused
    assert new.json("run", "total", "shops", "--partition", "Harbour")["reason"] is None


def test_a_run_that_fails_exits_with_1_and_says_where(shop: Project) -> None:
    code, out, _ = shop.call(shop.root, "run", "fails", "--partition", "2025-03-01")
    assert code == 1
    assert "at assets/fails.py:6" in out
    assert out.splitlines()[-1].startswith("next: headrace ")


def test_a_live_store_refuses_now_and_a_replay_says_it_is_one(shop: Project, new: Project) -> None:
    assert "replay clock" in shop.text("tick")
    assert "earlier" in shop.refused("tick", "--now", "2025-01-01")
    assert new.call(new.root, "tick")[0] == 0
    assert "live" in new.refused("tick", "--now", "2030-01-01", code=3)


def changed(project: Project) -> None:
    path = project.root / "assets/revenue.sql"
    path.write_text(path.read_text().replace("count(*)", "count(id)"))


def test_apply_refuses_where_nobody_can_answer(shop: Project) -> None:
    changed(shop)
    done = subprocess.run(
        [HEADRACE, "apply"],
        capture_output=True,
        text=True,
        cwd=shop.root,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 3
    assert "--yes" in done.stderr
    assert "revenue" in done.stdout, "the changes are shown all the same"
    assert shop.json("status")["not_applied"] == 1


def test_apply_with_yes(shop: Project) -> None:
    assert shop.json("apply")["state"] == "nothing"
    changed(shop)
    response = shop.json("apply", "--yes")
    assert response["state"] == "applied"
    assert [change["node"] for change in response["plan"]["changes"]] == ["revenue"]
    assert response["plan"]["changes"][0]["partitions_stale"] == 3
    assert response["plan"]["affects"]["consumers"] == ["morning-report"]
    assert shop.json("status")["not_applied"] == 0


@pytest.mark.parametrize(
    ("answer", "code", "state"),
    [("y\n", 0, "applied"), ("n\n", 3, "declined"), ("\n", 3, "declined")],
)
def test_apply_asks_on_a_terminal(shop: Project, answer: str, code: int, state: str) -> None:
    """On a terminal the question goes to standard error, so that --json stays one document."""
    changed(shop)
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [HEADRACE, "apply", "--json"],
        cwd=shop.root,
        stdin=follower,
        stderr=follower,
        stdout=subprocess.PIPE,
        text=True,
    )
    os.close(follower)
    os.write(leader, answer.encode())
    out, _ = process.communicate(timeout=40)
    asked = os.read(leader, 65536).decode()
    os.close(leader)
    assert process.returncode == code
    assert "Apply this? [y/N]" in asked
    assert "revenue" in asked
    assert json.loads(out)["state"] == state


def test_try_publishes_nothing(shop: Project) -> None:
    before = shop.json("read", "revenue")["snapshot"]
    response = shop.json("try", "revenue@2025-03-01", "--limit", "1")
    assert response["rows"] == [{"day": "2025-03-01", "revenue": "32.00", "orders": 3}]
    assert response["state"] in ("passed", "unchecked")
    assert shop.json("read", "revenue")["snapshot"] == before
    code, out, _ = shop.call(shop.root, "try", "fails@2025-03-01")
    assert code == 1
    assert "no such thing" in out


def test_parameters_of_a_try(shop: Project) -> None:
    assert "no parameter" in shop.refused("try", "revenue@2025-03-01", "--set", "unknown=1")
    assert "name=value" in shop.refused("try", "revenue@2025-03-01", "--set", "threshold")


def test_progress_goes_to_standard_error_in_a_dozen_lines(new: Project) -> None:
    (new.root / "landing").mkdir()
    for day in range(1, 15):
        (new.root / f"landing/orders_2025-03-{day:02}.csv").write_text(
            f"id,customer,amount,day\n1,a,1,2025-03-{day:02}\n"
        )
    code, out, err = new.call(new.root, "tick", "--now", "2025-03-20T08:00", "--json")
    assert code == 0
    assert json.loads(out)["run_id"] == "1"
    assert 1 <= len(err.splitlines()) <= 14


def test_a_try_before_anything_ran_leaves_no_state_behind(new: Project) -> None:
    """Would catch: a raw message of the database, and a half-made state that the next command takes
    for a damaged one.
    """
    (new.root / "assets/alone.py").write_text(
        "from headrace import asset\nimport pyarrow as pa\n\n@asset(owner='core')\ndef alone():\n  "
        "  return pa.table({'n': [1, 2]})\n"
    )
    response = new.json("try", "alone")
    assert (response["state"], response["rows_total"]) == ("unchecked", 2)
    assert "nothing that revenue reads is published yet" in new.refused("try", "revenue")
    assert not (new.root / ".headrace/state.db").exists()


def test_what_is_left_of_a_node_is_asked_for_by_a_command_that_fits_all_of_it() -> None:
    """Would catch: `headrace retry` proposed for an empty file in quarantine, which it reads and
    rejects again."""
    row = RepairedRow(
        node="sales", partitions=["2025-03-04"], still_wrong=1, assets=["takings"], consumers=[]
    )
    assert (
        repaired_text(row)
        == "repaired sales 2025-03-04; takings reads it; 1 other partition of it failed or in"
        " quarantine: headrace why sales"
    )


def test_rows_of_a_partition_that_was_tried_twice_count_once() -> None:
    """Would catch: 600 rows held of a file that has 300, because it was evaluated twice
    in one run."""
    at = datetime(2026, 3, 22, tzinfo=UTC)
    of = [("1.1", "2026-03-19", 300), ("1.2", "2026-03-20", 20), ("1.3", "2026-03-19", 300)]
    tried = [
        AttemptRow(id=i, asset="clicks", partitions=[key], state="held", rows=rows, queued_at=at)
        for i, key, rows in of
    ]
    assert _attempts_row(tried, {}, set())[3] == "320"
