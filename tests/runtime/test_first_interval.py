"""Consumers of assets with intervals that no run makes: before the first one that reads something,
and where calendars leave nothing to read."""

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


OVER_A_WEEKEND = ("2025-01-09", "2025-01-10", "2025-01-13", "2025-01-14")
"""A Thursday, a Friday, and the Monday and the Tuesday after them."""
YESTERDAYS = "select $partition_start::date as day, count(*) as n from orders"
BOTH = (
    "select $partition_start::date as day, (select count(*) from orders) as n,"
    " (select count(*) from visits) as v"
)
BY_DAY = "partition: {by: day, column: day}"
NO_READING = {
    "previous": {"yesterday": (YESTERDAYS, YESTERDAY)},
    "previous of both": {
        "yesterday": (
            BOTH,
            f"{BY_DAY}\ninputs: {{orders: {{previous: true}}, visits: {{previous: true}}}}",
        )
    },
    "two calendars": {"yesterday": (BOTH, BY_DAY)},
    "lookback": {"yesterday": (YESTERDAYS, f"{BY_DAY}\ninputs: {{orders: {{lookback: 1d}}}}")},
    "at second hand": {
        "before": (YESTERDAYS, YESTERDAY),
        "yesterday": (
            "select $partition_start::date as day, sum(n) as n from before",
            f"{BY_DAY}\ninputs: {{before: {{previous: true}}}}",
        ),
    },
}


@pytest.mark.long
@pytest.mark.parametrize("assets", NO_READING.values(), ids=NO_READING)
def test_no_day_is_owed_for_which_an_asset_reads_nothing(
    lab: Lab, assets: dict[str, tuple[str, str]]
) -> None:
    """The Sunday of `yesterday` reads a Saturday without data: no run makes it, and its consumers
    were late for good."""
    for name, calendar in (("orders", "NYSE"), ("visits", "closed")):
        lab.write(
            f"sources/{name}.yaml",
            f"source: {name}\nowner: acme\npartition: day\ncalendar: {calendar}\n"
            f"files: landing/{name}_{{date:%Y-%m-%d}}.csv\n",
        )
    (lab.root / "calendars").mkdir()
    lab.write("calendars/closed.yaml", "- 2025-01-11\n- 2025-01-12\n")
    for name, (body, front) in assets.items():
        lab.sql(name, body, front)
    lab.write(
        "consumers.yaml", "- {consumer: desk, owner: acme, reads: [yesterday], due: '15:00'}\n"
    )
    for day in OVER_A_WEEKEND:
        lab.now = datetime.fromisoformat(f"{day}T12:00:00+00:00") + timedelta(days=1)
        lab.orders(day, 2)
        lab.write(f"landing/visits_{day}.csv", f"visit,day\n1,{day}\n")
        lab.tick()
    lab.now += timedelta(hours=4)
    lab.tick()
    row = lab.headrace("status")["consumers"][0]
    assert (row["state"], row["backlog"]) == ("served", [])
    assert row["availability"]["kept"] == row["availability"]["promised"] > 0
    assert lab.headrace("status")["assets"]["behind"] == 0
