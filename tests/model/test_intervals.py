"""Time cut into partitions: the examples of SEMANTICS §1, and what must hold in any zone at any
time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_cases import cases

from headrace.model import (
    Grain,
    UsageError,
    interval_of,
    key_at,
    key_of_date,
    keys_between,
    next_key,
    parse_key,
    previous_key,
)
from headrace.model.intervals import HOUR_US, from_us, local_us, start_us, to_us

ZONES = (
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "Pacific/Apia",
    "America/St_Johns",
    "America/Havana",
    "Africa/Casablanca",
    "Pacific/Auckland",
    "Asia/Beirut",
    "UTC",
)
"""West and east, both hemispheres, half hours, gaps at midnight, negative daylight saving, a
skipped day."""
instants = st.datetimes(datetime(1971, 1, 1), datetime(2037, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
around_changes = st.builds(
    lambda zone, day, hours: (
        zone,
        datetime(day[0], day[1], day[2], tzinfo=UTC) + timedelta(minutes=hours),
    ),
    st.sampled_from(ZONES),
    st.sampled_from(
        [
            (2013, 3, 10),
            (2013, 11, 3),
            (2013, 3, 31),
            (2013, 10, 27),
            (2013, 10, 6),
            (2013, 4, 7),
            (2010, 11, 7),
            (2011, 12, 30),
            (2013, 10, 20),
        ]
    ),
    st.integers(-3000, 3000),
)
places = st.one_of(st.tuples(st.sampled_from(ZONES), instants), around_changes)


@pytest.mark.parametrize("case", [line for line in cases("intervals") if not line.startswith("!")])
def test_the_examples_of_the_page(case: str) -> None:
    """A day of the wrong length or a key of the wrong instant would show here."""
    (key, grain, zone), expected = (
        case.split("=", maxsplit=1)[0].split(),
        case.partition("=")[2].strip(),
    )
    interval = interval_of(key, Grain(grain), zone)
    hours = (interval.end - interval.start) / timedelta(hours=1)
    assert f"{interval.start.isoformat()} .. {interval.end.isoformat()} ({hours:g})" == expected
    assert key_at(interval.start, Grain(grain), zone) == key
    assert parse_key(f" {key} ", Grain(grain), zone) == key


@pytest.mark.parametrize("case", [line for line in cases("intervals") if line.startswith("!")])
def test_what_is_no_key_is_refused_with_an_example(case: str) -> None:
    """A key that slips through would become a partition that nothing ever fills."""
    *words, grain, zone = case[1:].split()
    with pytest.raises(UsageError) as refused:
        interval_of(" ".join(words), Grain(grain), zone)
    assert refused.value.hint


@given(places, st.sampled_from(list(Grain)))
@settings(max_examples=600, deadline=None)
def test_each_instant_is_in_exactly_the_partition_that_it_is_told_to_be_in(
    place: tuple[str, datetime], grain: Grain
) -> None:
    """Holes or overlaps between partitions would lose rows, or publish them twice."""
    zone, instant = place
    key = key_at(instant, grain, zone)
    interval = interval_of(key, grain, zone)
    assert interval.start <= instant < interval.end
    assert interval_of(next_key(key, grain, zone), grain, zone).start == interval.end
    assert interval_of(previous_key(key, grain, zone), grain, zone).end == interval.start
    assert parse_key(key, grain, zone) == key


@given(places)
@settings(max_examples=1_000, deadline=None)
def test_an_hour_is_counted_from_the_start_of_its_local_day(place: tuple[str, datetime]) -> None:
    """The fast path for hours must leave days with a change of the offset to the calendar."""
    zone, instant = place
    at = to_us(instant)
    midnight = start_us(key_at(instant, Grain.DAY, zone), Grain.DAY, zone)
    began = from_us(midnight + (at - midnight) // HOUR_US * HOUR_US, zone)
    key = began.isoformat(timespec="seconds" if began.second else "minutes")
    assert key_at(instant, Grain.HOUR, zone) == key
    assert start_us(key, Grain.HOUR, zone) == to_us(began)


@given(places, st.sampled_from(list(Grain)), st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_a_range_is_its_keys_in_order(
    place: tuple[str, datetime], grain: Grain, count: int
) -> None:
    """A range that repeats or forgets a key would plan work twice or never."""
    zone, instant = place
    keys = [key_at(instant, grain, zone)]
    for _ in range(count):
        keys.append(next_key(keys[-1], grain, zone))
    assert list(keys_between(keys[0], keys[-1], grain, zone)) == keys
    assert list(keys_between(keys[-1], keys[0], grain, zone)) == []
    starts = [start_us(key, grain, zone) for key in keys]
    assert starts == sorted(set(starts))
    if grain is not Grain.HOUR:
        assert keys == sorted(keys)


@given(places)
@settings(max_examples=300, deadline=None)
def test_a_day_is_its_hours(place: tuple[str, datetime]) -> None:
    """A day that isn't covered by its hours would never be complete."""
    zone, instant = place
    day = interval_of(key_at(instant, Grain.DAY, zone), Grain.DAY, zone)
    hours = list(
        keys_between(
            key_at(day.start, Grain.HOUR, zone),
            key_at(day.end - timedelta(microseconds=1), Grain.HOUR, zone),
            Grain.HOUR,
            zone,
        )
    )
    result = [interval_of(hour, Grain.HOUR, zone) for hour in hours]
    assert result[0].start == day.start
    assert result[-1].end == day.end
    assert all(interval.end - interval.start == timedelta(hours=1) for interval in result[:-1])
    assert len(set(hours)) == len(hours)


