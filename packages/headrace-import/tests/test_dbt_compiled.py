"""Imports with `--with-dbt`: SQL that dbt compiled, where the templates can't be read without it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from dbt_lab import Imported, dbt_project

from headrace.model import HeadraceError, UsageError
from headrace.project.session import Silent
from headrace_import.importers import Verdict
from headrace_import.importers.dbt import read_project
from headrace_import.importers.dbt.compiled import CompiledProject, DbtManifest
from headrace_import.importers.dbt.run_dbt import compile_project
from headrace_import.services.manifest import load_manifest
from headrace_import.services.project import check_import, import_project

UNREADABLE = "select {{ modules.itertools.count() }} as one from {{ ref('raw_orders') }}"


def manifest(nodes: Mapping[str, Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """A manifest of dbt with the seed `raw_orders`."""
    seed = {"relation_name": '"dev"."main"."raw_orders"', "raw_code": ""}
    return {
        "metadata": {"dbt_version": "1.10.23"},
        "nodes": {"seed.shop.raw_orders": seed, **nodes},
        **more,
    }


def compiled(
    root: Path,
    sql: str,
    *,
    files: Mapping[str, str] | None = None,
    nodes: Mapping[str, Mapping[str, Any]] | None = None,
    macros: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Imported:
    """Import a project whose model `m` only dbt can compile, to this SQL."""
    project = dbt_project(root, {"models/m.sql": UNREADABLE, **(files or {})})
    relation = '"dev"."main"."m"'
    node = {"relation_name": relation, "raw_code": UNREADABLE, "compiled_code": sql, **fields}
    document = manifest({"model.shop.m": node, **(nodes or {})}, macros=macros or {})
    read = msgspec.convert(document, DbtManifest)
    return Imported(read_project(project, compiled=CompiledProject(read)))


@pytest.mark.parametrize(
    ("sql", "body"),
    [
        (
            """select id from "dev"."main"."raw_orders" -- "dev"."main"."raw_orders"
            where 'x' <> '"dev"."main"."raw_orders"'""",
            """select id from raw_orders -- "dev"."main"."raw_orders" where 'x' <> '"dev"."main"."raw_orders"'""",
        ),
        ("SELECT raw_orders.id FROM DEV.Main.RAW_ORDERS", "SELECT raw_orders.id FROM raw_orders"),
        ("select id from main.raw_orders", "select id from raw_orders"),
        ("select main.raw_orders.id from main.raw_orders", "select raw_orders.id from raw_orders"),
        (
            'with é as (select 1 as id) select * from é join "dev"."main"."raw_orders" using (id)',
            "with é as (select 1 as id) select * from é join raw_orders using (id)",
        ),
    ],
)
def test_tables_have_the_names_of_the_new_project(tmp_path: Path, sql: str, body: str) -> None:
    """Would catch: a name replaced in a comment or a text, or at the wrong place."""
    found = compiled(tmp_path, sql)
    assert found.body("assets/m.sql") == body
    assert found.model("m").verdict is Verdict.CARRIED
    assert "dbt 1.10.23 compiled it" in found.model("m").why


def test_a_renamed_table_keeps_its_name_for_its_columns(tmp_path: Path) -> None:
    """Would catch: columns qualified by a table that has another name in the new project."""
    renamed = {"models/2020.sql": "select id from {{ ref('raw_orders') }}"}
    node = {"relation_name": '"dev"."main"."2020"', "compiled_code": "select 1"}
    found = compiled(
        tmp_path,
        'select "2020".id from "dev"."main"."2020"',
        files=renamed,
        nodes={"model.shop.2020": node},
    )
    assert found.body("assets/m.sql") == 'select "2020".id from _2020 as "2020"'


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ('select * from "dev"."other"."t"', "it reads dev.other.t by its name in the warehouse"),
        ("select * from t", "it reads t by its name in the warehouse"),
        ('select * from "dev"."main"."m"', "it reads the rows that it has already"),
        ('select * from "dev"."pack"."theirs"', "model.pack.theirs, which isn't of this project"),
        ('select * from "dev"."main"."raw_orders', "can't be read as duckdb"),
        ('delete from "dev"."main"."raw_orders"', "its text isn't one SELECT"),
    ],
)
def test_what_cannot_be_carried_stays_a_command_of_dbt(tmp_path: Path, sql: str, why: str) -> None:
    """Would catch: an asset that reads another table than dbt's model."""
    theirs = {"model.pack.theirs": {"relation_name": '"dev"."pack"."theirs"'}}
    found = compiled(tmp_path, sql, nodes=theirs)
    assert found.model("m").verdict is Verdict.COMMAND
    assert why in found.model("m").why


