"""Models of dbt as assets: which SQL they become, and when they are left to dbt or to a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from dbt_lab import Imported, dbt_project, imported

from headrace.project.session import Silent
from headrace_import.importers import DependencyKind, Verdict
from headrace_import.importers.dbt.project_files import read_files
from headrace_import.importers.dbt.settings import read_profile
from headrace_import.services.project import import_project

INCREMENTAL = """
{{ config(materialized='incremental', unique_key='id') }}
select id, amount from {{ ref('raw_orders') }}
{% if is_incremental() %}
-- only new ones
where id > (select max(id) from {{ this }})
{% endif %}
"""


def test_control_flow_is_written_out_and_comments_stay(tmp_path: Path) -> None:
    """Would catch: a loop, a condition or a comment that gets lost."""
    found = imported(
        tmp_path,
        {
            "models/a/orders.sql": "{# what we sold #}\nselect id,\n"
            "{% for k in ['x', 'y'] %} '{{ k }}' as {{ k }}{{ ',' if not loop.last }}{% endfor %}\n"
            "-- the seed\nfrom {{ ref('raw_orders') }}\n"
        },
    )
    assert found.model("orders").verdict is Verdict.CARRIED
    assert found.model("orders").created == ("assets/a/orders.sql",)
    assert found.body("assets/a/orders.sql") == (
        "-- what we sold select id, 'x' as x, 'y' as y -- the seed from raw_orders"
    )
    edges = {(edge.origin, edge.target, edge.how) for edge in found.project.dependencies}
    assert ("seed.shop.raw_orders", "model.shop.orders", DependencyKind.REF) in edges


CONTRACT = """
models:
  - name: a
    config: {contract: {enforced: true}, materialized: table}
    constraints: [{type: primary_key, columns: [id, day]}, {type: check, expression: id > 0}]
    columns:
      - {name: id, data_type: bigint, description: "the order: its number"}
      - {name: day, data_type: date}
      - {name: note, data_type: "varchar(20)", constraints: [{type: not_null}, {type: unique}]}
"""
ORDERS_OF_DAYS = "select 1::bigint as id, date '2026-01-01' as day, 'x' as note"


def properties(found: Imported, name: str) -> list[dict[str, Any]]:
    """Return the columns of a contract that was written."""
    document = yaml.safe_load(found.files[f"contracts/{name}.odcs.yaml"])
    columns: list[dict[str, Any]] = document["schema"][0]["properties"]
    return columns


def test_an_enforced_contract_becomes_a_contract_of_the_asset(tmp_path: Path) -> None:
    """Would catch: types or constraints that get lost, and a constraint that isn't mentioned."""
    found = imported(tmp_path, {"models/a.sql": ORDERS_OF_DAYS, "models/s.yml": CONTRACT})
    assert properties(found, "a") == [
        {
            "name": "id",
            "physicalType": "BIGINT",
            "description": "the order: its number",
            "primaryKey": True,
        },
        {"name": "day", "physicalType": "DATE", "primaryKey": True},
        {"name": "note", "physicalType": "VARCHAR", "required": True, "unique": True},
    ]
    item = found.model("a")
    assert item.verdict is Verdict.CARRIED and not item.todo
    assert item.created == ("assets/a.sql", "contracts/a.odcs.yaml")
    assert item.why.endswith(
        "its contract is contracts/a.odcs.yaml, which allows more columns than those it names;"
        " its constraint check isn't carried"
    )


WRITTEN_AS = """
models:
  - name: a
    config: {contract: {enforced: true}, materialized: %s}
    columns: [{name: n, data_type: "%s"}]
"""


