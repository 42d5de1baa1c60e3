"""Times as people read them: in one zone, with a date whenever it isn't today."""

from __future__ import annotations

import re
from datetime import date, datetime, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

from headrace.model.durations import duration

_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class TimeFormatter(NamedTuple):
    """Where a reader's clock stands, and in which zone: what is needed to write a time for them."""

    now: datetime
    zone: tzinfo
    zone_name: str
    replay: bool

    @classmethod
    def at(cls, now: datetime, timezone: str, *, replay: bool, utc: bool = False) -> TimeFormatter:
        """A reader in the project's zone, or in UTC."""
        name = "UTC" if utc else timezone
        zone = ZoneInfo(name)
        return cls(now.astimezone(zone), zone, name, replay)

    def clock(self) -> str:
        """`Thu 2013-02-14 07:20 America/New_York (replay clock)`."""
        text = " (replay clock)" if self.replay else ""
        return f"{self.now:%a %Y-%m-%d %H:%M} {self.zone_name}{text}"

    def moment(self, at: datetime | None) -> str:
        """`07:00` today, `Tue 02-12 07:00` this year, `2012-12-31 07:00` before; nothing for None."""
        if at is None:
            return ""
        local = at.astimezone(self.zone)
        return f"{self._day(local.date())} {local:%H:%M}".lstrip()

    def second(self, at: datetime) -> str:
        """As `moment`, to the second."""
        local = at.astimezone(self.zone)
        return f"{self._day(local.date())} {local:%H:%M:%S}".lstrip()

    def partition(self, key: str | None) -> str:
        """A day's key with its weekday (`Sun 02-10`), any other as it is; `–` for none."""
        if key is None:
            return "–"
        if not _DAY.fullmatch(key):
            return key
        try:
            day = date.fromisoformat(key)
        except ValueError:
            return key
        return f"{day:%a %m-%d}" if day.year == self.now.year else f"{day:%a %Y-%m-%d}"

    def _day(self, day: date) -> str:
        if day == self.now.date():
            return ""
        return f"{day:%a %m-%d}" if day.year == self.now.year else f"{day:%Y-%m-%d}"


def seconds(value: float | None) -> str:
    """A duration as documents have it; nothing for None."""
    return "" if value is None else duration(round(value * 1_000_000))
