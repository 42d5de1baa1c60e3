"""The example of keys, months, days off and optional inputs does what its README says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from example_lab import Example, published


@pytest.mark.long
@pytest.mark.timeout(120)
def test_keys_and_months(tmp_path: Path) -> None:
    """Would catch: a month that waits for a day off, a day without one of its shops, weather that
    is never waited for or never used."""
    example = Example("keys-and-months", tmp_path)
    assert example.json("validate")["problems"] == []
    first = published(example.tick("2026-03-01T08:00:00+01:00"))
    assert [key for name, key in first if name == "days"] == ["2026-02-25", "2026-02-26"], (
        "the weather of the 28th is waited for"
    )
    assert ("months", "2026-02") not in first
    trend = example.rows("store_trend", "--partition", "2026-02-28/Harbour")
    assert [(row["usual_amount"], row["days"]) for row in trend] == [(15.5, 3)]
    assert published(example.tick("2026-03-01T09:00:00+01:00")) == [
        ("days", "2026-02-28"),
        ("months", "2026-02"),
    ]
    assert [
        (row["month"], float(row["amount"]), row["days"]) for row in example.rows("months")
    ] == [("2026-02-01", 125.5, 3)]
    assert {row["day"]: row["rain_mm"] for row in example.rows("days")} == {
        "2026-02-25": 1.5,
        "2026-02-26": 0,
        "2026-02-28": None,
    }
    late = example.write("landing/weather_2026-02-28.csv", "day,rain_mm\n2026-02-28,4\n")
    os.utime(late, (late.stat().st_mtime - 60,) * 2)
    again = published(example.tick("2026-03-01T10:00:00+01:00"))
    assert again == [("days", "2026-02-28"), ("months", "2026-02"), ("weather", "2026-02-28")]
    assert {row["day"]: row["rain_mm"] for row in example.rows("days")}["2026-02-28"] == 4


@pytest.mark.timeout(120)
def test_a_day_for_which_no_key_was_ever_heard_of(tmp_path: Path) -> None:
    """Would catch: a status that can't be told because the day's keys aren't known yet."""
    example = Example("keys-and-months", tmp_path)
    example.tick("2026-03-01T08:00:00+01:00")  # what is due from here on is promised
    example.tick("2026-03-05T12:00:00+01:00")
    late = example.consumer("morning_list")
    assert late["state"] == "late"
    assert late["reason"] == "INC-2 sales: 4 intervals not there"
    assert (
        "at either moment" in example.run("diff", "days", "--at", "1", "--at", "2", code=2).stderr
    )
