"""SQL of PostgreSQL and other warehouses in dbt projects: what is carried, and what is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dbt_lab import Imported, imported

from headrace_import.importers import ImportedItem, Refusal, Verdict
from headrace_import.importers.dbt import read_project

SHOP = {
    "models/staging/stg_customers.sql": (
        "with source as (\n    select * from {{ source('shop', 'customers') }}\n),\n"
        "renamed as (\n    select\n        id as customer_id,\n        trim(email) as email,\n"
        "        trim(first_name) as first_name,\n        created_at::date as created_on,\n"
        "        coalesce(is_active, false) as is_active\n    from source\n)\n"
        "select * from renamed\n"
    ),
    "models/staging/stg_orders.sql": (
        "select\n    id as order_id,\n    customer_id,\n    order_date,\n    status,\n"
        "    amount_cents::bigint / 100.0 as amount,\n"
        "    case when status in ('returned', 'return_pending') then true else false end as returned,\n"
        "    row_number() over (partition by customer_id order by order_date::date, id::int) as"
        " order_number\n"
        "from {{ source('shop', 'orders') }}\nwhere status <> 'test'\n"
    ),
    "models/staging/stg_payments.sql": (
        "select id as payment_id, order_id, method, amount from {{ source('shop', 'payments') }}\n"
        "where amount > 0 and method is not null\n"
    ),
    "models/marts/customer_orders.sql": (
        "select customer_id, min(order_date::date) as first_order, max(order_date::date) as newest,\n"
        "    count(order_id) as number_of_orders, count(distinct status) as states,\n"
        "    sum(case when returned then 1 else 0 end) as returns\n"
        "from {{ ref('stg_orders') }}\ngroup by customer_id\n"
    ),
    "models/marts/order_payments.sql": (
        "select order_id,\n"
        "{% for method in ['card', 'coupon'] %}"
        "    sum(case when method = '{{ method }}' then amount else 0 end) as {{ method }}_amount,\n"
        "{% endfor %}    sum(amount) as total\nfrom {{ ref('stg_payments') }}\ngroup by 1\n"
    ),
    "models/marts/customers.sql": (
        "with orders as (\n    select * from {{ ref('customer_orders') }}\n)\n"
        "select c.customer_id, c.email, coalesce(o.number_of_orders, 0) as orders, o.first_order\n"
        "from {{ ref('stg_customers') }} c\nleft join orders o on o.customer_id = c.customer_id\n"
    ),
    "models/marts/monthly.sql": (
        "select date_trunc('month', order_date) as month, extract(year from order_date) as year,\n"
        "    count(*) as orders, avg(amount) as average_amount,\n"
        "    sum(amount) over_all\nfrom {{ ref('stg_orders') }}\ngroup by 1, 2\n"
        "having count(*) > 1\norder by 1\n"
    ),
    "models/marts/latest.sql": (
        "with ranked as (\n    select *, rank() over (partition by customer_id order by order_date::date desc)"
        " as place,\n        lag(order_date) over (partition by customer_id order by order_date::date) as"
        " previous\n    from {{ ref('stg_orders') }}\n)\n"
        "select order_id, customer_id, order_date - interval '7 days' as week_before, previous\n"
        "from ranked\nwhere place = 1\n"
    ),
    "models/marts/late.sql": (
        "select o.order_id, o.order_date + 3 as due from {{ ref('stg_orders') }} o\n"
        "where not exists (select 1 from {{ ref('order_payments') }} p where p.order_id = o.order_id)\n"
        "union all\nselect order_id, null from {{ ref('stg_orders') }} where status like 'late%'\n"
    ),
    "models/marts/rounded.sql": (
        "select customer_id, round(amount, 2) as amount, amount / order_number as share\n"
        "from {{ ref('stg_orders') }}\n"
    ),
    "models/schema.yml": (
        "sources:\n  - name: shop\n    tables: [{name: customers}, {name: orders}, {name: payments}]\n"
        "models:\n  - name: stg_orders\n    columns:\n"
        "      - name: order_id\n        data_tests: [unique, not_null]\n"
        "      - name: status\n        data_tests:\n"
        "          - accepted_values: {arguments: {values: [placed, returned]}}\n"
        "      - name: customer_id\n        data_tests:\n"
        "          - relationships: {arguments: {to: ref('stg_customers'), field: customer_id}}\n"
    ),
    "tests/no_negative.sql": "select * from {{ ref('stg_payments') }} where amount < 0\n",
}
"""A shop as projects on PostgreSQL have it. Only the last mart has what isn't proven."""