@pytest.mark.parametrize(
    ("raw", "macro", "doubt"),
    [
        ("{{ a() }}", "{% macro a() %}{{ run_query('select 1') }}{% endmacro %}", "the warehouse"),
        (
            "{{ a() }}",
            "{% macro a() %}{{ adapter.get_relation(x) }}{% endmacro %}",
            "the warehouse",
        ),
        ("{{ a() }}", "{% macro a() %}{{ run_started_at }}{% endmacro %}", "the time when dbt"),
        ("{{ env_var('REGION') }}", "", "the environment variable REGION is written in"),
        ("{{ target.name }}", "", "dbt's target"),
    ],
)
def test_what_held_only_when_dbt_compiled_is_for_a_person(
    tmp_path: Path, raw: str, macro: str, doubt: str
) -> None:
    """Would catch: an answer of today's warehouse carried in silence as if it were fixed."""
    found = compiled(
        tmp_path,
        'select 1 as one from "dev"."main"."raw_orders"',
        raw_code=raw,
        depends_on={"macros": ["macro.shop.b"]},
        macros={
            "macro.shop.b": {"macro_sql": "", "depends_on": {"macros": ["macro.shop.a"]}},
            "macro.shop.a": {"macro_sql": macro, "depends_on": {"macros": ["macro.shop.b"]}},
        },
    )
    assert found.model("m").verdict is Verdict.PERSON
    assert doubt in found.model("m").why
    assert found.model("m").created == ("assets/m.sql",)


def test_an_incremental_model_is_for_a_person(tmp_path: Path) -> None:
    """Would catch: a model that dbt adds rows to, carried as one that is computed anew."""
    settings = {"materialized": "incremental", "unique_key": "id"}
    found = compiled(
        tmp_path,
        'select id from "dev"."main"."raw_orders"',
        config=settings,
        unrendered_config=settings,
    )
    assert found.model("m").verdict is Verdict.PERSON
    assert "the whole table is computed anew" in found.model("m").why


@pytest.mark.parametrize(
    ("sql", "body"),
    [
        ("with {cte} select id from __dbt__cte__e", "select id from e"),
        (
            "\nwith {cte}, own as (select 1 as id) select id from own join __dbt__cte__e using (id)",
            "with own as (select 1 as id) select id from own join e using (id)",
        ),
    ],
)
def test_an_ephemeral_model_is_read_by_its_name(tmp_path: Path, sql: str, body: str) -> None:
    """Would catch: a model that repeats the query of an ephemeral one."""
    cte = ' __dbt__cte__e as (\n\nselect id from "dev"."main"."raw_orders"\n)'
    found = compiled(
        tmp_path,
        sql.format(cte=cte),
        files={
            "models/e.sql": (
                "{{ config(materialized='ephemeral') }} select id from {{ ref('raw_orders') }}"
            )
        },
        extra_ctes=[{"id": "model.shop.e", "sql": cte}],
    )
    assert found.body("assets/m.sql") == body


