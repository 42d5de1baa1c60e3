"""`headrace backfill` and `headrace backfills`: what is planned, refused, kept."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clilab import Project

RANGE = ("--from", "2025-03-01", "--to", "2025-03-05")
PLANNED = {
    "plan_id",
    "reason",
    "assets",
    "partitions_total",
    "skipped",
    "estimate",
    "bytes_estimate",
    "affects",
    "needs_approval",
    "publishes",
    "command",
    "state",
    "published",
    "failed",
    "changed",
}


def content(root: Path) -> dict[str, str]:
    """What lies in a project, but for caches, and for the database's files that every reader
    touches.
    """
    files = (
        path
        for path in root.rglob("*")
        if path.is_file() and "cache" not in path.parts and not path.name.endswith(("-shm", "-wal"))
    )
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def made(response: dict[str, Any]) -> dict[str, tuple[int, str, str]]:
    return {row["asset"]: (row["partitions"], row["from"], row["to"]) for row in response["assets"]}


def test_a_dry_run_says_what_would_be_made_and_writes_nothing(shop: Project) -> None:
    """Would catch a look that is written down, a plan that is kept, and a day chosen whose delivery
    was rejected or never came.
    """
    before = content(shop.root)
    response = shop.json("backfill", "orders_clean", *RANGE, "--mode", "all", "--dry-run")
    assert content(shop.root) == before
    assert set(response) >= PLANNED
    assert response["id"] is None and re.fullmatch("p-[0-9a-f]{16}", response["plan_id"])
    assert made(response)["orders_clean"] == (4, "2025-03-01", "2025-03-04")
    assert made(response)["revenue"] == (4, "2025-03-01", "2025-03-04")
    assert response["affects"]["consumers"] == ["dashboard", "morning-report"]
    assert response["command"].startswith(
        "headrace backfill orders_clean --from 2025-03-01 --to 2025-03-05 --mode all"
    )
    assert shop.json("backfills")["backfills"] == []


def test_a_new_project_is_planned_without_being_touched(new: Project) -> None:
    """Would catch a dry run that makes a store, or that doesn't look at sources nobody has looked
    at before.
    """
    (new.root / "landing").mkdir(exist_ok=True)
    for day in (1, 2, 4):
        (new.root / "landing" / f"orders_2025-03-0{day}.csv").write_text(
            f"id,customer,amount,day\n1,Ada,1.00,2025-03-0{day}\n"
        )
    before = content(new.root)
    response = new.json(
        "backfill", "+revenue", *RANGE, "--dry-run", "--now", "2025-03-06T08:00+01:00"
    )
    assert content(new.root) == before
    assert made(response)["orders"] == made(response)["revenue"] == (3, "2025-03-01", "2025-03-04")
    assert next(row for row in response["assets"] if row["asset"] == "revenue")["ranges"] == 2
    assert {"asset": "orders", "partitions": 2, "why": "nothing was delivered"} in response[
        "skipped"
    ]


def test_what_has_no_partitions_needs_no_range(shop: Project) -> None:
    """Would catch: a range asked for of an asset that has none to name, and a backfill of it that
    is none.
    """
    whole = shop.root / "assets/customers.sql"
    whole.write_text(
        "/* headrace\nowner: core\n*/\nselect customer, count(*) as orders from orders_clean group"
        " by customer\n"
    )
    shop.json("apply", "--yes")
    response = shop.json("backfill", "customers", "--mode", "all", "--dry-run")
    assert made(response) == {"customers": (1, "*", "*")}
    assert "revenue needs a range" in shop.refused(
        "backfill", "customers", "revenue", "--reason", "x"
    )


def test_only_what_was_named(shop: Project) -> None:
    assert set(
        made(shop.json("backfill", "orders_clean", *RANGE, "--mode", "all", "--only", "--dry-run"))
    ) == {"orders_clean"}


def test_what_failed_is_found_without_a_range(shop: Project) -> None:
    """Would catch a mode that takes everything missing for something that failed, and times that
    are read in another zone.
    """
    response = shop.json("backfill", "--mode", "failed", "--since", "30d", "--dry-run")
    reads = ("2025-03-04", "2025-03-04")
    assert made(response) == {
        "orders_clean": (1, *reads),
        "revenue": (1, *reads),
        "page": (1, *reads),
        "fails": (4, "2025-03-01", "2025-03-04"),
    }
    why = {row["asset"]: row["why"] for row in response["assets"]}
    assert why == {
        "orders_clean": "failed",
        "revenue": "reads orders_clean",
        "page": "reads revenue",
        "fails": "3 failed, 1 because of revenue",
    }
    since = shop.json("backfill", "--mode", "failed", "--since", "2025-03-05", "--dry-run")
    assert made(since)["fails"] == (1, *reads)
    assert (
        shop.json("backfill", "--mode", "failed", "--since", "2025-03-06T09:00", "--dry-run")[
            "state"
        ]
        == "nothing_due"
    )


def test_what_cannot_be_meant_is_refused(shop: Project) -> None:
    """Would catch a range that is silently another one, and an option that is dropped."""
    for arguments, said in (
        (["revenue", "--from", "2025-03-05", "--to", "2025-03-01"], "comes before"),
        (
            ["revenue", "--from", "2030-01-01", "--to", "2030-01-05"],
            "nothing in that range: revenue has 2025-03-01 …",
        ),
        (["revenue", "--from", "2025-03-01T00:00+01:00"], "grain day"),
        (["revenue", "--from", "2025-02-30", "--to", "2025-03-01"], "2025-02-30"),
        (["revenue"], "revenue needs a range"),
        (["revenue", "--from", "2025-03-01", "--since", "2d"], "exclude each other"),
        (["revenue", "--since", "2d"], "--mode failed"),
        (["--from", "2025-03-01"], "nothing was selected"),
        (["revenu", "--from", "2025-03-01"], "revenue"),
        (["revenue", "--from", "2025-03-01", "--mode", "everything"], "isn't a mode"),
        (["revenue", "--mode", "failed", "--since", "whenever"], "no time"),
    ):
        assert said in shop.refused("backfill", *arguments, "--reason", "x"), arguments


def test_a_month_means_all_its_days(shop: Project) -> None:
    """Would catch: a coarser key that means its first day, or nothing."""
    planned = shop.json(
        "backfill",
        "revenue",
        "--from",
        "2025-03",
        "--to",
        "2025-03",
        "--mode",
        "all",
        "--dry-run",
        "--reason",
        "x",
    )
    whole = shop.json(
        "backfill",
        "revenue",
        "--from",
        "2025-03-01",
        "--to",
        "2025-03-31",
        "--mode",
        "all",
        "--dry-run",
        "--reason",
        "x",
    )
    assert planned["plan_id"] == whole["plan_id"], (planned, whole)


def test_what_never_ran_is_guessed_for_programs_and_not_known_to_people(shop: Project) -> None:
    """Would catch: a document without the seconds that programs read, and an interval that nothing
    stands behind, for people or for programs."""
    head = "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
    (shop.root / "assets/fresh.sql").write_text(
        f"{head}select day, count(*) as n from orders_clean group by day"
    )
    shop.json("apply", "--yes")
    asked = [
        "backfill",
        "fresh",
        "--from",
        "2025-03-01",
        "--to",
        "2025-03-02",
        "--only",
        "--reason",
        "x",
        "--dry-run",
    ]
    estimate = shop.json(*asked)["estimate"]
    assert not estimate["known"]
    assert estimate["seconds"] > 0
    assert (estimate["low"], estimate["high"]) == (None, None)
    text = shop.text(*asked)
    assert "how long it takes isn't known yet" in text
    assert estimate["basis"] not in text


def test_a_reason_and_somebody_to_agree(shop: Project) -> None:
    """Would catch published data replaced by a script that nobody told so."""
    assert "needs --reason" in shop.refused("backfill", "revenue", *RANGE, "--mode", "all", code=3)
    result, _, err = shop.call(
        shop.root, "backfill", "revenue", *RANGE, "--mode", "all", "--reason", "x"
    )
    assert result == 3
    assert "nobody is there to ask" in err
    assert "--yes" in err
    assert shop.json("backfills")["backfills"] == []


def test_nothing_to_do_is_no_failure_and_no_plan(shop: Project) -> None:
    response = shop.json(
        "backfill",
        "revenue",
        "--from",
        "2025-03-01",
        "--to",
        "2025-03-02",
        "--only",
        "--reason",
        "x",
        "--yes",
    )
    assert response["state"] == "nothing_due"
    assert response["skipped"] == [
        {"asset": "revenue", "partitions": 2, "why": "published, and not stale"}
    ]
    assert shop.json("backfills")["backfills"] == []


def test_policy_keeps_the_plan_and_names_its_line(shop: Project) -> None:
    """Would catch a plan that is begun although policy asks for an approval, and a `run` that goes
    around it.
    """
    settings = shop.root / "headrace.toml"
    line = settings.read_text().count("\n") + 2
    settings.write_text(
        settings.read_text() + '[policy]\nbackfill_approval = "partitions > 3 or tag:daily"\n'
    )
    asked = ("backfill", "revenue", "--from", "2025-03-01", "--mode", "all", "--reason", "x")
    dry = shop.json(*asked, "--dry-run")
    assert dry["needs_approval"]
    said = {key: dry["approval"][key] for key in ("rule", "file", "line")}
    assert said == {"rule": "partitions > 3 or tag:daily", "file": "headrace.toml", "line": line}
    result, out, _ = shop.call(shop.root, *asked, "--yes")
    assert result == 3
    assert f"headrace.toml:{line}" in out
    kept = shop.json("backfills")["backfills"]
    assert [(row["id"], row["state"]) for row in kept] == [("1", "awaiting_approval")]
    assert f"headrace.toml:{line}" in shop.refused(
        "run", "orders_clean", "--again", "--reason", "x", code=3
    )
    assert (
        shop.json("run", "revenue", "--partition", "2025-03-01", "--again", "--reason", "x")[
            "state"
        ]
        == "succeeded"
    )
    assert shop.json("backfills", "cancel", "1", "--reason", "no longer")["state"] == "cancelled"
    assert "has ended" in shop.refused("backfills", "cancel", "1", "--reason", "again")


def test_a_rule_that_is_none_is_a_problem_with_its_line(new: Project) -> None:
    settings = new.root / "headrace.toml"
    text = settings.read_text()
    for rule in ("partitions > many", "tag:", "partitions > 3 tag:x", "(partitions > 3"):
        settings.write_text(f'{text}[policy]\nbackfill_approval = "{rule}"\n')
        problem = next(
            row for row in new.json("validate")["problems"] if row["file"] == "headrace.toml"
        )
        assert (problem["severity"], problem["code"], problem["line"]) == (
            "error",
            "wrong_value",
            text.count("\n") + 2,
        )


def test_there_is_no_such_backfill(shop: Project, new: Project) -> None:
    for project in (shop, new):
        assert "there is no backfill 7" in project.refused("backfills", "7")
        assert "no backfill's number" in project.refused("backfills", "x")
    assert "there is no backfill 7" in shop.refused("backfills", "cancel", "7", "--reason", "x")
    assert "needs --reason" in shop.refused("backfills", "cancel", "7", code=3)
    assert "missing: ID" in shop.refused("backfills", "pause")
    assert new.json("backfills")["backfills"] == []


def test_one_that_runs_is_shown_with_what_is_to_come_paused_and_gone_on_with(shop: Project) -> None:
    """Would catch a page that can't be read while somebody works, a second backfill of the same
    days, a pause that readers notice, and a backfill that does twice what it has done."""
    (shop.root / "assets" / "fails.py").write_text(WAITS.format(root=str(shop.root)))
    shop.text("apply", "--yes")
    asked = (
        "backfill",
        "fails",
        "--from",
        "2025-03-01",
        "--to",
        "2025-03-03",
        "--mode",
        "all",
        "--reason",
        "units",
    )
    going_on = subprocess.Popen(
        [sys.executable, "-m", "headrace", *asked, "--yes", "--json"],
        cwd=shop.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    begun = shop.root / "begun"
    until(begun.exists)
    assert [(row["id"], row["state"]) for row in shop.json("backfills")["backfills"]] == [
        ("1", "running")
    ]
    assert shop.json("backfills", "1")["published"] == 0
    assert "backfill 1, which is running, makes fails@2025-03-0" in shop.refused(*asked, "--yes")
    assert shop.json("backfills", "pause", "1", "--reason", "lunch")["state"] == "paused"
    (shop.root / "go").touch()
    said = json.loads(going_on.communicate(timeout=60)[0])
    assert (said["state"], said["published"], going_on.returncode) == ("paused", 0, 4)
    assert shop.json("backfills", "resume", "1", "--reason", "back")["state"] == "succeeded"
    response = shop.json("backfills", "1")
    assert (response["state"], response["published"], response["failed"]) == ("succeeded", 3, 0)
    assert response["changed"] == {
        "partitions": 3,
        "rows_added": 3,
        "rows_removed": 0,
        "rows_changed": 0,
    }


def test_what_fails_anyway_is_left_out_unless_it_is_named(shop: Project) -> None:
    """Would catch a repair of which nothing becomes visible because of one asset that
    never worked."""
    changed = shop.root / "assets" / "orders_clean.sql"
    changed.write_text(changed.read_text().replace("cast(amount", "cast(2 * amount"))
    shop.text("apply", "--yes")
    asked = (
        "backfill",
        "orders_clean",
        "--from",
        "2025-03-01",
        "--to",
        "2025-03-03",
        "--reason",
        "units",
    )
    response = shop.json(*asked, "--yes")
    assert (response["state"], response["failed"]) == ("succeeded", 0)
    assert set(made(response)) == {"orders_clean", "revenue", "page"}
    left = [row for row in response["skipped"] if row["asset"] == "fails"]
    assert [(row["partitions"], "headrace backfill fails" in row["why"]) for row in left] == [
        (3, True)
    ]
    named = (
        "backfill",
        "fails",
        "--from",
        "2025-03-01",
        "--to",
        "2025-03-03",
        "--reason",
        "units",
        "--dry-run",
    )
    assert made(shop.json(*named))["fails"] == (3, "2025-03-01", "2025-03-03")


CHECKED = """\
/* headrace
owner: core
partition: {by: day, column: day}
checks:
  - accepted_values: {column: id, values: [1, 2]}
*/
select id, customer, amount, day from orders
"""


def test_what_a_backfill_couldnt_make_can_be_looked_at(shop: Project) -> None:
    """Would catch an operator who is told that rows are wrong, and not which, nor what
    to do then.
    """
    result = next((shop.root / "assets").glob("orders_clean.sql"))
    result.write_text(CHECKED)
    shop.text("apply", "--yes")
    code, _, _ = shop.call(
        shop.root, "backfill", "orders_clean", *RANGE, "--mode", "all", "--reason", "units", "--yes"
    )
    assert code != 0
    response = shop.json("backfills", "1")
    assert response["state"] == "failed"
    rejected = [row for row in response["failures"] if row["state"] == "rejected"]
    assert rejected, [row["reason"] for row in response["failures"]]
    for row in rejected:
        assert [check["outcome"] for check in row["checks"]] == ["failed"], row
        assert row["sample"] and all(sample["id"] not in (1, 2) for sample in row["sample"])
        assert "orders_clean.sql" in row["first"]
    text = shop.text("backfills", "1")
    for said in (
        "check ",
        "for example:",
        "to do: correct assets/orders_clean.sql",
        f"headrace logs {response['failures'][0]['attempt']}",
        "headrace apply",
        "headrace backfills resume 1 --reason TEXT",
    ):
        assert said in text, text


WAITS = """\
import pathlib
import time

