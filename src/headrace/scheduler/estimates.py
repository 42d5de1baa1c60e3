"""Estimates of how long work takes, from past attempts and simulation (SEMANTICS §6). Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from headrace.model.wording import few
from headrace.scheduler.attempts import usual_per_attempt
from headrace.scheduler.capacity import AttemptGroup, fitted, weighted_median
from headrace.scheduler.events import Sizes, Target
from headrace.scheduler.graph import Graph, GraphNode
from headrace.scheduler.work_estimates import (
    WorkEstimate,
    graph_of,
    kept_of,
    run_virtually,
    work_bounds,
    work_of,
    work_until,
)

# The estimate: the core schedules as in production, and virtual workers execute. Of large work only
# a part is simulated, with batches of the real size. The rest is scaled by the time that one worker
# would need, because the intervals of a backfill are alike.

SIMULATED_MAX = 1_000
"""Maximum number of partitions that one estimate simulates; they take about 0.1 seconds."""
PHASES_MAX = 3
"""Maximum number of phases that are simulated; others are scaled from these."""
UNKNOWN_SPREAD = 1.0
"""Log standard deviation for a node that never ran: it may take nearly three times as long, or a
third."""
STRANGERS_MAX = 0.5
"""Above this share of partitions of nodes that never ran, there is no estimate."""
OTHERWISE = 0.2
"""Log standard deviation of the future against the past: other load on the machine, different
data."""
EVENED_OUT = 16
"""More attempts than this don't narrow the range: a cause that slows one down slows others, too."""
FOUR_OF_FIVE = 1.2816
"""Standard deviations on either side of the mean that cover 80 % of cases."""
_BISECTIONS = 24


class Pace(msgspec.Struct, frozen=True):
    """Duration of a node's attempts in seconds: a fixed part and a part per partition.

    `spread` is the standard deviation of the logarithm of single durations around this line.
    `count` is the number of attempts that it was learnt from.
    """

    seconds_attempt: float
    seconds_partition: float
    spread: float
    count: int

    def of(self, partitions: int) -> float:
        """Return the seconds of an attempt at a number of partitions."""
        return self.seconds_attempt + partitions * self.seconds_partition

    def usual(self, partitions: int) -> float:
        """Return the seconds per partition in a batch of this size."""
        return self.of(partitions) / partitions

    def seen(self, most: int) -> list[AttemptGroup]:
        """Return the duration of attempts at one partition and at `most` partitions."""
        return [AttemptGroup(size, self.of(size)) for size in sorted({1, most})]

    def sizes(self, most: int) -> Sizes:
        """Return the same durations in the form of a checkpoint."""
        return tuple((group.size, group.seconds) for group in self.seen(most))


class Estimate(msgspec.Struct, frozen=True):
    """An estimated duration in seconds; `low` and `high` enclose 80 % of cases.

    `basis` explains to users what the estimate is based on.
    """

    seconds: float
    low: float
    high: float
    basis: str
    simulated: float | None = None
    """Seconds before the correction by ended plans; None without a correction."""

    def less(self, seconds: float) -> Estimate:
        """Return the estimate of what remains after `seconds`, at least zero."""
        share = max(0.0, 1 - seconds / self.seconds) if self.seconds else 0.0
        return self.scaled(share, self.basis)

    def scaled(self, factor: float, basis: str) -> Estimate:
        """Return the estimate multiplied by `factor`."""
        return Estimate(self.seconds * factor, self.low * factor, self.high * factor, basis)


class PlannedWork(msgspec.Struct, frozen=True):
    """The work to estimate: consecutive phases, each with targets of several nodes.

    `partitions` holds the total number of partitions for nodes with a growing set of keys and nodes
    not partitioned by time.
    """

    phases: tuple[tuple[Target, ...], ...]
    partitions: Mapping[str, int] = {}
    publishing: float = 0.0
    """Additional seconds per partition for publishing, while all workers are idle."""
    ended: int = 0
    """Number of ended phases: they only show what the others are like."""
    done: Mapping[str, Collection[str]] = {}
    """Node → partitions of the other phases that needn't be computed any more."""


class Timed(NamedTuple):
    """An estimate, and the average number of busy workers."""

    estimate: Estimate
    workers: float


