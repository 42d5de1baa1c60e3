"""Somebody who may write the database changes the event log, too: what is found, and what only a
checkpoint kept elsewhere shows.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "runtime"))

from postgres_cluster import Database
from runlab import DAYS, SETTINGS, Lab

from headrace.store.event_recording import (
    ENCODE,
    FORMAT,
    GENESIS,
    EventRecordKind,
    Record,
    chained,
)

pytestmark = pytest.mark.long

SEED = 20_261_121
DAMAGED = 40


def made(lab: Lab, days: int = 3) -> Lab:
    lab.sql("clean", "select order_id, cast(day as date) as day from orders")
    lab.write("consumers.yaml", "- {consumer: sales, owner: core, reads: [clean], due: '09:00'}\n")
    for day in DAYS[:days]:
        lab.orders(day)
    lab.tick()
    return lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return made(Lab(tmp_path / "p"))


def state(lab: Lab) -> Path:
    return lab.root / ".headrace/state.db"


def change(lab: Lab, sql: str, *rows: Sequence[Any]) -> None:
    with closing(sqlite3.connect(state(lab))) as db, db:
        db.executemany(sql, rows or [()])


def append(lab: Lab, kind: EventRecordKind, statements: dict[int, str], changes: list[Any]) -> None:
    """A record whose hash fits, as somebody writes it who has read the code."""
    ((seq, before),) = lab.rows("select seq, hash from event_log order by seq desc limit 1")
    content = ENCODE(Record(FORMAT, kind, 1, 1, None, statements, changes))
    row = (seq + 1, content, chained(seq + 1, before, content))
    change(lab, "insert into event_log (seq, content, hash) values (?, ?, ?)", row)
    if statements:
        change(lab, "insert into event_statement (id, sql) values (?, ?)", *statements.items())


def found(lab: Lab) -> list[dict[str, Any]]:
    differences: list[dict[str, Any]] = lab.headrace("db", "check", code=1)["differences"]
    return differences


def test_a_row_that_was_changed_with_a_record_for_it_is_not_found_and_that_is_said(
    lab: Lab, tmp_path: Path
) -> None:
    """The limit: the log is in the same database. What the trail tells of as well is found."""
    kept = tmp_path / "kept.json"
    lab.headrace("audit", "checkpoint", "--out", str(kept))
    edit = "update publication set content_hash = ? where id = ?"
    change(lab, edit, ("forged", 2))
    append(lab, EventRecordKind.COMMIT, {900: edit}, [[900, [["forged", 2]]]])
    assert lab.headrace("db", "check")["ok"]
    (note,) = lab.headrace("audit", "verify")["notes"]
    assert note.endswith("nothing of the tables")
    (note,) = lab.headrace("audit", "verify", "--checkpoint", str(kept))["notes"]
    assert note.endswith("the checkpoint proves the trail alone")

    edit = "update publication set rows = ? where id = ?"
    change(lab, edit, (7, 2))
    append(lab, EventRecordKind.COMMIT, {901: edit}, [[901, [[7, 2]]]])
    assert lab.headrace("db", "check")["ok"]
    assert "publications 7" in lab.headrace("audit", "verify", code=1)["missing"][0]


def test_a_log_whose_end_was_cut_off_is_found(lab: Lab) -> None:
    ((last,),) = lab.rows("select max(seq) from event_log")
    change(lab, "delete from event_log where seq > ?", (last - 3,))
    assert {item["table"] for item in found(lab)} > {"partition"}
    assert not lab.headrace("audit", "verify", code=1)["reconciled"]


def test_an_older_copy_of_everything_is_found_by_a_checkpoint_alone(
    lab: Lab, tmp_path: Path
) -> None:
    """State, log and trail go back together: nothing in them says that they were further."""
    change(lab, "pragma wal_checkpoint(truncate)")
    older = state(lab).read_bytes()
    lab.orders(DAYS[3])
    lab.tick()
    kept = tmp_path / "kept.json"
    lab.headrace("audit", "checkpoint", "--out", str(kept))
    for path in state(lab).parent.glob("state.db*"):
        path.unlink()
    state(lab).write_bytes(older)
    assert lab.headrace("db", "check")["ok"]
    assert lab.headrace("audit", "verify")["ok"]
    reason = lab.headrace("audit", "verify", "--checkpoint", str(kept), code=1)["reason"]
    assert "cut off" in reason


def test_the_log_of_another_project_is_found(lab: Lab, tmp_path: Path) -> None:
    other = made(Lab(tmp_path / "other"), days=2)
    for table in ("event_log", "event_statement"):
        rows = other.rows(f"select * from {table}")
        change(lab, f"delete from {table}")
        change(lab, f"insert into {table} values ({', '.join('?' for _ in rows[0])})", *rows)
    tables = {item["table"] for item in found(lab)}
    assert {"meta", "publication", "partition"} <= tables
    assert not lab.headrace("audit", "verify", code=1)["reconciled"]
    lab.headrace("db", "gc", code=1)


def test_a_record_executes_nothing_but_changes_of_tables(lab: Lab, tmp_path: Path) -> None:
    """Catches: who may write the database makes `db check` write files of whoever types it."""
    target = tmp_path / "written by db check"
    attack = f"attach database '{target}' as other"
    append(lab, EventRecordKind.COMMIT, {900: attack}, [[900, [[]]]])
    (item,) = found(lab)
    assert (item["table"], item["field"]) == ("event_log", "content")
    assert not target.exists()


NONSENSE: dict[str, tuple[EventRecordKind, dict[int, str], list[Any]]] = {
    "unknown statement": (EventRecordKind.COMMIT, {}, [[12_345, [[1]]]]),
    "no rows": (EventRecordKind.COMMIT, {900: "delete from run where id = ?"}, [[900, []]]),
    "no list": (EventRecordKind.COMMIT, {}, [7]),
    "wrong values": (
        EventRecordKind.COMMIT,
        {900: "delete from run where id = ?"},
        [[900, [{"a": 1}]]],
    ),
    "commits": (EventRecordKind.COMMIT, {900: "commit"}, [[900, [[]]]]),
    "releases": (EventRecordKind.COMMIT, {900: "release nothing"}, [[900, [[]]]]),
    "drops": (EventRecordKind.COMMIT, {900: "drop table run"}, [[900, [[]]]]),
    "migrates": (EventRecordKind.MIGRATED, {}, [["x"], 3]),
    "migrates again": (EventRecordKind.MIGRATED, {}, [[1, "0001_initial", "c", 1]]),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_a_record_that_makes_no_sense_is_named(lab: Lab, what: str) -> None:
    append(lab, *NONSENSE[what])
    assert "event_log" in {item["table"] for item in found(lab)}


def test_records_that_are_damaged_in_any_way_are_told_in_words(lab: Lab) -> None:
    """Bytes of a record are changed, and all hashes computed again: no traceback, whatever they
    say.
    """
    chance = random.Random(SEED)
    rows = lab.rows("select seq, content from event_log order by seq")
    for _ in range(DAMAGED):
        number = chance.randrange(len(rows))
        head, changed = GENESIS, []
        for seq, content in rows:
            damaged = bytearray(content)
            if seq == rows[number][0]:
                for _ in range(chance.randint(1, 4)):
                    damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            head = chained(seq, head, bytes(damaged))
            changed.append((bytes(damaged), head, seq))
        change(lab, "update event_log set content = ?, hash = ? where seq = ?", *changed)
        session = lab.session()
        try:
            _checked(session, bytes(changed[number][0]) == bytes(rows[number][1]))
        finally:
            session.close()


def _checked(session: Any, same: bool) -> None:
    from headrace.services.audit import verify_trail
    from headrace.services.database_check import check

    response = check(session, deep=False)
    assert response.ok or response.findings
    assert response.ok or not same
    verify_trail(session, None)


UNNOTICED = (
    "drop index publication_current",
    "create table somebody_elses (x integer)",
    "update migration set applied_at = 7",
    "update lease set holder = 'nobody'",
)


def test_what_is_not_compared_stands_in_the_responses(lab: Lab) -> None:
    """The limits of docs/explanation/durability.md: whoever mends one takes it out there."""
    for sql in UNNOTICED:
        change(lab, sql)
    assert lab.headrace("db", "check")["ok"]
    text = (Path(__file__).parents[2] / "docs/explanation/durability.md").read_text()
    for said in ("a missing index isn't noticed", "| `migration.applied_at` |", "| `lease` |"):
        assert said in text


# Copies


def edited(lab: Lab, schemas: bool = False) -> None:
    sql = "update publication set rows = rows + 1 where id = 2"
    if schemas and lab.database is not None:
        lab.database.execute("set search_path to headrace, headrace_lake", sql)
    else:
        change(lab, sql)


def goes_on(lab: Lab) -> None:
    """Whole after it was restored, after the next run and after maintenance; and an
    edit is found."""
    assert lab.headrace("db", "check", "--deep")["ok"]
    verified = lab.headrace("audit", "verify")
    assert verified["ok"] and "because the state was restored from a backup" in verified["notes"][1]
    lab.orders(DAYS[4])
    lab.headrace("tick", "--now", f"{DAYS[4]}T23:00:00+00:00", code=None)
    lab.tick()
    assert lab.headrace("db", "check", "--deep")["ok"]
    lab.headrace("db", "gc")
    assert lab.headrace("db", "check", "--deep")["ok"]
    assert lab.headrace("audit", "verify")["ok"]
    edited(lab, schemas=lab.database is not None)
    assert [item["field"] for item in found(lab)] == ["rows"]


def test_the_log_goes_on_in_a_restored_state(lab: Lab, tmp_path: Path) -> None:
    lab.headrace("db", "gc")
    lab.orders(DAYS[3])
    lab.tick()
    lab.headrace("db", "backup", str(tmp_path / "saved"))
    lab.orders(DAYS[3], n=4)
    lab.tick()
    lab.headrace("db", "restore", str(tmp_path / "saved"), "--force")
    ((first,),) = lab.rows("select min(seq) from event_log")
    assert first > 1, "the chain goes on from the one that was saved"
    goes_on(lab)


@pytest.mark.slow
def test_the_log_goes_on_in_the_other_database(
    lab: Lab, tmp_path: Path, postgresql: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite → PostgreSQL → SQLite."""
    lab.headrace("db", "backup", str(tmp_path / "saved"))
    monkeypatch.setenv("PG_PASSWORD", postgresql.password)
    lab.database = postgresql
    lab.write("headrace.toml", f'{SETTINGS}[store]\nurl = "{lab.url}"\n')
    lab.headrace("db", "restore", str(tmp_path / "saved"), "--force")
    lab.orders(DAYS[3])
    lab.tick()
    lab.headrace("db", "backup", str(tmp_path / "again"))
    goes_on(lab)
    lab.database = None
    for path in state(lab).parent.glob("state.db*"):
        path.unlink()
    lab.write("headrace.toml", SETTINGS)
    shutil.rmtree(lab.root / ".headrace/checkpoints")
    lab.headrace("db", "restore", str(tmp_path / "again"), "--force")
    goes_on(lab)
