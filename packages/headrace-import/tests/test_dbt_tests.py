"""Tests, unit tests, sources, snapshots and exposures of dbt, and the ids of their items."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from dbt_lab import Imported, imported

from headrace_import.importers import Verdict

MODEL = {"models/orders.sql": "select id, customer_id, amount from {{ ref('raw_orders') }}"}


def with_tests(root: Path, tests: str, **files: str) -> Imported:
    """Import a model with these tests of its column `id`."""
    properties = f"models: [{{name: orders, columns: [{{name: id, data_tests: {tests}}}]}}]"
    return imported(root, {**MODEL, "models/s.yml": properties, **files})


def test_ids_are_those_of_dbt(tmp_path: Path) -> None:
    """The ids that dbt 1.12 gives these tests, as its manifest has them."""
    found = imported(
        tmp_path,
        {
            **MODEL,
            "models/customers.sql": "select 1 as customer_id",
            "models/s.yml": "models: [{name: orders, columns: [{name: order_id, tests: [unique]},"
            " {name: customer_id, tests: [not_null]}]}]",
            "dbt_project.yml": "name: jaffle_shop\nprofile: shop",
        },
    )
    assert "test.jaffle_shop.unique_orders_order_id.fed79b3a6e" in found.items
    assert "test.jaffle_shop.not_null_orders_customer_id.c5f02694af" in found.items


@pytest.mark.parametrize(
    ("test", "check"),
    [
        ("unique", "unique: [id]"),
        ("not_null: {config: {severity: warn}}", "severity: warning"),
        ("accepted_values: {values: [1, 2], quote: false}", "{column: id, values: [1, 2]}"),
        ("dbt_utils.accepted_range: {min_value: 0}", "range: {column: id, min: 0}"),
        (
            "dbt_utils.accepted_range: {min_value: 0, inclusive: false}",
            "select * from $self where not (id > 0)",
        ),
        (
            "unique: {config: {where: 'amount > 1'}}",
            "where: 'amount > 1'",
        ),
        (
            "dbt_utils.not_constant",
            "having count(distinct id) = 1",
        ),
        (
            "dbt_expectations.expect_column_values_to_match_regex: {regex: '^[0-9]+$'}",
            "not regexp_matches(id, '^[0-9]+$')",
        ),
    ],
)
def test_a_generic_test_is_a_check(tmp_path: Path, test: str, check: str) -> None:
    """Would catch: a test that is carried as a weaker or another check."""
    found = with_tests(tmp_path, f"[{{{test}}}]" if ":" in test else f"[{test}]")
    assert check in found.files["assets/orders.sql"]
    assert Verdict.PERSON not in found.verdicts().values()


@pytest.mark.parametrize(
    "test",
    [
        "unique: {config: {error_if: '>10'}}",
        "elementary.volume_anomalies: {sensitivity: 3}",
        "relationships: {to: ref('gone'), field: id}",
        "dbt_utils.accepted_range: {min_value: 0, surprise: 1}",
    ],
)
def test_a_test_without_counterpart_is_for_a_person(tmp_path: Path, test: str) -> None:
    """Would catch: a check that passes what dbt's test fails."""
    found = with_tests(tmp_path, f"[{{{test}}}]")
    assert "checks:" not in found.files["assets/orders.sql"]
    (item,) = [item for name, item in found.items.items() if name.startswith("test.")]
    assert (item.verdict, item.line) == (Verdict.PERSON, 1)
    assert item.todo


def test_a_projects_own_and_singular_tests_are_queries(tmp_path: Path) -> None:
    """Would catch: a test's `{{ model }}` that reads published rows instead of those at hand."""
    found = with_tests(
        tmp_path,
        "[{positive: {least: 3}}]",
        **{
            "tests/generic/p.sql": "{% test positive(model, column_name, least=0) %}\n"
            "select * from {{ model }} where {{ column_name }} < {{ least }}\n{% endtest %}",
            "tests/no_orphans.sql": "{{ config(severity='warn') }}\nselect o.id from"
            " {{ ref('orders') }} o left join {{ ref('raw_orders') }} r using (id)"
            " where r.id is null",
        },
    )
    text = found.files["assets/orders.sql"]
    assert "{name: positive_id, query: 'select * from $self where id < 3'}" in text
    assert "from $self o left join raw_orders r using (id) where r.id is null" in text
    assert "materialize: view" not in text, "the check would wait for the view's own input"
    assert found.items["test.shop.no_orphans"].verdict is Verdict.CARRIED
    assert found.items["macro.shop.test_positive"].verdict is Verdict.CARRIED


