"""Simulates the coming days as they are and with changes, and compares what consumers get."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

import msgspec

from headrace.model.intervals import local_us
from headrace.scheduler import Graph, SchedulerCheckpoint
from headrace.slo.declared_promises import Terms
from headrace_advisor.analysis.backfilled_days import BackfilledDays, BackfillWork
from headrace_advisor.analysis.changes import Changes, changed_graph
from headrace_advisor.analysis.delivered import ConsumerInterval, Deliveries, Waited, percentile
from headrace_advisor.analysis.history import History
from headrace_advisor.analysis.intervals import Span
from headrace_advisor.analysis.sampling import Arrival, Drawn, Sample, Sampler
from headrace_advisor.analysis.virtual_days import (
    Days,
    Played,
    VirtualDays,
    published_before,
    simulated_graph,
)

PLAYED_MAX = 150_000
"""Partitions that a simulation plays at most on the production core; they take about 20 seconds."""
SAMPLES_MIN = 5
EXPLAINED_MAX = 20
"""Number of samples whose critical paths are followed."""


class Variant(NamedTuple):
    """One of the two projects that are compared: as it is, or changed."""

    graph: Graph
    workers: int
    consumers: Sequence[Terms]
    changes: Changes
    backfill: BackfillWork | None = None


class Outcome(msgspec.Struct, frozen=True):
    """When a consumer gets its intervals, in seconds after their end, and the share in time.

    `p95` is None if fewer than 95 % of the intervals are delivered at all. `kept` is from 0 to 1;
    None without intervals.
    """

    p50: float | None
    p95: float | None
    kept: float | None
    intervals: int


class Simulated(msgspec.Struct, frozen=True):
    """The result for one variant. `busy_seconds` are the workers' seconds per day.

    `waits` are mean seconds per delivery, by cause. Where a backfill is compared, `missed` are the
    intervals (consumer and interval) that each sample delivers late or not at all, and
    `backfilled_us` is when it is done in each sample, in microseconds.
    """

    consumers: dict[str, Outcome]
    waits: dict[str, dict[Waited, float]]
    busy_seconds: float
    samples: int
    missed: Sequence[frozenset[tuple[str, str]]] = ()
    backfilled_us: Sequence[int | None] = ()


class _Prepared(NamedTuple):
    variant: Variant
    days: Days
    checkpoint: SchedulerCheckpoint
    deliveries: Deliveries
    factors: Mapping[str, float]


class Simulation:
    """Simulates variants over the same samples, so that they differ only by their changes."""

    def __init__(self, history: History, graph: Graph, span: Span, seed: int) -> None:
        self._span = span
        self.sampler = Sampler(history, simulated_graph(graph), span, seed)

    def run(self, variants: Sequence[Variant], samples: int) -> list[Simulated]:
        """Return the result of each variant over at most `samples` samples."""
        begun = [item.backfill.at_us for item in variants if item.backfill is not None]
        prepared = [self._prepared(item, since_us=min(begun, default=0)) for item in variants]
        most = PLAYED_MAX // max(1, self._partitions(variants))
        samples = min(samples, max(SAMPLES_MIN, most))
        compared = any(item.backfill is not None for item in variants)
        gathered = [_Gathered(item, compared=compared) for item in prepared]
        for number in range(samples):
            sample = self.sampler.sample(number)
            for item, results in zip(prepared, gathered, strict=True):
                results.add(self._play(item, sample))
        return [results.simulated(self._span.days) for results in gathered]

    def _partitions(self, variants: Sequence[Variant]) -> int:
        days = sum(len(item.graph.nodes) for item in variants) * self._span.days
        return days + sum(item.backfill.partitions for item in variants if item.backfill)

    def _prepared(self, variant: Variant, *, since_us: int) -> _Prepared:
        graph = simulated_graph(variant.graph)
        graph = changed_graph(graph, variant.changes)
        span = self._span
        days = Days(graph, variant.workers, span.start_us, span.end_us, _losses(variant, span))
        return _Prepared(
            variant,
            days,
            published_before(graph, span.start_us, self.sampler.newest_seconds()),
            Deliveries(graph, variant.consumers, span, since_us),
            self._factors(variant),
        )

    def _factors(self, variant: Variant) -> dict[str, float]:
        """Return by which factor the durations of each node change."""
        changes, results = variant.changes, {}
        for node in variant.graph.nodes:
            factor = 1.0 / (changes.machine * changes.speeds.get(node.name, 1.0))
            ratio = self._volume_ratio(node.name, changes)
            if ratio != 1.0:
                factor *= ratio ** self.sampler.power(node.name)[0]
            results[node.name] = factor
        return results

    def _volume_ratio(self, node: str, changes: Changes) -> float:
        """Return by which factor the volume that reaches a node changes."""
        if not changes.volumes:
            return 1.0
        before = after = 0.0
        for name in self.sampler.sources_of(node):
            volume = self.sampler.usual_volume(name)
            before += volume
            after += volume * changes.volumes.get(name, 1.0)
        return after / before if before else 1.0

    def _play(self, item: _Prepared, sample: Sample) -> Played:
        draw = _scaled(sample.drawn, item.factors)
        arrivals = _delayed(sample.arrivals, item.variant.changes)
        work = item.variant.backfill
        if work is None:
            return VirtualDays(item.days, item.checkpoint, draw).play(arrivals)
        rng = random.Random(f"{self.sampler.seed} {sample.number} backfill")  # noqa: S311
        days = BackfilledDays(item.days, item.checkpoint, draw, work, item.factors, rng)
        return days.play(arrivals)


def _losses(variant: Variant, span: Span) -> tuple[int, ...]:
    """Return when a worker is lost, in microseconds."""
    at = variant.changes.lost_at
    if at is None:
        return ()
    days = range(span.first_day, span.first_day + span.days)
    return tuple(local_us(date.fromordinal(day), at, span.timezone) for day in days)


def _scaled(
    drawn: Callable[[str, str, int], Drawn], factors: Mapping[str, float]
) -> Callable[[str, str, int], Drawn]:
    if all(factor == 1.0 for factor in factors.values()):
        return drawn

    def scaled(node: str, key: str, at_us: int) -> Drawn:
        result, factor = drawn(node, key, at_us), factors.get(node, 1.0)
        return result if factor == 1.0 else result._replace(seconds=result.seconds * factor)

    return scaled


def _delayed(arrivals: Iterable[Arrival], changes: Changes) -> list[Arrival]:
    return [
        arrival._replace(at_us=arrival.at_us + changes.delays.get(arrival.source, 0))
        for arrival in arrivals
    ]


class _Gathered:
    """The results of one variant, over all samples."""

    def __init__(self, item: _Prepared, *, compared: bool) -> None:
        self._item, self._compared = item, compared
        self._missed: list[frozenset[tuple[str, str]]] = []
        self._backfilled: list[int | None] = []
        self._seconds: dict[str, list[float]] = {terms.consumer: [] for terms in _terms(item)}
        self._kept = Counter[str]()
        self._waits: dict[str, Counter[Waited]] = {}
        self._explained = Counter[str]()
        self._samples, self._busy_us = 0, 0

    def add(self, played: Played) -> None:
        self._samples += 1
        self._busy_us += played.busy_us
        missed = {
            (interval.consumer, interval.interval)
            for interval in self._item.deliveries.intervals
            if not self._add(interval, played)
        }
        if self._compared:
            self._missed.append(frozenset(missed))
            self._backfilled.append(played.backfilled_us)

    def _add(self, interval: ConsumerInterval, played: Played) -> bool:
        """Add a delivery; return whether it is in time."""
        at_us = self._item.deliveries.at_us(interval, played)
        seconds = float("inf") if at_us is None else (at_us - interval.end_us) / 1_000_000
        self._seconds[interval.consumer].append(seconds)
        in_time = at_us is not None and at_us <= interval.due_us
        self._kept[interval.consumer] += in_time
        if self._samples <= EXPLAINED_MAX and at_us is not None:
            waits = self._waits.setdefault(interval.consumer, Counter())
            waits.update(self._item.deliveries.waited(interval, played))
            self._explained[interval.consumer] += 1
        return in_time

    def simulated(self, days: int) -> Simulated:
        return Simulated(
            {name: self._outcome(name, values) for name, values in self._seconds.items()},
            {
                name: {cause: us / 1_000_000 / self._explained[name] for cause, us in waits.items()}
                for name, waits in self._waits.items()
            },
            self._busy_us / 1_000_000 / max(1, self._samples * days),
            self._samples,
            self._missed,
            self._backfilled,
        )

    def _outcome(self, name: str, values: list[float]) -> Outcome:
        if not values:
            return Outcome(None, None, None, 0)
        ordered = sorted(values)
        p50, p95 = percentile(ordered, 0.5), percentile(ordered, 0.95)
        return Outcome(
            None if p50 == float("inf") else p50,
            None if p95 == float("inf") else p95,
            self._kept[name] / len(values),
            len(values),
        )


def _terms(item: _Prepared) -> Sequence[Terms]:
    return item.variant.consumers


def next_bottleneck(simulated: Simulated) -> tuple[Waited, float] | None:
    """Return what holds deliveries up most after their sources arrived, and its share.

    The share is of the mean seconds from the last arrival to the delivery, over all consumers.
    """
    total: dict[Waited, float] = {}
    for waits in simulated.waits.values():
        for cause, seconds in waits.items():
            if cause.kind != "source":
                total[cause] = total.get(cause, 0.0) + seconds
    if not sum(total.values()):
        return None
    cause, seconds = max(total.items(), key=lambda item: (item[1], item[0]))
    return cause, seconds / sum(total.values())
