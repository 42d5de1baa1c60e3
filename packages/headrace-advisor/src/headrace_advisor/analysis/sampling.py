"""Samples of the coming days, drawn from whole days of the past.

All nodes of a simulated day take their durations from the same past day, so what was slow together
is slow together. They take arrivals and volumes from one of the same weekday.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from headrace.model.intervals import day_start_us, local_date
from headrace.model.partitions import delivery_key
from headrace.model.times import Offset
from headrace.scheduler import Graph, GraphNode
from headrace.scheduler.dependencies import network_of
from headrace_advisor.analysis.durations import DurationModel, duration_model
from headrace_advisor.analysis.history import FailedTry, History, NodePast, PastArrival
from headrace_advisor.analysis.intervals import Span, day_and_slot, expected_arrivals

HALF_LIFE_DAYS = 21.0
"""A past day of this age is drawn half as often as yesterday."""
SAME_WEEKDAY_MIN = 3
"""Number of past days of the same weekday from which only these are drawn."""
COMPLETE_SHARE = 0.5
"""A past day counts if this share of the usual number of partitions is known of it."""
ARRIVAL_JITTER_US = 60_000_000
UNKNOWN_SECONDS = 1.0
"""Duration of a partition in a project in which nothing has run."""
UNKNOWN_SPREAD = 1.0
"""Log standard deviation of the durations of a node that never ran."""


class Arrival(NamedTuple):
    """A delivery at a source in a simulated day, at a time in microseconds."""

    at_us: int
    source: str
    key: str


class Drawn(NamedTuple):
    """The duration of a partition in seconds, and the attempts that fail before it."""

    seconds: float
    failed: tuple[FailedTry, ...]


class _NodeDraws:
    """What is drawn for one node."""

    def __init__(self, node: GraphNode, past: NodePast, model: DurationModel | None) -> None:
        self.node, self.past, self.model = node, past, model
        self.of_day: dict[tuple[int, str], int] = {}
        self.of_slot: dict[str, list[int]] = {}
        for index, item in enumerate(past.computations):
            self.of_day[item.day, item.slot] = index
            self.of_slot.setdefault(item.slot, []).append(index)
        self.arrivals_of_day: dict[int, list[PastArrival]] = {}
        for arrival in past.arrivals:
            self.arrivals_of_day.setdefault(arrival.day, []).append(arrival)


class _PastDays:
    """Past days, oldest first, of which newer ones are drawn more often."""

    def __init__(self, days: Sequence[int]) -> None:
        self.days = days
        weights = (0.5 ** ((days[-1] - past) / HALF_LIFE_DAYS) for past in days)
        self._cumulated = list(itertools.accumulate(weights))

    def draw(self, rng: random.Random) -> int | None:
        return rng.choices(self.days, cum_weights=self._cumulated)[0] if self.days else None


class Sampler:
    """Draws samples of the days of a span. The same seed gives the same samples."""

    def __init__(self, history: History, graph: Graph, span: Span, seed: int) -> None:
        self.history, self.graph, self.span, self.seed = history, graph, span, seed
        self.nodes = {node.name: node for node in graph.nodes}
        self._network = network_of(graph)
        self.volumes = delivered_volumes(history, graph)
        """Node → day → the volume that its sources delivered."""
        self.draws: dict[str, _NodeDraws] = {}
        for node in graph.nodes:
            past = history.nodes.get(node.name, NodePast())
            model = duration_model(past.computations, self.volumes[node.name])
            self.draws[node.name] = _NodeDraws(node, past, model)
        self.typical_seconds = self._typical_seconds()
        days = _complete_days(history)
        self._past_days = _PastDays(days)
        delivered = sorted({*days, *self._overdue_days()})
        self._weekdays = [_PastDays([day for day in delivered if day % 7 == n]) for n in range(7)]
        self._delivered_days = _PastDays(delivered)
        self._places: dict[tuple[str, str], tuple[int, str]] = {}
        self.expected = {
            node.name: list(expected_arrivals(node, span)) for node in graph.nodes if node.is_source
        }

    def _overdue_days(self) -> Iterable[int]:
        """Yield the days of deliveries that kept all work of these days waiting."""
        for draws in self.draws.values():
            yield from (item.day for item in draws.past.arrivals if item.overdue)

    def _typical_seconds(self) -> float:
        medians = [
            statistics.median(item.seconds for item in draws.past.computations)
            for draws in self.draws.values()
            if draws.past.computations
        ]
        return statistics.median(medians) if medians else UNKNOWN_SECONDS

    def sample(self, number: int, volumes: Mapping[str, float] | None = None) -> Sample:
        """Return one sample.

        `volumes` maps nodes to the volume that reaches them, where that is known.
        """
        rng = random.Random(f"{self.seed} {number}")  # noqa: S311 - a simulation
        return Sample(self, number, rng, volumes or {})

    def past_day(self, rng: random.Random) -> int | None:
        """Draw the past day whose durations a simulated day has; None if nothing is known."""
        return self._past_days.draw(rng)

    def same_weekday(self, day: int, rng: random.Random) -> int | None:
        """Draw the past day whose arrivals and volumes a simulated day has, of its weekday."""
        same = self._weekdays[day % 7]
        return (same if len(same.days) >= SAME_WEEKDAY_MIN else self._delivered_days).draw(rng)

    def place(self, node: str, key: str) -> tuple[int, str]:
        """Return the day and the slot of a partition with an interval."""
        place = self._places.get((node, key))
        if place is None:
            place = day_and_slot(self.nodes[node], key, self.span.start_us, self.span.timezone)
            self._places[node, key] = place
        return place

    def newest_seconds(self) -> dict[str, float]:
        """Return the seconds of each node's newest computation, of those that have one."""
        return {
            name: draws.past.computations[-1].seconds
            for name, draws in self.draws.items()
            if draws.past.computations
        }

    def sources_of(self, node: str) -> frozenset[str]:
        """Return the sources upstream of a node, or the node itself if it is one."""
        above = {node, *self._network.ancestors(self.nodes[node])}
        return frozenset(name for name in above if self.nodes[name].is_source)

    def usual_volume(self, source: str) -> float:
        """Return the median volume of a source's deliveries; 1 if none is known."""
        volumes = [item.volume for item in self.draws[source].past.arrivals if item.volume]
        return statistics.median(volumes) if volumes else 1.0

    def power(self, node: str) -> tuple[float, bool]:
        """Return by which power a node's durations grow with the volume, and if it was measured."""
        model = self.draws[node].model
        return (1.0, False) if model is None else (model.power, model.known_power)


