"""Contracts of assets: versions of promises, what a body must give, and what `plan` refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from runlab import DAYS, Lab

TEXT = """apiVersion: v3.1.0
kind: DataContract
id: totals
version: {version}
status: active
{extra}schema:
  - name: totals
    properties:
      - {{name: day, logicalType: date}}
{columns}"""


def write(lab: Lab, version: str, *columns: str, extra: str = "") -> None:
    lines = "".join(f"      - {column}\n" for column in columns)
    lab.write(
        "contracts/totals.odcs.yaml", TEXT.format(version=version, columns=lines, extra=extra)
    )


@pytest.mark.long
def test_a_promise_is_taken_back_in_so_many_words(tmp_path: Path) -> None:
    """Catches: a body that doesn't give what is promised; a column that readers rely on and that
    goes with a new patch version; a new major version whose victims nobody thought of; an opaque
    body that gives something else."""
    lab = Lab(tmp_path / "p")
    (lab.root / "contracts").mkdir()
    total, count = (
        "{name: total, logicalType: number}",
        "{name: n, logicalType: integer, required: true}",
    )
    lab.sql(
        "totals", "select day, sum(amount) as total, count(order_id) as n from orders group by day"
    )
    lab.write(
        "consumers.yaml", "- {consumer: bulletin, owner: core, reads: [totals], due: '09:00'}\n"
    )
    write(lab, "1.0.0", total, count, "{name: mean, logicalType: number}")
    lab.orders(DAYS[0])
    lab.write(
        "sources/orders.yaml", (lab.root / "sources/orders.yaml").read_text() + "contract: orders\n"
    )
    orders = TEXT.replace("totals", "orders").format(
        version="1.0.0", extra="", columns="      - {name: order_id, logicalType: integer}\n"
    )
    more = (
        "      - {name: amount, logicalType: number}\n      - {name: customer, logicalType:"
        " string}\n"
    )
    lab.write("contracts/orders.odcs.yaml", orders + more)
    problems = lab.headrace("validate", code=1)["problems"]
    assert [(problem["code"], problem["file"]) for problem in problems] == [
        ("contract_broken", "contracts/totals.odcs.yaml")
    ]
    write(lab, "1.0.0", total, count)
    lab.tick()
    assert lab.rows("select verdict from publication where node = 'totals'") == [("passed",)], (
        "`n` is required: that is a check"
    )

    write(lab, "1.0.1", total)
    assert lab.headrace("plan", code=3) is None
    assert lab.headrace("apply", "--yes", code=3) is None
    write(lab, "2.0.0", total)
    assert lab.headrace("plan", code=3) is None
    write(
        lab,
        "2.0.0",
        total,
        extra="customProperties: [{property: headrace.breaks, value: [bulletin]}]\n",
    )
    assert lab.headrace("apply", "--yes")["state"] == "applied"

    lab.python(
        "means",
        "def means(ctx: Context, orders):\n    return orders.select(['day'])",
        partition="day",
        inputs=["orders"],
    )
    text = TEXT.replace("totals", "means").format(
        version="1.0.0", extra="", columns=f"      - {total}\n"
    )
    lab.write("contracts/means.odcs.yaml", text)
    lab.headrace("apply", "--yes")
    lab.tick()
    assert lab.rows(
        "select state from partition where node = 'means' and partition = ?", DAYS[0]
    ) == [("rejected",)]