def test_an_ordinary_project_on_postgresql_is_carried(tmp_path: Path) -> None:
    """Would catch: a table of constructs that is too small to move a project."""
    found = imported(tmp_path, SHOP, dialect="postgres")
    left = {
        uid: item
        for uid, item in found.items.items()
        if item.verdict is not Verdict.CARRIED and not uid.startswith("source.")
    }
    assert set(left) == {"model.shop.rounded"}, {uid: item.why for uid, item in left.items()}
    why = left["model.shop.rounded"].why
    assert "`amount / order_number` (line 1)" in why
    assert "`round(amount, 2)` (line 1)" in why, "stg_orders has a fraction for it"
    assert left["model.shop.rounded"].line == 1


def test_what_is_carried_on_a_condition_says_so(tmp_path: Path) -> None:
    """Would catch: "carried", though a condition decides, and types that the project declares."""
    kept = ["model.shop.plain", "test.shop.not_null_plain_id"]
    columns = "columns: [{name: id, data_type: integer, data_tests: [unique]}, {name: code, data_type: citext}]"
    files = {
        "models/a_typed.sql": "select id, count(*) as n from {{ ref('z_typed') }} where id > 3 group by id",
        "models/z_typed.sql": "with s as (select * from {{ source('shop', 'known') }}) select * from s",
        "models/odd.sql": "select id from {{ source('shop', 'known') }} where code = 'a'",
        "models/plain.sql": "select * from {{ source('shop', 'unknown') }}",
        "models/unknown.sql": "select id from {{ source('shop', 'unknown') }} where code = 'a'",
        "models/m.yml": (
            f"sources: [{{name: shop, tables: [{{name: unknown}}, {{name: known, {columns}}}]}}]\n"
            "models: [{name: plain, columns: [{name: id, data_tests: [unique, not_null]}]}]\n"
        ),
    }
    found = imported(tmp_path, files, dialect="postgres").items
    found = {
        uid.rpartition(".")[0] if uid.startswith("test.") else uid: item
        for uid, item in found.items()
    }
    conditional = {uid for uid, item in found.items() if item.on_condition}
    assert conditional == {"model.shop.unknown", "test.shop.unique_plain_id"}
    assert "(it uses code)" in found["model.shop.unknown"].why
    assert found["model.shop.odd"].verdict is Verdict.PERSON
    assert "`code`" in found["model.shop.odd"].why
    for uid in (*kept, "model.shop.a_typed", "test.shop.source_unique_shop_known_id"):
        assert found[uid].verdict is Verdict.CARRIED, uid


WHOLE = "rows between unbounded preceding and unbounded following"
FAULTY = [
    (f"select sum(id) over (partition by v order by w {WHOLE}) as x", "#24985"),
    (
        f"select avg(id) over k as x from s window k as (partition by v order by w {WHOLE})",
        "#24985",
    ),
    ("select count(*) over (partition by v, v) as x, sum(id) over (partition by v, w)", "#24629"),
    ("select id from s where id is distinct from 1 or id = 2", "#25992"),
    ("select strptime(v, ['%Y-%m-%d %H%z', '%Y-%m-%d %H']) as x", "72882df1ac0"),
]


