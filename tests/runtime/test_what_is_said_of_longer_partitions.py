"""What `status` and `why` say of consumers of longer partitions, and of intervals to come."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from runlab import DAYS, Lab

BY_MONTH = "select date_trunc('month', day)::date as month, count(*) as n from orders group by all"
CONSUMERS = """
- {consumer: aged, owner: core, reads: [monthly], max_age: 40d}
- {consumer: daily, owner: core, reads: [monthly], due: "09:00"}
- {consumer: both, owner: core, reads: [monthly, orders], max_age: 40d}
"""


def _each_morning(lab: Lab, first: str, last: str) -> None:
    """Deliver each day and tick at 05:00 on the day after."""
    day = datetime.fromisoformat(f"{first}T05:00:00+00:00")
    while day.date().isoformat() <= last:
        lab.deliver(key := day.date().isoformat(), [f"1,c,1.5,{key}", f"2,c,2.5,{key}"])
        lab.now = day = day + timedelta(days=1)
        lab.tick()


@pytest.fixture
def monthly(lab: Lab) -> Lab:
    lab.sql("monthly", BY_MONTH, "partition: {by: month, column: month}")
    lab.write("consumers.yaml", CONSUMERS)
    _each_morning(lab, "2025-01-28", "2025-01-29")
    return lab


def test_before_the_first_month_has_ended_nothing_can_be_read(monthly: Lab) -> None:
    """It was "what can be read ends with 2025-01-29, older than 40d" of what was never
    published, and a tick was proposed though it does nothing."""
    for name, reason, command in (
        ("aged", "its first interval, 2025-01, is due Mon 02-10 00:00", None),
        ("daily", "monthly: nothing was ever published", "headrace why monthly"),
    ):
        row = monthly.headrace("status", name)["consumers"][0]
        assert (row["state"], row["data_through"]) == ("never", None)
        assert (row["reason"], row["next"]) == (reason, command)
    said = monthly.headrace("why", "monthly")
    assert said["verdict"] == "monthly begins with 2025-01, which ends Sat 02-01 00:00"
    assert said["next"] is None


@pytest.mark.long
def test_the_age_of_a_month_begins_with_its_end(monthly: Lab) -> None:
    """They were "data through" a day of the next month, and served since before it was there."""
    _each_morning(monthly, "2025-01-30", "2025-02-01")
    for name, through in (("aged", "2025-01"), ("daily", "2025-01-31"), ("both", "2025-01-31")):
        row = monthly.headrace("status", name)["consumers"][0]
        assert (row["state"], row["data_through"]) == ("served", through), row["reason"]
        assert row["since"].startswith("2025-02-01T05:0")
    for name in ("aged", "both"):
        row = monthly.headrace("status", name, "--now", "2025-03-13T00:01:00+00:00")["consumers"][0]
        assert "late" in row["states"]


def test_an_interval_to_come_is_no_past(lab: Lab) -> None:
    """`why` said "was there Fri 01-03 00:00, in time" on the day before."""
    lab.sql(
        "yesterday",
        "select $partition_start::date as day, count(*) as n from orders",
        "partition: {by: day, column: day}\ninputs: {orders: {previous: true}}",
    )
    lab.write(
        "consumers.yaml",
        "- {consumer: due, owner: core, reads: [yesterday], due: '09:00'}\n"
        "- {consumer: aged, owner: core, reads: [yesterday], max_age: 60h}\n",
    )
    _each_morning(lab, DAYS[0], DAYS[2])
    for name in ("due", "aged"):
        said = lab.headrace("why", name, "--now", "2025-01-04T10:00:00+00:00")
        assert said["verdict"].startswith(f"{name} 2025-01-04 waits for nothing: all ")
        assert said["last"]["interval"] == "2025-01-03"
    said = lab.headrace("why", "yesterday@2025-01-01")
    assert said["verdict"].endswith("waits for nothing: orders begins with 2025-01-01")


def test_deadlines_before_the_first_delivery_are_announced(lab: Lab) -> None:
    """Availability was "nothing was due yet" for a month, then 0 % of it: the days that read the
    month had been promised, and the month was delivered after them."""
    lab.write(
        "sources/rates.yaml",
        "source: rates\nowner: acme\npartition: month\nfiles: landing/rates_{date:%Y-%m}.csv\n",
    )
    lab.sql(
        "rated",
        "select o.day, max(rate) as rate from orders o, rates group by all",
        "partition: {by: day, column: day}\ninputs: {rates: {within: true}}",
    )
    lab.write("consumers.yaml", "- {consumer: due, owner: core, reads: [rated], due: '09:00'}\n")
    _each_morning(lab, "2025-01-28", "2025-01-31")
    said = lab.headrace("status", "--now", "2025-02-01T06:00:00+00:00")
    assert (
        said["availability_text"]
        == "nothing is known to be due yet: what rates delivers first can have been due before"
    )
    lab.write("landing/rates_2025-01.csv", "month,rate\n2025-01-01,2\n")
    lab.tick()
    said = lab.headrace("status", "--now", "2025-02-01T10:00:00+00:00")
    assert said["availability_text"].startswith("6.8 % of the 73 h 00 min since")
