"""Attempts at the same time whose partitions lie in one file: each publishes, and none is made
twice for it."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta

import pytest
from runlab import Lab

DAYS = [str(date(2025, 1, 1) + timedelta(days=n)) for n in range(40)]
CLEAN = (
    "select order_id, customer, cast(amount as decimal(18,2)) as amount, cast(day as date) as day"
    " from orders"
)


@pytest.mark.long
def test_neighbours_in_one_file_are_replaced_side_by_side(sqlite_lab: Lab) -> None:
    """Would catch: a batch that fails, and is halved, because another one has replaced the file
    that holds days of both; a day that is lost or doubled when such a file is copied once more."""
    lab = sqlite_lab
    lab.sql("clean", CLEAN)
    lab.now = datetime.fromisoformat("2025-03-10T12:00:00+00:00")
    for place, day in enumerate(DAYS):
        lab.orders(day, n=place % 5 + 1)
    lab.run("orders")
    lab.run("clean")
    assert (
        max(
            keys.count(",")
            for (keys,) in lab.rows("select partitions from attempt where node = 'clean'")
        )
        >= 7
    )
    again = lab.run(
        "clean",
        again=True,
        reason="each file holds days of several attempts",
        first=DAYS[3],
        last=DAYS[36],
    )
    assert (again.state, len(again.published)) == ("succeeded", 34)
    assert (
        lab.rows("select state, reason from attempt where node = 'clean' and state <> 'published'")
        == []
    )
    result = Counter(row["day"] for row in lab.read("clean"))
    assert result == {day: place % 5 + 1 for place, day in enumerate(DAYS)}
    lab.headrace("db", "check")
