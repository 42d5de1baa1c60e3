"""EXISTS in place of a join, tried on random rows in DuckDB: equal, whatever the data is."""

from __future__ import annotations

import random

import duckdb
import pytest

from headrace_advisor.analysis.advice import Verdict
from headrace_advisor.analysis.checking import check_text
from headrace_advisor.analysis.edits import edited

DDL = """create table t (id int primary key, a int, b int);
create table u (id int primary key, t_id int, c int);
create table v (id int primary key, d int);
"""
QUERIES = 300
PROVEN_LEAST = 12
COLUMNS = (["t.id"], ["t.id", "t.b"], ["t.a"], ["t.b", "t.a", "t.id"], ["t.id", "u.c"])
CONDITIONS = ("u.t_id = t.id", "u.t_id = t.a", "u.c = t.b and u.t_id = t.id", "u.t_id = t.id or u.c = 1",
              "u.t_id = t.id and (u.c > 1 or t.a is null)")  # fmt: skip
WHERES = ("", "where t.a = 1 or t.b = 2", "where t.b is null", "where u.c = 2", "where not t.a = 1")
OTHERS = ("", "join v on v.id = t.a", "left join v on v.id = t.b", "left join v on v.d = t.b")
ENDS = ("", "order by 1", "limit 3")


def _query(chance: random.Random) -> str:
    joins = [f"join u on {chance.choice(CONDITIONS)}", chance.choice(OTHERS)]
    chance.shuffle(joins)
    columns = [*chance.choice(COLUMNS), *chance.choice(([], [], ["count(*) over () as n"]))]
    parts = ["select distinct", ", ".join(columns), "from t", *joins, chance.choice(WHERES)]
    return " ".join([*filter(None, parts), chance.choice(ENDS)]).strip()


def _filled(chance: random.Random) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute(DDL)
    values = [None, 1, 2, 3]
    for table, columns in (("t", 2), ("u", 2), ("v", 1)):
        for number in range(1, chance.randrange(1, 9)):
            row = [number, *(chance.choice(values) for _ in range(columns))]
            marks = ", ".join("?" * len(row))
            connection.execute(f"insert into {table} values ({marks})", row)
    return connection


@pytest.mark.long
def test_rows_stay_equal() -> None:
    """Would catch: an EXISTS that loses a condition, binds a name elsewhere, or repeats rows."""
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    chance, proven = random.Random(seed), 0
    for _ in range(QUERIES):
        query = _query(chance)
        text = DDL + query
        findings = [item.finding for item in check_text(text, "query.sql", "duckdb").advice]
        for finding in findings:
            if finding.rule != "fan_out_join" or finding.verdict is not Verdict.PROVEN:
                continue
            proven += 1
            after = edited(text, finding.edits)[len(DDL) :]
            assert "exists (" in after and "distinct" not in after, (query, after)
            for _ in range(3):
                with _filled(chance) as connection:
                    rows = [
                        sorted(map(str, connection.execute(sql).fetchall()))
                        for sql in (query, after)
                    ]
                assert rows[0] == rows[1], (query, after)
    assert proven >= PROVEN_LEAST


def test_rows_that_the_other_tables_repeat_stay_distinct() -> None:
    """Would catch: a key of the others that only the removed table tells."""
    for query in (
        "select distinct t.a from t join u on u.t_id = t.id",
        "select distinct t.a from t join u on u.t_id = t.id join v on v.id = t.a",
    ):
        findings = [item.finding for item in check_text(DDL + query, "query.sql", "duckdb").advice]
        assert [item.verdict for item in findings] == [Verdict.UNKNOWN], query
        assert findings[0].edits == (), query
