"""Statements bound by DuckDB over empty inputs: what is refused, on which line, with which hint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.engine.binding import Binder
from headrace.lake.session import DuckDBSession
from headrace.plan.schemas import BindResult, BoundsType, SelectStatement, StatementTable

FLIGHTS = StatementTable("flights", (("id", "INTEGER"), ("Day", "DATE")))
UNKNOWN_TABLE = StatementTable("given", None)
MACROS = {"macros/m.sql": "CREATE MACRO doubled(x) AS x * 2"}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBSession]:
    with DuckDBSession(tmp_path_factory.mktemp("lake"), threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def binder(session: DuckDBSession) -> Binder:
    return Binder(session, MACROS)


def bound(binder: Binder, sql: str, *tables: StatementTable, **more: Any) -> BindResult:
    return binder.bound(SelectStatement(sql, tables, **more))


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("select id, Day from flights;", (("id", "INTEGER"), ("Day", "DATE"))),
        ("select doubled(id) as d from flights", (("d", "INTEGER"),)),
        ("select $Threshold as t, 'x' as x", (("t", "INTEGER"), ("x", "VARCHAR"))),
    ],
)
def test_a_statement_that_can_run_gets_its_columns(
    binder: Binder, sql: str, columns: tuple[tuple[str, str], ...]
) -> None:
    """Would catch: types of inputs lost, macros or parameters unknown, names in another case."""
    assert bound(binder, sql, FLIGHTS, parameters={"threshold": 15}) == BindResult(columns=columns)


@pytest.mark.parametrize(
    ("bounds", "kind"),
    [(BoundsType.DATE, "DATE"), (BoundsType.INSTANT, "TIMESTAMP WITH TIME ZONE")],
)
def test_bounds_have_the_type_of_the_grain(binder: Binder, bounds: BoundsType, kind: str) -> None:
    """Would catch: a statement of hours bound with dates, or one of the bounds without a value."""
    result = bound(binder, "select $partition_start as s, $partition_end as e", bounds=bounds)
    assert result.columns == (("s", kind), ("e", kind))


@pytest.mark.parametrize(
    ("sql", "more"),
    [
        ("select $partition_start as s", {}),
        ("select $a as a, $b as b", {"parameters": {"a": 1}}),
        ("select 1 as a; select 2 as b", {}),
        ("", {}),
    ],
)
def test_other_problems_are_left_to_those_who_report_them(
    binder: Binder, sql: str, more: dict[str, Any]
) -> None:
    """Would catch: an unbound value or a second statement reported twice, in DuckDB's words."""
    assert bound(binder, sql, **more) == BindResult()


@pytest.mark.parametrize(
    ("sql", "code", "line", "message", "hint"),
    [
        ("select\n  id,\n  delay\nfrom flights", "sql_binding", 3, "DuckDB refuses it: ", ""),
        ("select id\nfrom nowhere", "sql_binding", 2, "nowhere", ""),
        (
            "select id\nfrom flights\nwhere Day > 5",
            "sql_binding",
            3,
            "Cannot compare",
            "convert one side",
        ),
        (
            "select\n\n\n nvl(id, 1) as a from flights",
            "unknown_function",
            4,
            "DuckDB has no function `nvl`",
            "write `coalesce(a, b)`",
        ),
        (
            "select\n sun(id) as a from flights",
            "unknown_function",
            2,
            "DuckDB has no function `sun`",
            "did you mean `su",
        ),
        (
            "select id\n\n from where",
            "sql_syntax",
            3,
            "syntax error",
            "`where` is a word of SQL",
        ),
        ("select id id id\nfrom flights", "sql_syntax", 1, "syntax error", ""),
        (
            "select id from flights\nwhere id = :top",
            "sql_syntax",
            2,
            "syntax error",
            "a bound value is written `$name`",
        ),
        (
            "select id as a,\n order\nfrom flights",
            "sql_syntax",
            3,
            "syntax error",
            '`order` is a word of SQL: as a name, write it in double quotes ("order")',
        ),
        (
            "select id from flights group order by 1",
            "sql_syntax",
            1,
            "syntax error",
            "`group` is a word of SQL",
        ),
        ("select id from flights limit 1 1", "sql_syntax", 1, "syntax error", ""),
        ("select id\nfrom flights\nunion select 1, 2", "sql_binding", 1, "same number", ""),
    ],
)
def test_a_refusal_names_the_users_line_and_a_remedy(
    binder: Binder, sql: str, code: str, line: int, message: str, hint: str
) -> None:
    """Would catch: lines of the statement around the user's, DuckDB's advice and excerpt in the
    message, a hint about words of SQL where none is used as a name."""
    result = bound(binder, sql, FLIGHTS)
    assert (result.code, result.line, result.columns) == (code, line, None)
    assert message in result.message and "LINE" not in result.message
    assert "\n" not in result.message and "Error:" not in result.message
    assert result.hint.startswith(hint) and bool(result.hint) == bool(hint), result.hint


@pytest.mark.parametrize(
    ("sql", "code", "line"),
    [
        ("select a, b + 1 as c from given where a > 'x'", "", 1),
        ("select\n  'é' as e,\n  missing_function(a) as m\nfrom given", "unknown_function", 3),
        ("select a,\n sum(b) as s\nfrom given", "sql_binding", 1),
        ("select a::nothing as n from given", "sql_binding", 1),
        ("select a from given, flights where flights.none > 1", "", 1),
        ("select doubled(a) as d, a as b, b + 1 as c from given", "", 1),
        ("select max(day) as day from given where day > 1", "", 1),
        ("select max(day) as last from given where max(day) > 1", "sql_binding", 1),
        ("select row_number() over () as n from given where n > 1 and a > 1", "", 1),
    ],
)
def test_inputs_without_known_columns_leave_what_does_not_depend_on_them(
    binder: Binder, sql: str, code: str, line: int
) -> None:
    """Would catch: errors about guessed columns reported as the user's; functions, types and
    grouping not checked before the inputs are known."""
    result = bound(binder, sql, UNKNOWN_TABLE, FLIGHTS)
    assert (result.code, result.columns, result.line) == (code, None, line), result
    if code == "unknown_function":
        assert result.hint.startswith("use one of DuckDB's functions")


def test_macros_with_a_problem_are_not_defined(tmp_path: Path) -> None:
    """Would catch: a file of macros that stops the process that checks statements."""
    with DuckDBSession(tmp_path, threads=1) as session:
        binder = Binder(session, {**MACROS, "macros/bad.sql": "CREATE TABLE t(a INTEGER)"})
        assert bound(binder, "select doubled(1) as a").code == "unknown_function"
        assert bound(binder, "select a from t").code == "sql_binding"
