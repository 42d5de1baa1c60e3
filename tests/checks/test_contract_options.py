"""What a contract says of single columns, checked on real rows."""

from __future__ import annotations

import pytest
from quality_bench import Bench

from headrace.checks import CheckState
from headrace.model import Declared, FileKind
from headrace.model.errors import Report
from headrace.model.parsing import parse_text

HEAD = "apiVersion: v3.1.0\nkind: DataContract\nid: t\nversion: 1.0.0\nstatus: active\n"


def _declared(column: str) -> Declared:
    text = f"{HEAD}schema:\n  - name: t\n    properties:\n      - {{name: 'c\"x', {column}}}\n"
    report = Report("contracts/t.odcs.yaml")
    return parse_text(FileKind.CONTRACT, text, report)


@pytest.mark.parametrize(
    ("column", "good", "bad"),
    [
        ("logicalType: string, logicalTypeOptions: {minLength: 2}", "'äö'", "'ä'"),
        ("logicalType: string, logicalTypeOptions: {maxLength: 2}", "'äö'", "'abc'"),
        # A pattern matches a part of the value, as in JSON Schema, unless it is anchored.
        ("logicalType: string, logicalTypeOptions: {pattern: '[A-Z]{2}'}", "'xABx'", "'xAx'"),
        ("logicalType: string, logicalTypeOptions: {pattern: '^A|B$'}", "'xB'", "'xAx'"),
        ("logicalType: string, logicalTypeOptions: {pattern: '^[A-Z]{2}$'}", "'AB'", "'ABC'"),
        ('logicalType: string, logicalTypeOptions: {pattern: "^it\'s$"}', "'it''s'", "'its'"),
        ("logicalType: string, logicalTypeOptions: {format: email}", "'a@b.c'", "'a b@c'"),
        ("logicalType: string, logicalTypeOptions: {format: ipv4}", "'10.0.0.255'", "'10.0.0.256'"),
        ("logicalType: string, logicalTypeOptions: {format: ipv6}", "'2001:db8::1'", "'1::2::3'"),
        ("logicalType: string, logicalTypeOptions: {format: ipv6}", "'::ffff:10.0.0.1'", "'::g'"),
        ("logicalType: string, logicalTypeOptions: {format: hostname}", "'a-b.example'", "'a_b'"),
        ("logicalType: string, logicalTypeOptions: {format: uri}", "'https://a/b'", "'a/b'"),
        ("logicalType: string, logicalTypeOptions: {format: byte}", "'YWI='", "'YWI'"),
        (
            "logicalType: string, logicalTypeOptions: {format: uuid}",
            "'01234567-89ab-CDEF-0123-456789abcdef'",
            "'0123456789abcdef0123456789abcdef'",
        ),
        ("logicalType: integer, logicalTypeOptions: {minimum: 0}", "0", "-1"),
        ("logicalType: integer, logicalTypeOptions: {exclusiveMinimum: 0}", "1", "0"),
        ("logicalType: integer, logicalTypeOptions: {minimum: 1, maximum: 3}", "3", "4"),
        ("logicalType: integer, logicalTypeOptions: {multipleOf: 5}", "-10", "7"),
        ("logicalType: integer, logicalTypeOptions: {format: u8}", "255", "256"),
        ("logicalType: integer, logicalTypeOptions: {format: i16}", "-32768", "-32769"),
        ("logicalType: number, logicalTypeOptions: {exclusiveMaximum: 1.5}", "1.4", "1.5"),
        ("logicalType: number, logicalTypeOptions: {maximum: 1.5}", "1.5", "'nan'::DOUBLE"),
        ("logicalType: number, logicalTypeOptions: {multipleOf: 0.1}", "0.3::DOUBLE", "0.35"),
        ("logicalType: number, logicalTypeOptions: {format: f32}", "3e38::DOUBLE", "4e38::DOUBLE"),
        (
            "logicalType: date, logicalTypeOptions: {minimum: '2024-01-01'}",
            "DATE '2024-01-01'",
            "DATE '2023-12-31'",
        ),
        (
            "physicalType: timestamp, logicalType: timestamp,"  # noqa: ISC004
            " logicalTypeOptions: {exclusiveMaximum: '2024-01-01T00:00:00'}",
            "TIMESTAMP '2023-12-31 23:59:59'",
            "TIMESTAMP '2024-01-01'",
        ),
        (
            "logicalType: time, logicalTypeOptions: {maximum: '18:00'}",
            "TIME '18:00'",
            "TIME '18:00:01'",
        ),
        (
            "logicalType: date, physicalType: varchar, logicalTypeOptions: {format: dd.MM.yyyy}",
            "'29.02.2024'",
            "'30.02.2024'",
        ),
        ("logicalType: array, logicalTypeOptions: {minItems: 2}", "[1, 2]", "[1]"),
        ("logicalType: array, logicalTypeOptions: {maxItems: 1}", "'[1]'", "'[1, 2]'"),
        ("logicalType: array, logicalTypeOptions: {uniqueItems: true}", "['a', 'b']", "['a', 'a']"),
        (
            "logicalType: object, logicalTypeOptions: {required: [a]}",
            "'{\"a\": 1}'",
            "'{\"b\": 1}'",
        ),
        (
            "logicalType: object, logicalTypeOptions: {maxProperties: 1}",
            "{'a': 1}",
            "{'a': 1, 'b': 2}",
        ),
        ("logicalType: vector, logicalTypeOptions: {dimensions: 2}", "[1.0, 2.0]", "[1.0]"),
        ("logicalType: string, enum: [{value: a}, {value: b}]", "'b'", "'c'"),
    ],
)
def test_what_a_contract_says_of_a_column_is_checked(
    bench: Bench, column: str, good: str, bad: str
) -> None:
    """Catches an option that is dropped without a word, one that refuses null or good values, and
    a name or a value that ends its literal."""
    declared = _declared(column)
    assert declared.problems == ()
    (contract,) = declared.contracts
    assert len(contract.checks) == 1
    outcomes = []
    for value in (good, bad):
        staged = bench.stage(f'SELECT {value} AS "c""x" UNION ALL SELECT NULL')
        (result,) = bench.audit(staged, *contract.checks, partition_check=None).results
        outcomes.append(result.outcome)
    assert "(?s:" not in result.detail, "the pattern, as its author wrote it"
    assert outcomes == [CheckState.PASSED, CheckState.FAILED]


