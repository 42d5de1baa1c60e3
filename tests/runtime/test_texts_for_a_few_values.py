"""A column that is text because of one value of the first delivery, and what a contract's word on
it changes.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from runlab import DAYS, Lab

CONTRACT = """apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {name: order_id, physicalType: BIGINT}
      - {name: customer, physicalType: VARCHAR}
      - {name: amount, physicalType: VARCHAR}
      - {name: day, physicalType: DATE}
"""


@pytest.mark.long
def test_a_column_that_a_contract_calls_text_is_no_change_of_type(tmp_path: Path) -> None:
    """Would catch: a fact about each delivery, and an incident whose repair computes the same rows
    again, once the contract says that the column is text."""
    lab = Lab(tmp_path / "p")

    def deliver(day: str, first: str) -> None:
        lab.deliver(day, [f"{day[-2:]}{n},c,{'1.50' if n else first},{day}" for n in range(40)])

    deliver(DAYS[0], "n.n.")
    lab.tick()
    facts = "select partition, column_name, detail from fact where kind = 'type_change' order by id"
    assert lab.rows(facts) == [(DAYS[0], "amount", "text")]
    (lab.root / "contracts").mkdir()
    lab.write("contracts/orders.odcs.yaml", CONTRACT)
    lab.headrace("apply", "--yes")
    deliver(DAYS[1], "2.50")
    lab.tick()
    assert lab.rows(facts) == [(DAYS[0], "amount", "text")]


@pytest.mark.long
def test_code_that_fails_over_such_a_column_is_corrected_by_a_person(tmp_path: Path) -> None:
    """Would catch: a repair that computes the same code over the same rows, fails as before, and
    proposes itself once more."""
    lab = Lab(tmp_path / "p")
    lab.sql(
        "totals", "select day, sum(cast(amount as decimal(9, 2))) as total from orders group by all"
    )
    lab.deliver(DAYS[0], [f"1{n},c,{'1.50' if n else 'n.n.'},{DAYS[0]}" for n in range(40)])
    lab.tick()
    (opened,) = lab.headrace("incidents")
    assert (opened["cause"]["kind"], opened["cause"]["node"]) == ("type_change", "orders")
    assert opened["repair"]["first"].startswith(
        "ask acme for the right data, or correct assets/totals.sql"
    ), opened["repair"]
    assert opened["repair"]["commands"][0] == "headrace apply"
    lab.headrace("fix", opened["id"], "--yes", code=3)
    lab.sql(
        "totals",
        "select day, sum(try_cast(amount as decimal(9, 2))) as total from orders group by all",
    )
    lab.headrace("apply", "--yes")
    lab.headrace("tick")
    assert [row["total"] for row in lab.read("totals")] == ["58.50"]
