"""Which columns mean something else in another text. What isn't named here is taken for the same,
so too few are the bug.
"""

from __future__ import annotations

import pytest

from headrace.sql.analysis import changed_columns

CTE = "with c as (select id, a as x, b as y from t) select id, x * 2 as z, y from c where y > 1"
KEYS = "select day, k + 1 as k, sum(a) as s from t group by %s"


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        ("select id, a as x from t", "select id, a + 1 as x from t", {"x"}),
        ("select id, a as x from t", "-- why\nselect a AS x,\n id from t", set()),
        ("select id, a as x from t", "select id, a as x, b as y from t", set()),
        ("select id, a as x, b as y from t", "select id, b as y from t", set()),
        (
            "select id, a as x, x + 1 as y from t",
            "select id, a + 1 as x, x + 1 as y from t",
            {"x", "y"},
        ),
        ("select id, a from t where a > 1", "select id, a from t where a > 2", None),
        (
            "select id, a from t join u using (id)",
            "select id + 1 as id, a from t join u using (id)",
            None,
        ),
        (
            "select id, a from t join u using (id)",
            "select id, a + 1 as a from t join u using (id)",
            {"a"},
        ),
        (
            "select day, sum(a) as s from t group by day",
            "select day, sum(a) * 2 as s from t group by day",
            {"s"},
        ),
        (
            "select day, sum(a) as s from t group by day",
            "select day + 1 as day, sum(a) as s from t group by day",
            None,
        ),
        (
            "select day, sum(a) as s from t group by all",
            "select day, sum(a) as s, count(*) as n from t group by all",
            set(),
        ),
        (
            "select day, sum(a) as s from t group by all",
            "select day, k, sum(a) as s from t group by all",
            None,
        ),
        (
            "select day, sum(a) as s from t group by 1",
            "select k as day, sum(a) as s from t group by 1",
            None,
        ),
        ("select a from t", "select distinct a from t", None),
        ("select distinct a from t", "select distinct a, b from t", None),
        ("select id, a from t", "select id, a, unnest(l) as u from t", None),
        ("select id from t", "select id, count(*) as n from t", None),
        (
            "select a, b from t union all select a, b from u",
            "select a, b from t union all select a, b + 1 as b from u",
            None,
        ),
        ("select id, f.a + 1 as a from t f", "select id, f.a + 2 as a from t f", {"a"}),
        ("select * from t", "select * exclude (b) from t", set()),
        ("select * from t", "select * replace (b + 1 as b) from t", None),
        (CTE, CTE.replace("a as x", "a + 1 as x"), {"z"}),
        (CTE, CTE.replace("b as y", "b + 1 as y"), None),
        (CTE, CTE.replace("id, x * 2 as z", "id, x * 3 as z"), {"z"}),
        (CTE, CTE.replace("from t)", "from u)"), None),
        (
            "with c as (select a, b from t) select * from c",
            "with c as (select a, b + 1 as b from t) select * from c",
            {"b"},
        ),
        (
            "with c as (select a, b from t) select c from c",
            "with c as (select a, b + 1 as b from t) select c from c",
            {"c"},
        ),
        (KEYS % "all", KEYS % "day, k + 1", set()),
        (KEYS % "all", KEYS % "1, 2", set()),
        (KEYS % "all", KEYS % "k + 1, day", set()),
        (KEYS % "all", KEYS % "day, k", None),
        (KEYS % "all", KEYS % "day", None),
        (KEYS % "all", KEYS % "rollup (day, k + 1)", None),
        (
            "select day, 'x' as c, sum(a) as s from t group by all",
            "select day, 'x' as c, sum(a) * 2 as s from t group by day",
            {"s"},
        ),
        (
            "select upper(day) as day, sum(a) as s from t group by all",
            "select upper(day) as day, sum(a) as s from t group by day",
            None,
        ),
        (
            "select day, of_my_own(a) as s from t group by all",
            "select day, of_my_own(a) as s from t group by day",
            None,
        ),
        (
            "select sum(a) as s from t group by all",
            "select sum(a) as s from t group by day",
            None,
        ),
        ("select no such thing", "select", None),
    ],
)
def test_columns(was: str, now: str, expected: set[str] | None) -> None:
    """Catches a change that is followed to too few columns: nobody would be told."""
    assert changed_columns(was, now) == expected


def test_a_value_that_is_bound_otherwise_changes_what_names_it() -> None:
    body = "select id, a > $threshold as late, b from t"
    assert changed_columns(body, body, {"threshold"}) == {"late"}
    body = "select id, b from t where a > $threshold"
    assert changed_columns(body, body, {"threshold"}) is None