class Sample:
    """One sample: the arrivals of all sources, and the duration of each partition."""

    def __init__(
        self, sampler: Sampler, number: int, rng: random.Random, volumes: Mapping[str, float]
    ) -> None:
        self.number = number
        self._sampler, self._rng, self._volumes = sampler, rng, volumes
        first, days = sampler.span.first_day, sampler.span.days
        # An interval may be computed on the day after its end, or later.
        every = range(first, first + days)
        self._past = {day: sampler.past_day(rng) for day in every}
        self._same = {day: sampler.same_weekday(day, rng) for day in every}
        self._chance = rng.random()
        self._deviations: dict[str, float] = {}
        self.arrivals = [arrival for name in sampler.expected for arrival in self._arrivals(name)]
        self._drawn: dict[tuple[str, str, int], Drawn] = {}

    def _arrivals(self, source: str) -> Iterable[Arrival]:
        draws, rng = self._sampler.draws[source], self._rng
        node = draws.node
        if node.partition.grain is None:
            yield from self._recurring(draws)
            return
        for key, end_us, day, slot in self._sampler.expected[source]:
            known = self._past_arrival(draws, day, slot)
            if known is None:
                yield Arrival(_promised_us(node, end_us), source, key)
                continue
            jitter = rng.gauss(0, min(ARRIVAL_JITTER_US, known.offset_us / 20))
            yield Arrival(end_us + max(0, known.offset_us + int(jitter)), source, key)

    def _past_arrival(self, draws: _NodeDraws, day: int, slot: str) -> PastArrival | None:
        """Return the arrival of the past day that a day resembles, or any; None without any."""
        past = self._same.get(day)
        for item in draws.arrivals_of_day.get(-1 if past is None else past, ()):
            if item.slot == slot:
                return item
        return self._rng.choice(draws.past.arrivals) if draws.past.arrivals else None

    def _recurring(self, draws: _NodeDraws) -> Iterable[Arrival]:
        number = 1
        for day, past in self._same.items():
            began = day_start_us(date.fromordinal(day), self._sampler.span.timezone)
            for item in draws.arrivals_of_day.get(-1 if past is None else past, ()):
                number += 1
                key = delivery_key(number) if draws.node.partition.by_delivery else item.key
                yield Arrival(began + item.offset_us, draws.node.name, key)

    def drawn(self, node: str, key: str, at_us: int) -> Drawn:
        """Return the duration of a partition that is ready at a time (microseconds)."""
        sampler = self._sampler
        if sampler.nodes[node].partition.grain is None:
            day = local_date(at_us, sampler.span.timezone).toordinal()
            slot = key
        else:
            day, slot = sampler.place(node, key)
        drawn = self._drawn.get((node, key, day))
        if drawn is None:
            drawn = self._drawn[node, key, day] = self._draw(sampler.draws[node], day, slot)
        return drawn

    def _draw(self, draws: _NodeDraws, day: int, slot: str) -> Drawn:
        rng, model = self._rng, draws.model
        if model is None:
            typical = self._sampler.typical_seconds
            return Drawn(typical * math.exp(rng.gauss(0, UNKNOWN_SPREAD)), ())
        past = self._past.get(day)
        index = None if past is None else draws.of_day.get((past, slot))
        if index is None:
            known = draws.of_slot.get(slot)
            index = rng.choice(known) if known else rng.randrange(len(draws.past.computations))
        name = draws.node.name
        deviations = self._deviations.get(name)
        if deviations is None:
            deviations = self._deviations[name] = rng.gauss(0, 1)
        logarithm = model.logarithm(index, day, self._volume(name, day))
        logarithm += model.moved(index, self._chance, deviations)
        return Drawn(math.exp(logarithm), draws.past.computations[index].failed)

    def _volume(self, node: str, day: int) -> float | None:
        """Return the volume that reaches a node for a simulated day; None if it isn't known."""
        known = self._volumes.get(node)
        if known is not None:
            return known
        same = self._same.get(day)
        return None if same is None else self._sampler.volumes[node].get(same)


