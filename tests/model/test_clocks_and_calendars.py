"""Cron times, days off, quiet hours and local times, with clocks that are set forward and back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice

import pytest
from modellab import Load

from headrace.model import Grain, UsageError
from headrace.model.intervals import to_us
from headrace.model.times import (
    NO_DAYS_OFF,
    DaysOff,
    Duration,
    Quiet,
    check_cron,
    days_off,
    is_holiday,
    known_by_name,
    local_instant_us,
    time_of_day,
    times_after,
    times_until,
)

ZONE = "America/New_York"


def utc(text: str) -> int:
    """`11-03 05:30` of 2013 in UTC, as microseconds."""
    return to_us(datetime.fromisoformat(f"2013-{text}").replace(tzinfo=UTC))


CRON_TIMES = [
    # In New York clocks are set back at 06:00 UTC on 3 November 2013: 01:30 comes twice.
    ("30 1 * * *", "11-03 05:29", "11-03 05:30", "11-02 05:30"),
    ("30 1 * * *", "11-03 05:30", "11-04 06:30", "11-03 05:30"),
    ("30 1 * * *", "11-03 06:15", "11-04 06:30", "11-03 05:30"),
    ("30 1 * * *", "11-03 06:30", "11-04 06:30", "11-03 05:30"),
    ("30 1 * * *", "11-03 12:00", "11-04 06:30", "11-03 05:30"),
    ("30 2 * * *", "11-03 06:30", "11-03 07:30", "11-02 06:30"),
    # They are set forward at 07:00 UTC on 10 March: 02:30 doesn't come, and 03:00 fires instead.
    ("30 2 * * *", "03-09 12:00", "03-10 07:00", "03-09 07:30"),
    ("30 2 * * *", "03-10 07:00", "03-11 06:30", "03-10 07:00"),
    ("*/20 2 * * *", "03-10 07:00", "03-11 06:00", "03-10 07:00"),
    ("0 6 * * 1-5", "02-08 11:00", "02-11 11:00", "02-08 11:00"),
    ("0 6 * * 1-5", "02-09 11:00", "02-11 11:00", "02-08 11:00"),
]


@pytest.mark.parametrize(("cron", "at", "following", "last"), CRON_TIMES)
def test_each_local_time_fires_once(cron: str, at: str, following: str, last: str) -> None:
    """Catches a job that runs twice in the night in which clocks are set back, or not at all in
    the one in which they are set forward; and a direction that disagrees with the other."""
    assert next(times_after(cron, ZONE, utc(at))) == utc(following)
    assert next(times_until(cron, ZONE, utc(at))) == utc(last)


def test_times_before_and_after_are_the_same_times() -> None:
    """Catches a time that one direction leaves out or repeats."""
    begin, end = utc("10-31 00:00"), utc("11-06 00:00")
    forward = [at for at in islice(times_after("*/30 * * * *", ZONE, begin), 400) if at <= end]
    back = [at for at in islice(times_until("*/30 * * * *", ZONE, end), 400) if at > begin]
    assert forward == sorted(set(forward)) == back[::-1]
    assert len(forward) == 6 * 48 - 2, "of the repeated hour only the first pass fires"


@pytest.mark.parametrize(
    ("cron", "hint"),
    [
        ("@daily", "`0 0 * * *`"),
        (" @Weekly ", "`0 0 * * 0`"),
        ("0 6 * *", "minute, hour"),
        ("0 6 * * * *", "minute, hour"),
        ("61 * * * *", "minute, hour"),
        ("0 0 30 2 *", "minute, hour"),
        (f"{'0,' * 96}0 0 * * *", "minute, hour"),
    ],
)
def test_what_never_fires_is_refused(cron: str, hint: str) -> None:
    """Catches a schedule that is accepted and never comes."""
    with pytest.raises(UsageError) as refused:
        check_cron(cron)
    assert hint in (refused.value.hint or "")
    check_cron(f"{'0,' * 95}00 0 * * *")


DATES = DaysOff(dates=frozenset({"2013-01-05", "2013-01-01"}))
NYSE = DaysOff(named="NYSE")


@pytest.mark.parametrize(
    ("days", "key", "grain", "expected"),
    [
        (DATES, "2013-01-01", Grain.DAY, True),
        (DATES, "2013-01-02", Grain.DAY, False),
        (DATES, "2013-01-05T23:00-05:00", Grain.HOUR, True),
        (DATES, "2013-01-06T00:00-05:00", Grain.HOUR, False),
        (DATES, "2013-01", Grain.MONTH, False),
        (NYSE, "2013-01-01", Grain.DAY, True),
        (NYSE, "2013-01-02", Grain.DAY, False),
        (NYSE, "2013-01-05", Grain.DAY, True),
        (NYSE, "2013-01-06", Grain.DAY, True),
        (NYSE, "2013-W01", Grain.WEEK, False),
        (NO_DAYS_OFF, "2013-01-05", Grain.DAY, False),
    ],
)
def test_an_interval_is_off_if_all_of_its_days_are(
    days: DaysOff, key: str, grain: Grain, expected: bool
) -> None:
    """Catches a month that nobody waits for because it begins with a holiday."""
    assert days.covers(key, grain, ZONE) is expected


def test_a_year_of_days_off_is_off() -> None:
    """Catches a last day that isn't asked about."""
    year = [(date(2012, 1, 1) + timedelta(days=number)).isoformat() for number in range(366)]
    assert DaysOff(dates=frozenset(year)).covers("2012", Grain.YEAR, "UTC")
    assert not DaysOff(dates=frozenset(year[:-1])).covers("2012", Grain.YEAR, "UTC")


