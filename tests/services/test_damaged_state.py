"""A damaged state is told in words, with the next command: never by a traceback, never by a bare
message of the database.
"""

from __future__ import annotations

import os
import random
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from warm_fork_servers import headrace

sys.path.insert(0, str(Path(__file__).parents[1] / "runtime"))

from runlab import DAYS, Lab

SEED = 20_261_121
PLACES = 200
HINTS = ("headrace db restore", "headrace db check", "headrace db upgrade")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A project with an incident and a consumer; its state is one file, without a log beside it."""
    made = Lab(tmp_path / "p")
    made.sql("clean", "select order_id, amount, cast(day as date) as day from orders")
    made.write("consumers.yaml", "- {consumer: mail, owner: core, reads: [clean], due: '07:00'}\n")
    for day in DAYS[:3]:
        made.orders(day)
    made.deliver(DAYS[3], ["1,2,3,4"], header="a,b,c,d")
    made.headrace("tick", "--now", made.now.isoformat())
    with closing(sqlite3.connect(state(made))) as db:
        db.execute("pragma journal_mode = delete")
    return made


def state(lab: Lab) -> Path:
    return lab.root / ".headrace/state.db"


def put(lab: Lab, content: bytes) -> None:
    for path in state(lab).parent.glob("state.db*"):
        path.unlink()
    state(lab).write_bytes(content)


def test_a_table_whose_name_is_no_text_any_more(lab: Lab) -> None:
    """Catches: SQLite's own message can't be read, and that is what is told."""
    with closing(sqlite3.connect(state(lab))) as db, db:
        db.execute("pragma writable_schema = on")
        db.execute(
            "update sqlite_master set name = cast(x'66f5' as text), sql = cast(x'63f5' as text)"
            " where name = 'firing'"
        )
    for command in ("status", "tick", "db check"):
        assert "is damaged: its tables aren't those that Headrace made" in told(
            lab, *command.split()
        )


def told(lab: Lab, *arguments: str) -> str:
    """What a command prints; it may succeed, or fail in words."""
    done = headrace([*arguments, "--project", str(lab.root)], Path.cwd(), os.environ, 50)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode in (0, 1), f"{arguments}: exit {done.returncode}: {said}"
    assert "Traceback" not in said
    if done.returncode and "error:" in done.stderr:
        assert any(hint in said for hint in HINTS), said
        assert not done.stderr.startswith(
            ("error: headrace failed: Operational", "error: headrace failed: Integrity")
        ), said
    return said


def flipped(lab: Lab, places: int, commands: list[tuple[str, ...]]) -> None:
    good = state(lab).read_bytes()
    values = random.Random(SEED)
    for number in range(places):
        at, bit = values.randrange(len(good)), 1 << values.randrange(8)
        bad = bytearray(good)
        bad[at] ^= bit
        for command in commands:
            put(lab, bytes(bad))
            try:
                told(lab, *command)
            except AssertionError as error:
                raise AssertionError(
                    f"seed {SEED}, number {number}: byte {at} ^ {bit}: {error}"
                ) from error


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_flipped_bit_is_told_in_words(lab: Lab) -> None:
    flipped(lab, 10, [("status",), ("db", "check"), ("tick",)])


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_a_flipped_bit_at_many_places_is_told_in_words(lab: Lab) -> None:
    flipped(lab, PLACES, [("status",), ("db", "check"), ("tick",)])


@pytest.mark.parametrize("gone", ["5", "(select max(number) from migration)"])
def test_a_missing_record_of_a_migration_is_told(lab: Lab, gone: str) -> None:
    """It isn't an older state: what the migration made is there.

    A newest migration that only changes rows would be applied twice: let it leave a trace.
    """
    with closing(sqlite3.connect(state(lab))) as db, db:
        db.execute(f"delete from migration where number = {gone}")
    for command in (("status",), ("db", "check"), ("db", "upgrade"), ("tick",)):
        said = told(lab, *command)
        assert "migration" in said or "headrace db upgrade" in said, said
    assert "headrace db restore" in told(lab, "tick")


@pytest.mark.parametrize("table", ["publication", "migration", "meta", "ducklake_metadata"])
def test_a_missing_table_is_told(lab: Lab, table: str) -> None:
    with closing(sqlite3.connect(state(lab))) as db, db:
        db.execute(f"drop table {table}")
    commands = (
        [("tick",)] if table.startswith("ducklake") else [("status",), ("tick",)]
    )  # status doesn't ask the catalog
    for command in commands:
        assert "headrace db restore" in told(lab, *command)