@pytest.mark.parametrize(
    ("dialect", "kind", "value", "carried"),
    [
        ("postgres", "numeric(9,2)", "1.239::numeric(10,3)", False),
        ("postgres", "numeric(9,2)", "1.239::numeric(9,2)", True),
        ("postgres", "numeric(9,2)", "select 1.2::numeric(9,2) as n union all select 7", False),
        ("postgres", "numeric(9,2)", "*", False),
        (
            "postgres",
            "numeric(9,2)",
            "with a as (select 1.2::numeric(9,2) as n) select * from a",
            True,
        ),
        (
            "postgres",
            "numeric(9,2)",
            "with a as (select 1.2::numeric(9,3) as n) select * from a",
            False,
        ),
        ("postgres", "char(3)", "'ab'::text", False),
        ("postgres", "timestamp(0)", "'2026-01-01 10:00:00.7'::timestamp", False),
        ("postgres", "timestamp", "'2026-01-01 10:00:00.7'::timestamp", True),
        ("postgres", "varchar(3)", "'abc'::text", True),
        ("redshift", "varchar(3)", "'abc'", False),
        ("snowflake", "number", "1.5::number(9,2)", False),
        ("duckdb", "decimal", "1.2345::decimal(9,4)", False),
        ("duckdb", "decimal(9,4)", "1.2345::decimal(9,4)", True),
        ("duckdb", "varchar(3)", "'abcdef'", True),
        ("postgres", "bigint", "7::bigint", True),
    ],
)
def test_a_contract_that_casts_is_for_a_person(
    tmp_path: Path, dialect: str, kind: str, value: str, carried: bool
) -> None:
    """Would catch: 1.239 published where dbt's table has 1.24, since dbt compares types without
    their sizes, and the database casts as it writes the table."""
    text = value if "select" in value else f"select {value} as n"
    text = "select * from {{ ref('raw_orders') }}" if value == "*" else text
    for stored in ("table", "view"):
        found = imported(
            tmp_path / stored,
            {"models/a.sql": text, "models/s.yml": WRITTEN_AS % (stored, kind)},
            dialect=dialect,
        )
        doubt = f"dbt writes its column n as {kind}"
        assert (doubt in found.model("a").why) == (stored == "table" and not carried)


def test_a_length_of_a_contract_becomes_a_check(tmp_path: Path) -> None:
    """Would catch: a longer text that is published, where PostgreSQL fails."""
    files = {"models/a.sql": "select 'abc'::text as n", "models/s.yml": WRITTEN_AS}
    for dialect, stored, options in (
        ("postgres", "table", {"maxLength": 3}),
        ("postgres", "view", None),
        ("duckdb", "table", None),
    ):
        files["models/s.yml"] = WRITTEN_AS % (stored, "varchar(3)")
        found = imported(tmp_path / f"{dialect}-{stored}", files, dialect=dialect)
        assert properties(found, "a")[0].get("logicalTypeOptions") == options


@pytest.mark.parametrize(
    ("dialect", "kind", "known"),
    [
        ("snowflake", "real", "DOUBLE"),
        ("snowflake", "int", "BIGINT"),
        ("sqlserver", "float", "DOUBLE"),
        ("sqlite", "integer", "BIGINT"),
        ("postgres", "real", "FLOAT"),
        ("postgres", "integer", "INTEGER"),
        ("bigquery", "bignumeric", ""),
    ],
)
def test_a_type_of_a_contract_is_the_databases(
    tmp_path: Path, dialect: str, kind: str, known: str
) -> None:
    """Would catch: 32 bits for a type of the same name that has 64 in its database."""
    files = {"models/a.sql": "select 1 as n", "models/s.yml": WRITTEN_AS % ("view", kind)}
    found = imported(tmp_path, files, dialect=dialect)
    written = "contracts/a.odcs.yaml" in found.files
    assert (properties(found, "a")[0]["physicalType"] if written else "") == known


