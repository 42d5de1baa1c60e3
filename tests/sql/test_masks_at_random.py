"""What decides a value, against DuckDB: with other values in a classified column, the values of a
column that isn't computed from it or decided by it are the same."""

from __future__ import annotations

import random

import pytest
from drawn_queries import INT, Draw, Item, Scope
from test_lineage_at_random import SEEDS, Data, Rows, is_faulty, resolved

from headrace.plan.impact import deciding_edges
from headrace.plan.schemas import ColumnLineage

QUERIES = 200
"""Queries of each seed."""
CLASSIFIED = "w"
"""The column of each table that is classified."""


class DrawValues(Draw):
    """Queries whose id tells which row it is, so that a change is one of values."""

    def decided(self, depth: int) -> str:
        """Draw FROM and a select list whose column x the classified column may decide."""
        base: Scope = [Item("p", [("id", INT), ("a", INT), ("b", INT), ("w", INT)])]
        beside: Scope = [Item("o", [("z", INT), ("w", INT), ("x", INT)])]
        both = [*base, *beside]
        key = f"{self.integer(base, 0)} = {self.integer(beside, 0)}"
        condition = self.rng.choice((key, self.truth(both, depth)))
        truth, inner = self.truth(base, depth), self.truth(both, 1)
        return self.one(
            lambda: f"{self.integer(base, depth)} as x from t as p",
            lambda: f"{truth} as x from t as p",
            lambda: f"{self.window(base, depth, [])} as x from t as p",
            lambda: f"{self.window(base, 1, ['k'])} as x from t as p window k as"
            f" ({self.window_of(base, depth)})",
            lambda: f"o.x as x from t as p left join u as o on {condition}",
            lambda: f"o.x as x, p.a as y from u as o right join t as p on {condition}",
            lambda: f"o.x as x from t as p full join u as o on {condition}",
            lambda: f"o.x as x from t as p left join (select * from u where {CLASSIFIED} > 1) as o"
            f" on p.a = o.a",
            lambda: f"o.x as x from t as p asof left join u as o on p.a = o.a and"
            f" {self.integer(base, 0)} >= {self.integer(beside, 0)}",
            lambda: f"r.x as x from t as p left join lateral (select max(o.x) as x from u as o"
            f" where {inner}) as r on true",
            lambda: f"r.x as x from t as p, (select count(*) as x from u as o where {inner}) as r",
            lambda: f"{self.aggregate(base, depth)} as x from t as p group by p.id",
            lambda: f"{self.aggregate(base, 1)} as x from t as p where {truth} group by p.id",
            lambda: "p.a in (select a from chosen) as x, (select count(*) from chosen) as y"
            " from t as p",
            lambda: "c.a as x, count(c.b) as y from t as p left join chosen as c using (id)"
            " group by p.id, c.a",
        )  # fmt: skip

    def chosen(self) -> str:
        """Draw a query whose column x is of a row that the classified column may choose."""
        base: Scope = [Item("p", [("id", INT), ("a", INT), ("w", INT)])]
        beside: Scope = [Item("o", [("z", INT), ("w", INT), ("x", INT)])]
        link = f"{self.column(base, INT)} {self.rng.choice(('=', '>='))} {self.column(beside, INT)}"
        where, truth = self.truth(base, 1), self.truth(base, 0)
        order = f"{self.integer(base, 1)}, p.id"
        first = f"row_number() over (partition by p.b order by {order})"
        return self.one(
            lambda: f"select distinct on (p.b) p.b as id, p.a as x from t as p where {where}"
            f" order by p.b, {order}",
            lambda: f"select distinct on (id) id, x from (select p.b as id, p.a as x from t as p"
            f" order by {order}) as q",
            lambda: f"select p.b as id, p.a as x from t as p where {where} qualify {first} = 1",
            lambda: f"select id, x from (select p.b as id, p.a as x, {first} as r from t as p"
            f" where {where}) as q where r = 1",
            lambda: f"select 1 as id, p.a as x from t as p order by {order} limit 1",
            lambda: f"select 1 as id, x from (select p.a as x from t as p order by {order} limit 1)",
            lambda: f"select 1 as id, a as x from (select * from t as p order by {order}) limit 1",
            lambda: f"select p.id, r.x from t as p, lateral (select o.x from u as o"
            f" order by {self.column(beside, INT)}, o.x, o.id limit 1) as r",
            lambda: f"select p.id as id, o.x as x from t as p join u as o on {link}",
            lambda: f"select p.id as id, o.x as x from t as p, u as o where {link}",
            lambda: "select p.id as id, o.x as x from t as p join u as o using (w)",
            lambda: "select p.id as id, o.x as x from t as p natural join"
            " (select x, w from u) as o",
            lambda: f"select p.id as id, k.n as x from t as p join u as o on {link}"
            f" join v as k on o.x = k.m",
            lambda: f"select 1 as id, {self.one(lambda: 'min(p.id)', lambda: 'sum(p.id + p.a)')} as x"
            f" from t as p group by {self.one(lambda: truth, lambda: 'p.w', lambda: f'p.b, {truth}')}",
            lambda: f"select g as id, list(p.id order by p.id) as x from (select *, {truth} as k,"
            f" 1 as g from t as p) as p group by g, k",
            lambda: f"select 1 as id, (select list(p.id order by p.id)) as x from t as p"
            f" where {where} group by {truth}",
            lambda: f"select distinct on ({truth}) 1 as id, p.id as x from t as p order by p.id",
            lambda: f"select 1 as id, p.id as x from t as p qualify row_number() over"
            f" (partition by {truth} order by p.id) = 1",
            lambda: f"select p.id as id, p.a as x from t as p where {truth} union all"
            f" select p.id, {self.integer(base, 0)} from t as p where not ({truth})",
            lambda: f"select id, x from (select p.id as id, 'yes' as x from t as p where {where}"
            f" union select p.id, 'no' from t as p where ({where}) is not true) as q",
        )  # fmt: skip

    def values(self, depth: int) -> str:
        if self.chance(0.4):
            return self.chosen()
        chosen = (
            f"select * from t as p where {self.truth([Item('p', [('a', INT), ('w', INT)])], 1)}"
        )
        return f"with chosen as ({chosen}) select p.id as id, {self.decided(depth)}"