def test_a_reference_to_a_table_below_is_checked_there(tmp_path: Path) -> None:
    """Would catch: a check that waits for a table which waits for the checked one."""
    found = with_tests(
        tmp_path,
        "[{relationships: {to: ref('totals'), field: id}}]",
        **{
            "models/orders.sql": "{{ config(materialized='table') }} select id from"
            " {{ ref('raw_orders') }}",
            "models/totals.sql": "{{ config(materialized='table') }} select id from"
            " {{ ref('orders') }}",
        },
    )
    assert "checks:" not in found.files["assets/orders.sql"]
    assert (
        "select id from orders where id is not null and id not in (select id from $self"
        in (found.files["assets/totals.sql"])
    )


def test_unit_tests_keep_their_rows(tmp_path: Path) -> None:
    """Would catch: rows of a CSV with other cells, and expected rows that get lost."""
    entry = (
        "unit_tests: [{name: t, model: orders, given: [{input: ref('raw_orders'), format: csv,"
        ' rows: "id,amount\\n1,"}], expect: {rows: [{id: 1, amount: null}]}}]'
    )
    found = imported(tmp_path, {**MODEL, "models/s.yml": entry})
    assert found.files["tests/orders.yaml"] == (
        "- test: t\n  asset: orders\n  given:\n    raw_orders:\n      - {id: 1, amount: null}\n"
        "  expect:\n    - {id: 1, amount: null}\n"
    )
    assert found.items["unit_test.shop.orders.t"].verdict is Verdict.CARRIED


UNIT_TEST = (
    "unit_tests: [{{name: t, model: orders, {more} given: [{{input: ref('raw_orders'), format: sql,"
    ' rows: "{rows}"}}], expect: {{format: sql, fixture: out}}}}]'
)
EXPECTED = {"tests/fixtures/out.sql": "select 1 as id, cast('2' as int) as amount"}


@pytest.mark.parametrize(
    ("rows", "given"),
    [
        ("select 1 as id, 'a' as name union all select -2, null", "{id: 1, name: a}|{id: -2"),
        (
            "select cast('2026-01-01' as date) as day, (1.5) as x, true as b",
            "{day: '2026-01-01', x",
        ),
    ],
)
def test_rows_in_sql_are_rows(tmp_path: Path, rows: str, given: str) -> None:
    """Would catch: rows of SQL in another order or with other values than dbt's."""
    entry = UNIT_TEST.format(more="", rows=rows)
    found = imported(tmp_path, {**MODEL, **EXPECTED, "models/s.yml": entry})
    text = found.files["tests/orders.yaml"]
    positions = [text.index(part) for part in given.split("|")]
    assert positions == sorted(positions)
    assert "  expect:\n    - {id: 1, amount: 2}\n" in text
    assert found.items["unit_test.shop.orders.t"].verdict is Verdict.CARRIED


@pytest.mark.parametrize(
    ("more", "rows", "why"),
    [
        ("", "select now() as at", "computes values"),
        ("", "select id as id from other", "does more than list values"),
        ("", "select 1 as id from other", "does more than list values"),
        ("", "select 1 as id union select 2", "does more than list values"),
        ("", "select 1 as id union all select 2 limit 1", "does more than list values"),
        ("", "(select 1 as id union all select 2) limit 0", "does more than list values"),
        ("", "select 1 as a union all by name select 3 as b", "does more than list values"),
        ("", "select -73.98765432 as x", "isn't read exactly"),
        ("", "select cast(2.7 as int) as x", "a cast that changes a value"),
        ("", "select 1 as id, 2", "columns that have no name"),
        ("", "select", "columns that have no name"),
        ("", "select 1 as id, 2 as id", "or the same"),
        ("", "select from where", "can't be read"),
        ("overrides: {macros: {is_incremental: true}},", "select 1 as id", "the macro is_incr"),
        ("overrides: {vars: {floor: 3}},", "select 1 as id", "overrides the variable floor"),
    ],
)
def test_a_unit_test_that_cannot_be_written_is_for_a_person(
    tmp_path: Path, more: str, rows: str, why: str
) -> None:
    """Would catch: a test that passes here because it tests something else."""
    settings = "name: shop\nprofile: shop\nvars: {floor: 2}\n"
    model = "select id, {{ var('floor') }} as amount from {{ ref('raw_orders') }}"
    entry = UNIT_TEST.format(more=more, rows=rows)
    files = {"dbt_project.yml": settings, "models/orders.sql": model, "models/s.yml": entry}
    item = imported(tmp_path, {**files, **EXPECTED}).items["unit_test.shop.orders.t"]
    assert item.verdict is Verdict.PERSON
    assert why in item.why


