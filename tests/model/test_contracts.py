"""ODCS contracts: the standard's schema, our lines, DuckDB's types."""

from __future__ import annotations

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
    assert contract.columns == (
        ContractColumn(name="order_id", type="BIGINT", required=True, primary_key=True),
        ContractColumn(name="email", type="VARCHAR", unique=True, classification="personal"),
        ContractColumn(name="amount", type="DECIMAL(18,2)", names=({"name": "Amount", "from": "2013-02-11"},)),
        ContractColumn(name="anything"),
    )


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("version: 2.1.0\n", "", "contract_invalid contracts/orders.odcs.yaml:1"),
        ("v3.1.0", "v2.2.2", "contract_invalid contracts/orders.odcs.yaml:1"),
        ("version: 2.1.0", "version: 2", "contract_invalid contracts/orders.odcs.yaml:4"),
        ("status: active", "statsu: active", "contract_invalid contracts/orders.odcs.yaml:5"),
        ("logicalType: integer", "logicalType: int", "contract_invalid contracts/orders.odcs.yaml:10"),
        ("primaryKey: true", "primaryKey: yes", "contract_invalid contracts/orders.odcs.yaml:11"),
        ("classification: personal", "clasification: personal", "contract_invalid contracts/orders.odcs.yaml:12"),
        ("{name: anything}", "{name: EMAIL}", "contract_invalid contracts/orders.odcs.yaml:18"),
        ("value: [{name: Amount, from: 2013-02-11}]", "value: [{name: Amount}]", "contract_invalid contracts/orders.odcs.yaml:17"),
        ("- name: orders\n", "- name: a\n  - name: b\n", "contract_invalid contracts/orders.odcs.yaml:6"),
    ],
)  # fmt: skip
def test_a_break_of_the_standard_is_said_at_its_line(parse: Parse, old: str, new: str, problem: str) -> None:
    """The package for the standard accepts unknown fields in silence."""
    assert old in GOOD
    assert told(parse("contracts/orders.odcs.yaml", GOOD.replace(old, new)).problems) == [problem]


@pytest.mark.parametrize(
    ("physical", "logical", "expected"),
    [
        ("VARCHAR(20)", "string", "VARCHAR"), ("NUMBER(10,2)", "number", "DECIMAL(10,2)"), ("numeric(10)", None, "DECIMAL(10,0)"),
        ("decimal(99,2)", "number", "DOUBLE"), ("timestamptz", None, "TIMESTAMP WITH TIME ZONE"), ("datetime", "timestamp", "TIMESTAMP"),
        (None, "timestamp", "TIMESTAMP WITH TIME ZONE"), ("int); drop table x --", "integer", "BIGINT"),
        ("int); drop table x --", None, None), (None, "object", None), (None, None, None), (7, ["x"], None),
    ],
)  # fmt: skip
def test_types_are_duckdbs_or_none(physical: object, logical: object, expected: str | None) -> None:
    """A type becomes part of a statement: only names that we know ever do."""
    assert duckdb_type(physical, logical) == expected
