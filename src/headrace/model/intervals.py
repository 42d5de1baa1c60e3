"""Time partitions: intervals of the local calendar, from hours to years (SEMANTICS §1).

A partition is `[start, end)`. Its key is its local start: `2013-02-11T13:00-05:00`, `2013-02-11`,
`2013-W07`, `2013-02`, `2013-Q1` or `2013`. Hours are elapsed hours from local midnight, so a day
has 23, 24 or 25 of them, and a last one of half an hour if the zone shifts by half an hour. Days
that a zone skipped (Samoa, 2011-12-30) have no partition.

Keys of one grain and zone sort as text in time order, with one exception: the repeated hour of
zones east of Greenwich (`…T02:00+02:00` is earlier than `…T02:00+01:00`). Compare hours by
`start_us`.

All instants are integer microseconds since 1970 UTC. A local time in a DST gap means the first
instant after the gap; a repeated local time means the first of the two.
"""

from __future__ import annotations

import functools
import itertools
import re
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone

from headrace.model.errors import UsageError
from headrace.model.nodes import Grain, Value

# Conversion between local time and instants.

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
DAY_US = 24 * HOUR_US
YEAR_MIN, YEAR_MAX = 1000, 9998
"""Allowed years of keys: four digits, so that keys sort as text, with a margin at both ends."""


@functools.lru_cache(maxsize=1024)
def zone(name: str) -> zoneinfo.ZoneInfo:
    """Return the IANA time zone of that name. Raises UsageError if it doesn't exist."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(
            f"unknown time zone {name!r}", hint="an IANA name such as `America/New_York` or `UTC`"
        ) from error


def to_us(instant: datetime) -> int:
    """Convert an aware datetime to microseconds since 1970 UTC."""
    return (instant - EPOCH) // MICROSECOND


def from_us(instant_us: int, name: str) -> datetime:
    """Convert an instant to the zone's local time with a fixed offset.

    Fixed offsets make comparison and subtraction exact: Python compares two datetimes with the same
    `ZoneInfo` by local time, which is wrong across a change of offset.
    """
    local = (EPOCH + timedelta(microseconds=instant_us)).astimezone(zone(name))
    offset = local.utcoffset()
    assert offset is not None
    return local.replace(tzinfo=_fixed(offset), fold=0)


def local_date(instant_us: int, name: str) -> date:
    """Return the local date at an instant."""
    return (EPOCH + timedelta(microseconds=instant_us)).astimezone(zone(name)).date()


@functools.lru_cache(maxsize=1 << 16)
def day_start_us(day: date, name: str) -> int:
    """Return the instant at which a local day begins."""
    return local_us(day, time(), name)


def local_us(day: date, clock: time, name: str) -> int:
    """Return the instant of a local date and time of day."""
    tz = zone(name)
    first = datetime.combine(day, clock, tzinfo=tz)
    before, after = _offset(first), _offset(first.replace(fold=1))
    if after > before:  # in a DST gap
        naive_us = _naive_us(first)
        return _transition_us(naive_us - after // MICROSECOND, naive_us - before // MICROSECOND, tz)
    return _naive_us(first) - before // MICROSECOND


def _offset(at: datetime) -> timedelta:
    offset = at.utcoffset()
    assert offset is not None
    return offset


def _naive_us(at: datetime) -> int:
    return (at.replace(tzinfo=UTC, fold=0) - EPOCH) // MICROSECOND


def _transition_us(low_us: int, high_us: int, tz: zoneinfo.ZoneInfo) -> int:
    """Return the first instant with the new offset, in whole seconds, by bisection.

    `low_us` is before the change of offset, `high_us` after it.
    """
    low, high = low_us // SECOND_US, -(-high_us // SECOND_US)
    old = _offset_at(low, tz)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset_at(middle, tz) == old:
            low = middle
        else:
            high = middle
    return high * SECOND_US


def _offset_at(second: int, tz: zoneinfo.ZoneInfo) -> timedelta:
    return _offset((EPOCH + timedelta(seconds=second)).astimezone(tz))


@functools.lru_cache(maxsize=256)
def _fixed(offset: timedelta) -> timezone:
    return timezone(offset)


# Keys of time partitions, their intervals, and the keys before and after them.

GRAINS = tuple(Grain)
"""Finest first."""
_DAY = timedelta(days=1)
KEYS_CACHED = 1 << 16


class Interval(Value, kw_only=True):
    """`[start, end)` as aware datetimes with the zone's offset at each instant."""

    start: datetime
    end: datetime