def _promised_us(node: GraphNode, end_us: int) -> int:
    """Return when a delivery is due; the end of its interval without a declared time."""
    if node.expect_by is None:
        return end_us
    return Offset.parse(node.expect_by).after_us(end_us, node.timezone, node.days_off.holds)


def delivered_volumes(history: History, graph: Graph) -> dict[str, Mapping[int, float]]:
    """Return node → day → the sum of the volumes that its sources delivered for that day."""
    network = network_of(graph)
    delivered = {
        node.name: _volume_by_day(history.nodes.get(node.name, NodePast()))
        for node in graph.nodes
        if node.is_source
    }
    results: dict[str, Mapping[int, float]] = {}
    same: dict[frozenset[str], Mapping[int, float]] = {}
    for node in graph.nodes:
        sources = frozenset({node.name, *network.ancestors(node)} & delivered.keys())
        if sources not in same:
            same[sources] = _sum([delivered[name] for name in sorted(sources)])
        results[node.name] = same[sources]
    return results


def _volume_by_day(past: NodePast) -> dict[int, float]:
    results: dict[int, float] = {}
    for item in past.arrivals:
        results[item.day] = results.get(item.day, 0.0) + item.volume
    return results


def _sum(volumes: Sequence[Mapping[int, float]]) -> dict[int, float]:
    results: dict[int, float] = {}
    for of_day in volumes:
        for day, volume in of_day.items():
            results[day] = results.get(day, 0.0) + volume
    return results


def _complete_days(history: History) -> list[int]:
    """Return the past days of which most is known, oldest first."""
    counts: dict[int, int] = {}
    for past in history.nodes.values():
        for item in past.computations:
            counts[item.day] = counts.get(item.day, 0) + 1
    if not counts:
        return []
    least = COMPLETE_SHARE * statistics.median(counts.values())
    return sorted(day for day, count in counts.items() if count >= least)
