"""The next deadlines of a consumer, and when its intervals usually are readable. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from headrace.model.intervals import bounds_us
from headrace.slo.declared_promises import Terms
from headrace.slo.obligations import EvaluationContext, Obligation, promised_from

PAST_MAX = 30
"""Number of newest deliveries from which the usual time is computed."""
PAST_MIN = 5
"""With fewer deliveries nothing is said of the next."""


def upcoming(
    terms: Terms,
    context: EvaluationContext,
    known: Sequence[Obligation],
    now_us: int,
    until_us: int,
) -> list[Obligation]:
    """Return the obligations whose deadlines are after `now_us` and until `until_us`.

    `known` are those of intervals that have begun; those of later intervals are added.
    """
    begins = context.facts.promised_at(terms.consumer)
    if begins is None:
        return []
    newest = known[-1].interval if known else None
    later = promised_from(begins, terms, context, newest, until_us)
    return [
        obligation for obligation in (*known, *later) if now_us < obligation.due_at_us <= until_us
    ]


class UsualTime(NamedTuple):
    """When an interval will be readable if all goes as usual, in microseconds.

    Eight of ten past deliveries were between `low_us` and `high_us`. None of them is before now.
    """

    at_us: int
    low_us: int
    high_us: int
    deliveries: int
    """The number of past deliveries."""


def usual_time(
    terms: Terms, interval: str, known: Sequence[Obligation], now_us: int
) -> UsualTime | None:
    """Return the usual time of an interval, from how long after their end others were readable.

    None with fewer than five past deliveries.
    """
    past = (
        (obligation.met_at_us, obligation.interval)
        for obligation in reversed(known)
        if obligation.met_at_us is not None and obligation.due_at_us <= now_us
    )
    waits = sorted(met - _end(terms, each) for met, each in islice(past, PAST_MAX))
    if len(waits) < PAST_MIN:
        return None
    end = _end(terms, interval)
    low, middle, high = (
        max(end + waits[round(share * (len(waits) - 1))], now_us) for share in (0.1, 0.5, 0.9)
    )
    return UsualTime(middle, low, high, len(waits))


def _end(terms: Terms, interval: str) -> int:
    return bounds_us(interval, terms.per, terms.timezone)[1]
