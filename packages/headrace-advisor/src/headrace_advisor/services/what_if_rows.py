"""Rows and sentences of an answer of `what-if`: deadlines, deliveries and what is left out."""

from __future__ import annotations

from collections.abc import Collection

from headrace.model import Grain
from headrace.model.times import Duration, Offset, Unit, duration
from headrace.slo.availability import percent
from headrace.slo.declared_promises import Terms
from headrace_advisor.analysis.backtest import Backtest
from headrace_advisor.analysis.history import BACKFILL, CATCHING_UP, HELD, INITIAL
from headrace_advisor.analysis.simulation import Outcome, Simulated, next_bottleneck
from headrace_advisor.responses.what_if import BacktestRow, DeliveredRow, NextBottleneckRow
from headrace_advisor.services.what_if_keep import fraction

LEFT_OUT = {
    BACKFILL: ("computation by a backfill", "computations by backfills"),
    HELD: (
        "partition that waited for a decision or another delivery",
        "partitions that waited for a decision or another delivery",
    ),
    CATCHING_UP: (
        "delivery found, or partition computed, unusually long after its interval",
        "deliveries found, and partitions computed, unusually long after their intervals",
    ),
    INITIAL: (
        "delivery that was there when its source was observed for the first time",
        "deliveries that were there when their source was observed for the first time",
    ),
}
"""What is left out of the past, by reason: of one, of several."""
SAME_SECONDS = 1.0
"""Differences below this count as none."""
_DAY_SECONDS = 86_400
_GRAIN_SECONDS = {Grain.HOUR: 3_600, Grain.DAY: _DAY_SECONDS}


def delivered(terms: Terms | None, simulated: Simulated | None) -> DeliveredRow | None:
    """Return when a consumer gets its intervals; None for one that isn't declared."""
    if terms is None:
        return None
    if simulated is None:
        return DeliveredRow()
    outcome: Outcome = simulated.consumers[terms.consumer]
    in_time = None if outcome.kept is None else fraction(outcome.kept)
    return DeliveredRow(
        p50=outcome.p50,
        p95=outcome.p95,
        kept=percent(in_time),
        p50_at=_clock(terms, outcome.p50),
        p95_at=_clock(terms, outcome.p95),
    )


def due_text(terms: Terms) -> str:
    """Return a deadline as deliveries are written: a time of day, or a time after the interval.

    A number of business days stays as it is declared.
    """
    if terms.max_age is None:
        due = terms.due or "+0s"
        offset = Offset.parse(due)
        if offset.unit is not Unit.ELAPSED:
            return due
        seconds = offset.seconds
    else:
        # an interval is due when the one before it, which ended as it began, becomes too old
        age, length = Duration.parse(terms.max_age), _GRAIN_SECONDS.get(terms.per)
        if length is None or (age.days * _DAY_SECONDS + age.seconds) < length:
            return f"at most {terms.max_age} old"
        seconds = age.days * _DAY_SECONDS + age.seconds - length
    return _clock(terms, seconds) or f"{duration(seconds * 1_000_000)} after its interval"


def _clock(terms: Terms, seconds: float | None) -> str | None:
    """Return seconds after the end of an interval as a time of day; None for hourly intervals.

    On days on which clocks change, the time of day is an hour off.
    """
    if seconds is None or terms.per is Grain.HOUR:
        return None
    days, rest = divmod(int(seconds), _DAY_SECONDS)
    clock = f"{rest // 3600:02}:{rest % 3600 // 60:02}"
    return f"+{days + 1}d {clock}" if days else clock


def consumer_text(
    terms: Terms, now: DeliveredRow | None, then: DeliveredRow, *, known: bool, predictable: bool
) -> str:
    """Return in words what changes for a consumer; without a `known` past, that nothing is."""
    name = terms.consumer
    in_time = _in_time_words(now, then, predictable)
    if then.kept is None and known:
        return f"{name}: none of its intervals ends in the simulated days"
    if then.kept is None:
        return f"{name}: nothing can be simulated"
    if then.p50 is None:
        return f"{name}: fewer than half of its intervals are delivered; {in_time}"
    if now is None or now.p50 is None:
        return f"{name}: delivered {_at(then)} in the typical case; {in_time}"
    difference = then.p50 - now.p50
    if abs(difference) < SAME_SECONDS and _same(now.p95, then.p95) and now.kept == then.kept:
        return f"{name}: no difference"
    if abs(difference) < SAME_SECONDS:
        when = f"{_at(then)} in the typical case as before"
    else:
        how = "later" if difference > 0 else "earlier"
        when = (
            f"{duration(abs(round(difference * 1_000_000)))} {how} in the typical case"
            f" ({_at(now)} → {_at(then)})"
        )
    return f"{name}: {when}; {in_time}"


def _same(before: float | None, after: float | None) -> bool:
    return before == after or (
        before is not None and after is not None and abs(before - after) < SAME_SECONDS
    )


def _at(row: DeliveredRow) -> str:
    if row.p50_at is not None:
        return row.p50_at
    return f"{duration(round((row.p50 or 0.0) * 1_000_000))} after its interval"


def _in_time_words(now: DeliveredRow | None, then: DeliveredRow, predictable: bool) -> str:
    if not predictable:
        return "in time: not predictable"
    if now is None or now.kept is None:
        return f"in time {then.kept} %"
    if now.kept == then.kept:
        return f"in time {then.kept} %, as before"
    return f"in time {now.kept} % → {then.kept} %"


def bottleneck_row(sources: Collection[str], after: Simulated) -> NextBottleneckRow | None:
    """Return what holds deliveries up most after their sources arrived; None if nothing does."""
    bottleneck = next_bottleneck(after)
    if bottleneck is None:
        return None
    cause, share = bottleneck
    part = f"{share * 100:.1f}"
    kind = "source" if cause.kind == "asset" and cause.name in sources else cause.kind
    what = {
        "source": f"ingesting {cause.name}",
        "asset": f"{cause.name} itself",
        "pool": f"waiting for the pool {cause.name}",
        "workers": "waiting for a free worker",
    }[kind]
    return NextBottleneckRow(
        kind=kind,
        name=cause.name,
        percent=part,
        text=f"{what}: {part} % of the time from arrival to delivery",
    )


def backtest_row(tested: Backtest | None) -> BacktestRow | None:
    """Return how good forecasts of past days would have been; None if they weren't tested."""
    if tested is None:
        return None
    naive = tested.naive_error
    return BacktestRow(
        median_error=f"{tested.median_error * 100:.1f}",
        naive_error=None if naive is None else f"{naive * 100:.1f}",
        coverage80=f"{tested.coverage.share * 100:.1f}",
        deliveries=tested.coverage.deliveries,
        days=tested.days,
        predictable=tested.coverage.is_predictable,
    )


def left_out_words(reason: str, count: int) -> str:
    """Return what was left out of the past for a reason, with its number."""
    words = LEFT_OUT[reason]
    return f"{count:,} {words[0] if count == 1 else words[1]}"
