"""`headrace plan` and `apply` as they are typed: what a change does to whom, and what makes the
past follow.
"""

from __future__ import annotations

import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from clilab import NOW, Project

HEADRACE = str(Path(sys.executable).parent / "headrace")
LATER = "2025-03-06T09:00+01:00"
DAYS = ["2025-03-01", "2025-03-02", "2025-03-03"]


def edit(shop: Project, path: str, was: str, now: str) -> None:
    text = (shop.root / path).read_text()
    assert was in text
    (shop.root / path).write_text(text.replace(was, now))


def twice(shop: Project) -> None:
    """The change that most of this is about."""
    edit(shop, "assets/revenue.sql", "sum(amount) as revenue", "sum(amount) * 2 as revenue")


def repaired(shop: Project) -> None:
    """The same, and what has always failed doesn't any more."""
    twice(shop)
    edit(
        shop,
        "assets/fails.py",
        "raise ValueError('no such thing as ' + ctx.partition)",
        "return revenue",
    )


def state(shop: Project) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (shop.root / ".headrace").glob("*.db*")}


def revenue(shop: Project) -> list[str]:
    return [row["revenue"] for row in shop.json("read", "revenue")["rows"]]


def test_a_plan_says_what_changes_for_whom_and_writes_nothing(shop: Project) -> None:
    """Catches a look that changes the state, and layout that counts as a change."""
    edit(shop, "assets/orders_clean.sql", "select id,", "-- why\nSELECT   id,")
    assert shop.json("plan")["changes"] == []
    twice(shop)
    before = state(shop)
    result = shop.json("plan")
    assert [
        (c["node"], c["change"], c["breaking"], c["columns"], c["partitions_stale"])
        for c in result["changes"]
    ] == [("revenue", "body", True, ["revenue"], 3)]
    assert result["changes"][0]["effects"][0]["read_by"] == ["fails", "page", "morning-report"]
    assert (result["affects"], result["weakens"]) == (
        {"consumers": ["morning-report"], "owners": ["core"]},
        [],
    )
    assert [
        (row["node"], row["partitions"], row["from"], row["to"]) for row in result["stale"]
    ] == [
        ("revenue", 3, DAYS[0], DAYS[2]),
        ("page", 3, DAYS[0], DAYS[2]),
    ]
    assert result["estimate"]["low"] <= result["estimate"]["seconds"] <= result["estimate"]["high"]
    assert [item["command"] for item in result["backfills"]] == [
        f"headrace backfill revenue --from {DAYS[0]} --to {DAYS[2]} --reason TEXT"
    ]
    text = shop.text("plan")
    assert "no rule of [policy] asks for an approval" in text and "needed" not in text
    assert state(shop) == before
    assert revenue(shop) == ["32.00"] * 3


def test_only_what_breaks_or_weakens_fails_a_check(shop: Project) -> None:
    """What `--exit-code` is for: a column that nobody reads doesn't stop a merge."""
    edit(
        shop,
        "assets/orders_clean.sql",
        "customer, cast(amount",
        "upper(customer) as customer, cast(amount",
    )
    edit(shop, "consumers.yaml", "reads: [orders_clean]", "reads: [revenue]")
    result = shop.json("plan")
    assert [(c["node"], c["breaking"]) for c in result["changes"]] == [
        ("dashboard", False),
        ("orders_clean", False),
    ]
    assert [(item["node"], item["what"], item["before"]) for item in result["weakens"]] == [
        ("dashboard", "reads", "orders_clean")
    ]
    assert shop.call(shop.root, "plan", "--exit-code")[0] == 1
    edit(shop, "consumers.yaml", "reads: [revenue]", "reads: [revenue, orders_clean]")
    edit(
        shop,
        "assets/orders_clean.sql",
        "upper(customer) as customer",
        "customer, length(customer) as long",
    )
    assert shop.call(shop.root, "plan", "--exit-code")[0] == 0
    edit(
        shop,
        "assets/orders_clean.sql",
        "  - unique: [id]",
        "  - unique: {columns: [id], severity: warning}",
    )
    assert shop.call(shop.root, "plan", "--exit-code")[0] == 1


def test_what_failed_under_the_old_code_is_offered_with_its_range(shop: Project) -> None:
    """A repaired cause: nobody computes ranges."""
    edit(
        shop,
        "assets/fails.py",
        "raise ValueError('no such thing as ' + ctx.partition)",
        "return revenue",
    )
    result = shop.json("apply", "--yes", "--now", LATER)
    assert [
        (row["node"], row["partitions"], row["from"], row["to"])
        for row in result["plan"]["repairs"]
    ] == [("fails", 3, DAYS[0], DAYS[2])]
    (needed,) = result["backfills"]
    assert (
        needed["command"]
        == f"headrace backfill fails --from {DAYS[0]} --to {DAYS[2]} --reason TEXT"
    )


