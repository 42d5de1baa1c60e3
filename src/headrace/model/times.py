"""Lengths of time, times after an interval, cron expressions, days off and quiet hours.

Durations are written as `7d`; times after an interval as `05:00`, `+2d 06:00`, `+3bd 09:00` or `+20m` (SEMANTICS §1). All instants
are integer microseconds since 1970 UTC.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from headrace.model.errors import CRON, HeadraceError, UsageError
from headrace.model.intervals import SECOND_US, Interval, bounds_us, from_us, local_date, local_us, to_us
from headrace.model.nodes import Grain, Project, Value

# Durations and times after an interval, as declarations write them.

DURATION_DAYS_MAX = 36_500
OFFSET_DAYS_MAX = 3_660
BUSINESS_DAYS_MAX = 366
HOLIDAYS_IN_A_ROW_MAX = 366
"""A calendar in which nothing is a business day for longer than this is refused instead of searched for ever."""
SINCE_YEARS = (1900, 2999)
"""Of a `since:`: what is reckoned from it, by intervals and ages, stays within the calendar."""
_DURATION_HINT = "write a number and s, m, h, d or w: `90m`, `30h`, `7d`, `1d12h`"
_INSTANT_HINT = "write a date, `2013-02-11`, or a time, `2013-02-11T07:00`"
_OFFSET_HINT = "write `05:00` (the day after), `+2d 06:00`, `+3bd 09:00` (business days) or `+20m` (after the end)"

_PARTS = re.compile(r"(?:(\d{1,6})w)?(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?", re.ASCII)
_OFFSET = re.compile(r"(?:\+(\d{1,4})(d|bd)\s+)?(\d\d):(\d\d)(?::(\d\d))?", re.ASCII)


class Duration(Value, kw_only=True):
    """Calendar days and elapsed seconds, kept apart: a day back over a change of offset is the same wall clock, not 24 hours."""

    days: int
    seconds: int

    @staticmethod
    def parse(text: str) -> Duration:
        """`7d`, `30h`, `1d12h`, …; UsageError otherwise."""
        match = _PARTS.fullmatch(text.strip())
        if match is None or not match.group():
            raise UsageError(f"{text[:40]!r} isn't a duration", hint=_DURATION_HINT)
        weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        duration = Duration(days=7 * weeks + days, seconds=3600 * hours + 60 * minutes + seconds)
        if duration.days + duration.seconds // 86_400 > DURATION_DAYS_MAX:
            raise UsageError(f"{text[:40]!r} is longer than {DURATION_DAYS_MAX} days", hint=_DURATION_HINT)
        return duration

    def before_us(self, instant_us: int, timezone: str) -> int:
        """The instant that lies this long before, by the wall clock as to the days."""
        return self._shifted(instant_us, timezone, -1)

    def after_us(self, instant_us: int, timezone: str) -> int:
        """The instant that lies this long after, by the wall clock as to the days."""
        return self._shifted(instant_us, timezone, 1)

    def _shifted(self, instant_us: int, timezone: str, sign: int) -> int:
        if self.days:
            local = from_us(instant_us, timezone)
            instant_us = local_us(local.date() + sign * self.days * _DAY, local.time(), timezone)
        return instant_us + sign * self.seconds * SECOND_US


def local_instant_us(text: str, timezone: str) -> int:
    """The instant of a date (its midnight) or a time in the zone, microseconds; UsageError for
    anything else, and for what lies outside of `SINCE_YEARS`.

    `2013-02-11`, `2013-02-11T07:00`; a time may have an offset of its own (`2013-02-11T07:00-05:00`).
    """
    try:
        result = datetime.fromisoformat(text)
        if SINCE_YEARS[0] <= result.year <= SINCE_YEARS[1]:
            if result.tzinfo is not None:
                return to_us(result)
            return local_us(result.date(), result.time(), timezone)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{text[:40]!r} is neither a date nor a time", hint=_INSTANT_HINT) from error
    between = f"between {SINCE_YEARS[0]} and {SINCE_YEARS[1]}"
    hint = f"write a date {between}, such as 2013-02-11"
    raise UsageError(f"the year of {text[:40]!r} isn't {between}", hint=hint)


def parse_duration(text: str) -> timedelta:
    """`7d`, `30h`, `90m`, `1d12h` as elapsed time (a day is 24 hours); UsageError otherwise."""
    duration = Duration.parse(text)
    return timedelta(days=duration.days, seconds=duration.seconds)


class Unit(enum.StrEnum):
    """What an offset counts."""

    DAYS = "days"
    BUSINESS_DAYS = "business_days"
    ELAPSED = "elapsed"


class Offset(Value, kw_only=True):
    """A time after an interval: `seconds` after its end (elapsed), or `clock` on the `count`-th (business) day after its last day."""

    unit: Unit
    count: int = 1
    clock: time = time()
    seconds: int = 0

    @staticmethod
    def parse(text: str) -> Offset:
        """`05:00`, `+2d 06:00`, `+3bd 09:00` or `+20m`; UsageError otherwise."""
        text = text.strip()
        match = _OFFSET.fullmatch(text)
        if match is not None:
            return _on_a_day(text, *match.groups())
        if not text.startswith("+"):
            raise UsageError(f"{text[:40]!r} isn't a time after an interval", hint=_OFFSET_HINT)
        return _elapsed(text)

    def after_us(self, end_us: int, timezone: str, holidays: Callable[[date], bool] | None = None) -> int:
        """The instant, for an interval that ends at `end_us`; `holidays` says which days aren't business days (beside weekends)."""
        if self.unit is Unit.ELAPSED:
            return end_us + self.seconds * SECOND_US
        last = local_date(end_us - 1, timezone)
        if self.unit is Unit.DAYS:
            return local_us(last + self.count * _DAY, self.clock, timezone)
        return local_us(_business_day(last, self.count, holidays), self.clock, timezone)


