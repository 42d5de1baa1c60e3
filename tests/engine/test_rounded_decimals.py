"""Decimals that DuckDB would round without being asked: refused before the run, and in the run.

Where UNION, CASE, IN or a list bring decimals together that need more than 38 digits, DuckDB drops
decimals: those of an amount beside a sum, for instance.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from engine_bench import Bench

from headrace.engine.attempts import InputData
from headrace.engine.binding import Binder
from headrace.engine.failures import BodyFailed
from headrace.lake.session import DuckDBSession
from headrace.plan.schemas import SelectStatement, StatementTable
from headrace.sql.engine_faults import CODE

COLUMNS = (
    ("total", "DECIMAL(38,2)"),
    ("amount", "DECIMAL(12,3)"),
    ("n", "INTEGER"),
    ("ratio", "DOUBLE"),
    ("big", "DECIMAL(38,0)"),
)
MACROS = {
    "macros/m.sql": "create macro cents(x) as x::decimal(38,2);\ncreate macro first_of(x, y) as"
    " coalesce(x, y);\ncreate macro whole(x) as cents(x)::decimal(38,0)"
}
ROUNDED = """
select total from r union all select amount from r
select total from r union all select amount::decimal(12,3) from r
select amount as total from r union by name select total from r
select total from r intersect select amount from r
select total from r except select amount from r
select case when n > 1 then total else amount end as x from r
select if(n > 1, amount, total) as x, ifnull(total, amount) as y from r
select coalesce(total, amount) as x from r
select coalesce(total, 0.005) as x from r
select coalesce(cents(total), amount) as x from r
select first_of(total, amount) as x from r
select coalesce(cents(amount), big) as x from r
select first_of(cents(amount), big) as x from r
select cents(amount) as x from r union all select big from r
select greatest(total, amount) as x from r
select least(amount, total, n) as x from r
select [total, amount] as x from r
select list_concat([total], [amount]) as x from r
select list_transform([amount], a -> coalesce(total, a)) as x from r
select {'a': [total]} as x from r union all select {'a': [amount]} from r
select map {'a': total} as x from r union all select map {'a': amount} from r
select x from (values (1.25::decimal(38,2)), (1.125)) v(x)
select lag(total, 1, amount) over (order by n) as x from r
select amount in (select total from r) as x from r
select n from r where amount not in (select total from r)
select amount = any(select total from r) as x from r
select list_contains([total], amount) as x from r
select (total, 1) = (amount, 1) as x from r
select * from (select total as x from r) a full join (select amount as x from r) b using (x)
select name, value from (unpivot (select total, amount from r) on total, amount into name name value value)
with recursive s as (select 0 as x union all select x + 0.4 from s where x < 2) select * from s
with recursive s as (select 0 as x union all select x + ratio from s, r where x < 2) select * from s
with recursive s as (select amount::decimal(9,1) as x from r union all select x + 0.25 from s where x < 2) select * from s
select coalesce(sum(n)::decimal(38,0), max(amount)) as x from r
select sum(amount)::decimal(38,1) as x from r union all select amount from r
with s as (select sum(amount::decimal(9,2)) as x from r) select coalesce((select x from s), amount) as x from r
select cents(amount) as x from r union all select amount from r
"""
KEPT = """
select total + amount as x, total * 1.1255 as y, total - n * amount as z from r
select total > amount as x, total between amount and n as y, total in (amount, 1.125) as z from r
select * from r a join (select amount as b from r) on total = b
select coalesce(total, 0) as x, coalesce(total, 0.00) as y, coalesce(big, 0.000) as z from r
select amount::decimal(9,2) as amount from r union all select amount::decimal(9,2) from r where amount > 1
select coalesce(total, 0.10) as x, coalesce(sum(amount), 0.125) as y from r group by total
select amount::decimal(38,2) as x, cast(amount as decimal(38,1)) as y, try_cast(amount as int) as z from r
select amount::decimal(38,2) as x, x + 1 as y from r where x > 1 group by all
select total from r union all select amount::decimal(38,2) from r
select total::decimal(18,3) as x from r union all select amount from r
select cents(amount) as x, cents(1.125) as y from r
select total from r union all select cents(amount) from r
select whole(amount) as x, coalesce(whole(amount), big) as y from r
select first_of(total, cents(amount)) as x from r
select interval (ratio) day as x, to_days(n) as y, n * 1.5 as z, n / 2 as w, ratio::int as v from r
select nullif(total, amount) as x, coalesce(total, n) as y, round(amount, 1) as z from r
select sum(n) as x from r union all select amount from r
select coalesce(ratio, amount) as x from r
with recursive s as (select 1 as x union all select x + 1 from s where x < 9) select * from s
with recursive s as (select date '2026-01-01' as d union all select d + interval 1 day from s where d < '2026-01-09') select * from s
select list_transform([amount], a -> a + 1) as x, list_sum([total]) as y from r
"""


def lines(text: str) -> list[str]:
    return text.strip().split("\n")


@pytest.fixture(scope="module")
def binder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Binder]:
    with DuckDBSession(tmp_path_factory.mktemp("lake"), threads=1) as session:
        yield Binder(session, MACROS)


def rows(bench: Bench) -> InputData:
    values = ", ".join(f"NULL::{kind} AS {name}" for name, kind in COLUMNS)
    return bench.publish("r", f"SELECT {values} WHERE false")


@pytest.mark.parametrize("query", lines(ROUNDED))
def test_decimals_are_not_rounded_silently(binder: Binder, bench: Bench, query: str) -> None:
    """Would catch: 1.125 published as 1.13, by a valid asset that passes its checks."""
    result = binder.bound(SelectStatement(query, (StatementTable("r", COLUMNS),)))
    assert result.code == CODE, result
    assert "DuckDB rounds" in result.message and "::decimal(" in result.hint
    with pytest.raises(BodyFailed) as failure:
        bench.run(bench.sql(query, rows(bench), macros=MACROS))
    assert (failure.value.error.code, failure.value.error.message) == (CODE, result.message)


@pytest.mark.parametrize("query", lines(KEPT))
def test_what_keeps_its_decimals_is_let_through(binder: Binder, bench: Bench, query: str) -> None:
    """Would catch: a cast that the author wrote, a comparison or a zero that is refused."""
    result = binder.bound(SelectStatement(query, (StatementTable("r", COLUMNS),)))
    assert result.code == "", result.message
    bench.run(bench.sql(query, rows(bench), macros=MACROS))


def test_parameters_hide_no_rounding(binder: Binder, bench: Bench) -> None:
    """Would catch: `$partition_start as day`, of which DuckDB serializes no plan."""
    union = "select total as x from r union all select amount from r"
    for given, select in (
        ({"day": date(2026, 1, 1)}, "$day as day, x, '$day' as text"),
        ({"low": 1, "Name": None}, "$low as low, $name as name, x -- $low"),
        ({"text": "a'b\nc"}, "concat($text, $TEXT) as t, x"),
    ):
        query = f"select {select}\nfrom (\n{union}\n)"
        statement = SelectStatement(query, (StatementTable("r", COLUMNS),), parameters=given)
        result = binder.bound(statement)
        assert (result.code, result.line) == (CODE, 3), result
        task = bench.sql(query, rows(bench), macros=MACROS, scope=bench.scope(parameters=given))
        with pytest.raises(BodyFailed) as failure:
            bench.run(task)
        assert failure.value.error.code == CODE


def test_a_pivot_that_lists_no_values_is_refused_before_it_runs(binder: Binder) -> None:
    """Would catch: an asset that is valid, and that DuckDB can't run."""
    for query in (
        "select * from (pivot r on n using sum(total))",
        "with q as (pivot r on n) from q",
    ):
        result = binder.bound(SelectStatement(query, (StatementTable("r", COLUMNS),)))
        assert "lists no values" in result.message and "in ('a', 'b')" in result.hint
    listed = "select * from (pivot r on n in (1, 2) using sum(total))"
    assert binder.bound(SelectStatement(listed, (StatementTable("r", COLUMNS),))).code == ""


def test_the_value_and_its_line_are_named(binder: Binder) -> None:
    """Would catch: a refusal that doesn't say what is rounded, and to what."""
    query = "select total\nfrom r\nunion all\nselect amount + 1 as x\nfrom r"
    result = binder.bound(SelectStatement(query, (StatementTable("r", COLUMNS),)))
    assert "rounds `x` from DECIMAL(14,3) to DECIMAL(38,2)" in result.message
    assert result.line == 4
    query = "select case when n > 1\nthen total\nelse amount\nend as x from r"
    result = binder.bound(SelectStatement(query, (StatementTable("r", COLUMNS),)))
    assert "`amount` from DECIMAL(12,3) to DECIMAL(38,2)" in result.message
    assert result.line == 3
