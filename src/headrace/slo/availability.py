"""Availability figures of consumers and the sentences about them (SEMANTICS §7). Pure.

Honest availability appears next to claimed availability. Every view shows these figures and
sentences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction

import msgspec

from headrace.model.times import parse_duration
from headrace.slo.consumer_states import ConsumerState
from headrace.slo.timeline import (
    NONE,
    Moments,
    ServiceHistory,
    common,
    counted,
    length,
    moments,
    timeline,
    union,
    without,
)
from headrace.slo.times import ago, days, time_text

# Figures of a timeline: the time served, the time claimed as served, and the time lost. Percentages
# round down and lost minutes round up, so that 100.0 is never a rounded figure.

MINUTE_US = 60_000_000
GOOD = (ConsumerState.SERVED, ConsumerState.AT_RISK)


class AvailabilityScore(msgspec.Struct, frozen=True):
    """How one consumer was served over a window, in microseconds.

    `counted_us` 0: nothing was due yet, so there is no data.
    """

    consumer: str
    counted_us: int
    began_us: int | None
    """Start of the time that counts; None: nothing was due yet."""
    served_us: int
    """Served as known now, without time that relied on exceptions of anyone but the owner."""
    claimed_us: int
    """Served as known at the time."""
    corrected_us: int
    """Claimed as served, but known since to have been wrong."""
    excepted_us: int
    """Served only by an exception of somebody other than the owner."""
    unknown_us: int
    incidents: tuple[int, ...]
    """Numbers of the incidents behind `corrected_us`."""
    promised: int
    met: int

    @property
    def lost_us(self) -> int:
        """Time that counts but wasn't served."""
        return self.counted_us - self.served_us

    @property
    def honest(self) -> Fraction | None:
        """Share of the counted time that was served; None without data."""
        return share(self.served_us, self.counted_us)

    @property
    def claimed(self) -> Fraction | None:
        """Share of the counted time that was claimed as served; None without data."""
        return share(self.claimed_us, self.counted_us)


def score(past: ServiceHistory, from_us: int, until_us: int) -> AvailabilityScore:
    """Return the availability of one consumer over a window."""
    counts = counted(past, from_us, until_us)
    served, claimed = (
        moments(timeline(past, from_us, until_us, then=then), GOOD.__contains__)
        for then in (False, True)
    )
    corrected = without(claimed, served)
    excepted = common(served, past.excepted)
    promised = past.promised(from_us, until_us)
    return AvailabilityScore(
        consumer=past.consumer,
        counted_us=length(counts),
        began_us=counts[0][0] if counts else None,
        served_us=length(served) - length(excepted),
        claimed_us=length(claimed),
        corrected_us=length(corrected),
        excepted_us=length(excepted),
        unknown_us=length(common(counts, past.blind)),
        incidents=_behind(past, corrected),
        promised=len(promised),
        met=sum(duty.met_in_time for duty in promised),
    )


def _behind(past: ServiceHistory, corrected: Moments) -> tuple[int, ...]:
    """Return the incidents that made corrected spans wrong, by number."""
    named = {
        period.incident
        for period in past.wrong
        if period.incident is not None
        and common(corrected, union([(period.from_us, period.until_us)])) != NONE
    }
    return tuple(sorted(named))


def share(part: int, whole: int) -> Fraction | None:
    """Return `part / whole`; None if `whole` is zero."""
    return Fraction(part, whole) if whole else None


def worst(scores: Sequence[AvailabilityScore]) -> AvailabilityScore | None:
    """Return the score with the lowest honest availability; None if no score has data.

    Of equal scores, return the one that lost the most time.
    """
    known = [score for score in scores if score.counted_us]
    return min(
        known, key=lambda score: (score.honest, -score.lost_us, score.consumer), default=None
    )


def mean(scores: Sequence[AvailabilityScore]) -> Fraction | None:
    """Return the mean honest availability of the scores with data; None without any."""
    known = [score.honest for score in scores if score.honest is not None]
    return sum(known, Fraction()) / len(known) if known else None


