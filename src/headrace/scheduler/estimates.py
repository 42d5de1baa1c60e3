"""Estimates of how long work takes, from past attempts and simulation (SEMANTICS §6). Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from headrace.scheduler.attempts import partitions_per_attempt
from headrace.scheduler.capacity import AttemptGroup, fitted, weighted_median
from headrace.scheduler.events import Sizes, Target
from headrace.scheduler.graph import Graph, GraphNode
from headrace.scheduler.work_estimates import WorkEstimate, graph_of, kept_of, run_virtually, work_bounds, work_of, work_until

# The estimate: the core decides as it would in production, and virtual workers carry it out. Of
# large work only a part is simulated; the rest is scaled by the time that one worker would need,
# with batches of the real size: the intervals of a backfill are alike.

SIMULATED_MAX = 1_000
"""Partitions that one estimate simulates, so that it takes about a tenth of a second."""
PHASES_MAX = 3
"""Phases that it simulates: others are scaled by these."""
UNKNOWN_SPREAD = 1.0
"""Of a node that never ran: it may as well take nearly three times as long, or a third."""
STRANGERS_MAX = 0.5
"""Where more of the partitions are of nodes that never ran, nothing is known of the whole."""
OTHERWISE = 0.2
"""What durations say of the past isn't what will be: what else the machine is at, data that differs."""
EVENED_OUT = 16
"""More attempts than these are no surer: what slows one down slows others, too."""
FOUR_OF_FIVE = 1.2816
"""Standard deviations within which four of five lie."""
_BISECTIONS = 24


class Pace(msgspec.Struct, frozen=True):
    """How long attempts at a node take, in seconds: `seconds_attempt`, and for each of its partitions `seconds_partition`. `spread` is
    by how much single attempts differ from that, as the standard deviation of the logarithm; `count` of how many that was learnt."""

    seconds_attempt: float
    seconds_partition: float
    spread: float
    count: int

    def of(self, partitions: int) -> float:
        """Seconds of an attempt at so many partitions."""
        return self.seconds_attempt + partitions * self.seconds_partition

    def usual(self, partitions: int) -> float:
        """Seconds a partition, where so many are computed at once."""
        return self.of(partitions) / partitions

    def seen(self, most: int) -> list[AttemptGroup]:
        """What attempts at one partition took, and at the most there may be."""
        return [AttemptGroup(size, self.of(size)) for size in sorted({1, most})]

    def sizes(self, most: int) -> Sizes:
        """The same, as a core keeps it."""
        return tuple((group.size, group.seconds) for group in self.seen(most))


class Estimate(msgspec.Struct, frozen=True):
    """How long something takes, in seconds; `low` and `high` are meant for four of five. `basis` says in words what that rests on."""

    seconds: float
    low: float
    high: float
    basis: str
    simulated: float | None = None
    """Seconds before they were corrected by plans that have ended; None where they weren't."""

    def less(self, seconds: float) -> Estimate:
        """So much of it is over. Nothing takes less than no time."""
        share = max(0.0, 1 - seconds / self.seconds) if self.seconds else 0.0
        return self.scaled(share, self.basis)

    def scaled(self, factor: float, basis: str) -> Estimate:
        """So many times as long, for another reason."""
        return Estimate(self.seconds * factor, self.low * factor, self.high * factor, basis)


class PlannedWork(msgspec.Struct, frozen=True):
    """What is to be made: phases that follow each other, each with targets of several nodes. `partitions` says of the nodes whose
    keys grow, or that nothing cuts by time, how many partitions that is in all."""

    phases: tuple[tuple[Target, ...], ...]
    partitions: Mapping[str, int] = {}
    publishing: float = 0.0
    """Seconds a partition that it takes besides, when no worker is at anything any more."""
    ended: int = 0
    """So many phases are over: they only tell what the others are like."""
    done: Mapping[str, Collection[str]] = {}
    """Node → partitions of the other phases that needn't be made any more."""


class Timed(NamedTuple):
    """An estimate, and how many workers are at it on average."""

    estimate: Estimate
    workers: float


