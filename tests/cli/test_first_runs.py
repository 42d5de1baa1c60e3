"""What runs before anything is published, and macros wherever the project's SQL runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from clilab import Project

NOW = ("--now", "2026-03-03T06:00Z")
SOURCE = "source: r\nowner: core\nfiles: landing/r.csv\n"
SQL = {
    "append": "select id, cust, upd from r where not exists (select 1 from $self)"
    " or upd >= (select max(upd) - interval 1 day from $self)",
    "merge: {keys: [id]}": "select *, false as gone from r"
    " where upd > coalesce((select max(upd) - interval 3 day from $self), '1970-01-01')",
    "snapshot: {keys: [id]}": "select id, upd from r where upd >="
    " coalesce((select max(valid_from) - interval 3 day from $self)::date, '1970-01-01')",
    "table": "select id, upd from r union select id, upd from $self"
    " where upd > (select date_trunc('day', max(upd)) - interval 1 day from $self)",
}


def made(root: Path, call: Any, files: dict[str, str]) -> Project:
    basics = {
        "headrace.toml": '[project]\nname = "s"\ntimezone = "UTC"\n',
        "owners.yaml": "core: {kind: team}\n",
        "landing/r.csv": "id,cust,upd\n1, Ada,2026-03-01\n2,bo,2026-03-02\n",
    }
    for path, text in {**basics, **files}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return Project(root, call)


def test_first_runs_of_assets_that_read_themselves(tmp_path: Path, call: Any) -> None:
    """Would catch: an incremental asset that is valid and never starts."""
    heads = {
        kind: f"materialize: {kind.partition(':')[0]}" + (f"\n{kind}" if ":" in kind else "")
        for kind in SQL
    }
    project = made(
        tmp_path,
        call,
        {"sources/r.yaml": SOURCE}
        | {
            f"assets/a{n}.sql": f"/* headrace\nowner: core\n{heads[kind]}\n*/\n{query}\n"
            for n, (kind, query) in enumerate(SQL.items())
        }
        | {
            "tests/a.yaml": "- {test: first, asset: a0, given: {r: [{id: 7, cust: x, upd:"
            " 2026-03-01}]}, expect: [{id: 7}]}\n"
        },
    )
    project.text("validate")
    project.text("run", "r", *NOW)
    for n in range(len(SQL)):
        assert len(project.json("try", f"a{n}")["rows"]) == 2
        assert "r" in project.text("render", f"a{n}")
    assert project.json("tick", *NOW)["state"] == "succeeded"
    for n in range(len(SQL)):
        assert len(project.json("read", f"a{n}")["rows"]) == 2
    assert project.text("test")


def test_an_imported_incremental_model_runs(tmp_path: Path, call: Any) -> None:
    """Would catch: a model of dbt that is called carried, and never starts."""
    pytest.importorskip("headrace_import")
    project = made(
        tmp_path,
        call,
        {
            "dbt/dbt_project.yml": "name: d\nversion: '1'\nprofile: d\n",
            "dbt/profiles.yml": "d: {target: x, outputs: {x: {type: duckdb, path: x.db}}}\n",
            "dbt/seeds/raw.csv": "id,upd\n1,2026-03-01\n",
            "dbt/models/inc.sql": "{{ config(materialized='incremental') }}\nselect id, upd from"
            " {{ ref('raw') }}\n{% if is_incremental() %} where upd >= (select max(upd) - interval"
            " 1 day from {{ this }}) {% endif %}\n",
        },
    )
    project.text("import", "dbt", "dbt", "--into", "new")
    imported = Project(tmp_path / "new", call)
    assert imported.json("run")["state"] == "succeeded"
    assert len(imported.json("read", "inc")["rows"]) == 1


HEAD = "/* headrace\nowner: core\n"
MACROS = {
    "sources/r.yaml": SOURCE
    + "checks:\n  - sql: {name: s, query: 'select * from $self where"
    ' clean(cust) = ""\'}\n'.replace('""', "''''")
    + "  - not_null: {columns: [cust], where: clean(cust) <> 'x'}\n",
    "macros/m.sql": "create macro clean(c) as trim(lower(c));\n",
    "assets/v.sql": HEAD + "materialize: view\nchecks:\n  - not_null: {columns: [cust], where:"
    " clean(cust) <> 'x'}\n*/\nselect id, clean(cust) as cust from r\n",
    "assets/w.sql": HEAD + "materialize: view\n*/\nselect * from v\n",
    "assets/o.sql": HEAD + "checks:\n  - references: {column: id, to: w.id}\n*/\n"
    "select id from r\n",
    "assets/o2.sql": HEAD + "on_fail: quarantine_rows\nchecks:\n  - sql: {name: s, query: 'select *"
    " from $self where id not in (select id from v)'}\n*/\nselect id from r\n",
    "assets/o3.sql": HEAD
    + "checks:\n  - unique: {columns: [cust], where: clean(cust) <> 'x'}\n*/\n"
    "select id, cust from r\n",
    "assets/p.py": "from headrace import asset\n\n@asset(owner='core', inputs=['v'],"
    " checks=[{'references': {'column': 'id', 'to': 'v.id'}}])\ndef p(ctx, v):\n    return v\n",
    "consumers.yaml": "- {consumer: x, owner: core, reads: [v], max_age: 30h, export: {to:"
    " 'out/x_{date:%Y-%m-%d}.csv'}}\n",
}


@pytest.mark.long
def test_macros_wherever_sql_of_the_project_runs(tmp_path: Path, call: Any) -> None:
    """Would catch: a macro that `validate` knows, and a check, a view or an export doesn't."""
    project = made(tmp_path, call, MACROS)
    project.text("validate")
    project.text("tick", *NOW)
    done = project.json("status", *NOW)
    assert [row["asset"] for row in project.json("quarantine")] == [], done
    for name in ("o", "o2", "o3", "p"):
        assert len(project.json("read", name)["rows"]) == 2, name
        project.json("try", name)
    assert [row["cust"] for row in project.json("read", "w")["rows"]] == ["ada", "bo"]
    project.text("run", "x", "--partition", "2026-03-02", *NOW)
    (exported,) = (tmp_path / "out").glob("x_*.csv")
    assert exported.read_text().splitlines()[1:] == ["1,ada", "2,bo"]
    project.text("checks", "challenge")
    # a macro that isn't applied yet changes nothing that is read
    (tmp_path / "macros/m.sql").write_text("create macro clean(c) as upper(c);\n")
    assert [row["cust"] for row in project.json("sql", "from w order by id")["rows"]] == [
        "ada",
        "bo",
    ]
    assert project.json("sql", "select clean('x') as c")["rows"] == [{"c": "X"}]
