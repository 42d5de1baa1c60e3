"""Durations, times after an interval, cron expressions, days off and quiet hours.

Durations are written as `7d`; times after an interval as `05:00`, `+2d 06:00`, `+3bd 09:00` or
`+20m` (SEMANTICS §1). All instants are integer microseconds since 1970 UTC.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from headrace.model.errors import CRON, HeadraceError, UsageError
from headrace.model.intervals import (
    SECOND_US,
    Interval,
    bounds_us,
    from_us,
    local_date,
    local_us,
    to_us,
)
from headrace.model.nodes import Grain, Project, Value

# Durations and times after an interval, in the notation of declarations.

DURATION_DAYS_MAX = 36_500
OFFSET_DAYS_MAX = 3_660
BUSINESS_DAYS_MAX = 366
HOLIDAYS_IN_A_ROW_MAX = 366
"""Days without a business day after which the search in a calendar stops with an error."""
SINCE_YEARS = (1900, 2999)
"""Allowed years of `since:`, so that dates computed from it stay within Python's calendar."""
_DURATION_HINT = "write a number and s, m, h, d or w: `90m`, `30h`, `7d`, `1d12h`"
_INSTANT_HINT = "write a date, `2013-02-11`, or a time, `2013-02-11T07:00`"
_OFFSET_HINT = (
    "write `05:00` (the day after), `+2d 06:00`, `+3bd 09:00` (business days) or `+20m` (after the"
    " end)"
)

_PARTS = re.compile(
    r"(?:(\d{1,6})w)?(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?", re.ASCII
)
_OFFSET = re.compile(r"(?:\+(\d{1,4})(d|bd)\s+)?(\d\d):(\d\d)(?::(\d\d))?", re.ASCII)


class Duration(Value, kw_only=True):
    """Calendar days and elapsed seconds, stored separately because a day isn't always 24 hours.

    One day earlier or later is the same local time, even across a change of offset.
    """

    days: int
    seconds: int

    @staticmethod
    def parse(text: str) -> Duration:
        """Parse `7d`, `30h`, `1d12h` and the like. Raises UsageError if invalid."""
        match = _PARTS.fullmatch(text.strip())
        if match is None or not match.group():
            raise UsageError(f"{text[:40]!r} isn't a duration", hint=_DURATION_HINT)
        weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        duration = Duration(days=7 * weeks + days, seconds=3600 * hours + 60 * minutes + seconds)
        if duration.days + duration.seconds // 86_400 > DURATION_DAYS_MAX:
            raise UsageError(
                f"{text[:40]!r} is longer than {DURATION_DAYS_MAX} days", hint=_DURATION_HINT
            )
        return duration

    def before_us(self, instant_us: int, timezone: str) -> int:
        """Return the instant this long before `instant_us`; days are counted in local time."""
        return self._shifted(instant_us, timezone, -1)

    def after_us(self, instant_us: int, timezone: str) -> int:
        """Return the instant this long after `instant_us`; days are counted in local time."""
        return self._shifted(instant_us, timezone, 1)

    def _shifted(self, instant_us: int, timezone: str, sign: int) -> int:
        if self.days:
            local = from_us(instant_us, timezone)
            instant_us = local_us(local.date() + sign * self.days * _DAY, local.time(), timezone)
        return instant_us + sign * self.seconds * SECOND_US


def local_instant_us(text: str, timezone: str) -> int:
    """Return the instant of a local date (at midnight) or local time, in microseconds.

    For example `2013-02-11` or `2013-02-11T07:00`; a time may have its own offset
    (`2013-02-11T07:00-05:00`). Raises UsageError if invalid or outside of `SINCE_YEARS`.
    """
    try:
        result = datetime.fromisoformat(text)
        if SINCE_YEARS[0] <= result.year <= SINCE_YEARS[1]:
            if result.tzinfo is not None:
                return to_us(result)
            return local_us(result.date(), result.time(), timezone)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{text[:40]!r} is neither a date nor a time", hint=_INSTANT_HINT
        ) from error
    between = f"between {SINCE_YEARS[0]} and {SINCE_YEARS[1]}"
    hint = f"write a date {between}, such as 2013-02-11"
    raise UsageError(f"the year of {text[:40]!r} isn't {between}", hint=hint)


MAX_AHEAD = "1d"
"""How far after now data may lie, unless declared: zones and clocks differ."""


def parse_duration(text: str) -> timedelta:
    """Parse a duration as elapsed time, with days of 24 hours. Raises UsageError if invalid."""
    duration = Duration.parse(text)
    return timedelta(days=duration.days, seconds=duration.seconds)