@pytest.mark.parametrize(
    "column",
    [
        "logicalType: string, logicalTypeOptions: {format: password}",
        "logicalType: string, logicalTypeOptions: {pattern: '(?=A)B'}",  # not in RE2
        "logicalType: string, logicalTypeOptions: {pattern: '(a)\\1'}",
        "logicalType: timestamp, logicalTypeOptions: {defaultTimezone: Europe/Berlin}",
        "logicalType: timestamp, logicalTypeOptions: {timezone: false}",
        "logicalType: date, logicalTypeOptions: {minimum: '1.1.2024'}",
        "logicalType: date, physicalType: varchar, logicalTypeOptions: {format: 'EEE d'}",
        "logicalType: number, physicalType: varchar, logicalTypeOptions: {minimum: 0}",
        "logicalType: array, items: {logicalType: string}",
        "logicalType: object, properties: [{name: a, required: true}]",
        "logicalType: map, map: {key: {logicalType: string}, value: {logicalType: integer}}",
        "relationships: [{to: customers.id}]",
        "quality: [{type: custom, engine: soda, implementation: x}]",
        "quality: [{type: text, description: as in the ledger}]",
    ],
)
def test_what_no_check_covers_is_named(column: str) -> None:
    """Catches a promise that nobody keeps and nobody mentions."""
    declared = _declared(column)
    (contract,) = declared.contracts
    assert (contract.checks, len(contract.unenforced)) == ((), 1)
    (problem,) = declared.problems
    assert (problem.code, problem.level.value) == ("not_built", "warning")
    assert contract.unenforced[0] in problem.message
