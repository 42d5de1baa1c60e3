"""Values of expressions: those of data-factory-testing-framework 1.4.4."""

from __future__ import annotations

from typing import Any

import pytest

from headrace_import.importers.adf.evaluate import text_value
from headrace_import.importers.adf.functions import NOT_EVALUATED, PURE, RUN_TIME
from headrace_import.importers.adf.values import Moment, Scope, Template, Unknown

EXPRESSIONS: list[tuple[str, Any]] = [
    ("@concat('a', 1, 'b')", "a1b"),
    ("@concat('a', 1.5)", "a1.5"),
    ("@concat('x', true)", "xTrue"),
    ("@concat('x', null)", "x"),
    ("@string(1)", "1"),
    ("@string(true)", "True"),
    ("@string(1.0)", "1"),
    ("@string(1234567.891)", "1234567.891"),
    ("@string(0.12345678)", "0.12345678"),
    ('@string(json(\'{"a":[1,2,"x"]}\'))', '{"a":[1,2,"x"]}'),
    ("@string(createArray(1,'a'))", '[1,"a"]'),
    ("@{concat('a','b')}", "ab"),
    ("@toLower('ABC')", "abc"),
    ("@toUpper('abc')", "ABC"),
    ("@trim('  a b ')", "a b"),
    ("@replace('aXbX','X','--')", "a--b--"),
    ("@substring('hello',1,3)", "ell"),
    ("@substring('hello',2)", "llo"),
    ("@indexOf('hello','L')", 2),
    ("@lastIndexOf('hello','l')", 3),
    ("@startsWith('Hello','he')", True),
    ("@endsWith('Hello','LO')", True),
    ("@split('a,b,c',',')", ["a", "b", "c"]),
    ("@contains('hello','ell')", True),
    ("@contains('Hello','hell')", False),
    ("@contains(createArray(1,2),2)", True),
    ("@contains(json('{\"a\":1}'),'a')", True),
    ("@empty('')", True),
    ("@empty(createArray(1))", False),
    ("@first('hello')", "h"),
    ("@first(createArray(3,4))", 3),
    ("@last('hello')", "o"),
    ("@last(createArray(3,4))", 4),
    ("@length('hello')", 5),
    ("@length(createArray(3,4))", 2),
    ("@join(createArray('a','b'),'-')", "a-b"),
    ("@join(createArray(1,2),',')", "1,2"),
    ("@skip(createArray(1,2,3),1)", [2, 3]),
    ("@take(createArray(1,2,3),2)", [1, 2]),
    ("@take('hello',2)", "he"),
    ("@union(createArray(1,2),createArray(2,3))", [1, 2, 3]),
    ("@intersection(createArray(1,2),createArray(2,3))", [2]),
    ("@union(json('{\"a\":1}'),json('{\"b\":2}'))", {"a": 1, "b": 2}),
    ("@and(true,false)", False),
    ("@or(true,false)", True),
    ("@not(true)", False),
    ("@equals(1,1)", True),
    ("@equals('a','A')", False),
    ("@equals(1,1.0)", True),
    ("@equals('1',1)", False),
    ("@equals(true,true)", True),
    ("@equals(null,null)", True),
    ("@greater(2,1)", True),
    ("@greater('b','a')", True),
    ("@greaterOrEquals(2,2)", True),
    ("@less(1,2)", True),
    ("@lessOrEquals(3,2)", False),
    ("@less('a','B')", True),
    ("@if(true,'a','b')", "a"),
    ("@if(equals(1,2),'a','b')", "b"),
    ("@array('a')", ["a"]),
    ("@createArray(1,'a',true)", [1, "a", True]),
    ("@base64('hello')", "aGVsbG8="),
    ("@base64ToString('aGVsbG8=')", "hello"),
    ("@bool('true')", True),
    ("@bool(1)", True),
    ("@coalesce(null,'a','b')", "a"),
    ("@coalesce(null,null)", None),
    ("@dataUri('hello')", "data:text/plain;charset=utf-8;base64,aGVsbG8="),
    ("@decodeBase64('aGVsbG8=')", "hello"),
    ("@encodeUriComponent('a b/c?d=é')", "a%20b%2Fc%3Fd%3D%C3%A9"),
    ("@uriComponent('https://x.org/a b')", "https%3A%2F%2Fx.org%2Fa%20b"),
    ("@float('10.5')", 10.5),
    ("@int('10')", 10),
    ("@json('{\"a\":1}')", {"a": 1}),
    ("@json('[1,2]')", [1, 2]),
    ("@json('\"x\"')", "x"),
    ("@json('{\"a\":1}').a", 1),
    ('@json(\'{"a":{"b":[1,2]}}\').a.b[1]', 2),
    ("@json('{\"a b\":1}')['a b']", 1),
    ("@json('{\"A\":1}').a", 1),
    ("@json('{\"a\":1}')?.b", None),
    ("@add(1,2)", 3),
    ("@add(1.5,2)", 3.5),
    ("@sub(5,3)", 2),
    ("@mul(2,3)", 6),
    ("@mul(2,2.5)", 5.0),
    ("@div(7,2)", 3),
    ("@div(-7,2)", -3),
    ("@div(7.0,2)", 3.5),
    ("@mod(7,3)", 1),
    ("@mod(-7,3)", -1),
    ("@max(1,2,3)", 3),
    ("@max(createArray(1,5,2))", 5),
    ("@min(4,2)", 2),
    ("@range(1,4)", [1, 2, 3, 4]),
    ("@addDays('2024-01-31T00:00:00Z',1)", "2024-02-01T00:00:00.0000000Z"),
    ("@addDays('2024-01-31T00:00:00Z',-1,'yyyy-MM-dd')", "2024-01-30"),
    ("@addHours('2024-01-31T00:00:00Z',25)", "2024-02-01T01:00:00.0000000Z"),
    ("@addMinutes('2024-01-31T00:00:00Z',90,'HH:mm')", "01:30"),
    ("@addSeconds('2024-01-31T00:00:00Z',61)", "2024-01-31T00:01:01.0000000Z"),
    ("@addToTime('2024-01-31T00:00:00Z',1,'Month')", "2024-02-29T00:00:00.0000000Z"),
    ("@addToTime('2024-02-29T00:00:00Z',1,'Year')", "2025-02-28T00:00:00.0000000Z"),
    ("@addToTime('2024-01-31T00:00:00Z',2,'Week','yyyy-MM-dd')", "2024-02-14"),
    ("@subtractFromTime('2024-03-31T00:00:00Z',1,'Month')", "2024-02-29T00:00:00.0000000Z"),
    ("@subtractFromTime('2024-03-31T00:00:00Z',1,'Day','yyyyMMdd')", "20240330"),
    ("@dayOfMonth('2024-07-14T12:00:00Z')", 14),
    ("@dayOfWeek('2024-07-14T12:00:00Z')", 0),
    ("@dayOfYear('2024-07-14T12:00:00Z')", 196),
    ("@formatDateTime('2024-07-14T02:03:04Z')", "2024-07-14T02:03:04.0000000Z"),
    ("@formatDateTime('2024-07-14T02:03:04Z','yyyy/MM/dd HH:mm:ss')", "2024/07/14 02:03:04"),
    ("@formatDateTime('2024-07-14T14:03:04.123Z','yy M d h m s tt fff')", "24 7 14 2 3 4 PM 123"),
    ("@formatDateTime('2024-07-14T02:03:04Z','dddd, dd MMMM')", "Sunday, 14 July"),
    ("@formatDateTime('2024-07-14T02:03:04Z','ddd MMM')", "Sun Jul"),
    ("@formatDateTime('2024-07-14T02:03:04Z','s')", "2024-07-14T02:03:04"),
    ("@formatDateTime('2024-07-14T02:03:04Z','u')", "2024-07-14 02:03:04Z"),
    ("@formatDateTime('2024-07-14T02:03:04Z','R')", "Sun, 14 Jul 2024 02:03:04 GMT"),
    ("@formatDateTime('2024-07-14T02:03:04Z','o')", "2024-07-14T02:03:04.0000000Z"),
    ("@formatDateTime('2024-07-14T02:03:04Z','d')", "07/14/2024"),
    ("@formatDateTime('2024-07-14T02:03:04Z','yyyy-MM-ddTHH:mm:ssZ')", "2024-07-14T02:03:04Z"),
    ("@formatDateTime('2024-07-14','yyyyMMdd')", "20240714"),
    ("@formatDateTime('2024-07-14T02:03:04+02:00','HH:mm')", "00:03"),
    ("@startOfDay('2024-07-14T02:03:04Z')", "2024-07-14T00:00:00.0000000Z"),
    ("@startOfDay('2024-07-14T02:03:04Z','yyyy-MM-dd')", "2024-07-14"),
    ("@startOfHour('2024-07-14T02:03:04Z')", "2024-07-14T02:00:00.0000000Z"),
    ("@startOfMonth('2024-07-14T02:03:04Z')", "2024-07-01T00:00:00.0000000Z"),
    ("@ticks('2024-07-14T02:03:04Z')", 638565193840000000),
    ("@replace(concat('a''b','c'),'''','-')", "a-bc"),
    ("@toUpper(substring(concat('abc','def'),2,2))", "CD"),
    (
        "@formatDateTime(addDays(startOfMonth('2024-03-15T10:00:00Z'),-1),'yyyy-MM-dd')",
        "2024-02-29",
    ),
    ("@string(add(mul(2,3),div(9,2)))", "10"),
    ("@not(or(equals(length('abc'),3),false))", False),
    ("@concat(createArray(1),createArray(2))", "[1][2]"),
]
"""Expressions with the values that the framework's evaluator gave."""


