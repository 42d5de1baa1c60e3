"""Up to where a consumer can read: the newest of its intervals that is there. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from headrace.model.intervals import bounds_us
from headrace.observe.declared_promises import Terms
from headrace.observe.obligations import EvaluationContext, Obligation, intervals_before, met_at, needed

EMPTY_INTERVALS_MAX = 100
"""So many intervals without rows are passed over to find the newest with rows."""


def data_through(terms: Terms, obligations: Sequence[Obligation], context: EvaluationContext, now_us: int) -> str | None:
    """The newest interval that can be read. Under `max_age`, the newest with rows before any hole; a day
    off counts once it is over. Intervals of before the promise count where none that was promised can be read."""
    if not context.has_rhythm(terms):
        return None
    aged = terms.max_age is not None
    hole = (
        next((place for place, obligation in enumerate(obligations) if not obligation.settled), len(obligations))
        if aged
        else len(obligations)
    )
    for obligation in reversed(obligations[max(0, hole - EMPTY_INTERVALS_MAX) : hole] if aged else obligations):
        if obligation.met_at_us is None or (aged and not _has_rows(terms, obligation.interval, context)):
            continue
        if bounds_us(obligation.interval, terms.per, terms.timezone)[1] <= now_us or _needs_any(terms, obligation.interval, context):
            return obligation.interval
    if hole > EMPTY_INTERVALS_MAX:
        return None  # all that is looked at is empty
    return _before_all(obligations, terms, context, now_us)


def _needs_any(terms: Terms, interval: str, context: EvaluationContext) -> bool:
    """Whether an interval needs anything: no day off does."""
    return any(needed(node, terms, interval, context) != [] for node in context.known_reads(terms))


def _before_all(obligations: Sequence[Obligation], terms: Terms, context: EvaluationContext, now_us: int) -> str | None:
    """The newest that can be read of the intervals before the first obligation that is known of."""
    for interval in islice(intervals_before(obligations, terms, context, now_us), EMPTY_INTERVALS_MAX):
        there = met_at(terms, interval, context) is not None
        if there and (terms.max_age is None or _has_rows(terms, interval, context)):
            return interval
    return None


def _has_rows(terms: Terms, interval: str, context: EvaluationContext) -> bool:
    """Whether each read that is cut by time has rows in what the interval requires."""
    for node in context.known_reads(terms):
        keys = needed(node, terms, interval, context) if node.partition.grain is not None else None
        if keys and not any(context.facts.rows(node.name, key) for key in keys):
            return False
    return True