def stand_in(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program `dbt` on the PATH; `$target` is the folder that it writes into."""
    program = folder / "bin" / "dbt"
    program.parent.mkdir()
    find = 'for last; do target="$last"; done\n'
    program.write_text(f"#!/bin/sh\n{find}{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo; printf '\\033[31mDatabase Error\\n  no such host\\n'; exit 2", "  no such host"),
        ("exit 2", "(it printed nothing)"),
        ('echo "{" > "$target/manifest.json"', "the manifest that dbt wrote can't be read"),
        ('echo "[]" > "$target/manifest.json"', "the manifest that dbt wrote can't be read"),
        ("sleep 60", "wasn't done after 1 s"),
    ],
)
def test_nothing_is_written_if_dbt_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    """Would catch: half an import, or an error without dbt's own words."""
    project = dbt_project(tmp_path / "p", {"models/m.sql": UNREADABLE})
    stand_in(tmp_path, script, monkeypatch)
    with pytest.raises(HeadraceError) as caught:
        compile_project(project, seconds=1)
    assert message in str(caught.value)
    assert "\033" not in str(caught.value)
    assert caught.value.hint


def test_dbt_that_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: an import without dbt although it was asked for."""
    project = dbt_project(tmp_path / "p", {"models/m.sql": UNREADABLE})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HeadraceError, match="no program `dbt` on the PATH"):
        import_project("dbt", project, tmp_path / "new", "test", Silent(), with_dbt=True)
    assert not (tmp_path / "new").exists()
    with pytest.raises(UsageError, match="is for projects of dbt"):
        import_project("airflow", project, tmp_path / "new", "test", Silent(), with_dbt=True)


def test_an_import_says_what_dbt_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a report that says that nothing was run, and `--check` that forgets dbt."""
    broken = {"models/m2.sql": "select {{ modules.x }} as one from {{ ref('raw_orders') }}"}
    document = manifest(
        {
            "model.shop.m": {"compiled_code": "select 1 as one"},
            "model.shop.m2": {"relation_name": '"dev"."main"."m2"'},
        }
    )
    results = {"results": [{"unique_id": "model.shop.m2", "status": "error", "message": "no x"}]}
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    (tmp_path / "results.json").write_text(json.dumps(results))
    stand_in(
        tmp_path,
        f'cp {tmp_path}/manifest.json "$target/"\n'
        f'cp {tmp_path}/results.json "$target/run_results.json"; exit 1',
        monkeypatch,
    )
    project = dbt_project(tmp_path / "p", {"models/m.sql": UNREADABLE, **broken})
    before = sorted(project.rglob("*"))
    response = import_project("dbt", project, tmp_path / "new", "test", Silent(), with_dbt=True)
    assert response.executed == 1
    items = {item.id: item for item in response.items}
    assert items["model.shop.m"].verdict == "carried"
    assert items["model.shop.m2"].verdict == "command"
    assert "dbt didn't compile it: no x" in items["model.shop.m2"].why
    assert "dbt compiled 1 template of" in (tmp_path / "new/import-report.md").read_text()
    assert sorted(project.rglob("*")) == before
    kept = load_manifest(tmp_path / "new")
    assert kept is not None
    assert kept.with_dbt
    assert "--with-dbt" in check_import("dbt", project, tmp_path / "new").next


def test_an_override_of_a_variable_that_dbt_wrote_in_is_for_a_person(tmp_path: Path) -> None:
    """Would catch: a unit test that passes here with another value of its variable."""
    entry = (
        "unit_tests: [{name: t, model: m, overrides: {vars: {floor: 3}}, given: [{input:"
        " ref('raw_orders'), rows: [{id: 1}]}], expect: {rows: [{id: 1}]}}]"
    )
    sql = 'select id from "dev"."main"."raw_orders" where id > 2'
    found = compiled(tmp_path, sql, files={"models/s.yml": entry})
    item = found.items["unit_test.shop.m.t"]
    assert item.verdict is Verdict.PERSON
    assert item.why == "it overrides variables of a model that dbt compiled"