import pyarrow as pa
from headrace import asset, Context

@asset(owner='core', partition='day', inputs=['revenue'])
def fails(ctx: Context, revenue):
    root = pathlib.Path({root!r})
    (root / 'begun').touch()
    while not (root / 'go').exists():
        time.sleep(0.01)
    return pa.table({{'day': [ctx.partition]}})
"""


def until(there: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def test_a_backfill_begins_a_new_project(new: Project) -> None:
    """Would catch: the first version, which the backfill itself applies, taken for a change of the
    plan that was shown.
    """
    (new.root / "landing").mkdir()
    (new.root / "assets/fails.py").unlink()
    for day in ("2025-03-01", "2025-03-02"):
        (new.root / f"landing/orders_{day}.csv").write_text(
            f"id,customer,amount,day\n1,a,1.5,{day}\n"
        )
    asked = (
        "backfill",
        "+revenue",
        "--from",
        "2025-03-01",
        "--to",
        "2025-03-02",
        "--reason",
        "it begins",
        "--now",
        "2025-03-04T08:00",
    )
    planned = new.json(*asked, "--dry-run")
    assert planned["plan_id"].startswith("p-") and not (new.root / ".headrace/state.db").exists()
    saved = (new.root / "assets/revenue.sql").read_text()
    (new.root / "assets/revenue.sql").write_text(saved.replace("count(*)", "count(id)"))
    code, _, err = new.call(new.root, *asked, "--plan", planned["plan_id"], "--yes")
    assert code == 3 and "assets/revenue.sql" in err, err
    (new.root / "assets/revenue.sql").write_text(saved)
    done = new.json(*asked, "--plan", planned["plan_id"], "--yes")
    assert (done["state"], done["plan_id"]) == ("succeeded", planned["plan_id"]), done["failures"]
