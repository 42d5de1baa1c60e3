"""Projects of dbt that cover its kinds of models, snapshots and tests, with data that changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_PROFILE = "shop: {target: dev, outputs: {dev: {type: duckdb, path: shop.duckdb}}}\n"


@dataclass(frozen=True)
class DbtProject:
    """A project's files at first, and those that change before each later run."""

    name: str
    files: Mapping[str, str]
    later_files: tuple[Mapping[str, str], ...] = ()
    not_carried: tuple[str, ...] = ()
    """Beginnings of unique ids that are left to a person."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Table of dbt → its name in the new project, where they differ."""
    with_dbt: bool = False
    """Whether dbt compiles what can't be read without it."""
    columns_left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Table → columns that have the time of the run."""

    def write(self, root: Path, files: Mapping[str, str]) -> None:
        """Write files below a folder."""
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


_SHOP = DbtProject(
    "shop",
    {
        "dbt_project.yml": (
            "name: shop\nprofile: shop\nvars: {methods: [card, coupon], floor: 0}\n"
            "models:\n  shop:\n    +materialized: table\n    staging: {+materialized: view}\n"
            "seeds: {shop: {zips: {+column_types: {code: varchar(10), area: 'decimal(8,3)',"
            " absent: integer}}}}\n"
        ),
        "profiles.yml": _PROFILE,
        "seeds/zips.csv": "code,city,area\n00123,Ulm,1.5\n04567,Jena,\n",
        "models/zip_codes.sql": "select code, city, area from {{ ref('zips') }}\n",
        "seeds/raw_customers.csv": "id,first_name,last_name\n1,Ada,L\n2,Bo,K\n3,Cy,\n",
        "seeds/raw_orders.csv": (
            "id,user_id,order_date,status\n1,1,2018-01-01,returned\n2,2,2018-01-02,completed\n"
            "3,1,2018-01-04,completed\n4,9,2018-01-05,shipped\n"
        ),
        "seeds/raw_payments.csv": (
            "id,order_id,payment_method,amount\n1,1,card,1000\n2,2,coupon,250\n3,3,card,\n"
            "4,3,coupon,1700\n5,4,card,600\n"
        ),
        "macros/money.sql": (
            "{% macro euros(column, digits=2) %}\n"
            "  round({{ column }} / 100.0, {{ digits }})\n{% endmacro %}\n"
            "{% macro methods() %}{{ return(var('methods')) }}{% endmacro %}\n"
        ),
        "macros/above.sql": (
            "{% test above(model, column_name, floor=0) %}\n"
            "select * from {{ model }} where {{ column_name }} < {{ floor }}\n{% endtest %}\n"
        ),
        "models/staging/stg_customers.sql": (
            "with source as (select * from {{ ref('raw_customers') }})\n"
            "select id as customer_id, first_name, last_name from source\n"
        ),
        "models/staging/stg_orders.sql": (
            "-- one row an order\nselect id as order_id, user_id as customer_id, order_date, status"
            "\nfrom {{ ref('raw_orders') }}\n"
        ),
        "models/staging/stg_payments.sql": (
            "select id as payment_id, order_id, payment_method,"
            " {{ euros('amount') }} as amount from {{ ref('raw_payments') }}\n"
        ),
        "models/helpers/paid.sql": (
            "{{ config(materialized='ephemeral') }}\n"
            "select order_id, sum(amount) as paid from {{ ref('stg_payments') }} group by 1\n"
        ),
        "models/orders.sql": (
            "select o.order_id, o.customer_id, o.order_date, o.status, p.paid\n"
            "{% for method in methods() %}\n"
            ", sum(case when y.payment_method = '{{ method }}' then y.amount end)"
            " as {{ method }}_amount\n{% endfor %}\n"
            "from {{ ref('stg_orders') }} o left join {{ ref('stg_payments') }} y using (order_id)\n"
            "left join {{ ref('paid') }} p using (order_id)\n"
            "group by all\n"
        ),
        "models/customers_v1.sql": "select customer_id from {{ ref('stg_customers') }}\n",
        "models/customers_v2.sql": (
            "select c.customer_id, c.first_name, count(o.order_id) as orders\n"
            "from {{ ref('stg_customers') }} c left join {{ ref('orders') }} o using (customer_id)\n"
            "group by 1, 2\n"
        ),
        "models/newest.sql": "select * from {{ ref('customers') }} where orders > 0\n",
        "models/schema.yml": (
            "groups: [{name: finance, owner: {name: Fin, email: fin@example.com}}]\n"
            "models:\n"
            "  - name: orders\n    config: {group: finance, tags: [daily]}\n"
            "    description: '{{ doc(\"orders\") }}'\n"
            "    columns:\n"
            "      - name: order_id\n        data_tests: [unique, not_null]\n"
            "      - name: status\n        data_tests:\n"
            "          - accepted_values:\n"
            "              arguments: {values: [returned, completed, shipped]}\n"
            "      - name: customer_id\n        data_tests:\n"
            "          - relationships:\n"
            "              arguments: {to: ref('stg_customers'), field: customer_id}\n"
            "              config: {severity: warn}\n"
            "      - name: paid\n        data_tests:\n"
            "          - above: {arguments: {floor: 0}, config: {where: \"status <> 'x'\"}}\n"
            "  - name: customers\n    latest_version: 2\n"
            "    columns: [{name: customer_id, data_tests: [unique]}]\n"
            "    versions: [{v: 1}, {v: 2}]\n"
            "unit_tests:\n"
            "  - name: paid_is_a_sum\n    model: newest\n"
            "    given:\n      - input: ref('customers')\n"
            "        rows: [{customer_id: 1, first_name: A, orders: 2},"
            " {customer_id: 2, first_name: B, orders: 0}]\n"
            "    expect: {rows: [{customer_id: 1, first_name: A, orders: 2}]}\n"
            "exposures:\n"
            "  - name: board\n    type: dashboard\n    owner: {email: a@example.com}\n"
            "    depends_on: [ref('orders'), ref('customers')]\n"
        ),
        "models/docs.md": "{% docs orders %}What was **ordered**.{% enddocs %}\n",
        "tests/no_negative_payments.sql": "select * from {{ ref('stg_payments') }} where amount < 0",
    },
    later_files=(
        {
            "seeds/raw_orders.csv": (
                "id,user_id,order_date,status\n1,1,2018-01-01,returned\n2,2,2018-01-02,completed\n"
                "5,3,2018-02-05,shipped\n"
            )
        },
    ),
    names={"customers_v2": "customers"},
)

_EVENTS = "id,changed_at,customer,amount\n"
_KEPT = "1,2026-01-01 08:00:00,ada,10\n2,2026-01-01 09:00:00,bo,20\n3,2026-01-02 10:00:00,ada,30\n"
_CHANGED = (
    "1,2026-01-01 08:00:00,ada,10\n2,2026-01-03 09:00:00,bo,25\n"
    "3,2026-01-02 10:00:00,ada,30\n4,2026-01-04 11:00:00,cy,5\n"
)
_GONE = "3,2026-01-05 10:00:00,ada,31\n4,2026-01-04 11:00:00,cy,5\n5,2026-01-06 00:00:00,bo,7\n"


def _incremental(
    config: str, condition: str = "where changed_at > (select max(changed_at) from {{ this }})"
) -> str:
    return (
        "{{ config(materialized='incremental', " + config + ") }}\n"
        "select id, changed_at, customer, amount from {{ ref('raw_events') }}\n"
        "{% if is_incremental() %}" + condition + "{% endif %}\n"
    )


def _snapshot(name: str, config: str) -> str:
    return (
        "{% snapshot " + name + " %}\n{{ config(unique_key='id', " + config + ") }}\n"
        "select id, changed_at, customer, amount from {{ ref('raw_events') }}\n{% endsnapshot %}\n"
    )


_RUN_TIMES = ("dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to")
_UNIQUE = "columns: [{name: id, data_tests: [unique]}]"
_HISTORY = DbtProject(
    "history",
    {
        "dbt_project.yml": "name: history\nprofile: shop\n",
        "profiles.yml": _PROFILE,
        "seeds/raw_events.csv": _EVENTS + _KEPT,
        "models/by_key.sql": _incremental("unique_key='id', incremental_strategy='merge'"),
        "models/by_delete.sql": _incremental(
            "unique_key='id', incremental_strategy='delete+insert'"
        ),
        "models/by_default.sql": _incremental("unique_key='id'"),
        "models/by_pair.sql": _incremental("unique_key=['id', 'customer']"),
        "models/by_days.sql": _incremental(
            "unique_key='id'",
            "where changed_at > (select max(changed_at) - interval '1 day' from {{ this }})",
        ),
        "models/by_day.sql": _incremental(
            "unique_key='id'",
            "where changed_at >= (select date_trunc('day', max(changed_at)) from {{ this }})",
        ),
        "models/appended.sql": _incremental("incremental_strategy='append'"),
        "models/totals.sql": (
            "{{ config(materialized='table') }}\nselect customer, count(*) as n, sum(amount) as s\n"
            "from {{ ref('by_key') }} group by customer\n"
        ),
        "models/current_rows.sql": (
            "select id, amount from {{ ref('by_time') }} where dbt_valid_to is null\n"
        ),
        "models/schema.yml": (
            f"models:\n  - {{name: by_key, {_UNIQUE}}}\n  - {{name: by_delete, {_UNIQUE}}}\n"
            f"  - {{name: by_default, {_UNIQUE}}}\n  - {{name: by_days, {_UNIQUE}}}\n"
            f"  - {{name: by_day, {_UNIQUE}}}\n"
        ),
        "snapshots/by_time.sql": _snapshot(
            "by_time", "strategy='timestamp', updated_at='changed_at'"
        ),
        "snapshots/by_check.sql": _snapshot("by_check", "strategy='check', check_cols=['amount']"),
        "snapshots/closing.sql": _snapshot(
            "closing", "strategy='check', check_cols='all', hard_deletes='invalidate'"
        ),
        "snapshots/more.yml": (
            "snapshots:\n  - name: declared\n    relation: ref('raw_events')\n"
            "    config: {unique_key: id, strategy: timestamp, updated_at: changed_at}\n"
        ),
    },
    later_files=(
        {"seeds/raw_events.csv": _EVENTS + _CHANGED},
        {"seeds/raw_events.csv": _EVENTS + _GONE},
        {},
    ),
    not_carried=("model.history.by_pair",),
    columns_left_out={"by_check": _RUN_TIMES, "closing": _RUN_TIMES},
)

_MACROS = DbtProject(
    "macros",
    {
        "dbt_project.yml": (
            "name: macros\nprofile: shop\nvars: {size: 3}\n"
            "models: {macros: {+materialized: table}}\n"
        ),
        "profiles.yml": _PROFILE,
        "seeds/raw_payments.csv": (
            "id,method,amount\n1,card,10\n2,coupon,4\n3,card,7\n4,transfer,2\n5,card,\n"
        ),
        "macros/pairs.sql": (
            "{% macro pairs(column) %}\n"
            "{%- for pair in modules.itertools.permutations(range(var('size')), 2) %}\n"
            "  {{ column }} + {{ pair[0] }}{{ pair[1] }} as {{ column }}_{{ pair | join('_') }}\n"
            "  {%- if not loop.last %},{% endif %}\n{%- endfor %}\n{% endmacro %}\n"
            "{% macro methods() %}\n"
            "{% set found = run_query('select distinct method from ' ~ ref('raw_payments')\n"
            "  ~ ' order by 1') %}\n"
            "{% if execute %}{{ return(found.columns[0].values()) }}{% endif %}\n"
            "{{ return([]) }}\n{% endmacro %}\n"
        ),
        "macros/tests.sql": (
            "{% test sums_to(model, column_name) %}\n"
            "select {{ pairs(column_name) }} from {{ model }}\n"
            "where {{ model }}.{{ column_name }} < 0\n{% endtest %}\n"
        ),
        "models/paired.sql": (
            "-- every pair\nselect id, {{ pairs('amount') }}\nfrom {{ ref('raw_payments') }}\n"
            "where '{{ ref('raw_payments') }}' <> 'x'\n"
        ),
        "models/few.sql": (
            "{{ config(materialized='ephemeral') }}\n"
            "select id, {{ pairs('id') }} from {{ ref('raw_payments') }}\n"
        ),
        "models/joined.sql": (
            "with own as (select id, method from {{ ref('raw_payments') }})\n"
            "select own.method, few.id as few_id, {{ pairs('own.id') | replace('as own.', 'as ') }}\n"
            "from own join {{ ref('few') }} as few on few.id = own.id\n"
        ),
        "models/pivoted.sql": (
            "select\n  id\n  {%- for method in methods() %},\n"
            "  sum(case when method = '{{ method }}' then amount end) as {{ method }}\n"
            "  {%- endfor %}\nfrom {{ ref('raw_payments') }}\ngroup by id\n"
        ),
        "models/plain.sql": "select id, method from {{ ref('paired') }} join"
        " {{ ref('raw_payments') }} using (id)\n",
        "models/schema.yml": (
            "models:\n  - name: plain\n    columns: [{name: id, tests: [unique, sums_to]}]\n"
        ),
        "tests/no_pairs.sql": (
            "select {{ pairs('id') }} from {{ ref('plain') }} where id is null\n"
        ),
    },
    not_carried=("model.macros.pivoted",),
    with_dbt=True,
)

PROJECTS = (_SHOP, _HISTORY, _MACROS)
