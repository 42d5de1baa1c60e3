"""Where partitions stand, what runs and what was asked for, by what the core was told and says: an account of its own."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from headrace.schedule.commands import Dispatch, PartitionUpdate
from headrace.schedule.events import (
    AttemptId,
    AttemptPublished,
    AttemptUnsuccessful,
    Cancelled,
    Loaded,
    Paused,
    Promoted,
    Requested,
    Resumed,
    WorkerLost,
)
from headrace.schedule.pools import LAPSE_US
from headrace.schedule.simulation.batches import BatchInvariants
from headrace.schedule.simulation.violation import Violation
from headrace.schedule.states import FailureKind, PartitionState

if TYPE_CHECKING:
    from headrace.schedule.simulation.world import Simulation

Key = tuple[str, str]
S = PartitionState


class Account:
    """Kept for the core that leads; a new one starts it anew."""

    def __init__(self, world: Simulation) -> None:
        self._world = world
        self._state: defaultdict[str, dict[str, PartitionState]] = defaultdict(dict)
        self.failures: dict[Key, int] = {}
        self.not_before: dict[Key, int] = {}
        self.running: dict[AttemptId, Dispatch] = {}
        self.killed: set[AttemptId] = set()
        self.cancelled_ones: set[AttemptId] = set()
        self.together = BatchInvariants(world)
        self.just_promoted: set[Key] = set()
        """What became visible at once since the last decision."""
        self.failed: dict[Key, FailureKind] = {}
        """What attempts failed of, that weren't ended by the core: since the last decision."""
        self.taken_back: set[int] = set()
        """Runs that were cancelled since then."""
        self.waived: set[str] = set()
        """Nodes of which something was passed over at any time."""
        self.open: set[int] = set()
        self._asked_for: dict[int, Requested] = {}
        self.paused: dict[str, int | None] = {}
        self.was_paused: set[str] = set()
        """Nodes that were paused at any time."""
        self.samples: dict[str, int] = {}
        """Node → how many of its attempts told how long they took."""
        self.lapse: dict[AttemptId, int] = {}
        """Attempt → when it holds nothing of a pool any more, whatever became of it."""

    def of(self, node: str, key: str) -> PartitionState:
        """Where a partition stands."""
        return self._state[node].get(key, S.MISSING)

    def renewed(self) -> None:
        """There is a new core."""
        for kept in (self._state, self.failures, self.not_before, self.paused, self.open, self.samples):
            kept.clear()
        self.together.loaded()

    def decided(self) -> None:
        """The core has said what becomes of all that happened."""
        self.together.decided()
        self.just_promoted.clear()
        self.failed.clear()
        self.taken_back.clear()

    # What the core is told

    def loaded(self, event: Loaded) -> None:
        """It starts from the store."""
        self.running = {}
        for tracked in event.tracked_partitions:
            stale = tracked.stale and not tracked.proposed and tracked.state is S.PUBLISHED
            self._state[tracked.node][tracked.key] = S.WAITING if stale else tracked.state
            self.failures[tracked.node, tracked.key] = tracked.failures
            if tracked.not_before is not None:
                self.not_before[tracked.node, tracked.key] = tracked.not_before
            self._world.coverage.happened(tracked.state, "loaded")
        for item in event.running:
            self.running[item.attempt] = Dispatch(item.attempt, item.node, item.keys, 0)
            self.lapse[item.attempt] = item.expires_at + LAPSE_US
            self._state[item.node].update(dict.fromkeys(item.keys, S.RUNNING))

    def asked(self, event: Requested) -> None:
        """A run wants something."""
        self.open.add(event.run)
        self._asked_for[event.run] = event
        for node in {target.node: None for target in event.targets}:
            how = "again" if node in event.again else "retried" if node in event.retry else "asked"
            for key, state in self._state[node].items():
                if self._world.wants(event, node, key):
                    self._world.coverage.happened(state, how)

    def cancelled(self, event: Cancelled) -> None:
        """A run was taken back."""
        self.open.discard(event.run)
        self.taken_back.add(event.run)
        request = self._asked_for[event.run]
        for node in {target.node: None for target in request.targets}:
            for key, state in self._state[node].items():
                if state in (S.WAITING, S.RUNNING) and self._world.wants(request, node, key):
                    self._world.coverage.happened(state, "cancelled")

    def promoted(self, event: Promoted) -> None:
        """What a plan made becomes visible at once."""
        for node, key, _ in event.contents:
            if self.of(node, key) is S.RUNNING:
                raise Violation("production_wins", f"{node}@{key} is promoted while an attempt is at it")
            self._world.coverage.happened(self.of(node, key), "promoted")
            self.just_promoted.add((node, key))
            self._shown(node, key)

    def gated(self, event: Paused | Resumed) -> None:
        """Nodes are paused, or go on."""
        how = "paused" if isinstance(event, Paused) else "resumed"
        for node in event.nodes:
            for state in self._state[node].values():
                self._world.coverage.happened(state, how)
            if isinstance(event, Paused):
                self.paused[node] = event.until
                self.was_paused.add(node)
            else:
                self.paused.pop(node, None)

    def answered(self, event: AttemptPublished | AttemptUnsuccessful) -> None:
        """An attempt ended."""
        dispatch = self.running.pop(event.attempt)
        if isinstance(event, AttemptPublished):
            self.samples[dispatch.node] = self.samples.get(dispatch.node, 0) + 1
            self.together.published(dispatch)
            text = "published"
        else:
            self.together.ended(dispatch, event.kind, self.failures)
            text = f"failed: {event.kind}" if event.kind else event.state.value
        for key in dispatch.keys:
            self._world.coverage.happened(self.of(dispatch.node, key), text)
            if isinstance(event, AttemptPublished):
                self._shown(dispatch.node, key)
            elif event.state is S.FAILED and event.attempt not in self.killed:
                self.failed[dispatch.node, key] = event.kind or FailureKind.DETERMINISTIC

    def lost(self, event: WorkerLost) -> None:
        """A worker died."""
        cover = self._world.coverage.happened
        for attempt in event.queued:
            dispatch = self.running.pop(attempt)
            for key in dispatch.keys:
                cover(self.of(dispatch.node, key), "lost before it began")
                self._state[dispatch.node][key] = S.WAITING
        if event.running is not None:
            dispatch = self.running.pop(event.running)
            cancelled = event.running in self.cancelled_ones
            self.together.ended(dispatch, FailureKind.CANCELLED if cancelled else FailureKind.LOST_WORKER, self.failures)
            for key in dispatch.keys:
                cover(self.of(dispatch.node, key), "lost")
                if event.running not in self.killed:
                    self.failed[dispatch.node, key] = FailureKind.LOST_WORKER

    def _shown(self, node: str, key: str) -> None:
        self._state[node][key], self.failures[node, key] = S.PUBLISHED, 0
        self.not_before.pop((node, key), None)

    # What the core says

    def marked(self, mark: PartitionUpdate, before: PartitionState) -> None:
        """A partition stands elsewhere now."""
        if mark.state is S.WAITING and before is not S.RUNNING:
            self._world.coverage.happened(before, "wanted")
        if mark.proposed:
            self._world.coverage.happened(before, "proposed")
        if mark.state is S.WAIVED:
            self._world.coverage.happened(before, "waived")
            self.waived.add(mark.node)
        place = mark.node, mark.key
        self._state[mark.node][mark.key], self.failures[place] = mark.state, mark.failures
        if mark.not_before is None:
            self.not_before.pop(place, None)
        else:
            self.not_before[place] = mark.not_before

    def runs(self, node: str, key: str) -> None:
        """An attempt starts at a partition."""
        self._world.coverage.happened(S.WAITING, "dispatched")
        self._state[node][key] = S.RUNNING

    def begun(self, command: Dispatch, now: int) -> None:
        """An attempt starts."""
        self.running[command.attempt] = command
        self.lapse[command.attempt] = now + self._world.rules.nodes[command.node].timeout_us + LAPSE_US
