"""ODCS contracts: the standard's schema, our lines, DuckDB's types."""

from __future__ import annotations

import msgspec
import pytest
from modellab import Parse, told

from headrace.model import ContractColumn
from headrace.model.contracts import duckdb_type

HEAD = "apiVersion: v3.1.0\nkind: DataContract\nid: orders\nversion: 2.1.0\nstatus: active\n"
GOOD = (
    HEAD
    + """schema:
  - name: orders
    properties:
      - name: order_id
        logicalType: integer
        primaryKey: true
      - {name: email, logicalType: string, physicalType: varchar(200), classification: personal, unique: true}
      - name: amount
        logicalType: number
        physicalType: DECIMAL(18, 2)
        customProperties:
          - {property: headrace.names, value: [{name: Amount, from: 2013-02-11}]}
      - {name: anything}
"""
)


def test_a_contract_becomes_columns(parse: Parse) -> None:
    declared = parse("contracts/orders.odcs.yaml", GOOD)
    assert declared.problems == ()
    (contract,) = declared.contracts
    assert (contract.name, contract.version, contract.status) == ("orders", "2.1.0", "active")
    assert [column.place.line for column in contract.columns if column.place] == [10, 12, 15, 18]
    assert tuple(msgspec.structs.replace(column, place=None) for column in contract.columns) == (
        ContractColumn(name="order_id", type="BIGINT", required=True, primary_key=True),
        ContractColumn(name="email", type="VARCHAR", unique=True, classification="personal"),
        ContractColumn(
            name="amount", type="DECIMAL(18,2)", names=({"name": "Amount", "from": "2013-02-11"},)
        ),
        ContractColumn(name="anything"),
    )


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("version: 2.1.0\n", "", "contract_invalid contracts/orders.odcs.yaml:1"),
        ("v3.1.0", "v2.2.2", "contract_invalid contracts/orders.odcs.yaml:1"),
        ("version: 2.1.0", "version: 2", "contract_invalid contracts/orders.odcs.yaml:4"),
        ("status: active", "statsu: active", "contract_invalid contracts/orders.odcs.yaml:5"),
        (
            "logicalType: integer",
            "logicalType: int",
            "contract_invalid contracts/orders.odcs.yaml:10",
        ),
        ("primaryKey: true", "primaryKey: yes", "contract_invalid contracts/orders.odcs.yaml:11"),
        (
            "classification: personal",
            "clasification: personal",
            "contract_invalid contracts/orders.odcs.yaml:12",
        ),
        ("{name: anything}", "{name: EMAIL}", "contract_invalid contracts/orders.odcs.yaml:18"),
        (
            "value: [{name: Amount, from: 2013-02-11}]",
            "value: [{name: Amount}]",
            "contract_invalid contracts/orders.odcs.yaml:17",
        ),
        (
            "logicalType: integer",
            "logicalType: integer\n        physicalType: float",
            "contract_invalid contracts/orders.odcs.yaml:9",
        ),
        (
            "logicalType: number",
            "logicalType: boolean",
            "contract_invalid contracts/orders.odcs.yaml:13",
        ),
        (
            "- name: orders\n",
            "- name: a\n  - name: b\n",
            "contract_invalid contracts/orders.odcs.yaml:6",
        ),
    ],
)
def test_a_break_of_the_standard_is_said_at_its_line(
    parse: Parse, old: str, new: str, problem: str
) -> None:
    """The package for the standard accepts unknown fields in silence."""
    assert old in GOOD
    assert told(parse("contracts/orders.odcs.yaml", GOOD.replace(old, new)).problems) == [problem]


@pytest.mark.parametrize(
    ("physical", "logical", "expected"),
    [
        ("VARCHAR(20)", "string", "VARCHAR"),
        ("NUMBER(10,2)", "number", "DECIMAL(10,2)"),
        ("numeric(10)", None, "DECIMAL(10,0)"),
        ("decimal(99,2)", "number", "DOUBLE"),
        ("timestamptz", None, "TIMESTAMP WITH TIME ZONE"),
        ("datetime", "timestamp", "TIMESTAMP"),
        (None, "timestamp", "TIMESTAMP WITH TIME ZONE"),
        ("int); drop table x --", "integer", "BIGINT"),
        ("int); drop table x --", None, None),
        (None, "object", None),
        (None, None, None),
        (7, ["x"], None),
    ],
)
def test_types_are_duckdbs_or_none(physical: object, logical: object, expected: str | None) -> None:
    """A type becomes part of a statement: only names that we know ever do."""
    assert duckdb_type(physical, logical) == expected


