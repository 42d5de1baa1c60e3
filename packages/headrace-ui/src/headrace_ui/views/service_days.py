"""How one consumer was served on each day, from the same timeline as its availability. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from headrace.model.intervals import day_start_us, local_date
from headrace.slo.availability import GOOD
from headrace.slo.consumer_states import ConsumerState
from headrace.slo.timeline import (
    Moments,
    ServiceHistory,
    ServicePeriod,
    common,
    length,
    moments,
    timeline,
    without,
)

EXCEPTED = "excepted"
"""State of time that was served only by an exception of somebody other than the owner."""
WORST_FIRST = (
    ConsumerState.WRONG.value,
    ConsumerState.NEVER.value,
    ConsumerState.LATE.value,
    ConsumerState.UNKNOWN.value,
    EXCEPTED,
    ConsumerState.SERVED.value,
)
"""States of days; a day has the first of these that any part of it has."""


class Day(NamedTuple):
    """A local day from its first moment until the next day, in microseconds; today until now."""

    date: date
    from_us: int
    until_us: int


class ServiceDay(NamedTuple):
    """How a consumer was served on a day: state → microseconds, without what doesn't count."""

    date: date
    times: Mapping[str, int]

    @property
    def state(self) -> str | None:
        """The worst state of the day; None if nothing was promised or due yet."""
        return next((state for state in WORST_FIRST if state in self.times), None)

    @property
    def lost_us(self) -> int:
        """The time that counts and wasn't served, as in honest availability."""
        return sum(us for state, us in self.times.items() if state != ConsumerState.SERVED)


def days_until(now_us: int, count: int, timezone: str) -> list[Day]:
    """Return the last `count` local days, the oldest first; the last is today until now.

    Days that a time zone skipped are left out.
    """
    today = local_date(now_us, timezone)
    dates = [today - timedelta(days=back) for back in range(count - 1, -1, -1)]
    days = []
    for day in dates:
        began = day_start_us(day, timezone)
        ended = min(day_start_us(day + timedelta(days=1), timezone), now_us)
        if began < ended:
            days.append(Day(day, began, ended))
    return days


def service_days(past: ServiceHistory, days: Sequence[Day]) -> list[ServiceDay]:
    """Return how a consumer was served on each of these days, as known now."""
    if not days:
        return []
    periods = timeline(past, days[0].from_us, days[-1].until_us)
    by_state = dict(_by_state(past, periods))
    return [
        ServiceDay(
            day.date,
            {
                state: us
                for state, spans in by_state.items()
                if (us := length(common(spans, ((day.from_us, day.until_us),))))
            },
        )
        for day in days
    ]


def _by_state(
    past: ServiceHistory, periods: Sequence[ServicePeriod]
) -> Iterator[tuple[str, Moments]]:
    served = moments(periods, lambda state: state in GOOD)
    yield ConsumerState.SERVED.value, without(served, past.excepted)
    yield EXCEPTED, common(served, past.excepted)
    for bad in {period.state for period in periods} - set(GOOD):
        yield bad.value, moments(periods, bad.__eq__)