def test_only_constraints_that_the_warehouse_holds_become_checks(tmp_path: Path) -> None:
    """Would catch: a key that Snowflake never checked, or one of a view, that stops a new run."""
    found = imported(
        tmp_path / "a",
        {"models/a.sql": ORDERS_OF_DAYS, "models/s.yml": CONTRACT},
        dialect="snowflake",
    )
    assert [set(column) for column in properties(found, "a")][1:] == [
        {"name", "physicalType"},
        {"name", "logicalType", "physicalType", "logicalTypeOptions", "required"},
    ]
    view = CONTRACT.replace("materialized: table", "materialized: view")
    found = imported(tmp_path / "b", {"models/a.sql": ORDERS_OF_DAYS, "models/s.yml": view})
    assert all(
        set(column) <= {"name", "physicalType", "description"} for column in properties(found, "a")
    )
    assert "its constraint not_null (note) isn't carried" in found.model("a").why


def test_a_contract_that_is_not_carried_is_named(tmp_path: Path) -> None:
    """Would catch: `carried`, while nothing compares the columns with the contract any more."""
    found = imported(
        tmp_path,
        {
            "models/a.sql": "select id from {{ ref('raw_orders') }}",
            "models/b.sql": "{{ config(contract={'enforced': true}) }} select 1 as id",
            "models/c.sql": "select 1 as id",
            "models/s.yml": "models: [{name: a, config: {contract: {enforced: true}}, columns: [{"
            "name: id}]}, {name: c, config: {contract: {enforced: true}}, columns: [{name: id,"
            " data_type: 'x); drop'}]}]",
        },
    )
    reasons = {
        "a": "its column id has no data_type",
        "b": "it names no columns",
        "c": "the type 'x); drop' of its column id is unknown",
    }
    for name, reason in reasons.items():
        said = f"columns and types aren't compared with its contract: {reason}"
        assert said in found.model(name).why
        assert found.model(name).todo == f"write the contract as contracts/{name}.odcs.yaml"
        assert f"contracts/{name}.odcs.yaml" not in found.files


def test_a_contract_that_validate_refuses_is_left_out(tmp_path: Path) -> None:
    """Would catch: a model that dbt computes only because its contract says another type."""
    folder = dbt_project(
        tmp_path / "old",
        {
            "models/a.sql": ORDERS_OF_DAYS,
            "models/s.yml": CONTRACT.replace("bigint", "date"),
        },
    )
    response = import_project("dbt", folder, tmp_path / "new", "test", Silent())
    assert response.validate is not None and response.validate.ok
    item = next(item for item in response.items if item.id == "model.shop.a")
    assert item.verdict == "carried"
    assert "promises `id` as DATE, its code returns BIGINT" in item.why
    assert item.todo == "write the contract as contracts/a.odcs.yaml"


def test_an_incremental_model_merges_by_its_key(tmp_path: Path) -> None:
    """Would catch: a first run that finds no rows, because `max` of nothing is null."""
    found = imported(
        tmp_path,
        {
            "models/orders.sql": INCREMENTAL,
            "models/s.yml": "models: [{name: orders, columns: [{name: id, data_tests: [unique]}]}]",
        },
    )
    text = found.files["assets/orders.sql"]
    assert "materialize: merge\nmerge: {keys: [id]}" in text
    assert found.body("assets/orders.sql") == (
        "select id, amount from raw_orders -- only new ones where ( not exists (select 1 from"
        " $self) or (id > (select max(id) from $self)) )"
    )
    assert found.model("orders").verdict is Verdict.CARRIED


def test_a_key_that_nobody_tests_is_for_a_person(tmp_path: Path) -> None:
    """Would catch: delete+insert by a key that repeats, carried as a merge that stops there."""
    found = imported(tmp_path, {"models/orders.sql": INCREMENTAL})
    assert found.model("orders").verdict is Verdict.PERSON
    assert "no test says that id is unique" in found.model("orders").why