def after(interval: Interval, offset: str, timezone: str, holidays: Callable[[date], bool] | None = None) -> datetime:
    """When `offset` after `interval` is, in the zone's offset at that instant; UsageError if `offset` can't be read."""
    return from_us(Offset.parse(offset).after_us(to_us(interval.end), timezone, holidays), timezone)


def _on_a_day(text: str, count: str | None, unit: str | None, hour: str, minute: str, second: str | None) -> Offset:
    business = unit == "bd"
    days = int(count) if count is not None else 1
    if days > (BUSINESS_DAYS_MAX if business else OFFSET_DAYS_MAX) or (business and days == 0):
        raise UsageError(f"{text[:40]!r} counts too many days or none", hint=_OFFSET_HINT)
    try:
        clock = time(int(hour), int(minute), int(second or 0))
    except ValueError as error:
        raise UsageError(f"{text[:40]!r} has no time of day ({error})", hint=_OFFSET_HINT) from error
    return Offset(unit=Unit.BUSINESS_DAYS if business else Unit.DAYS, count=days, clock=clock)


def _elapsed(text: str) -> Offset:
    try:
        duration = Duration.parse(text[1:])
    except UsageError as error:
        raise UsageError(f"{text[:40]!r} isn't a time after an interval", hint=_OFFSET_HINT) from error
    if duration.days:
        raise UsageError(f"{text[:40]!r} names days without a time of day", hint="write `+2d 06:00`, or `+48h` for elapsed hours")
    return Offset(unit=Unit.ELAPSED, seconds=duration.seconds)


def _business_day(last: date, count: int, holidays: Callable[[date], bool] | None) -> date:
    """The `count`-th business day after `last`."""
    day, skipped = last, 0
    while count:
        day += _DAY
        if day.weekday() >= 5 or (holidays is not None and holidays(day)):
            skipped += 1
            if skipped > HOLIDAYS_IN_A_ROW_MAX:
                raise HeadraceError(f"no business day within {HOLIDAYS_IN_A_ROW_MAX} days after {last}", hint="look at the calendar")
            continue
        count, skipped = count - 1, 0
    return day


# Durations for display: `8.2 ms`, `2.1 s`, `40 s`, `12 min`, `50 h 40 min`, `5 days 2 h`.
# `ui/src/parts/durations.ts` formats them in the browser; `tests/durations.json` holds the cases
# of both.

_SECOND_US = 1_000_000
_MINUTE_US = 60 * _SECOND_US
_HOUR_US = 60 * _MINUTE_US
HOURS_MAX = 96
"""Longer durations are written in days and hours."""


