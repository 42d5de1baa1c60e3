"""The examples of SEMANTICS that are about time alone: one line each."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest

from headrace.model import Grain
from headrace.model.intervals import from_us, interval_of, previous_key, to_us
from headrace.model.times import DaysOff, Duration, Offset

LINES = [
    line
    for line in (Path(__file__).parent / "times" / "times.txt").read_text().splitlines()
    if line and not line.startswith("#")
]
INTERVAL = re.compile(r"interval (\w+) (\S+) in (\S+): (\S+) \.\. (\S+) \((\d+)\)")
AFTER = re.compile(r"after (\w+) (\S+) in (\S+?)(?: by (\w+))? \+ (.+): (\S+)")
MAX_AGE = re.compile(r"max_age (\w+) (\S+) in (\S+) under (\w+): (\S+)")


@pytest.mark.parametrize("line", LINES)
def test_a_line_holds(line: str) -> None:
    """An hour that is lost or doubled when clocks change, a day that isn't counted as people count
    it.
    """
    if result := INTERVAL.fullmatch(line):
        grain, key, zone, start, end, hours = result.groups()
        interval = interval_of(key, Grain(grain), zone)
        assert [
            interval.start.isoformat(timespec="minutes"),
            interval.end.isoformat(timespec="minutes"),
        ] == [start, end]
        assert to_us(interval.end) - to_us(interval.start) == int(hours) * 3_600_000_000
    elif result := AFTER.fullmatch(line):
        grain, key, zone, calendar, offset, instant = result.groups()
        end = to_us(interval_of(key, Grain(grain), zone).end)
        holds = DaysOff(named=calendar).holds if calendar else None
        assert from_us(
            Offset.parse(offset).after_us(end, zone, holds), zone
        ) == datetime.fromisoformat(instant)
    else:
        result = MAX_AGE.fullmatch(line)
        assert result is not None, "a line that means nothing"
        grain, key, zone, age, instant = result.groups()
        before = interval_of(previous_key(key, Grain(grain), zone), Grain(grain), zone)
        assert from_us(
            Duration.parse(age).after_us(to_us(before.end), zone), zone
        ) == datetime.fromisoformat(instant)
