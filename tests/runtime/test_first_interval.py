"""Consumers of assets whose first interval isn't that of their inputs."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from runlab import DAYS, Lab

YESTERDAY = "partition: {by: day, column: day}\ninputs: {orders: {previous: true}}"


@pytest.mark.parametrize("reads", ["yesterday", "two_days"])
def test_a_consumer_of_yesterday_is_served_from_the_second_day_on(lab: Lab, reads: str) -> None:
    """The first day of `yesterday` was expected for ever: its consumers were late for good."""
    lab.sql(
        "yesterday", "select $partition_start::date as day, count(*) as n from orders", YESTERDAY
    )
    lab.sql(
        "two_days",
        "select y.day, y.n, count(o.order_id) as today from yesterday y join orders o using (day) "
        "group by all",
        "partition: {by: day, column: day}",
    )
    lab.write(
        "consumers.yaml", f"- {{consumer: desk, owner: acme, reads: [{reads}], due: '15:00'}}\n"
    )
    lab.now = datetime.fromisoformat("2025-01-02T12:00:00+00:00")
    for day in DAYS[:3]:
        lab.orders(day, 2)
        lab.tick()
        lab.now += timedelta(days=1)
    row = lab.headrace("status")["consumers"][0]
    assert (row["state"], row["backlog"]) == ("served", [])
    assert row["availability"]["kept"] == row["availability"]["promised"] > 0
