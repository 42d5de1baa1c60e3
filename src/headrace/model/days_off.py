"""Days on which nothing is due: those that a project lists, or those of a calendar that the `holidays` package knows by name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from headrace.model.errors import UsageError
from headrace.model.intervals import bounds_us
from headrace.model.nodes import Grain, Project, Value
from headrace.model.zones import local_date

_DAY = timedelta(days=1)
_SATURDAY = 5
_HINT = "a market, a country or a part of one, such as NYSE, US or US-NY"
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
            return day.weekday() >= _SATURDAY or _named(self.named)(day)
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
        _named(calendar)
    except UsageError:
        return False
    return True


def is_holiday(calendar: str, day: date) -> bool:
    """Whether a day is a holiday of a calendar, weekends aside; False where there is no calendar of that name."""
    return known_by_name(calendar) and _named(calendar)(day)


@functools.lru_cache(maxsize=64)
def _named(calendar: str) -> Callable[[date], bool]:
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
            raise UsageError(f"unknown calendar {calendar[:40]!r}", hint=_HINT)
    except NotImplementedError as error:  # a part that the country hasn't
        raise UsageError(f"unknown calendar {calendar[:40]!r}", hint=_HINT) from error
    return functools.lru_cache(maxsize=1 << 16)(lambda day: day in result)