@pytest.mark.parametrize("dialect", ["duckdb", "postgres"])
@pytest.mark.parametrize(("sql", "fault"), FAULTY)
def test_a_form_with_wrong_results_in_duckdb_is_for_a_person(
    tmp_path: Path, dialect: str, sql: str, fault: str
) -> None:
    """Would catch: a model that is carried, and that `validate` refuses then."""
    if dialect == "postgres" and "strptime" in sql:
        pytest.skip("PostgreSQL has no strptime")
    table = "{{ ref('s') }} as s"
    model = sql.replace("from s", f"from {table}") if "from s" in sql else f"{sql} from {table}"
    files = {"seeds/s.csv": "id,v,w\n1,a,b\n", "models/m.sql": model}
    found = imported(tmp_path, files, dialect=dialect)
    item = found.model("m")
    assert (item.verdict, fault in item.why) == (Verdict.PERSON, True), item.why
    assert "assets/m.sql" not in found.files


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("select id, initcap(v) as x", "`INITCAP(v)`"),
        ("select id, initcap(v) || to_char(w, '999D99') as x", "`INITCAP(v) || TO_CHAR(w"),
        ("select id, v || E'\\f' as x", "`v ||"),
        ("select id, justify_hours(w) as x", "`justify_hours(w)`"),
        ("select id, overlay(v placing 'x' from 1) as x", "`overlay(v"),
    ],
)
def test_a_construct_is_named_whatever_its_translation_holds(
    tmp_path: Path, sql: str, named: str
) -> None:
    """Would catch: "the file holds a control character", which only the translation has."""
    files = {"seeds/s.csv": "id,v,w\n1,a,2\n", "models/m.sql": f"{sql} from {{{{ ref('s') }}}}"}
    found = imported(tmp_path, files, dialect="postgres")
    assert named.lower() in found.model("m").why.lower()
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", "".join(found.files.values()))
    refused = [Refusal("assets/m.sql", "DuckDB has no such function")]
    again = Imported(read_project(tmp_path, refused=refused)).model("m")
    assert again.verdict is Verdict.COMMAND
    assert named.lower() in again.why.lower()


CHECKED = [
    ("duckdb", "unique: {config: {where: 'v is distinct from 1 or v = 2'}}", "#25992"),
    ("postgres", "not_null: {config: {where: \"v ~ '(a|b)'\"}}", "`v ~ '(a|b)'`"),
    ("postgres", "unique: {config: {where: 'round(v::float8) = 1'}}", "`round("),
    (
        "postgres",
        "accepted_values: {values: [a], config: {where: 'v similar to \"a%\"'}}",
        "SIMILAR",
    ),
    ("postgres", "dbt_utils.expression_is_true: {expression: '~ ''(a|b)'''}", "`v ~"),
    ("postgres", "dbt_expectations.expect_column_values_to_match_regex: {regex: '^a'}", "regexp"),
    ("mysql", "unique", "`v`"),
    ("mysql", "accepted_values: {values: [a]}", "`v`"),
    ("mysql", "relationships: {to: ref('raw_orders'), field: id}", "`t.v`"),
    ("redshift", "unique", "`v`"),
    ("", "unique", "its database"),
]


@pytest.mark.parametrize(("dialect", "test", "named"), CHECKED)
def test_a_check_that_is_not_proven_is_for_a_person(
    tmp_path: Path, dialect: str, test: str, named: str
) -> None:
    """Would catch: a blocking check that looks at other rows than the test did, and passes."""
    item = _check(tmp_path, dialect, test)[1]
    assert item.verdict is Verdict.PERSON
    assert named in item.why
    assert "check" in item.todo


def _check(root: Path, dialect: str, test: str) -> tuple[Imported, ImportedItem]:
    text = f"      - name: v\n        data_tests:\n          - {test}\n"
    files = {
        "seeds/s.csv": "id,v\n1,a\n",
        "seeds/schema.yml": f"seeds:\n  - name: s\n    columns:\n{text}",
    }
    found: Imported = imported(root, files, dialect=dialect or "unheard-of")
    tests = [item for uid, item in found.items.items() if uid.startswith("test.")]
    assert len(tests) == 1
    return found, tests[0]


def test_a_condition_is_written_as_the_warehouse_reads_it(tmp_path: Path) -> None:
    """Would catch: a regular expression that must match whole texts, or a backslash as a letter."""
    where = "where: \"v ~ 'AB' and v not like '%\\\\\\\\_bad'\""
    found, item = _check(tmp_path, "postgres", f"not_null: {{config: {{{where}}}}}")
    assert item.verdict is Verdict.CARRIED, item.why
    text = found.files[item.created[0]]
    assert "REGEXP_MATCHES(v, 'AB')" in text
    assert "ESCAPE" in text


