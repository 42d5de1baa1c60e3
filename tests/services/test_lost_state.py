"""A state that was lost, emptied or exchanged beside a lake with files is refused, not taken for a
new project's.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from warm_fork_servers import headrace

sys.path.insert(0, str(Path(__file__).parents[1] / "runtime"))

from runlab import DAYS, Lab

from headrace.acts.command_context import CommandContext
from headrace.acts.commands import led
from headrace.model import StoreError
from headrace.model.settings import PRODUCTION
from headrace.project.session import ProjectSession
from headrace.security.state import FILE

CLEAN = "select order_id, cast(day as date) as day from orders"
WRITING = (
    ["tick"],
    ["run", "clean"],
    ["apply", "--yes"],
    ["db", "upgrade"],
    ["db", "gc"],
    ["pause", "clean", "--reason", "x"],
    ["backfill", "clean", "--from", DAYS[0], "--to", DAYS[0], "--reason", "x", "--yes"],
    ["try", f"clean@{DAYS[0]}"],
)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def lab(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    database = None
    if request.param == "postgresql":
        database = request.getfixturevalue("postgresql")
        monkeypatch.setenv("PG_PASSWORD", database.password)
    return made(tmp_path / "p", database)


def made(root: Path, database: Any = None) -> Lab:
    lab = Lab(root, database)
    lab.sql("clean", CLEAN)
    for day in DAYS[:2]:
        lab.orders(day)
    lab.tick()
    return lab


def lose(lab: Lab) -> None:
    if lab.database is not None:
        lab.database.execute("drop schema headrace cascade", "drop schema headrace_lake cascade")
        return
    for path in (lab.root / ".headrace").glob("state.db*"):
        path.unlink()


def lake(lab: Lab) -> dict[str, bytes]:
    folder = lab.root / ".headrace/lake"
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def said(lab: Lab, *arguments: str) -> str:
    """What a command prints where it must fail, as a sentence and never as a traceback."""
    done = headrace([*arguments, "--project", str(lab.root)], Path.cwd(), os.environ, 50)
    assert done.returncode == 1, (
        f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    )
    assert "Traceback" not in done.stderr
    return " ".join((done.stdout + done.stderr).split())


def refused(lab: Lab, *commands: list[str]) -> None:
    before = lake(lab)
    for arguments in commands:
        text = said(lab, *arguments)
        assert "headrace db restore --new-state" in text, text
    assert lake(lab) == before


def test_a_lost_state_is_refused_by_all_that_write_and_told_by_all_that_read(lab: Lab) -> None:
    lose(lab)
    refused(lab, *WRITING, ["status"], ["read", "clean"])
    assert "is missing or empty" in said(lab, "status")
    if lab.database is None:
        assert not (lab.root / ".headrace/state.db").exists()


def test_an_emptied_state_is_refused(tmp_path: Path) -> None:
    lab = made(tmp_path / "p")
    lose(lab)
    state = lab.root / ".headrace/state.db"
    state.touch()
    refused(lab, *WRITING, ["status"])
    assert state.stat().st_size == 0
    sqlite3.connect(state).executescript("vacuum")
    refused(lab, ["tick"], ["status"])


def test_another_projects_state_is_refused(tmp_path: Path) -> None:
    lab, other = made(tmp_path / "p"), made(tmp_path / "q")
    lose(lab)
    with closing(sqlite3.connect(other.root / ".headrace/state.db")) as theirs:
        theirs.execute("vacuum into ?", (str(lab.root / ".headrace/state.db"),))
    refused(lab, *WRITING, ["status"])
    assert "isn't that of the lake" in said(lab, "status")


def test_state_and_lake_of_before_get_their_identity_at_the_next_tick(lab: Lab) -> None:
    """Nothing breaks for those who upgrade."""
    marker = lab.root / ".headrace/lake" / FILE
    first = json.loads(marker.read_text())["identity"]
    marker.unlink()
    if lab.database is not None:
        lab.database.execute("delete from headrace.meta where key = 'identity'")
    else:
        with sqlite3.connect(lab.root / ".headrace/state.db") as db:
            db.execute("delete from meta where key = 'identity'")
        db.close()
    assert lab.headrace("status")["now"]
    assert lab.tick().state == "nothing_due"
    given = json.loads(marker.read_text())["identity"]
    assert given != first
    assert lab.rows("select value from meta where key = 'identity'") == [(given,)]


def test_a_lake_of_before_is_refused_without_its_state(tmp_path: Path) -> None:
    lab = made(tmp_path / "p")
    (lab.root / ".headrace/lake" / FILE).unlink()
    lose(lab)
    refused(lab, ["tick"], ["status"])


def test_a_new_project_needs_nothing(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "p")
    lab.sql("clean", CLEAN)
    assert lab.headrace("status")["consumers"] == []
    assert lab.tick().state == "nothing_due"


def test_a_leader_that_was_killed_before_it_marked_the_lake_is_gone_on_from(tmp_path: Path) -> None:
    """The state has its identity first; a lake that lacks it gets it from the next leader."""
    lab = Lab(tmp_path / "p")
    lab.sql("clean", CLEAN)
    lab.orders(DAYS[0])
    killed = {**os.environ, "HEADRACE_FAULT": "lease.taken=kill"}
    done = headrace(
        [*lab.command("tick")[3:], "--now", lab.now.isoformat()], Path.cwd(), killed, 50
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (lab.root / ".headrace/lake" / FILE).exists()
    assert len(lab.tick().published) == 2


def unmount(lab: Lab, aside: Path) -> None:
    """What a project sees of a lake that isn't mounted: the folder that it is mounted on, with
    nothing in it.
    """
    folder = lab.root / ".headrace/lake"
    folder.rename(aside)
    folder.mkdir()


def test_a_lake_that_is_not_mounted_is_refused_before_anything_is_written(
    lab: Lab, tmp_path: Path
) -> None:
    """Catches: an empty folder that is taken for the lake, so that all files are told as damaged
    and new ones are written below the place where it is mounted."""
    unmount(lab, tmp_path / "aside")
    audit = lab.rows("select count(*) from audit")
    for arguments in (*WRITING, ["status"], ["read", "clean"], ["incidents"], ["plan"]):
        text = said(lab, *arguments)
        assert "is empty although the state" in text, (arguments, text)
        assert "knows 4 files in it; is it mounted?" in text
        assert "headrace db restore" in text
        assert lake(lab) == {}
    assert list((lab.root / ".headrace/lake").iterdir()) == []
    assert lab.rows("select count(*) from audit") == audit
    result = lab.headrace("db", "check", code=1)["findings"]
    assert "is it mounted?" in result[0]["message"]
    (lab.root / ".headrace/lake").rmdir()  # the folder itself may be gone, too
    assert "is it mounted?" in said(lab, "tick")
    assert not (lab.root / ".headrace/lake").exists()
    (tmp_path / "aside").rename(lab.root / ".headrace/lake")
    assert lab.tick().state == "nothing_due"
    assert lab.headrace("status")["lake"]["damaged"] == 0


def test_an_empty_lake_is_begun_anew_on_purpose(lab: Lab, tmp_path: Path) -> None:
    """Catches: a refusal that nobody gets past, or one past which nothing is computed."""
    unmount(lab, tmp_path / "aside")
    lab.headrace("db", "restore", "--new-state", "--yes", "--now", lab.now.isoformat())
    assert len(lab.tick().published) == 4
    assert lab.headrace("db", "check")["ok"]


def test_a_lake_that_goes_away_under_a_leader_ends_its_lead(tmp_path: Path) -> None:
    """Catches: a server that goes on, tells every file as damaged and writes new ones where the
    lake was mounted."""
    lab = made(tmp_path / "p")
    session = ProjectSession.open(lab.root, PRODUCTION, None, "tester")
    with led(session) as held:
        context = CommandContext(session, held)
        leader = context.leader()
        unmount(lab, tmp_path / "aside")
        with pytest.raises(StoreError, match="is it mounted"):
            leader.look_at_files()
    session.close()
    assert lab.rows("select count(*) from lake_file_look where wrong is not null") == [(0,)]


def test_one_file_too_few_is_damage_and_no_missing_lake(tmp_path: Path) -> None:
    """Catches: a project without its marker that is refused over one lost file."""
    lab = made(tmp_path / "p")
    (lab.root / ".headrace/lake" / FILE).unlink()
    next(iter(sorted((lab.root / ".headrace/lake/main/clean").iterdir()))).unlink()
    lab.headrace("tick")
    assert lab.headrace("status")["lake"]["damaged"] == 1
