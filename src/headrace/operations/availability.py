"""The figures about the past that views show, as documents say them."""

from __future__ import annotations

from headrace.model import UsageError
from headrace.model.times import Duration
from headrace.observe.availability.score import AvailabilityFigures
from headrace.observe.availability.sentences import AvailabilityWindow, of_consumer
from headrace.operations.responses import AvailabilityRow

WINDOW = "30d"
"""Of figures about the past, where no other is asked for."""


def window_began(window: str, now_us: int, timezone: str) -> int:
    """When a window that ends now began: `30d` back by the wall clock.

    UsageError for what is no duration, or none at all.
    """
    span = Duration.parse(window)
    began = span.before_us(now_us, timezone)
    if began >= now_us:
        raise UsageError(f"--window {window}: nothing lies in it", hint="write a number and h, d or w: --window 30d")
    return began


def row_of(figures: AvailabilityFigures, window: AvailabilityWindow) -> AvailabilityRow:
    """The figures of one consumer, as documents have them."""
    return AvailabilityRow(
        honest=figures.honest,
        claimed=figures.claimed,
        minutes=figures.minutes,
        lost_minutes=figures.lost_minutes,
        corrected_minutes=figures.corrected_minutes,
        exception_minutes=figures.exception_minutes,
        unknown_minutes=figures.unknown_minutes,
        promised=figures.promised,
        kept=figures.kept,
        incidents=[f"INC-{number}" for number in figures.incidents],
        text=of_consumer(figures, window),
    )
