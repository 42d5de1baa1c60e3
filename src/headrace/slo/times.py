"""Points in time and durations as they appear in clauses.

A time is written in the project's zone, with its date unless it is today.
"""

from __future__ import annotations

from headrace.model.intervals import from_us
from headrace.model.times import duration

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def moment(at_us: int, now_us: int, timezone: str) -> str:
    """`04:40` today, else `Tue 02-12 04:40`, in another year `Tue 2013-02-12 04:40`."""
    at, now = from_us(at_us, timezone), from_us(now_us, timezone)
    if at.date() == now.date():
        return f"{at:%H:%M}"
    weekday = _WEEKDAYS[at.weekday()]
    return f"{weekday} {at:%m-%d %H:%M}" if at.year == now.year else f"{weekday} {at:%Y-%m-%d %H:%M}"


def dated(at_us: int, timezone: str) -> str:
    """`Tue 2013-02-12 04:40`: with its day, in a text that is read on any other."""
    at = from_us(at_us, timezone)
    return f"{_WEEKDAYS[at.weekday()]} {at:%Y-%m-%d %H:%M}"


def arrived(claimed_us: int, arrived_us: int, observed_us: int, timezone: str) -> str:
    """When a delivery arrived: `at Tue 2013-02-12 04:40`. Where the file claims a time at which an
    observation didn't find it, `between` that observation and the one that found it."""
    first, last = dated(arrived_us, timezone), dated(observed_us, timezone)
    known = arrived_us <= claimed_us or first == last
    return f"at {first}" if known else f"between {first} and {last}"


def ago(microseconds: int) -> str:
    """A length of time, at least none: clocks of vendors may be ahead."""
    return duration(max(0, microseconds))


def days(count: int, unit: str) -> str:
    """`1 day`, `3 days`, `2 deliveries`."""
    if count == 1:
        return f"{count:,} {unit}"
    return f"{count:,} {unit[:-1]}ies" if unit.endswith("ry") else f"{count:,} {unit}s"
