"""Intervals of schedules in local time, as partitions in UTC.

Airflow's `{{ ds }}` is the date in UTC at which an interval begins, also for a DAG whose time zone
is another one. So the imported assets stay in UTC, and only their triggers have the time zone.
"""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

_HOUR = dt.timedelta(hours=1)
_DAY = dt.timedelta(days=1)
_ANY_YEAR = 2026


def in_utc(
    cron: str, grain: str, zone_name: str, start: dt.date | None
) -> tuple[str, dt.date | None]:
    """Return the partition in UTC of a cron schedule in a time zone, and the first one's date.

    The partition is empty if the date in UTC isn't that of one interval each: a change of clocks
    moves it, or it is the day before the week or month that begins.
    """
    zone = ZoneInfo(zone_name or "UTC")
    local = _local(start, zone) if start is not None else None
    year = local.year if local is not None else _ANY_YEAR
    if not _is_date_of_one(cron, grain, zone, [dt.date(year, m, 15) for m in range(1, 13)]):
        grain = ""
    if local is None:
        return grain, None
    if grain in ("", "hour"):
        return grain, _next_hour(local)
    return grain, _first_date(local, _clock(cron), zone)


def _clock(cron: str) -> dt.time:
    minute, hour = cron.split()[:2]
    return dt.time(int(hour), int(minute))


def _is_date_of_one(cron: str, grain: str, zone: ZoneInfo, days: list[dt.date]) -> bool:
    """Whether the date in UTC (for hours: the hour) of a partition is that of one interval."""
    if grain in ("", "hour"):
        return all(_minutes(day, zone) == 0 for day in days)
    clock = _clock(cron)
    shifts = {(_utc_date(day, clock, zone) - day).days for day in days}
    return shifts == {0} or (grain == "day" and len(shifts) == 1)


def _first_date(local: dt.datetime, clock: dt.time, zone: ZoneInfo) -> dt.date:
    """The date in UTC of the first interval that begins at or after a time."""
    first = local.date() + (_DAY if local.time() > clock else dt.timedelta(0))
    return _utc_date(first, clock, zone)


def _local(start: dt.date, zone: ZoneInfo) -> dt.datetime:
    """A `start_date` in the schedule's time zone; without a zone of its own it is in UTC."""
    if not isinstance(start, dt.datetime):
        start = dt.datetime.combine(start, dt.time(0))
    return (start if start.tzinfo is not None else start.replace(tzinfo=dt.UTC)).astimezone(zone)


def _utc_date(day: dt.date, clock: dt.time, zone: ZoneInfo) -> dt.date:
    return dt.datetime.combine(day, clock, zone).astimezone(dt.UTC).date()


def _minutes(day: dt.date, zone: ZoneInfo) -> int:
    offset = dt.datetime.combine(day, dt.time(12), zone).utcoffset() or dt.timedelta(0)
    return int(offset.total_seconds()) // 60 % 60


def _next_hour(local: dt.datetime) -> dt.datetime:
    time = local.astimezone(dt.UTC)
    whole = time.replace(minute=0, second=0, microsecond=0)
    return whole if whole == time else whole + _HOUR


def first_of(day: dt.date, grain: str) -> dt.date:
    """Return the first day of the partition that a day belongs to."""
    if grain == "week":
        return day - dt.timedelta(days=day.weekday())
    months = {"month": day.month, "quarter": 3 * ((day.month - 1) // 3) + 1, "year": 1}
    return day.replace(month=months[grain], day=1) if grain in months else day
