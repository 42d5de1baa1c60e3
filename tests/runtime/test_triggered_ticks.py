"""Triggers over ticks, each of which is a new leader: what fired and since when something waits
comes from the store alone.
"""

from __future__ import annotations

from datetime import datetime

import pytest
from runlab import DAYS, Lab, published

MIDNIGHT = datetime.fromisoformat("2025-01-10T00:00:00+00:00")


def test_what_reads_nothing_runs_once_a_firing(lab: Lab) -> None:
    """Catches a job that runs at each tick, or at none because each tick thinks that it has only
    just begun to wait."""
    lab.sql("beat", "select 1 as one", 'trigger: {cron: "0 6 * * *"}')
    ran = []
    for hour in (5, 7, 8, 23):
        lab.now = MIDNIGHT.replace(hour=hour)
        ran.append(published(lab.tick()))
    lab.now = MIDNIGHT.replace(day=13, hour=1)  # two firings were missed: they are made up for once
    ran += [published(lab.tick()), published(lab.tick())]
    assert ran == [[], [("beat", "*")], [], [], [("beat", "*")], []]
    assert lab.rows("select node, at > 0 from firing") == [("beat", 1)]


@pytest.mark.parametrize("catch_up", ["all", "latest"])
def test_days_are_caught_up_as_declared(lab: Lab, catch_up: str) -> None:
    """Catches `latest` being undone by the order in which deliveries are ingested, and what was
    waived coming back with the next tick."""
    trigger = f'trigger: {{cron: "0 6 * * *", catch_up: {catch_up}}}'
    lab.sql("clean", "select * from orders", "partition: {by: day, column: day}\n" + trigger)
    lab.orders(DAYS[0])
    lab.now = MIDNIGHT.replace(day=2, hour=7)
    assert ("clean", DAYS[0]) in published(lab.tick())
    for day in DAYS[1:4]:
        lab.orders(day)
    lab.now = MIDNIGHT.replace(day=5, hour=5)  # the 4th ends after the last firing
    made = [key for node, key in published(lab.tick()) if node == "clean"]
    assert made == (DAYS[1:3] if catch_up == "all" else [DAYS[2]])
    lab.now = MIDNIGHT.replace(day=5, hour=6)
    assert published(lab.tick()) == [("clean", DAYS[3])]
    waived = lab.rows(
        "select partition, reason from partition where node = 'clean' and state = 'waived'"
    )
    assert waived == (
        [] if catch_up == "all" else [(DAYS[1], f"passed over for {DAYS[2]}: `catch_up: latest`")]
    )
