"""The types of `$self` before the first publication, from the asset's own query."""

from __future__ import annotations

import pytest
from engine_bench import Bench

from headrace.engine.attempts import InputData
from headrace.engine.failures import BodyFailed
from headrace.lake import LakeColumn
from headrace.sql.values import ANY_TYPE

ROWS = """SELECT * FROM (VALUES (1, 'Ada', DATE '2026-03-01', TIMESTAMP '2026-03-01 10:00', 1.5),
    (2, 'Bo', DATE '2026-03-02', TIMESTAMP '2026-03-02 11:00', 2.5)) AS r(id, cust, upd, ts, n)"""
QUERIES = """
id upd: select id, upd from r where not exists (select 1 from $self) or upd >= (select max(upd) - interval 1 day from $self)
id ts: select id, ts from r where ts >= coalesce((select date_trunc('day', max(ts)) from $self), timestamp '1970-01-01')
id: select id from r where id >= coalesce((select max(id) + 1 from $self), 0)
*: with last as (select max(upd) - interval 1 day as since from $self) select r.* from r, last where since is null or upd > since
*: select * from r where upd > coalesce((select max(upd) - interval 3 day from $self), '1970-01-01')
id upd: select id, own(upd) as upd from r where not exists (select 1 from $self) or upd > (select max(upd) - interval 1 day from $self)
id s: select id, {'a': upd} as s from r where not exists (select 1 from $self) or upd > (select max(s.a) - interval 1 day from $self)
id ts: select r.id, r.ts from r left join $self s on s.id = r.id and s.ts + interval 1 hour > r.ts where s.id is null
id upd since: select id, upd, (select max(upd) - interval 1 day from $self) as since from r
id upd: select id, upd from r qualify row_number() over () < 9 and upd > coalesce((select max(upd) - interval 1 day from $self), date '1970-01-01')
cust upd n: select cust, max(upd) as upd, 1 + sum(n) as n from r group by cust having not max(upd) <= (select max(upd) - interval 1 day from $self) is true
id n: select id, n from r union all select id + 1, n * 2 from $self where date_add(date '2026-01-01', to_days(id)) is null
"""


def own(*columns: str) -> InputData:
    numbered = (LakeColumn(name, ANY_TYPE, n) for n, name in enumerate(columns, 1))
    return InputData("out", (), tuple(numbered), 0)


@pytest.mark.parametrize("case", QUERIES.strip().split("\n"))
@pytest.mark.parametrize("named", [True, False])
def test_a_first_run_has_types(bench: Bench, case: str, named: bool) -> None:
    """Would catch: a filter over `$self` that never starts, as nothing is published yet."""
    columns, query = case.replace("$self", "__self__").split(": ", 1)
    macros = {"macros/m.sql": "create macro own(d) as d + interval 1 hour"}
    before = own(*(columns.split() if named else "*"))
    produced = bench.run(bench.sql(query, bench.publish("r", ROWS), before, macros=macros))
    assert produced.staged is not None
    assert produced.staged.rows == 2


def test_types_that_nothing_says(bench: Bench) -> None:
    """Would catch: an error about a type that nobody wrote, without what to write instead."""
    read = bench.publish("r", ROWS)
    query = "select id, (select max(w) - interval 1 day from __self__) as w from r"
    with pytest.raises(BodyFailed) as failure:
        bench.run(bench.sql(query, read, own("id", "w")))
    assert "max(cast(day as date))" in failure.value.error.hint
    with pytest.raises(BodyFailed) as failure:
        bench.run(bench.sql("select id from r where gone > 1", read, own("id")))
    assert "gone" in failure.value.error.message
