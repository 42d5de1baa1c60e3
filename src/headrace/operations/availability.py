"""The figures about the past that `status` shows: honest availability next to classic uptime, over a window that ends now."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.model import UsageError
from headrace.model.times import Duration
from headrace.observe.availability.overview import Overview
from headrace.observe.availability.score import Score, mean, minutes, percent, score, share, worst
from headrace.observe.states import ConsumerStatus
from headrace.operations.documents import AvailabilityRow, RemovedRow
from headrace.store import Transaction
from headrace.store.queries import uptime, weakenings


class Standing(msgspec.Struct, frozen=True):
    """The figures of a window, as `status` has them; None: no data."""

    of: dict[str, AvailabilityRow]
    honest: str | None = None
    honest_mean: str | None = None
    worst: str | None = None
    lost: int | None = None
    claimed: str | None = None
    classic: str | None = None
    runs: int = 0
    weakened: int | None = None
    removed: list[RemovedRow] = []


def window_began(window: str, now_us: int, timezone: str) -> int:
    """When a window that ends now began: `30d` back by the wall clock. UsageError for what is no duration, or none at all."""
    span = Duration.parse(window)
    began = span.before_us(now_us, timezone)
    if began >= now_us:
        raise UsageError(f"--window {window}: nothing lies in it", hint="write a number and h, d or w: --window 30d")
    return began


def standing(
    tx: Transaction, overview: Overview, consumers: Sequence[ConsumerStatus], window: tuple[int, int], *, removed: bool
) -> Standing:
    """How these consumers, and with `removed` those that were removed meanwhile, were served over a window (from, until); and how runs
    went."""
    began, now_us = window
    gone = overview.removed() if removed else []
    scores = [score(past, began, now_us) for past in (*overview.pasts(consumers), *gone)]
    least, runs = worst(scores), uptime.started(tx, began, now_us)
    return Standing(
        of={one.consumer: row_of(one) for one in scores},
        honest=percent(least.honest) if least is not None else None,
        honest_mean=percent(mean(scores)),
        worst=least.consumer if least is not None else None,
        lost=minutes(sum(one.lost_us for one in scores)) if least is not None else None,
        claimed=percent(least.claimed) if least is not None else None,
        classic=percent(share(runs.succeeded, runs.runs)),
        runs=runs.runs,
        removed=[RemovedRow(name=past.consumer, availability=row_of(score(past, began, now_us))) for past in gone],
        weakened=weakenings.count(tx, began, now_us),
    )


def row_of(one: Score) -> AvailabilityRow:
    """A score as documents say it."""
    return AvailabilityRow(
        honest=percent(one.honest),
        claimed=percent(one.claimed),
        minutes=one.counted_us // 60_000_000,
        lost_minutes=minutes(one.lost_us),
        corrected_minutes=minutes(one.corrected_us),
        exception_minutes=minutes(one.excepted_us),
        unknown_minutes=minutes(one.unknown_us),
        promised=one.promised,
        kept=one.kept,
        incidents=[f"INC-{number}" for number in one.incidents],
    )
