"""`backfill`, `fix` and `contract accept` do the plan that was shown, or nothing; who did it, and
why, is recorded.
"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from runlab import DAYS, Lab, built_once, three_days

from headrace.access.agreements import PlanChanged
from headrace.project.local_actor import local_actor
from headrace.project.session import Silent
from headrace.repairs.backfill_planning import BackfillArguments
from headrace.responses.backfills import BackfillResponse
from headrace.responses.repairs import FixResponse
from headrace.services.backfills import backfill
from headrace.services.fix import fix
from headrace.services.incident_records import report

SETTINGS = '[project]\nname = "lab"\ntimezone = "UTC"\n[run]\nworkers = 2\n'
CONSUMER = "- {consumer: desk, owner: core, reads: [total], max_age: 30d}\n"


@built_once
def published(root: Path) -> Lab:
    """Three days are published, of which the files say something else since."""
    return three_days(
        root,
        SETTINGS,
        consumers=CONSUMER,
        total="select day, sum(amount) as total from clean group by day",
    )


def again(
    lab: Lab,
    *,
    plan_id: str | None = None,
    dry_run: bool = False,
    meanwhile: Callable[[], object] | None = None,
) -> BackfillResponse:
    def confirm(_: BackfillResponse) -> bool:
        if meanwhile is not None:
            meanwhile()
        return True

    return backfill(
        lab.session(),
        BackfillArguments(["total"], [], DAYS[0], DAYS[3], None, "all", "units"),
        dry_run=dry_run,
        confirm=confirm,
        progress=Silent(),
        plan_id=plan_id,
    )


def test_a_backfill_is_done_as_it_was_planned(published: Lab) -> None:
    planned = again(published, dry_run=True)
    assert planned.plan_id == again(published, dry_run=True).plan_id and planned.id is None
    done = again(published, plan_id=planned.plan_id)
    assert (done.state, done.plan_id, done.id, done.refused) == (
        "succeeded",
        planned.plan_id,
        "1",
        None,
    )
    made = published.headrace("audit", "show", "--action", "plan.made")[0]
    assert (made["after"]["plan_id"], made["reason"]) == (planned.plan_id, "units")
    for text in ("1", str(planned.plan_id)):
        assert published.headrace("backfills", text)["id"] == "1"


def test_a_backfill_that_reaches_another_range_by_now_is_refused(published: Lab) -> None:
    planned = again(published, dry_run=True)
    published.orders(DAYS[3])
    published.tick()
    before = published.rows("select count(*) from plan")
    with pytest.raises(
        PlanChanged, match="a new step: staged total from 2025-01-01 to 2025-01-04"
    ) as refused:
        again(published, plan_id=planned.plan_id)
    assert refused.value.row.code == "plan_changed" and refused.value.exit_code == 3
    assert refused.value.row.plan_id_now == again(published, dry_run=True).plan_id
    asked = ["total", "--from", DAYS[0], "--to", DAYS[3], "--mode", "all", "--reason", "units"]
    said = published.headrace("backfill", *asked, "--plan", str(planned.plan_id), "--yes", code=3)
    assert (said["state"], said["plan_id"], said["refused"]["code"]) == (
        "refused",
        planned.plan_id,
        "plan_changed",
    )
    assert published.rows("select count(*) from plan") == before


def test_a_backfill_that_changes_while_the_question_stands_is_refused(published: Lab) -> None:
    """Another version came into force: what would be computed isn't what was shown."""

    def apply_another() -> None:
        published.sql("total", "select day, 2 * sum(amount) as total from clean group by day")
        published.headrace("apply", "--yes", "--now", published.now.isoformat())

    with pytest.raises(PlanChanged, match="starts from version 1, version 2 is in force"):
        again(published, meanwhile=apply_another)
    assert published.rows("select count(*) from plan") == [(0,)]


def wrong(lab: Lab) -> str:
    return report(
        lab.session(), "total", first=DAYS[0], last=DAYS[1], reason="wrong sums", progress=Silent()
    ).id


