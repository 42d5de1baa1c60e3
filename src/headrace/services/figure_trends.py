"""Figures by day: of each consumer, and of owners and domains together."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from headrace.model import UnknownName
from headrace.model.intervals import bounds_us, key_at_us, previous_key, to_us
from headrace.model.nodes import Grain
from headrace.services.figure_inputs import Figuring
from headrace.services.figures import figuring_of
from headrace.services.permissions import authorised
from headrace.services.responses.figures import FigureTrend, TrendRow
from headrace.services.session import ProjectSession
from headrace.slo.availability import (
    AvailabilityScore,
    AvailabilityWindow,
    percent,
    score,
    share,
    totals,
)
from headrace.slo.goodput import GoodputAttempt, by_node

Values = Mapping[str, float | None]
"""Consumer, node, owner or domain → its value on one day; None without data."""


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
    of_day: Callable[[Figuring, TrendGroup, int, int], Values]


@authorised
def figure_trend(session: ProjectSession, figure: str, query: TrendQuery) -> FigureTrend:
    """Return a figure of the last days of each consumer or node, or by owner or domain.

    Raise UnknownName for a figure that has no values by day.
    """
    trend = TRENDS.get(figure)
    if trend is None:
        known = ", ".join(TRENDS)
        raise UnknownName(f"{figure[:40]!r} has no values by day", hint=f"these have: {known}")
    now_us = to_us(session.now()) if session.store is None else session.clock.now_us()
    days = _days(now_us, query.days, session.timezone)
    window = AvailabilityWindow(f"{query.days}d", days[0][1], now_us, session.timezone)
    with figuring_of(session, window, session.visible) as figuring:
        values = [
            {} if figuring is None else trend.of_day(figuring, query.by, began, min(until, now_us))
            for _, began, until in days
        ]
    names = sorted({name for day in values for name in day})
    return FigureTrend(
        figure=figure,
        by=query.by,
        unit=trend.unit,
        meaning=trend.meaning,
        days=[key for key, _, _ in days],
        rows=[TrendRow(of=name, values=[day.get(name) for day in values]) for name in names],
    )


def _days(now_us: int, number: int, timezone: str) -> Sequence[tuple[str, int, int]]:
    """Return the last days in a time zone, oldest first, each with its bounds."""
    results, key = [], key_at_us(now_us, Grain.DAY, timezone)
    for _ in range(number):
        results.append((key, *bounds_us(key, Grain.DAY, timezone)))
        key = previous_key(key, Grain.DAY, timezone)
    return results[::-1]


# Availability and kept promises, from the history of each consumer.


def _available(figuring: Figuring, by: TrendGroup, began: int, until: int) -> Values:
    scores = _scores(figuring, by, began, until).items()
    return {name: _number(totals(of_group).honest) for name, of_group in scores}


def _promised(figuring: Figuring, by: TrendGroup, began: int, until: int) -> Values:
    sums = {
        name: (sum(item.met for item in of_group), sum(item.promised for item in of_group))
        for name, of_group in _scores(figuring, by, began, until).items()
    }
    return {name: _number(percent(share(met, all_))) for name, (met, all_) in sums.items()}


def _scores(
    figuring: Figuring, by: TrendGroup, began: int, until: int
) -> dict[str, list[AvailabilityScore]]:
    results: dict[str, list[AvailabilityScore]] = {}
    for past in figuring.pasts:
        group = _group(figuring, past.consumer, by)
        if group:
            results.setdefault(group, []).append(score(past, began, until))
    return results


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


# Goodput and compute time, from the attempts that ended on the day.


def _good(figuring: Figuring, by: TrendGroup, began: int, until: int) -> Values:
    results: dict[str, float | None] = {}
    for item in by_node(_ended(figuring, began, until)):
        group, value = _group(figuring, item.node, by), share(item.good, item.delivered)
        number = _number(percent(value))
        least = results.get(group)
        if group and number is not None and (least is None or number < least):
            results[group] = number
    return results


def _worked(figuring: Figuring, by: TrendGroup, began: int, until: int) -> Values:
    results: Counter[str] = Counter()
    for attempt in _ended(figuring, began, until):
        results[_group(figuring, attempt.node, by)] += sum(attempt.work_us.values())
    return {name: round(us / 1e6, 3) for name, us in results.items() if name}


def _ended(figuring: Figuring, began: int, until: int) -> Sequence[GoodputAttempt]:
    return [item for item in figuring.staged if began <= item.at_us < until]


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