@given(places)
@settings(max_examples=300, deadline=None)
def test_a_local_time_means_the_first_instant_that_shows_it_or_a_later_one(
    place: tuple[str, datetime],
) -> None:
    """A deadline in a gap must be the first instant after it, and a doubled one the first."""
    zone, instant = place
    local = instant.astimezone(from_us(to_us(instant), zone).tzinfo).replace(microsecond=0)
    result = local_us(local.date(), local.time(), zone)
    assert result <= to_us(local)
    shown = from_us(result, zone).replace(tzinfo=None)
    assert shown == local.replace(tzinfo=None), "a time that the clock shows is never in a gap"


def test_interval_lengths_are_elapsed_time() -> None:
    """With one `ZoneInfo` on both ends, Python subtracts wall clocks and a 23-hour day lasts 24."""
    day = interval_of("2013-03-10", Grain.DAY, "America/New_York")
    assert day.end - day.start == timedelta(hours=23)
    assert day.start < datetime(2013, 3, 10, 5, 0, 1, tzinfo=UTC) < day.end


@pytest.mark.parametrize(
    ("typed", "why", "hint"),
    [
        ("2013-02-11", "a whole day", "2013-02-11T00:00-05:00"),
        ("2013-03-10T02:00", "jumps over it", "2013-03-10T03:00-04:00"),
        ("2013-11-03T01:00", "shows it twice", "2013-11-03T01:00-04:00 or 2013-11-03T01:00-05:00"),
    ],
)
def test_a_local_hour_that_is_not_one_says_what_to_type(typed: str, why: str, hint: str) -> None:
    """Would catch: "its offset is missing", and nobody knows which offset."""
    with pytest.raises(UsageError, match=why) as refused:
        parse_key(typed, Grain.HOUR, "America/New_York")
    assert refused.value.hint == f"write {hint}"


@pytest.mark.parametrize(
    ("typed", "grain", "hint"),
    [
        ("2026-3-1", Grain.DAY, "did you mean 2026-03-01?"),
        ("2026-3", Grain.MONTH, "did you mean 2026-03?"),
        ("2026-11-0", Grain.DAY, "write it like 2013-02-11"),
        ("2026-3-1", Grain.MONTH, "write it like 2013-02"),
    ],
)
def test_a_date_without_zeros_says_what_to_type(typed: str, grain: Grain, hint: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_key(typed, grain, "UTC")
    assert refused.value.hint == hint


def test_keys_in_other_spellings_are_brought_to_their_form() -> None:
    """What people type must find the partition that was written."""
    assert (
        parse_key("2013-02-11T18:00:00Z", Grain.HOUR, "America/New_York")
        == "2013-02-11T13:00-05:00"
    )
    assert parse_key("2013-02-11T13:00", Grain.HOUR, "America/New_York") == "2013-02-11T13:00-05:00"
    assert parse_key("2013-03-10T03:00", Grain.HOUR, "America/New_York") == "2013-03-10T03:00-04:00"
    with pytest.raises(UsageError):
        key_of_date(datetime(2013, 2, 11, tzinfo=UTC).date(), Grain.HOUR)


@pytest.mark.parametrize("grain", ["hour", "day", "week", "month", "quarter", "year"])
def test_an_instant_outside_the_supported_years_has_no_key(grain: str) -> None:
    """Would catch: a key that no command takes, as that of an hour in the year 1."""
    for year in (1000, 9998):
        key = key_at(datetime(year, 6, 1, tzinfo=UTC), Grain(grain), "UTC")
        assert interval_of(key, Grain(grain), "UTC").start.year == year
    for year in (999, 9999):
        with pytest.raises(UsageError, match=f"{year}-06-01 is out of range"):
            key_at(datetime(year, 6, 1, tzinfo=UTC), Grain(grain), "UTC")
