"""Local wall-clock time to instants, one zone at a time. All instants are integer microseconds since 1970 UTC.

A local time in a DST gap means the first instant after the gap; a doubled one means the first of the two (SEMANTICS §1).
"""

from __future__ import annotations

import functools
import zoneinfo
from datetime import UTC, date, datetime, time, timedelta, timezone

from headrace.model.errors import UsageError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
YEAR_MIN, YEAR_MAX = 1000, 9998
"""Years of keys: four digits, so that keys sort as text, and room for a day before and after."""


@functools.lru_cache(maxsize=1024)
def zone(name: str) -> zoneinfo.ZoneInfo:
    """The IANA zone of that name; UsageError if there is none."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(f"unknown time zone {name!r}", hint="an IANA name such as `America/New_York` or `UTC`") from error


def to_us(instant: datetime) -> int:
    """An aware datetime as microseconds since 1970 UTC."""
    return (instant - EPOCH) // MICROSECOND


def from_us(instant_us: int, name: str) -> datetime:
    """The instant as the zone's local time with a fixed offset, so that comparing and subtracting are exact.

    (Two datetimes with the same `ZoneInfo` are compared by wall clock, which is wrong across a change of offset.)
    """
    local = (EPOCH + timedelta(microseconds=instant_us)).astimezone(zone(name))
    offset = local.utcoffset()
    assert offset is not None
    return local.replace(tzinfo=_fixed(offset), fold=0)


def local_date(instant_us: int, name: str) -> date:
    """The date that the wall clock shows at that instant."""
    return (EPOCH + timedelta(microseconds=instant_us)).astimezone(zone(name)).date()


@functools.lru_cache(maxsize=1 << 16)
def day_start_us(day: date, name: str) -> int:
    """The instant at which the local day begins."""
    return local_us(day, time(), name)


def local_us(day: date, clock: time, name: str) -> int:
    """The instant of a local date and time of day."""
    tz = zone(name)
    first = datetime.combine(day, clock, tzinfo=tz)
    before, after = _offset(first), _offset(first.replace(fold=1))
    if after > before:  # in a gap, which the zone's clock jumps over
        naive_us = _naive_us(first)
        return _transition_us(naive_us - after // MICROSECOND, naive_us - before // MICROSECOND, tz)
    return _naive_us(first) - before // MICROSECOND


def _offset(moment: datetime) -> timedelta:
    offset = moment.utcoffset()
    assert offset is not None
    return offset


def _naive_us(moment: datetime) -> int:
    return (moment.replace(tzinfo=UTC, fold=0) - EPOCH) // MICROSECOND


def _transition_us(low_us: int, high_us: int, tz: zoneinfo.ZoneInfo) -> int:
    """The first instant with the new offset, between one before the change and one after it (whole seconds)."""
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
