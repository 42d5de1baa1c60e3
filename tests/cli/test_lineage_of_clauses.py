"""Columns that a query uses outside its select list, WHERE and joins: held, planned and masked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from clilab import Project

SOURCE = "source: s\nowner: ops\npartition: day\nfiles: landing/s_{date:%Y-%m-%d}.csv\non_anomaly: ignore\n"
QUERIES = {
    "named_window": (
        "select region, jan, sum(jan) over win as running from s"
        " window win as (order by feb rows unbounded preceding)"
    ),
    "window_that_extends": (
        "select region, sum(jan) over (one order by feb) as running from s"
        " window one as (partition by region)"
    ),
    "limited": "select region from s order by region limit (select max(feb) from s)",
    "skipped": "select region from s order by region offset (select min(feb) from s)",
    "distinct_on": "select distinct on (region) region, jan from s order by region, feb",
    "grouping_sets": "select sum(jan) as n from s group by grouping sets ((region), rollup (feb))",
    "order_inside": "select list(jan) as jans from (select jan from s order by feb)",
    "pair": "select region from s where (jan, 2) in (select jan, feb from s)",
    "map_key": "select region, map {feb: jan} as m from s",
    "unnested": "select region from s, unnest([feb]) as u(x) where jan > 0",
    "order_at_the_end": "select region from s order by feb",
}


def write(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
        if path.endswith(".csv"):
            os.utime(root / path, (1_700_000_000, 1_700_000_000))


def test_a_column_that_any_clause_uses_is_held_when_it_is_lost(tmp_path: Path, call: Any) -> None:
    """Would catch: a table computed over the nulls of a lost column that is used in a named window,
    in LIMIT, or in another clause that lineage forgot (issue 46, A.3)."""
    assets = {
        f"assets/{name}.sql": f"/* headrace\nowner: ops\npartition: day\n*/\n{query}\n"
        for name, query in QUERIES.items()
    }
    write(
        tmp_path,
        {
            "headrace.toml": '[project]\nname = "shop"\ntimezone = "UTC"\n[run]\nworkers = 1\n',
            "owners.yaml": "ops: {kind: team}\n",
            "sources/s.yaml": SOURCE,
            "assets/other.sql": "/* headrace\nowner: ops\npartition: day\n*/\nselect region from s\n",
            "landing/s_2026-03-01.csv": "region,jan,feb\neu,1,2\nus,4,1\n",
            **assets,
        },
    )
    project = Project(tmp_path, call)
    project.text("tick", "--now", "2026-03-02T06:00:00Z")
    for name in QUERIES:
        above = {row["column"] for row in project.json("lineage", name, "--up")["upstream"]}
        assert "s.feb" in above, name
    write(tmp_path, {"landing/s_2026-03-02.csv": "region,jan\neu,1\nus,4\n"})
    project.call(tmp_path, "tick", "--now", "2026-03-03T06:00:00Z")
    (held,) = project.json("quarantine")
    assert (held["node"], held["partition"]) == ("s", "2026-03-02")
    names = held["reason"].removeprefix("1 column gone: feb; used by ")
    for name in QUERIES:
        assert name in names or "more" in names, held["reason"]
    assert "other" not in names, "its query doesn't name feb"


DECIDED = {
    "named_window": "row_number() over w as x from people p window w as (order by wage)",
    "exists": "exists (select 1 from people q where q.id = p.id and q.wage > 10) as x from people p",
    "in_query": "id in (select id from people where wage > 10) as x from people p",
    "in_cte": "id in (select id from rich) as x from people p",
    "scalar": "(select count(*) from people q where q.wage > p.id) as x from people p",
    "filter": "count(*) filter (where wage > 10) as x from people p group by id",
    "where_counted": "count(*) as x from people p where wage > 10 group by id",
    "left_on": "b.name as x from people p left join bands b on p.wage > b.least",
    "left_cte": "r.id as x from people p left join rich r using (id)",
    "right_on": "b.name as x from bands b right join people p on p.wage > b.least",
    "full_on": "b.name as x from people p full join bands b on p.wage > b.least",
    "asof_on": "b.name as x from people p asof join bands b on p.wage >= b.least",
    "lateral_on": (
        "b.name as x from people p left join lateral"
        " (select name from bands where least < p.wage order by least desc limit 1) b on true"
    ),
    "by_position": "q.dept as x from people p positional join (select dept from people order by wage) q",
    "beside_ordered": "q.dept as x from (select id from people order by wage) p positional join people q",
    "by_groups": (
        "b.name as x from people p join bands b on true group by p.id, b.name"
        " having min(p.wage) >= min(b.least)"
    ),
    "recursion": (
        "t.x from people p join (with recursive t(id, w, x) as (select id, wage, 'poor' from people"
        " union all select id, 0, 'rich' from t where w > 10) select id, x from t) t using (id)"
    ),
    "levels": (
        "t.x from people p join (with recursive t(id, x) as (select id, 0 from people union all"
        " select t.id, t.x + 1 from t where t.x < (select wage // 10 from people q where q.id = t.id))"
        " select id, x from t) t using (id)"
    ),
    "inner_on": "b.name as x from people p join bands b on p.wage >= b.least",
    "comma_where": "b.name as x from people p, bands b where p.wage >= b.least",
    "using_wage": "q.dept as x from people p join (select dept, wage from people) q using (wage)",
    "by_alias": "wage + 0 as w, b.name as x from people p, bands b where w >= b.least",
    "first_of": "p.id as x from people p qualify row_number() over (partition by dept order by wage) = 1",
    "rank_inside": (
        "p.x from (select id, id as x, rank() over (partition by dept order by wage) as r"
        " from people) p where r = 1"
    ),
    "distinct_on": (
        "p.x from (select distinct on (dept) id, id as x from people order by dept, wage) p"
    ),
    "least_paid": "p.x from (select id, id as x from people order by wage limit 1) p",
    "union_tag": (
        "'rich' as x from people p where wage > 10"
        " union all select id, 1, 'poor' from people where wage <= 10"
    ),
    "comma_lateral": "x from people p, (select p.wage > least as x from bands limit 1)",
    "alias_of_count": "count(*) as n, n + 1 as x from people p where wage > 10 group by id",
    "map_key": "map {wage: 1} as x from people p",
    "unit": "date_trunc(grade, date '2026-03-05') as x from people p",
}
"""Queries whose column x a classified column decides, after `select p.id as id, 1 as one`."""
ROWS_ONLY = {
    "filtered": "dept as x from people p where wage > 10",
    "joined": "b.name as x from people p join bands b on p.id = b.least and p.wage > 0",
    "newest": "dept as x from people p qualify row_number() over (partition by wage, grade) = 1",
    "two_sides": "dept as x from people p where wage > 10 union all select id, 1, dept from people where wage <= 10",
    "keyed": "count(*) as x from people p group by id, wage",
}
"""Queries whose rows a classified column decides, but not the values of x."""


def test_what_a_classified_column_decides_is_left_out(
    tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a column of a viewer's that tells a classified value through EXISTS, IN, FILTER,
    a window's order or the condition of an outer join (issue 47, A.2); and one that is left out
    although a classified column only decides which rows there are."""
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    before = "with rich as (select id from people where wage > 10) select "
    write(
        tmp_path,
        {
            "headrace.toml": '[project]\nname = "pay"\ntimezone = "UTC"\n[run]\nworkers = 1\n',
            "owners.yaml": "ops: {kind: team}\n",
            "sources/people.yaml": (
                "source: people\nowner: ops\nfiles: people.csv\n"
                "columns: {wage: {classification: secret}, grade: {classification: secret}}\n"
            ),
            "sources/bands.yaml": "source: bands\nowner: ops\nfiles: bands.csv\n",
            "people.csv": "id,dept,wage,grade\n1,a,5,day\n2,a,20,month\n3,b,30,year\n",
            "bands.csv": "least,name\n1,low\n15,high\n",
            **{
                f"assets/{name}.sql": f"/* headrace\nowner: ops\n*/\n{before}p.id as id, 1 as one, {query}\n"
                for name, query in {**DECIDED, **ROWS_ONLY}.items()
            },
        },
    )
    project = Project(tmp_path, call)
    project.text("tick")
    who = project.json("access", "whoami")["who"]
    write(tmp_path, {"access.yaml": f"- {{role: admin, to: ['{who}']}}\n"})
    project.text("apply", "--yes")
    token = project.json("token", "create", "reader", "--scope", "viewer")["token"]
    monkeypatch.setenv("HEADRACE_TOKEN", token)
    seen = {name: project.json("read", name) for name in (*DECIDED, *ROWS_ONLY)}
    assert all(answer["rows"] for answer in seen.values())
    shown = {name for name, answer in seen.items() if "x" in answer["rows"][0]}
    assert shown == set(ROWS_ONLY)
