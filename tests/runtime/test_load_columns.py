"""Columns that a loading tool writes anew with each load: they restate nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from runlab import DAYS, Lab


def deliver(lab: Lab, column: str, load: str, amount: str = "2.50") -> None:
    lines = [f"{n},{amount},{day},{load}" for day in DAYS[:3] for n in range(20)]
    lab.write("landing/dump.csv", "\n".join([f"order_id,amount,day,{column}", *lines, ""]))


@pytest.mark.long
@pytest.mark.parametrize(
    ("column", "more", "restated"),
    [
        ("_dlt_load_id", "", False),
        ("_fivetran_synced", "", False),
        ("_airbyte_extracted_at", "", False),
        ("_SDC_BATCHED_AT", "", False),
        ("synced_at", "ignore_in_comparison: [synced_at]\n", False),
        ("synced_at", "", True),
        ("_fivetran_deleted", "", True),  # a mark of deleted rows is data
    ],
)
def test_a_dump_with_new_load_columns_restates_nothing(
    tmp_path: Path, column: str, more: str, restated: bool
) -> None:
    """Would catch: a full dump that keeps a restatement open for ever, and recomputes all that is
    made of it each day; a change beside the load columns that is ignored with them."""
    lab = Lab(tmp_path / "p")
    lab.write(
        "sources/orders.yaml",
        "source: orders\nowner: acme\npartition: {by: day, column: day}\nrestate_within: 400d\n"
        f"files: landing/dump*.csv\n{more}",
    )
    lab.sql("clean", "select order_id, amount, cast(day as date) as day from orders")
    deliver(lab, column, "2026-01-01T03:00:00")
    lab.tick()
    deliver(lab, column, "2026-01-02T04:00:00")
    computed = [attempt.asset for attempt in lab.tick().attempts if attempt.asset == "clean"]
    kinds = [item["cause"]["kind"] for item in lab.headrace("incidents")]
    assert (kinds == ["restatement"], bool(computed)) == (restated, restated)
    if restated:
        (found,) = lab.headrace("incidents")
        told = f"if each load changes {column}, declare ignore_in_comparison in sources/orders.yaml"
        assert told in str(lab.headrace("incident", found["id"])["repair"])
    if not restated:
        assert "2026-01-02" in str(lab.read("orders")[0][column])
        deliver(lab, column, "2026-01-03T05:00:00", "2.75")
        lab.tick()
        (found,) = lab.headrace("incidents")
        assert found["cause"]["kind"] == "restatement"
        assert f"not compared: {column}" in str(lab.headrace("incident", found["id"]))
