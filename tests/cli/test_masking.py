"""Masked columns on the command line: what a viewer reads, and what a query can find out."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from clilab import Project

from headrace import Session
from headrace.model.masks import DeclaredMask
from headrace.security.keys import KeyStore
from headrace.security.masks import token_function

COLUMNS = """columns:
  iban: {classification: secret, mask: {method: hash}}
  name: {personal: true, mask: {method: truncate, keep: 1}}
  born: {personal: true, mask: {method: generalise, to: year}}
  joined: {personal: true, mask: {method: date_shift, days: 30, by: id}}
  size: {personal: true, mask: {method: generalise, to: 10}}
  note: {personal: true}
"""
FILES = {
    "headrace.toml": '[project]\nname = "bank"\ntimezone = "UTC"\n[run]\nworkers = 1\n',
    "owners.yaml": "core: {kind: team}\n",
    "sources/people.yaml": "source: people\nowner: core\ndomain: retail\nfiles: people.csv\n" + COLUMNS,
    "sources/payments.yaml": (
        "source: payments\nowner: core\ndomain: retail\nfiles: payments.csv\n"
        "columns: {iban: {classification: secret, mask: {method: hash}}}\n"
    ),
    "people.csv": (
        "id,iban,name,born,joined,size,note,city\n"
        "1,DE111,Ada,1815-12-10,2024-01-31,17,likes tea,Rome\n"
        "2,DE222,Grace,1906-12-09,2024-06-01,23,likes rum,Bonn\n"
        "3,,Linus,1969-12-28,2024-11-01,,,Rome\n"
    ),
    "payments.csv": "iban,amount\nDE111,5\nDE222,7\nDE999,9\n",
    "assets/clean.sql": (
        "/* headrace\nowner: core\n*/\n"
        "select id, iban, upper(name) as loud, iban as account, city from people where name <> ''\n"
    ),
    "assets/cities.sql": (
        "/* headrace\nowner: core\ndeclassify: {oldest: the year of a city is no person's}\n*/\n"
        "select city, count(*) as people, max(name) as last, min(born) as oldest"
        " from people group by city\n"
    ),
    "assets/youngest.sql": (
        "/* headrace\nowner: core\n*/\nselect id, city from people order by born desc\n"
    ),
    "assets/shown.sql": (
        "/* headrace\nowner: core\nmaterialize: view\n*/\nselect id from youngest\n"
    ),
    "assets/latest.sql": "/* headrace\nowner: core\n*/\nselect max(name) as last from people\n",
    "assets/adults.sql": (
        "/* headrace\nowner: core\nmaterialize: view\n*/\n"
        "select id, iban, upper(note) as loud, note like '%tea' as tea, city from people\n"
        "where cast(id as integer) > 0 and name <> 'A***'\n"
    ),
    "assets/groups.sql": (
        "/* headrace\nowner: core\nmaterialize: view\n*/\n"
        "select name, adults.iban as iban, count(*) as rows, max(born) as youngest\n"
        "from adults join people using (id) group by all\n"
    ),
    "assets/grouped.sql": (
        "/* headrace\nowner: core\n*/\n"
        "select iban, count(*) as rows, max(note) as last, list(id) as ids from people group by iban\n"
    ),
    "assets/bands.sql": (
        "/* headrace\nowner: core\n*/\n"
        "select count(*) as n, list(id) as ids from people group by cast(size as integer) > 20\n"
    ),
    "assets/tagged.sql": (
        "/* headrace\nowner: core\n*/\n"
        "select id, cast(size as integer) > 20 as big, size from people\n"
    ),
    "assets/tags.sql": (
        "/* headrace\nowner: core\n*/\nselect count(*) as n, list(id) as ids from tagged group by big\n"
    ),
    "assets/sizes.sql": (
        "/* headrace\nowner: core\n*/\nselect count(*) as n, list(id) as ids from tagged group by size\n"
    ),
}  # fmt: skip
PRINTS = """from headrace import asset

@asset(owner="core")
def py(towns):
    print("the town is Vaduz")
    return towns
"""
COLUMN = ("--node", "payments", "--column", "iban")
CLEAR = ("DE111", "DE222", "Ada", "ADA", "Grace", "1815-12-10", "2024-01-31", "likes tea")


@pytest.fixture
def bank(tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Published tables with masks, and rules in which the user of the tests is admin."""
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    project = Project(tmp_path, call)
    project.text("tick")
    who = project.json("access", "whoami")["who"]
    (tmp_path / "access.yaml").write_text(f"- {{role: admin, to: ['{who}']}}\n")
    project.text("apply", "--yes")
    return project