def repaired(
    lab: Lab,
    incident: str,
    *,
    plan_id: str | None = None,
    dry_run: bool = False,
    reason: str | None = None,
) -> FixResponse:
    return fix(
        lab.session(),
        incident,
        dry_run=dry_run,
        confirm=lambda _: True,
        progress=Silent(),
        again=True,
        plan_id=plan_id,
        reason=reason,
    )


def test_a_repair_is_done_as_it_was_planned_and_says_why(published: Lab) -> None:
    incident = wrong(published)
    planned = repaired(published, incident, dry_run=True)
    assert planned.plan_id is not None
    done = repaired(published, incident, plan_id=planned.plan_id, reason="finance told us")
    assert (done.plan_id, done.refused) == (planned.plan_id, None)
    entry = published.headrace("audit", "show", "--action", "incident.fixed")[0]
    assert (entry["reason"], entry["after"]["plan_id"]) == ("finance told us", planned.plan_id)
    assert any(
        "finance told us" in item["what"]
        for item in published.headrace("incident", incident)["timeline"]
    )


def test_a_repair_that_is_another_by_now_is_refused_before_anything_is_done(published: Lab) -> None:
    incident = wrong(published)
    planned = repaired(published, incident, dry_run=True)
    published.sql("more", "select day, total from total")
    published.headrace("apply", "--yes", "--now", published.now.isoformat())
    entries = published.rows("select count(*) from audit")
    said = published.headrace(
        "fix", incident, "--again", "--plan", str(planned.plan_id), "--yes", code=3
    )
    assert (said["fix"], said["plan_id"]) == ("refused", planned.plan_id)
    assert (
        said["refused"]["code"] == "plan_changed"
        and said["refused"]["plan_id_now"] != planned.plan_id
    )
    assert published.rows("select count(*) from audit") == entries


PRETENDED = (
    "HEADRACE_ACTOR", "USER", "LOGNAME", "LNAME", "USERNAME", "SUDO_USER", "HOSTNAME",
    "GIT_AUTHOR_NAME", "EMAIL",
)  # fmt: skip
"""Names that programs take who somebody is from. HEADRACE_ACTOR was one of ours once."""


@pytest.mark.long
def test_nothing_of_the_environment_says_who_acted(
    published: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: somebody who acts under another's name by setting a variable."""
    for name in PRETENDED:
        monkeypatch.setenv(name, "the-director")
    me = f"{pwd.getpwuid(os.getuid()).pw_name}@{os.uname().nodename}"
    assert local_actor() == me
    environment = {**os.environ, **dict.fromkeys(PRETENDED, "the-director")}
    for arguments in (
        ("pause", "total", "--reason", "x"),
        ("run", "clean", "--again", "--reason", "x"),
        ("tick",),
    ):
        command = [*published.command(*arguments), "--now", published.now.isoformat()]
        subprocess.run(command, env=environment, check=True, capture_output=True)
    trail = published.headrace("audit", "show", "--limit", "1000")
    assert "the-director" not in json.dumps(trail)
    (paused,) = (item for item in trail if item["action"] == "node.paused")
    assert paused["actor"] == me


@pytest.mark.long
def test_versions_hold_what_was_applied(published: Lab) -> None:
    first = (published.root / "assets/total.sql").read_bytes()
    published.sql("total", "select day, 2 * sum(amount) as total from clean group by day")
    planned = published.headrace("plan")
    published.headrace("apply", planned["plan_id"], "--yes")
    newest, oldest = published.headrace("versions")
    assert (newest["version"], newest["plan_id"], oldest["version"]) == (2, planned["plan_id"], 1)
    files = {row["path"]: row["sha256"] for row in newest["files"]}
    assert (
        files == {row["path"]: row["sha256"] for row in planned["files"]}
        and newest["by"]
        and newest["at"]
    )
    assert published.headrace("versions", "1") == [oldest]
    command = published.command("versions", "1", "--file", "assets/total.sql")
    assert subprocess.run(command, capture_output=True, check=True).stdout == first
    for arguments in (
        ["3"],
        ["x"],
        ["1", "--file", "../headrace.toml"],
        ["--file", "headrace.toml"],
        ["9" * 30],
    ):
        published.headrace("versions", *arguments, code=2)