def test_a_view_whose_rows_are_appended_is_stored(tmp_path: Path) -> None:
    """Would catch: an append over a view, which validate refuses."""
    found = imported(
        tmp_path,
        {
            "models/stg.sql": "select id from {{ ref('raw_orders') }}",
            "models/log.sql": "{{ config(materialized='incremental') }}\nselect id from"
            " {{ ref('stg') }}\n{% if is_incremental() %}\nwhere id > (select max(id) from"
            " {{ this }})\n{% endif %}",
        },
    )
    assert "materialize: append" in found.files["assets/log.sql"]
    assert "materialize" not in found.files["assets/stg.sql"]


def test_appending_without_a_look_at_what_is_there_is_for_a_person(tmp_path: Path) -> None:
    """Would catch: rows that dbt repeats with each run, carried as rows that come once."""
    text = "{{ config(materialized='incremental') }} select id from {{ ref('raw_orders') }}"
    found = imported(tmp_path, {"models/log.sql": text})
    assert found.model("log").verdict is Verdict.PERSON


def test_what_asks_the_warehouse_is_left_to_dbt_with_all_that_reads_it(tmp_path: Path) -> None:
    """Would catch: an asset that reads a table which only dbt's warehouse has."""
    found = imported(
        tmp_path,
        {
            "models/dyn.sql": "select {{ run_query('select 1') }} as one",
            "models/below.sql": "select one from {{ ref('dyn') }}",
            "models/s.yml": "models: [{name: below, columns: [{name: one, tests: [not_null]}]}]",
        },
    )
    assert found.model("dyn").verdict is found.model("below").verdict is Verdict.COMMAND
    assert (
        "[sh, jobs/run-dbt.sh, build, '--indirect-selection', buildable, '--select', '+below']"
        in found.files["assets/below.yaml"]
    )
    tests = [item for name, item in found.items.items() if name.startswith("test.")]
    assert [item.verdict for item in tests] == [Verdict.COMMAND]


def test_macros_are_expanded_by_dialect_and_reported(tmp_path: Path) -> None:
    """Would catch: `adapter.dispatch` that takes another warehouse's macro."""
    found = imported(
        tmp_path,
        {
            "macros/m.sql": "{% macro euros(c) %}{{ return(adapter.dispatch('euros')(c)) }}"
            "{% endmacro %}\n{% macro default__euros(c, n=2) %}round({{ c }}, {{ n }}){% endmacro %}"
            "\n{% macro postgres__euros(c) %}wrong{% endmacro %}",
            "models/o.sql": "select {{ euros('amount') }} as amount from {{ ref('raw_orders') }}",
        },
    )
    assert found.body("assets/o.sql") == "select round(amount, 2) as amount from raw_orders"
    verdicts = {name: v for name, v in found.verdicts().items() if name.startswith("macro.")}
    assert verdicts == {
        "macro.shop.euros": Verdict.CARRIED,
        "macro.shop.default__euros": Verdict.CARRIED,
        "macro.shop.postgres__euros": Verdict.PERSON,
    }


def test_other_dialects_are_translated_and_doubts_named(tmp_path: Path) -> None:
    """Would catch: whole numbers of PostgreSQL that become fractions without a word."""
    found = imported(
        tmp_path,
        {
            "models/same.sql": "select id, amount from {{ ref('raw_orders') }} -- as it is",
            "models/div.sql": "select id / 2 as half from {{ ref('raw_orders') }}",
        },
        dialect="postgres",
    )
    assert found.body("assets/same.sql") == "select id, amount from raw_orders -- as it is"
    assert found.model("div").verdict is Verdict.PERSON
    assert "`id / 2` is a whole number in postgres" in found.model("div").why


def test_of_an_unknown_database_the_report_says_how_to_name_it(tmp_path: Path) -> None:
    """Would catch: "its SQL is translated from", and each model for a person to compare for ever."""
    model = "select cast(id as text) as id, current_timestamp as at from {{ ref('raw_orders') }}"
    item = imported(tmp_path, {"models/o.sql": model}, dialect="strange").model("o")
    assert item.verdict is Verdict.PERSON
    assert item.why.endswith("; its SQL is translated")
    assert item.todo == (
        "name its database in profiles.yml and import again, or compare assets/o.sql with the"
        " original, and decide"
    )


