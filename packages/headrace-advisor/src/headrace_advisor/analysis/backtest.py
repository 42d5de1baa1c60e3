"""How good the simulation would have been on past days, with what was known then.

Only the part that Headrace controls is tested: from the arrival of the last delivery to the
publication. It is compared with the naive forecast that it takes as long as a week before.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple

import msgspec

from headrace.model.intervals import day_start_us, local_date
from headrace.scheduler import Graph
from headrace.slo.declared_promises import Terms
from headrace_advisor.analysis.delivered import ConsumerInterval, Deliveries, percentile
from headrace_advisor.analysis.history import History, NodePast
from headrace_advisor.analysis.intervals import Span
from headrace_advisor.analysis.sampling import Arrival, Sampler, delivered_volumes
from headrace_advisor.analysis.virtual_days import (
    Days,
    Passage,
    Played,
    VirtualDays,
    published_before,
    simulated_graph,
)

DAYS_MAX = 28
"""Maximum number of past days that are tested."""
PLAYED_MAX, SAMPLES = 15_000, 15
"""Partitions that a test plays at most on the production core, which take about two seconds, and
how often a day is played."""
DAYS_KNOWN_MIN = 8
"""Number of past days that must be known before a day that is tested."""
DELIVERIES_MIN = 5
"""Fewest deliveries by which forecasts are tested."""
SHORTEST_SECONDS = 1.0
"""An error counts as a share of this where a delivery took less."""
LOW, HIGH = 0.1, 0.9
CHANCE_MIN = 0.01
"""With a smaller chance, too few deliveries were within the interval, and forecasts are no help."""


class Coverage(NamedTuple):
    """How many past deliveries took as long as the 80 % interval says, to the second."""

    within: int
    deliveries: int

    @property
    def share(self) -> float:
        """The share of the deliveries within the interval, from 0."""
        return self.within / self.deliveries

    @property
    def is_predictable(self) -> bool:
        """Whether so few deliveries within the interval are chance in 1 of 100 cases or more."""
        shares = (
            math.exp(
                math.lgamma(self.deliveries + 1)
                - math.lgamma(number + 1)
                - math.lgamma(self.deliveries - number + 1)
                + number * math.log(HIGH - LOW)
                + (self.deliveries - number) * math.log(1 - HIGH + LOW)
            )
            for number in range(self.within + 1)
        )
        return sum(shares) >= CHANCE_MIN


class Backtest(msgspec.Struct, frozen=True):
    """The errors of past forecasts as shares of the real duration, from 0."""

    median_error: float
    naive_error: float | None
    coverage: Coverage
    days: int
    consumers: Mapping[str, Coverage] = {}

    def predicts(self, consumer: str) -> bool:
        """Whether forecasts of a consumer came true as often as they should.

        One with fewer than DELIVERIES_MIN deliveries is as predictable as all of them together.
        """
        coverage = self.consumers.get(consumer, self.coverage)
        few = coverage.deliveries < DELIVERIES_MIN
        return (self.coverage if few else coverage).is_predictable


_Place = tuple[str, str]
"""A consumer, and what tells its intervals of one day apart."""


class _Forecast(NamedTuple):
    low: float
    median: float
    high: float


def backtest(
    history: History, graph: Graph, consumers: Sequence[Terms], workers: int, seed: int
) -> Backtest | None:
    """Return how good forecasts of past days would have been; None with too little history."""
    tester = _Tester(history, simulated_graph(graph), consumers, workers, seed)
    return tester.result()


class _Tester:
    def __init__(
        self,
        history: History,
        graph: Graph,
        consumers: Sequence[Terms],
        workers: int,
        seed: int,
    ) -> None:
        self._history, self._graph, self._consumers = history, graph, consumers
        self._workers, self._seed = workers, seed
        days = sorted(history.days())
        today = _ordinal(history)
        self._days = [day for day in days if day < today]
        most = max(3, PLAYED_MAX // (SAMPLES * max(1, len(graph.nodes))))
        self._tested = self._days[DAYS_KNOWN_MIN:][-min(DAYS_MAX, most) :]
        self._errors: list[float] = []
        self._naive: list[float] = []
        self._within: list[tuple[str, bool]] = []
        self._past = _past_by_day(history)
        self._every_volume = delivered_volumes(history, graph)

    def result(self) -> Backtest | None:
        for day in self._tested:
            took = self._took(day)
            if took:
                self._compare(took, self._took(day - 7), self._forecasts(day))
        if len(self._errors) < DELIVERIES_MIN:
            return None
        return Backtest(
            statistics.median(self._errors),
            statistics.median(self._naive) if self._naive else None,
            _coverage(self._within),
            len(self._tested),
            {
                name: _coverage([item for item in self._within if item[0] == name])
                for name in {name for name, _ in self._within}
            },
        )

    def _compare(
        self,
        took: Mapping[_Place, float],
        week_before: Mapping[_Place, float],
        forecasts: Mapping[_Place, _Forecast],
    ) -> None:
        """Compare the forecasts of a day with what it took."""
        for place in took.keys() & forecasts.keys():
            real, forecast = took[place], forecasts[place]
            self._errors.append(_error(forecast.median, real))
            within = forecast.low - SHORTEST_SECONDS <= real <= forecast.high + SHORTEST_SECONDS
            self._within.append((place[0], within))
            if place in week_before:
                self._naive.append(_error(week_before[place], real))

    def _span(self, day: int) -> Span:
        zone = self._history.timezone
        return Span(day_start_us(date.fromordinal(day), zone), 1, zone)

    def _took(self, day: int) -> dict[_Place, float]:
        """Return the seconds from ready to delivered of each consumer's interval of a past day."""
        deliveries = Deliveries(self._graph, self._consumers, self._span(day))
        return _took(deliveries, self._past.get(day, Played({}, {}, {}, 0)))

    def _forecasts(self, day: int) -> dict[_Place, _Forecast]:
        span = self._span(day)
        known = self._history.until(span.start_us)
        sampler = Sampler(known, self._graph, span, self._seed)
        deliveries = Deliveries(self._graph, self._consumers, span)
        arrivals, volumes = self._arrivals(day), self._volumes(day)
        days = Days(self._graph, self._workers, span.start_us, span.end_us)
        checkpoint = published_before(self._graph, span.start_us, sampler.newest_seconds())
        results: dict[_Place, list[float]] = {}
        for number in range(SAMPLES):
            drawn = sampler.sample(number, volumes).drawn
            played = VirtualDays(days, checkpoint, drawn).play(arrivals)
            for place, took in _took(deliveries, played).items():
                results.setdefault(place, []).append(took)
        return {place: _forecast(sorted(values)) for place, values in results.items()}

    def _arrivals(self, day: int) -> list[Arrival]:
        """Return the deliveries of a past day as they arrived."""
        return [
            Arrival(item.observed_us, node.name, item.key)
            for node in self._graph.nodes
            for item in self._history.nodes.get(node.name, NodePast()).arrivals
            if item.day == day
        ]

    def _volumes(self, day: int) -> dict[str, float]:
        """Return the volume that reaches each node for a past day, known when it arrives."""
        return {name: of_day.get(day, 0.0) for name, of_day in self._every_volume.items()}