def estimate(graph: Graph, work: PlannedWork, paces: Mapping[str, Pace], slots: int) -> Estimate | None:
    """How long the work takes on so many workers that do nothing else; None where nothing is known of how long any of it takes."""
    results = estimate_with_load(graph, work, paces, slots)
    return None if results is None else results.estimate


def estimate_with_load(graph: Graph, work: PlannedWork, paces: Mapping[str, Pace], slots: int) -> Timed | None:
    """`estimate`, with how busy the workers are meanwhile."""
    phases = _phases(graph, work)
    if not phases:
        return Timed(Estimate(0.0, 0.0, 0.0, "nothing is to be made"), 0.0)
    every = {planned.node.name for planned_work in phases for planned in planned_work}
    known = {planned.node.name: planned.node for planned_work in phases for planned in planned_work if planned.node.name in paces}
    strangers = sum(planned.partitions for planned_work in phases for planned in planned_work if planned.node.name not in paces)
    if not known or strangers > STRANGERS_MAX * sum(planned.partitions for planned_work in phases for planned in planned_work):
        return None
    taken = {
        planned.node.name: _typical(planned.node, known, paces)
        for planned_work in phases
        for planned in planned_work
        if planned.node.name not in paces
    }
    stopwatch = _Stopwatch({**{name: paces[name] for name in every & paces.keys()}, **taken}, graph, slots)
    seconds = stopwatch.of_all(phases) + work.publishing * sum(planned.partitions for planned_work in phases for planned in planned_work)
    deviation = _deviation(phases, paces, stopwatch)
    low, high = seconds * math.exp(-FOUR_OF_FIVE * deviation), seconds * math.exp(FOUR_OF_FIVE * deviation)
    return Timed(Estimate(seconds, low, high, _basis(phases, paces, stopwatch, slots)), stopwatch.workers)


def _phases(graph: Graph, work: PlannedWork) -> list[list[WorkEstimate]]:
    """The work of each phase, in the order of the graph."""
    phases = []
    for phase in work.phases:
        targets: dict[str, list[Target]] = {}
        for target in phase:
            targets.setdefault(target.node, []).append(target)
        phases.append([work_of(node, targets[node.name]) for node in graph.nodes if node.name in targets])
    counts: dict[str, int] = {}
    for planned in (planned for planned_work in phases for planned in planned_work):
        counts[planned.node.name] = counts.get(planned.node.name, 0) + len(planned.numbers)
    spread = (
        [_spread(planned, counts, work).without(work.done.get(planned.node.name, ())) for planned in planned_work]
        for planned_work in phases[work.ended :]
    )
    return [estimates for planned_work in spread if (estimates := [planned for planned in planned_work if planned.partitions])]


def _spread(planned: WorkEstimate, counts: Mapping[str, int], work: PlannedWork) -> WorkEstimate:
    """What a node has in all is spread over its intervals, or, where it has none, over the phases that it is in."""
    all_of_it = work.partitions.get(planned.node.name)
    return planned if all_of_it is None else planned.with_partitions(all_of_it, counts[planned.node.name])


