"""A project that was copied or moved reads and writes its own lake, through Headrace and through
DuckLake itself.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from warm_fork_servers import headrace

sys.path.insert(0, str(Path(__file__).parents[1] / "runtime"))

from runlab import DAYS, Lab

CLEAN = "select order_id, amount, cast(day as date) as day from orders"
READER = """\
import json, sys
import duckdb
from headrace.lake.session import load
connection = duckdb.connect()
load(connection, "ducklake", "sqlite_scanner")
for statement in sys.stdin.read().split(";\\n"):
    if statement.strip() and not statement.startswith("INSTALL"):
        connection.execute(statement)
files = sorted({row[0] for row in connection.execute("select distinct filename from clean").fetchall()})
rows = connection.execute("select order_id from clean order by order_id").fetchall()
print(json.dumps({"files": files, "rows": [row[0] for row in rows]}))
"""


def ducklake(statements: str) -> Any:
    """What DuckDB's own DuckLake reads, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", READER],
        input=statements,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def attached(lab: Lab) -> str:
    """An ATTACH as somebody writes it who knows the state's file alone."""
    return (
        f"ATTACH 'ducklake:sqlite:{lab.root}/.headrace/state.db' AS lake (READ_ONLY);\nUSE lake;\n"
    )


def contents(folder: Path) -> dict[str, bytes]:
    files = (
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(("-shm", "-wal"))
    )
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def original(tmp_path: Path) -> Lab:
    lab = Lab(tmp_path / "original")
    lab.sql("clean", CLEAN)
    for day in DAYS[:2]:
        lab.orders(day)
    lab.headrace("tick", "--now", lab.now.isoformat())
    return lab


def copied(original: Lab, root: Path) -> Lab:
    lab = Lab(root)
    shutil.rmtree(root)
    shutil.copytree(original.root, root, ignore=shutil.ignore_patterns("*.sock"))
    return lab


@pytest.mark.long
def test_a_copy_is_read_from_its_own_place(original: Lab, tmp_path: Path) -> None:
    copy = copied(original, tmp_path / "copy")
    before = contents(original.root)
    where = f"{original.root}/.headrace/lake/"
    findings = copy.headrace("db", "check", code=1)["findings"]
    assert [(finding["about"], where in finding["message"]) for finding in findings] == [
        ("lake", True)
    ]
    told = headrace(["status", "--project", str(copy.root)], Path.cwd(), os.environ, 50)
    assert where in told.stderr
    assert "headrace tick" in told.stderr
    assert "lake's place" in {
        row["name"] for row in copy.headrace("doctor", code=None) if row["state"] == "fail"
    }

    copy.orders(DAYS[0], n=4)
    copy.orders(DAYS[2], n=3)
    copy.headrace("tick", "--now", copy.now.isoformat())
    read = ducklake(attached(copy))
    assert all(name.startswith(f"{copy.root}/") for name in read["files"]), read["files"]
    assert read["rows"] == sorted(row["order_id"] for row in copy.read("clean"))
    assert len(read["rows"]) == 4 + 10 + 3
    assert copy.headrace("db", "check", "--deep")["ok"]

    assert contents(original.root) == before
    assert len(original.read("clean")) == 20
    assert all(
        name.startswith(f"{original.root}/") for name in ducklake(attached(original))["files"]
    )
    assert original.headrace("db", "check", "--deep")["ok"]


def test_the_correction_stands_in_the_audit_trail(original: Lab, tmp_path: Path) -> None:
    copy = copied(original, tmp_path / "copy")
    for _ in range(2):
        copy.headrace("tick", "--now", copy.now.isoformat())
    moved = copy.rows("select event from audit where event like '%lake.moved%'")
    assert len(moved) == 1
    event = json.loads(moved[0][0])
    assert (event["before"], event["after"]) == (
        f"{original.root}/.headrace/lake/",
        f"{copy.root}/.headrace/lake/",
    )


def test_the_printed_statement_names_the_copys_folder_before_anything_is_written(
    original: Lab, tmp_path: Path
) -> None:
    copy = copied(original, tmp_path / "copy with 'quotes'")
    shutil.rmtree(original.root)
    statement = copy.headrace("sql", "--attach")["statement"]
    assert str(original.root) not in statement
    read = ducklake(statement)
    assert all(name.startswith(f"{copy.root}/") for name in read["files"])
    assert len(read["rows"]) == 20


def test_a_folder_under_another_name_is_no_move(original: Lab, tmp_path: Path) -> None:
    """A project that is opened through a link now and then would write a correction each time."""
    (tmp_path / "link").symlink_to(original.root)
    linked = Lab(tmp_path / "other")
    linked.root = tmp_path / "link"
    assert linked.headrace("db", "check")["ok"]
    linked.headrace("tick", "--now", original.now.isoformat())
    assert original.rows("select count(*) from audit where event like '%lake.moved%'") == [(0,)]
