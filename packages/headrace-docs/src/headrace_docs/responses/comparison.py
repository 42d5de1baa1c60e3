"""Two periods of a project side by side: what was changed between them, and whether it helped."""

from __future__ import annotations

from datetime import datetime

from headrace.extension import Response
from headrace_docs.responses.description import AppliedChange


class PeriodRow(Response, frozen=True, kw_only=True):
    """A period: as it was typed, its bounds, and the version that was applied at its end."""

    point: str
    since: datetime
    until: datetime
    version: int


class SpreadRow(Response, frozen=True, kw_only=True):
    """A figure over the days of a period: in words, and by day. Null without a day that has it."""

    text: str
    days: int
    median: float | None
    low: float | None
    high: float | None


class FigureChange(Response, frozen=True, kw_only=True):
    """A figure before and after. `verdict` is `better`, `worse`, `within the spread` or
    `too few days`: better and worse are medians outside of all days before."""

    figure: str
    unit: str
    before: SpreadRow
    after: SpreadRow
    verdict: str


class ProjectComparison(Response, frozen=True, kw_only=True):
    """`docs diff`: two periods, the files that differ, who decided, and the figures of both."""

    project: str
    env: str
    at: datetime
    reader: str
    before: PeriodRow
    after: PeriodRow
    added: list[str]
    changed: list[str]
    removed: list[str]
    decisions: list[AppliedChange] | None
    """The versions applied after the first period, newest first; null for a reader who sees only
    some nodes, as are the files then."""
    figures: list[FigureChange]