class Unit(enum.StrEnum):
    """Unit of an offset."""

    DAYS = "days"
    BUSINESS_DAYS = "business_days"
    ELAPSED = "elapsed"


class Offset(Value, kw_only=True):
    """A time after an interval.

    With the unit ELAPSED it is `seconds` after the interval's end; otherwise the local time `clock`
    on the `count`-th day or business day after the interval's last day.
    """

    unit: Unit
    count: int = 1
    clock: time = time()
    seconds: int = 0

    @staticmethod
    def parse(text: str) -> Offset:
        """Parse `05:00`, `+2d 06:00`, `+3bd 09:00` or `+20m`. Raises UsageError if invalid."""
        text = text.strip()
        match = _OFFSET.fullmatch(text)
        if match is not None:
            return _on_a_day(text, *match.groups())
        if not text.startswith("+"):
            raise UsageError(f"{text[:40]!r} isn't a time after an interval", hint=_OFFSET_HINT)
        return _elapsed(text)

    def after_us(
        self, end_us: int, timezone: str, holidays: Callable[[date], bool] | None = None
    ) -> int:
        """Return the instant of this offset after an interval that ends at `end_us`.

        `holidays` returns whether a day is a holiday. Holidays and weekends aren't business days.
        """
        if self.unit is Unit.ELAPSED:
            return end_us + self.seconds * SECOND_US
        last = local_date(end_us - 1, timezone)
        if self.unit is Unit.DAYS:
            return local_us(last + self.count * _DAY, self.clock, timezone)
        return local_us(_business_day(last, self.count, holidays), self.clock, timezone)


def after(
    interval: Interval, offset: str, timezone: str, holidays: Callable[[date], bool] | None = None
) -> datetime:
    """Return the local time `offset` after `interval`. Raises UsageError for an invalid offset."""
    return from_us(Offset.parse(offset).after_us(to_us(interval.end), timezone, holidays), timezone)


def _on_a_day(
    text: str, count: str | None, unit: str | None, hour: str, minute: str, second: str | None
) -> Offset:
    business = unit == "bd"
    days = int(count) if count is not None else 1
    if days > (BUSINESS_DAYS_MAX if business else OFFSET_DAYS_MAX) or (business and days == 0):
        raise UsageError(f"{text[:40]!r} counts too many days or none", hint=_OFFSET_HINT)
    try:
        clock = time(int(hour), int(minute), int(second or 0))
    except ValueError as error:
        raise UsageError(
            f"{text[:40]!r} has no time of day ({error})", hint=_OFFSET_HINT
        ) from error
    return Offset(unit=Unit.BUSINESS_DAYS if business else Unit.DAYS, count=days, clock=clock)


def _elapsed(text: str) -> Offset:
    try:
        duration = Duration.parse(text[1:])
    except UsageError as error:
        raise UsageError(
            f"{text[:40]!r} isn't a time after an interval", hint=_OFFSET_HINT
        ) from error
    if duration.days:
        raise UsageError(
            f"{text[:40]!r} names days without a time of day",
            hint="write `+2d 06:00`, or `+48h` for elapsed hours",
        )
    return Offset(unit=Unit.ELAPSED, seconds=duration.seconds)


def _business_day(last: date, count: int, holidays: Callable[[date], bool] | None) -> date:
    """Return the `count`-th business day after `last`."""
    day, skipped = last, 0
    while count:
        day += _DAY
        if day.weekday() >= 5 or (holidays is not None and holidays(day)):
            skipped += 1
            if skipped > HOLIDAYS_IN_A_ROW_MAX:
                raise HeadraceError(
                    f"no business day within {HOLIDAYS_IN_A_ROW_MAX} days after {last}",
                    hint="look at the calendar",
                )
            continue
        count, skipped = count - 1, 0
    return day


# Durations for display: `8.2 ms`, `2.1 s`, `40 s`, `12 min`, `50 h 40 min`, `5 days 2 h`.
# `ui/src/parts/durations.ts` does the same in the browser; `tests/durations.json` has the test
# cases of both.

_SECOND_US = 1_000_000
_MINUTE_US = 60 * _SECOND_US
_HOUR_US = 60 * _MINUTE_US
HOURS_MAX = 96
"""Durations of this number of hours and more are displayed in days and hours."""