def estimate(
    graph: Graph,
    work: PlannedWork,
    paces: Mapping[str, Pace],
    slots: int,
    *,
    simulated_max: int | None = None,
) -> Estimate | None:
    """Return the duration of the work on `slots` dedicated workers.

    At most `simulated_max` partitions are simulated (default: `SIMULATED_MAX`). None without enough
    known durations.
    """
    results = estimate_with_load(graph, work, paces, slots, simulated_max=simulated_max)
    return None if results is None else results.estimate


def estimate_with_load(
    graph: Graph,
    work: PlannedWork,
    paces: Mapping[str, Pace],
    slots: int,
    *,
    simulated_max: int | None = None,
) -> Timed | None:
    """Return the result of `estimate` together with the average number of busy workers."""
    phases = _phases(graph, work)
    if not phases:
        return Timed(Estimate(0.0, 0.0, 0.0, "nothing is to be made"), 0.0)
    every = list(chain.from_iterable(phases))
    known = {planned.node.name: planned.node for planned in every if planned.node.name in paces}
    strangers = [planned for planned in every if planned.node.name not in paces]
    partitions = _partitions(every)
    if not known or _partitions(strangers) > STRANGERS_MAX * partitions:
        return None
    known_paces = {name: paces[name] for name in known}
    typical_paces = {
        planned.node.name: _typical(planned.node, known, paces) for planned in strangers
    }
    stopwatch = _Stopwatch(
        {**known_paces, **typical_paces}, graph, slots, simulated_max or SIMULATED_MAX
    )
    seconds = stopwatch.of_all(phases) + work.publishing * partitions
    deviation = _deviation(phases, paces, stopwatch)
    low, high = (
        seconds * math.exp(-FOUR_OF_FIVE * deviation),
        seconds * math.exp(FOUR_OF_FIVE * deviation),
    )
    return Timed(
        Estimate(seconds, low, high, _basis(phases, paces, stopwatch, slots)), stopwatch.workers
    )


def _phases(graph: Graph, work: PlannedWork) -> list[list[WorkEstimate]]:
    """Return the work of each remaining phase, in the order of the graph."""
    phases = [_declared_work(graph, phase) for phase in work.phases]
    counts = Counter[str]()
    for planned in chain.from_iterable(phases):
        counts[planned.node.name] += len(planned.numbers)
    results = []
    for phase in phases[work.ended :]:
        remaining = [_remaining(planned, counts, work) for planned in phase]
        remaining = [planned for planned in remaining if planned.partitions]
        if remaining:
            results.append(remaining)
    return results


def _declared_work(graph: Graph, phase: Collection[Target]) -> list[WorkEstimate]:
    """Return the work that the targets of a phase declare, in the order of the graph."""
    targets: dict[str, list[Target]] = {}
    for target in phase:
        targets.setdefault(target.node, []).append(target)
    return [work_of(node, targets[node.name]) for node in graph.nodes if node.name in targets]


def _remaining(planned: WorkEstimate, counts: Mapping[str, int], work: PlannedWork) -> WorkEstimate:
    """Return what remains of a node's work in one phase.

    A known total is spread over the node's intervals or, without intervals, over its phases.
    """
    name = planned.node.name
    total = work.partitions.get(name)
    if total is not None:
        planned = planned.with_partitions(total, counts[name])
    return planned.without(work.done.get(name, ()))


def _partitions(planned_work: Iterable[WorkEstimate]) -> int:
    return sum(planned.partitions for planned in planned_work)


