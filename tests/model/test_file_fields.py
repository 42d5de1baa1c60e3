"""How files are read, as it is declared: each mistake is told with its line, and what is right says
nothing."""

from __future__ import annotations

import pytest
from modellab import Parse, require_right, require_wrong

RIGHT = [
    'json: {records: "$.data.items", flatten: true}',
    "json: {records: \"$['a b'].c\"}",
    """json: {records: '$["a.b"]["it''s"]'}""",
    'json: {records: "$.Größe"}',
    "json: {}",
    'csv: {delimiter: ";", quote: "\'", encoding: cp1252, null: ["-"], decimal: ","}',
    "csv: {header: false, columns: [a, b]}",
    'csv: {skip: 4, comment: "#", null: ["", "-"]}',
    "csv: {header: 5}",
    f"complete: {{marker: {'x' * 100}}}",
]
WRONG = [
    ("json: {records: data.items}", "wrong_value"),
    ('json: {records: "$..items"}', "wrong_value"),
    ("json: {flatten: maybe}", "wrong_type"),
    ("complete: {marker: a/b}", "bad_path"),
    (r"complete: {marker: a\\b}", "bad_path"),
    (r'complete: {marker: "a\tb"}', "bad_path"),
    (f"complete: {{marker: {'x' * 101}}}", "bad_path"),
    ("csv: {delimiter: ab}", "wrong_value"),
    ("csv: {header: false}", "wrong_value"),
    ("csv: {columns: [a]}", "conflicting_fields"),
    ("csv: {header: 5, skip: 4}", "conflicting_fields"),
    ("csv: {header: 0}", "wrong_value"),
    ("csv: {comment: '//'}", "wrong_value"),
    ("csv: {null: [1]}", "wrong_type"),
    ('csv: {decimal: ";"}', "wrong_value"),
]


@pytest.mark.parametrize("text", RIGHT)
def test_what_is_right_is_read(parse: Parse, text: str) -> None:
    """Would catch: a documented form that is refused."""
    require_right(parse, text)


@pytest.mark.parametrize(("text", "code"), WRONG)
def test_what_is_wrong_is_told(parse: Parse, text: str, code: str) -> None:
    """Would catch: a mistake that comes up in the night, or that becomes part of a statement."""
    require_wrong(parse, text, code)


FILES = [
    ("partition: {key: region}\nfiles: landing/{key}.csv", None),
    ("partition: [day, {key: region}]\nfiles: 'landing/{key}/{date:%Y-%m-%d}.csv'", None),
    ("partition: {by: day, column: d}\nfiles: landing/all.csv", None),
    ("partition: {key: region}\nfiles: landing/all.csv", None),
    ("files: landing/{key}.csv", "bad_path"),
    ("partition: day\nfiles: landing/all.csv", "bad_path"),
    ("partition: {key: region}\nfiles: landing/{key}_{key}.csv", "bad_path"),
]


@pytest.mark.parametrize(("text", "code"), FILES)
def test_names_and_columns_say_partitions(parse: Parse, text: str, code: str | None) -> None:
    """Would catch: a source whose files say nothing about their partition, `{key}` where nothing is
    cut by a key."""
    declared = parse("sources/s.yaml", f"source: s\nowner: core\n{text}\n")
    assert {problem.code for problem in declared.problems} == ({code} if code else set())
