"""Exports mask classified columns, unless they declare with a reason that they don't."""

from __future__ import annotations

import csv
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from clilab import Project
from source_packages import NEEDS_DATABASES

from headrace.security.keys import KeyStore
from headrace.security.masks import hash_function

pytestmark = NEEDS_DATABASES

CLEAR = ("DE111", "DE222", "Ada", "ADA", "Grace", "1815-12-10", "likes tea")
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
        "  born: {personal: true, mask: {method: generalise, to: year}}\n"
        "  note: {personal: true}\n"
    ),
    "people.csv": (
        "id,iban,name,born,note,city\n"
        "1,DE111,Ada,1815-12-10,likes tea,Rome\n"
        "2,DE222,Grace,1906-12-09,likes rum,Bonn\n"
        "3,,Linus,1969-12-28,,Rome\n"
    ),
    "assets/clean.sql": (
        "/* headrace\nowner: core\n*/\n"
        "select id, iban as account, upper(name) as loud, city from people\n"
    ),
    "sources/visits.yaml": (
        "source: visits\nowner: core\ndomain: retail\npartition: day\n"
        "files: visits_{date:%Y-%m-%d}.csv\ncolumns:\n"
        "  iban: {classification: secret, mask: {method: hash}}\n  note: {personal: true}\n"
    ),
    "visits_2025-03-01.csv": "id,iban,note,city\n1,DE111,likes tea,Rome\n2,DE222,,Bonn\n",
    "assets/seen.sql": (
        "/* headrace\nowner: core\nmaterialize: view\n*/\n"
        "select id, iban, upper(note) as loud, city from visits where iban <> 'h1v1'\n"
    ),
}
EXPORTS = """
- {consumer: files, owner: core, reads: [people, clean], max_age: 1d, export: {to: "out/{asset}.csv"}}
- {consumer: views, owner: core, reads: [seen], max_age: 1d, export: {to: "out/seen_{date:%Y-%m-%d}.csv"}}
- {consumer: tables, owner: core, reads: [people, clean], max_age: 1d, export: {connection: warehouse, table: "{asset}"}}
- {consumer: shops, owner: core, reads: [people], max_age: 1d, export: {to: out/shops.jsonl}}
"""
DECLARED = '{to: out/shops.jsonl, clear: {Note: "the shops wrote it, contract 17"}}'