def test_a_table_that_is_read_by_its_name_is_left_to_dbt(tmp_path: Path) -> None:
    """Would catch: an asset over a table that the new project doesn't know."""
    found = imported(tmp_path, {"models/o.sql": "select * from warehouse.orders"})
    assert found.model("o").verdict is Verdict.COMMAND
    assert "reads orders by its name" in found.model("o").why


def test_a_cte_that_hides_a_table_is_for_a_person(tmp_path: Path) -> None:
    """Would catch: a query that reads its own CTE where dbt reads the table, carried as the same."""
    orders = "{{ ref('raw_orders') }}"
    found = imported(
        tmp_path,
        {
            "models/same.sql": f"with raw_orders as (select * from {orders}) select id from"
            " raw_orders",
            "models/other.sql": f"with raw_orders as (select * from {orders} where id > 1) select"
            f" count(*) as n from {orders}",
        },
    )
    assert found.model("same").verdict is Verdict.CARRIED
    assert found.model("other").verdict is Verdict.PERSON
    assert "hides the table" in found.model("other").why


def test_names_that_collide_get_a_suffix_that_stays(tmp_path: Path) -> None:
    """Would catch: two assets of one name, and a name that changes with each import."""
    files = {
        "models/orders.sql": "select 1 as id",
        "models/Orders.sql": "select 2 as id",
        "models/order.sql": "select 3 as id",
    }
    first = imported(tmp_path, files)
    again = imported(tmp_path, files)
    assert first.files == again.files
    assert "is named `orders_" in first.model("orders").why
    assert "assets/order_data.sql" in first.files


def test_owners_tags_and_descriptions_are_kept(tmp_path: Path) -> None:
    """Would catch: an owner, a tag or a doc block that gets lost on the way."""
    found = imported(
        tmp_path,
        {
            "models/orders.sql": "{{ config(group='sales', tags=['daily']) }} select 1 as id",
            "models/docs.md": "{% docs o %}Orders, */ each once.{% enddocs %}",
            "models/s.yml": "groups: [{name: sales, owner: {email: s@example.com}}]\n"
            "models: [{name: orders, description: \"{{ doc('o') }}\","
            " columns: [{name: id, description: the key}]}]",
        },
    )
    text = found.files["assets/orders.sql"]
    assert "owner: sales\ntags: [daily]" in text
    assert "description: 'Orders, * / each once.'" in text
    assert "# id: the key" in text
    assert "mailto:s@example.com" in found.files["owners.yaml"]


def test_a_variable_is_its_value_and_an_environment_variable_a_doubt(tmp_path: Path) -> None:
    """Would catch: a value of one machine, carried as if it were everybody's."""
    found = imported(
        tmp_path,
        {
            "dbt_project.yml": "name: shop\nprofile: shop\nvars: {least: 5, shop: {most: 9}}",
            "models/v.sql": "select id from {{ ref('raw_orders') }} where id between"
            " {{ var('least') }} and {{ var('most') }}",
            "models/e.sql": "select '{{ env_var('REGION', 'eu') }}' as region",
            "models/n.sql": "select '{{ env_var('REGION') }}' as region",
        },
    )
    assert found.body("assets/v.sql").endswith("between 5 and 9")
    assert found.model("v").verdict is Verdict.CARRIED
    assert found.model("e").verdict is Verdict.PERSON
    assert found.model("n").verdict is Verdict.COMMAND


