"""How files are read, as it is declared: each mistake is told with its line, and what is right says
nothing."""

from __future__ import annotations

import pytest
from modellab import FILES_OF_A_SOURCE, Load, Parse, require_right, require_wrong

RIGHT = [
    'excel: {sheet: Data, header: 3, range: "A3:F200"}',
    "excel: {sheet: 2}",
    "excel: {header: [1, 2]}",
    'excel: {range: "a:f"}',
    'xml: {records: "//row"}',
    "xml: {records: /feed/entry, flatten: true}",
    (
        "fixed_width: [{name: id, width: 8}, {width: 2}, {name: v, width: 9, type: 'decimal(9,2)',"
        " scale: 2, sign: overpunch, start: 12}]"
    ),
    "fixed_width: {columns: [{name: id, width: 8}], skip: 1, encoding: cp037, record: 80}",
    'fixed_width: {columns: [{name: d, width: 8, format: "%Y%m%d"}], trimmed: true, end: "0x1A"}',
    'copybook: {text: "01 A. 05 B PIC X.", records: rdw, code_page: cp1141, null_blanks: true}',
    """copybook: {text: "01 A. 05 B PIC X. 88 C VALUE '1'.", conditions: [B]}""",
    "bai2: {rows: balances, encoding: cp1252}",
    "camt: {rows: details}",
    "mt940: {rows: balances, encoding: cp1252}",
    "mt940: {}",
    "coda: {rows: details, encoding: cp1252}",
    "geojson: {}",
    "geopackage: {layer: roads}",
    "nacha: {rows: addenda}",
    "x12: {rows: claims, encoding: cp1252}",
    "edifact: {rows: lines}",
    "hl7: {rows: observations}",
    "spss: {rows: labels, encoding: cp1252}",
    "dbf: {memo: left_out, encoding: cp866}",
    "fhir: {type: Claim, columns: {a: 'b.c[system=http://x.y/z].code | d'}}",
    "fhir: {rows: patients, total: unchecked}",
    "naaccr: {items: [sex, ourItem], own_items: [ourItem]}",
    "fix: {rows: orders, sequence: unchecked, groups: {453: [448, 447]}}",
]
WRONG = [
    ("excel: {sheet: 0}", "wrong_value"),
    ("excel: {header: 0}", "wrong_value"),
    ("excel: {header: [2, 1]}", "wrong_value"),
    ("excel: {header: [1, 99]}", "wrong_value"),
    ('excel: {range: "A1-F2"}', "wrong_value"),
    ("excel: {tab: Data}", "unknown_field"),
    ("excel: Data", "wrong_type"),
    ("xml: {}", "missing_field"),
    ('xml: {records: "//row[1]"}', "wrong_value"),
    ("fixed_width: []", "wrong_value"),
    ("fixed_width: {skip: 1}", "wrong_value"),
    (f"fixed_width: [{'{name: a, width: 1}, ' * 4_097}]", "wrong_value"),
    ("fixed_width: [{name: a}]", "missing_field"),
    ("fixed_width: [{width: 5}]", "wrong_value"),
    ("fixed_width: [id]", "wrong_type"),
    ("fixed_width: [{name: a, width: 0}]", "wrong_value"),
    ("fixed_width: [{name: a, width: 1}, {name: A, width: 1}]", "wrong_value"),
    ('fixed_width: [{name: a, width: 1, type: "int); drop table x"}]', "wrong_value"),
    ("fixed_width: {columns: [{name: a, width: 1}], record: 5}", "wrong_value"),
    ("fixed_width: {columns: [{name: a, width: 1}], encoding: klingon}", "wrong_value"),
    ('fixed_width: {columns: [{name: a, width: 1}], end: "1A"}', "wrong_value"),
    ('fixed_width: [{name: a, width: 1, format: "%Q"}]', "wrong_value"),
    ('fixed_width: [{name: a, width: 8, type: bigint, format: "%Y%m%d"}]', "conflicting_fields"),
    ("copybook: {records: fixed}", "missing_field"),
    ('copybook: {text: "01 A. 05 B PIC"}', "wrong_value"),
    ('copybook: {text: "01 A. 05 B PIC X.", code_page: klingon}', "wrong_value"),
    ('copybook: {text: "01 A. 05 B PIC X.", rows: C}', "wrong_value"),
    ('copybook: {text: "01 A. 05 B PIC X.", choose: {B: [C]}}', "wrong_value"),
    ('copybook: {text: "01 A. 05 B PIC X.", choose: {B: C}}', "wrong_value"),
    ('copybook: {text: "01 A. 05 B PIC X.", trailer: {record: C}}', "wrong_value"),
    ('copybook: {text: "01 A. 05 B PIC X.", trailer: {count: C}}', "missing_field"),
    ('copybook: {text: "01 A. 05 B COMP-1.", records: lines}', "conflicting_fields"),
    ('copybook: {text: "01 A. 05 B PIC X.", bad_records: drop}', "wrong_value"),
    ('copybook: {text: "01 A. 05 B PIC X.", conditions: [B]}', "wrong_value"),
    ('copybook: {text: "01 A. 05 B PIC XX.", length: 1}', "conflicting_fields"),
    ("bai2: {rows: entries}", "wrong_value"),
    ("camt: {rows: transactions}", "wrong_value"),
    ("camt: {encoding: cp1252}", "unknown_field"),
    ("pain: {rows: entries}", "wrong_value"),
    ("ubl: {rows: invoices}", "wrong_value"),
    ("mt940: {rows: entries}", "wrong_value"),
    ("mt940: {encoding: klingon}", "wrong_value"),
    ("dbf: {encoding: hex}", "wrong_value"),
    ("spss: {encoding: klingon}", "wrong_value"),
    ("mt940: {header: 1}", "unknown_field"),
    ("nacha: {rows: balances}", "wrong_value"),
    ("nacha: batches", "wrong_type"),
    ("x12: {rows: entries}", "wrong_value"),
    ("fix: {groups: {453: 448}}", "wrong_value"),
    ("fix: {groups: {a: [448]}}", "wrong_value"),
    ("fix: {sequence: any}", "wrong_value"),
    ("fhir: {type: Claim}", "conflicting_fields"),
    ("fhir: {type: claim, columns: {a: b}}", "wrong_value"),
    ("fhir: {type: Claim, columns: {a: 'b c'}}", "wrong_value"),
    ("fhir: {type: Claim, columns: {id: b}}", "wrong_value"),
    ("stata: {rows: codes}", "wrong_value"),
    ("dbf: {memo: lost}", "wrong_value"),
    ("naaccr: {items: [sexx]}", "wrong_value"),
]