def test_a_search_is_none_of_the_whole_text(tmp_path: Path) -> None:
    """Would catch: `~` that is kept as it is, of which DuckDB makes a match of the whole text."""
    model = "select id from {{ source('shop', 'orders') }} where code ~ 'AB'"
    sources = "sources: [{name: shop, tables: [{name: orders}]}]\n"
    files = {"models/m.sql": model, "models/s.yml": sources}
    found = imported(tmp_path, files, dialect="postgres")
    assert found.model("m").verdict is Verdict.CARRIED
    assert "REGEXP_MATCHES(code, 'AB')" in found.body("assets/m.sql")


FRESHNESS = [
    ("postgres", "at", "code ~ 'AB'", "REGEXP_MATCHES(code, 'AB')"),
    ("postgres", "at", "{{ var('recent', 'id = 1') }}", "id = 1"),
    ("mysql", "at", "code = 'x'", "freshness isn't checked: `code = 'x'`"),
    ("postgres", "at::timestamp", "id = 1", "`at::timestamp` isn't a column"),
]


@pytest.mark.parametrize(("dialect", "column", "condition", "named"), FRESHNESS)
def test_a_freshness_looks_at_the_same_rows(
    tmp_path: Path, dialect: str, column: str, condition: str, named: str
) -> None:
    """Would catch: a filter of the warehouse that is a condition here, and a rule that vanishes."""
    text = (
        f"sources:\n  - name: shop\n    loaded_at_field: '{column}'\n"
        f'    freshness: {{warn_after: {{count: 1, period: day}}, filter: "{condition}"}}\n'
        "    tables: [{name: orders}]\n"
    )
    found = imported(tmp_path, {"models/s.yml": text}, dialect=dialect)
    item = found.items["source.shop.shop.orders"]
    assert named in found.files["sources/orders.yaml"] + item.why
    assert ("freshness" in found.files["sources/orders.yaml"]) == ("freshness" not in item.why)


KEYED = {
    "models/m.sql": (
        "{{ config(materialized='incremental', unique_key='code', incremental_strategy='merge') }}\n"
        "select code, id from {{ ref('raw_orders') }}\n"
    ),
    "snapshots/s.sql": (
        "{% snapshot s %}{{ config(unique_key='code', strategy='check', check_cols=['id']) }}\n"
        "select code, id from {{ ref('raw_orders') }}{% endsnapshot %}\n"
    ),
}


@pytest.mark.parametrize(
    ("dialect", "verdict"), [("mysql", Verdict.PERSON), ("postgres", Verdict.CARRIED)]
)
def test_keys_are_compared_as_the_warehouse_does(
    tmp_path: Path, dialect: str, verdict: Verdict
) -> None:
    """Would catch: two rows here whose keys `A` and `a` are one key of MySQL."""
    found = imported(tmp_path, KEYED, dialect=dialect)
    for uid in ("model.shop.m", "snapshot.shop.s"):
        item = found.items[uid]
        assert item.verdict is verdict, item.why
        assert ("`code`" in item.why) == (verdict is Verdict.PERSON)


def test_what_the_project_configures_for_its_tests_counts(tmp_path: Path) -> None:
    """Would catch: a test that dbt has switched off, or narrows, as a check of all rows."""
    settings = "name: shop\nprofile: shop\ndata_tests: {shop: {+where: 'id > 1'}}\n"
    column = "seeds: [{name: s, columns: [{name: v, data_tests: [not_null]}]}]\n"
    files = {"seeds/s.csv": "id,v\n1,a\n", "seeds/schema.yml": column}
    found = imported(tmp_path / "a", {**files, "dbt_project.yml": settings})
    assert "where: 'id > 1'" in found.files["sources/s.yaml"]
    off = settings.replace("+where: 'id > 1'", "+enabled: false")
    found = imported(tmp_path / "b", {**files, "dbt_project.yml": off})
    assert "not_null" not in found.files["sources/s.yaml"]