def test_config_get_and_flags_are_those_of_an_ordinary_run(tmp_path: Path) -> None:
    """Would catch: models left to dbt because they read their own configuration."""
    found = imported(
        tmp_path,
        {
            "dbt_project.yml": "name: shop\nprofile: shop\nmodels: {shop: {+grain: day}}\n",
            "models/a.sql": "{{ config(part='x') }} select '{{ config.get('part') }}' as p,"
            " '{{ config.get('grain') }}' as g, '{{ config.get('none', 'd') }}' as d"
            "{% if flags.FULL_REFRESH %}, 1 as full{% endif %} from {{ ref('raw_orders') }}",
        },
    )
    assert found.body("assets/a.sql") == "select 'x' as p, 'day' as g, 'd' as d from raw_orders"


def test_listagg_has_the_argument_names_of_dbt(tmp_path: Path) -> None:
    """Would catch: a known macro that is refused when its arguments are named."""
    sql = (
        "select {{ dbt.listagg(measure='id', delimiter_text=\"'-'\","
        " order_by_clause='order by id') }} as ids from {{ ref('raw_orders') }}"
    )
    found = imported(tmp_path, {"models/a.sql": sql})
    assert found.body("assets/a.sql") == (
        "select string_agg(id, '-' order by id) as ids from raw_orders"
    )


def test_the_dialect_is_that_of_the_profiles_name_or_of_settings(tmp_path: Path) -> None:
    """Would catch: SQL of a warehouse read as DuckDB's, because profiles.yml is kept elsewhere."""
    model = {"models/a.sql": "select 7 / 2 as half from {{ ref('raw_orders') }}"}
    settings = (
        "name: shop\nprofile: acme-snowflake\n",
        "name: shop\nprofile: shop\nmodels: {shop: {+snowflake_warehouse: small}}\n",
        "name: shop\nprofile: shop\nmodels: {shop: {+unlogged: true, staging: {+dist: id}}}\n",
        "name: shop\nprofile: shop\n",
    )
    dialects = []
    for number, text in enumerate(settings):
        root = dbt_project(tmp_path / str(number), {**model, "dbt_project.yml": text})
        (root / "profiles.yml").unlink()
        dialects.append(read_profile(read_files(root))[0])
    assert dialects == ["snowflake", "snowflake", "", ""]


def test_a_surrogate_key_has_the_nulls_of_its_version(tmp_path: Path) -> None:
    """Would catch: other keys than dbt_utils makes, where a column is null."""
    models = {
        "models/a.sql": "select {{ dbt_utils.surrogate_key(['id']) }} as k"
        " from {{ ref('raw_orders') }}",
        "models/b.sql": "select {{ dbt_utils.generate_surrogate_key(['id']) }} as k"
        " from {{ ref('raw_orders') }}",
    }
    empty = "select md5(cast(coalesce(cast(id as varchar), '') as varchar)) as k from raw_orders"
    found = imported(tmp_path / "new", models)
    assert found.body("assets/a.sql") == empty
    assert "_dbt_utils_surrogate_key_null_" in found.body("assets/b.sql")
    settings = (
        "name: shop\nprofile: shop\nvars: {surrogate_key_treat_nulls_as_empty_strings: true}\n"
    )
    old = imported(tmp_path / "old", {**models, "dbt_project.yml": settings})
    assert old.body("assets/b.sql") == empty


@pytest.mark.parametrize(
    "option",
    [
        "dbt_valid_to_current=\"to_date('9999-12-31')\"",
        "snapshot_meta_column_names={'dbt_valid_to': 'until'}",
    ],
)
def test_a_snapshot_with_columns_of_its_own_is_for_a_person(tmp_path: Path, option: str) -> None:
    """Would catch: NULL in dbt_valid_to, where dbt has a date that readers filter by."""
    config = f"{{{{ config(unique_key='id', strategy='check', check_cols='all', {option}) }}}}"
    text = (
        f"{{% snapshot s %}}{config} select * from {{{{ ref('raw_orders') }}}}{{% endsnapshot %}}"
    )
    item = imported(tmp_path, {"snapshots/s.sql": text}).items["snapshot.shop.s"]
    assert item.verdict is Verdict.PERSON
    assert option.partition("=")[0] in item.why