def test_overrides_that_change_nothing_are_left_out(tmp_path: Path) -> None:
    """Would catch: a test that is lost because it says what is written in anyway."""
    settings = "name: shop\nprofile: shop\nvars: {floor: 2}\n"
    model = "select id, {{ var('floor') }} as amount from {{ ref('raw_orders') }}"
    more = "overrides: {macros: {is_incremental: false}, vars: {floor: 2, other: 1}},"
    entry = UNIT_TEST.format(more=more, rows="select 1 as id")
    files = {"dbt_project.yml": settings, "models/orders.sql": model, "models/s.yml": entry}
    item = imported(tmp_path, {**files, **EXPECTED}).items["unit_test.shop.orders.t"]
    assert item.verdict is Verdict.CARRIED, item.why


SELECTORS = {
    "tag:nightly": "tag:nightly",
    "{tag: nightly}": "tag:nightly",
    "+orders stg_items+1": "+orders stg_items+1",
    "stg_*,tag:x": "stg_items,tag:x",
    "models/staging": "path:assets/staging",
    "fqn:staging": "path:assets/staging",
    "sales": "sales path:assets/sales",
    "path:models/staging": "path:assets/staging",
    "{method: fqn, value: shop.staging, parents: true}": "+path:assets/staging",
    "{method: source, value: erp, children: true}": "source:items+",
    "{method: exposure, value: dunning, parents: true}": "consumer:dunning",
    "{union: [tag:a, {intersection: [tag:b, orders]}, {exclude: [stg_items]}]}":
        "tag:a tag:b,orders --exclude stg_items",
    "{intersection: ['tag:a tag:b', tag:c]}": "tag:a,tag:c tag:b,tag:c",
    "{method: selector, value: s0}": "tag:nightly",
    "group:sales": "owner:sales",
    "'@orders'": "@orders",
    "{method: tag, value: a, childrens_parents: true}": "@tag:a",
}  # fmt: skip
NO_SELECTORS = {
    "config.materialized:table": "no selection by config.materialized",
    "orders2": "selects nothing that is imported",
    "{union: [tag:a, {union: [tag:b, {exclude: [tag:c]}]}]}": "an exclusion of one part only",
    "{method: selector, value: gone}": "selector gone isn't there",
    "{method: selector, value: self}": "nested too deeply",
    "{}": "can't be read",
    "{intersection: ['a:b c:d', 'tag:x tag:y']}": "no selection by a",
}


def test_a_selector_is_said_in_words(tmp_path: Path) -> None:
    """Would catch: words that select something else than dbt, such as a folder of another name."""
    definitions = [*SELECTORS, *NO_SELECTORS]
    entries = [f"  - name: s{n}\n    definition: {text}" for n, text in enumerate(definitions)]
    entries.append("  - name: self\n    definition: {method: selector, value: self}")
    found = imported(
        tmp_path,
        {
            "models/orders.sql": "select id from {{ ref('raw_orders') }}",
            "models/staging/stg_items.sql": "select 1 as id",
            "models/sales/sales.sql": "select 1 as id",
            "models/sales/int_sales.sql": "select 1 as id",
            "models/s.yml": "sources: [{name: erp, tables: [{name: items}]}]\n",
            "selectors.yml": "selectors:\n" + "\n".join(entries) + "\n",
        },
    )
    selectors = tomllib.loads(found.files["headrace.toml"])["selectors"]
    for n, words in enumerate(SELECTORS.values()):
        item = found.items[f"selector.shop.s{n}"]
        assert selectors[f"s{n}"] == words, definitions[n]
        assert (item.verdict, item.file) == (Verdict.CARRIED, "selectors.yml")
    for n, why in enumerate(NO_SELECTORS.values(), len(SELECTORS)):
        assert why in found.items[f"selector.shop.s{n}"].todo, definitions[n]


