"""A state that was made before there was an event log: what is known of it after an upgrade, and
what isn't.

`states/before_the_event_log.zip` is a project that the last Headrace without one (version 10) has
run for five days: publications, a held delivery and an accepted one, a backfill, a withdrawal, an
open incident.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import time
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from warm_fork_servers import headrace

from headrace.faults import FaultPoint

STATE = Path(__file__).parent / "states/before_the_event_log.zip"
NOW = "2025-01-05T10:00:00+00:00"
WHY = "because the state is from before there was an event log"
AT_BEGINNING = (
    FaultPoint.LEASE_TAKEN,
    FaultPoint.EVENT_LOG_COPIED,
    FaultPoint.EVENT_LOG_SHORTENING,
    FaultPoint.EVENT_LOG_SHORTENED,
)


class Old:
    """The project, unpacked."""

    def __init__(self, root: Path) -> None:
        self.root = root
        with zipfile.ZipFile(STATE) as packed:
            packed.extractall(root)
            for item in packed.infolist():
                at = time.mktime((*item.date_time, 0, 0, -1))
                os.utime(root / item.filename, (at, at))

    def run(self, *arguments: str, fault: str = "") -> Any:
        line = [*arguments, "--project", str(self.root)]
        return headrace(line, Path.cwd(), os.environ, 50, fault)

    def response(self, *arguments: str, code: int = 0) -> Any:
        import json

        done = self.run(*arguments, "--json")
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    def change(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.root / ".headrace/state.db")) as db, db:
            for statement in statements:
                db.execute(statement)


@pytest.fixture
def old(tmp_path: Path) -> Old:
    return Old(tmp_path / "p")


def unchecked(response: dict[str, Any]) -> dict[str, str]:
    return {item["what"]: item["why"] for item in response["unchecked"]}


@pytest.mark.long
def test_it_is_compared_from_the_first_leader_on_and_says_so(old: Old) -> None:
    """Catches: rows that are called compared and weren't, and a trail that is called incomplete for
    what an earlier Headrace wrote.
    """
    assert "headrace db upgrade" in old.run("db", "check").stderr
    old.response("db", "upgrade")
    before = old.response("db", "check", code=1)
    assert [item["table"] for item in before["differences"]] == ["lake"], (
        "it was unpacked elsewhere"
    )
    assert before["checked"] == {}
    assert "before there was an event log" in unchecked(before)["state"]
    verified = old.response("audit", "verify")
    assert (verified["ok"], verified["missing"]) == (True, [])
    assert "before there was an event log" in verified["notes"][1]

    old.response("tick", "--now", NOW)
    after = old.response("db", "check", "--deep")
    assert after["ok"] and after["checked"]["publication"] >= 12
    assert "state" not in unchecked(after)
    (entry,) = old.response("audit", "show", "--action", "event_log.begun")
    assert f"(entry {entry['seq']} of the trail)" in unchecked(after)["history"]
    assert WHY in unchecked(after)["history"]
    verified = old.response("audit", "verify")
    assert verified["ok"] and verified["notes"][1] == unchecked(after)["history"]

    old.response("db", "gc")
    assert WHY in unchecked(old.response("db", "check"))["history"], (
        "a checkpoint makes it no older"
    )


def test_what_was_edited_before_is_taken_for_true_and_what_is_edited_later_is_found(
    old: Old,
) -> None:
    """The limit, and its end."""
    old.response("db", "upgrade")
    old.change("update publication set content_hash = 'edited before' where id = 1")
    old.response("tick", "--now", NOW)
    assert old.response("db", "check")["ok"]
    old.change("update publication set content_hash = 'edited later' where id = 2")
    (result,) = old.response("db", "check", code=1)["differences"]
    assert (result["table"], result["field"], result["stored"]) == (
        "publication",
        "content_hash",
        "edited later",
    )


@pytest.mark.parametrize("point", AT_BEGINNING)
def test_a_leader_that_is_killed_while_the_log_begins_is_followed_by_one_that_lets_it_begin(
    old: Old, point: FaultPoint
) -> None:
    """Catches: a file that nothing names yet, for which the log never began."""
    killed = old.run("tick", "--now", NOW, fault=f"{point}=kill")
    assert killed.returncode == -signal.SIGKILL
    old.response("tick", "--now", NOW)
    result = old.response("db", "check")
    assert result["checked"]["publication"] >= 12
    assert old.response("audit", "verify")["ok"]
    old.change("update publication set rows = rows + 1 where id = 2")
    assert not old.response("db", "check", code=1)["ok"]


def test_a_log_that_is_made_to_look_as_if_it_had_never_begun_is_found(old: Old) -> None:
    """Somebody puts the record of the upgrade back: no leader adopts what the tables hold now."""
    old.response("db", "upgrade")
    with closing(sqlite3.connect(old.root / ".headrace/state.db")) as db:
        ((content, digest),) = db.execute("select content, hash from event_log").fetchall()
    old.response("tick", "--now", NOW)
    with closing(sqlite3.connect(old.root / ".headrace/state.db")) as db, db:
        db.execute("delete from event_log")
        db.execute("insert into event_log (seq, content, hash) values (1, ?, ?)", (content, digest))
        db.execute("delete from event_statement")
    for path in (old.root / ".headrace/checkpoints").glob("*.db"):
        path.rename(path.with_name(f"000000000900-{path.name[13:]}"))  # of a longer log than this
    result = old.response("db", "check", code=1)
    assert [(item["table"], item["field"]) for item in result["differences"]] == [
        ("event_log", "seq")
    ]
    old.run("tick", "--now", NOW)
    assert not old.response("db", "check", code=1)["ok"]
