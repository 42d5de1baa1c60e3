"""Checks written into files: lines are added, nothing else changes by a byte."""

from __future__ import annotations

import ast

import pytest

from headrace.model import CheckSpec, Place
from headrace_advisor.services.check_insertion import CannotWrite, as_yaml, insert_checks

LINES = [("not_null: [a]", "never null in 3 rows")]
ADDED = "- not_null: [a]  # never null in 3 rows\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("source: s\nexpect: {by: '05:00'}\n", "source: s\nexpect: {by: '05:00'}\nchecks:\n  @"),
        (
            "source: s\n# why\nchecks:\n- unique: [a]   # x\n\n# about owner\nowner: o\n",
            "source: s\n# why\nchecks:\n- unique: [a]   # x\n@\n# about owner\nowner: o\n",
        ),
        (
            (
                "checks:\n  - sql:\n      name: n\n      query: |\n        select 1 # not a"
                " comment\n        # nor this\nowner: o\n"
            ),
            (
                "checks:\n  - sql:\n      name: n\n      query: |\n        select 1 # not a"
                " comment\n        # nor this\n  @owner: o\n"
            ),
        ),
        ("checks:\nowner: o\n", "checks:\n  @owner: o\n"),
        (
            "- source: t\n  owner: o\n\n- source: s\n  owner: o",
            "- source: t\n  owner: o\n\n- source: s\n  owner: o\n  checks:\n    @",
        ),
        (
            "- source: s\n  owner: o\n# next\n- source: t\n  owner: o\n",
            "- source: s\n  owner: o\n  checks:\n    @# next\n- source: t\n  owner: o\n",
        ),
    ],
    ids=["none", "block", "literal", "empty", "last-of-list", "first-of-list"],
)
def test_lines_go_behind_the_last_check(before: str, after: str) -> None:
    """Would catch: a comment lost, a check in the wrong mapping, a literal text cut in two."""
    assert insert_checks(before, "sources/s.yaml", "s", LINES) == after.replace("@", ADDED)


def test_a_declaration_of_more_nodes_isnt_edited_for_one() -> None:
    """A check that one node passes, written for all nodes of `for_each`."""
    text = "/* headrace\nname: $value(t)_a\nfor_each: [{t: x}, {t: y}]\nowner: o\n*/\nselect 1\n"
    with pytest.raises(CannotWrite, match="more nodes than x_a"):
        insert_checks(text, "assets/a.sql", "x_a", LINES)


def test_flow_lists_and_line_ends_stay() -> None:
    """Would catch: a file whose line ends change as a whole."""
    assert (
        insert_checks("checks: [{unique: [a]}, ]\r\nowner: o\r\n", "s.yaml", "s", LINES)
        == "checks: [{unique: [a]}, {not_null: [a]} ]\r\nowner: o\r\n"
    )
    assert insert_checks("checks: []\n", "s.yaml", "s", LINES) == "checks: [{not_null: [a]}]\n"
    assert insert_checks(
        "source: s\r\n", "s.yaml", "s", LINES
    ) == "source: s\r\nchecks:\r\n  " + ADDED.replace("\n", "\r\n")


def test_front_matter_of_sql() -> None:
    """Would catch: a check below the comment's end, or a text that ends the comment."""
    text = (
        "-- x\n/* headrace\nowner: o\nchecks:\n  - unique: [a]\n*/\nselect 1 as a, '/* headrace'"
        " as b\n"
    )
    assert insert_checks(text, "a.sql", "a", LINES) == text.replace("[a]\n*/", f"[a]\n  {ADDED}*/")
    short = "/* headrace owner: o */ select 1"
    assert (
        insert_checks("/* headrace\nowner: o*/ select 1", "a.sql", "a", LINES)
        == f"/* headrace\nowner: o\nchecks:\n  {ADDED}*/ select 1"
    )
    assert "*/" not in as_yaml(
        CheckSpec(
            kind="accepted_values",
            name="x",
            arguments={"column": "a", "values": ["*/"]},
            place=Place(file=""),
        )
    )
    assert ADDED in insert_checks(short, "a.sql", "a", LINES)
    with pytest.raises(CannotWrite):
        insert_checks("select 1", "a.sql", "a", LINES)


@pytest.mark.parametrize(
    ("decorator", "expected"),
    [
        ('@asset(owner="ö", inputs=["x"],  # why, not\n)', 'checks=[{"not_null": ["a"]}]'),
        (
            '@asset(owner="o", checks=[{"unique": ["b"]},\n])',
            'checks=[{"unique": ["b"]}, {"not_null": ["a"]}',
        ),
        ('@asset(owner="o", checks=[])', 'checks=[{"not_null": ["a"]}]'),
    ],
    ids=["none", "some", "empty"],
)
def test_literals_of_python(decorator: str, expected: str) -> None:
    """Would catch: text beyond ASCII that shifts the place, a comment that swallows the
    argument."""
    text = f"from headrace import asset\n\n# ü\n{decorator}\ndef a(ctx):\n    return None\n"
    after = insert_checks(text, "a.py", "a", LINES)
    ast.parse(after)
    assert expected in after
    with pytest.raises(CannotWrite):
        insert_checks(text, "a.py", "b", LINES)


@pytest.mark.parametrize(
    "text",
    [
        "{source: s, owner: o}",
        "x: &c [{unique: [a]}]\nchecks: *c\n",
        "checks: 7\n",
        "- source: t\n",
        "a: [\n",
    ],
)
def test_what_has_no_place_is_refused(text: str) -> None:
    """Would catch: a check added to another node's list through an alias."""
    with pytest.raises(CannotWrite):
        insert_checks(text, "s.yaml", "s", LINES)


def test_texts_are_quoted_where_yaml_reads_something_else() -> None:
    """Would catch: `no` that becomes false, a colon that becomes a mapping."""
    import yaml

    values = [
        "no",
        "N",
        "a: b",
        "# x",
        "é",
        "*/",
        "'",
        '"',
        "1",
        "null",
        "07:00",
        "",
        " ",
        "a\nb",
        "plain",
    ]
    spec = CheckSpec(
        kind="accepted_values",
        name="x",
        arguments={"column": "on", "values": values},
        place=Place(file=""),
    )
    assert yaml.safe_load(as_yaml(spec)) == {"accepted_values": {"column": "on", "values": values}}
