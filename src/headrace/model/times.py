"""Durations (`7d`) and times after an interval (`05:00`, `+2d 06:00`, `+3bd 09:00`, `+20m`), SEMANTICS §1."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta

from headrace.model.errors import HeadraceError, UsageError
from headrace.model.intervals import Interval
from headrace.model.nodes import Value
from headrace.model.zones import SECOND_US, from_us, local_date, local_us, to_us

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
_DAY = timedelta(days=1)


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
