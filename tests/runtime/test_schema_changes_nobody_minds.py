"""Columns that nobody uses, headers that go back to what they were, and whom a change of a column
affects.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from runlab import DAYS, Lab

HEADER = "order_id,customer,amount,day,note,remark"
CONSUMERS = """- {consumer: finance, owner: core, reads: [totals], max_age: 400d}
- {consumer: sales, owner: core, reads: [customers], max_age: 400d}
"""
OTHER = {"betrag": "amount", "kunde": "customer", "extra": "note"}


def deliver(lab: Lab, day: str, header: str = HEADER) -> None:
    rows = []
    for n in range(24):
        sound = {"order_id": f"{day[-2:]}{n}", "customer": f"c{n % 3}", "amount": f"{n}.5"}
        sound |= {"day": day, "note": f"n{n}", "remark": f"r{n}"}
        rows.append(",".join(sound[OTHER.get(name, name)] for name in header.split(",")))
    lab.deliver(day, rows, header)
    lab.tick()


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path / "p")
    made.sql("totals", "select day, sum(amount) as total from orders group by all")
    made.sql("customers", "select day, customer, count(order_id) as n from orders group by all")
    made.write("consumers.yaml", CONSUMERS)
    for day in DAYS[:3]:
        deliver(made, day)
    return made


@pytest.mark.long
def test_columns_that_nobody_uses(lab: Lab) -> None:
    """Would catch: `schema_change`, "affects finance, sales", for a column that nobody reads: when
    it goes, when it comes back, when one more comes and goes again."""
    deliver(lab, DAYS[3], HEADER.removesuffix(",remark"))
    assert lab.headrace("incidents") == []
    deliver(lab, DAYS[4], HEADER + ",extra")
    deliver(lab, DAYS[5])
    assert lab.headrace("incidents", "--all") == []
    verdicts = lab.rows(
        "select partition, verdict from publication where node = 'orders' order by 1"
    )
    assert dict(verdicts)[DAYS[3]] == "warned"
    assert [item["state"] for item in lab.headrace("status")["consumers"]] == ["served", "served"]


@pytest.mark.long
def test_a_column_that_isnt_there_has_no_nulls(lab: Lab) -> None:
    """Would catch: every consumer at risk, because a column that nobody uses and that the vendor
    has dropped is "100 % nulls"."""
    for day in ("2025-01-04", "2025-01-05", "2025-01-06", "2025-01-07", "2025-01-08"):
        deliver(lab, day)
    deliver(lab, "2025-01-09", HEADER.removesuffix(",remark").replace("amount", "betrag"))
    (renamed,) = lab.headrace("incidents")
    lab.headrace("fix", renamed["id"], "--yes")
    assert (
        lab.rows(
            "select kind from fact where partition = '2025-01-09' and column_name = 'remark' and"
            " kind <> 'schema_change'"
        )
        == []
    )
    assert lab.rows(
        "select verdict from publication where node = 'orders' and partition = '2025-01-09'"
    ) == [("warned",)]
    assert [item["state"] for item in lab.headrace("status")["consumers"]] == ["served", "served"]


@pytest.mark.long
def test_a_header_that_goes_back(lab: Lab) -> None:
    """Would catch: an incident of the old names that come again after new ones were accepted, as
    mapping or as they were."""
    deliver(lab, DAYS[3], HEADER.replace("amount", "betrag"))
    (renamed,) = lab.headrace("incidents")
    lab.headrace("fix", renamed["id"], "--yes")
    deliver(lab, DAYS[4], HEADER.replace("amount", "betrag"))
    deliver(lab, DAYS[5])
    assert lab.headrace("incidents") == []
    deliver(lab, DAYS[6], HEADER.replace(",customer", ""))
    (gone,) = lab.headrace("incidents")
    lab.headrace("quarantine", "accept", f"orders@{DAYS[6]}", "--reason", "it isn't known that day")
    deliver(lab, "2025-01-08")
    (exception,) = lab.headrace("incidents")  # what readers see of that day lacks it still
    assert (exception["id"], exception["affected"]["partitions"]) == (gone["id"], [DAYS[6]])
    assert [item["state"] for item in lab.headrace("status")["consumers"]] == ["served", "served"]


def test_whom_a_published_change_affects(lab: Lab) -> None:
    """Would catch: readers of other columns among those affected by a column that a
    policy let go."""
    source = (lab.root / "sources/orders.yaml").read_text()
    lab.write("sources/orders.yaml", source + "on_drift: {dropped: warn}\n")
    lab.headrace("apply", "--yes")
    deliver(lab, DAYS[3], HEADER.replace(",amount", ""))
    (gone,) = lab.headrace("incidents")
    assert gone["cause"]["kind"] == "schema_change"
    assert gone["affected"]["consumers"] == ["finance"]
    assert gone["affected"]["assets"] == ["totals"]
