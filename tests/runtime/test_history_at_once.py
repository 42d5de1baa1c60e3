"""An adopter's history: hundreds of clean daily files that are there before the first tick."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from runlab import Lab

SEED = 1
WHOLE = pytest.param(660, marks=[pytest.mark.slow, pytest.mark.timeout(300)])


@pytest.mark.long
@pytest.mark.parametrize("days", [150, WHOLE])
def test_clean_history_is_published_whole(tmp_path: Path, days: int) -> None:
    """Would catch: clean days held because of an id that grows, or of a constant that happens to be
    the number of the month or of the weekday; more than a few that are called unusual."""
    lab = Lab(tmp_path / "p")
    lab.sql("totals", "select day, sum(amount) as total, count(id) as n from orders group by all")
    dice, number = random.Random(SEED), 1000
    for at in range(days):
        day = (date(2023, 1, 1) + timedelta(at)).isoformat()
        lines = []
        for _ in range(dice.randint(90, 110)):
            number += 1
            amount, status = dice.lognormvariate(3, 0.6), dice.choice(("new", "paid", "sent"))
            lines.append(f"{number},{day},3,4,{amount:.2f},{status}")
        lab.deliver(day, lines, "id,day,store,n,amount,status")
    newest = datetime.fromisoformat("2023-01-01T06:00:00+00:00") + timedelta(days)
    lab.now = newest
    lab.tick()
    states = dict(
        lab.rows("select state, count(*) from partition where node = 'orders' group by 1")
    )
    assert states == {"published": days}, SEED
    (warned,) = lab.rows("select count(*) from fact where node = 'orders'")[0]
    assert warned <= days / 100, SEED
