"""A project that one pass a day looks at, before its sources are promised."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from runlab import DAYS, SETTINGS, Lab
from source_packages import NEEDS_DATABASES


def test_a_missing_day_that_the_next_one_passes_over_is_an_incident(tmp_path: Path) -> None:
    """Would catch: a file that never comes without an incident, because at the pass that finds its
    deadline over the next day's file is there already."""
    lab = Lab(tmp_path / "p")
    lab.write("headrace.toml", SETTINGS)
    source = (
        "source: orders\nowner: acme\npartition: day\nexpect: {by: '05:00'}\nfiles:"
        " landing/orders_{date:%Y-%m-%d}.csv\n"
    )
    lab.write("sources/orders.yaml", source)
    lab.write("consumers.yaml", "- {consumer: report, owner: core, reads: [total], due: '06:00'}\n")
    lab.sql("total", "select day, sum(amount) as total from orders group by day")
    for at, day in enumerate(DAYS[:5]):
        if at != 3:
            lab.orders(day)
        lab.now = datetime.fromisoformat(f"{DAYS[at + 1]}T04:00:00+00:00")
        lab.tick()
    (result,) = lab.headrace("incidents")
    assert (result["cause"]["kind"], result["cause"]["partition"]) == ("missing_source", DAYS[3])
    assert result["affected"]["consumers"] == ["report"]
    lab.orders(DAYS[3])
    lab.tick()
    assert lab.headrace("incidents") == []


@NEEDS_DATABASES
@pytest.mark.long
def test_a_table_that_is_read_whole_is_read_by_each_daily_pass(tmp_path: Path) -> None:
    """Would catch: a list that a daily pass reads every second day only, because each pass observes
    it some milliseconds after it began, and a whole day hasn't gone by at the next; one that is
    read by each of many passes a day."""
    lab = Lab(tmp_path / "p")
    lab.write("headrace.toml", f'{SETTINGS}[connections.bank]\nurl = "sqlite:bank.db"\n')
    lab.write("sources/shops.yaml", "source: shops\nowner: acme\nconnection: bank\ntable: shops\n")
    with closing(sqlite3.connect(lab.root / "bank.db")) as bank, bank:
        bank.execute("create table shops (shop text)")
    begun = lab.now
    for number in range(4):
        with closing(sqlite3.connect(lab.root / "bank.db")) as bank, bank:
            bank.execute("insert into shops values (?)", [f"s{number}"])
        for hour in (0, 12):
            lab.now = begun + timedelta(days=number, hours=hour)
            response = lab.tick()
            assert [attempt.state for attempt in response.attempts] == (
                ["published"] if hour == 0 else []
            )
