"""The rules on statements: cases as text."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from headrace_advisor.analysis.checking import FileAdvice, check_text
from headrace_advisor.analysis.edits import edited
from headrace_advisor.analysis.rules import RULES

CASES = Path(__file__).with_name("cases.sql")


class Case(NamedTuple):
    """One case of the file."""

    name: str
    dialect: str
    expected: list[str]
    sql: str
    after: str


def _cases() -> list[Case]:
    cases = []
    for part in CASES.read_text(encoding="utf-8").split("-- case ")[1:]:
        heading, *lines = part.strip().split("\n")
        dialect, name = heading.split(": ", 1)
        marks = [line[3:] for line in lines if line.startswith("-- ") and line != "-- after"]
        sql, _, after = "\n".join(
            line for line in lines if line == "-- after" or not line.startswith("-- ")
        ).partition("-- after\n")
        expected = [mark for mark in marks if mark != "nothing"]
        cases.append(Case(name, dialect, expected, sql.strip(), after.strip()))
    return cases


@pytest.mark.parametrize("case", _cases(), ids=lambda case: case.name)
def test_findings(case: Case) -> None:
    """Would catch: a rule that says more than it can prove, or less than it should."""
    result = check_text(case.sql, "query.sql", case.dialect)
    assert result.unreadable == []
    assert _findings(result) == sorted(case.expected)
    if case.after:
        edits = [edit for advice in result.advice for edit in advice.finding.edits]
        assert edited(case.sql, edits).rpartition("\n")[2] == case.after


def _findings(result: FileAdvice) -> list[str]:
    return sorted(f"{a.finding.rule} {a.finding.verdict}" for a in result.advice)


def test_each_rule_has_a_case() -> None:
    """Would catch: a rule in the table that no case shows."""
    shown_rules = {line.split()[0] for case in _cases() for line in case.expected}
    assert {rule.name for rule in RULES} <= shown_rules


@pytest.mark.parametrize(
    "text",
    [
        "", ";", "select", "select distinct", "select 'a", "{{ x", "{% if a %} select 1 {% endif %}",
        "select distinct a from", "(" * 500, "select * from t where (a, b) not in (select 1, 2)",
        "update t set a = 1", "select distinct * from a natural full join b using (x)",
        "with recursive r as (select 1 as n union select n + 1 from r) select distinct n from r",
        "from t", "values (1), (1)", "select distinct a from t group by 7", "\0", "select 1;;select 2",
        "merge into t using u on t.a = u.a when matched then delete", "select distinct on (a) a from t",
    ],
)  # fmt: skip
def test_any_text_gives_findings_or_a_reason(text: str) -> None:
    """Would catch: a crash on SQL that is wrong, unusual, or no SQL at all."""
    check_text(text, "query.sql", "duckdb")


def test_ctes_that_read_each_other_twice_take_no_time() -> None:
    """Would catch: work that doubles with each CTE, and never ends for 40 of them."""
    ctes = ["c0 as (select distinct a, b from t)"]
    for number in range(1, 40):
        read = f"select a, b from c{number - 1}"
        ctes.append(f"c{number} as ({read} union {read} union all {read})")
    result = check_text(f"with {', '.join(ctes)} select distinct a from c39", "q.sql", "duckdb")
    assert result.unreadable == []


def test_a_long_file_gives_diffs_of_few_lines() -> None:
    """Would catch: a file that is read again for each finding, or a diff at other lines."""
    statement = "select distinct a, count(*) from t\ngroup by a;\n"
    advice = check_text(statement * 300, "q.sql", "duckdb").advice
    assert len(advice) == 300
    assert advice[200].line == 401
    assert advice[200].diff == (
        "--- a/q.sql\n+++ b/q.sql\n@@ -398,7 +398,7 @@\n group by a;\n"
        " select distinct a, count(*) from t\n group by a;\n"
        "-select distinct a, count(*) from t\n+select a, count(*) from t\n"
        " group by a;\n select distinct a, count(*) from t\n group by a;\n"
    )


def test_a_byte_order_mark_stays() -> None:
    """Would catch: a diff that git can't apply because the file begins with a mark."""
    text = "\ufeffselect distinct a, count(*) from t group by a\r\n"
    (advice,) = check_text(text, "q.sql", "duckdb").advice
    assert advice.diff is not None
    assert f"-{text}+{text.replace('distinct ', '')}" in advice.diff


def test_ids_stay_when_lines_are_added() -> None:
    """Would catch: dismissed advice that comes back because a comment was added above it."""
    sql = "select distinct a, count(*) from t group by a"
    before = check_text(sql, "q.sql", "duckdb").advice
    after = check_text(f"-- a comment\n\n{sql}", "q.sql", "duckdb").advice
    assert [advice.id for advice in before] == [advice.id for advice in after]
    assert before[0].line == 1
    assert after[0].line == 3
