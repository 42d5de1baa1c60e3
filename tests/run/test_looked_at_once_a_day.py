"""A project that one pass a day looks at, before its sources are promised."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from runlab import DAYS, SETTINGS, Lab


def test_a_missing_day_that_the_next_one_passes_over_is_an_incident(tmp_path: Path) -> None:
    """Would catch: a file that never comes without an incident, because at the pass that finds its
    deadline over the next day's file is there already."""
    lab = Lab(tmp_path / "p")
    lab.write("headrace.toml", SETTINGS)
    source = "source: orders\nowner: acme\npartition: day\nexpect: {by: '05:00'}\nfiles: landing/orders_{date:%Y-%m-%d}.csv\n"
    lab.write("sources/orders.yaml", source)
    lab.write("consumers.yaml", "- {consumer: report, owner: core, reads: [total], due: '06:00'}\n")
    lab.sql("total", "select day, sum(amount) as total from orders group by day")
    for at, day in enumerate(DAYS[:5]):
        if at != 3:
            lab.orders(day)
        lab.now = datetime.fromisoformat(f"{DAYS[at + 1]}T04:00:00+00:00")
        lab.tick()
    (found,) = lab.headrace("incidents")
    assert (found["cause"]["kind"], found["cause"]["partition"]) == ("missing_source", DAYS[3])
    assert found["affected"]["consumers"] == ["report"]
    lab.orders(DAYS[3])
    lab.tick()
    assert lab.headrace("incidents") == []
