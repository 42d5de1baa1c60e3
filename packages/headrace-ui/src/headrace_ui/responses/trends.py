"""The responses of trends: figures by day, and the scores of a source by week."""

from __future__ import annotations

from datetime import datetime

from headrace.extension import Response


class TrendRow(Response, frozen=True, kw_only=True):
    """A figure of a consumer, an owner or a domain by day; null for days without data."""

    of: str
    values: list[float | None]


class FigureTrend(Response, frozen=True, kw_only=True):
    """A figure of the last days, the oldest first; the last day isn't over.

    `unit` is `%` or `s`. `meaning` says what a value of an owner or a domain is.
    """

    figure: str
    by: str
    unit: str
    meaning: str
    days: list[str]
    rows: list[TrendRow]


class SourceScoresPoint(Response, frozen=True, kw_only=True):
    """The scores of `SourceScoreRow` over the window that ends with a day; null without enough
    deliveries, and, except for the last point, where retention has removed a part of the window."""

    date: str
    stability: float | None
    quality: float | None


class SourceScoresResponse(Response, frozen=True, kw_only=True):
    """The scores of a source by week, oldest first; the last window ends now. `timezone` is that of
    the days. With fewer than `deliveries_min` deliveries in a window there is no score."""

    now: datetime
    source: str
    window: str
    timezone: str
    deliveries_min: int
    points: list[SourceScoresPoint]
