"""A backfill beside simulated days: it has a production core of its own, as in production.

Sources are ingested by production, steps are computed by the backfill's core on background workers
and published at once, and what builds on published rows is computed by production again. Pools are
shared, and production goes first. Background workers progress with what production's workers leave
of the machine.
"""

from __future__ import annotations

import math
import random
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from headrace.model.intervals import DAY_US, key_at_us
from headrace.plan.backfills import first_attempt_of
from headrace.runtime.overlays.production_state import graph_below, loaded
from headrace.scheduler import (
    AttemptId,
    AttemptPublished,
    ClockAdvanced,
    Core,
    DeliveryArrived,
    Dispatch,
    Elsewhere,
    Event,
    GraphNode,
    Kill,
    PartitionOvertaken,
    Promoted,
    Refreshed,
    Requested,
    SchedulerCheckpoint,
    Target,
    WorkerLost,
)
from headrace.scheduler.estimates import OTHERWISE, UNKNOWN_SPREAD, Pace
from headrace_advisor.analysis.sampling import Arrival
from headrace_advisor.analysis.virtual_days import (
    ATTEMPT_US,
    Days,
    Draw,
    Played,
    VirtualAttempt,
    VirtualDays,
)

LEAST_SHARE = 0.015
"""The share of a processor that a background process has beside a busy one: the weight of niceness
19 against that of 0."""
YEARS = 25
"""Age of the oldest partitions that can be simulated, in years."""
PUBLISHING_US = 500
"""Cost of publishing one partition of a step, in microseconds."""
_PLAN, _RUN = 1, 2
_SECOND_US = 1_000_000
Partition = tuple[str, str]
"""A node and a key."""


class BackfillWork(NamedTuple):
    """A backfill that begins at `at_us` (microseconds): its partitions by how they are computed.

    `steps` are published one after the other. `paces` are what attempts at nodes take; a node that
    isn't there takes `typical_seconds` per partition.
    """

    at_us: int
    ingested: tuple[Partition, ...]
    steps: tuple[Mapping[str, tuple[str, ...]], ...]
    afterwards: tuple[Partition, ...]
    paces: Mapping[str, Pace]
    typical_seconds: float

    @property
    def partitions(self) -> int:
        """The number of partitions."""
        staged = sum(len(keys) for step in self.steps for keys in step.values())
        return len(self.ingested) + staged + len(self.afterwards)

    @property
    def unknown(self) -> list[str]:
        """The nodes whose durations aren't known."""
        staged = (node for step in self.steps for node in step)
        names = [*(node for node, _ in (*self.ingested, *self.afterwards)), *staged]
        return [name for name in dict.fromkeys(names) if name not in self.paces]


class _Running:
    def __init__(self, dispatch: Dispatch, left_us: float) -> None:
        self.dispatch, self.left_us = dispatch, left_us


class _Background:
    """Background workers: they share what production leaves of the machine."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self.pipe: deque[Dispatch] = deque()
        self.running: dict[AttemptId, _Running] = {}
        self._rate, self._now = 1.0, 0

    def advance(self, now: int) -> None:
        """Let time pass."""
        passed = (now - self._now) * self._rate
        for item in self.running.values():
            item.left_us -= passed
        self._now = now

    def begin(self, seconds: _Seconds) -> None:
        """Begin what waits, as far as workers are idle."""
        while self.pipe and len(self.running) < self._workers:
            dispatch = self.pipe.popleft()
            took = ATTEMPT_US + seconds.of(dispatch) * _SECOND_US
            self.running[dispatch.attempt] = _Running(dispatch, took)

    def slow_down(self, production: int) -> None:
        """Take notice of the number of production's running attempts."""
        free = max(LEAST_SHARE, self._workers - production)
        self._rate = min(1.0, free / max(1, len(self.running)))

    def next_us(self) -> int | None:
        """Return when the next attempt ends."""
        left = min((item.left_us for item in self.running.values()), default=None)
        return None if left is None else self._now + math.ceil(max(0.0, left) / self._rate)

    def ended(self) -> list[Dispatch]:
        """Remove and return the attempts that have ended."""
        ended = [item.dispatch for item in self.running.values() if item.left_us < 1.0]
        for dispatch in ended:
            del self.running[dispatch.attempt]
        return ended

    def put_back(self, nodes: Collection[str]) -> list[AttemptId]:
        """End all attempts at these nodes, and return them."""
        running = [n for n, item in self.running.items() if item.dispatch.node in nodes]
        waiting = [item.attempt for item in self.pipe if item.node in nodes]
        for attempt in running:
            del self.running[attempt]
        self.pipe = deque(item for item in self.pipe if item.node not in nodes)
        return [*running, *waiting]