_SHAPES = {
    Grain.HOUR: re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?[+-]\d\d:\d\d(:\d\d)?"),
    Grain.DAY: re.compile(r"\d{4}-\d\d-\d\d"),
    Grain.WEEK: re.compile(r"\d{4}-W\d\d"),
    Grain.MONTH: re.compile(r"\d{4}-\d\d"),
    Grain.QUARTER: re.compile(r"\d{4}-Q[1-4]"),
    Grain.YEAR: re.compile(r"\d{4}"),
}
_EXAMPLES = {
    Grain.HOUR: "2013-02-11T13:00-05:00", Grain.DAY: "2013-02-11", Grain.WEEK: "2013-W07",
    Grain.MONTH: "2013-02", Grain.QUARTER: "2013-Q1", Grain.YEAR: "2013",
}  # fmt: skip


@functools.lru_cache(maxsize=KEYS_CACHED)
def interval_of(key: str, grain: Grain, timezone: str) -> Interval:
    """Return the interval of a partition. Raises UsageError for an invalid key."""
    start_us, end_us = bounds_us(key, grain, timezone)
    return Interval(start=from_us(start_us, timezone), end=from_us(end_us, timezone))


@functools.lru_cache(maxsize=KEYS_CACHED)
def bounds_us(key: str, grain: Grain, timezone: str) -> tuple[int, int]:
    """Return a partition's start and end in microseconds. Raises UsageError for an invalid key."""
    if grain is Grain.HOUR:
        return _hour_bounds(key, timezone)
    first = _first_day(key, grain)
    start, end = day_start_us(first, timezone), day_start_us(_following(first, grain), timezone)
    if start == end:
        raise UsageError(
            f"{key} doesn't exist in {timezone}", hint="the zone's calendar skipped that day"
        )
    return start, end


def start_us(key: str, grain: Grain, timezone: str) -> int:
    """Return a partition's start in microseconds since 1970 UTC; sort keys by it."""
    return bounds_us(key, grain, timezone)[0]


def key_at(instant: datetime, grain: Grain, timezone: str) -> str:
    """Return the key of the partition that contains an instant (an aware datetime).

    Raises UsageError as `key_at_us` does.
    """
    return key_at_us(to_us(instant), grain, timezone)