def _typical(node: GraphNode, known: Mapping[str, GraphNode], paces: Mapping[str, Pace]) -> Pace:
    """Return a pace for a node that never ran: the median of known nodes of its kind, or of all.

    Sources parse files; nodes with batches are SQL, or Python if they are called for each
    partition; other nodes mostly start a process of their own.
    """
    alike = [name for name, graph_node in known.items() if _kind(graph_node) == _kind(node)]
    middles = sorted((paces[name] for name in alike or known), key=lambda pace: pace.of(1))
    middle = middles[len(middles) // 2]
    return Pace(middle.seconds_attempt, middle.seconds_partition, UNKNOWN_SPREAD, 0)


def _kind(node: GraphNode) -> tuple[bool, bool, bool]:
    return node.is_source, node.batch_max > 1, node.called_each


class _Stopwatch:
    """Times phases by simulation, and reuses the result for similar phases."""

    def __init__(
        self, paces: Mapping[str, Pace], graph: Graph, slots: int, simulated_max: int
    ) -> None:
        self._paces, self._graph, self._slots = paces, graph, slots
        self._simulated_max = simulated_max
        self.simulated = 0
        """Number of simulated partitions."""
        self._busy = self._seconds = 0.0

    def of_all(self, phases: Sequence[Sequence[WorkEstimate]]) -> float:
        """Return the seconds of phases that run one after the other."""
        likes: dict[tuple[tuple[str, int], ...], list[Sequence[WorkEstimate]]] = {}
        for planned_work in phases:
            likes.setdefault(
                tuple((planned.node.name, planned.partitions) for planned in planned_work), []
            ).append(planned_work)
        ordered = sorted(likes.values(), key=lambda like: -len(like) * self.load(like[0]))
        among = sum(self.load(like[0]) for like in ordered[:PHASES_MAX])
        timed = [
            (like, self._of(like[0], int(self._simulated_max * self.load(like[0]) / among)))
            for like in ordered[:PHASES_MAX]
        ]
        rate = sum(seconds for _, seconds in timed) / sum(self.load(like[0]) for like, _ in timed)
        rest = sum(len(like) * self.load(like[0]) for like in ordered[PHASES_MAX:])
        return sum(len(like) * seconds for like, seconds in timed) + rate * rest

    @property
    def workers(self) -> float:
        """The average number of busy workers in the simulations."""
        return self._busy / self._seconds if self._seconds else 0.0

    def load(self, planned_work: Sequence[WorkEstimate]) -> float:
        """Return the seconds that one worker would need, with the real batch sizes; never 0."""
        return sum(
            planned.partitions
            * max(1e-6, self._paces[planned.node.name].usual(self._at_once(planned)))
            for planned in planned_work
        )

    def attempts(self, planned: WorkEstimate) -> int:
        """Return the number of attempts."""
        return math.ceil(planned.partitions / self._at_once(planned))

    def _at_once(self, planned: WorkEstimate) -> int:
        most = usual_per_attempt(
            self._paces[planned.node.name].seen(planned.node.batch_max), planned.node
        )
        return max(1, min(most, math.ceil(planned.partitions / self._slots)))

    def _of(self, planned_work: Sequence[WorkEstimate], budget: int) -> float:
        """Return the seconds of a phase.

        If it exceeds `budget` partitions, only its beginning is simulated.
        """
        if _partitions(planned_work) <= budget:
            return self._played(planned_work)
        part = _beginning(planned_work, budget)
        return self._played(part) * self.load(planned_work) / self.load(part)

    def _played(self, planned_work: Sequence[WorkEstimate]) -> float:
        checkpoint = replace(
            kept_of(planned_work),
            paces={
                planned.node.name: self._paces[planned.node.name].sizes(planned.node.batch_max)
                for planned in planned_work
            },
        )
        virtual_run_result = run_virtually(
            graph_of(planned_work, self._graph), checkpoint, self._takes, self._slots
        )
        self.simulated += virtual_run_result.published
        self._busy, self._seconds = (
            self._busy + virtual_run_result.busy,
            self._seconds + virtual_run_result.seconds,
        )
        stuck = 1 - virtual_run_result.published / _partitions(planned_work)
        return virtual_run_result.seconds + stuck * self.load(planned_work) / self._slots

    def _takes(self, node: str, partitions: int) -> float:
        return self._paces[node].of(partitions)


def _beginning(planned_work: Sequence[WorkEstimate], partitions: int) -> list[WorkEstimate]:
    """Return the oldest intervals that contain at most about `partitions` partitions."""
    span = work_bounds(planned_work)
    low, high = 0.0, 1.0
    estimates = list(planned_work)
    for _ in range(_BISECTIONS):
        share = (low + high) / 2
        until_us = span[0] + int((span[1] - span[0]) * share) if span is not None else 0
        tried = [
            planned for planned in work_until(planned_work, until_us, share) if planned.partitions
        ]
        if _partitions(tried) > partitions:
            high = share
        else:
            low, estimates = share, tried or estimates
    return estimates


def _deviation(
    phases: Sequence[Sequence[WorkEstimate]], paces: Mapping[str, Pace], stopwatch: _Stopwatch
) -> float:
    """Return the log standard deviation of the whole.

    It combines each node's uncertainty, weighted by its share of the work, with OTHERWISE.
    """
    whole = sum(stopwatch.load(planned_work) for planned_work in phases)
    shares: dict[str, float] = {}
    attempts: dict[str, int] = {}
    for planned in chain.from_iterable(phases):
        shares[planned.node.name] = (
            shares.get(planned.node.name, 0.0) + stopwatch.load([planned]) / whole
        )
        attempts[planned.node.name] = attempts.get(planned.node.name, 0) + stopwatch.attempts(
            planned
        )
    unknown = (
        (share * _unknown(paces.get(name), attempts[name])) ** 2 for name, share in shares.items()
    )
    return math.sqrt(OTHERWISE**2 + sum(unknown))


def _unknown(pace: Pace | None, attempts: int) -> float:
    """Return the log standard deviation of the sum of `attempts` attempts.

    Random differences average out over many attempts; common causes don't.
    """
    if pace is None or not pace.count:
        return UNKNOWN_SPREAD
    return (pace.spread + OTHERWISE) / math.sqrt(pace.count) + pace.spread / math.sqrt(
        min(EVENED_OUT, max(1, attempts))
    )


def _basis(
    phases: Sequence[Sequence[WorkEstimate]],
    paces: Mapping[str, Pace],
    stopwatch: _Stopwatch,
    slots: int,
) -> str:
    every = list(chain.from_iterable(phases))
    names = {planned.node.name: None for planned in every}
    attempts = sum(paces[name].count for name in names if name in paces)
    strangers = [name for name in names if name not in paces]
    changed = [name for name in names if name in paces and not paces[name].count]
    partitions = _partitions(every)
    measured = f"{attempts:,} attempt{'s' * (attempts != 1)}"
    clauses = [
        (
            f"simulated on {slots} worker{'s' * (slots != 1)} with what"
            f" {measured if attempts else 'attempts of earlier code'} took"
        )
    ]
    if stopwatch.simulated < partitions:
        clauses.append(
            f"{stopwatch.simulated:,} of {partitions:,} partitions simulated, the rest scaled"
        )
    if strangers:
        clauses.append(
            f"{few(strangers, 3)} never ran and {_are(strangers)} taken to be like the others"
        )
    if changed:
        clauses.append(
            f"{few(changed, 3)} never ran with this code and {_are(changed)} taken to be as before"
        )
    return "; ".join(clauses)


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


# Durations of past attempts as a pace: seconds per attempt and per partition.

_DEVIATIONS_PER_MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""

Sample = tuple[int, float]
"""(number of partitions, seconds) of one attempt."""


def batch_pace(samples: Sequence[Sample]) -> Pace | None:
    """Return the pace of a node that computes partitions in batches; None without attempts.

    Medians make it robust against outliers.
    """
    if not samples:
        return None
    return _with_spread(*fitted(_middles(samples)), samples)


def single_pace(samples: Sequence[Sample]) -> Pace | None:
    """Return the pace of a node that computes partitions one by one; None without attempts.

    Deliveries in one file are ingested by one attempt, and count per partition.
    """
    if not samples:
        return None
    return _with_spread(
        0.0, weighted_median((seconds / size, size) for size, seconds in samples), samples
    )


def _with_spread(attempt: float, each: float, samples: Sequence[Sample]) -> Pace:
    pace = Pace(attempt, each, 0.0, len(samples))
    away = (
        abs(math.log(max(seconds, 1e-6) / max(pace.of(size), 1e-6))) for size, seconds in samples
    )
    return Pace(
        attempt,
        each,
        _DEVIATIONS_PER_MAD * weighted_median((item, 1) for item in away),
        len(samples),
    )


def _middles(samples: Sequence[Sample]) -> list[AttemptGroup]:
    """Return the median duration of each size, with the number of attempts."""
    sizes: dict[int, list[float]] = {}
    for size, seconds in samples:
        sizes.setdefault(size, []).append(seconds)
    return [
        AttemptGroup(size, weighted_median((item, 1) for item in results), len(results))
        for size, results in sorted(sizes.items())
    ]
