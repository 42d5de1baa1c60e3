"""Owners, consumers, calendars, tests."""

from __future__ import annotations

import pytest
from modellab import Parse, told

from headrace.model import Grain


def test_owners(parse: Parse) -> None:
    declared = parse(
        "owners.yaml",
        "core: {kind: team, contact: ops, manager: boss}\nacme:\n  kind: vendor\n  tell:"
        " true\nboss:\n",
    )
    assert declared.problems == ()
    assert [
        (owner.name, owner.kind, owner.contact, owner.manager, owner.tell)
        for owner in declared.owners
    ] == [
        ("core", "team", ("ops",), "boss", None),
        ("acme", "vendor", (), None, True),
        ("boss", "team", (), None, None),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- core\n", "wrong_type owners.yaml:1"),
        ("core: team\n", "wrong_type owners.yaml:1"),
        ("core: {kind: gang}\n", "wrong_value owners.yaml:1"),
        ("core: {}\n'a b': {}\n", "bad_name owners.yaml:2"),
        ("core:\n  tell: yes\n", "wrong_type owners.yaml:2"),
        ("core:\n  contacts: [a]\n", "unknown_field owners.yaml:2"),
        ("core: {}\ncore: {}\n", "yaml_duplicate_key owners.yaml:2"),
    ],
)
def test_a_mistake_in_owners_is_said(parse: Parse, text: str, problem: str) -> None:
    assert told(parse("owners.yaml", text).problems) == [problem]


def test_consumers(parse: Parse) -> None:
    text = (
        "- {consumer: a-1, owner: core, reads: [x, x, y], due: '+1bd 09:00', per: month, calendar:"
        " NYSE, importance: high, export: {to: 'out/{asset}_{date:%Y-%m}.csv', on_restatement:"
        " tell}}\n- {consumer: b, owner: core, reads: x, max_age: 30h, export: {to: {connection: w,"
        " table: t}}}\n"
    )
    declared = parse("consumers.yaml", text)
    assert declared.problems == ()
    first, second = declared.consumers
    assert (first.reads, first.due, first.per, first.calendar) == (
        ("x", "y"),
        "+1bd 09:00",
        Grain.MONTH,
        "NYSE",
    )
    assert (second.reads, second.max_age, second.due) == (("x",), "30h", None)


@pytest.mark.parametrize("since", ["0001-01-01", "1899-12-31T23:59", "3000-01-01T00Z"])
def test_a_since_outside_of_the_calendar_is_said_with_its_line(parse: Parse, since: str) -> None:
    """It passed `validate`, and `apply` failed with a word of Python's, without file and line."""
    text = f"- consumer: c1\n  owner: core\n  reads: [x]\n  due: '07:00'\n  since: {since}\n"
    [problem] = parse("consumers.yaml", text).problems
    assert (problem.code, problem.place.line) == ("bad_time", 5)
    assert "between 1900 and 2999" in problem.message


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("reads: [x]", "missing_field"),
        ("reads: [x], due: '07:00', max_age: 1h", "conflicting_fields"),
        ("due: '07:00'", "missing_field"),
        ("reads: [], due: '07:00'", "missing_field"),
        ("reads: [x], due: 7am", "bad_time"),
        ("reads: [x], due: 7", "wrong_type"),
        ("reads: [x], max_age: x", "bad_duration"),
        ("reads: [x], due: '07:00', per: fortnight", "wrong_value"),
        ("reads: [x], due: '07:00', export: {to: ../x}", "bad_path"),
        ("reads: [x], due: '07:00', export: {}", "missing_field"),
        ("reads: [x], due: '07:00', export: {to: {table: t}}", "missing_field"),
        ("raeds: [x], due: '07:00'", "unknown_field"),
    ],
)
def test_a_mistake_in_a_consumer_is_said(parse: Parse, fields: str, problem: str) -> None:
    declared = parse("consumers.yaml", f"- {{consumer: c1, owner: core, {fields}}}\n")
    assert problem in [problem.code for problem in declared.problems]
    assert all(problem.hint for problem in declared.problems)


def test_calendars(parse: Parse) -> None:
    assert parse("calendars/orders.yaml", "- 2013-12-25\n- 2013-01-01\n- 2013-01-01\n").calendars[
        0
    ].dates == ("2013-01-01", "2013-12-25")
    named = parse("calendars/orders.yaml", "calendar: NYSE\ndates: [2013-12-25]\n").calendars[0]
    assert named.name == "NYSE"
    broken = parse("calendars/orders.yaml", "- 2013-12-25\n- 2013-02-30\n- 7\n")
    assert told(broken.problems) == [
        "wrong_value calendars/orders.yaml:2",
        "wrong_value calendars/orders.yaml:3",
    ]


def test_tests(parse: Parse) -> None:
    declared = parse(
        "tests/orders.yaml",
        "- {test: t, asset: a, partition: 2013-02-08, given: {b: [{x: 1}], c: c.csv}, expect: [{y:"
        " 2}]}\n- {test: u}\n- 7\n",
    )
    assert [(test.name, test.asset, test.partition, test.given) for test in declared.tests] == [
        ("t", "a", "2013-02-08", {"b": [{"x": 1}], "c": "c.csv"})
    ]
    assert told(declared.problems) == [
        "missing_field tests/orders.yaml:2",
        "missing_field tests/orders.yaml:2",
        "wrong_type tests/orders.yaml:3",
    ]


def test_a_file_full_of_mistakes_doesnt_fill_the_screen(parse: Parse) -> None:
    """The thousandth problem of a file helps nobody, but that there are more must be said."""
    declared = parse("sources/orders.yaml", "- {ownr: x}\n" * 500)
    assert len(declared.problems) == 201
    assert declared.problems[-1].code == "too_many_problems"
