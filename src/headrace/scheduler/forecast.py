"""Forecast of when partitions will be published. Pure.

It uses durations, promises of sources and known obstacles.

A forecast is a lower bound: it adds up what has to happen in sequence, and assumes a free worker
and free pools.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import NamedTuple

from headrace.model.partitions import WHOLE
from headrace.model.times import Offset, duration
from headrace.scheduler.dependencies import Network
from headrace.scheduler.gates import fires_by_time, next_firing
from headrace.scheduler.graph import GraphNode
from headrace.scheduler.partition_states import bounds
from headrace.scheduler.states import PartitionState

DEPTH_MAX = 150
"""Depth of the input chain beyond which inputs are assumed to be published: longer chains are
seldom missing as a whole."""
MISSING_MAX = 400
"""Maximum number of partitions of one input that are examined for one partition."""
_SECOND_US = 1_000_000
IS_PAUSED = "is paused"
_STATE_CLAUSES = {
    PartitionState.HELD: "is held",
    PartitionState.REJECTED: "was rejected",
    PartitionState.FAILED: "failed",
    PartitionState.WITHDRAWN: "was withdrawn",
    PartitionState.WAIVED: "was passed over",
}


class CurrentPartitionState(NamedTuple):
    """The state of a partition; all times in microseconds.

    `began_at` is the start of the running attempt, `not_before` the earliest start of the next try.
    """

    state: PartitionState
    published: bool = False
    """Whether readers see a publication of it."""
    began_at: int | None = None
    not_before: int | None = None
    reason: str = ""


class ForecastStep(NamedTuple):
    """One step of the chain that decides when a partition is ready.

    It lasts from `begins` to `ends`. Both are in microseconds.
    """

    node: str
    key: str
    begins: int
    ends: int
    why: str
    """One clause: `hasn't arrived, promised by …`, `takes 40 min`, `is paused`."""


class Outlook(NamedTuple):
    """When a partition will be ready, in microseconds; None if someone has to act first.

    `steps` is the chain that decides it, upstream first; empty for a partition that is ready.
    """

    at: int | None
    steps: tuple[ForecastStep, ...] = ()


THERE = Outlook(0)
Stands = Callable[[str, str], CurrentPartitionState | None]
"""(node, key) → its state; None if unknown. Partitions before a node's start, or never due, must be
reported as published."""


class PartitionForecaster:
    """Forecasts for one point in time, which examine each partition once.

    `seconds` is the duration of a node's attempts (p95); a missing node takes no time. `paused`
    maps paused nodes to the end of the pause, None if it is open.
    """

    def __init__(
        self,
        network: Network,
        stand: Stands,
        now: int,
        *,
        seconds: Mapping[str, float],
        paused: Mapping[str, int | None] | None = None,
    ) -> None:
        self._network, self._stand, self._now = network, stand, now
        self._seconds, self._paused = seconds, paused or {}
        self._known: dict[tuple[str, str], Outlook] = {}

    def of(self, node: str, key: str) -> Outlook:
        """Return when a partition will be ready."""
        return self._of(self._network.nodes[node], key, 0)

    def of_all(self, needed: Iterable[tuple[str, str]]) -> Outlook:
        """Return when all of these partitions will be ready."""
        return latest([self.of(node, key) for node, key in needed])

    def _of(self, node: GraphNode, key: str, depth: int) -> Outlook:
        place = (node.name, key)
        if place not in self._known:
            # There are no cycles; this only ends a chain that is too deep.
            self._known[place] = THERE
            self._known[place] = self._find(node, key, depth)
        return self._known[place]

    def _find(self, node: GraphNode, key: str, depth: int) -> Outlook:
        stand = self._stand(node.name, key)
        if depth > DEPTH_MAX or (
            stand is not None and (stand.state is PartitionState.PUBLISHED or stand.published)
        ):
            return THERE
        if stand is not None and stand.state is PartitionState.RUNNING:
            return self._running(node, key, stand)
        if stand is not None and stand.state in _STATE_CLAUSES:
            clause = _STATE_CLAUSES[stand.state]
            reason = f"{clause}: {stand.reason}" if stand.reason else clause
            return Outlook(None, (self._stopped(node, key, reason),))
        before = (
            self._arrival(node, key, stand) if node.is_source else self._inputs(node, key, depth)
        )
        return self._then(node, key, before, stand)

    def _running(self, node: GraphNode, key: str, stand: CurrentPartitionState) -> Outlook:
        began = self._now if stand.began_at is None else stand.began_at
        planned = began + self._takes(node)
        ends = max(self._now, planned)
        why = f"runs for {duration(self._now - began)}" + (
            ", longer than it ever takes" if planned < self._now else ""
        )
        return Outlook(ends, (ForecastStep(node.name, key, began, ends, why),))

    def _stopped(self, node: GraphNode, key: str, why: str) -> ForecastStep:
        return ForecastStep(node.name, key, self._now, self._now, why)

    def _arrival(self, node: GraphNode, key: str, stand: CurrentPartitionState | None) -> Outlook:
        """Return when a delivery is due: as promised, but not before now."""
        if stand is not None or node.partition.grain is None:
            return Outlook(self._now)
        end = bounds(node, key)[1]
        by = (
            end
            if node.expect_by is None
            else Offset.parse(node.expect_by).after_us(end, node.timezone, node.days_off.holds)
        )
        late = by < self._now
        promised = (
            f"was due {duration(self._now - by)} ago and"
            if late and node.expect_by
            else "is due and"
            if late
            else "is expected;"
        )
        step = ForecastStep(
            node.name, key, min(by, self._now), max(by, self._now), f"{promised} hasn't arrived"
        )
        return Outlook(max(by, self._now), (step,))

    def _inputs(self, node: GraphNode, key: str, depth: int) -> Outlook:
        """Return when the partitions that this one requires will be ready."""
        outlooks = []
        for link in self._network.links[node.name]:
            if link.optional:
                continue
            if link.newest and not self._network.gathers.get(node.name):
                # It reads what is published, so it waits for no partition of a partitioned input.
                required: tuple[str, ...] = (WHOLE,) if link.input.partition.whole else ()
            else:
                required = link.needs(key)[:MISSING_MAX]
            outlooks += [self._of(link.input, upstream, depth + 1) for upstream in required]
        return latest(outlooks)

    def _then(
        self, node: GraphNode, key: str, before: Outlook, stand: CurrentPartitionState | None
    ) -> Outlook:
        """Return the outlook of a node from that of its inputs.

        It adds the node's own pause, trigger, next try and duration.
        """
        if before.at is None:
            return before
        ready, steps, free = max(before.at, self._now), before.steps, self._free(node, key, stand)
        if free is None:
            return Outlook(None, (*steps, self._stopped(node, key, IS_PAUSED)))
        at, why = free
        if at > ready:
            steps = (*steps, ForecastStep(node.name, key, ready, at, why))
            ready = at
        takes = self._takes(node)
        step = ForecastStep(node.name, key, ready, ready + takes, f"takes {duration(takes)}")
        return Outlook(ready + takes, (*steps, step) if takes or not steps else steps)

    def _free(
        self, node: GraphNode, key: str, stand: CurrentPartitionState | None
    ) -> tuple[int, str] | None:
        """Return when the node itself is free to run and what blocks it until then.

        None for an open pause.
        """
        obstacles = [(self._now, "")]
        if stand is not None and stand.not_before is not None:
            obstacles.append((stand.not_before, "is tried again"))
        fires = self._fires(node, key)
        if fires is not None:
            obstacles.append((fires, "waits for its trigger"))
        if node.name in self._paused:
            until = self._paused[node.name]
            if until is None:
                return None
            obstacles.append((until, IS_PAUSED))
        return max(obstacles, key=itemgetter(0))  # the first of several that end at the same time

    def _fires(self, node: GraphNode, key: str) -> int | None:
        """Return when a trigger by time releases a partition; None without one."""
        if node.trigger is None or not fires_by_time(node.trigger):
            return None
        end = bounds(node, key)[1] if node.partition.grain is not None else self._now
        return next_firing(node.trigger, end - 1)

    def _takes(self, node: GraphNode) -> int:
        return int(self._seconds.get(node.name, 0.0) * _SECOND_US)


def latest(outlooks: list[Outlook]) -> Outlook:
    """Return the latest outlook; an unknown one counts as the latest."""
    never = next((outlook for outlook in outlooks if outlook.at is None), None)
    return never or max(outlooks, key=lambda outlook: outlook.at or 0, default=THERE)
