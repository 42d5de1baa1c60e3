"""Days that a weekday doesn't tell: public holidays, by the calendar of the place, and the first and the last day of a month.

Eight weeks of history show one or two of each. So a holiday is known beforehand, and a month's end is compared with the one before it.
"""

from __future__ import annotations

import zoneinfo
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

from headrace.model import Grain
from headrace.model.days_off import is_holiday
from headrace.model.required import SEPARATOR

_DAY = timedelta(days=1)
_TABLE = "zone.tab"


def beside_holiday(partition: str, grain: Grain | None, calendar: str) -> bool:
    """Whether a day is a public holiday of a calendar, or right before or after one. Imports `holidays`: for what is about to be held."""
    day = _day(partition, grain)
    return bool(calendar) and day is not None and any(is_holiday(calendar, day + near * _DAY) for near in (0, -1, 1))


def edge(partition: str, grain: Grain | None) -> str:
    """Which end of its month a day is: `first`, `last`, or neither."""
    day = _day(partition, grain)
    if day is None:
        return ""
    return "first" if day.day == 1 else "last" if (day + _DAY).day == 1 else ""


@lru_cache(64)
def country_of(timezone: str) -> str:
    """The country that a time zone is named for (`America/New_York`: US), which is where data of that zone has its holidays; empty
    for UTC and where the machine's zone data doesn't say."""
    for folder in zoneinfo.TZPATH:
        try:
            lines = (Path(folder) / _TABLE).read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        rows = (line.split("\t") for line in lines if not line.startswith("#"))
        return next((row[0] for row in rows if len(row) > 2 and row[2] == timezone), "")
    return ""


def _day(partition: str, grain: Grain | None) -> date | None:
    if grain not in (Grain.DAY, Grain.HOUR):
        return None
    try:
        return date.fromisoformat(partition.partition(SEPARATOR)[0][:10])
    except ValueError:
        return None
