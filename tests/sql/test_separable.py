"""Which bodies may be computed for many partitions at once: the rules, and the proof by DuckDB."""

from __future__ import annotations

import datetime as dt

import duckdb
import pytest
from sql_cases import Case, cases

from headrace.model import Place
from headrace.sql.analysis import analyse
from headrace.sql.partitions import not_separable_because, routing_column
from headrace.sql.queries import BoundQuery

SCHEMAS = {
    "f": (("day", "DATE"), ("k", "INTEGER"), ("v", "INTEGER")),
    "g": (("day", "DATE"), ("k", "INTEGER"), ("w", "INTEGER")),
    "p": (("k", "INTEGER"), ("name", "VARCHAR")),
}
DAYS = [dt.date(2020, 1, 1) + dt.timedelta(n) for n in range(3)]
BOUNDS = {"partition_start": "DATE", "partition_end": "DATE"}


def _binding(sql: str) -> tuple[BoundQuery, str, str]:
    case = analyse(sql, file="x.sql", line=1, name="x")
    return BoundQuery(case, SCHEMAS, BOUNDS), case.sql, sql


def _verdict(case: Case) -> tuple[str, str]:
    column, _, rest = case.expected[0].partition(" ")
    return column, rest


@pytest.mark.parametrize("case", cases("separable.txt", "="), ids=lambda case: case.sql)
def test_verdicts(case: Case) -> None:
    """A false yes gives wrong numbers in a backfill; a false no makes it slow."""
    column, expected = _verdict(case)
    analysis = analyse(case.sql, file="x.sql", line=1, name="x")
    assert not analysis.problems
    reason = not_separable_because(
        BoundQuery(analysis, SCHEMAS, BOUNDS), analysis, column, ("f", "g")
    )
    if expected == "yes":
        assert reason == ""
    else:
        assert reason and expected.removeprefix("no:").strip() in reason


@pytest.mark.parametrize(
    "case",
    [case for case in cases("separable.txt", "=") if _verdict(case)[1] == "yes"],
    ids=lambda case: case.sql,
)
def test_separable_bodies_give_the_same_together_and_alone(case: Case) -> None:
    """The rule itself could be wrong: compute each day alone and all days at once, and compare the
    rows.
    """
    engine = duckdb.connect()
    engine.execute("create table p as select k::integer as k, 'n' || k as name from range(4) r(k)")
    together = _rows(engine, case.sql, DAYS)
    alone = [row for day in DAYS for row in _rows(engine, case.sql, [day])]
    assert sorted(map(repr, together)) == sorted(map(repr, alone))
    assert together


def _rows(
    engine: duckdb.DuckDBPyConnection, sql: str, days: list[dt.date]
) -> list[tuple[object, ...]]:
    listed = ", ".join(f"date '{day}'" for day in days)
    for name, value in (("f", "v"), ("g", "w")):
        engine.execute(
            f"create or replace table {name} as select day, (k % 4)::integer as k, ((k * 7 +"
            f" day(day) * 3) % 11)::integer as {value} from (select unnest([{listed}]) as day) d,"
            " range(9) r(k)"
        )
    bounds = {"partition_start": days[0], "partition_end": days[-1] + dt.timedelta(1)}
    return engine.execute(
        sql, {name: value for name, value in bounds.items() if f"${name}" in sql}
    ).fetchall()


@pytest.mark.parametrize(
    ("sql", "routes", "expected"),
    [
        ("select day, k from f", {"f": "day"}, "day"),
        ("select day as d, current_date as e from f", {"f": "day"}, "d"),
        ("select date_trunc('day', day) as d, day as e from f", {"f": "day"}, "e"),
        ("select date_trunc('day', day)::date as d, current_date as e from f", {"f": "day"}, "d"),
        ("select $partition_start as report_day, k from f", {"f": None}, "report_day"),
        (
            (
                "select day, current_date as e from f where day >= $partition_start and day <"
                " $partition_end"
            ),
            {"f": None},
            "day",
        ),
        ("select day, k from f", {"f": None}, "day"),
        ("select k, name from p", {"p": None}, None),
        ("select k, count(*) as n from f group by k", {"f": "day"}, None),
    ],
)
def test_short_form_finds_the_routing_column(
    sql: str, routes: dict[str, str | None], expected: str | None
) -> None:
    """`partition: day` without a column routes rows by the one column that tells the day."""
    column, problems = routing_column(_binding(sql)[0], routes, Place(file="x.sql"))
    assert (column, problems) == (expected, [])


def test_short_form_asks_where_two_columns_could_route() -> None:
    """Guessing would put rows into the wrong day without a word."""
    column, problems = routing_column(
        _binding("select day, day + 1 as next_day, current_date as e from f")[0],
        {"f": None},
        Place(file="x.sql"),
    )
    assert column is None
    assert [problem.code for problem in problems] == ["ambiguous_partition_column"]
    assert "column: day" in problems[0].hint


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select $partition_start as report_day, current_date as made, k from f", "report_day"),
        ("select current_date as made, $PARTITION_END as until, k from f", "until"),
        ("select d from (select $partition_start as d, current_date as e, k from f)", "d"),
        (
            "select current_date as made, day from f where cast(day as date) = $partition_start",
            "day",
        ),
    ],
)
def test_a_bound_of_the_interval_says_where_a_row_belongs(sql: str, expected: str) -> None:
    """Catches a report whose own day is one of several dates, and that is asked to name it."""
    assert routing_column(_binding(sql)[0], {"f": None}, Place(file="x.sql")) == (expected, [])