def duration(us: int, longest_us: int = 0) -> str:
    """Format a duration in microseconds for display, rounding halves up.

    `longest_us` is the longest duration in its column: beside days, durations of a day and more are
    in days, too.
    """
    if us < 0:
        return f"−{duration(-us, longest_us)}"
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
    in_days = max(minutes, _rounded(longest_us, _MINUTE_US)) >= 60 * HOURS_MAX
    if minutes < 60 * 24 or not in_days:
        return f"{minutes // 60} h {minutes % 60:02} min"
    days, hours = divmod(_rounded(us, _HOUR_US), 24)
    unit = "day" if days == 1 else "days"
    return f"{days} {unit} {hours} h" if hours else f"{days} {unit}"


def _rounded(us: int, unit_us: int) -> int:
    return (us + unit_us // 2) // unit_us


def _tenths(count: int, unit: str) -> str:
    return f"{count // 10}.{count % 10} {unit}" if count else "0 s"


# Cron expressions with five fields, in the local time of a zone. Each local time fires once: a
# time in a DST gap at the first instant after the gap, a repeated time at its first occurrence.

CHARACTERS_MAX = 200
_CRON_HINT = "minute, hour, day of month, month, day of week: `0 6 * * 1-5`"
_DAY_US = 86_400_000_000
_MINUTE = timedelta(minutes=1)


def check_cron(expression: str) -> None:
    """Raise UsageError for an invalid cron expression, or one that never fires."""
    from cronsim import CronSim, CronSimError

    if expression.strip().lower() in CRON:
        raise UsageError(
            f"{expression[:40]!r} doesn't have five fields",
            hint=f"write `{CRON[expression.strip().lower()]}`",
        )
    if len(expression) > CHARACTERS_MAX or len(expression.split()) != 5:
        raise UsageError(f"{expression[:40]!r} doesn't have five fields", hint=_CRON_HINT)
    try:
        next(CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise UsageError(
            f"{expression[:40]!r} isn't a cron expression ({error})", hint=_CRON_HINT
        ) from error
    except StopIteration:
        raise UsageError(f"{expression[:40]!r} never comes", hint=_CRON_HINT) from None


def times_after(cron: str, timezone: str, after_us: int) -> Iterator[int]:
    """Yield the cron times after an instant, in ascending order, in microseconds."""
    last = after_us  # after clocks are set back, repeated local times don't fire again
    for local in _local_times(
        cron, from_us(after_us, timezone).replace(tzinfo=None), reverse=False
    ):
        at = local_us(local.date(), local.time(), timezone)
        if at > last:
            last = at
            yield at


def times_until(cron: str, timezone: str, until_us: int) -> Iterator[int]:
    """Yield the cron times at or before an instant, in descending order, in microseconds."""
    last = until_us + 1
    for local in _local_times(cron, _latest_shown(until_us, timezone) + _MINUTE, reverse=True):
        at = local_us(local.date(), local.time(), timezone)
        if at < last:
            last = at
            yield at


def _latest_shown(at_us: int, timezone: str) -> datetime:
    """Return the latest local time so far: later than the current one if clocks were set back.

    It considers the last 24 hours.
    """
    now, before = from_us(at_us, timezone), from_us(at_us - _DAY_US, timezone)
    set_back = (before.utcoffset() or timedelta()) - (now.utcoffset() or timedelta())
    return now.replace(tzinfo=None) + max(set_back, timedelta())


def _local_times(cron: str, start: datetime, *, reverse: bool) -> Iterator[datetime]:
    """Yield the expression's local times without regard to changes of offset."""
    from cronsim import CronSim

    try:
        yield from CronSim(cron, start, reverse=reverse)
    except (OverflowError, ValueError):
        return


# Days on which no data is due: dates declared by the project, or a calendar of the `holidays`
# package.

_DAY = timedelta(days=1)
_SATURDAY = 5
_HOLIDAYS_HINT = "a market, a country or a part of one, such as NYSE, US or US-NY"


class DaysOff(Value, kw_only=True):
    """Days on which no data is due: `dates` in ISO format, or a calendar's holidays and weekends.

    `named` is the name of a calendar of the `holidays` package.
    """

    dates: frozenset[str] = frozenset()
    named: str | None = None

    @property
    def none(self) -> bool:
        """True if there are no days off."""
        return not self.dates and self.named is None

    def __contains__(self, day: object) -> bool:
        """Return whether a day in ISO format is off."""
        return isinstance(day, str) and (
            day in self.dates or (self.named is not None and self.holds(date.fromisoformat(day)))
        )

    def holds(self, day: date) -> bool:
        """Return whether a day is off."""
        if self.named is not None:
            return day.weekday() >= _SATURDAY or _holiday_test(self.named)(day)
        return day.isoformat() in self.dates

    def covers(self, key: str, grain: Grain, timezone: str) -> bool:
        """Return whether all days of an interval are off, so that nothing is due for it."""
        if self.none:
            return False
        start, end = bounds_us(key, grain, timezone)
        day, last = local_date(start, timezone), local_date(end - 1, timezone)
        while day <= last:
            if not self.holds(day):
                return False
            day += _DAY
        return True

    def count(self, first: date, last: date) -> int:
        """Return the number of days off from `first` to `last`, both included."""
        if self.named is None:
            return sum(first.isoformat() <= day <= last.isoformat() for day in self.dates)
        return sum(self.holds(first + offset * _DAY) for offset in range((last - first).days + 1))

    def declared(self) -> list[str]:
        """Return the declared calendar name or dates, to store with a promise."""
        return [self.named] if self.named is not None else sorted(self.dates)


NO_DAYS_OFF = DaysOff()


def days_off(project: Project, calendar: str | None) -> DaysOff:
    """Return the days off of a node's `calendar:`; none for an unknown calendar."""
    if calendar is None:
        return NO_DAYS_OFF
    declared = project.calendars.get(calendar)
    if declared is not None:
        return DaysOff(dates=frozenset(declared.dates))
    return DaysOff(named=calendar) if known_by_name(calendar) else NO_DAYS_OFF


def known_by_name(calendar: str) -> bool:
    """Return whether the `holidays` package has a calendar of that name.

    It may be a market (NYSE), a country (US) or a subdivision (US-NY).
    """
    try:
        _holiday_test(calendar)
    except UsageError:
        return False
    return True


def is_holiday(calendar: str, day: date) -> bool:
    """Return whether a day is a holiday (not a weekend); False for an unknown calendar."""
    return known_by_name(calendar) and _holiday_test(calendar)(day)


@functools.lru_cache(maxsize=64)
def _holiday_test(calendar: str) -> Callable[[date], bool]:
    """Return a calendar's holiday test. Raises UsageError for an unknown calendar."""
    import holidays
    from holidays.registry import EntityLoader

    country, _, part = calendar.partition("-")
    result: Any
    try:
        # `list_supported_countries` gives the same names, but imports the module of each country.
        if country in EntityLoader.get_financial_codes() and not part:
            result = holidays.financial_holidays(country)
        elif country in EntityLoader.get_country_codes():
            result = holidays.country_holidays(country, subdiv=part or None)
        else:
            raise UsageError(f"unknown calendar {calendar[:40]!r}", hint=_HOLIDAYS_HINT)
    except NotImplementedError as error:  # unknown subdivision of the country
        raise UsageError(f"unknown calendar {calendar[:40]!r}", hint=_HOLIDAYS_HINT) from error
    return functools.lru_cache(maxsize=1 << 16)(lambda day: day in result)


# Hours in which an owner gets no notifications: `22:00-07:00`, in the project's time zone.

_QUIET_HOURS = re.compile(r"(\d\d:\d\d)\s*-\s*(\d\d:\d\d)", re.ASCII)
_CLOCK = re.compile(r"(\d\d):(\d\d)", re.ASCII)


class Quiet(Value, kw_only=True):
    """Quiet hours from `begins` to `ends`, across midnight if `ends` is earlier."""

    begins: time
    ends: time

    @staticmethod
    def parse(text: str) -> Quiet:
        """Parse `22:00-07:00`. Raises UsageError if invalid."""
        match = _QUIET_HOURS.fullmatch(text.strip())
        if match is None or match[1] == match[2]:
            raise UsageError(f"{text[:40]!r} isn't a span of hours", hint="write `22:00-07:00`")
        return Quiet(begins=time_of_day(match[1]), ends=time_of_day(match[2]))

    def over_at(self, now_us: int, timezone: str) -> int:
        """Return the end of the current quiet hours; `now_us` itself outside of quiet hours."""
        local = from_us(now_us, timezone)
        clock, over = local.time().replace(tzinfo=None), self.begins > self.ends
        late = clock >= self.begins
        if not (late or clock < self.ends if over else late and clock < self.ends):
            return now_us
        return local_us(
            local.date() + (_DAY if over and late else timedelta()), self.ends, timezone
        )


def time_of_day(text: str) -> time:
    """Parse a time of day such as `07:00`. Raises UsageError if invalid."""
    match = _CLOCK.fullmatch(text.strip())
    try:
        if match is not None:
            return time(int(match[1]), int(match[2]))
    except ValueError:
        pass
    raise UsageError(f"{text[:40]!r} isn't a time of day", hint="write `07:00`")
