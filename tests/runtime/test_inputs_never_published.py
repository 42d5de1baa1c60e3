"""Inputs of which nothing was published yet, whose columns nobody knows."""

from __future__ import annotations

import pytest
from runlab import DAYS, Lab, published

LATE = (
    "source: late\nowner: acme\npartition: day\nstart: 2025-01-01\nfiles: landing/late_{date}.csv\n"
)


@pytest.mark.parametrize(
    "how", ["previous", "{previous: true, optional: true}", "{optional: true}"]
)
def test_an_asset_waits_for_the_columns_of_its_input(lab: Lab, how: str) -> None:
    """The first day needs no partition of `late`, and failed for good: "nobody knows its columns"."""
    lab.write("sources/late.yaml", LATE.replace("{date}", "{date:%Y-%m-%d}"))
    front = f"partition: {{by: day, column: day}}\ninputs: {{late: {how}}}"
    lab.sql("sums", "select o.day, o.order_id, (select sum(n) from late) as n from orders o", front)
    lab.orders(DAYS[0], 2)
    first = lab.tick()
    assert (published(first), first.state) == ([("orders", DAYS[0])], "succeeded")
    why = lab.headrace("why", f"sums@{DAYS[0]}")["verdict"]
    assert f"waits for late {DAYS[0]}" in why
    for day in DAYS[:2]:
        (lab.root / f"landing/late_{day}.csv").write_text(f"day,n\n{day},7\n", encoding="utf-8")
    assert ("sums", DAYS[0]) in published(lab.tick())