def test_applying_leaves_readers_what_they_see_until_somebody_asks(shop: Project) -> None:
    """The command that is printed is the one that repairs, and does it once."""
    repaired(shop)
    said = shop.text("apply", "--yes", "--now", LATER)
    command = next(
        line.strip() for line in said.splitlines() if line.startswith("    headrace backfill")
    )
    assert (
        command == f"headrace backfill revenue fails --from {DAYS[0]} --to {DAYS[2]} --reason TEXT"
    )
    assert {row["asset"] for row in shop.json("tick", "--now", LATER)["published"]} == {"fails"}, (
        "it waited for nothing but its code"
    )
    assert revenue(shop)[:3] == ["32.00"] * 3
    again = shop.json("apply")
    assert (again["state"], [item["select"] for item in again["backfills"]]) == (
        "nothing",
        [["revenue"]],
    )
    done = shop.json(*shlex.split(command.replace("TEXT", "twice"))[1:], "--yes", "--now", LATER)
    assert (done["state"], done["changed"]["rows_changed"] + done["changed"]["rows_added"] > 0) == (
        "succeeded",
        True,
    )
    assert revenue(shop)[:3] == ["64.00"] * 3
    assert shop.json("apply")["backfills"] == []


def test_apply_can_make_the_past_follow_at_once(shop: Project) -> None:
    repaired(shop)
    assert "--reason" in shop.refused("apply", "--yes", "--backfill", "--now", LATER, code=3)
    result = shop.json("apply", "--yes", "--backfill", "--reason", "twice as much", "--now", LATER)
    assert (result["state"], result["backfill"]["state"], result["backfill"]["reason"]) == (
        "applied",
        "succeeded",
        "twice as much",
    )
    assert revenue(shop)[:3] == ["64.00"] * 3


def test_apply_asks_on_a_terminal_whether_to_make_the_past_again(shop: Project) -> None:
    repaired(shop)
    leader, follower = pty.openpty()
    command = [HEADRACE, "apply", "--now", LATER]
    with subprocess.Popen(
        command, cwd=shop.root, stdin=follower, stdout=follower, stderr=follower
    ) as running:
        os.close(follower)
        os.write(leader, b"y\ntwice as much\n")
        said = read_all(leader)
    assert running.returncode == 0, said
    assert "give a reason (empty: not now)" in said
    assert revenue(shop)[:3] == ["64.00"] * 3


def read_all(descriptor: int) -> str:
    result = b""
    try:
        while data := os.read(descriptor, 65536):
            result += data
    except OSError:  # the other end is closed
        pass
    os.close(descriptor)
    return result.decode(errors="replace")


def test_what_is_printed_in_an_environment_is_about_that_one(shop: Project) -> None:
    """Catches a command that, pasted, would change production; a setting of the environment that
    counts as a change.
    """
    path = shop.root / "headrace.toml"
    path.write_text(path.read_text() + "[environments.dev]\nworkers = 2\n")
    shop.text("apply", "--yes", "--now", LATER)
    dev = ("--env", "dev", "--now", LATER)
    shop.json("run", "orders_clean", "--partition", DAYS[0], *dev)
    assert shop.json("plan", "--env", "dev")["changes"] == []
    edit(shop, "assets/orders_clean.sql", "select id,", "select id, 1 as one,")
    last = shop.text("plan", "--env", "dev").splitlines()[-1]
    assert last.startswith("next: headrace apply p-") and last.endswith(" --env dev")
    assert shop.text("apply", "--yes", *dev).splitlines()[-1] == "next: headrace tick --env dev"
    shop.json("run", "orders_clean", "--partition", DAYS[0], *dev)
    edit(shop, "assets/orders_clean.sql", "1 as one", "2 as one")
    said = shop.json("apply", "--yes", *dev)
    assert [item["command"] for item in said["backfills"]] == [
        f"headrace backfill orders_clean --from {DAYS[0]} --to {DAYS[0]} --reason TEXT --env dev"
    ]
    assert shop.text("plan", "--env", "dev").splitlines()[-1] == "next: headrace --env prod apply"


# In a pull request


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def tracked(shop: Project) -> Project:
    """The project inside a larger repository, with what is applied as its last commit."""
    git(shop.root.parent, "init", "-q", "-b", "main")
    git(
        shop.root.parent,
        "add",
        f"{shop.root.name}/*.toml",
        f"{shop.root.name}/*.yaml",
        *(f"{shop.root.name}/{f}" for f in ("assets", "sources")),
    )
    git(shop.root.parent, "commit", "-qm", "first")
    return shop


