"""Attempts of plans have numbers of their own, so that whoever hears of one knows whose it is."""

from __future__ import annotations

from headrace.schedule import AttemptId

SPAN = 1_000_000_000
"""So many numbers belong to production, and to each plan after it."""
ERRANDS = 900_000_000
"""Of a plan's numbers those from here on are of errands: what has to be done for its publication, and is no attempt."""


def first_of(plan: int) -> int:
    """The number that a plan's own come after."""
    return plan * SPAN


def plan_of(attempt: AttemptId) -> int:
    """The plan that an attempt is of, 0 for production's."""
    return attempt.n // SPAN


def is_errand(attempt: AttemptId) -> bool:
    """Whether it is an errand of a plan."""
    return attempt.n % SPAN >= ERRANDS
