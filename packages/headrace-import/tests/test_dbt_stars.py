"""`dbt_utils.star`: `*` only where it gives the columns that dbt would list."""

from __future__ import annotations

from pathlib import Path

import pytest
from dbt_lab import imported

from headrace_import.importers import Verdict

STAR = "{{ dbt_utils.star(from=ref('raw_orders'), except=['amount']) }}"
ALIASED = "{{ dbt_utils.star(from=ref('raw_orders'), relation_alias='o') }}"


@pytest.mark.parametrize(
    ("query", "body"),
    [
        (
            f"select {STAR} from {{{{ ref('raw_orders') }}}}",
            'select * exclude ("amount") from raw_orders',
        ),
        (
            (
                "with src as (select * from {{ ref('raw_orders') }} where id > 1)\n"
                f"select {STAR}, 1 as one from src"
            ),
            (
                "with src as (select * from raw_orders where id > 1) "
                'select * exclude ("amount"), 1 as one from src'
            ),
        ),
        (
            (
                f"select {ALIASED}, x.id as other from {{{{ ref('raw_orders') }}}} o"
                " join {{ ref('raw_orders') }} x using (id)"
            ),
            "select o.*, x.id as other from raw_orders o join raw_orders x using (id)",
        ),
    ],
)
def test_a_star_of_the_only_table_is_carried(tmp_path: Path, query: str, body: str) -> None:
    """Would catch: a mark that is left in the SQL, or an exclusion that gets lost."""
    found = imported(tmp_path, {"models/orders.sql": query})
    assert found.model("orders").verdict is Verdict.CARRIED, found.model("orders").why
    assert found.body("assets/orders.sql") == body


@pytest.mark.parametrize(
    ("query", "why"),
    [
        (
            (
                f"select {STAR} from {{{{ ref('raw_orders') }}}} o join {{{{ ref('raw_orders') }}}} x"
                " using (id)"
            ),
            "lists the columns of raw_orders, not all that it reads",
        ),
        (
            (
                "with src as (select *, 1 as one from {{ ref('raw_orders') }})\n"
                f"select {STAR} from src"
            ),
            "lists the columns of raw_orders, not all that it reads",
        ),
        (
            f"select max({STAR}) from {{{{ ref('raw_orders') }}}}",
            "gives one by one",
        ),
        (
            (
                "select {% for c in dbt_utils.star(ref('raw_orders')).split('_') %}{{ c }},{% endfor %}"
                " 1 as one from {{ ref('raw_orders') }}"
            ),
            "isn't known",
        ),
        (
            (
                "{% set cols = dbt_utils.star(ref('raw_orders')) %}select {{ cols }}"
                "{% if 'amount' in cols %}, 1 as one{% endif %} from {{ ref('raw_orders') }}"
            ),
            "",
        ),
        (
            (
                "select {{ dbt_utils.star(ref('raw_orders'), prefix='a_') }}"
                " from {{ ref('raw_orders') }}"
            ),
            "with prefix asks for the table's columns",
        ),
        (f"select {STAR} as x from {{{{ ref('raw_orders') }}}}", "one by one"),
    ],
)
def test_a_star_with_other_columns_is_left_to_dbt(tmp_path: Path, query: str, why: str) -> None:
    """Would catch: a table with more or other columns than dbt's."""
    found = imported(tmp_path, {"models/orders.sql": query})
    item = found.model("orders")
    assert item.verdict is Verdict.COMMAND
    assert why in item.why
    assert not any("__headrace_star" in text for text in found.files.values())
