"""Rows of earlier code: a column that was limited stays so until its rows are computed again."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from clilab import Project

from headrace.store.engines.sqlite import SqliteTransaction
from headrace.store.queries import applied_versions

FILES = {
    "headrace.toml": '[project]\nname = "bank"\ntimezone = "UTC"\n[run]\nworkers = 1\n',
    "owners.yaml": "core: {kind: team}\n",
    "sources/people.yaml": (
        "source: people\nowner: core\npartition: day\nfiles: people_{date:%Y-%m-%d}.csv\n"
        "columns: {iban: {classification: secret, mask: {method: hash}}}\n"
    ),
    "people_2026-03-01.csv": "iban,city,day\nDE00CLEAR,Bonn,2026-03-01\n",
    "assets/codes.sql": (
        "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
        "select cast(day as date) as day, 'a' || iban as code, iban as account, city from people\n"
    ),
    "assets/live.sql": (
        "/* headrace\nowner: core\nmaterialize: view\n*/\nselect day, code from codes\n"
    ),
}
CLEAR = "DE00CLEAR"
PLAIN = "select cast(day as date) as day, 'none' as code, iban as account, city from people\n"


@pytest.fixture
def bank(tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> Project:
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


class Reader:
    """Reads as a viewer; the owner's commands have no token."""

    def __init__(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        self._project, self._monkeypatch = project, monkeypatch
        self._token = project.json("token", "create", "reader", "--scope", "viewer")["token"]

    def rows(self, *words: str) -> list[dict[str, Any]]:
        with self._monkeypatch.context() as patch:
            patch.setenv("HEADRACE_TOKEN", self._token)
            rows: list[dict[str, Any]] = self._project.json(*words)["rows"]
        assert CLEAR not in str(rows), words
        return rows


def changed(project: Project, query: str) -> None:
    path = project.root / "assets/codes.sql"
    path.write_text(path.read_text().partition("select")[0] + query)


def test_kept_rows_show_no_more_than_under_the_code_that_made_them(
    bank: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: clear values after `apply --keep`, in the table, a view of it, or a query."""
    reader = Reader(bank, monkeypatch)
    masked = reader.rows("read", "codes")[0]["account"]
    changed(bank, PLAIN)
    bank.text("apply", "--yes", "--keep", "codes", "--reason", "the rows are right")
    assert [row.keys() for row in reader.rows("read", "codes")] == [{"day", "account", "city"}]
    assert reader.rows("read", "codes")[0]["account"] == masked, "the same mask before and now"
    assert [row.keys() for row in reader.rows("read", "live")] == [{"day"}]
    assert [row.keys() for row in reader.rows("sql", "select * from codes")] == [
        {"day", "account", "city"}
    ]
    assert bank.json("read", "codes")["rows"][0]["code"] == "a" + CLEAR, "an admin reads it"


def test_rows_of_older_snapshots_stay_limited(
    bank: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: clear values of an older snapshot once the new code has computed everything."""
    reader = Reader(bank, monkeypatch)
    before = bank.json("read", "codes")["snapshot"]
    changed(bank, PLAIN)
    bank.text("apply", "--yes")
    day = ("--from", "2026-03-01", "--to", "2026-03-01")
    bank.text("backfill", "codes", *day, "--reason", "new code", "--yes")
    bank.text("tick")
    assert reader.rows("read", "codes")[0]["code"] == "none"
    old = reader.rows("read", "codes", "--version", str(before))
    assert [row.keys() for row in old] == [{"day", "account", "city"}]


def test_code_that_changed_above_counts_too(bank: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: an asset that has copied the kept rows of another one."""
    reader = Reader(bank, monkeypatch)
    changed(bank, PLAIN)
    (bank.root / "assets/copies.sql").write_text(
        "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
        "select day, code from codes\n"
    )
    bank.text("apply", "--yes", "--keep", "codes", "--reason", "the rows are right")
    bank.text("tick")
    assert [row.keys() for row in reader.rows("read", "copies")] == [{"day"}]


def test_a_source_that_is_gone_is_still_classified_in_rows_made_of_it(
    bank: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a classification that ends with the declaration of its source."""
    (bank.root / "sources/cities.yaml").write_text(
        "source: cities\nowner: core\npartition: day\nfiles: cities_{date:%Y-%m-%d}.csv\n"
        "columns: {mayor: {classification: personal}}\n"
    )
    (bank.root / "cities_2026-03-01.csv").write_text("city,mayor,day\nBonn,K,2026-03-01\n")
    bank.text("apply", "--yes")
    bank.text("tick")
    reader = Reader(bank, monkeypatch)
    (bank.root / "sources/people.yaml").unlink()
    changed(
        bank, "select cast(day as date) as day, 'x' as code, 'y' as account, city from cities\n"
    )
    bank.text("apply", "--yes", "--keep", "codes", "--reason", "the rows are right")
    assert [row.keys() for row in reader.rows("read", "codes")] == [{"day", "city"}]


def test_the_last_classified_source_is_no_exception(
    bank: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: clear values once nothing that is still declared is classified, in reads and in
    exports; and limits for people who may see everything."""
    (bank.root / "sources/cities.yaml").write_text(
        "source: cities\nowner: core\npartition: day\nfiles: cities_{date:%Y-%m-%d}.csv\n"
    )
    (bank.root / "cities_2026-03-01.csv").write_text("city,day\nBonn,2026-03-01\n")
    bank.text("apply", "--yes")
    bank.text("tick")
    reader = Reader(bank, monkeypatch)
    (bank.root / "sources/people.yaml").unlink()
    changed(bank, "select cast(day as date) as day, 'x' as code, city from cities\n")
    (bank.root / "consumers.yaml").write_text(
        "- {consumer: report, owner: core, reads: [codes], due: '+9h', since: 2026-03-01,\n"
        "   export: {to: 'out/{asset}_{date:%Y-%m-%d}.csv'}}\n"
    )
    bank.text("apply", "--yes", "--keep", "codes", "--reason", "the rows are right")
    assert [row.keys() for row in reader.rows("read", "codes")] == [{"day", "city"}]
    assert [row.keys() for row in reader.rows("read", "live")] == [{"day"}]
    assert bank.json("read", "codes")["rows"][0]["code"] == "a" + CLEAR, "an admin reads it"
    bank.text("tick")
    (text,) = [path.read_text() for path in (bank.root / "out").iterdir()]
    assert text == "day,city\n2026-03-01,Bonn\n"


def test_columns_of_a_project_that_classifies_nothing_stay_as_they_are(
    bank: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a declaration that no longer classifies a column, and hides it nevertheless."""
    source = bank.root / "sources/people.yaml"
    source.write_text(source.read_text().partition("columns:")[0])
    changed(bank, PLAIN)
    assert bank.json("plan")["unclassified"] == ["people.iban"]
    assert "not classified any more: people.iban; shown in the clear" in bank.text("plan")
    bank.text("apply", "--yes", "--keep", "codes", "--reason", "the rows are right")
    assert bank.json("plan")["unclassified"] == []
    reader = Reader(bank, monkeypatch)
    monkeypatch.setattr(f"{__name__}.CLEAR", "nothing")
    assert [row.keys() for row in reader.rows("read", "codes")] == [
        {"day", "code", "account", "city"}
    ]


def test_a_read_costs_the_same_however_many_versions_are_stored(
    bank: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: the first read after an `apply` that looks through all versions."""
    declared = [bank.root / "sources/people.yaml", bank.root / "assets/codes.sql"]
    declared[0].write_text(declared[0].read_text().partition("columns:")[0])
    changed(bank, PLAIN)
    shutil.rmtree(bank.root / ".headrace")
    bank.text("tick")
    reader = Reader(bank, monkeypatch)
    monkeypatch.setattr(f"{__name__}.CLEAR", "nothing")
    few = _statements(reader, monkeypatch)
    with contextlib.closing(sqlite3.connect(bank.root / ".headrace/state.db")) as state, state:
        columns = "hash, manifest, compiled, ever_classified, applied_at, actor"
        state.execute(
            f"insert into version ({columns}) select {columns} from version, (with recursive n(i)"
            " as (select 1 union all select i + 1 from n where i < 300) select i from n) where id ="
            " (select max(id) from version)"
        )
        ((versions, classified),) = state.execute(
            "select count(*), max(ever_classified) from version"
        )
    assert (versions > 300, classified) == (True, 0)
    assert _statements(reader, monkeypatch) == few


def _statements(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the statements on versions that a viewer's read sends to the state, in order."""
    statements: list[str] = []
    execute = SqliteTransaction.execute

    def counting(tx: SqliteTransaction, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if "from version" in sql:
            statements.append(sql)
        return execute(tx, sql, parameters)

    with monkeypatch.context() as patch:
        patch.setattr(SqliteTransaction, "execute", counting)
        assert reader.rows("read", "codes")
    assert any("ever_classified" in sql for sql in statements)
    assert not any("id >=" in sql for sql in statements)
    return statements


def test_exports_leave_out_what_earlier_code_limited(bank: Project) -> None:
    """Would catch: an export of kept rows, declared after the query was changed."""
    changed(bank, PLAIN)
    (bank.root / "consumers.yaml").write_text(
        "- {consumer: report, owner: core, reads: [codes], due: '+9h', since: 2026-03-01,\n"
        "   export: {to: 'out/{asset}_{date:%Y-%m-%d}.csv'}}\n"
    )
    bank.text("apply", "--yes", "--keep", "codes", "--reason", "the rows are right")
    bank.text("tick")
    (text,) = [path.read_text() for path in (bank.root / "out").iterdir()]
    assert CLEAR not in text and text.splitlines()[0] == "day,account,city"


def test_rows_keep_their_limits_under_a_new_name(
    bank: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: earlier code that isn't found because its asset had another name."""
    reader = Reader(bank, monkeypatch)
    masked = reader.rows("read", "codes")[0]["account"]
    (bank.root / "assets/codes.sql").unlink()
    (bank.root / "assets/numbers.sql").write_text(
        "/* headrace\nowner: core\nrenamed_from: codes\npartition: {by: day, column: day}\n*/\n"
        + PLAIN
    )
    view = bank.root / "assets/live.sql"
    view.write_text(view.read_text().replace("codes", "numbers"))
    bank.text("apply", "--yes", "--keep", "numbers", "--reason", "the rows are right")
    assert [row.keys() for row in reader.rows("read", "numbers")] == [{"day", "account", "city"}]
    assert reader.rows("read", "numbers")[0]["account"] == masked
    assert [row.keys() for row in reader.rows("read", "live")] == [{"day"}]
    assert bank.json("read", "numbers")["rows"][0]["code"] == "a" + CLEAR, "an admin reads it"


def test_a_renamed_asset_reads_only_versions_that_its_rows_are_of(
    bank: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: each version since a rename is read, however many there are."""
    reader = Reader(bank, monkeypatch)
    for old, new in (("codes", "numbers"), ("numbers", "figures")):
        (bank.root / f"assets/{old}.sql").unlink()
        (bank.root / f"assets/{new}.sql").write_text(
            f"/* headrace\nowner: core\nrenamed_from: {old}\npartition: {{by: day, column: day}}\n*/\n"
            + PLAIN
        )
        view = bank.root / "assets/live.sql"
        view.write_text(view.read_text().replace(old, new))
        keep = ("--keep", new, "--reason", "the rows are right") if old == "codes" else ()
        bank.text("apply", "--yes", *keep)
    for number in range(3):
        (bank.root / "owners.yaml").write_text(
            f"core: {{kind: team}}\nteam{number}: {{kind: team}}\n"
        )
        bank.text("apply", "--yes")
    read: list[int] = []
    get = applied_versions.get

    def noted(tx: Any, version: int) -> Any:
        read.append(version)
        return get(tx, version)

    monkeypatch.setattr(applied_versions, "get", noted)
    assert [row.keys() for row in reader.rows("read", "figures")] == [{"day", "account", "city"}]
    assert len(read) == 1, read