def test_a_plan_against_a_commit(tracked: Project) -> None:
    """Catches a comparison with what is applied, and one that needs a state."""
    twice(tracked)
    git(tracked.root, "commit", "-qam", "twice")
    edit(tracked, "consumers.yaml", "'07:00'", "'09:00'")
    assert [c["node"] for c in tracked.json("plan", "--against", "HEAD")["changes"]] == [
        "morning-report"
    ]
    result = tracked.json("plan", "--against", "HEAD~1")
    assert [c["node"] for c in result["changes"]] == ["morning-report", "revenue"] and result[
        "against"
    ] == "HEAD~1"
    subprocess.run(["rm", "-r", str(tracked.root / ".headrace")], check=True)
    result = tracked.json("plan", "--against", "HEAD~1")
    assert [(c["node"], c["partitions_stale"]) for c in result["changes"]] == [
        ("morning-report", None),
        ("revenue", None),
    ]
    assert result["estimate"] is None
    assert not (tracked.root / ".headrace" / "state.db").exists()


@pytest.mark.parametrize(
    "reference", ["no-such-branch", "--output=x", "HEAD:assets", "", "a b", "-h"]
)
def test_a_reference_that_git_has_not(tracked: Project, reference: str) -> None:
    """Catches a name that git takes for an option."""
    said = tracked.refused("plan", f"--against={reference}")
    assert "Traceback" not in said
    assert not (tracked.root / "x").exists()


def test_a_project_without_git_says_so(shop: Project) -> None:
    assert "git" in shop.refused("plan", "--against", "main")


def test_markdown_and_annotations_take_names_for_text(shop: Project, tmp_path: Path) -> None:
    """Catches a column's name that ends a cell, a comment that is read as a command of
    the runner."""
    edit(shop, "assets/revenue.sql", "count(*) as orders", 'count(*) as "orders|`x` ::error::y"')
    edit(shop, "consumers.yaml", "'07:00'", "'09:00'")
    summary = tmp_path / "summary.md"
    lines = shop.text("plan", "--format", "markdown").splitlines()
    row = next(line for line in lines if line.startswith("| `revenue`"))
    assert row.count("|") == 6 and "`` orders¦`x` ::error::y ``" in row
    done: Any = subprocess.run(
        [HEADRACE, "plan", "--format", "github"],
        cwd=shop.root,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "GITHUB_STEP_SUMMARY": str(summary)},
    )
    assert summary.read_text().startswith("### Headrace plan against `version 1`")
    commands = done.stdout.splitlines()
    assert [line.split("::")[1].split(" ")[0] for line in commands] == ["error", "warning"]
    assert commands[0].startswith(
        "::error file=assets/revenue.sql,line=1,title=revenue%3A breaking::orders (dropped) is"
        " read by"
    )
    assert commands[1].endswith("due: by 07:00 → by 09:00")


def test_an_environment_doesnt_weaken_what_production_exports(shop: Project) -> None:
    """Would catch: "weakens dashboard: export: declared → none" of each plan of an environment, and
    an approval asked for that.
    """
    path = shop.root / "consumers.yaml"
    path.write_text(
        path.read_text().replace(
            "max_age: 30h", "max_age: 30h, export: {to: 'out/{date:%Y-%m-%d}.csv'}"
        )
    )
    assert "export" in path.read_text()
    assert shop.call(shop.root, "apply", "--yes", "--now", LATER)[0] == 0
    settings = shop.root / "headrace.toml"
    settings.write_text(settings.read_text() + "[environments.dev]\nworkers = 1\n")
    result = shop.json("--env", "dev", "plan")
    assert (
        result["weakens"],
        [item["node"] for item in result["changes"] if item["change"] == "promise"],
    ) == ([], [])
    assert not [step for step in result["steps"] if step["kind"] == "weaken"]
    path.write_text(path.read_text().replace("07:00", "09:00"))
    assert [item["what"] for item in shop.json("--env", "dev", "plan")["weakens"]] == ["due"]


def test_what_becomes_stale_at_once_is_what_status_calls_stale(shop: Project) -> None:
    """Would catch: "9 published partitions become stale" of a change of one asset, where `status`
    says afterwards that 3 are, since its readers stay as they are until it is recomputed."""
    path = shop.root / "assets/orders_clean.sql"
    path.write_text(path.read_text().replace("from orders", "from orders where id > 0"))
    plan = shop.text("plan", "--now", NOW)
    own, readers = (
        sum(row["partitions"] for row in shop.json("plan", "--now", NOW)["stale"] if test(row))
        for test in (
            lambda row: row["node"] == "orders_clean",
            lambda row: row["node"] != "orders_clean",
        )
    )
    assert readers > 0
    text = f"{own} published partitions become stale, and {readers} more once they are recomputed"
    assert text in plan
    shop.text("apply", "--yes", "--now", NOW)
    (row,) = shop.json("status", "--now", NOW)["proposed"]
    assert (row["node"], row["partitions"]) == ("orders_clean", own)