@pytest.mark.parametrize(
    ("types", "columns"),
    [
        ("{id: bigint, amount: 'numeric(8,2)', absent: date}", "{name: id, physicalType: BIGINT}"),
        ("{amount: varchar(20)}", "{name: amount, physicalType: VARCHAR}"),
    ],
)
def test_types_of_a_seed_are_its_contract(tmp_path: Path, types: str, columns: str) -> None:
    """Would catch: leading zeros that get lost because a type of dbt isn't kept."""
    settings = f"name: shop\nprofile: shop\nseeds: {{shop: {{+column_types: {types}}}}}\n"
    found = imported(tmp_path, {"dbt_project.yml": settings})
    item = found.items["seed.shop.raw_orders"]
    assert (item.verdict, item.todo) == (Verdict.CARRIED, "")
    assert "contract: raw_orders" in found.files["sources/raw_orders.yaml"]
    contract = found.files["contracts/raw_orders.odcs.yaml"]
    assert columns in contract
    assert "absent" not in contract
    assert "{name: customer_id}" in contract, "a column that queries read isn't in the contract"


@pytest.mark.parametrize("kind", ["char(5)", "timestamp(0)", "time(2)"])
def test_types_by_which_a_seed_changes_are_for_a_person(tmp_path: Path, kind: str) -> None:
    """Would catch: a seed that is carried with its texts, where PostgreSQL fills them with blanks,
    or with fractions of seconds, where it rounds them."""
    settings = f"name: shop\nprofile: shop\nseeds: {{shop: {{+column_types: {{id: {kind}}}}}}}\n"
    postgres = "shop: {target: dev, outputs: {dev: {type: postgres}}}\n"
    found = imported(tmp_path, {"dbt_project.yml": settings, "profiles.yml": postgres})
    item = found.items["seed.shop.raw_orders"]
    assert item.verdict is Verdict.PERSON
    assert f"dbt writes its column id as {kind}" in item.why
    assert "contracts/raw_orders.odcs.yaml" not in found.files


@pytest.mark.parametrize("types", ["{id: variant}", "{id: [1]}", "{absent: date}"])
def test_types_that_are_no_types_are_for_a_person(tmp_path: Path, types: str) -> None:
    """Would catch: a seed that says it is carried with types that it doesn't have."""
    settings = f"name: shop\nprofile: shop\nseeds: {{shop: {{+column_types: {types}}}}}\n"
    found = imported(tmp_path, {"dbt_project.yml": settings})
    item = found.items["seed.shop.raw_orders"]
    assert item.verdict is (Verdict.CARRIED if "absent" in types else Verdict.PERSON)
    assert "contracts/raw_orders.odcs.yaml" not in found.files
    assert "contract" not in found.files["sources/raw_orders.yaml"]


def test_types_that_dbt_infers_are_a_contract_where_headrace_infers_others(tmp_path: Path) -> None:
    """Would catch: `01234` as text where dbt has 1234, and a date where dbt has text."""
    csv = (
        "code,zip,day,at,plus,n,empty\nNA,01234,01/31/2026,2026-01-01 10:00,+45,1,\n"
        "N/A,00501,12/31/2026,2026-01-01 11:00,7,null,\nnull,1,,,,30,\n"
    )
    found = imported(tmp_path / "types", {"seeds/codes.csv": csv})
    item = found.items["seed.shop.codes"]
    assert item.verdict is Verdict.CARRIED
    assert (
        item.why == "the same file, read as a source, with the types of contracts/codes.odcs.yaml"
    )
    contract = found.files["contracts/codes.odcs.yaml"]
    for column in ("zip, physicalType: INTEGER", "plus, physicalType: INTEGER", "empty}"):
        assert f"name: {column}" in contract
    for column in ("day", "at"):
        assert f"{{name: {column}, physicalType: VARCHAR}}" in contract
    assert "{name: code}" in contract
    assert "contracts/raw_orders.odcs.yaml" not in found.files, "a contract that says nothing new"


def test_words_for_null_that_dbt_reads_as_text_are_for_a_person(tmp_path: Path) -> None:
    """Would catch: nulls where dbt has the text `NA`."""
    found = imported(tmp_path, {"seeds/codes.csv": "code,n\nNA,1\nx,NA\n"})
    item = found.items["seed.shop.codes"]
    assert item.verdict is Verdict.PERSON
    assert "cells with NA are null here, and text in dbt" in item.why
    assert item.todo


