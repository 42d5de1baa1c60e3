"""ODCS contracts: the standard's schema, our lines, DuckDB's types."""

from __future__ import annotations

import duckdb
import msgspec
import pytest
from modellab import Load, Parse, told

from headrace.model import ContractColumn, Project
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
            "logicalType: integer",
            "logicalType: integer\n        physicalType: uhugeint",
            "contract_invalid contracts/orders.odcs.yaml:11",
        ),
        (
            "logicalType: integer",
            "logicalType: array\n        physicalType: HUGEINT[3]",
            "contract_invalid contracts/orders.odcs.yaml:11",
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


def test_rules_of_version_3_0(parse: Parse) -> None:
    """Would catch: a valid contract of an older version refused, or its rules left out in silence."""
    older = HEAD.replace("v3.1.0", "v3.0.2") + (
        """schema:
  - name: orders
    quality:
      - {type: library, rule: rowCount, mustBeGreaterThan: 1}
      - {rule: freshnessCheck, mustBe: 0}
    properties:
      - name: order_id
        quality: [{rule: duplicateCount, mustBeLessThan: 1, unit: rows}]
      - name: unit
        quality: [{rule: validValues, validValues: [pounds]}]
"""
    )
    parsed = parse("contracts/orders.odcs.yaml", older)
    (contract,) = parsed.contracts
    assert [(check.name, check.kind, check.arguments) for check in contract.checks] == [
        ("contract_rowCount", "row_count", {"min": 2}),
        ("contract_duplicateValues_order_id", "unique", {"columns": ["order_id"]}),
        (
            "contract_invalidValues_unit",
            "accepted_values",
            {"column": "unit", "values": ["pounds"]},
        ),
    ]
    assert contract.unenforced == ("a text of the table: `rule freshnessCheck`",)
    newer = parse("contracts/orders.odcs.yaml", older.replace("v3.0.2", "v3.1.0"))
    assert any(problem.code == "contract_invalid" for problem in newer.problems)


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
    problems = parse("contracts/orders.odcs.yaml", RULES.replace("mustBeGreaterThan: 10}", more))
    assert [problem.code for problem in problems.problems] == ["not_built"]  # text and retention


LINKED = (
    HEAD
    + """slaProperties:
  - {property: retention, value: 3, unit: h}
  - {property: LATENCY}
schema:
  - name: orders
    quality:
      - {metric: rowCount, mustBeGreaterThan: 10, name: many}
    properties:
      - {name: id, logicalType: integer, primaryKey: true}
      - {name: day, logicalType: date, primaryKey: true}
      - {name: 'e"mail', unique: true, physicalType: varchar(9)}
      - {name: amount, physicalType: 'DECIMAL(18,2)', required: true}
      - {name: anything}
"""
)


def _linked(load: Load, latency: str = "value: 5, unit: h", **files: str) -> Project:
    text = LINKED.replace("property: LATENCY", f"property: latency, {latency}")
    project, problems = load(**{"contracts/orders.odcs.yaml": text, **files})
    assert project is not None, problems
    return project


SOURCE = "source: s\nowner: acme\ncontract: orders\n"
DAILY = f"{SOURCE}partition: day\nfiles: 'landing/{{date:%Y-%m-%d}}.csv'\n"


@pytest.mark.parametrize(
    ("latency", "by"),
    [
        ("value: 5, unit: h", "+5h"),
        ("value: 90, unit: Minutes", "+90m"),
        ("value: 3, unit: d", "+72h"),
        ("value: 10000, unit: h", "+10000h"),
        ("value: 10001, unit: h", None),
        ("value: 1, unit: hours", "+1h"),
        ("value: 0, unit: h", None),
        ("value: soon, unit: h", None),
        ("value: 5, unit: y", None),
    ],
)
def test_a_latency_is_when_a_delivery_is_due(load: Load, latency: str, by: str | None) -> None:
    """Catches: a vendor's days read as hours, or its retention read as a deadline."""
    (source,) = _linked(load, latency, **{"sources/s.yaml": DAILY}).sources.values()
    assert source.expect.by == by


@pytest.mark.parametrize(
    ("text", "by"),
    [
        (f"{DAILY}expect: {{by: '06:00'}}\n", "06:00"),
        (f"{SOURCE}files: landing/all.csv\n", None),
        (DAILY.replace("contract: orders\n", ""), None),
    ],
)
def test_a_latency_is_only_a_default(load: Load, text: str, by: str | None) -> None:
    """Catches: a contract that overrides the deadline of the source, or gives one to a source
    without intervals."""
    (source,) = _linked(load, **{"sources/s.yaml": text}).sources.values()
    assert source.expect.by == by
    assert [check.name for check in source.checks] == (["many"] if "contract:" in text else [])


def test_an_asset_keeps_what_its_contract_says(load: Load) -> None:
    """Catches: a contract that is declared and never checked, a primary key of two columns checked
    as two keys, and two checks of one name."""
    front = "owner: core\ncontract: orders\nchecks: [{row_count: {min: 1}, name: many}]\n"
    files = {
        "assets/query.sql": f"/* headrace\n{front}*/\nselect 1 as id\n",
        "assets/command.yaml": f"asset: command\ncommand: [python, make.py]\n{front}",
        "assets/plain.sql": "/* headrace\nowner: core\n*/\nselect 1 as id\n",
    }
    project = _linked(load, **files)
    checks = {
        name: [(check.name, check.kind, check.arguments.get("columns")) for check in asset.checks]
        for name, asset in project.assets.items()
    }
    promised = [
        ("many", "row_count", None),
        ("contract_required", "not_null", ["id", "day", "amount"]),
        ('contract_unique_e"mail', "unique", ['e"mail']),
        ("contract_unique_id_day", "unique", ["id", "day"]),
    ]
    shape, rule = ("contract_columns", "sql", None), ("many (contract)", "row_count", None)
    assert checks == {
        "plain": [],
        "query": [*promised, rule],
        "command": [*promised, shape, rule],
    }
    (columns,) = [
        check.arguments["query"]
        for check in project.assets["command"].checks
        if check.name == "contract_columns"
    ]
    for text, rows in (
        ("1::int, date '2013-01-01', 'x', 1.5::float, 7", 0),
        ("1::hugeint, date '2013-01-01', 'x', 1.5::decimal(4,1), 'y'", 0),
        ("1, date '2013-01-01', 'x', 1.5, [7]", 0),
        ("[1], date '2013-01-01', 'x', 1.5, 7", 1),
        ("'1', date '2013-01-01', 'x', 1.5, 7", 1),
        ("1, timestamp '2013-01-01', 'x', 1.5, 7", 1),
        ("1, date '2013-01-01', 5, 1.5, 7", 1),
        ("1, date '2013-01-01', 'x', 'y', 7", 1),
    ):
        table = f"""(SELECT {text}) AS t(id, "day", "e""mail", amount, anything)"""
        assert len(duckdb.sql(columns.replace("$self", table)).fetchall()) == rows, text


VALUES = "(VALUES ('a', 1), ('b', 2), (NULL, 3), ('', 4), ('b', NULL)) AS t(name, n)"


@pytest.mark.parametrize(
    ("rule", "limit"),
    [
        ("metric: nullValues, ", 1),
        ("metric: missingValues, ", 2),
        ("metric: missingValues, arguments: {missingValues: [b, x]}, ", 3),
        ("metric: duplicateValues, ", 2),
        ("metric: invalidValues, arguments: {validValues: [a, b], pattern: '.?'}, ", 1),
        ("metric: invalidValues, arguments: {validValues: [b], pattern: 'a'}, ", 4),
        ("metric: nullValues, unit: percent, ", 20),
        ("type: sql, query: 'SELECT max(n) FROM ${table}', ", 4),
    ],
)
def test_a_measure_is_compared_with_its_limit(parse: Parse, rule: str, limit: int) -> None:
    """Catches: a comparison that is off by one or the wrong way round, and NULL counted as
    invalid. Nothing is compared with 0, which has checks of its own."""

    def passes(comparison: str) -> bool:
        text = f"{HEAD}schema:\n  - name: o\n    properties:\n      - name: name\n"
        text += f"        quality: [{{{rule}{comparison}}}]\n"
        (contract,) = parse("contracts/orders.odcs.yaml", text).contracts
        (check,) = contract.checks
        assert check.kind == "sql"
        return not duckdb.sql(check.arguments["query"].replace("$self", VALUES)).fetchall()

    for comparison, expected in (
        (f"mustBe: {limit}", True),
        (f"mustBe: {limit + 1}", False),
        (f"mustNotBe: {limit}", False),
        (f"mustNotBe: {limit + 1}", True),
        (f"mustBeGreaterThan: {limit}", False),
        (f"mustBeGreaterThan: {limit - 1}", True),
        (f"mustBeGreaterOrEqualTo: {limit}", True),
        (f"mustBeGreaterOrEqualTo: {limit + 1}", False),
        (f"mustBeLessThan: {limit + 1}", True),
        (f"mustBeLessOrEqualTo: {limit}", True),
        (f"mustBeBetween: [{limit}, {limit + 1}]", True),
        (f"mustBeBetween: [{limit + 1}, {limit + 2}]", False),
        (f"mustNotBeBetween: [{limit}, {limit + 1}]", False),
    ):
        if comparison != "mustBeLessThan: 1":
            assert passes(comparison) is expected, comparison
