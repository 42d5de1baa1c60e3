"""Hours in which somebody isn't written to: `22:00-07:00`, by the wall clock of the project's zone."""

from __future__ import annotations

import re
from datetime import time, timedelta

from headrace.model.errors import UsageError
from headrace.model.nodes import Value
from headrace.model.zones import from_us, local_us

_HOURS = re.compile(r"(\d\d:\d\d)\s*-\s*(\d\d:\d\d)", re.ASCII)
_CLOCK = re.compile(r"(\d\d):(\d\d)", re.ASCII)
_DAY = timedelta(days=1)


class Quiet(Value, kw_only=True):
    """From one time of day to another; over midnight where the second is the earlier one."""

    begins: time
    ends: time

    @staticmethod
    def parse(text: str) -> Quiet:
        """`22:00-07:00`; UsageError otherwise."""
        match = _HOURS.fullmatch(text.strip())
        if match is None or match[1] == match[2]:
            raise UsageError(f"{text[:40]!r} isn't a span of hours", hint="write `22:00-07:00`")
        return Quiet(begins=time_of_day(match[1]), ends=time_of_day(match[2]))

    def over_at(self, now_us: int, timezone: str) -> int:
        """When the quiet hours that hold now are over; `now_us` itself outside of them."""
        local = from_us(now_us, timezone)
        clock, over = local.time().replace(tzinfo=None), self.begins > self.ends
        late = clock >= self.begins
        if not (late or clock < self.ends if over else late and clock < self.ends):
            return now_us
        return local_us(local.date() + (_DAY if over and late else timedelta()), self.ends, timezone)


def time_of_day(text: str) -> time:
    """`07:00`; UsageError otherwise."""
    match = _CLOCK.fullmatch(text.strip())
    try:
        if match is not None:
            return time(int(match[1]), int(match[2]))
    except ValueError:
        pass
    raise UsageError(f"{text[:40]!r} isn't a time of day", hint="write `07:00`")
