"""Simulated days on the production core: its decisions, with virtual workers and a virtual clock.

The core is the one that production runs: readiness, order, batches, pools, priorities, triggers
and retries are its own. Only arrivals and durations are drawn.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from msgspec.structs import replace

from headrace.model import Grain, PartitionSpec
from headrace.model.intervals import DAY_US, key_at_us
from headrace.model.partitions import WHOLE, delivery_key
from headrace.scheduler import (
    AttemptId,
    AttemptPublished,
    AttemptUnsuccessful,
    ClockAdvanced,
    Core,
    DeliveryArrived,
    Dispatch,
    Event,
    FailureKind,
    Graph,
    GraphNode,
    Kill,
    Loaded,
    PartitionState,
    Requested,
    SchedulerCheckpoint,
    Target,
    WorkerLost,
)
from headrace.scheduler.checkpoints import CHECKPOINT_FORMAT
from headrace.scheduler.events import KeptNode, Sizes
from headrace.scheduler.ranges import number_of
from headrace_advisor.analysis.sampling import Arrival, Drawn

BEFORE = 10_000
"""Number of intervals before the simulated days that count as published; 24 times as many hours."""
ATTEMPT_US = 3_000
"""Cost of one attempt for the leader."""
RESTART_US = 1_000_000
"""Time in which a lost worker is replaced."""
AFTER_US = 3 * DAY_US
"""Time after the last day within which its work has to end."""
_SECOND_US = 1_000_000
_GROWING_KEY = "key"


class Passage(NamedTuple):
    """One attempt that published: when its partition was ready, when it began, and when it ended.

    `crowded` is what it waited for between ready and begun: `workers`, or a pool.
    """

    ready_us: int
    began_us: int
    ended_us: int
    crowded: str


class Played(NamedTuple):
    """The result of one sample: the first passage of each partition, and the arrivals.

    `repeated` lists all passages of the nodes without intervals. `busy_us` is the workers' time.
    `backfilled_us` is when a backfill beside the days was done; None if it wasn't.
    """

    passages: dict[tuple[str, str], Passage]
    repeated: dict[str, list[Passage]]
    arrived: dict[tuple[str, str], int]
    busy_us: int
    backfilled_us: int | None = None


Draw = Callable[[str, str, int], Drawn]
"""(node, partition, time in microseconds) → its duration."""


class Days(NamedTuple):
    """What is played: the graph, the workers, and the first and last point in time.

    At each time in `losses` a worker dies.
    """

    graph: Graph
    workers: int
    start_us: int
    end_us: int
    losses: tuple[int, ...] = ()


def simulated_graph(graph: Graph) -> Graph:
    """Return the graph for a simulation: keys that grow with the data are one key per interval."""
    return replace(graph, nodes=tuple(_simulated(node) for node in graph.nodes))


def _simulated(node: GraphNode) -> GraphNode:
    spec = node.partition
    if spec.grows:
        spec = replace(spec, values=(_GROWING_KEY,))
    return replace(node, partition=spec, start=None, untyped=False, tells=False)


def published_before(graph: Graph, start_us: int, seconds: dict[str, float]) -> SchedulerCheckpoint:
    """Return the state in which everything is published whose interval ended before a time.

    `seconds` are the usual durations, by which the core sizes batches.
    """
    nodes = {node.name: _published(node, start_us) for node in graph.nodes}
    durations = {name: (10, value) for name, value in seconds.items()}
    paces: dict[str, Sizes] = {name: ((1.0, value),) for name, value in seconds.items()}
    return SchedulerCheckpoint(CHECKPOINT_FORMAT, nodes, (), durations, complete=True, paces=paces)


def _published(node: GraphNode, start_us: int) -> KeptNode:
    spec = node.partition
    runs: dict[str, tuple[int, ...]] = {}
    named: tuple[str, ...] = ()
    if spec.grain is not None:
        zone = node.timezone if spec.grain is Grain.HOUR else ""
        first = number_of(key_at_us(start_us - 1, spec.grain, node.timezone), spec.grain, zone)
        assert first is not None
        before = BEFORE * 24 if spec.grain is Grain.HOUR else BEFORE
        runs = dict.fromkeys(spec.values or ("",), (first - before, first))
    else:
        named = _keys_without_interval(spec)
    return KeptNode(runs, named, oldest=None, newest=None, publication=1, expanded="")


def _keys_without_interval(spec: PartitionSpec) -> tuple[str, ...]:
    if spec.by_delivery:
        return (delivery_key(1),)
    return (WHOLE,) if spec.whole else (spec.values or ())


class VirtualDays:
    """Plays one sample on a core of its own."""

    def __init__(self, days: Days, checkpoint: SchedulerCheckpoint, draw: Draw) -> None:
        self._days, self._draw = days, draw
        self._core = Core(epoch=1, slots=days.workers)
        self._pools = {node.name: [take.pool for take in node.takes] for node in days.graph.nodes}
        self._grains = {node.name: node.partition.grain for node in days.graph.nodes}
        self._now = days.start_us
        self._count = 0
        self._happenings: list[tuple[int, int, _Happening]] = []
        self._free = days.workers
        self._pipe: deque[VirtualAttempt] = deque()
        self._running: dict[AttemptId, VirtualAttempt] = {}
        self._tries: dict[tuple[str, str], int] = {}
        self._played = Played({}, {}, {}, 0)
        self._busy_us = 0
        wanted = tuple(Target(node.name) for node in days.graph.nodes)
        self._give(
            [Loaded(days.graph, checkpoint=checkpoint), Requested(wanted, run=1, standing=True)]
        )

    def play(self, arrivals: list[Arrival]) -> Played:
        """Play all arrivals, and return what was published when."""
        for arrival in arrivals:
            self._at(arrival.at_us, arrival)
        for at_us in self._days.losses:
            self._at(at_us, _LOSS)
        last = self._days.end_us + AFTER_US
        while (next_us := self._next_us()) is not None and next_us <= last:
            self._now = max(self._now, next_us)
            events = [event for happening in self._due() for event in self._events(happening)]
            self._give([*events, ClockAdvanced()])
        return self._played._replace(busy_us=self._busy_us)

    def _next_us(self) -> int | None:
        times = [self._happenings[0][0]] if self._happenings else []
        timed = self._core.next_event()
        return min([*times, timed] if timed is not None else times, default=None)

    def _due(self) -> Iterator[_Happening]:
        while self._happenings and self._happenings[0][0] <= self._now:
            yield heapq.heappop(self._happenings)[2]

    def _at(self, at_us: int, happening: _Happening) -> None:
        self._count += 1
        heapq.heappush(self._happenings, (at_us, self._count, happening))

    def _give(self, events: list[Event]) -> None:
        """Run one leader loop iteration, and let the workers begin what it dispatched."""
        for command in self._core.handle_all(events, self._now):
            if isinstance(command, Dispatch):
                crowded = "workers" if self._free <= len(self._pipe) else ""
                pools = self._pools[command.node]
                self._pipe.append(VirtualAttempt(command, crowded or (pools[0] if pools else "")))
            elif isinstance(command, Kill):
                self._kill(command)
        self._begin()

    def _begin(self) -> None:
        while self._free > 0 and self._pipe:
            attempt = self._pipe.popleft()
            self._free -= 1
            dispatch = attempt.dispatch
            seconds, attempt.kind = self._outcome(dispatch)
            attempt.began_us = self._now
            self._running[dispatch.attempt] = attempt
            self._at(self._now + ATTEMPT_US + int(seconds * _SECOND_US), attempt)

    def _outcome(self, dispatch: Dispatch) -> tuple[float, str]:
        """Return the seconds of an attempt, and the kind of its failure, which may be empty."""
        key = dispatch.keys[0]
        drawn = self._draw(dispatch.node, key, dispatch.queued_at)
        tried = self._tries.get((dispatch.node, key), 0)
        self._tries[dispatch.node, key] = tried + 1
        if len(dispatch.keys) == 1 and tried < len(drawn.failed):
            return drawn.failed[tried]
        others = [self._draw(dispatch.node, other, dispatch.queued_at) for other in dispatch.keys]
        return sum(item.seconds for item in others), ""

    def _events(self, happening: _Happening) -> list[Event]:
        if isinstance(happening, Arrival):
            self._played.arrived.setdefault((happening.source, happening.key), self._now)
            return [DeliveryArrived(happening.source, happening.key)]
        if isinstance(happening, VirtualAttempt):
            return self._ended(happening)
        if isinstance(happening, _Killed):
            return [WorkerLost(happening.attempt, (), "ran past its timeout")]
        if happening is _RESTARTED:
            self._free += 1
            return []
        return self._lost()

    def _ended(self, attempt: VirtualAttempt) -> list[Event]:
        dispatch = attempt.dispatch
        if self._running.pop(dispatch.attempt, None) is None:
            return []  # its worker was lost
        self._free += 1
        self._busy_us += self._now - attempt.began_us
        if attempt.kind:
            kind = FAILURES.get(attempt.kind, FailureKind.TRANSIENT)
            return [
                AttemptUnsuccessful(dispatch.attempt, PartitionState.FAILED, "as in the past", kind)
            ]
        self._record(attempt)
        contents = tuple((key, True) for key in dispatch.keys)
        return [AttemptPublished(dispatch.attempt, contents, (self._now - attempt.began_us) / 1e6)]

    def _record(self, attempt: VirtualAttempt) -> None:
        dispatch = attempt.dispatch
        passage = Passage(dispatch.queued_at, attempt.began_us, self._now, attempt.crowded)
        for key in dispatch.keys:
            self._played.passages.setdefault((dispatch.node, key), passage)
        if self._grains[dispatch.node] is None:
            self._played.repeated.setdefault(dispatch.node, []).append(passage)

    def _lost(self) -> list[Event]:
        """Lose the worker whose attempt has run longest; without one, an idle worker."""
        attempt = min(self._running.values(), key=lambda item: item.began_us, default=None)
        self._at(self._now + RESTART_US, _RESTARTED)
        if attempt is None:
            self._free -= 1
            return []
        del self._running[attempt.dispatch.attempt]
        self._busy_us += self._now - attempt.began_us
        return [WorkerLost(attempt.dispatch.attempt, (), "its worker was lost")]

    def _kill(self, kill: Kill) -> None:
        """End an attempt that ran past its timeout."""
        attempt = self._running.pop(kill.attempt, None)
        if attempt is not None:
            self._free += 1
            self._busy_us += self._now - attempt.began_us
            self._at(self._now, _Killed(kill.attempt))


class VirtualAttempt:
    """A dispatched attempt; `kind` is that of its failure, empty if it publishes."""

    def __init__(self, dispatch: Dispatch, crowded: str) -> None:
        self.dispatch, self.crowded = dispatch, crowded
        self.began_us, self.kind = 0, ""


class _Killed(NamedTuple):
    attempt: AttemptId


class _Mark(NamedTuple):
    name: str


_LOSS, _RESTARTED = _Mark("a worker is lost"), _Mark("a worker has started")
_Happening = Arrival | VirtualAttempt | _Killed | _Mark
FAILURES = {kind.value: kind for kind in FailureKind}
"""Kind of failure as recorded → as the core knows it."""