class AvailabilityFigures(msgspec.Struct, frozen=True):
    """A rounded score as all views show it; scores are rounded nowhere else.

    Each figure is rounded towards the bad side: percentages down to tenths, minutes up. None:
    nothing was due yet.
    """

    honest: str | None
    claimed: str | None
    minutes: int
    """Minutes that count, from `began_us` on."""
    began_us: int | None
    lost_minutes: int
    corrected_minutes: int
    exception_minutes: int
    unknown_minutes: int
    promised: int
    met: int
    incidents: tuple[int, ...]
    lost_us: int
    """`lost_minutes` before rounding; sentences say "under a minute" for less than one."""


class AvailabilityTotals(msgspec.Struct, frozen=True):
    """The figures of several consumers together; None: nothing was due for any of them.

    Minutes are sums of each consumer's rounded minutes, so that the rows add up to the total.
    """

    honest: str | None = None
    """Availability of the consumer that was served least (`worst`)."""
    mean: str | None = None
    claimed: str | None = None
    worst: str | None = None
    began_us: int | None = None
    """Start of the time that counts for the worst consumer."""
    minutes: int = 0
    """Minutes that count for the worst consumer."""
    unknown_minutes: int = 0
    lost_minutes: int | None = None
    """Sum over all consumers."""
    lost_us: int = 0
    """The same before rounding."""
    counted_minutes: int = 0
    """Minutes that count, summed over all consumers."""
    unobserved_minutes: int = 0
    """Counted minutes in which a source of the consumer wasn't observed, summed over all."""
    promised: int = 0
    met: int = 0
    of: int = 0
    """Number of consumers with data."""


def figures(score: AvailabilityScore) -> AvailabilityFigures:
    """Return a score, rounded."""
    return AvailabilityFigures(
        honest=percent(score.honest),
        claimed=percent(score.claimed),
        minutes=minutes(score.counted_us),
        began_us=score.began_us,
        lost_minutes=minutes(score.lost_us),
        corrected_minutes=minutes(score.corrected_us),
        exception_minutes=minutes(score.excepted_us),
        unknown_minutes=minutes(score.unknown_us),
        promised=score.promised,
        met=score.met,
        incidents=score.incidents,
        lost_us=score.lost_us,
    )


def totals(scores: Sequence[AvailabilityScore]) -> AvailabilityTotals:
    """Return the figures of several consumers together, from each one's rounded figures."""
    least = worst(scores)
    if least is None:
        return AvailabilityTotals()
    rounded = [figures(score) for score in scores]
    first = figures(least)
    return AvailabilityTotals(
        honest=first.honest,
        mean=percent(mean(scores)),
        claimed=first.claimed,
        worst=least.consumer,
        began_us=first.began_us,
        minutes=first.minutes,
        unknown_minutes=first.unknown_minutes,
        lost_minutes=sum(figures.lost_minutes for figures in rounded),
        lost_us=sum(figures.lost_us for figures in rounded),
        counted_minutes=sum(figures.minutes for figures in rounded),
        unobserved_minutes=sum(figures.unknown_minutes for figures in rounded),
        promised=sum(figures.promised for figures in rounded),
        met=sum(figures.met for figures in rounded),
        of=sum(score.counted_us > 0 for score in scores),
    )