@pytest.fixture
def reader(bank: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The same, read by a token with the role viewer."""
    token = bank.json("token", "create", "reader", "--scope", "viewer")["token"]
    monkeypatch.setenv("HEADRACE_TOKEN", token)
    return bank


def _ids(rows: list[dict[str, Any]]) -> list[Any]:
    return [row["id"] for row in rows]


def test_those_who_may_read_a_column_see_it_in_the_clear(bank: Project) -> None:
    """Would catch: a mask for everybody."""
    response = bank.json("read", "people")
    assert response["masked"] == [] and response["rows"][0]["iban"] == "DE111"
    assert _ids(bank.json("read", "youngest")["rows"]) == [3, 2, 1]


def test_a_viewer_reads_masked_values(reader: Project) -> None:
    """Would catch: a clear value, a null that became a value, a column without a mask that is
    shown, a type that isn't that of the values (P1)."""
    response = reader.json("read", "people")
    assert response["masked"] == ["born", "iban", "joined", "name", "note", "size"]
    ada, _, linus = response["rows"]
    assert ada["iban"].startswith("h1v1_") and len(ada["iban"]) == 37
    assert (ada["name"], ada["born"], ada["size"]) == ("A***", "1815-01-01", 10)
    assert ada["joined"] != "2024-01-31" and ada["joined"][:3] == "202"
    assert linus["iban"] is None and linus["size"] is None and "note" not in ada
    assert ada["city"] == "Rome"
    for name in ("youngest", "shown"):  # nor who is younger, by the order of rows
        assert _ids(reader.json("read", name)["rows"]) == [1, 2, 3]
        query = f"select id from (select id, row_number() over () as n from {name}) order by n"
        assert _ids(reader.json("sql", query)["rows"]) == [1, 2, 3]
    for form in ("csv", "json"):
        text = reader.text("read", "people", "--format", form)
        assert not [value for value in CLEAR if value in text] and "h1v1_" in text
    shown = reader.text("read", "people")
    assert "left out, because you may not read it: note" in shown
    assert "masked: born, iban, joined, name, size" in shown
    table = Session(reader.root).read("people").arrow
    assert table["iban"].to_pylist()[:1] == [ada["iban"]] and "note" not in table.column_names


def test_a_query_sees_masked_values_only(reader: Project) -> None:
    """Would catch: a filter, an order or an aggregate that tells something about clear values."""

    def rows(query: str) -> list[dict[str, Any]]:
        return list(reader.json("sql", query)["rows"])

    assert rows("select * from people where iban = 'DE111'") == []
    assert rows("select * from people where iban like 'DE%' or name ilike 'ada'") == []
    assert rows("select count(*) as n from people where born > '1815-01-02' and id = 1") == [
        {"n": 0}
    ]
    assert rows("select min(iban) as m from people")[0]["m"].startswith("h1v1_")
    joined = rows("select p.id, amount from people p join payments using (iban) order by 1")
    assert joined == [{"id": 1, "amount": 5}, {"id": 2, "amount": 7}]
    assert "note" not in rows("select * from people")[0]
    answer = reader.json("sql", "select count(*) as n from people")
    assert "people.note" in answer["masked"] and answer["masked"] == sorted(answer["masked"])
    assert "the query saw masked, or not at all: people." in reader.text(
        "sql", "select count(*) as n from people"
    )
    refused = reader.refused("sql", "select note from people", code=3)
    assert "the column note of people isn't shown" in refused
    for query in (
        "select p.note from payments q join people p using (iban)",
        "select note from payments join people using (iban)",
        "select x.note from (select * from people) x, payments",
    ):
        refused = reader.refused("sql", query, code=3)
        assert "the column note of people isn't shown" in refused, query
    for name in ("payments", "q"):  # has no such column: the join's other table has it
        as_q = "" if name == "payments" else " as q"
        query = f"select {name}.note from payments{as_q} join people using (iban)"
        assert f'"{name}" does not have a column' in reader.refused("sql", query, code=2)
    text = reader.text("sql", "select * from people order by iban", "--format", "csv")
    assert not [value for value in CLEAR if value in text]


@pytest.mark.long
@pytest.mark.parametrize(
    "source",
    [
        "duckdb_views()", "duckdb_functions()", "read_parquet('**/*.parquet')", "glob('**')",
        "information_schema.views", "query('select 1')", "query_table('people')",
        "parquet_metadata('x')", "pragma_table_info('people')", "sniff_csv('people.csv')",
    ],
)  # fmt: skip
def test_a_query_reads_nothing_past_the_masks(reader: Project, source: str) -> None:
    """Would catch: the table's files, whose paths and minima DuckDB itself tells."""
    error = reader.refused("sql", f"select * from people, {source} as other")
    assert "can't be used here" in error or "there is no table" in error
    error = reader.refused("sql", f"select id from people where exists (from {source})")
    assert "can't be used here" in error or "there is no table" in error


def test_a_query_learns_no_paths_of_files(reader: Project) -> None:
    """Would catch: the lake's paths, which a setting of the session names."""
    query = "select current_setting('allowed_paths') as paths from people"
    assert "current_setting can't be used here" in reader.refused("sql", query)


CAST_NAMES = "/* headrace\nowner: core\n*/\nselect cast(name as integer) as n from people\n"


def test_a_role_of_a_test_environment_does_not_reveal_what_it_borrows(
    bank: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: production's clear rows for whoever is an owner of a test environment, or who
    reads there what a branch classifies no longer, or declassifies."""
    path = bank.root / "headrace.toml"
    path.write_text(f"{path.read_text()}[environments.dev]\n")
    bank.text("apply", "--yes")
    body = bank.root / "assets/latest.sql"
    body.write_text(body.read_text().replace("as last", "as last, count(*) as people"))
    bank.text("tick", "--env", "dev")
    scope = ("--scope", "owner:env=dev")
    token = bank.json("token", "create", "tester", *scope, "--env", "dev")["token"]
    monkeypatch.setenv("HEADRACE_TOKEN", token)
    assert len(bank.json("read", "people", "--env", "dev")["rows"]) == 3

    def hidden() -> None:
        for command in (
            ("read", "people"),
            ("sql", "select * from people"),
            ("read", "adults"),
            ("read", "latest", "--json"),
        ):
            text = bank.text(*command, "--env", "dev")
            assert not [value for value in CLEAR if value in text], command

    hidden()
    monkeypatch.delenv("HEADRACE_TOKEN")
    _write(bank, "sources/people.yaml", FILES["sources/people.yaml"].replace(COLUMNS, ""))
    body.write_text(body.read_text().replace("core\n", "core\ndeclassify: {last: a try}\n"))
    _write(bank, "assets/cast_names.sql", CAST_NAMES)
    bank.text("apply", "--env", "dev", "--yes")
    bank.text("run", "cast_names", "--env", "dev", code=1)
    monkeypatch.setenv("HEADRACE_TOKEN", token)
    hidden()
    failed = bank.text("why", "cast_names", "--env", "dev")
    assert "Conversion Error" in failed
    assert not [value for value in CLEAR if value in failed], failed


@pytest.mark.long
def test_a_query_names_columns_of_earlier_code(
    bank: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a query that names the columns of the code in force only, although the published
    table has another one, which the query doesn't see."""
    _write(
        bank,
        "assets/clean.sql",
        "/* headrace\nowner: core\n*/\nselect id, iban, city from people where name <> ''\n",
    )
    bank.text("apply", "--yes")
    token = bank.json("token", "create", "reader", "--scope", "viewer")["token"]
    monkeypatch.setenv("HEADRACE_TOKEN", token)
    read = [f"clean.{column}" for column in bank.json("read", "clean")["masked"]]
    assert read == ["clean.account", "clean.iban", "clean.loud"]
    assert bank.json("sql", "select count(*) as n from clean")["masked"] == read


def test_an_environment_lists_quarantined_rows(bank: Project) -> None:
    """Would catch: a second read of the state within the first, which SQLite refuses; an entry of
    clear values although the list has no sample rows."""
    path = bank.root / "headrace.toml"
    path.write_text(f"{path.read_text()}[environments.dev]\n")
    bank.text("apply", "--yes")
    header = "/* headrace\nowner: core\nchecks:\n  - row_count: {min: 100}\n*/\n"
    _write(bank, "assets/clean.sql", f"{header}select id, iban, name from people\n")
    bank.text("apply", "--env", "dev", "--yes")
    bank.text("run", "clean", "--env", "dev", code=1)
    (row,) = bank.json("quarantine", "--env", "dev")
    assert (row["node"], row["rows"]) == ("clean", 3)
    bank.text("tick", "--env", "dev")
    assert bank.json("audit", "show", "--action", "classified.read", "--env", "dev") == []


def test_derived_columns_follow_their_origin(reader: Project) -> None:
    """Would catch: a copy in the clear, an expression that is masked as if it were the value, an
    aggregate that shows one, a declassified column that stays hidden (P5)."""
    clean = reader.json("read", "clean")
    assert clean["masked"] == ["account", "iban", "loud"]
    people = reader.json("read", "people")["rows"]
    assert [row["account"] for row in clean["rows"]] == [row["iban"] for row in people]
    assert "loud" not in clean["rows"][0]
    cities = reader.json("read", "cities")
    assert cities["masked"] == ["last"]
    assert {row["city"]: (row["people"], row["oldest"]) for row in cities["rows"]} == {
        "Rome": (2, "1815-12-10"), "Bonn": (1, "1906-12-09"),
    }  # fmt: skip


@pytest.mark.long
def test_views_compute_with_clear_values_and_show_masked_ones(reader: Project) -> None:
    """Would catch: a view over masked values, which finds no tea; a clear value of a view; a clear
    table beside a view in one query; a view that is refused."""
    iban = {row["id"]: row["iban"] for row in reader.json("read", "people")["rows"]}
    view = reader.json("read", "adults")
    assert view["masked"] == ["iban", "loud", "tea"] and view["rows_total"] == 3
    assert view["rows"][0] == {"id": 1, "iban": iban[1], "city": "Rome"}
    rows = reader.json("sql", "select * from adults order by id")["rows"]
    assert rows == view["rows"]
    assert reader.json("sql", "select count(*) as n from adults where iban like 'DE%'")["rows"] == [
        {"n": 0}
    ]
    joined = "select a.id, p.name, p.iban from adults a join people p using (id, iban) order by 1"
    assert reader.json("sql", joined)["rows"][0] == {"id": 1, "name": "A***", "iban": iban[1]}
    over_view = reader.json("read", "groups")
    assert over_view["masked"] == ["iban", "name", "youngest"]
    assert {(row["name"], row["iban"], row["rows"]) for row in over_view["rows"]} == {
        ("A***", iban[1], 1), ("G***", iban[2], 1), ("L***", None, 1),
    }  # fmt: skip
    for words in (("read", "groups"), ("read", "groups", "--format", "csv"),
                  ("sql", "select * from groups, adults"), ("read", "adults", "--format", "json"),
                  ("sql", "with people as (from adults) from people")):  # fmt: skip
        text = reader.text(*words)
        assert not [value for value in CLEAR if value in text], words
    assert (
        reader.json("sql", "select max(adults.iban) as m from people, adults")["rows"][0]["m"]
        in iban.values()
    )
    assert "loud" in reader.refused("sql", "select loud from adults", code=3)


def test_a_query_of_a_view_reads_no_files_beside_it(reader: Project) -> None:
    """Would catch: `read_parquet` of the clear file of a view's input, in a query that names the
    view only."""
    file = next((reader.root / ".headrace" / "lake").glob("**/people/*.parquet"))
    for read in (f"read_parquet('{file}')", f"parquet_metadata('{file}')", "query('select 1')"):
        for query in (
            f"select adults.id, f.* from adults, {read} as f",
            f"select (select max(f) from {read} as f) as newest from adults",
        ):
            assert "can't be used here" in reader.refused("sql", query)


def test_an_error_of_a_view_shows_no_value(bank: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: DuckDB's error about a clear value, of a view that fails on it."""
    _write(
        bank,
        "assets/broken.sql",
        "/* headrace\nowner: core\nmaterialize: view\n*/\n"
        "select id, iban from people where cast(name as integer) > 0\n",
    )
    bank.text("apply", "--yes")
    assert "Ada" in bank.refused("sql", "from broken", code=1)
    token = bank.json("token", "create", "reader", "--scope", "viewer")["token"]
    monkeypatch.setenv("HEADRACE_TOKEN", token)
    for words in (
        ("sql", "from broken"),
        ("read", "broken"),
        ("read", "broken", "--format", "csv"),
    ):
        error = bank.refused(*words, code=1)
        assert "it isn't shown" in error and not [value for value in CLEAR if value in error]


def test_a_group_key_keeps_its_mask(reader: Project) -> None:
    """Would catch: a column that is only grouped by, left out as if it were computed; a count that
    is left out because of its key; an aggregate that is shown."""
    iban = {row["id"]: row["iban"] for row in reader.json("read", "people")["rows"]}
    grouped = reader.json("read", "grouped")
    assert grouped["masked"] == ["iban", "last"]
    assert {(row["iban"], row["rows"], *row["ids"]) for row in grouped["rows"]} == {
        (iban[1], 1, 1), (iban[2], 1, 2), (None, 1, 3),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["bands", "tags", "sizes"])
def test_groups_of_a_hidden_column_do_not_say_who_is_in_them(reader: Project, name: str) -> None:
    """Would catch: the people on each side of a threshold of a hidden column, or of equal values
    where the mask doesn't show that they are equal (A.2)."""
    response = reader.json("read", name)
    assert response["masked"] == ["ids"]
    assert {*response["rows"][0]} == {"n"}


@pytest.mark.long
def test_diff_compares_what_the_reader_may_see(
    bank: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: clear values in examples, a column that is left out among the changed ones, a
    key that tells values, a diff that is refused."""
    before, path = str(bank.json("read", "people")["snapshot"]), bank.root / "people.csv"
    path.write_text(path.read_text().replace("DE222", "DE333").replace("likes tea", "likes rum"))
    bank.text("tick")
    after = str(bank.json("read", "people")["snapshot"])
    clear = bank.json("diff", "people", "--at", before, "--at", after, "--keys", "id")
    assert clear["cells"] == {"iban": 1, "note": 1} and clear["masked"] == []
    token = bank.json("token", "create", "reader", "--scope", "viewer")["token"]
    monkeypatch.setenv("HEADRACE_TOKEN", token)
    words = ("diff", "people", "--at", before, "--at", after)
    masked = bank.json(*words, "--keys", "id")
    assert masked["cells"] == {"iban": 1} and masked["rows_changed"] == 1
    assert masked["masked"] == ["born", "iban", "joined", "name", "note", "size"]
    assert masked["sample"][0]["after"]["iban"].startswith("h1v1_")
    assert "note" not in masked["sample"][0]["after"]
    assert "may not read the column note" in bank.refused(*words, "--keys", "note", code=3)
    for asked in (words, (*words, "--keys", "id"), (*words, "--json")):
        assert not [value for value in (*CLEAR, "DE333", "likes rum") if value in bank.text(*asked)]


def _write(project: Project, path: str, text: str) -> None:
    (project.root / path).write_text(text)


def test_columns_that_python_code_does_not_declare_are_left_out(
    bank: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: values that code hands on in columns that nobody declared, in the clear."""
    for name, read in (("copied", "people"), ("free", "towns")):
        _write(
            bank,
            f"assets/{name}.py",
            "from headrace import asset\n\n\n"
            f"@asset(owner='core')\ndef {name}({read}):\n    return {read}\n",
        )
    _write(bank, "assets/towns.sql", "/* headrace\nowner: core\n*/\nselect 'Rome' as city\n")
    _write(
        bank,
        "assets/behind.sql",
        "/* headrace\nowner: core\nmaterialize: view\n*/\nselect * from copied\n",
    )
    bank.text("apply", "--yes")
    bank.text("tick")
    token = bank.json("token", "create", "reader", "--scope", "viewer")["token"]
    monkeypatch.setenv("HEADRACE_TOKEN", token)
    words = (
        ("read", "copied"), ("sql", "select * from copied"), ("read", "copied", "--format", "csv"),
        ("read", "behind"), ("sql", "select * from behind"),
    )  # fmt: skip
    for asked in words:
        code, out, err = bank.call(bank.root, *asked)
        assert code == 3 and "you may not read" in err, (asked, err)
        assert not [value for value in CLEAR if value in out + err]
    assert bank.json("read", "free")["rows"] == [{"city": "Rome"}]


def test_a_column_of_earlier_code_stays_hidden(
    bank: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: `read --version` of what an asset was before its classified column was
    removed from the code."""
    version = str(bank.json("read", "clean")["snapshot"])
    path = bank.root / "assets/clean.sql"
    path.write_text(path.read_text().replace("iban, upper(name) as loud, iban as account, ", ""))
    bank.text("apply", "--yes")
    token = bank.json("token", "create", "reader", "--scope", "viewer")["token"]
    monkeypatch.setenv("HEADRACE_TOKEN", token)
    earlier = bank.json("read", "clean", "--version", version)
    assert earlier["masked"] == ["account", "iban", "loud"]
    assert set(earlier["rows"][0]) == {"id", "city"}
    assert set(bank.json("sql", "select * from clean")["rows"][0]) == {"id", "city"}
    compared = bank.json("diff", "clean", "--at", version)
    assert compared["masked"] == ["account", "iban", "loud"]
    assert all("account" not in str(row["before"]) for row in compared["sample"])


def test_lines_printed_before_a_column_was_classified_are_left_out(
    bank: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: lines of a log that are decided by what was classified when they were printed."""
    source = "source: towns\nowner: core\ndomain: retail\nfiles: towns.csv\n"
    files = {
        "sources/towns.yaml": source,
        "towns.csv": "id,town\n1,Vaduz\n",
        "assets/py.py": PRINTS,
    }
    for path, text in files.items():
        (bank.root / path).write_text(text)
    bank.text("apply", "--yes")
    bank.text("tick")
    token = bank.json("token", "create", "reader", "--scope", "viewer")["token"]

    def printed(by: str | None) -> list[str]:
        with monkeypatch.context() as reader:
            if by is not None:
                reader.setenv("HEADRACE_TOKEN", by)
            return [row["text"] for row in bank.json("logs", "py")]

    assert printed(token) == printed(None) == ["the town is Vaduz"]
    classified = source + "columns: {town: {personal: true}}\n"
    (bank.root / "sources/towns.yaml").write_text(classified)
    bank.text("apply", "--yes")
    assert printed(None) == ["the town is Vaduz"]
    assert printed(token) == ["left out: the code reads columns that you may not see"]


@pytest.mark.parametrize("words", [("read", "latest"), ("sql", "select * from latest")])
def test_a_table_of_which_nothing_may_be_read_says_so(
    reader: Project, words: tuple[str, ...]
) -> None:
    """Would catch: an error of DuckDB, with the hint that published files are damaged."""
    code, _, err = reader.call(reader.root, *words)
    assert code == 3
    assert "you may not read any column of latest" in err


def test_a_mask_that_fails_on_a_value_shows_nothing(reader: Project) -> None:
    """Would catch: the value in an error, or the other rows beside it."""
    (reader.root / "people.csv").write_text(
        f"id,iban,name,born,joined,size,note,city\n1,DE1,Ada,1815-12-10,2024-01-31,{-(2**63)},x,Rome\n"
    )
    token = os.environ.pop("HEADRACE_TOKEN")
    reader.text("tick")
    os.environ["HEADRACE_TOKEN"] = token
    for command in (("read", "people"), ("sql", "select size from people"),
                    ("read", "people", "--format", "csv")):  # fmt: skip
        code, out, err = reader.call(reader.root, *command)
        assert code == 3 and out == "" and '"size" failed on a value' in err
        assert str(2**63) not in err and "Ada" not in err


def test_a_missing_key_is_an_error_and_no_clear_value(reader: Project) -> None:
    """Would catch: clear values, or new tokens, where the key can't be had."""
    reader.text("read", "people")
    (reader.root / ".headrace/keys/root.key").unlink()
    error = reader.refused("read", "people", code=1)
    assert "root.key is missing" in error and "DE111" not in error
    assert json.loads(reader.call(reader.root, "read", "cities", "--json")[1])["masked"] == ["last"]


def test_plan_says_what_is_newly_classified(bank: Project) -> None:
    """Would catch: a change of a classification that a plan keeps quiet about, a derived column
    that isn't among the columns, columns that were classified before."""
    path = bank.root / "sources/people.yaml"
    path.write_text(path.read_text() + "  city: {personal: true, mask: {method: redact}}\n")
    plan = bank.json("plan")
    rows = [(row["column"], row["classification"], row["mask"]) for row in plan["classified"]]
    assert rows == [
        ("people.city", "personal", "redact"),
        ("adults.city", None, "redact"),
        ("cities.city", None, "redact"),
        ("clean.city", None, "redact"),
        ("youngest.city", None, "redact"),
    ]
    assert "masked from now on: " in bank.text("plan")
    path.write_text(path.read_text().replace(", mask: {method: redact}", ""))
    text = " ".join(bank.text("plan").split())
    assert "classified without a mask, so left out from now on: people.city" in text
    bank.text("apply", "--yes")
    assert bank.json("plan")["classified"] == []


def test_a_mask_that_is_taken_away_is_in_the_plan(bank: Project) -> None:
    """Would catch: a comparison by names alone, which doesn't see that a column is left out now."""
    path = bank.root / "sources/people.yaml"
    path.write_text(path.read_text().replace(", mask: {method: truncate, keep: 1}", ""))
    plan = bank.json("plan")
    assert [(row["column"], row["mask"]) for row in plan["classified"]] == [
        ("people.name", None),
        ("groups.name", None),
    ]


def test_a_declassified_column_is_in_the_trail_once(bank: Project) -> None:
    """Would catch: a column that becomes clear without an entry, an entry for each version, a
    changed reason that nobody finds."""

    def entries() -> list[tuple[str, str]]:
        rows = bank.json("audit", "show", "--action", "column.declassified")
        return [(row["object"].split(":", 1)[-1], row["reason"]) for row in rows]

    first = ("cities.oldest", "the year of a city is no person's")
    assert entries() == [first]
    path = bank.root / "assets/cities.sql"
    path.write_text(path.read_text().replace("count(*) as people", "count(id) as people"))
    bank.text("apply", "--yes")
    assert entries() == [first]
    path.write_text(path.read_text().replace("no person's}", "published anyway}"))
    bank.text("apply", "--yes")
    assert sorted(entries()) == [first, ("cities.oldest", "the year of a city is published anyway")]


def test_an_admin_reverses_a_token(bank: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a token that nobody can reverse, a value without an entry in the trail, a value
    in the trail, a copied column that isn't followed to the mask."""
    path = bank.root / "sources/payments.yaml"
    path.write_text(path.read_text().replace("method: hash", "method: token"))
    (bank.root / "assets/copies.sql").write_text(
        "/* headrace\nowner: core\n*/\nselect iban as account from payments\n"
    )
    bank.text("apply", "--yes")
    bank.text("tick")
    viewer = bank.json("token", "create", "reader", "--scope", "viewer")["token"]
    with monkeypatch.context() as patch:
        patch.setenv("HEADRACE_TOKEN", viewer)
        rows = {row["amount"]: row["iban"] for row in bank.json("read", "payments")["rows"]}
        token = rows[5]
        assert token in [row["account"] for row in bank.json("read", "copies")["rows"]]
        refused = bank.refused("keys", "reveal", token, *COLUMN, "--reason", "x", code=3)
        assert "DE111" not in refused
    assert token.startswith("s1v1_")
    revealed = bank.json("keys", "reveal", token, *COLUMN, "--reason", "court order 7")
    assert revealed == {"column": "payments.iban", "value": "DE111"}
    copied = ("--node", "copies", "--column", "ACCOUNT", "--reason", "court order 8")
    assert bank.text("keys", "reveal", token, *copied) == "DE111\n"
    entries = bank.json("audit", "show", "--action", "token.revealed")
    assert [row["reason"] for row in entries] == ["court order 8", "court order 7"]
    assert entries[1]["object"] == "column:payments.iban"
    assert "DE111" not in json.dumps(entries)
    bank.text("keys", "rotate", "--reason", "yearly")
    assert Session(bank.root).reveal_token(
        token, node="payments", column="iban", reason="after a rotation"
    ).value == "DE111"  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(
    ("change", "column", "expected"),
    [
        (lambda token: token[:-2] + ("AA" if token[-2:] != "AA" else "BB"), "iban", "was changed"),
        (lambda token: token[:-1], "iban", "was changed"),
        (lambda token: token + "A", "iban", "was changed"),
        (lambda token: token.replace("v1", "v2"), "iban", "has version 1"),
        (lambda _: "s1v1_", "iban", "isn't a token"),
        (lambda _: "h1v1_" + "0" * 32, "iban", "isn't a token"),
        (lambda _: "s1v1_" + "A" * 100_000, "iban", "was changed"),
        (lambda _: "s1v1_Ä\x1b[2J", "iban", "isn't a token"),
        (lambda token: token, "amount", "has no mask with the method"),
        (lambda token: token, "nosuch'; --", "has no mask with the method"),
        (lambda token: token, "note", "has no mask with the method"),
        (lambda token: token, "other", "isn't one of payments.other"),
    ],
)
def test_what_is_no_token_of_a_column_is_refused(
    bank: Project, change: Any, column: str, expected: str
) -> None:
    """Would catch: a traceback, a value of a changed token, a token of another column that is
    taken for this one's, an entry for a reveal that failed."""
    (bank.root / "sources/payments.yaml").write_text(
        "source: payments\nowner: core\ndomain: retail\nfiles: payments.csv\ncolumns:\n"
        "  iban: {classification: secret, mask: {method: token}}\n"
        "  other: {classification: secret, mask: {method: token}}\n"
        "  note: {classification: secret, mask: {method: redact}}\n"
    )
    bank.text("apply", "--yes")
    key = KeyStore(bank.root / ".headrace", bank.root, {}).data_key("retail", "token")
    declared = DeclaredMask('{"method":"token"}', "retail", "payments", "iban")
    token = change(token_function(key, declared)([b"DE111"])[0])
    error = bank.refused(
        "keys", "reveal", token, "--node", "payments", "--column", column, "--reason", "x", code=3
    )
    assert expected in " ".join(error.split()) and "DE111" not in error and "\x1b" not in error
    assert bank.json("audit", "show", "--action", "token.revealed") == []


def test_reveal_asks_for_all_that_it_needs(bank: Project) -> None:
    """Would catch: a reveal without a reason, a key that is created by a wrong question."""
    token = "s1v1_" + "A" * 40
    assert "needs --reason" in bank.refused("keys", "reveal", token, *COLUMN, code=3)
    assert "needs the column" in bank.refused("keys", "reveal", token, "--reason", "x")
    bank.refused("keys", "reveal")
    path = bank.root / "sources/payments.yaml"
    path.write_text(path.read_text().replace("method: hash", "method: token"))
    bank.text("apply", "--yes")
    error = bank.refused("keys", "reveal", token, *COLUMN, "--reason", "x", code=1)
    assert "there is no key token of retail yet" in error
    unknown = ("--node", "nosuch", "--column", "iban", "--reason", "x")
    assert "nosuch" in bank.refused("keys", "reveal", token, *unknown)


def test_validate_warns_of_masks_that_do_not_protect(bank: Project) -> None:
    """Would catch: a mask that leaves a column out silently, a hash without a key, a warning about
    a comment, a text, or a column that nobody classified."""
    (bank.root / "assets/hashed.sql").write_text(
        "/* headrace\nowner: core\ncolumns:\n"
        "  n: {personal: true, mask: {method: truncate, keep: 1}}\n"
        "  iban: {personal: true, mask: {method: hash}}\n*/\n"
        "select cast(1 as integer) as n, iban, sha256(lower(p.IBAN) || 'name') as person, -- md5(name)\n"
        "  md5(city) as town, 'md5(born)' as words from people p\n"
    )
    problems = {
        (row["code"], row["file"]): row["message"]
        for row in bank.json("validate")["problems"]
        if row["code"] in ("mask_misfit", "plain_hash")
    }
    file = "assets/hashed.sql"
    assert set(problems) == {("mask_misfit", file), ("plain_hash", file)}
    assert "sha256 of 'iban'" in problems["plain_hash", file].replace('"', "'").replace("`", "'")
    assert "hashed.n, which is INTEGER" in problems["mask_misfit", file]


def test_an_owner_reads_as_a_role_would(bank: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a preview that shows more than the role would read, or than the caller may."""
    text = bank.json("token", "create", "viewer", "--scope", "viewer")["token"]
    with monkeypatch.context() as reader:
        reader.setenv("HEADRACE_TOKEN", text)
        expected = {
            name: bank.json("read", name) for name in ("people", "clean", "adults", "groups")
        }
        refused = bank.refused("read", "people", "--as", "admin", code=3)
        assert "doesn't include `reveal`" in refused
    for name, answer in expected.items():
        seen = bank.json("read", name, "--as", "viewer")
        assert sorted(map(str, seen["rows"])) == sorted(map(str, answer["rows"])), name
        assert seen["masked"] == answer["masked"], name
    clear = bank.json("read", "people", "--as", "admin")
    assert clear["rows"] == bank.json("read", "people")["rows"] and not clear["masked"]
    _, csv, _ = bank.call(bank.root, "read", "people", "--as", "viewer", "--format", "csv")
    assert not any(value in csv for value in CLEAR) and "Rome" in csv
    _, csv, _ = bank.call(bank.root, "read", "groups", "--as", "viewer", "--format", "csv")
    assert csv and not any(value in csv for value in CLEAR)
    assert "reads no rows" in bank.refused("read", "people", "--as", "operator", code=3)
    assert "is no role" in bank.refused("read", "people", "--as", "vewer")
    rules = bank.root / "access.yaml"
    me = bank.json("access", "whoami")["who"]
    rules.write_text(rules.read_text() + f"- {{forbid: read, to: ['{me}'], column: people.city}}\n")
    bank.text("apply", "--yes")
    assert "city" not in bank.json("read", "people", "--as", "viewer")["rows"][0]