def _coverage(deliveries: Sequence[tuple[str, bool]]) -> Coverage:
    return Coverage(sum(within for _, within in deliveries), len(deliveries))


def _ordinal(history: History) -> int:
    return local_date(history.now_us, history.timezone).toordinal()


def _error(forecast: float, real: float) -> float:
    return abs(forecast - real) / max(SHORTEST_SECONDS, real)


def _forecast(ordered: Sequence[float]) -> _Forecast:
    return _Forecast(*(_quantile(ordered, share) for share in (LOW, 0.5, HIGH)))


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which one more value would be in a share of the cases.

    With few samples that lies farther out than `percentile`, which describes the samples alone.
    """
    place = share * (len(ordered) + 1) - 1
    return percentile(ordered, min(1.0, max(0.0, place / max(1, len(ordered) - 1))))


def _took(deliveries: Deliveries, played: Played) -> dict[_Place, float]:
    """Return the seconds from the last arrival to the delivery of each interval.

    The key is the consumer and what tells its intervals of one day apart.
    """
    results = {}
    for interval in deliveries.intervals:
        at, ready = deliveries.at_us(interval, played), deliveries.ready_us(interval, played)
        if at is not None and ready is not None and at > ready:
            results[interval.consumer, _slot(interval)] = (at - ready) / 1_000_000
    return results


def _slot(interval: ConsumerInterval) -> str:
    return interval.interval[10:]


def _past_by_day(history: History) -> dict[int, Played]:
    """Return what was published and what arrived on each past day."""
    results: dict[int, Played] = {}
    for name, past in history.nodes.items():
        for item in past.computations:
            played = results.setdefault(item.day, Played({}, {}, {}, 0))
            passage = Passage(item.began_us, item.began_us, item.published_us, "")
            played.passages.setdefault((name, item.key), passage)
            played.repeated.setdefault(name, []).append(passage)
        for arrival in past.arrivals:
            played = results.setdefault(arrival.day, Played({}, {}, {}, 0))
            played.arrived.setdefault((name, arrival.key), arrival.observed_us)
    return results
