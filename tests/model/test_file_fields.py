"""How files are read, as it is declared: each mistake is told with its line, and what is right says
nothing."""

from __future__ import annotations

import pytest
from modellab import Parse, told

HEAD = "source: s\nowner: core\nfiles: landing/x.csv\n"
RIGHT = [
    'excel: {sheet: Data, header: 3, range: "A3:F200"}',
    "excel: {sheet: 2}",
    'excel: {range: "a:f"}',
    'json: {records: "$.data.items", flatten: true}',
    "json: {records: \"$['a b'].c\"}",
    "json: {}",
    'xml: {records: "//row"}',
    "xml: {records: /feed/entry, flatten: true}",
    (
        "fixed_width: [{name: id, width: 8}, {width: 2}, {name: v, width: 9, type: 'decimal(9,2)',"
        " scale: 2, sign: overpunch, start: 12}]"
    ),
    "fixed_width: {columns: [{name: id, width: 8}], skip: 1, encoding: cp037, record: 80}",
    'csv: {delimiter: ";", quote: "\'", encoding: cp1252, null: ["-"], decimal: ","}',
    "csv: {header: false, columns: [a, b]}",
    'csv: {skip: 4, comment: "#", null: ["", "-"]}',
    "csv: {header: 5}",
    'fixed_width: {columns: [{name: d, width: 8, format: "%Y%m%d"}], trimmed: true, end: "0x1A"}',
    f"complete: {{marker: {'x' * 100}}}",
]
WRONG = [
    ("excel: {sheet: 0}", "wrong_value"),
    ("excel: {header: 0}", "wrong_value"),
    ('excel: {range: "A1-F2"}', "wrong_value"),
    ("excel: {tab: Data}", "unknown_field"),
    ("excel: Data", "wrong_type"),
    ("json: {records: data.items}", "wrong_value"),
    ('json: {records: "$..items"}', "wrong_value"),
    ("json: {flatten: maybe}", "wrong_type"),
    ("xml: {}", "missing_field"),
    ('xml: {records: "//row[1]"}', "wrong_value"),
    ("fixed_width: []", "wrong_value"),
    ("fixed_width: {skip: 1}", "wrong_value"),
    (f"fixed_width: [{'{name: a, width: 1}, ' * 4_097}]", "wrong_value"),
    ("complete: {marker: a/b}", "bad_path"),
    (r"complete: {marker: a\\b}", "bad_path"),
    (r'complete: {marker: "a\tb"}', "bad_path"),
    (f"complete: {{marker: {'x' * 101}}}", "bad_path"),
    ("fixed_width: [{name: a}]", "missing_field"),
    ("fixed_width: [{width: 5}]", "wrong_value"),
    ("fixed_width: [id]", "wrong_type"),
    ("fixed_width: [{name: a, width: 0}]", "wrong_value"),
    ("fixed_width: [{name: a, width: 1}, {name: A, width: 1}]", "wrong_value"),
    ('fixed_width: [{name: a, width: 1, type: "int); drop table x"}]', "wrong_value"),
    ("fixed_width: {columns: [{name: a, width: 1}], record: 5}", "wrong_value"),
    ("fixed_width: {columns: [{name: a, width: 1}], encoding: klingon}", "wrong_value"),
    ("csv: {delimiter: ab}", "wrong_value"),
    ("csv: {header: false}", "wrong_value"),
    ("csv: {columns: [a]}", "conflicting_fields"),
    ("csv: {header: 5, skip: 4}", "conflicting_fields"),
    ("csv: {header: 0}", "wrong_value"),
    ("csv: {comment: '//'}", "wrong_value"),
    ("csv: {null: [1]}", "wrong_type"),
    ('fixed_width: {columns: [{name: a, width: 1}], end: "1A"}', "wrong_value"),
    ('fixed_width: [{name: a, width: 1, format: "%Q"}]', "wrong_value"),
    ('fixed_width: [{name: a, width: 8, type: bigint, format: "%Y%m%d"}]', "conflicting_fields"),
    ('csv: {decimal: ";"}', "wrong_value"),
]


@pytest.mark.parametrize("text", RIGHT)
def test_what_is_right_is_read(parse: Parse, text: str) -> None:
    """Would catch: a documented form that is refused."""
    declared = parse("sources/s.yaml", HEAD + text + "\n")
    assert told(declared.problems) == []


@pytest.mark.parametrize(("text", "code"), WRONG)
def test_what_is_wrong_is_told(parse: Parse, text: str, code: str) -> None:
    """Would catch: a mistake that comes up in the night, or that becomes part of a statement."""
    declared = parse("sources/s.yaml", HEAD + text + "\n")
    assert code in {problem.code for problem in declared.problems}
    assert {problem.place.line for problem in declared.problems} == {4}
    assert all(problem.hint for problem in declared.problems)


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


def test_no_columns_are_said_once(parse: Parse) -> None:
    """Catches: an empty list that is called a list without names as well."""
    declared = parse("sources/s.yaml", f"{HEAD}fixed_width: []\n")
    assert [problem.message for problem in declared.problems] == ["`fixed_width` lists no columns"]