def _typical(node: GraphNode, known: Mapping[str, GraphNode], paces: Mapping[str, Pace]) -> Pace:
    """Of a node that never ran: the middle of the others of its kind, where there are any. Sources parse files, what is
    computed in batches is SQL, and what isn't is mostly a process of its own."""
    alike = [
        name
        for name, graph_node in known.items()
        if (graph_node.is_source, graph_node.batch_max > 1) == (node.is_source, node.batch_max > 1)
    ]
    middles = sorted((paces[name] for name in alike or known), key=lambda pace: pace.of(1))
    middle = middles[len(middles) // 2]
    return Pace(middle.seconds_attempt, middle.seconds_partition, UNKNOWN_SPREAD, 0)


class _Stopwatch:
    """Says how long phases take; remembers those that are like one that it has timed."""

    def __init__(self, paces: Mapping[str, Pace], graph: Graph, slots: int) -> None:
        self._paces, self._graph, self._slots = paces, graph, slots
        self.simulated = 0
        """Partitions that were simulated."""
        self._busy = self._seconds = 0.0

    def of_all(self, phases: Sequence[Sequence[WorkEstimate]]) -> float:
        """Seconds of phases that follow each other."""
        likes: dict[tuple[tuple[str, int], ...], list[Sequence[WorkEstimate]]] = {}
        for planned_work in phases:
            likes.setdefault(tuple((planned.node.name, planned.partitions) for planned in planned_work), []).append(planned_work)
        ordered = sorted(likes.values(), key=lambda like: -len(like) * self.load(like[0]))
        among = sum(self.load(like[0]) for like in ordered[:PHASES_MAX])
        timed = [(like, self._of(like[0], int(SIMULATED_MAX * self.load(like[0]) / among))) for like in ordered[:PHASES_MAX]]
        rate = sum(seconds for _, seconds in timed) / sum(self.load(like[0]) for like, _ in timed)
        rest = sum(len(like) * self.load(like[0]) for like in ordered[PHASES_MAX:])
        return sum(len(like) * seconds for like, seconds in timed) + rate * rest

    @property
    def workers(self) -> float:
        """How many were at it on average, where that was simulated."""
        return self._busy / self._seconds if self._seconds else 0.0

    def load(self, planned_work: Sequence[WorkEstimate]) -> float:
        """Seconds that one worker would be at it, with as many partitions at once as so much work allows; never 0."""
        return sum(planned.partitions * max(1e-6, self._paces[planned.node.name].usual(self._at_once(planned))) for planned in planned_work)

    def attempts(self, planned: WorkEstimate) -> int:
        """How many attempts make it."""
        return math.ceil(planned.partitions / self._at_once(planned))

    def _at_once(self, planned: WorkEstimate) -> int:
        most = partitions_per_attempt(self._paces[planned.node.name].seen(planned.node.batch_max), planned.node.batch_max)
        return max(1, min(most, math.ceil(planned.partitions / self._slots)))

    def _of(self, planned_work: Sequence[WorkEstimate], budget: int) -> float:
        """Of a phase with more than `budget` partitions the beginning is simulated."""
        if sum(planned.partitions for planned in planned_work) <= budget:
            return self._played(planned_work)
        part = _beginning(planned_work, budget)
        return self._played(part) * self.load(planned_work) / self.load(part)

    def _played(self, planned_work: Sequence[WorkEstimate]) -> float:
        checkpoint = replace(
            kept_of(planned_work),
            paces={planned.node.name: self._paces[planned.node.name].sizes(planned.node.batch_max) for planned in planned_work},
        )
        virtual_run_result = run_virtually(graph_of(planned_work, self._graph), checkpoint, self._takes, self._slots)
        self.simulated += virtual_run_result.published
        self._busy, self._seconds = self._busy + virtual_run_result.busy, self._seconds + virtual_run_result.seconds
        stuck = 1 - virtual_run_result.published / sum(planned.partitions for planned in planned_work)
        return virtual_run_result.seconds + stuck * self.load(planned_work) / self._slots

    def _takes(self, node: str, partitions: int) -> float:
        return self._paces[node].of(partitions)


def _beginning(planned_work: Sequence[WorkEstimate], partitions: int) -> list[WorkEstimate]:
    """The oldest intervals, as many as hold about so many partitions."""
    span = work_bounds(planned_work)
    low, high = 0.0, 1.0
    estimates = list(planned_work)
    for _ in range(_BISECTIONS):
        share = (low + high) / 2
        moment = span[0] + int((span[1] - span[0]) * share) if span is not None else 0
        tried = [planned for planned in work_until(planned_work, moment, share) if planned.partitions]
        if sum(planned.partitions for planned in tried) > partitions:
            high = share
        else:
            low, estimates = share, tried or estimates
    return estimates


def _deviation(phases: Sequence[Sequence[WorkEstimate]], paces: Mapping[str, Pace], stopwatch: _Stopwatch) -> float:
    """By how much the whole may differ: each node by what isn't known of its pace, more the more of the work it is; and all of it by what
    no history tells."""
    whole = sum(stopwatch.load(planned_work) for planned_work in phases)
    shares: dict[str, float] = {}
    attempts: dict[str, int] = {}
    for planned in (planned for planned_work in phases for planned in planned_work):
        shares[planned.node.name] = shares.get(planned.node.name, 0.0) + stopwatch.load([planned]) / whole
        attempts[planned.node.name] = attempts.get(planned.node.name, 0) + stopwatch.attempts(planned)
    unknown = ((share * _unknown(paces.get(name), attempts[name])) ** 2 for name, share in shares.items())
    return math.sqrt(OTHERWISE**2 + sum(unknown))


def _unknown(pace: Pace | None, attempts: int) -> float:
    """How far the sum of so many attempts may be off. A few of them don't even out; many do, but not what they share."""
    if pace is None or not pace.count:
        return UNKNOWN_SPREAD
    return (pace.spread + OTHERWISE) / math.sqrt(pace.count) + pace.spread / math.sqrt(min(EVENED_OUT, max(1, attempts)))


def _basis(phases: Sequence[Sequence[WorkEstimate]], paces: Mapping[str, Pace], stopwatch: _Stopwatch, slots: int) -> str:
    names = {planned.node.name: None for planned_work in phases for planned in planned_work}
    attempts = sum(paces[name].count for name in names if name in paces)
    strangers = [name for name in names if name not in paces]
    changed = [name for name in names if name in paces and not paces[name].count]
    partitions = sum(planned.partitions for planned_work in phases for planned in planned_work)
    said = [f"simulated on {slots} worker{'s' * (slots != 1)} with what {attempts:,} attempt{'s' * (attempts != 1)} took"]
    if stopwatch.simulated < partitions:
        said.append(f"{stopwatch.simulated:,} of {partitions:,} partitions simulated, the rest scaled")
    if strangers:
        said.append(f"{_few(strangers)} never ran and {'is' if len(strangers) == 1 else 'are'} taken to be like the others")
    if changed:
        said.append(f"{_few(changed)} never ran with this code and {'is' if len(changed) == 1 else 'are'} taken to be as before")
    return "; ".join(said)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


# Durations of past attempts as a pace: seconds for each attempt, and for each of its partitions.

_DEVIATIONS_PER_MAD = 1.4826
"""A standard deviation by the median of deviations."""

Sample = tuple[int, float]
"""How many partitions an attempt computed, and its seconds."""


def batch_pace(samples: Sequence[Sample]) -> Pace | None:
    """Of a node whose partitions may be computed several at once; None if no attempt is known. Single attempts that differ from all
    others count for nothing: medians decide."""
    if not samples:
        return None
    return _with_spread(*fitted(_middles(samples)), samples)


def single_pace(samples: Sequence[Sample]) -> Pace | None:
    """Of a node whose partitions are attempts of their own; what came in one file was ingested at once, and counts by the partition."""
    if not samples:
        return None
    return _with_spread(0.0, weighted_median((seconds / size, size) for size, seconds in samples), samples)


def _with_spread(attempt: float, each: float, samples: Sequence[Sample]) -> Pace:
    pace = Pace(attempt, each, 0.0, len(samples))
    away = (abs(math.log(max(seconds, 1e-6) / max(pace.of(size), 1e-6))) for size, seconds in samples)
    return Pace(attempt, each, _DEVIATIONS_PER_MAD * weighted_median((item, 1) for item in away), len(samples))


def _middles(samples: Sequence[Sample]) -> list[AttemptGroup]:
    """Of each size: the median, and how many there are."""
    sizes: dict[int, list[float]] = {}
    for size, seconds in samples:
        sizes.setdefault(size, []).append(seconds)
    return [AttemptGroup(size, weighted_median((item, 1) for item in results), len(results)) for size, results in sorted(sizes.items())]