def duration(us: int) -> str:
    """A length of time in microseconds, rounded to what its unit shows, halves up."""
    if us < 0:
        return f"−{duration(-us)}"
    if us < 9_500:
        return _tenths(_rounded(us, 100), "ms")
    if us < 999_500:
        return f"{_rounded(us, 1_000)} ms"
    if us < 9_950_000:
        return _tenths(_rounded(us, 100_000), "s")
    if (seconds := _rounded(us, _SECOND_US)) < 60:
        return f"{seconds} s"
    if (minutes := _rounded(us, _MINUTE_US)) < 60:
        return f"{minutes} min"
    if minutes < 60 * HOURS_MAX:
        return f"{minutes // 60} h {minutes % 60:02} min"
    days, hours = divmod(_rounded(us, _HOUR_US), 24)
    return f"{days} days {hours} h" if hours else f"{days} days"


def _rounded(us: int, unit_us: int) -> int:
    return (us + unit_us // 2) // unit_us


def _tenths(count: int, unit: str) -> str:
    return f"{count // 10}.{count % 10} {unit}" if count else "0 s"


# Cron expressions of five fields, by the wall clock of a zone. Each local time fires once: a time
# in a DST gap fires at the first instant after the gap, a doubled time fires the first time.

CHARACTERS_MAX = 200
_CRON_HINT = "minute, hour, day of month, month, day of week: `0 6 * * 1-5`"
_DAY_US = 86_400_000_000
_MINUTE = timedelta(minutes=1)


def check_cron(expression: str) -> None:
    """UsageError for what isn't a cron expression of five fields, or never comes."""
    from cronsim import CronSim, CronSimError

    if expression.strip().lower() in CRON:
        raise UsageError(f"{expression[:40]!r} doesn't have five fields", hint=f"write `{CRON[expression.strip().lower()]}`")
    if len(expression) > CHARACTERS_MAX or len(expression.split()) != 5:
        raise UsageError(f"{expression[:40]!r} doesn't have five fields", hint=_CRON_HINT)
    try:
        next(CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise UsageError(f"{expression[:40]!r} isn't a cron expression ({error})", hint=_CRON_HINT) from error
    except StopIteration:
        raise UsageError(f"{expression[:40]!r} never comes", hint=_CRON_HINT) from None


def times_after(cron: str, timezone: str, after_us: int) -> Iterator[int]:
    """The times after an instant, growing."""
    last = after_us  # local times that the clock has shown already don't come again, even if it was set back since
    for local in _local_times(cron, from_us(after_us, timezone).replace(tzinfo=None), reverse=False):
        at = local_us(local.date(), local.time(), timezone)
        if at > last:
            last = at
            yield at


def times_until(cron: str, timezone: str, until_us: int) -> Iterator[int]:
    """The times at or before an instant, shrinking."""
    last = until_us + 1
    for local in _local_times(cron, _latest_shown(until_us, timezone) + _MINUTE, reverse=True):
        at = local_us(local.date(), local.time(), timezone)
        if at < last:
            last = at
            yield at


def _latest_shown(at_us: int, timezone: str) -> datetime:
    """The latest that the clock on the wall has shown: more than what it shows where it was set back lately."""
    now, before = from_us(at_us, timezone), from_us(at_us - _DAY_US, timezone)
    set_back = (before.utcoffset() or timedelta()) - (now.utcoffset() or timedelta())
    return now.replace(tzinfo=None) + max(set_back, timedelta())


def _local_times(cron: str, start: datetime, *, reverse: bool) -> Iterator[datetime]:
    """What the expression means on a clock that knows of no changes, within the years that there are."""
    from cronsim import CronSim

    try:
        yield from CronSim(cron, start, reverse=reverse)
    except (OverflowError, ValueError):
        return


# Days on which no data is due: dates that a project lists, or a calendar that the `holidays`
# package knows by name.

_DAY = timedelta(days=1)
_SATURDAY = 5
_HOLIDAYS_HINT = "a market, a country or a part of one, such as NYSE, US or US-NY"
LONGEST_DAYS = 366
"""An interval of more days than that always has a working day."""


class DaysOff(Value, kw_only=True):
    """Dates without data, in ISO form; `named` is a calendar of the `holidays` package, to which the weekends belong."""

    dates: frozenset[str] = frozenset()
    named: str | None = None

    @property
    def none(self) -> bool:
        """True where no day is off."""
        return not self.dates and self.named is None

    def __contains__(self, day: object) -> bool:
        """Whether a day in ISO form is off."""
        return isinstance(day, str) and (day in self.dates or (self.named is not None and self.holds(date.fromisoformat(day))))

    def holds(self, day: date) -> bool:
        """Whether a day is off."""
        if self.named is not None:
            return day.weekday() >= _SATURDAY or _holiday_test(self.named)(day)
        return day.isoformat() in self.dates

    def covers(self, key: str, grain: Grain, timezone: str) -> bool:
        """Whether all days of an interval are off, so that nothing is due for it."""
        if self.none:
            return False
        start, end = bounds_us(key, grain, timezone)
        day, last = local_date(start, timezone), local_date(end - 1, timezone)
        if (last - day).days > LONGEST_DAYS:
            return False
        while day <= last:
            if not self.holds(day):
                return False
            day += _DAY
        return True

    def count(self, first: date, last: date) -> int:
        """How many days from one to another, both included, are off."""
        if self.named is None:
            return sum(first.isoformat() <= day <= last.isoformat() for day in self.dates)
        return sum(self.holds(first + offset * _DAY) for offset in range((last - first).days + 1))

    def said(self) -> list[str]:
        """What was declared, to be kept with a promise."""
        return [self.named] if self.named is not None else sorted(self.dates)


NO_DAYS_OFF = DaysOff()


def days_off(project: Project, calendar: str | None) -> DaysOff:
    """What a node's `calendar:` means; no days where it names none that there is."""
    if calendar is None:
        return NO_DAYS_OFF
    declared = project.calendars.get(calendar)
    if declared is not None:
        return DaysOff(dates=frozenset(declared.dates))
    return DaysOff(named=calendar) if known_by_name(calendar) else NO_DAYS_OFF


def known_by_name(calendar: str) -> bool:
    """Whether the `holidays` package has a calendar of that name: a market (NYSE), a country (US) or a part of one (US-NY)."""
    try:
        _holiday_test(calendar)
    except UsageError:
        return False
    return True


def is_holiday(calendar: str, day: date) -> bool:
    """Whether a day is a holiday of a calendar, weekends aside; False where there is no calendar of that name."""
    return known_by_name(calendar) and _holiday_test(calendar)(day)


@functools.lru_cache(maxsize=64)
def _holiday_test(calendar: str) -> Callable[[date], bool]:
    """Whether a day is a holiday, by the name of a calendar; UsageError if there is no such calendar."""
    import holidays

    country, _, part = calendar.partition("-")
    result: Any
    try:
        if country in holidays.list_supported_financial(include_aliases=True) and not part:
            result = holidays.financial_holidays(country)
        elif country in holidays.list_supported_countries(include_aliases=True):
            result = holidays.country_holidays(country, subdiv=part or None)
        else:
            raise UsageError(f"unknown calendar {calendar[:40]!r}", hint=_HOLIDAYS_HINT)
    except NotImplementedError as error:  # a part that the country hasn't
        raise UsageError(f"unknown calendar {calendar[:40]!r}", hint=_HOLIDAYS_HINT) from error
    return functools.lru_cache(maxsize=1 << 16)(lambda day: day in result)


# Hours in which an owner gets no notifications: `22:00-07:00`, by the wall clock of the project's
# zone.

_QUIET_HOURS = re.compile(r"(\d\d:\d\d)\s*-\s*(\d\d:\d\d)", re.ASCII)
_CLOCK = re.compile(r"(\d\d):(\d\d)", re.ASCII)


class Quiet(Value, kw_only=True):
    """From one time of day to another; over midnight where the second is the earlier one."""

    begins: time
    ends: time

    @staticmethod
    def parse(text: str) -> Quiet:
        """`22:00-07:00`; UsageError otherwise."""
        match = _QUIET_HOURS.fullmatch(text.strip())
        if match is None or match[1] == match[2]:
            raise UsageError(f"{text[:40]!r} isn't a span of hours", hint="write `22:00-07:00`")
        return Quiet(begins=time_of_day(match[1]), ends=time_of_day(match[2]))

    def over_at(self, now_us: int, timezone: str) -> int:
        """When the quiet hours that hold now are over; `now_us` itself outside of them."""
        local = from_us(now_us, timezone)
        clock, over = local.time().replace(tzinfo=None), self.begins > self.ends
        late = clock >= self.begins
        if not (late or clock < self.ends if over else late and clock < self.ends):
            return now_us
        return local_us(local.date() + (_DAY if over and late else timedelta()), self.ends, timezone)


def time_of_day(text: str) -> time:
    """`07:00`; UsageError otherwise."""
    match = _CLOCK.fullmatch(text.strip())
    try:
        if match is not None:
            return time(int(match[1]), int(match[2]))
    except ValueError:
        pass
    raise UsageError(f"{text[:40]!r} isn't a time of day", hint="write `07:00`")
