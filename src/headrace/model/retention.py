"""`retain:`: how long the rows of a partition are kept."""

from __future__ import annotations

import re
from bisect import bisect_left
from datetime import date, timedelta

from headrace.model.errors import UsageError
from headrace.model.intervals import day_start_us, key_at_us, local_date
from headrace.model.nodes import Asset, Source, Value

YEARS_MAX = 100
MONTHS_OF_YEAR = 12
_HINT = "write a number and d, mo or y: `30d`, `13mo`, `7y`"
_TEXT = re.compile(r"(\d{1,5})(d|mo|y)", re.ASCII)
FIRST_DAY = date(1900, 1, 1)
_DAYS_MAX = YEARS_MAX * 366
_SAMPLES = tuple(date(2023, month, 28) for month in range(1, 13))
"""Days from which two retentions are compared: a month may be shorter or longer than 30 days."""
SEPARABLE = ("table", "append")
"""Materialisations whose partitions can be removed one by one."""


class Retention(Value, kw_only=True):
    """Calendar months and days, counted back from today."""

    months: int = 0
    days: int = 0

    def before(self, today: date) -> date:
        """Return the first day whose data is kept."""
        month = today.year * MONTHS_OF_YEAR + today.month - 1 - self.months
        year, month = divmod(month, MONTHS_OF_YEAR)
        if year < FIRST_DAY.year:
            return FIRST_DAY
        first = date(year, month + 1, 1)
        following = first.replace(day=28) + timedelta(days=4)
        last = (following - timedelta(days=following.day)).day
        day = first.replace(day=min(today.day, last))
        return day - timedelta(days=min(self.days, (day - FIRST_DAY).days))


def parse_retention(text: str) -> Retention:
    """Return a retention as written: `30d`, `13mo`, `7y`. Raises UsageError."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise UsageError(f"{text[:40]!r} is no retention", hint=_HINT)
    number, unit = int(match[1]), match[2]
    result = {
        "d": Retention(days=number),
        "mo": Retention(months=number),
        "y": Retention(months=number * MONTHS_OF_YEAR),
    }[unit]
    if not number or result.months > YEARS_MAX * MONTHS_OF_YEAR or result.days > _DAYS_MAX:
        raise UsageError(f"{text[:40]!r} is no retention: 1d to {YEARS_MAX}y", hint=_HINT)
    return result


def is_shortened(before: str | None, after: str | None) -> bool:
    """Return whether data may go by `after` that is kept by `before`; None keeps everything."""
    if after is None:
        return False
    if before is None:
        return True
    was, now = parse_retention(before), parse_retention(after)
    return any(now.before(day) > was.before(day) for day in _SAMPLES)


def removal_day(node: Source | Asset, key: str, now_us: int) -> date | None:
    """Return the first day, today or later, on which `retain:` ends the interval with this key.

    None if nothing ends it within 200 years.
    """
    grain = node.partition.grain
    if node.retain is None or grain is None:
        return None
    timezone, retention = node.timezone or "UTC", parse_retention(node.retain)
    today = local_date(now_us, timezone)

    def is_ended(days: int) -> bool:
        before = retention.before(today + timedelta(days=days))
        return key < key_at_us(day_start_us(before, timezone), grain, timezone)

    days = bisect_left(range(2 * _DAYS_MAX), True, key=is_ended)
    return today + timedelta(days=days) if days < 2 * _DAYS_MAX else None


def first_kept(node: Source | Asset, now_us: int) -> str | None:
    """Return the key of the first interval that is kept; None if everything is.

    An interval goes once all of it lies further back than `retain:`.
    """
    return _first_kept(node, node.retain, now_us)


def first_kept_rebuildable(asset: Asset, now_us: int) -> str | None:
    """Return the key of the first interval that `retain_rebuildable` keeps; None: it keeps all."""
    return _first_kept(asset, asset.retain_rebuildable, now_us)


def _first_kept(node: Source | Asset, retain: str | None, now_us: int) -> str | None:
    grain = node.partition.grain
    if retain is None or grain is None:
        return None
    timezone = node.timezone or "UTC"
    day = parse_retention(retain).before(local_date(now_us, timezone))
    return key_at_us(day_start_us(day, timezone), grain, timezone)