RULES = (
    HEAD
    + """slaProperties:
  - {property: latency, value: 5, unit: h}
  - {property: retention, value: 3, unit: y}
schema:
  - name: orders
    quality:
      - {metric: rowCount, mustBeGreaterThan: 10}
      - {type: sql, name: positive, query: 'SELECT count(*) FROM ${object} WHERE amount < 0', mustBe: 0, severity: warning}
      - {type: text, description: nobody runs this}
      - {metric: duplicateValues, mustBe: 0, arguments: {properties: [order_id, email]}}
    properties:
      - name: order_id
        quality: [{metric: nullValues, mustBe: 0}, {metric: duplicateValues, mustBeLessThan: 2, unit: percent}]
      - name: e"mail
        quality:
          - {metric: invalidValues, mustBe: 0, arguments: {validValues: [a, b]}}
          - {metric: invalidValues, mustBe: 0, arguments: {pattern: '.+@.+'}}
          - {metric: nullValues, mustBe: 0}
          - {type: sql, query: 'SELECT min(length(${property})) FROM orders', mustBeBetween: [1, 9]}
"""
)


def test_quality_rules_become_checks(parse: Parse) -> None:
    """Catches: a rule that is read and never run; a name that ends a statement; two checks of one
    name.
    """
    (contract,) = parse("contracts/orders.odcs.yaml", RULES).contracts
    assert [(check.name, check.kind, check.severity.value) for check in contract.checks] == [
        ("contract_rowCount", "row_count", "blocking"),
        ("positive", "sql", "warning"),
        ("contract_duplicateValues", "unique", "blocking"),
        ("contract_nullValues_order_id", "not_null", "blocking"),
        ("contract_duplicateValues_order_id", "sql", "blocking"),
        ('contract_invalidValues_e"mail', "accepted_values", "blocking"),
        ('contract_invalidValues_e"mail_2', "regex", "blocking"),
        ('contract_nullValues_e"mail', "not_null", "blocking"),
        ('contract_sql_e"mail', "sql", "blocking"),
    ]
    said = {check.name: check.arguments for check in contract.checks}
    assert said["contract_rowCount"] == {"min": 11}
    assert said["contract_duplicateValues"] == {"columns": ["order_id", "email"]}
    assert (
        '100.0 * (count(*) - count(DISTINCT ("order_id"))) / greatest(count(*), 1) FROM $self'
        in (said["contract_duplicateValues_order_id"]["query"])
    )
    query = said['contract_sql_e"mail']["query"]
    assert (
        'WITH "orders" AS (SELECT * FROM $self) SELECT min(length("e""mail")) FROM orders' in query
    )
    assert query.endswith("WHERE NOT coalesce(value BETWEEN 1 AND 9, false)")
    assert [(item.property, item.value, item.unit) for item in contract.service] == [
        ("latency", "5", "h"),
        ("retention", "3", "y"),
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("mustBe: 0, severity", "severity"),
        ("arguments: {validValues: [a, b]}", "arguments: {}"),
        ("${object}", "${column}"),
        (
            "mustBeGreaterThan: 10}",
            "mustBeGreaterThan: 10}\n      - {metric: rowCount, mustBeLessThan: 11}",
        ),
        ("[1, 9]", "[9, 1]"),
    ],
)
def test_a_rule_that_cannot_be_run_is_an_error(parse: Parse, old: str, new: str) -> None:
    """Catches: a promise that is kept by never looking. Would catch: rules that no delivery can
    keep, so that each is refused."""
    problems = parse("contracts/orders.odcs.yaml", RULES.replace(old, new, 1)).problems
    assert any(problem.code == "contract_invalid" for problem in problems), problems


def test_rules_that_leave_one_number_contradict_nothing(parse: Parse) -> None:
    """Would catch: a contract refused for bounds that meet."""
    more = "mustBeGreaterThan: 10}\n      - {metric: rowCount, mustBeLessThan: 12}"
    assert (
        parse("contracts/orders.odcs.yaml", RULES.replace("mustBeGreaterThan: 10}", more)).problems
        == ()
    )
