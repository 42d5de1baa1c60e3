"""`erase` also writes what exports have handed over: files and tables, without the subject's rows."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from clilab import Project
from legacy_formats import NEEDS_LEGACY
from warm_fork_servers import headrace

from headrace.faults import FaultPoint

pytestmark = NEEDS_LEGACY
FILES = {
    "headrace.toml": (
        '[project]\nname = "bank"\ntimezone = "UTC"\n[run]\nworkers = 1\n'
        '[connections.warehouse]\ntype = "sqlite"\npath = "warehouse.db"\n'
    ),
    "owners.yaml": "core: {kind: team}\n",
    "sources/people.yaml": (
        "source: people\nowner: core\ndomain: retail\nfiles: people.csv\ncolumns:\n"
        "  iban: {classification: secret, mask: {method: hash}}\n"
        "  name: {personal: true, mask: {method: truncate, keep: 1}}\n"
        "  note: {personal: true}\n"
    ),
    "people.csv": (
        "id,iban,name,note,city\n"
        "C-77310,DE111,Ada,likes tea,Rome-canary\n"
        "C-2,DE222,Grace,likes rum,Bonn\n"
        "C-3,,Linus,,Rome\n"
    ),
    "sources/visits.yaml": (
        "source: visits\nowner: core\ndomain: retail\npartition: day\non_anomaly: ignore\n"
        "files: visits_{date:%Y-%m-%d}.csv\n"
    ),
    "visits_2025-03-01.csv": "id,place\nC-77310,Rome-canary\nC-2,Bonn\n",
    "visits_2025-03-02.csv": "id,place\nC-2,Bonn\n",
    "assets/clean.sql": "/* headrace\nowner: core\n*/\nselect id, iban as account, city from people\n",
    "assets/seen.sql": (
        "/* headrace\nowner: core\nmaterialize: view\n*/\nselect id, place from visits\n"
    ),
    "assets/towns.sql": (
        "/* headrace\nowner: core\n*/\nselect count(*) as n from people\n"
    ),
    "consumers.yaml": """
- {consumer: files, owner: core, reads: [people, clean], max_age: 1d, export: {to: "out/{asset}.csv"}}
- {consumer: books, owner: core, reads: [people, clean], max_age: 1d, export: {to: out/book.xlsx}}
- {consumer: views, owner: core, reads: [seen], max_age: 1d, export: {to: "out/seen_{date:%Y-%m-%d}.jsonl"}}
- {consumer: tables, owner: core, reads: [people, clean], max_age: 1d, export: {connection: warehouse, table: "{asset}"}}
- {consumer: counts, owner: core, reads: [towns], max_age: 1d, export: {to: out/towns.csv}}
""",
}  # fmt: skip
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
WHERE = "people.id = 'C-77310' or visits.id = 'C-77310'"
CANARIES = (b"C-77310", b"Rome-canary")


@pytest.fixture
def bank(tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that has exported the subject's rows to files, a workbook and tables."""
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    project = Project(tmp_path, call)
    project.text("tick")
    return project


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def erase(bank: Project, *more: str) -> Any:
    arguments = ("erase", "request-17", "--where", WHERE, "--reason", "asked", "--yes", *more)
    return bank.json(*arguments)


def of_export(response: Any) -> dict[str, Any]:
    return {row["node"]: row for row in response["places"] if row["what"] == "export"}