def key_at_us(instant_us: int, grain: Grain, timezone: str) -> str:
    """Return the key of the partition that contains an instant, in microseconds since 1970 UTC.

    Raises UsageError for a year outside the supported range.
    """
    if grain is Grain.HOUR and (hour := _steady_hour(instant_us, timezone)) is not None:
        return hour[1]
    day = _day_at(instant_us, timezone)
    if grain is not Grain.HOUR:
        return key_of_date(day, grain)
    _refuse_year(day)
    midnight = day_start_us(day, timezone)
    return _hour_key(midnight + (instant_us - midnight) // HOUR_US * HOUR_US, timezone)


def key_of_date(day: date, grain: Grain) -> str:
    """Return the key of the partition that contains a date.

    Raises UsageError for the grain `hour`, because a date contains many hours, and for a year
    outside the supported range.
    """
    _refuse_year(day)
    match grain:
        case Grain.DAY:
            return day.isoformat()
        case Grain.MONTH:
            return f"{day.year}-{day.month:02}"
        case Grain.WEEK:
            year, week, _ = day.isocalendar()
            return f"{year}-W{week:02}"
        case Grain.QUARTER:
            return f"{day.year}-Q{(day.month + 2) // 3}"
        case Grain.YEAR:
            return f"{day.year}"
        case Grain.HOUR:
            raise UsageError("a date isn't an hour", hint=f"write for example {_EXAMPLES[grain]}")


def _refuse_year(day: date) -> None:
    if not YEAR_MIN <= day.year <= YEAR_MAX:
        raise UsageError(f"{day} is out of range", hint=f"years {YEAR_MIN} to {YEAR_MAX}")


@functools.lru_cache(maxsize=KEYS_CACHED)
def next_key(key: str, grain: Grain, timezone: str) -> str:
    """Return the key of the next partition."""
    return key_at_us(bounds_us(key, grain, timezone)[1], grain, timezone)


@functools.lru_cache(maxsize=KEYS_CACHED)
def previous_key(key: str, grain: Grain, timezone: str) -> str:
    """Return the key of the previous partition."""
    return key_at_us(bounds_us(key, grain, timezone)[0] - 1, grain, timezone)


def keys_between(first: str, last: str, grain: Grain, timezone: str) -> Iterator[str]:
    """Yield the keys from `first` to `last`, both included; none if `first` is later."""
    end_us = start_us(last, grain, timezone)
    key = first
    while start_us(key, grain, timezone) <= end_us:
        yield key
        if key == last:
            return
        key = next_key(key, grain, timezone)


def parse_key(text: str, grain: Grain, timezone: str) -> str:
    """Return a typed key in its canonical form. Raises UsageError with an example if invalid.

    Surrounding blanks are dropped. Hours may have seconds, `Z`, another offset, or no offset if the
    local time is unambiguous.
    """
    key = text.strip()
    if grain is Grain.HOUR:
        key = _hour_as_typed(key, timezone)
    bounds_us(key, grain, timezone)
    return key


_WITHOUT_ZERO = re.compile(r"-([1-9])(?!\d)", re.ASCII)


def _refuse(key: str, grain: Grain, why: str = "") -> UsageError:
    text = f"{key[:40]!r} isn't a partition of grain {grain}{why}"
    several = "; give each key by itself, with the option again" if "," in key else ""
    padded = _WITHOUT_ZERO.sub(r"-0\1", key)
    if padded != key and _SHAPES[grain].fullmatch(padded):
        return UsageError(text, hint=f"did you mean {padded}?")
    return UsageError(text, hint=f"write it like {_EXAMPLES[grain]}{several}")


def _first_day(key: str, grain: Grain) -> date:
    """Return the first day of a partition of one or more days."""
    if not key.isascii() or not _SHAPES[grain].fullmatch(key):
        raise _refuse(key, grain)
    try:
        day = _day_of(key, grain)
    except ValueError as error:
        raise _refuse(key, grain, f" ({error})") from error
    if not YEAR_MIN <= day.year <= YEAR_MAX:
        raise _refuse(key, grain, f" (years {YEAR_MIN} to {YEAR_MAX})")
    return day


def _day_of(key: str, grain: Grain) -> date:
    match grain:
        case Grain.WEEK:
            return date.fromisocalendar(int(key[:4]), int(key[6:]), 1)
        case Grain.MONTH:
            return date(int(key[:4]), int(key[5:]), 1)
        case Grain.QUARTER:
            return date(int(key[:4]), int(key[6:]) * 3 - 2, 1)
        case Grain.YEAR:
            return date(int(key), 1, 1)
        case _:
            return date.fromisoformat(key)


def _following(first: date, grain: Grain) -> date:
    """Return the first day of the next partition."""
    match grain:
        case Grain.WEEK:
            return first + 7 * _DAY
        case Grain.MONTH:
            return _month_later(first, 1)
        case Grain.QUARTER:
            return _month_later(first, 3)
        case Grain.YEAR:
            return first.replace(year=first.year + 1)
        case _:
            return first + _DAY


def _month_later(first: date, months: int) -> date:
    month = first.month - 1 + months
    return date(first.year + month // 12, month % 12 + 1, 1)


def _day_at(instant_us: int, timezone: str) -> date:
    """Return the local day whose interval contains the instant.

    It is the local date, except if clocks are set back across midnight: then the later day has
    already begun.
    """
    day = local_date(instant_us, timezone)
    while instant_us >= day_start_us(day + _DAY, timezone):
        day += _DAY
    while instant_us < day_start_us(day, timezone):
        day -= _DAY
    return day


def _hour_key(hour_us: int, timezone: str) -> str:
    local = from_us(hour_us, timezone)
    return local.isoformat(timespec="seconds" if local.second else "minutes")


def _hour_bounds(key: str, timezone: str) -> tuple[int, int]:
    steady_us = steady_hour_us(key, timezone)
    if steady_us is not None:
        return steady_us, steady_us + HOUR_US
    hour_us = _hour_instant(key)
    day = _day_at(hour_us, timezone)
    midnight, end = day_start_us(day, timezone), day_start_us(day + _DAY, timezone)
    if (hour_us - midnight) % HOUR_US or _hour_key(hour_us, timezone) != key:
        expected = key_at_us(hour_us, Grain.HOUR, timezone)
        raise _refuse(key, Grain.HOUR, f" in {timezone} (that instant is in {expected})")
    return hour_us, min(hour_us + HOUR_US, end)


def steady_hour_us(key: str, timezone: str) -> int | None:
    """Return the start of an hour in microseconds; None near a change of the zone's offset, and
    for an invalid key.

    It is `bounds_us` for many keys: the calendar is asked once for all hours of a day.
    """
    midnight_us, hour = _steady_midnight_us(key[:11], key[13:], timezone), _HOURS.get(key[11:13])
    return None if midnight_us is None or hour is None else midnight_us + hour * HOUR_US


def offset_is_steady(instant_us: int, timezone: str) -> bool:
    """Return whether the zone's offset is the same for at least a day before and after an instant.

    False may also mean that the instant is near the ends of the supported range.
    """
    return _steady_offset(instant_us // DAY_US, timezone) is not None


_HOURS = {f"{hour:02}": hour for hour in range(24)}


@functools.lru_cache(maxsize=KEYS_CACHED)
def _steady_midnight_us(before: str, after: str, timezone: str) -> int | None:
    """Return the start of a local day, given the text before and after the hour in its keys."""
    key = f"{before}00{after}"
    try:
        midnight_us = _hour_instant(key)
    except UsageError:
        return None
    return midnight_us if _steady_hour(midnight_us, timezone) == (midnight_us, key) else None


def _steady_hour(instant_us: int, timezone: str) -> tuple[int, str] | None:
    """Return the start and the key of the hour that contains an instant, without a calendar.

    None near a change of the zone's offset, and near the ends of the supported range.
    """
    steady = _steady_offset(instant_us // DAY_US, timezone)
    if steady is None:
        return None
    offset_us, text = steady
    local_hour = (instant_us + offset_us) // HOUR_US
    day, hour = divmod(local_hour, 24)
    return local_hour * HOUR_US - offset_us, f"{_day_text(day)}T{hour:02}:00{text}"


@functools.lru_cache(maxsize=KEYS_CACHED)
def _steady_offset(utc_day: int, timezone: str) -> tuple[int, str] | None:
    """Return the zone's offset in microseconds and as text, if it is the same from the day before
    a day (counted from 1970, in UTC) until the day after.

    Two changes of a zone's offset can't hide between both ends: tzdata has none within 95 hours.
    """
    if not _STEADY_DAY_MIN < utc_day < _STEADY_DAY_MAX:
        return None
    first, last = (
        (EPOCH + day * _DAY).astimezone(zone(timezone)) for day in (utc_day - 1, utc_day + 2)
    )
    offset = _offset(first)
    if offset != _offset(last):
        return None
    return offset // MICROSECOND, first.isoformat()[len("1970-01-01T00:00:00") :]


_STEADY_DAY_MIN = (date(YEAR_MIN, 1, 3) - EPOCH.date()).days
_STEADY_DAY_MAX = (date(YEAR_MAX, 12, 29) - EPOCH.date()).days


@functools.lru_cache(maxsize=KEYS_CACHED)
def _day_text(day: int) -> str:
    """Return the date of a day counted from 1970."""
    return (EPOCH.date() + day * _DAY).isoformat()


_CLOCKS_FROM = 2020
"""Zones that gave up summer time before that year aren't warned of."""
_CLOCKS_UNTIL = 2038
"""Time zone files list changes until 2037; later ones follow the same rule."""


@functools.cache
def clocks_go_back(timezone: str) -> bool:
    """Return whether the zone has summer time, so that an hour of each year comes twice."""
    months = (
        datetime(year, month, 1, tzinfo=UTC)
        for year in range(_CLOCKS_FROM, _CLOCKS_UNTIL)
        for month in range(1, 13)
    )
    offsets = [_offset(month.astimezone(zone(timezone))) for month in months]
    return any(later < earlier for earlier, later in itertools.pairwise(offsets))


def _hour_instant(key: str) -> int:
    if not key.isascii() or not _SHAPES[Grain.HOUR].fullmatch(key):
        raise _refuse(key, Grain.HOUR)
    try:
        at = datetime.fromisoformat(key)
    except ValueError as error:
        raise _refuse(key, Grain.HOUR, f" ({error})") from error
    if not YEAR_MIN <= at.year <= YEAR_MAX:
        raise _refuse(key, Grain.HOUR, f" (years {YEAR_MIN} to {YEAR_MAX})")
    return to_us(at)


def _local_hour_us(text: str, at: datetime, timezone: str) -> int:
    """Return the instant of a local hour. Raises UsageError if it is skipped or ambiguous."""
    first = local_us(at.date(), at.time(), timezone)
    wall_time = from_us(first, timezone).replace(tzinfo=None)
    if len(text) <= len("2013-02-11"):
        reason, written = "it is a whole day", [key_at_us(first, Grain.HOUR, timezone)]
    elif wall_time != at:
        reason = f"in {timezone} the clock jumps over it"
        written = [key_at_us(first, Grain.HOUR, timezone)]
    elif from_us(first + HOUR_US, timezone).replace(tzinfo=None) == at:
        reason = f"in {timezone} the clock shows it twice"
        written = [key_at_us(item, Grain.HOUR, timezone) for item in (first, first + HOUR_US)]
    else:
        return first
    raise UsageError(
        f"{text[:40]!r} isn't a partition of grain {Grain.HOUR} ({reason})",
        hint=f"write {' or '.join(written)}",
    )


def _hour_as_typed(text: str, timezone: str) -> str:
    """Return the key of an hour written with seconds, `Z`, another offset, or no offset."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise _refuse(text, Grain.HOUR) from error
    if not YEAR_MIN <= at.year <= YEAR_MAX:
        raise _refuse(text, Grain.HOUR)
    hour_us = to_us(at) if at.tzinfo is not None else _local_hour_us(text, at, timezone)
    key = key_at_us(hour_us, Grain.HOUR, timezone)
    if start_us(key, Grain.HOUR, timezone) != hour_us:
        raise _refuse(text, Grain.HOUR, f" in {timezone} (that instant is in {key})")
    return key
