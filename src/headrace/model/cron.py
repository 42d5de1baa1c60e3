"""Cron expressions of five fields, by the clock on the wall of a zone.

Each local time comes once: one that a change of clocks jumps over comes at the first instant after it, one that the clock shows twice
comes the first time. All instants are integer microseconds since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from headrace.model.errors import UsageError
from headrace.model.other_tools import CRON
from headrace.model.zones import from_us, local_us

CHARACTERS_MAX = 200
_HINT = "minute, hour, day of month, month, day of week: `0 6 * * 1-5`"
_DAY_US = 86_400_000_000
_MINUTE = timedelta(minutes=1)


def check_cron(expression: str) -> None:
    """UsageError for what isn't a cron expression of five fields, or never comes."""
    from cronsim import CronSim, CronSimError

    if expression.strip().lower() in CRON:
        raise UsageError(f"{expression[:40]!r} doesn't have five fields", hint=f"write `{CRON[expression.strip().lower()]}`")
    if len(expression) > CHARACTERS_MAX or len(expression.split()) != 5:
        raise UsageError(f"{expression[:40]!r} doesn't have five fields", hint=_HINT)
    try:
        next(CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise UsageError(f"{expression[:40]!r} isn't a cron expression ({error})", hint=_HINT) from error
    except StopIteration:
        raise UsageError(f"{expression[:40]!r} never comes", hint=_HINT) from None


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
