"""Problems in files of macros, with their lines, and macros that are lent for some statements."""

from __future__ import annotations

import pytest
from engine_bench import Bench

from headrace.engine.failures import BodyFailed
from headrace.engine.macros import MacroProblem, faults, lent


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("\n-- first\nCREATE MACRO f(x) AS x;\n/* a\n b */\nSELECT 1", 6, "and nothing else"),
        ("CREATE TABLE macro_of(a INTEGER)", 1, "and nothing else"),
        ("CREATE MACRO f(x) AS x;\n\nCREATE MACRO g(x) AS x + $day", 3, "a macro can't use $day"),
        ("-- x\n{% macro f(x) %}x{% endmacro %}", 2, "there is no Jinja"),
        ("CREATE MACRO f(x) AS\n{{ x }}", 2, "there is no Jinja"),
        ("CREATE MACRO f(x) AS x;\n\nCREATE MACRO g(x) AS\n  x +;", 4, "syntax error"),
        ("CREATE MACRO f(x) AS x;\nCREATE MACRO f(x) AS x", 2, "already exists"),
    ],
)
def test_a_problem_is_the_first_of_its_file_on_its_line(text: str, line: int, message: str) -> None:
    """Would catch: lines counted from the statement or its comments; a statement that isn't a macro
    accepted; DuckDB's excerpt in the message."""
    (problem,) = faults({"macros/a.sql": "CREATE MACRO good(x) AS x", "macros/b.sql": text})
    assert (problem.file, problem.line) == ("macros/b.sql", line), problem
    assert message in problem.message and "LINE" not in problem.message


def test_a_macro_of_two_files_is_the_second_ones_problem() -> None:
    """Would catch: a name taken twice that only a run notices; files without a problem listed."""
    text = "CREATE MACRO f(x) AS x; create or replace temp macro t(n) AS TABLE SELECT n"
    assert faults({"a.sql": text}) == []
    (problem,) = faults({"a.sql": text, "b.sql": "\nCREATE MACRO f(x) AS x", "c.sql": ""})
    assert isinstance(problem, MacroProblem) and (problem.file, problem.line) == ("b.sql", 2)


def test_lent_macros_are_dropped_and_a_failed_statement_keeps_them(bench: Bench) -> None:
    """Would catch: a transaction that the first failing statement aborts; macros of one project
    left for the next, of either kind."""
    connection = bench.session.connection
    macros = {"m.sql": "CREATE MACRO one(x) AS x; CREATE MACRO many(n) AS TABLE SELECT n AS n"}

    def number(query: str) -> object:
        row = connection.execute(query).fetchone()
        return row and row[0]

    with lent(bench.session, macros):
        with pytest.raises(Exception, match="nothing"):
            number("SELECT nothing")
        assert (number("SELECT one(3)"), number("SELECT n FROM many(4)")) == (3, 4)
        with lent(bench.session, macros):
            assert number("SELECT one(5)") == 5
        assert number("SELECT one(6)") == 6
    for query in ("SELECT one(3)", "SELECT n FROM many(4)"):
        with pytest.raises(Exception, match="does not exist"):
            number(query)
    with (
        pytest.raises(BodyFailed, match="isn't CREATE MACRO"),
        lent(bench.session, {**macros, "n.sql": "SELECT 1"}),
    ):
        raise AssertionError
    assert number("SELECT count(*) FROM duckdb_functions() WHERE NOT internal") == 0
