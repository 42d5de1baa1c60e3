"""The sentences about how consumers were served over a window: all views show these. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headrace.model.times import parse_duration
from headrace.observe.availability.score import MINUTE_US, AvailabilityFigures, AvailabilityTotals
from headrace.observe.wording import ago, days, moment

NOTHING_DUE = "nothing was due yet"


class AvailabilityWindow(msgspec.Struct, frozen=True):
    """A window as it was asked for (`30d`), from when until when it is, and the reader's zone."""

    text: str
    from_us: int
    now_us: int
    timezone: str

    def spelled(self) -> str:
        """`30 days`; what isn't whole days as it was typed."""
        span = parse_duration(self.text)
        return days(span.days, "day") if span.days and not span.seconds else self.text

    def counted(self, began_us: int) -> str:
        """The part of it that counts: `30 days`, or `the 6 days since Mon 02-11 07:00`."""
        if began_us <= self.from_us:
            return self.spelled()
        since = moment(began_us, self.now_us, self.timezone)
        return f"the {ago(self.now_us - began_us)} since {since}"


def availability(totals: AvailabilityTotals, window: AvailabilityWindow, *, removed: int = 0) -> str:
    """`93.1 % of 30 days, worst of 3 consumers (mean 97.2 %); 2,040 minutes lost`."""
    if totals.honest is None or totals.began_us is None:
        return NOTHING_DUE
    text = f"{totals.honest} % of {window.counted(totals.began_us)}"
    if totals.of > 1:
        gone = f", {removed} of them removed" if removed else ""
        text += f", worst of {days(totals.of, 'consumer')}{gone} (mean {totals.mean} %)"
    return f"{text}{_lost(totals.lost_minutes or 0, totals.lost_us, totals.unobserved_minutes)}"


def of_consumer(figures: AvailabilityFigures, window: AvailabilityWindow) -> str:
    """`93.1 % of 30 days; 27 of 30 deliveries kept; 2,040 minutes lost`."""
    if figures.honest is None or figures.began_us is None:
        return NOTHING_DUE
    kept = f"; {figures.kept:,} of {days(figures.promised, 'delivery')} kept" if figures.promised else ""
    of = window.counted(figures.began_us)
    return f"{figures.honest} % of {of}{kept}{_lost(figures.lost_minutes, figures.lost_us, figures.unknown_minutes)}"


def _lost(minutes: int, us: int, unobserved: int) -> str:
    if not minutes:
        return ""
    if us < MINUTE_US:  # most often the seconds that the work itself took
        return f"; under a minute lost{', not all of it observed' if unobserved else ''}"
    unseen = f", {unobserved:,} of them unobserved" if unobserved else ""
    return f"; {days(minutes, 'minute')} lost{unseen}"


def corrections(name: str, owner: str, figures: AvailabilityFigures) -> Iterator[str]:
    """What was claimed of a consumer, where that was more, and what stands on others' exceptions."""
    if figures.corrected_minutes:
        named = f" ({', '.join(f'INC-{number}' for number in figures.incidents)})" if figures.incidents else ""
        since = f"{days(figures.corrected_minutes, 'minute')} corrected since{named}"
        yield f"{name}: {figures.claimed} % was claimed; {since}"
    if figures.exception_minutes:
        minutes = days(figures.exception_minutes, "minute")
        yield f"{name}: {minutes} by exception of others than {owner}: not served"


def uptime(percent: str | None) -> str:
    """Classic uptime, and what it leaves out."""
    if percent is None:
        return "no data: no run had anything due"
    return f"{percent} % of started runs succeeded; held work never starts, so it never fails"
