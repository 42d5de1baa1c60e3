"""What a body's text alone tells."""

from __future__ import annotations

import subprocess
import sys

import pytest
from sql_cases import Case, cases

from headrace.sql.analysis import analyse
from headrace.sql.parsing import NESTING_MAX, TEXT_CHARACTERS_MAX, TOKENS_MAX, tokenise


def _analyse(sql: str):
    return analyse(sql, file="assets/x.sql", line=5, name="x")


@pytest.mark.parametrize("case", cases("inputs.txt", "="), ids=lambda case: case.sql)
def test_inputs(case: Case) -> None:
    """A missed input would run too early; one too many would wait for ever."""
    analysis = _analyse(case.sql)
    assert not analysis.problems
    assert sorted(analysis.inputs) == sorted(
        name for name in case.expected[0].split(", ") if name != "-"
    )


def test_self_becomes_an_identifier_and_positions_stay() -> None:
    """`$self` inside a string must not be touched; the user's text must stay the user's."""
    analysis = _analyse("select '$self', k\nfrom $self s -- $self\nwhere $SELF.k > $threshold")
    assert analysis.uses_self
    assert (
        analysis.sql
        == 'select \'$self\', k\nfrom "__self__" s -- $self\nwhere "__self__".k > $threshold'
    )
    assert analysis.inputs == ()
    assert [(placeholder.name, placeholder.line) for placeholder in analysis.placeholders] == [
        ("threshold", 7)
    ]


def test_placeholders_are_found_outside_quotes_only() -> None:
    """A name in a string would be bound and DuckDB would refuse the statement."""
    analysis = _analyse(
        "select $partition_start, '$not', $$ $no $$ from t where d < $Partition_End"
    )
    assert [placeholder.name for placeholder in analysis.placeholders] == [
        "partition_start",
        "partition_end",
    ]


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("select a, b from t", "SELECT  a,b\nFROM t -- note", True),
        ("select a from t;", "select a from t", True),
        ("select 'A' from t", "select 'a' from t", False),
        ('select "A" from t', "select a from t", False),
        ("select a from t", "select a as b from t", False),
        ("select 'a b'", "select 'a  b'", False),
        ("select 'it''s'", "select $$it's$$", True),
        ("select 1 - -1", "select 1 --1", False),
    ],
)
def test_normalised_text_keeps_what_matters_and_nothing_else(
    left: str, right: str, same: bool
) -> None:
    """Layout must not make partitions stale; a changed constant must."""
    assert (_analyse(left).normalised == _analyse(right).normalised) is same


def test_the_sign_for_an_absolute_value_is_no_placeholder() -> None:
    """sqlglot's tokens of `@` and `$` are of one kind."""
    analysis = _analyse("select @a, @0.5 as half from t where a > $least")
    assert not analysis.problems
    assert [placeholder.name for placeholder in analysis.placeholders] == ["least"]


def test_functions_that_change_with_time_are_found() -> None:
    """A missed one would be computed for many partitions at once."""
    analysis = _analyse(
        "select now(), random(), current_date, gen_random_uuid(), today(), abs(1), nextval('s')"
        " from t"
    )
    assert [item.name for item in analysis.volatile] == [
        "now",
        "random",
        "current_date",
        "gen_random_uuid",
        "today",
        "nextval",
    ]


def test_macros_are_named_and_known_functions_are_not() -> None:
    """The fingerprint must include the macros that a body calls."""
    analysis = _analyse("select my_macro(a), upper(s), list_zip(l, l) from t, days_between(1, 2)")
    assert analysis.functions == ("my_macro",)
    assert [function.name for function in analysis.table_functions] == ["days_between"]


@pytest.mark.parametrize(
    "text",
    [
        "select " + "(" * (NESTING_MAX + 1) + "1" + ")" * (NESTING_MAX + 1),
        "select " + "case when 1 then " * (NESTING_MAX + 1) + "1" + " end" * (NESTING_MAX + 1),
        "select 1 -- " + "x" * TEXT_CHARACTERS_MAX,
        "select " + "1," * (TOKENS_MAX // 2) + "1",
        "select " + "not " * 5000 + "true",
        "select " + "- " * 5000 + "1",
        "select 1 as a from x " + "join y " * 20_000 + "on 1=1 " * 20_000,
        "from " * 20_000 + "x",
    ],
    ids=["brackets", "cases", "characters", "tokens", "not", "minus", "joins", "from"],
)
def test_what_is_too_large_is_refused(text: str) -> None:
    """Without limits a file could overflow the C stack or take minutes."""
    assert [problem.code for problem in _analyse(text).problems] == ["sql_too_large"]


@pytest.mark.parametrize(
    "text",
    [
        "select " + " + ".join(["a"] * 5000) + " as x from t",
        "select * from t where " + " or ".join(f"a = {n}" for n in range(5000)),
        " union all ".join(["select a from t"] * 1000),
        "select 1 as a from x " + "cross join y " * 2_000,
        "select a from t where a in (" + ",".join(map(str, range(20000))) + ")",
        "select " + "(" * (NESTING_MAX - 1) + "1" + ")" * (NESTING_MAX - 1) + " as x",
    ],
    ids=["sum", "or", "union", "cross joins", "in", "brackets"],
)
def test_long_generated_statements_are_understood(text: str) -> None:
    """Programs write long chains; they are no reason to give up."""
    from headrace.sql.queries import resolve

    analysis = _analyse(text)
    assert not analysis.problems
    result = resolve(analysis, {"t": (("a", "INTEGER"),)})
    assert not result.problems and result.columns is not None


def test_values_of_the_room_come_without_sqlglot() -> None:
    """`headrace status` imports the values and must not pay 0.1 s for the parser."""
    code = "import sys, headrace.sql; sys.exit('sqlglot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_inputs_and_functions_are_found_in_their_lines() -> None:
    """A problem that names another line sends its reader to the wrong table."""
    analysis = _analyse(
        "select my_macro(1)\nfrom a,\n  b\njoin (select * from c) on true\n, days_between(1, 2)"
    )
    assert dict(zip(analysis.inputs, analysis.input_lines, strict=True)) == {"a": 6, "b": 7, "c": 8}
    assert [(function.name, function.line) for function in analysis.table_functions] == [
        ("days_between", 9)
    ]
    refused = _analyse("select 1\nfrom main.t,\n 'x.csv',\nread_csv('y')").problems
    assert [(problem.code, problem.place.line) for problem in refused] == [
        ("qualified_name", 6),
        ("external_read", 7),
        ("external_read", 8),
    ]


def test_a_statement_may_end_with_an_empty_text() -> None:
    """Would catch: `''` at the end after a parameter, taken for an open quote by sqlglot 30.30."""
    assert tokenise("select * from $self where a = ''")[-1].text == ""