def test_sources_are_declared_and_say_what_is_missing(tmp_path: Path) -> None:
    """Would catch: a source that counts as carried although nobody delivers it."""
    found = imported(
        tmp_path,
        {
            "models/s.yml": "sources: [{name: erp, schema: main, loaded_at_field: at, freshness:"
            " {warn_after: {count: 2, period: day}}, tables: [{name: orders}, {name: items,"
            " freshness: null}, {name: raw_orders}]}]",
            "models/orders.sql": "select * from {{ source('erp', 'orders') }}",
        },
    )
    text = found.files["sources/erp_orders.yaml"]
    assert "files: landing/main/orders.parquet" in text
    assert "freshness: {column: at, max_age: '2d'}" in text
    assert "freshness" not in found.files["sources/items.yaml"]
    assert found.items["source.shop.erp.orders"].verdict is Verdict.PERSON
    assert found.body("assets/orders.sql") == "select * from erp_orders"
    assert "sources/erp_raw_orders.yaml" in found.files


@pytest.mark.parametrize("tables", [("lost", "kept"), ("kept", "lost")])
def test_a_lost_freshness_of_a_seed_is_told_for_each_of_its_sources(
    tmp_path: Path, tables: tuple[str, str]
) -> None:
    """Would catch: "carried", since the last of two source tables of the seed lost nothing."""
    of = {
        "kept": "{name: a, identifier: orders}",
        "lost": "{name: b, identifier: orders, freshness: {warn_after: {count: 1, period: day}}}",
    }
    listed = ", ".join(of[table] for table in tables)
    found = imported(
        tmp_path,
        {
            "dbt_project.yml": "name: shop\nseeds: {shop: {+schema: raw}}",
            "seeds/orders.csv": "id\n1\n",
            "models/s.yml": f"sources: [{{name: raw, tables: [{listed}]}}]",
        },
    )
    item = found.items["seed.shop.orders"]
    assert item.verdict is Verdict.PERSON
    assert item.why.count("its freshness isn't checked") == 1


def test_a_source_that_a_seed_loads_is_the_seed(tmp_path: Path) -> None:
    """Would catch: a table that would be delivered twice under two names."""
    found = imported(
        tmp_path,
        {
            "dbt_project.yml": "name: shop\nseeds: {shop: {+schema: raw}}",
            "models/s.yml": "sources: [{name: erp, schema: raw, tables: [{name: raw_orders}]}]",
            "models/orders.sql": "select * from {{ source('erp', 'raw_orders') }}",
        },
    )
    assert found.body("assets/orders.sql") == "select * from raw_orders"
    assert found.items["source.shop.erp.raw_orders"].created == ("sources/raw_orders.yaml",)


def test_a_snapshot_says_what_becomes_of_deleted_rows(tmp_path: Path) -> None:
    """Would catch: deleted rows that stay current although dbt closes them, or the reverse."""
    text = (
        "{%% snapshot s %%}{{ config(unique_key='id', strategy='check', check_cols=['amount'],"
        " hard_deletes='%s') }}\nselect * from {{ ref('raw_orders') }}{%% endsnapshot %%}"
    )
    closing = imported(tmp_path / "a", {"snapshots/s.sql": text % "invalidate"})
    assert (
        "snapshot: {keys: [id], columns: [amount], deletes: close}"
        in (closing.files["assets/snapshots/s_versions.sql"])
    )
    assert "a deleted row closes its version, as in dbt" in closing.items["snapshot.shop.s"].why
    assert "dbt_valid_to" in closing.files["assets/snapshots/s.sql"]
    recording = imported(tmp_path / "b", {"snapshots/s.sql": text % "new_record"})
    assert recording.items["snapshot.shop.s"].verdict is Verdict.PERSON


def test_an_exposure_is_a_consumer_with_its_owner(tmp_path: Path) -> None:
    """Would catch: an exposure that reads nothing, or whose owner gets lost."""
    entry = (
        "exposures: [{name: board, owner: {name: Ana B, email: ana@example.com},"
        " depends_on: [ref('orders')]}, {name: lost, depends_on: [ref('gone')]}]"
    )
    found = imported(tmp_path, {**MODEL, "models/s.yml": entry})
    assert "- consumer: board\n  owner: Ana-B\n  reads: [orders]" in found.files["consumers.yaml"]
    assert found.items["exposure.shop.lost"].verdict is Verdict.PERSON


