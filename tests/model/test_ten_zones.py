"""Both changes of the clocks in ten zones: hours and days fit together, and sort in the order of
time (SEMANTICS §1).
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from headrace.model import Grain, InputMode, InputSpec, PartitionSpec, Place
from headrace.model.intervals import bounds_us, interval_of, keys_between
from headrace.model.partitions import dependents, end_of, order_of, required
from headrace.model.times import after

ZONES = [
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Havana",
    "Europe/Berlin",
    "Europe/London",
    "Asia/Tehran",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
]
HOUR, DAY = PartitionSpec(grain=Grain.HOUR), PartitionSpec(grain=Grain.DAY)
INPUT = InputSpec(node="x", mode=InputMode.REQUIRED, place=Place(file="x"))


def changes(zone: str, year: int = 2013) -> list[str]:
    """The days of a year on which the clocks change, by asking the zone every hour."""
    tz, moment, result = ZoneInfo(zone), datetime(year, 1, 2, tzinfo=UTC), []
    while moment.year == year:
        if (
            moment.astimezone(tz).utcoffset()
            != (moment + timedelta(hours=1)).astimezone(tz).utcoffset()
        ):
            result.append((moment + timedelta(hours=1)).astimezone(tz).date().isoformat())
        moment += timedelta(hours=1)
    return result


DAYS = [(zone, day) for zone in ZONES for day in changes(zone)]


def test_each_zone_changes_twice() -> None:
    assert len(DAYS) == 2 * len(ZONES)


@pytest.mark.parametrize(("zone", "day"), DAYS)
def test_a_day_is_its_hours(zone: str, day: str) -> None:
    """Catches a doubled hour that is lost or counted twice, and a skipped one that is
    waited for."""
    hours = required(DAY, zone, day, HOUR, zone, INPUT).keys
    assert hours is not None
    spans = [bounds_us(hour, Grain.HOUR, zone) for hour in hours]
    start, end = bounds_us(day, Grain.DAY, zone)
    assert (spans[0][0], spans[-1][1]) == (start, end)
    assert all(item[1] == other[0] for item, other in itertools.pairwise(spans))
    assert len(hours) == len(set(hours)) and len(hours) in (23, 24, 25)
    assert all(dependents(hour, DAY, zone, HOUR, zone, INPUT) == (day,) for hour in hours)


@pytest.mark.parametrize(("zone", "day"), DAYS)
def test_hours_sort_in_the_order_of_time(zone: str, day: str) -> None:
    """Catches order by text, which east of Greenwich puts the second of a doubled hour before the
    first."""
    hours = list(required(DAY, zone, day, HOUR, zone, INPUT).keys or ())
    backwards = hours[::-1]
    assert sorted(backwards, key=lambda hour: order_of(hour, HOUR, zone)) == hours
    keyed = PartitionSpec(grain=Grain.HOUR, key="region")
    both = [f"{hour}/{region}" for hour in hours for region in ("APAC", "a/b")]
    backwards = both[::-1]
    assert sorted(backwards, key=lambda key: order_of(key, keyed, zone)) == both
    for place, hour in enumerate(hours):
        within = [key for key in both if order_of(key, keyed, zone) <= end_of(hour, keyed, zone)]
        assert within == both[: 2 * place + 2], "an hour alone means all its keys"


@pytest.mark.parametrize(("zone", "day"), DAYS)
def test_times_after_a_day_are_on_the_day_after_by_the_wall_clock(zone: str, day: str) -> None:
    before = (datetime.fromisoformat(day) - timedelta(days=1)).date().isoformat()
    due = after(interval_of(before, Grain.DAY, zone), "12:00", zone)
    assert due.replace(tzinfo=None) == datetime.fromisoformat(f"{day}T12:00")


@pytest.mark.parametrize(("zone", "day"), DAYS)
def test_walking_over_the_change_meets_each_hour_once(zone: str, day: str) -> None:
    first = required(
        DAY,
        zone,
        (datetime.fromisoformat(day) - timedelta(days=1)).date().isoformat(),
        HOUR,
        zone,
        INPUT,
    ).keys or ("",)
    last = required(
        DAY,
        zone,
        (datetime.fromisoformat(day) + timedelta(days=1)).date().isoformat(),
        HOUR,
        zone,
        INPUT,
    ).keys or ("",)
    walked = list(keys_between(first[0], last[-1], Grain.HOUR, zone))
    starts = [bounds_us(hour, Grain.HOUR, zone)[0] for hour in walked]
    assert starts == sorted(set(starts)) and (walked[0], walked[-1]) == (first[0], last[-1])