@pytest.mark.parametrize(("text", "value"), EXPRESSIONS)
def test_pure_functions_have_the_values_of_the_factory(text: str, value: Any) -> None:
    found = text_value(text, Scope())
    assert (found, type(found)) == (value, type(value))


def test_no_function_is_in_two_classes() -> None:
    assert not PURE.keys() & RUN_TIME
    assert not PURE.keys() & NOT_EVALUATED
    assert all(name == name.lower() for name in (*PURE, *RUN_TIME, *NOT_EVALUATED))


@pytest.mark.parametrize(
    ("text", "activities", "variables"),
    [
        ("@activity('A').output.firstRow.x", {"A"}, set()),
        ("@concat(activity('A').output.x, variables('v'))", {"A"}, {"v"}),
        ("x @{item().name} y", set(), set()),
        ("@pipeline().parameters.none", set(), set()),
        ("@pipeline().RunId", set(), set()),
        ("@rand(1,2)", set(), set()),
        ("@less('a-b','B')", set(), set()),
        ("@xpath(xml('<a/>'),'/a')", set(), set()),
        ("@div(1,0)", set(), set()),
        ("@frobnicate()", set(), set()),
    ],
)
def test_what_only_a_run_knows_is_unknown_and_says_why(
    text: str, activities: set[str], variables: set[str]
) -> None:
    found = text_value(text, Scope())
    assert isinstance(found, Unknown)
    assert found.reason
    assert (set(found.activities), set(found.variables)) == (activities, variables)


def test_references_are_resolved_without_regard_to_case() -> None:
    scope = Scope("p", {"Day": "x"}, {"Env": "dev"}, {"f": 1}, {}, {"V": [1]}, ({"n": "a"},))
    assert text_value("@pipeline().Parameters.day", scope) == "x"
    assert text_value("@{pipeline().globalParameters.env}-@{dataset().F}", scope) == "dev-1"
    assert text_value("@variables('v')[0]", scope) == 1
    assert text_value("@item().N", scope) == "a"
    assert text_value("@pipeline().Pipeline", scope) == "p"


def test_the_time_of_a_window_stays_a_time() -> None:
    """Would catch a window that is computed at import."""
    start = Moment("start", "yyyy/MM")
    assert text_value("@trigger().outputs.windowStartTime", Scope()) == Moment("start")
    text = "a/@{formatDateTime(trigger().outputs.windowStartTime,'yyyy/MM')}/b"
    assert text_value(text, Scope()) == Template(("a/", start, "/b"))
    assert text_value("@addDays(utcnow(), -1)", Scope()) == Moment("now", None, -86_400)