def test_enabled_of_a_source_may_be_jinja(tmp_path: Path) -> None:
    """Would catch: sources of packages that are for a person, although dbt reads them."""
    entry = (
        "sources: [{name: erp, tables: [{name: on, config: {enabled: \"{{ var('x', true) }}\"}},"
        " {name: off, config: {enabled: \"{{ var('x', true) == false }}\"}}]}]"
    )
    found = imported(tmp_path, {**MODEL, "models/s.yml": entry})
    assert "here the file" in found.items["source.shop.erp.on"].why
    assert found.items["source.shop.erp.off"].why == "it is disabled in dbt"


@pytest.mark.parametrize(
    ("test", "query"),
    [
        (
            "relationships: {to: ref('orders'), field: customer_id}",
            "and id not in (select customer_id from $self where customer_id is not null)",
        ),
        (
            "dbt_utils.relationships_where: {to: ref('orders'), field: customer_id}",
            "not in (select customer_id from $self where (1=1)",
        ),
        ("dbt_utils.equal_rowcount: {compare_model: ref('orders')}", "select count(*) from $self)"),
        (
            "dbt_utils.fewer_rows_than: {compare_model: ref('orders')}",
            "select count(*) from $self)",
        ),
        ("as_many: {other: ref('orders')}", "select id from $self except select id from $self"),
    ],
)
def test_a_test_that_compares_a_model_with_itself_reads_the_staged_rows(
    tmp_path: Path, test: str, query: str
) -> None:
    """Would catch: a hierarchy that is never published, because its check waits for itself."""
    macro = (
        "{% test as_many(model, column_name, other) %}select {{ column_name }} from {{ model }}"
        " except select {{ column_name }} from {{ other }}{% endtest %}"
    )
    found = with_tests(tmp_path, f"[{{{test}}}]", **{"macros/t.sql": macro})
    text = found.files["assets/orders.sql"]
    assert query in text.replace("''", "'")
    assert "orders." not in text.split("checks:")[1].split("*/")[0]
    (item,) = [item for name, item in found.items.items() if name.startswith("test.")]
    assert item.verdict is Verdict.CARRIED, item.why


def test_an_own_test_waits_for_the_table_that_it_compares_with(tmp_path: Path) -> None:
    """Would catch: a check that reads a table which isn't computed yet, or isn't there."""
    macro = (
        "{% test among(model, column_name, other) %}select {{ column_name }} from {{ model }}"
        " except select {{ column_name }} from {{ other }}{% endtest %}"
    )
    test, off = "[{among: {other: ref('gone')}}]", "{{ config(enabled=false) }} select 1 as id"
    gone = with_tests(tmp_path, test, **{"macros/t.sql": macro, "models/gone.sql": off})
    assert "checks:" not in gone.files["assets/orders.sql"]


def test_tests_of_a_model_that_dbt_computes_run_with_its_command(tmp_path: Path) -> None:
    """Would catch: tests that nobody runs once dbt's own job is switched off."""
    found = imported(
        tmp_path,
        {
            "models/asks.sql": "select {{ run_query('select 1') }} as id",
            "models/alone.sql": "select 1 as id",
            "models/s.yml": "models: [{name: asks, columns: [{name: id, data_tests: [unique,"
            " {not_null: {config: {enabled: false}}},"
            " {relationships: {to: ref('alone'), field: id}}]}]}]",
            "tests/one.sql": "select * from {{ ref('asks') }} where id < 1",
            "tests/two.sql": "select id from {{ ref('asks') }} except select id from {{ ref('alone') }}",
        },
    )
    command = "build, '--indirect-selection', buildable, '--select', '+asks']"
    assert command in found.files["assets/asks.yaml"]
    items = {name.split(".")[2].split("_asks")[0]: item for name, item in found.items.items()}
    for name in ("unique", "one"):
        assert items[name].verdict is Verdict.COMMAND
        assert items[name].why.endswith("its command is dbt build")
        assert items[name].created == ("assets/asks.yaml",)
    assert items["not_null"].verdict is Verdict.PERSON
    assert "it is disabled in dbt" in items["not_null"].why
    for name in ("relationships", "two"):
        assert items[name].verdict is Verdict.PERSON, items[name].why
        assert "alone" in items[name].why