@pytest.mark.parametrize(
    ("first", "last", "dates", "nyse"),
    [(1, 7, 2, 3), (1, 1, 1, 1), (2, 4, 0, 0), (2, 5, 1, 1), (6, 6, 0, 1)],
)
def test_days_off_are_counted_with_both_ends(first: int, last: int, dates: int, nyse: int) -> None:
    """Catches a span that leaves out its last day."""
    span = date(2013, 1, first), date(2013, 1, last)
    assert (DATES.count(*span), NYSE.count(*span)) == (dates, nyse)
    assert NO_DAYS_OFF.count(*span) == 0


def test_days_off_contain_days_as_texts() -> None:
    assert ("2013-01-05" in DATES, "2013-01-02" in DATES) == (True, False)
    assert ("2013-01-05" in NYSE, "2013-01-02" in NYSE, 5 in NYSE) == (True, False, False)
    assert (DATES.declared(), NYSE.declared()) == (["2013-01-01", "2013-01-05"], ["NYSE"])
    assert (DATES.none, NYSE.none, NO_DAYS_OFF.none) == (False, False, True)


def test_the_projects_own_calendar_comes_first(load: Load) -> None:
    """Catches a calendar named like a market that the market's holidays replace."""
    project, _ = load(**{"calendars/NYSE.yaml": "- 2013-01-05\n"})
    assert project is not None
    assert days_off(project, "NYSE") == DaysOff(dates=frozenset({"2013-01-05"}))
    assert days_off(project, "US-NY") == DaysOff(named="US-NY")
    assert days_off(project, "Narnia") == days_off(project, None) == NO_DAYS_OFF


def test_markets_countries_and_their_parts_have_holidays() -> None:
    """Catches a weekend taken for a holiday, and a part of a country without its own holidays."""
    names = ("NYSE", "US", "US-HI", "US-XX", "NYSE-NY", "Narnia", "")
    assert [known_by_name(name) for name in names] == [True, True, True, False, False, False, False]
    kuhio, good_friday, saturday = date(2018, 3, 26), date(2018, 3, 30), date(2018, 3, 31)
    for name, expected in (
        ("NYSE", (False, True, False)),
        ("US", (False, False, False)),
        ("US-HI", (True, False, False)),
        ("Narnia", (False, False, False)),
    ):
        days = (kuhio, good_friday, saturday)
        assert tuple(is_holiday(name, day) for day in days) == expected, name


@pytest.mark.parametrize(
    ("span", "at", "over"),
    [
        ("22:00-07:00", "02-11T21:59", None),
        ("22:00-07:00", "02-11T22:00", "02-12T07:00"),
        ("22:00-07:00", "02-11T00:00", "02-11T07:00"),
        ("22:00-07:00", "02-11T06:59", "02-11T07:00"),
        ("22:00-07:00", "02-11T07:00", None),
        (" 12:15 - 13:30 ", "02-11T12:14", None),
        ("12:15-13:30", "02-11T12:15", "02-11T13:30"),
        ("12:15-13:30", "02-11T13:29", "02-11T13:30"),
        ("12:15-13:30", "02-11T13:30", None),
        ("22:00-07:00", "03-09T23:00", "03-10T07:00"),
    ],
)
def test_quiet_hours_end_in_local_time(span: str, at: str, over: str | None) -> None:
    """Catches quiet hours that last a day too long, or that end before they begin."""
    now_us = local_instant_us(f"2013-{at}", ZONE)
    expected = now_us if over is None else local_instant_us(f"2013-{over}", ZONE)
    assert Quiet.parse(span).over_at(now_us, ZONE) == expected


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (Quiet.parse, "22:00"),
        (Quiet.parse, "22:00-22:00"),
        (Quiet.parse, "25:00-07:00"),
        (Quiet.parse, "22:00-7"),
        (time_of_day, "24:00"),
        (time_of_day, "7:00"),
        (time_of_day, "07:60"),
        (time_of_day, "07:00:00"),
    ],
)
def test_what_is_no_time_of_day_is_refused(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(text)
    assert (refused.value.hint or "").startswith("write `")
    assert time_of_day(" 07:05 ") == time(7, 5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2013-02-11", "2013-02-11T05:00"),
        ("2013-02-11T07:00", "2013-02-11T12:00"),
        ("2013-02-11T07:00+01:00", "2013-02-11T06:00"),
        ("2013-07-11T07:00", "2013-07-11T11:00"),
        ("2999-12-31T07:00", "2999-12-31T12:00"),
    ],
)
def test_a_local_time_is_an_instant(text: str, expected: str) -> None:
    """Catches a time of another zone read in the project's."""
    assert local_instant_us(text, ZONE) == to_us(
        datetime.fromisoformat(expected).replace(tzinfo=UTC)
    )


@pytest.mark.parametrize("text", ["soon", "1899-12-31", "3000-01-01", "2013-02-30"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        local_instant_us(text, ZONE)
    assert refused.value.hint
    assert local_instant_us("1900-01-01", "UTC") < 0


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("1d", "03-09 17:00", "03-11 16:00"),
        ("24h", "03-09 16:00", "03-11 16:00"),
        ("1d2h", "03-09 15:00", "03-11 18:00"),
        ("30m", "03-10 15:30", "03-10 16:30"),
    ],
)
def test_days_are_counted_by_the_local_clock(text: str, before: str, after: str) -> None:
    """Catches a day before the change of clocks that begins an hour too late. It is noon in New
    York."""
    noon = utc("03-10 16:00")
    duration = Duration.parse(text)
    assert (duration.before_us(noon, ZONE), duration.after_us(noon, ZONE)) == (
        utc(before),
        utc(after),
    )