class _Seconds:
    """Draws durations of a backfill's attempts; those of one sample are long or short together."""

    def __init__(self, work: BackfillWork, factors: Mapping[str, float], rng: random.Random):
        self._work, self._factors, self._rng = work, factors, rng
        self._pace = math.exp(rng.gauss(0, OTHERWISE))
        self.total = 0.0

    def of(self, dispatch: Dispatch) -> float:
        """Return the seconds of an attempt."""
        node, count = dispatch.node, len(dispatch.keys)
        pace = self._work.paces.get(node)
        if pace is None:
            seconds, spread = self._work.typical_seconds * count, UNKNOWN_SPREAD
        else:
            seconds, spread = pace.of(count), pace.spread
        seconds *= self._pace * self._factors.get(node, 1.0) * math.exp(self._rng.gauss(0, spread))
        self.total += seconds
        return seconds


class BackfilledDays(VirtualDays):
    """Plays one sample with a backfill beside the days' work."""

    def __init__(
        self,
        days: Days,
        checkpoint: SchedulerCheckpoint,
        draw: Draw,
        work: BackfillWork,
        factors: Mapping[str, float],
        rng: random.Random,
    ) -> None:
        self._work = work
        self._seconds = _Seconds(work, factors, rng)
        self._background = _Background(days.workers)
        self._sizes = {
            node.name: work.paces[node.name].sizes(node.batch_max)
            for node in days.graph.nodes
            if node.name in work.paces
        }
        self._overlay: Core | None = None
        self._step: Mapping[str, frozenset[str]] = {}
        self._staged: set[Partition] = set()
        self._steps_done = 0
        self._pending: set[Partition] = set()
        self._below: Collection[str] = ()
        self._refreshed: list[Partition] = []
        self._elsewhere: tuple[tuple[str, int], ...] = ()
        self._lent: tuple[tuple[str, int], ...] = ()
        self._publishes_us: int | None = None
        self._begun = self._is_after = False
        self._backfilled_us: int | None = None
        nodes = tuple(_begun(node, work.at_us) for node in days.graph.nodes)
        super().__init__(days._replace(graph=replace(days.graph, nodes=nodes)), checkpoint, draw)

    def play(self, arrivals: list[Arrival]) -> Played:
        """Play all arrivals and the backfill, and return what was published when."""
        played = super().play(arrivals)
        busy_us = played.busy_us + int(self._seconds.total * _SECOND_US)
        return played._replace(busy_us=busy_us, backfilled_us=self._backfilled_us)

    def _next_us(self) -> int | None:
        times = [super()._next_us(), self._background.next_us(), self._publishes_us]
        if not self._begun:
            times.append(self._work.at_us)
        if self._overlay is not None:
            times.append(self._overlay.next_event())
        return min((at for at in times if at is not None), default=None)

    def _give(self, events: list[Event]) -> None:
        self._background.advance(self._now)
        super()._give([*events, *self._go_on()])
        if self._between_phases():
            super()._give(self._next_phase())
        if self._overlay is not None:
            self._compute(self._overlay)
        self._background.slow_down(len(self._running))

    def _ended(self, attempt: VirtualAttempt) -> list[Event]:
        events = super()._ended(attempt)
        for event in events:
            if isinstance(event, AttemptPublished):
                results = [(attempt.dispatch.node, key) for key, _ in event.contents]
                self._pending.difference_update(results)
                self._refreshed += results
        return events

    # Phases

    def _go_on(self) -> list[Event]:
        """Return what production is told now: deliveries to ingest, or a published step."""
        if not self._begun and self._now >= self._work.at_us:
            self._begun = True
            self._pending = set(self._work.ingested)
            return [DeliveryArrived(*place) for place in self._work.ingested]
        if self._publishes_us is None or self._now < self._publishes_us:
            return []
        self._publishes_us, self._overlay, self._lent = None, None, ()
        self._steps_done += 1
        contents = [
            (node.name, key, True)
            for node in self._days.graph.nodes
            for key in self._step.get(node.name, ())
        ]
        return [Promoted(tuple(contents)), Elsewhere()]

    def _between_phases(self) -> bool:
        waits = bool(self._pending) or self._overlay is not None
        return self._begun and self._backfilled_us is None and not waits

    def _next_phase(self) -> list[Event]:
        """Begin the next step, or what is computed afterwards; the backfill may be done."""
        if self._steps_done < len(self._work.steps):
            self._overlay = self._begin_step(self._work.steps[self._steps_done])
        elif self._work.afterwards and not self._is_after:
            self._is_after = True
            self._pending = set(self._work.afterwards)
            targets = tuple(Target(node, key, key) for node, key in self._work.afterwards)
            nodes = frozenset(target.node for target in targets)
            return [Requested(targets, again=nodes, run=_RUN)]
        else:
            self._backfilled_us = self._now
        return []

    # A step

    def _begin_step(self, step: Mapping[str, tuple[str, ...]]) -> Core:
        """Load the core of a step, from production's partition states, and request the step."""
        self._step = {name: frozenset(keys) for name, keys in step.items()}
        self._staged.clear()
        self._refreshed.clear()
        graph = graph_below(self._days.graph, step.keys())
        self._below = {node.name for node in graph.nodes}
        states = self._core.checkpoint()
        states = replace(states, paces={**states.paces, **self._sizes})
        core = Core(epoch=1, slots=self._days.workers, after=first_attempt_of(_PLAN))
        self._elsewhere = self._unavailable()
        before: list[Event] = [
            loaded(graph, states, self._step, {}, ()),
            Elsewhere(self._elsewhere),
        ]
        targets = tuple(Target(name, key, key) for name, keys in step.items() for key in keys)
        self._decide(core, [*before, Requested(targets, run=_RUN, standing=True)])
        return core

    def _compute(self, core: Core) -> None:
        """Tell the step's core what has happened, and publish the step if it is computed."""
        events = [self._staged_by(dispatch) for dispatch in self._background.ended()]
        refreshed, self._refreshed = self._refreshed, []
        self._decide(core, [*events, *self._translated(refreshed), ClockAdvanced()])
        if self._days.graph.pools:
            self._share_pools(core)
        self._background.begin(self._seconds)
        count = sum(len(keys) for keys in self._step.values())
        if self._publishes_us is None and len(self._staged) == count and not self._is_computing():
            self._publishes_us = self._now + PUBLISHING_US * count

    def _staged_by(self, dispatch: Dispatch) -> Event:
        self._staged.update((dispatch.node, key) for key in dispatch.keys)
        contents = tuple((key, True) for key in dispatch.keys)
        return AttemptPublished(dispatch.attempt, contents, 0.0)

    def _translated(self, refreshed: Iterable[Partition]) -> Iterable[Event]:
        """Yield what publications of production mean for the step."""
        for node, key in refreshed:
            if node not in self._below:
                continue
            if key not in self._step.get(node, ()):
                yield Refreshed(node, key)
                continue
            self._staged.discard((node, key))
            self._publishes_us = None
            yield PartitionOvertaken(node, key)

    def _is_computing(self) -> bool:
        """Whether production computes a partition of the step, which the step then reads."""
        attempts = [*self._running.values(), *self._pipe]
        return any(
            key in self._step.get(item.dispatch.node, ())
            for item in attempts
            for key in item.dispatch.keys
        )

    def _decide(self, core: Core, events: Sequence[Event]) -> None:
        for command in core.handle_all(events, self._now):
            if isinstance(command, Dispatch):
                self._background.pipe.append(command)
            elif isinstance(command, Kill):
                self._background.running.pop(command.attempt, None)
                self._decide(core, [WorkerLost(command.attempt, (), "ran past its timeout")])

    # Pools

    def _unavailable(self) -> tuple[tuple[str, int], ...]:
        """Return the slots of pools that production holds or needs."""
        slots = self._days.graph.pools
        needed = tuple((pool, slots[pool]) for pool in self._core.short())
        total = Counter(dict(self._core.held()))
        total.update(dict(needed))
        return tuple(sorted(total.items()))

    def _share_pools(self, core: Core) -> None:
        """Tell both cores what the other holds; the backfill gives way to production."""
        if (unavailable := self._unavailable()) != self._elsewhere:
            self._elsewhere = unavailable
            self._decide(core, [Elsewhere(unavailable)])
        short = frozenset(self._core.short())
        nodes = {name for name, pools in self._pools.items() if short.intersection(pools)}
        if put_back := self._background.put_back(nodes):
            self._decide(core, [WorkerLost(None, tuple(put_back), "made room for production")])
        if (held := core.held()) != self._lent:
            self._lent = held
            super()._give([Elsewhere(held)])


def _begun(node: GraphNode, at_us: int) -> GraphNode:
    """Return a node whose partitions are due from long before a time (microseconds)."""
    grain = node.partition.grain
    if grain is None:
        return node
    return replace(node, start=key_at_us(at_us - YEARS * 365 * DAY_US, grain, node.timezone))