def table(bank: Project, name: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(bank.root / "warehouse.db") as db:
        return db.execute(f"select * from {name}").fetchall()


def test_files_and_tables_of_exports_are_written_without_the_subject(bank: Project) -> None:
    """Would catch: a row of the subject in an exported file, a view's file, a workbook or a table,
    a token of the subject, bytes in free pages of SQLite, and rows of others that get lost."""
    before = {path: path.read_bytes() for path in (bank.root / "out").iterdir()}
    tokens = {row["id"]: row["iban"] for row in rows(bank.root / "out/people.csv")}
    plan = bank.json("erase", "request-17", "--where", WHERE, "--dry-run")
    assert {name: row["action"] for name, row in of_export(plan).items()} == {
        "files": "erased", "books": "erased", "views": "erased", "tables": "erased",
    }  # fmt: skip
    assert {path: path.read_bytes() for path in (bank.root / "out").iterdir()} == before
    erased = erase(bank)
    assert {
        name: (row["action"], row["rows"], row["partitions"])
        for name, row in of_export(erased).items()
    } == {
        "files": ("erased", 2, ["*"]), "books": ("erased", 2, ["*"]),
        "views": ("erased", 1, ["2025-03-01"]), "tables": ("erased", 2, ["*"]),
    }  # fmt: skip
    assert json.loads(Path(erased["certificate"]).read_text())["places"] == erased["places"]
    assert [row["id"] for row in rows(bank.root / "out/people.csv")] == ["C-2", "C-3"]
    assert len(rows(bank.root / "out/clean.csv")) == 2
    assert json.loads((bank.root / "out/seen_2025-03-01.jsonl").read_text())["id"] == "C-2"
    assert len(table(bank, "people")) == len(table(bank, "clean")) == 2
    untouched = ("seen_2025-03-02.jsonl", "towns.csv")
    assert [(bank.root / "out" / name).read_bytes() for name in untouched] == [
        before[bank.root / "out" / name] for name in untouched
    ]
    for path in [*(bank.root / "out").iterdir(), bank.root / "warehouse.db"]:
        content = path.read_bytes()
        if path.suffix == ".xlsx":
            import zipfile

            with zipfile.ZipFile(path) as book:
                content = b"".join(book.read(name) for name in book.namelist())
        for canary in (*CANARIES, tokens["C-77310"].encode()):
            assert canary not in content, (path, canary)
    assert bank.json("audit", "verify")["ok"] and bank.json("audit", "verify")["missing"] == []
    assert bank.json("db", "check", "--deep")["ok"]
    again = bank.json("erase", "request-17", "--where", WHERE, "--dry-run")
    assert of_export(again) == {}
    written = {path: path.stat().st_mtime_ns for path in (bank.root / "out").iterdir()}
    bank.text("tick")
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_a_destination_that_is_not_there_is_named_and_done_later(bank: Project) -> None:
    """Would catch: an erasure that fails as a whole, a certificate that says that rows are gone
    from a destination that nobody reached, and one that can't be continued."""
    moved = bank.root / "elsewhere"
    (bank.root / "warehouse.db").rename(moved)
    (bank.root / "warehouse.db").mkdir()
    places = of_export(erase(bank))
    assert places["files"]["action"] == "erased"
    assert places["tables"]["action"] == "kept"
    run = "headrace run tables --partition "
    assert "same command again" in places["tables"]["why"] and run in places["tables"]["why"]
    (bank.root / "warehouse.db").rmdir()
    moved.rename(bank.root / "warehouse.db")
    assert len(table(bank, "people")) == 3
    plan = bank.json("erase", "request-17", "--where", WHERE, "--dry-run")
    assert set(of_export(plan)) == {"tables"}
    places = of_export(erase(bank))
    assert {name: row["action"] for name, row in places.items()} == dict.fromkeys(
        ("files", "books", "views", "tables"), "erased"
    )
    assert len(table(bank, "people")) == 2


def test_what_the_export_has_written_is_kept_and_not_what_the_lake_has_now(bank: Project) -> None:
    """Would catch: an export that only tells of restatements, and is given newer rows by an
    erasure."""
    path = bank.root / "consumers.yaml"
    told = '{to: "out/seen_{date:%Y-%m-%d}.jsonl", on_restatement: tell}'
    path.write_text(path.read_text().replace('{to: "out/seen_{date:%Y-%m-%d}.jsonl"}', told))
    bank.text("apply", "--yes")
    (bank.root / "visits_2025-03-01.csv").write_text("id,place\nC-77310,Oslo\nC-2,Berlin\n")
    bank.text("tick")
    out = bank.root / "out/seen_2025-03-01.jsonl"
    assert "Bonn" in out.read_text()
    assert of_export(erase(bank))["views"]["action"] == "erased"
    assert out.read_text() == '{"id":"C-2","place":"Bonn"}\n'


def test_a_file_of_an_earlier_declaration_is_named(bank: Project) -> None:
    """Would catch: an old file with rows of the subject that nobody names."""
    path = bank.root / "consumers.yaml"
    path.write_text(path.read_text().replace('"out/{asset}.csv"', '"new/{asset}.csv"'))
    bank.text("apply", "--yes")
    place = of_export(erase(bank))["files"]
    assert place["action"] == "kept"
    assert "out/people.csv" in place["why"]


def test_a_file_behind_a_link_is_named(bank: Project) -> None:
    """Would catch: a link that is replaced, while the certificate says that the rows are gone, and
    the file behind it has them."""
    moved, link = bank.root / "archive.jsonl", bank.root / "out/seen_2025-03-01.jsonl"
    link.rename(moved)
    link.symlink_to(moved)
    plan = bank.json("erase", "request-17", "--where", WHERE, "--dry-run")
    for response in (plan, erase(bank)):
        place = of_export(response)["views"]
        assert place["action"] == "kept"
        assert "out/seen_2025-03-01.jsonl" in place["why"] and "is a link" in place["why"]
    assert link.is_symlink() and b"C-77310" in moved.read_bytes()


def test_what_somebody_deleted_is_not_written_again(bank: Project) -> None:
    """Would catch: a file or a database that comes back by an erasure, and a certificate that says
    that it was written."""
    for name in ("out/people.csv", "out/book.xlsx", "warehouse.db"):
        (bank.root / name).unlink()
    plan = of_export(bank.json("erase", "request-17", "--where", WHERE, "--dry-run"))
    places = of_export(erase(bank))
    for name in ("out/people.csv", "out/book.xlsx", "warehouse.db"):
        assert not (bank.root / name).exists()
    gone = "not there any more, so not written again: "
    for response in (plan, places):
        assert "without these rows: out/clean.csv; " in response["files"]["why"]
        assert f"{gone}out/people.csv" in response["files"]["why"]
        assert response["books"]["why"] == f"{gone}out/book.xlsx"
    assert places["tables"]["why"] == f"{gone}warehouse.clean, warehouse.people"
    assert {row["action"] for row in places.values()} == {"erased"}
    assert len(rows(bank.root / "out/clean.csv")) == 2
    assert of_export(bank.json("erase", "request-17", "--where", WHERE, "--dry-run")) == {}


def test_a_table_that_somebody_dropped_is_not_made_again(bank: Project) -> None:
    """Would catch: a table, or rows of one, that somebody has deleted and an erasure brings back."""
    with sqlite3.connect(bank.root / "warehouse.db") as db:
        db.execute("drop table people")
        db.execute("delete from clean")
    why = of_export(erase(bank))["tables"]["why"]
    assert why == "not there any more, so not written again: warehouse.clean, warehouse.people"
    with sqlite3.connect(bank.root / "warehouse.db") as db:
        names = {name for (name,) in db.execute("select name from sqlite_master")}
    assert "people" not in names and table(bank, "clean") == []


def test_a_file_with_another_content_is_named(bank: Project) -> None:
    """Would catch: an erasure that writes over what another export, or a person, has put there
    since."""
    path = bank.root / "out/people.csv"
    path.write_text("C-77310, edited by hand\n")
    places = of_export(erase(bank))
    assert path.read_text() == "C-77310, edited by hand\n"
    assert places["files"]["action"] == "kept" and places["books"]["action"] == "erased"
    assert "out/people.csv has another content than was exported" in places["files"]["why"]
    assert "headrace run files --partition '*' --again" in places["files"]["why"]
    bank.text("run", "files", "--partition", "*", "--again", "--reason", "edited")
    assert {row["action"] for row in of_export(erase(bank)).values()} == {"erased"}
    assert b"C-77310" not in path.read_bytes()


def test_a_pipe_in_place_of_a_file_is_named(bank: Project) -> None:
    """Would catch: an erasure that waits forever to read what was put where its file was."""
    path = bank.root / "out/people.csv"
    path.unlink()
    os.mkfifo(path)
    places = of_export(erase(bank))
    assert path.is_fifo() and places["books"]["action"] == "erased"
    assert places["files"]["action"] == "kept"
    assert "out/people.csv has another content than was exported" in places["files"]["why"]


def test_a_folder_that_is_not_there_is_named(bank: Project) -> None:
    """Would catch: files on a disk that isn't mounted, which count as deleted; a folder that is
    made, and hides them when the disk is back."""
    out, unmounted = bank.root / "out", bank.root / "unmounted"
    out.rename(unmounted)
    places = of_export(erase(bank))
    assert not out.exists()
    assert {name: row["action"] for name, row in places.items()} == {
        "files": "kept", "books": "kept", "views": "kept", "tables": "erased",
    }  # fmt: skip
    assert "the folder of out/book.xlsx isn't there" in places["books"]["why"]
    unmounted.rename(out)
    assert {row["action"] for row in of_export(erase(bank)).values()} == {"erased"}
    assert len(rows(out / "people.csv")) == 2


def test_an_attempt_that_has_read_the_rows_is_waited_for(bank: Project) -> None:
    """Would catch: a file with rows of the subject that an attempt puts in place after the
    certificate says that they are gone; an erasure that stops beside a running leader."""
    command = [sys.executable, "-m", "headrace", "run", "files", "--again", "--reason", "slow"]
    fault = {"HEADRACE_FAULT": f"{FaultPoint.EXPORT_STAGED}:1=sleep:20"}
    folder = bank.root / "out"
    with subprocess.Popen(
        command, cwd=bank.root, env={**os.environ, **fault}, stdout=subprocess.DEVNULL
    ) as slow:
        try:
            while not list(folder.glob(".headrace-*.tmp")):
                assert slow.poll() is None
                time.sleep(0.1)
            places = of_export(erase(bank))
        finally:
            slow.kill() if sys.exc_info()[0] else slow.wait(timeout=300)
    assert {row["action"] for row in places.values()} == {"erased"}
    assert b"C-77310" not in (folder / "people.csv").read_bytes()
    assert len(rows(folder / "people.csv")) == len(rows(folder / "clean.csv")) == 2
    assert bank.json("audit", "verify")["missing"] == []


def test_an_export_that_is_killed_between_two_files_is_written_again(
    bank: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a file that counts as changed by somebody, because it was written already."""
    with monkeypatch.context() as armed:
        armed.setenv("HEADRACE_FAULT", f"{FaultPoint.EXPORT_RENAMED}:1=kill")
        places = of_export(erase(bank))
    assert places["files"]["action"] == places["books"]["action"] == "kept"
    assert {row["action"] for row in of_export(erase(bank)).values()} == {"erased"}
    assert [len(rows(bank.root / f"out/{name}.csv")) for name in ("people", "clean")] == [2, 2]


@pytest.mark.parametrize("point", [FaultPoint.ERASURE_BEGUN, FaultPoint.ERASURE_EXPORTED])
def test_a_killed_erasure_of_exports_is_continued(
    bank: Project, point: FaultPoint, warm_fork_servers: None
) -> None:
    """Would catch: exports that are forgotten because the tables, by which they were recognised,
    are erased already; rows that are counted twice."""
    del warm_fork_servers
    words = ["erase", "request-17", "--where", WHERE, "--reason", "asked", "--yes"]
    done = headrace(
        [*words, "--project", str(bank.root)], bank.root, os.environ, 400, f"{point}:1=kill"
    )
    assert done.returncode == -signal.SIGKILL
    exports = of_export(erase(bank))
    assert {name: (row["action"], row["rows"]) for name, row in exports.items()} == {
        "files": ("erased", 2), "books": ("erased", 2), "views": ("erased", 1),
        "tables": ("erased", 2),
    }  # fmt: skip
    assert len(table(bank, "people")) == len(rows(bank.root / "out/people.csv")) == 2
    assert bank.json("audit", "verify")["missing"] == []
