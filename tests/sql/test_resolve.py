"""Columns, lineage and problems of a body whose inputs are known."""

from __future__ import annotations

import pytest
from sql_cases import Case, cases

from headrace.model import ProblemLevel
from headrace.sql import Edge
from headrace.sql.analysis import analyse
from headrace.sql.queries import resolve

SCHEMAS = {
    "t": (
        ("a", "INTEGER"),
        ("b", "BIGINT"),
        ("s", "VARCHAR"),
        ("d", "DATE"),
        ("l", "INTEGER[]"),
        ("st", "STRUCT(x INTEGER)"),
    ),
    "u": (("a", "INTEGER"), ("x", "DOUBLE"), ("y", "VARCHAR")),
}


def _shown(edges: tuple[Edge, ...]) -> str:
    return ", ".join(f"{edge.input}.{edge.column} {edge.transformation}" for edge in edges) or "-"


@pytest.mark.parametrize("case", cases("lineage.txt", "="), ids=lambda case: case.sql)
def test_lineage(case: Case) -> None:
    """A missed edge hides a consumer from an incident; a false one blames somebody."""
    analysis = analyse(case.sql, file="x.sql", line=5, name="x")
    result = resolve(analysis, SCHEMAS)
    assert [problem for problem in result.problems if problem.code != "unnamed_column"] == []
    shown = [
        f"{'*all' if column == '*' else column}: {_shown(edges)}"
        for column, edges in result.lineage.items()
    ]
    if result.filters:
        shown.append(f"*: {_shown(result.filters)}")
    if result.mentions:
        shown.append(f"mentions: {_shown(result.mentions)}")
    assert shown == list(case.expected)


@pytest.mark.parametrize("case", cases("problems.txt", "!"), ids=lambda case: case.sql)
def test_problems(case: Case) -> None:
    """Each problem names the line of the user's own file and what to write instead."""
    analysis = analyse(case.sql, file="assets/x.sql", line=5, name="x")
    result = list(analysis.problems) or list(resolve(analysis, SCHEMAS).problems)
    assert len(result) == len(case.expected), result
    for problem, expected in zip(
        sorted(result, key=lambda item: item.place.line), case.expected, strict=True
    ):
        head, *parts = [part.strip() for part in expected.split("|")]
        line, code, *level = head.split()
        assert (problem.place.file, problem.place.line, problem.code) == (
            "assets/x.sql",
            int(line),
            code,
        )
        assert problem.level == (level[0] if level else ProblemLevel.ERROR)
        assert parts[0] in problem.message if parts else True
        assert parts[1] in problem.hint if len(parts) > 1 else True


def test_parameters_have_the_types_that_they_are_bound_with() -> None:
    """`$partition_start` is a DATE for days: the routing column of `select $partition_start as day`
    must be one."""
    analysis = analyse(
        "select $partition_start as day, $n + 1 as m from t", file="x.sql", line=1, name="x"
    )
    result = resolve(analysis, SCHEMAS, parameters={"partition_start": "DATE", "n": "BIGINT"})
    assert result.columns == (("day", "DATE"), ("m", "BIGINT"))


def test_hostile_names_stay_names() -> None:
    """A column that is called like SQL must come out as it went in."""
    hostile = 'x"; drop table t; --'
    quoted = '"' + hostile.replace('"', '""') + '"'
    analysis = analyse(
        f"select {quoted} as {quoted}, t.{quoted} || 'x' as y from t",
        file="x.sql",
        line=1,
        name="x",
    )
    result = resolve(analysis, {"t": ((hostile, "VARCHAR"),)})
    assert result.problems == ()
    assert result.columns == ((hostile, "VARCHAR"), ("y", "VARCHAR"))
    assert result.lineage[hostile][0].column == hostile


def test_many_problems_are_limited() -> None:
    """Ten thousand messages help nobody."""
    analysis = analyse(
        "select " + ", ".join(f"q{n} as c{n}" for n in range(1000)) + " from t",
        file="x.sql",
        line=1,
        name="x",
    )
    assert 10 < len(resolve(analysis, SCHEMAS).problems) <= 60