def test_a_check_of_a_view_stops_only_what_reads_the_view(tmp_path: Path) -> None:
    """Would catch: a failed test of a view that rejects a source for all who read it."""
    found = imported(
        tmp_path,
        {
            **MODEL,
            "models/alone.sql": "select id from {{ ref('events') }}",
            "models/below.sql": "select id from {{ ref('alone') }}",
            "models/warns.sql": "select id from {{ ref('raw_orders') }}",
            "models/totals.sql": "{{ config(materialized='table') }} select count(*) as n from"
            " {{ ref('raw_orders') }}",
            "seeds/events.csv": "id\n1\n",
            "models/s.yml": "models:\n"
            "  - {name: orders, columns: [{name: id, data_tests: [unique]}]}\n"
            "  - {name: alone, columns: [{name: id, data_tests: [unique]}]}\n"
            "  - {name: warns, columns: [{name: id, data_tests:"
            " [{unique: {config: {severity: warn}}}]}]}\n",
        },
    )
    assert "materialize: view" not in found.files["assets/orders.sql"]
    assert "stored, because others read raw_orders, too" in found.model("orders").why
    for name in ("alone", "below", "warns"):
        assert "materialize: view" in found.files[f"assets/{name}.sql"]
    assert "a failed check of it rejects the new rows of events" in found.model("alone").why
    assert found.model("warns").why == "the same query as a view"


def test_what_has_no_place_is_named(tmp_path: Path) -> None:
    """Would catch: names and settings that get lost without a word."""
    found = imported(
        tmp_path,
        {
            "models/keys.sql": "{{ config(alias='member_keys') }} select 1 as id",
            "models/dim_v1.sql": "select 1 as id",
            "models/dim_v2.sql": "select 1 as id, 'a' as plan",
            "models/s.yml": "models:\n"
            "  - {name: keys, access: public, deprecation_date: 2027-01-01,"
            " config: {meta: {tier: 1, owner: x}}}\n"
            "  - name: dim\n    latest_version: 2\n"
            "    columns: [{name: id, description: key}, {name: plan, description: of the plan,"
            " data_tests: [not_null]}]\n"
            "    versions: [{v: 1, columns: [{include: all, exclude: [plan]}]}, {v: 2}]\n"
            "sources: [{name: erp, description: the ERP, tables: [{name: items}]}]\n"
            "exposures: [{name: board, label: The board, maturity: high, depends_on:"
            " [ref('keys')]}]\n"
            "unit_tests:\n"
            "  - {name: t, model: dim, given: [], expect: {rows: [{id: 1}]}}\n"
            "  - {name: u, model: dim, versions: {exclude: [1]}, given: [], expect: {rows: []}}\n",
            "macros/t.sql": "{% test never(model) %}select 1{% endtest %}",
            "packages.yml": "packages: [{local: ../dbt_utils}, {package: a/b, version: 1.0.0}]\n",
        },
    )
    why = found.model("keys").why
    assert "dbt's table member_keys is named `keys` here" in why
    assert "not carried: deprecation_date (2027-01-01); access (public); meta (tier)" in why
    assert "dbt's table dim_v2 is named `dim` here" in found.model("dim.v2").why
    assert "# plan" in found.files["assets/dim.sql"]
    assert "# plan" not in found.files["assets/dim_v1.sql"], "a column that the version excludes"
    assert "checks:" not in found.files["assets/dim_v1.sql"]
    assert "the ERP" not in found.files["sources/items.yaml"]
    source = found.items["source.shop.erp.items"].why
    assert source.endswith("the description of the source erp isn't carried")
    exposure = found.items["exposure.shop.board"].why
    assert exposure.endswith("not carried: label (The board), maturity (high)")
    tests = {name for name in found.items if name.startswith("unit_test.")}
    assert tests == {f"unit_test.shop.dim.{name}" for name in ("t_v1", "t_v2", "u_v2")}
    assert "CREATE MACRO" not in found.items["macro.shop.test_never"].todo
    assert found.items["package.a/b"].original == "package: a/b\nversion: '1.0.0'\n"
    assert "package.dbt_utils" in found.items


def test_the_filter_of_a_freshness_is_the_condition_of_its_check(tmp_path: Path) -> None:
    """Would catch: rows that dbt leaves out of the age of a source, and that make it fresh here."""
    files = {
        "models/s.yml": "sources: [{name: erp, schema: main, loaded_at_field: at, freshness:"
        " {warn_after: {count: 2, period: day}, filter: amount > 0}, tables: [{name: lines}]}]"
    }
    assert "where: 'amount > 0'" in imported(tmp_path, files).files["sources/lines.yaml"]