def minutes(us: int) -> int:
    """Return microseconds as minutes, rounded up."""
    return -(-us // MINUTE_US)


def percent(part: Fraction | None) -> str | None:
    """Return a share such as `93.1`; None for no data.

    It is rounded down, so that only a complete share is 100.0.
    """
    if part is None:
        return None
    tenths = part.numerator * 1000 // part.denominator
    return str((Decimal(tenths) / 10).quantize(Decimal("0.1"), rounding=ROUND_FLOOR))


NOTHING_DUE = "nothing was due yet"
NOT_KNOWN = "nothing is known to be due yet: what {} delivers first can have been due before"


class AvailabilityWindow(msgspec.Struct, frozen=True):
    """A window as requested (`30d`), its start and end, and the reader's timezone."""

    text: str
    from_us: int
    now_us: int
    timezone: str

    def spelled(self) -> str:
        """Return `30 days`, or the window as typed if it isn't whole days."""
        span = parse_duration(self.text)
        return days(span.days, "day") if span.days and not span.seconds else self.text

    def counted(self, began_us: int) -> str:
        """Return the part that counts: `30 days`, or `the 6 days since Mon 02-11 07:00`."""
        if began_us <= self.from_us:
            return self.spelled()
        since = time_text(began_us, self.now_us, self.timezone)
        return f"the {ago(self.now_us - began_us)} since {since}"


def availability(
    totals: AvailabilityTotals,
    window: AvailabilityWindow,
    *,
    removed: int = 0,
    undelivered: Sequence[str] = (),
) -> str:
    """Return the sentence about several consumers.

    For example `93.1 % of 30 days, worst of 3 consumers (mean 97.2 %); 2,040 minutes lost in
    total`, added over the consumers. The first delivery of a source that is `undelivered` can turn
    out to have been due long before.
    """
    if totals.honest is None or totals.began_us is None:
        return NOT_KNOWN.format(undelivered[0]) if undelivered else NOTHING_DUE
    text = f"{totals.honest} % of {window.counted(totals.began_us)}"
    if totals.of > 1:
        removed_clause = f", {removed} of them removed" if removed else ""
        text += f", worst of {days(totals.of, 'consumer')}{removed_clause} (mean {totals.mean} %)"
    summed = totals.lost_minutes or 0, totals.lost_us, totals.unobserved_minutes
    return f"{text}{_lost(*summed, ' in total' * (totals.of > 1))}"


def of_consumer(figures: AvailabilityFigures, window: AvailabilityWindow) -> str:
    """Return the sentence about one consumer.

    For example `93.1 % of 30 days; 27 of 30 deliveries kept; 2,040 minutes lost`.
    """
    if figures.honest is None or figures.began_us is None:
        return NOTHING_DUE
    met_clause = (
        f"; {figures.met:,} of {days(figures.promised, 'delivery')} kept"
        if figures.promised
        else ""
    )
    of = window.counted(figures.began_us)
    return (
        f"{figures.honest} % of"
        f" {of}{met_clause}{_lost(figures.lost_minutes, figures.lost_us, figures.unknown_minutes)}"
    )


def _lost(minutes: int, us: int, unobserved: int, total: str = "") -> str:
    if not minutes:
        return ""
    if us < MINUTE_US:  # most often the seconds that the work itself took
        return f"; under a minute lost{total}{', not all of it observed' if unobserved else ''}"
    unseen = f", {unobserved:,} of them unobserved" if unobserved else ""
    return f"; {days(minutes, 'minute')} lost{total}{unseen}"


def corrections(name: str, owner: str, figures: AvailabilityFigures) -> Iterator[str]:
    """Yield the corrections of a consumer's claimed availability.

    These are time that was claimed but known since to be wrong, and time that relied on exceptions
    of others than the owner.
    """
    if figures.corrected_minutes:
        named = (
            f" ({', '.join(f'INC-{number}' for number in figures.incidents)})"
            if figures.incidents
            else ""
        )
        since = f"{days(figures.corrected_minutes, 'minute')} corrected since{named}"
        yield f"{name}: {figures.claimed} % was claimed; {since}"
    if figures.exception_minutes:
        minutes = days(figures.exception_minutes, "minute")
        yield f"{name}: {minutes} by exception of others than {owner}: not served"


def uptime(percent: str | None) -> str:
    """Return the sentence about classic uptime, with what it leaves out."""
    if percent is None:
        return "no data: no run had anything due"
    return f"{percent} % of started runs succeeded; held work never starts, so it never fails"