@pytest.mark.parametrize("text", RIGHT)
def test_what_is_right_is_read(parse: Parse, text: str) -> None:
    """Would catch: a documented form that is refused."""
    require_right(parse, text)


@pytest.mark.parametrize(("text", "code"), WRONG)
def test_what_is_wrong_is_told(parse: Parse, text: str, code: str) -> None:
    """Would catch: a mistake that comes up in the night, or that becomes part of a statement."""
    require_wrong(parse, text, code)


def test_no_columns_are_said_once(parse: Parse) -> None:
    """Catches: an empty list that is called a list without names as well."""
    declared = parse("sources/s.yaml", f"{FILES_OF_A_SOURCE}fixed_width: []\n")
    assert [problem.message for problem in declared.problems] == ["`fixed_width` lists no columns"]


def test_a_workbook_has_a_sheet_for_each_read(load: Load) -> None:
    """Would catch: `{asset}` asked of a workbook, which holds several reads."""
    files = {
        "sources/s.yaml": "- {source: s, owner: core, files: s.csv}\n"
        "- {source: t, owner: core, files: t.csv}\n",
        "consumers.yaml": "- {consumer: c, owner: core, reads: [s, t], max_age: 1d,"
        " export: {to: x.xlsx}}\n",
    }
    assert load(**files)[1] == []
