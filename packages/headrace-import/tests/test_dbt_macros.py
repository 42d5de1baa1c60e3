"""Macros of dbt and dbt_utils: the rows and names are those that dbt 1.10 makes with dbt-duckdb."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from dbt_lab import imported

from headrace_import.importers import Verdict

EMPLOYEES = (
    "create table emp as from (values (1, date '2026-01-01', 'a'), (1, '2026-01-02', null),"
    " (2, '2026-01-01', 'b-c'), (2, '2026-01-03', 'q'), (3, null, 'z')) t(id, d, v)"
)
WEEKS = (
    "{{ dbt_utils.date_spine(datepart='week', start_date=\"cast('2026-01-01' as date)\","
    " end_date=\"cast('2026-02-01' as date)\") }}"
)
MONTHS = (
    "{{ dbt_utils.date_spine('month', \"cast('2026-01-15' as date)\","
    " \"cast('2026-04-10' as date)\") }}"
)
QUARTERS = "{{ dbt.date_spine('quarter', \"date '2025-01-15'\", \"date '2026-04-10'\") }}"
FIRST_ROWS = "{{ dbt_utils.deduplicate(ref('emp'), partition_by='id', order_by='d') }}"


def body(root: Path, model: str, *, dialect: str = "duckdb", carried: bool = True) -> str:
    """Return a model's SQL in the new project."""
    files = {"models/m.sql": model, "seeds/emp.csv": "id,d,v\n1,2026-01-01,a\n"}
    found = imported(root, files, dialect=dialect)
    assert not carried or found.model("m").verdict is Verdict.CARRIED, found.model("m").why
    return found.body("assets/m.sql")


@pytest.mark.parametrize(
    ("model", "rows"),
    [
        (MONTHS, ["2026-01-15", "2026-02-15", "2026-03-15"]),
        (WEEKS, ["2026-01-01", "2026-01-08", "2026-01-15", "2026-01-22", "2026-01-29"]),
        (QUARTERS, ["2025-01-15", "2025-04-15", "2025-07-15", "2025-10-15", "2026-01-15"]),
        (FIRST_ROWS + " -- rows with nulls go", ["1", "2"]),
        ("{{ dbt_utils.generate_series(3) }}", ["1.0", "2.0", "3.0"]),
        ("select {{ dbt.split_part(\"'a-b'\", \"'-'\", 3) }}", ["None"]),
        ("select {{ dbt.any_value('v') }} from (select null v union all select 'x')", ["None"]),
        (
            "select {{ dbt.datediff(\"date '2026-01-03'\", \"date '2026-01-04'\", 'week') }}",
            ["1"],
        ),
    ],
)
def test_a_macro_gives_the_rows_of_dbt(tmp_path: Path, model: str, rows: list[str]) -> None:
    """Would catch: a spine without its last period, or rows with nulls that dbt leaves out."""
    with duckdb.connect() as connection:
        connection.execute(EMPLOYEES)
        result = connection.execute(body(tmp_path, model)).fetchall()
    assert [str(row[0])[:10] for row in sorted(result)] == rows


def test_a_spine_without_a_period_stops(tmp_path: Path) -> None:
    """Would catch: an empty table where dbt stops."""
    model = MONTHS.replace("2026-04-10", "2026-01-20")
    with duckdb.connect() as connection, pytest.raises(duckdb.Error, match="after the start"):
        connection.execute(body(tmp_path, model)).fetchall()


@pytest.mark.parametrize(
    ("text", "slug"),
    [("b-  c", "b_c"), ("Net (EUR)", "net_eur"), ("2nd place", "_2nd_place"), ("É t", "_t")],
)
def test_a_slug_is_that_of_dbt(tmp_path: Path, text: str, slug: str) -> None:
    """Would catch: columns with other names than in dbt."""
    model = f"select 1 as {{{{ dbt_utils.slugify('{text}') }}}}"
    assert body(tmp_path, model) == f"select 1 as {slug}"
    pivot = f"select {{{{ dbt_utils.pivot('v', ['{text}'], quote_identifiers=False) }}}} from emp"
    model = pivot.replace("from emp", "from {{ ref('emp') }}")
    assert f"end) as {slug} from emp" in body(tmp_path / "pivot", model)


@pytest.mark.parametrize(
    ("dialect", "cast", "rows"),
    [
        ("duckdb", "cast(id as int)", "natural join row_numbered"),
        ("bigquery", "try_cast(id as int)", "qualify row_number()"),
        ("snowflake", "try_cast(id as int)", "qualify row_number()"),
        ("postgres", "cast(id as int)", "distinct on (id) *"),
        ("redshift", "cast(id as int)", "qualify row_number()"),
    ],
)
def test_a_macro_is_that_of_the_adapter(tmp_path: Path, dialect: str, cast: str, rows: str) -> None:
    """Would catch: nulls where dbt's plain cast fails, and rows that its adapter leaves out."""
    model = "select {{ dbt.safe_cast('id', 'int') }} as id from {{ ref('emp') }}"
    assert cast in body(tmp_path / "cast", model, dialect=dialect, carried=False).lower()
    first = " ".join(
        body(tmp_path / "rows", FIRST_ROWS, dialect=dialect, carried=False).split()
    ).lower()
    assert rows in first


@pytest.mark.parametrize(
    ("dialect", "macro", "why"),
    [
        ("databricks", "dbt.safe_cast('id', 'int')", "depends on the warehouse"),
        ("bigquery", "dbt.split_part('v', \"'-'\", 2)", "by warehouse"),
        ("snowflake", "dbt.datediff('d', 'd', 'week')", "by warehouse"),
        ("duckdb", "dbt_utils.generate_series(0)", "a positive number"),
        ("duckdb", "dbt_utils.safe_add('id')", "a list of fields"),
    ],
)
def test_a_macro_that_differs_by_warehouse_is_left_to_dbt(
    tmp_path: Path, dialect: str, macro: str, why: str
) -> None:
    """Would catch: a query that is called the same and isn't."""
    model = f"select {{{{ {macro} }}}} as x from {{{{ ref('raw_orders') }}}}"
    item = imported(tmp_path, {"models/m.sql": model}, dialect=dialect).model("m")
    assert item.verdict is Verdict.COMMAND
    assert why in item.why


def test_a_division_stays_that_of_the_warehouse(tmp_path: Path) -> None:
    """Would catch: fractions where whole numbers of PostgreSQL divide to whole numbers."""
    model = (
        "select {{ dbt_utils.safe_divide('id', 'customer_id') }} as x from {{ ref('raw_orders') }}"
    )
    item = imported(tmp_path, {"models/m.sql": model}, dialect="postgres").model("m")
    assert item.verdict is Verdict.PERSON
    assert "a whole number in postgres" in item.why
