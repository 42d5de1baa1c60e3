"""Points in time and durations as they appear in clauses.

Times are in the project's timezone, with the date unless it is today.
"""

from __future__ import annotations

from headrace.model.intervals import from_us
from headrace.model.times import duration

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def time_text(at_us: int, now_us: int, timezone: str) -> str:
    """Return `04:40` today, else `Tue 02-12 04:40`, in another year `Tue 2013-02-12 04:40`."""
    at, now = from_us(at_us, timezone), from_us(now_us, timezone)
    if at.date() == now.date():
        return f"{at:%H:%M}"
    weekday = _WEEKDAYS[at.weekday()]
    return (
        f"{weekday} {at:%m-%d %H:%M}" if at.year == now.year else f"{weekday} {at:%Y-%m-%d %H:%M}"
    )


def dated(at_us: int, timezone: str) -> str:
    """Return `Tue 2013-02-12 04:40`: always with the date, since the text may be read later."""
    at = from_us(at_us, timezone)
    return f"{_WEEKDAYS[at.weekday()]} {at:%Y-%m-%d %H:%M}"


def arrived(claimed_us: int, arrived_us: int, observed_us: int, timezone: str) -> str:
    """Return when a delivery arrived, such as `at Tue 2013-02-12 04:40`.

    If the file claims a time at which an observation didn't find it, return `between` the time of
    that observation and the time of the one that found it.
    """
    first, last = dated(arrived_us, timezone), dated(observed_us, timezone)
    known = arrived_us <= claimed_us or first == last
    return f"at {first}" if known else f"between {first} and {last}"


def ago(microseconds: int) -> str:
    """Return a duration as text; negative ones become zero, since vendors' clocks may be ahead."""
    return duration(max(0, microseconds))


def days(count: int, unit: str) -> str:
    """Return a count with its unit: `1 day`, `3 days`, `2 deliveries`."""
    if count == 1:
        return f"{count:,} {unit}"
    return f"{count:,} {unit[:-1]}ies" if unit.endswith("ry") else f"{count:,} {unit}s"