@pytest.fixture
def bank(tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that exports classified columns to files and tables; nothing has run."""
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    for path, text in (FILES | {"consumers.yaml": EXPORTS}).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return Project(tmp_path, call)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_files_and_tables_have_masked_values(bank: Project) -> None:
    """Would catch: a clear value in an export, a column without a mask that is exported, a token
    that isn't that of reads, derived or viewed columns in the clear, rows in the order of hidden
    values, a second pass that writes again."""
    bank.text("tick")
    key = KeyStore(bank.root / ".headrace", bank.root, {}).data_key("retail", "hash")

    def token(value: str) -> str:
        return hash_function(key)([value.encode()])[0]

    people = {row["id"]: row for row in rows(bank.root / "out/people.csv")}
    assert list(people["1"]) == ["id", "iban", "name", "born", "city"]
    assert people["1"] == {
        "id": "1", "iban": token("DE111"), "name": "A***", "born": "1815-01-01", "city": "Rome",
    }  # fmt: skip
    assert people["3"]["iban"] == ""
    clean = rows(bank.root / "out/clean.csv")
    assert {row["account"] for row in clean} == {token("DE111"), token("DE222"), ""}
    assert list(clean[0]) == ["id", "account", "city"]
    (seen,) = bank.root.glob("out/seen_*.csv")
    assert sorted(rows(seen), key=lambda row: row["id"]) == [
        {"id": "1", "iban": token("DE111"), "city": "Rome"},
        {"id": "2", "iban": token("DE222"), "city": "Bonn"},
    ]
    with sqlite3.connect(bank.root / "warehouse.db") as db:
        assert {row[0] for row in db.execute("select iban from people")} == {
            token("DE111"), token("DE222"), None,
        }  # fmt: skip
        columns = [row[1] for row in db.execute("pragma table_info(people)")]
    assert columns == ["id", "iban", "name", "born", "city", "_interval"]
    written = [*list((bank.root / "out").iterdir()), bank.root / "warehouse.db"]
    for path in written:
        assert not [value for value in CLEAR if value.encode() in path.read_bytes()], path
    before = {path: path.stat().st_mtime_ns for path in written}
    bank.text("tick")
    assert {path: path.stat().st_mtime_ns for path in written} == before


@pytest.mark.long
def test_a_column_is_written_in_the_clear_only_by_a_declaration_with_a_reason(
    bank: Project,
) -> None:
    """Would catch: a declaration that `plan` doesn't say, that no rule of policy sees, that isn't
    in the audit trail, or that shows other columns too; files of before that stay masked."""
    bank.text("tick")
    path = bank.root / "consumers.yaml"
    path.write_text(EXPORTS.replace("{to: out/shops.jsonl}", DECLARED))
    assert bank.json("validate")["problems"] == []
    plan = bank.json("plan")
    (step,) = [step for step in plan["steps"] if step["kind"] == "weaken"]
    assert (step["node"], step["detail"]) == (
        "shops",
        "export of note: masked if classified → in the clear: the shops wrote it, contract 17",
    )
    bank.text("apply", "--yes")
    (recorded,) = bank.json("audit", "show", "--action", "export.cleared")
    assert "shops.note" in str(recorded)
    assert recorded["reason"] == "the shops wrote it, contract 17"
    bank.text("tick")
    text = (bank.root / "out/shops.jsonl").read_text()
    assert "likes tea" in text and "DE111" not in text and '"A***"' in text
    path.write_text(EXPORTS)
    bank.text("apply", "--yes")
    bank.text("tick")
    assert "likes tea" not in (bank.root / "out/shops.jsonl").read_text()
    settings = bank.root / "headrace.toml"
    needs = 'needs = [{role = "owner", of = "affected"}]'
    settings.write_text(
        f'{settings.read_text()}[[policy.rule]]\nname = "clear"\nwhen = "classified"\n{needs}\n'
    )
    bank.text("apply", "--yes")
    path.write_text(EXPORTS.replace("{to: out/shops.jsonl}", DECLARED))
    approval = bank.json("plan")["approval"]
    assert approval["name"] == "clear"
    assert approval["consequence"]["classified"] == ["people.note"]


@pytest.mark.parametrize(
    ("clear", "code"),
    [
        ("{notte: because}", "unknown_column"),
        ('{note: ""}', "wrong_type"),
        ("{note: }", "wrong_type"),
        ("[note]", "wrong_type"),
        ("{city: because}", "unneeded_clear"),
    ],
)
def test_wrong_declarations(bank: Project, clear: str, code: str) -> None:
    """Would catch: a typo that is ignored, a column without a reason, and one that nobody
    classified."""
    bank.text("tick")
    changed = EXPORTS.replace("{to: out/shops.jsonl}", f"{{to: out/shops.jsonl, clear: {clear}}}")
    (bank.root / "consumers.yaml").write_text(changed)
    problems = bank.json("validate")["problems"]
    assert [problem["code"] for problem in problems] == [code], problems
    assert problems[0]["file"] == "consumers.yaml" and problems[0]["line"] == 5


def test_a_missing_key_fails_this_export_and_no_other(
    bank: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: clear values because the key is missing, an error that doesn't name the key, an
    export without keys that fails too; one that doesn't go on once the key is back."""
    settings = bank.root / "headrace.toml"
    settings.write_text(settings.read_text() + '[keys]\nroot = "secret://env/BANK_ROOT"\n')
    (bank.root / "consumers.yaml").write_text(
        EXPORTS + "- {consumer: shop-towns, owner: core, reads: [towns], max_age: 1d, "
        "export: {to: out/towns.csv}}\n"
    )
    (bank.root / "assets/towns.sql").write_text(
        "/* headrace\nowner: core\n*/\nselect city from people\n"
    )
    monkeypatch.delenv("BANK_ROOT", raising=False)
    bank.call(bank.root, "tick")
    assert sorted(path.name for path in (bank.root / "out").iterdir()) == ["towns.csv"]
    with sqlite3.connect(bank.root / "warehouse.db") as db:
        assert not db.execute("select 1 from sqlite_master where name = 'people'").fetchall()
    assert "BANK_ROOT" in str(bank.call(bank.root, "incidents", "--json"))
    monkeypatch.setenv("BANK_ROOT", "0123456789abcdef" * 4)
    bank.call(bank.root, "run", "files")
    assert len(rows(bank.root / "out/people.csv")) == 3


def test_a_mask_that_fails_writes_nothing_and_names_no_value(bank: Project) -> None:
    """Would catch: a value in an error of an export, and a file with some of the rows."""
    (bank.root / "assets/seen.sql").write_text(
        "/* headrace\nowner: core\nmaterialize: view\n*/\n"
        "select id, city, cast(note as integer) as n from visits where cast(note as integer) > 0\n"
    )
    bank.call(bank.root, "tick")
    shown = str([bank.call(bank.root, name, "--json") for name in ("runs", "incidents")])
    assert "its words are left out" in shown and "likes" not in shown
    assert not list(bank.root.glob("out/seen*"))


def test_a_key_that_is_computed_from_a_classified_column_is_a_warning(bank: Project) -> None:
    """Would catch: values of a classified column as keys of an asset's partitions."""
    (bank.root / "assets/clean.sql").write_text(
        "/* headrace\nowner: core\npartition: {key: loud, values: [ADA, GRACE]}\n*/\n"
        "select id, upper(name) as loud, city from people\n"
    )
    bank.text("tick")
    response = bank.json("validate")
    assert response["ok"] and "classified_key" in [item["code"] for item in response["problems"]]


@pytest.mark.long
@pytest.mark.parametrize(
    "query",
    [
        "select id, p from people p",
        "select city, list(p) as q from people p group by city",
        "select 1 as p, p as q from people p",
        "select id, #2 as z, upper(#3) as y from people",
        "select 'x' as iban, iban as q from people",
        "with c(i, k) as (from people) select i, k from c",
        "select p.i, p.k from (select 1 as one, * from people) as p(i, j, k)",
    ],
)
def test_values_by_rows_places_and_new_names_are_not_exported(bank: Project, query: str) -> None:
    """Would catch: a row as a value, a column by its place, or under another name than that of a
    column that isn't learnt yet, exported in the clear."""
    (bank.root / "assets/clean.sql").write_text(f"/* headrace\nowner: core\n*/\n{query}\n")
    for _ in range(2):  # before and after the columns of the source are learnt
        bank.call(bank.root, "tick")
        bank.call(bank.root, "run", "files", "--again", "--reason", "learnt")
        written = [path.read_text() for path in (bank.root / "out").glob("*.csv")]
        assert written
        assert not [value for value in CLEAR for text in written if value in text]
