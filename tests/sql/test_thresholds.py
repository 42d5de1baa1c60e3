"""Which columns may have a threshold of people, by the asset's query."""

from __future__ import annotations

import pytest

from headrace.sql.thresholds import UnsafeThreshold, check_threshold

ONE = (
    "select city, {} as v, count(distinct id) filter (where income is not null and hours is not"
    " null) as people from t"
)
TWO = (
    "select o.city, {} as v, count(distinct o.id) filter (where o.income is not null) as people"
    " from orders as o join fx on o.currency = fx.currency group by all"
)


@pytest.mark.parametrize(
    "value",
    [
        "avg(income)",
        "SUM(Income)",
        "round(sum(income) / nullif(count(*), 0), 2)",
        "coalesce(sum(income::double * 12 - income), 0)",
        "sum(income / 12 + (-2) * -income - 5)",
        "sum(income) / sum(hours) * 100",
        "stddev(income) + var_pop(income)",
        "count(income)",
        "count(distinct note)",
        "count(*)",
        "count(distinct id) filter (where income is not null)",
    ],
)
def test_aggregates_of_the_counted_people_may_have_a_threshold(value: str) -> None:
    """Would catch: a usual average, sum or count that an owner can't show."""
    if "filter" in value:
        check_threshold(ONE.format("avg(income)"), "people", "people")
        return
    check_threshold(ONE.format(value) + " group by city", "V", "People")


def test_missing_values_may_be_left_out_by_where_or_filter() -> None:
    """Would catch: a threshold that needs FILTER although WHERE leaves out the same rows."""
    query = "select avg(a + b) as v, count(distinct id) as people from t where {}"
    check_threshold(
        query.format("x > 1 and (a is not null and t.b is not null)").replace("a + b", "a + t.b"),
        "v",
        "people",
    )
    check_threshold(TWO.format("avg(o.income)"), "v", "people")
    for condition in (
        "a is not null",
        "a is not null or b is not null",
        "not (a is null)",
        "a > 0",
    ):
        with pytest.raises(UnsafeThreshold, match="is missing, too"):
            check_threshold(query.format(condition), "v", "people")


@pytest.mark.parametrize(
    "value",
    [
        "max(income)", "min(income)", "any_value(income)", "first(income)", "arg_max(income, age)",
        "median(income)", "quantile_cont(income, 0.5)", "mode(income)", "list(income)",
        "string_agg(income, ',')", "array_agg(income)", "income", "income + sum(income)",
        "sum(income) filter (where id = 7)", "sum(case when id = 7 then income end)",
        "sum(if(id = 7, income, 0))", "sum(income * (id = 7))", "sum(nullif(income, 5))",
        "sum(coalesce(income, 0))", "sum(distinct income)", "avg(distinct income)",
        "sum(income) over ()", "sum(income order by age)", "sum((select max(income) from t))",
        "(select max(income) from t)", "count(distinct (income, id))", "count(income + 1)",
        "sum(try_cast(income as int))", "mean(income)", "sum(greatest(income, 1))", "histogram(income)",
        "year(min(income))", "sum(max(income))", "sum(income % 7)",
        "sum(income * hours)", "sum(income / hours)", "sum(income // hours)", "sum(1 / income)",
        "sum(income * (hours::bool)::int)", "sum(income::bool::int)", "sum(income::json)",
        "sum(income * (2 - 2))", "sum(income * 0.0)", "sum(income // 1000)", "sum((income * 0.01)::int)",
        "case when count(*) > 5 then sum(income) end", "bool_or(income > 5)", "sum(income::text)::int || ''",
    ],
)  # fmt: skip
def test_single_values_and_conditions_are_refused(value: str) -> None:
    """Would catch: somebody's own value that passes as an aggregate of many."""
    with pytest.raises(UnsafeThreshold) as refused:
        check_threshold(ONE.format(value) + " group by city", "v", "people")
    assert "`v`" in str(refused.value) and refused.value.hint


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("with t as (select 1 as id) select sum(x) as v, count(distinct id) as people from t", "WITH"),
        ("select 1 as v, 9 as people union select 2, 9", "one SELECT"),
        ("select sum(x) as v, count(distinct id) as people from (select * from t)", "more than tables"),
        ("select sum(x) as v, count(distinct id) as people from t, lateral (select 1) as l", "more than"),
        ("select sum(x) as v, count(distinct id) as people from read_csv('x')", "more than tables"),
        ("select sum(x) as v, count(distinct id) as people from __self__", "more than tables"),
        ("select 1 as v, 2 as people", "more than tables"),
        ("select sum(x) as v, count(*) as people from t", "doesn't count people"),
        ("select sum(x) as v, count(id) as people from t", "doesn't count people"),
        ("select sum(x) as v, count(distinct id + 0) as people from t", "doesn't count people"),
        ("select sum(x) as v, count(distinct (id, x)) as people from t", "doesn't count people"),
        ("select sum(x) as v, approx_count_distinct(id) as people from t", "doesn't count people"),
        ("select sum(x) as v, 2 * count(distinct id) as people from t", "doesn't count people"),
        ("select sum(x) as v, 100 as people from t", "doesn't count people"),
        ("select sum(x) as v from t", "no column `people`"),
        ("select count(distinct id) as people from t", "no column `v`"),
        ("select city, count(distinct id) as people from t", "no column `v`"),
        ("select *, sum(x) as v, count(distinct id) as people from t", "several columns"),
        ("select t.* exclude (id), sum(x) as v, count(distinct id) as people from t", "several columns"),
        ("select columns('p.*'), sum(x) as v, count(distinct id) as people from t", "several columns"),
        ("select sum(columns('x')) as v, count(distinct id) as people from t", "several columns"),
        ("select unnest(s), sum(x) as v, count(distinct id) as people from t", "several columns"),
        ("select s.unnest(), sum(x) as v, count(distinct id) as people from t", "several columns"),
        ("select 9 as People, sum(x) as v, count(distinct id) as people from t", "named `people`"),
        ("select max(x) as V, sum(x) as v, count(distinct id) as people from t", "named `v`"),
        ("select c, sum(x) as v, count(distinct id) as people from t group by rollup (c)", "subtotals"),
        ("select c, sum(x) as v, count(distinct id) as people from t group by cube (c)", "subtotals"),
        ("select c, sum(x) as v, count(distinct id) as people from t group by grouping sets ((c), ())",
         "subtotals"),
        ("select sum(m.x) as v, count(distinct e.id) as people from t as e join t as m on true",
         "different tables"),
        ("select sum(x) as v, count(distinct id) as people from t join u using (k) where x is not null",
         "different tables"),
        ("select sum(x as v", "can't be read"),
    ],
)  # fmt: skip
def test_queries_whose_groups_are_not_those_of_the_count_are_refused(
    query: str, reason: str
) -> None:
    """Would catch: rows that count as people, people of another table, a group that a subtotal
    gives away, a query that isn't followed."""
    with pytest.raises(UnsafeThreshold, match=reason):
        check_threshold(query, "v", "people")