def by_id(rows: Rows | str) -> dict[str, set[str]]:
    """Return the rows by their first value; an error is a row, too."""
    results: dict[str, set[str]] = {}
    for row in [rows] if isinstance(rows, str) else rows:
        results.setdefault(row.partition(",")[0], set()).add(row)
    return results


@pytest.mark.parametrize("seed", SEEDS)
def test_values_that_a_classified_column_decides_follow_it(seed: int) -> None:
    """Would catch: a column that a viewer reads, and whose values tell a classified one (A.2)."""
    rng = random.Random(f"masks {seed}")
    data = Data(rng)
    data.prepare("update all_t set id = rowid")
    lost = [("t", CLASSIFIED), ("u", CLASSIFIED), ("v", CLASSIFIED)]
    wrong, count, shown_columns = [], 0, 0
    while count < QUERIES:
        sql = DrawValues(rng).values(1)
        if isinstance(data.rows(sql), str) or is_faulty(sql):
            continue
        count += 1
        lines = resolved(sql)
        lineage = ColumnLineage(lines.lineage, lines.filters)
        shown = [
            name
            for name in lines.lineage
            if all(edge.column != CLASSIFIED for edge in deciding_edges(lineage, name))
        ]
        shown_columns += len(shown)
        for how in ("null", "other") if shown else ():
            query = f"select distinct {', '.join(shown)} from ({sql}) as q"
            before, after = by_id(data.rows(query)), by_id(data.rows_without(query, lost, how))
            if shown[0] == "id":  # rows may come and go
                after, before = (
                    {key: after[key] for key in after.keys() & before.keys()},
                    {key: before[key] for key in after.keys() & before.keys()},
                )
            if before != after:
                wrong.append((how, shown, sql))
    print(f"seed {seed}: {count} queries, {shown_columns} columns shown")
    assert not wrong, "\n".join(map(str, wrong[:5]))
    assert shown_columns > count, "all queries show the id at least"
