"""Macros of a project in place of those of dbt and of packages: used as dbt would, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from dbt_lab import SETTINGS, Imported, imported

from headrace_import.importers import Verdict

RAW = "from {{ ref('raw_orders') }}"
KEY = f"select {{{{ dbt_utils.generate_surrogate_key(['id']) }}}} as k {RAW}"
DISPATCH = "dispatch: [{macro_namespace: dbt_utils, search_order: [%s]}]\n"


def _macro(name: str, arguments: str, text: str) -> str:
    return f"{{% macro {name}({arguments}) %}}{text}{{% endmacro %}}\n"


def _model(root: Path, macros: str, text: str, more: Mapping[str, str] | None = None) -> Imported:
    return imported(root, {"macros/o.sql": macros, "models/m.sql": text, **(more or {})})


OWN_KEY = _macro("default__generate_surrogate_key", "field_list", "'own'")


@pytest.mark.parametrize(
    ("macros", "text", "body"),
    [
        (OWN_KEY, KEY, "select 'own' as k from raw_orders"),
        (
            _macro("duckdb__dateadd", "datepart, interval, from_date_or_timestamp", "'own'"),
            f"select {{{{ dbt.dateadd('day', 1, 'd') }}}} as k {RAW}",
            "select 'own' as k from raw_orders",
        ),
        (
            _macro("default__safe_cast", "field, type", "'own'"),
            f"select {{{{ safe_cast('a', 'int') }}}} as k {RAW}",
            "select 'own' as k from raw_orders",
        ),
        (
            _macro("bigquery__safe_cast", "field, type", "'own'"),
            f"select {{{{ safe_cast('a', 'int') }}}} as k {RAW}",
            "select cast(a as int) as k from raw_orders",
        ),
        (
            _macro("log", "text", "{{ return('own') }}"),
            f"select '{{{{ log('a') }}}}' as k {RAW}",
            "select 'own' as k from raw_orders",
        ),
        (
            _macro("is_incremental", "", "{{ return(true) }}"),
            f"select id {RAW} {{% if is_incremental() %}}limit 1{{% endif %}}",
            "select id from raw_orders limit 1",
        ),
    ],
)
def test_the_project_s_macro_comes_before_that_of_dbt_or_a_package(
    tmp_path: Path, macros: str, text: str, body: str
) -> None:
    """Would catch: the text of the builtin macro, where dbt runs the one that replaces it."""
    found = _model(tmp_path, macros, text)
    assert found.model("m").verdict is Verdict.CARRIED
    assert found.body("assets/m.sql").lower() == body


def test_a_macro_that_replaces_one_of_a_package_is_named_where_it_is_written_out(
    tmp_path: Path,
) -> None:
    """Would catch: a report which says that no asset uses the macro."""
    found = _model(tmp_path, OWN_KEY, KEY)
    item = found.items["macro.shop.default__generate_surrogate_key"]
    assert (item.verdict, item.created) == (Verdict.CARRIED, ("assets/m.sql",))


@pytest.mark.parametrize(
    ("order", "own", "verdict"),
    [
        ("shop, dbt_utils", True, Verdict.CARRIED),
        ("dbt_utils", False, Verdict.CARRIED),
        ("dbt_utils, shop", False, Verdict.CARRIED),
        ("spark_utils, dbt_utils", False, Verdict.COMMAND),
    ],
)
def test_dispatch_of_dbt_project_yml_says_which_macro_it_is(
    tmp_path: Path, order: str, own: bool, verdict: Verdict
) -> None:
    """Would catch: an order of packages that is ignored."""
    more = {"dbt_project.yml": SETTINGS + DISPATCH % order}
    found = _model(tmp_path, OWN_KEY, KEY, more)
    assert found.model("m").verdict is verdict
    assert ("'own'" in found.files.get("assets/m.sql", "")) is own


@pytest.mark.parametrize(
    ("macros", "text"),
    [
        (_macro("ref", "name", "{{ return(builtins.ref(name)) }}"), f"select id {RAW}"),
        (_macro("source", "a, b", "{{ return(builtins.source(a, b)) }}"), "{{ source('a', 'b') }}"),
        (_macro("default__hash", "field", "sha256({{ field }})"), KEY),
        (
            "{% materialization view, adapter='duckdb' %}select 1{% endmaterialization %}",
            f"select id {RAW}",
        ),
        (_macro("default__create_view_as", "relation, sql", "x"), f"select id {RAW}"),
        (_macro("get_create_view_as_sql", "relation, sql", "x"), f"select id {RAW}"),
        (
            _macro("duckdb__get_delete_insert_merge_sql", "a, b, c, d, e", "x"),
            f"{{{{ config(materialized='incremental') }}}} select id {RAW}",
        ),
    ],
)
def test_a_macro_whose_effect_is_not_known_leaves_the_model_to_dbt(
    tmp_path: Path, macros: str, text: str
) -> None:
    """Would catch: a table that dbt fills in the project's own way, carried as any other."""
    found = _model(tmp_path, macros, text)
    assert found.model("m").verdict is Verdict.COMMAND
    macro = next(item for name, item in found.items.items() if name.startswith("macro."))
    assert "no asset that is imported uses it" not in macro.why


def test_a_snapshot_that_the_project_writes_itself_is_for_a_person(tmp_path: Path) -> None:
    """Would catch: versions that dbt computes by the project's own macro."""
    snapshot = "{% snapshot s %}{{ config(unique_key='id', strategy='check', check_cols='all') }}"
    found = _model(
        tmp_path,
        _macro("default__snapshot_merge_sql", "target, source, insert_cols", "x"),
        "select 1 as a",
        {"snapshots/s.sql": f"{snapshot} select * {RAW} {{% endsnapshot %}}"},
    )
    assert found.items["snapshot.shop.s"].verdict is Verdict.PERSON
    assert "default__snapshot_merge_sql" in found.items["snapshot.shop.s"].why


@pytest.mark.parametrize("name", ["generate_schema_name", "default__generate_alias_name"])
def test_macros_that_name_tables_are_not_carried_and_say_why(tmp_path: Path, name: str) -> None:
    """Would catch: a macro that dbt calls itself, said to be unused."""
    found = _model(tmp_path, _macro(name, "a, b", "x"), f"select id {RAW}")
    assert found.items[f"macro.shop.{name}"].verdict is Verdict.PERSON
    assert "Headrace has one schema" in found.items[f"macro.shop.{name}"].why
    assert found.model("m").verdict is Verdict.CARRIED


@pytest.mark.parametrize(
    "macro",
    [
        "{% test not_null(model, column_name) %}select 'own' from {{ model }}{% endtest %}",
        _macro("default__test_not_null", "model, column_name", "select 'own' from {{ model }}"),
    ],
)
def test_the_project_s_generic_test_comes_before_dbt_s(tmp_path: Path, macro: str) -> None:
    """Would catch: dbt's check of that name, which the project doesn't run."""
    text = "models: [{name: m, columns: [{name: id, data_tests: [not_null]}]}]"
    found = _model(tmp_path, macro, f"select id {RAW}", {"models/s.yml": text})
    assert "select 'own' from $self" in found.files["assets/m.sql"]
    assert "not_null: id" not in found.files["assets/m.sql"]
