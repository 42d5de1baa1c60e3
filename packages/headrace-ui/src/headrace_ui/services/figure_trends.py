"""Figures by day: of each consumer, and of owners and domains together."""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Annotated

import msgspec
from msgspec import Meta

from headrace.extension import SEE, ProjectSession, command
from headrace.model import UnknownName
from headrace.model.intervals import bounds_us, key_at_us, previous_key, to_us
from headrace.model.nodes import Grain
from headrace.services.figures import figuring_of
from headrace.slo.availability import (
    AvailabilityScore,
    AvailabilityWindow,
    percent,
    score,
    share,
    totals,
)
from headrace.slo.goodput import GoodputAttempt, by_node
from headrace.standing.figure_inputs import Figuring
from headrace_ui.responses.trends import FigureTrend, TrendRow

Values = Mapping[str, float | None]
"""Consumer, node, owner or domain → its value on one day; None without data."""
Days = Sequence[tuple[int, int]]
"""The bounds of days, oldest first; the last one ends now."""


class TrendGroup(enum.StrEnum):
    """What the values of a day are of; `each` is each consumer, or each source and asset."""

    EACH = "each"
    OWNER = "owner"
    DOMAIN = "domain"


class TrendQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How many days, and what the rows are."""

    days: Annotated[int, Meta(ge=2, le=90)] = 30
    by: TrendGroup = TrendGroup.OWNER


class _Trend(msgspec.Struct, frozen=True):
    unit: str
    meaning: str
    of_days: Callable[[Figuring, TrendGroup, Days], Sequence[Values]]


@command("figure trend", SEE, http="GET /figures/{figure}/trend figure_trend")
def figure_trend(session: ProjectSession, figure: str, query: TrendQuery) -> FigureTrend:
    """Return a figure of the last days of each consumer or node, or by owner or domain.

    Raise UnknownName for a figure that has no values by day.
    """
    trend = TRENDS.get(figure)
    if trend is None:
        known = ", ".join(TRENDS)
        raise UnknownName(f"{figure[:40]!r} has no values by day", hint=f"these have: {known}")
    now_us = to_us(session.now()) if session.store is None else session.clock.now_us()
    keys = _keys(now_us, query.days, session.timezone)
    days = [bounds_us(key, Grain.DAY, session.timezone) for key in keys]
    days[-1] = days[-1][0], now_us
    window = AvailabilityWindow(f"{query.days}d", days[0][0], now_us, session.timezone)
    values: Sequence[Values] = [{} for _ in days]
    with figuring_of(session, window, session.visible) as figuring:
        if figuring is not None:
            values = trend.of_days(figuring, query.by, days)
    names = sorted({name for day in values for name in day})
    return FigureTrend(
        figure=figure,
        by=query.by,
        unit=trend.unit,
        meaning=trend.meaning,
        days=keys,
        rows=[TrendRow(of=name, values=[day.get(name) for day in values]) for name in names],
    )


def _keys(now_us: int, number: int, timezone: str) -> list[str]:
    """Return the last days in a time zone, oldest first."""
    results = [key_at_us(now_us, Grain.DAY, timezone)]
    while len(results) < number:
        results.append(previous_key(results[-1], Grain.DAY, timezone))
    return results[::-1]


# Availability and kept promises, from the history of each consumer.


def _available(figuring: Figuring, by: TrendGroup, days: Days) -> Sequence[Values]:
    return [
        {name: _number(totals(scores).honest) for name, scores in of_day.items()}
        for of_day in _scores(figuring, by, days)
    ]


def _promised(figuring: Figuring, by: TrendGroup, days: Days) -> Sequence[Values]:
    return [
        {name: _number(percent(_share_of_promises(scores))) for name, scores in of_day.items()}
        for of_day in _scores(figuring, by, days)
    ]


def _share_of_promises(scores: Sequence[AvailabilityScore]) -> Fraction | None:
    return share(sum(item.met for item in scores), sum(item.promised for item in scores))


def _scores(
    figuring: Figuring, by: TrendGroup, days: Days
) -> Iterator[dict[str, list[AvailabilityScore]]]:
    for began, until in days:
        results: dict[str, list[AvailabilityScore]] = {}
        for past in figuring.pasts:
            group = _group(figuring, past.consumer, by)
            if group:
                results.setdefault(group, []).append(score(past, began, until))
        yield results


def _group(figuring: Figuring, name: str, by: TrendGroup) -> str:
    """Return the owner or the domain of a consumer or node, or itself; empty without one."""
    if by is TrendGroup.EACH:
        return name
    node = figuring.project.node(name)
    if node is None:
        return ""
    return node.owner if by is TrendGroup.OWNER else node.domain or ""


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


# Goodput and compute time, from attempts.


def _good(figuring: Figuring, by: TrendGroup, days: Days) -> Sequence[Values]:
    """Return the goodput of what was delivered or staged on each day.

    All attempts at a delivery count on the day of the first one, as they do together in a window.
    """
    firsts: dict[tuple[str, int], int] = {}
    for item in figuring.staged:
        if item.delivery is not None:
            at = firsts.get((item.node, item.delivery), item.at_us)
            firsts[item.node, item.delivery] = min(at, item.at_us)

    def counted_at(item: GoodputAttempt) -> int:
        return item.at_us if item.delivery is None else firsts[item.node, item.delivery]

    return [
        _least_good(figuring, by, attempts)
        for attempts in _by_day(figuring.staged, days, counted_at)
    ]


def _least_good(
    figuring: Figuring, by: TrendGroup, attempts: Sequence[GoodputAttempt]
) -> dict[str, float | None]:
    results: dict[str, float | None] = {}
    for item in by_node(attempts):
        group, number = _group(figuring, item.node, by), share(item.good, item.delivered)
        value, least = _number(percent(number)), results.get(group)
        if group and value is not None and (least is None or value < least):
            results[group] = value
    return results


def _worked(figuring: Figuring, by: TrendGroup, days: Days) -> Sequence[Values]:
    results = []
    for attempts in _by_day(figuring.staged, days, lambda item: item.at_us):
        sums: Counter[str] = Counter()
        for attempt in attempts:
            sums[_group(figuring, attempt.node, by)] += sum(attempt.work_us.values())
        results.append({name: round(us / 1e6, 3) for name, us in sums.items() if name})
    return results


def _by_day(
    attempts: Sequence[GoodputAttempt], days: Days, counted_at: Callable[[GoodputAttempt], int]
) -> Sequence[Sequence[GoodputAttempt]]:
    """Return the attempts of each day; none is before the first."""
    results: list[list[GoodputAttempt]] = [[] for _ in days]
    begins = [began for began, _ in days]
    for attempt in attempts:
        results[max(bisect_right(begins, counted_at(attempt)) - 1, 0)].append(attempt)
    return results


TRENDS: Mapping[str, _Trend] = {
    "availability": _Trend(
        "%", "honest availability; an owner or domain has that of its worst consumer", _available
    ),
    "promises": _Trend("%", "promises kept, of those that fell due on the day", _promised),
    "goodput": _Trend(
        "%",
        "good rows of those delivered or staged; an owner or domain has its worst node's",
        _good,
    ),
    "compute": _Trend("s", "compute time of attempts that ended on the day", _worked),
}
