"""The overlay of one step: a separate core computes it concurrently with production's."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import msgspec

from headrace.plan.backfills import BackfillStep, first_attempt_of, plan_of_attempt
from headrace.runtime.applied_versions import AppliedVersion, Production
from headrace.runtime.decisions import Decisions, RunRegistry
from headrace.runtime.executors import LostWorker, TaskFinished
from headrace.runtime.overlays.overlaid_tasks import OverlaidTasks
from headrace.runtime.overlays.partitions import (
    STAGED,
    OverlayPartitions,
    PlannedPartitions,
    keys_of,
)
from headrace.runtime.overlays.production_state import (
    UnsuccessfulPartition,
    graph_below,
    known_keys,
    loaded,
)
from headrace.runtime.overlays.staging import Staging
from headrace.runtime.runs import (
    LeaderClaims,
    News,
    RunningAttempt,
)
from headrace.scheduler import (
    CANCELLED,
    AttemptId,
    AttemptState,
    ClockAdvanced,
    Core,
    Elsewhere,
    Event,
    GivenUp,
    Graph,
    Kill,
    PartitionOvertaken,
    PartitionState,
    PartitionUpdate,
    Paused,
    Promoted,
    Refreshed,
    Requested,
    Resumed,
    SchedulerCheckpoint,
    TakenBack,
    Target,
    WorkerLost,
)
from headrace.store import Transaction
from headrace.store.queries import backfill_plans, leader_writes
from headrace.store.queries.backfill_plans import OverlayRow
from headrace.store.queries.leader_writes import AttemptEnd

PATIENCE_SECONDS = 1.0
"""Longest time in seconds that running attempts may continue after a pause."""
STOPPED = (PartitionState.FAILED, PartitionState.HELD, PartitionState.REJECTED)


class PostCommitActions(msgspec.Struct):
    """Actions to take once a transaction is committed."""

    starts: list[RunningAttempt] = []
    kills: list[Kill] = []
    news: list[News] = []

    def add(self, other: PostCommitActions) -> None:
        """Add another transaction's actions."""
        self.starts += other.starts
        self.kills += other.kills
        self.news += other.news


class Lent(msgspec.Struct, frozen=True):
    """What a leader lends to its backfills: version, graph, runs, epoch and slots."""

    applied: AppliedVersion
    code: str
    graph: Graph
    runs: RunRegistry
    epoch: int
    slots: int
    production: Production | None = None
    """In an environment: production, from which borrowed nodes are read."""
    cache: Path | None = None
    """The folder with the cached lineage of the applied version."""


class Overlay:
    """The overlay of one step of a backfill.

    `staged` are its staged partitions, `ended` its failed ones, `after` is the last attempt number
    in use.
    """

    def __init__(
        self,
        plan: int,
        step: BackfillStep,
        staged: OverlayPartitions,
        ended: Iterable[UnsuccessfulPartition],
        lent: Lent,
        *,
        run: int,
        after: int,
    ) -> None:
        self.plan, self.staged, self.run = plan, staged, run
        self.ended = {(partition.node, partition.key): partition for partition in ended}
        self.attempts: dict[AttemptId, RunningAttempt] = {}
        self.redone = 0
        self.requested = False
        """Whether a run requests the step now."""
        self._sent: dict[AttemptId, float] = {}
        """When attempts were sent, by the monotonic clock, which runs on in a replay."""
        self._patient_until: float | None = None
        """Until when attempts may continue after a pause, by the monotonic clock in seconds."""
        self._stopped: dict[tuple[str, str], tuple[AttemptId, str | None]] = {}
        """Attempt and sample rows of partitions that failed in the last commit."""
        self._unsure: list[tuple[str, str]] = []
        """Partitions that weren't staged when this began.

        Others may have been computed from them while they were staged.
        """
        self._elsewhere: tuple[tuple[str, int], ...] = ()
        self._spans, self._lent = step.spans, lent
        self._claims = LeaderClaims()
        self._graph = graph_below(lent.graph, step.spans.keys())
        self._nodes = {node.name: node for node in self._graph.nodes}
        self._held = {
            name: PlannedPartitions(self._nodes[name], spans)
            for name, spans in step.spans.items()
            if name in self._nodes
        }
        self._tasks = OverlaidTasks(lent.applied, lent.code, staged, lent.production, lent.cache)
        self.core = Core(
            epoch=lent.epoch, slots=lent.slots, after=max(after, first_attempt_of(plan))
        )
        self._decisions = Decisions(
            self.core,
            self._tasks,
            self._claims,
            lent.runs,
            version=lent.applied.id,
            plan=plan,
        )

    @property
    def epoch(self) -> int:
        """The leader's epoch."""
        return self._lent.epoch

    @property
    def last_n(self) -> int:
        """Number of the last attempt."""
        return self._decisions.last_n

    def holds(self, node: str, key: str) -> bool:
        """Whether a partition belongs to the step."""
        return node in self._held and key in self._held[node]

    def keys(self, node: str) -> list[str]:
        """Return the staged partitions of a node, sorted by key."""
        return sorted(self.staged.keys(node))

    # Events for the core

    def begin(
        self, tx: Transaction, production: SchedulerCheckpoint, now: int
    ) -> PostCommitActions:
        """Start from production's partition states."""
        planned_keys = {
            name: set(keys_of(self._nodes[name], spans, known_keys(production, self._nodes[name])))
            for name, spans in self._spans.items()
            if name in self._nodes
        }
        staged_keys = {
            name: set(self.staged.keys(name)) & keys for name, keys in planned_keys.items()
        }
        if any(staged_keys.values()):
            self._unsure = [
                (name, key)
                for name, keys in planned_keys.items()
                for key in sorted(keys - staged_keys[name])
            ]
        return self._decide(
            tx,
            [loaded(self._graph, production, planned_keys, staged_keys, self.ended.values())],
            now,
        )

    def request(
        self, tx: Transaction, pauses: Sequence[Paused], now: int, *, again: bool = False
    ) -> PostCommitActions:
        """Request the step, except paused nodes; with `again`, retry failed partitions."""
        self.requested, self._patient_until = True, None
        actions = self._decide(tx, [Resumed(tuple(self._nodes)), *pauses], now)
        actions.add(self._request(tx, now, again=again))
        return actions

    def _request(self, tx: Transaction, now: int, *, again: bool) -> PostCommitActions:
        if again:
            self._forget_ended(tx, list(self.ended))
        targets = tuple(
            Target(name, span.first, span.last)
            for name, spans in self._spans.items()
            if name in self._nodes
            for span in spans
        )
        retry = frozenset(self._spans.keys() & self._nodes.keys())
        return self._decide(
            tx,
            [
                Requested(
                    targets, retry=retry if again else frozenset(), run=self.run, standing=True
                )
            ],
            now,
        )

    def hear(self, tx: Transaction, events: Iterable[Event], now: int) -> PostCommitActions:
        """Handle events that production's core was told."""
        translated = [item for event in events for item in self._translated(event)]
        return self._decide(tx, translated, now) if translated else PostCommitActions()

    def again(
        self, tx: Transaction, events: Sequence[PartitionOvertaken], now: int
    ) -> PostCommitActions:
        """Recompute these partitions."""
        return self._decide(tx, events, now)

    def give_up(self, tx: Transaction, now: int) -> PostCommitActions | None:
        """Give up staged partitions that couldn't be recomputed; None if there are none.

        Called when nothing of the step runs any more. Nobody will see their earlier rows, so
        partitions computed from these are recomputed or dropped, too.
        """
        once, self._unsure = dict.fromkeys((*self._unsure, *self.core.outdated())), []
        given_up = tuple(
            (node, key)
            for node, key in once
            if self.holds(node, key) and key not in self.staged.keys(node)
        )
        return self._decide(tx, [GivenUp(given_up)], now) if given_up else None

    def pause(self, tx: Transaction, now: int, reason: str) -> PostCommitActions:
        """Start no more attempts.

        Attempts that have run longer than PATIENCE_SECONDS are put back; the others may still end
        within that time.
        """
        actions = self._decide(tx, [Paused(tuple(self._nodes), reason)], now)
        self._patient_until = time.monotonic() + PATIENCE_SECONDS
        long = [
            attempt
            for attempt in self.attempts.values()
            if time.monotonic() - self._sent[attempt.id] > PATIENCE_SECONDS
        ]
        actions.add(self._put_back(tx, long, reason, now))
        return actions

    @property
    def patience(self) -> float | None:
        """Seconds that a pause still waits for running attempts; None if it doesn't wait."""
        return (
            self._patient_until - time.monotonic()
            if self._patient_until is not None and self.attempts
            else None
        )

    def record(
        self,
        tx: Transaction,
        finished: Sequence[TaskFinished],
        lost: Sequence[LostWorker],
        wrong: dict[AttemptId, str],
        now: int,
    ) -> PostCommitActions:
        """Record attempts that have ended."""
        if not finished and not lost:
            return PostCommitActions()
        staging = Staging(
            tx, self._tasks, self._claims, self.staged, now=now, version=self._lent.applied.id
        )
        for item in finished:
            if item.attempt in self.attempts:
                staging.add(self.attempts.pop(item.attempt), item.outcome, wrong.get(item.attempt))
        losses = [
            worker_lost
            for worker in lost
            if (worker_lost := self._lose(worker, staging)) is not None
        ]
        staging.write()
        self._stopped = staging.stopped
        events: list[Event] = [*staging.events, *losses]
        if not events:
            return PostCommitActions()
        actions = self._decide(tx, events, now)
        actions.news += staging.news
        return actions

    def wake(self, tx: Transaction, now: int) -> PostCommitActions:
        """Handle the passing of time."""
        at, actions = self.core.next_event(), PostCommitActions()
        if self.patience is not None and self.patience <= 0:
            actions.add(
                self._put_back(tx, list(self.attempts.values()), "its backfill is paused", now)
            )
        if at is not None and at <= now:
            actions.add(self._decide(tx, [ClockAdvanced()], now))
        return actions

    def share(
        self, tx: Transaction, slots_elsewhere: tuple[tuple[str, int], ...], now: int
    ) -> PostCommitActions:
        """Tell the core the pool slots in use elsewhere."""
        if slots_elsewhere == self._elsewhere:
            return PostCommitActions()
        self._elsewhere = slots_elsewhere
        return self._decide(tx, [Elsewhere(slots_elsewhere)], now)

    def give_way(self, tx: Transaction, pools: Collection[str], now: int) -> PostCommitActions:
        """End attempts that hold slots of these pools, which production needs.

        They start again later, and it doesn't count as a failure.
        """
        holding = {
            name
            for name, node in self._nodes.items()
            if any(take.pool in pools for take in node.takes)
        }
        attempts = [attempt for attempt in self.attempts.values() if attempt.node in holding]
        return self._put_back(tx, attempts, "made room for production", now)

    def forget_unpublished(self, tx: Transaction, published: Iterable[OverlayRow]) -> None:
        """Drop what a publication of the step has left out: failures, and removed nodes."""
        seen = {(row.node, row.partition) for row in published}
        left = [(node, key) for node in self.staged.rows for key in self.staged.keys(node)]
        self.staged.drop(tx, [item for item in left if item not in seen])
        self._forget_ended(tx, list(self.ended))

    # State of the step

    @property
    def at_rest(self) -> bool:
        """Whether no attempt of the step runs or will start by itself."""
        return not self.attempts and self.core.idle() and self.core.next_try() is None

    def unmade(self, now: int) -> list[UnsuccessfulPartition]:
        """Return the partitions of a finished step that failed or still wait."""
        waiting = []
        for name, key in self.core.waiting(now, self.run):
            reasons = self.core.why(name, key)
            waiting.append(
                UnsuccessfulPartition(
                    name, key, PartitionState.WAITING, reasons[0].text if reasons else ""
                )
            )
        return [*self.ended.values(), *waiting]

    # Helpers

    def _put_back(
        self, tx: Transaction, attempts: Sequence[RunningAttempt], reason: str, now: int
    ) -> PostCommitActions:
        """End running attempts; their partitions are as if they had never started."""
        if not attempts:
            return PostCommitActions()
        for attempt in attempts:
            del self.attempts[attempt.id]
            self._claims.release(attempt.id, attempt.node, attempt.keys)
        leader_writes.end_attempts(
            tx,
            [
                AttemptEnd(
                    *attempt.id, state=AttemptState.CANCELLED, finished_at=now, reason=reason
                )
                for attempt in attempts
            ],
        )
        actions = self._decide(
            tx, [WorkerLost(None, tuple(attempt.id for attempt in attempts), reason)], now
        )
        actions.kills += [Kill(attempt.id, reason) for attempt in attempts]
        return actions

    def _translated(self, event: Event) -> Iterable[Event]:
        """Yield what an event of production means for the backfill."""
        match event:
            case Refreshed(node=node, key=key, changed=changed) if node in self._nodes:
                if not self.holds(node, key):
                    yield event
                elif changed:
                    yield PartitionOvertaken(node, key)
            case Promoted(contents=contents):
                for node, key, changed in contents:
                    yield from self._translated(Refreshed(node, key, changed))
            case TakenBack(node=node, key=key) if node in self._nodes and not self.holds(node, key):
                yield event
            case Paused() | Resumed():
                yield event

    def _lose(self, loss: LostWorker, staging: Staging) -> WorkerLost | None:
        """Record the loss of a worker with attempts of the backfill."""
        mine = [
            attempt_id
            for attempt_id in (loss.running, *loss.queued)
            if attempt_id is not None and plan_of_attempt(attempt_id) == self.plan
        ]
        lost = [self.attempts.pop(attempt_id) for attempt_id in mine if attempt_id in self.attempts]
        if not lost:
            return None
        for attempt in lost:
            staging.lose(
                attempt,
                loss.reason,
                cancelled=attempt.id == loss.running and loss.reason == CANCELLED,
            )
        running = next((attempt.id for attempt in lost if attempt.id == loss.running), None)
        return WorkerLost(
            running,
            tuple(attempt.id for attempt in lost if attempt.id != loss.running),
            f"its worker {loss.reason}",
        )

    def _decide(self, tx: Transaction, events: Sequence[Event], now: int) -> PostCommitActions:
        decided = self._decisions.decide(tx, events, now)
        self.attempts |= {attempt.id: attempt for attempt in decided.starts}
        sent = time.monotonic()
        self._sent = {number: self._sent.get(number, sent) for number in self.attempts}
        self._note(
            tx, [command for command in decided.commands if isinstance(command, PartitionUpdate)]
        )
        kills = [command for command in decided.commands if isinstance(command, Kill)]
        return PostCommitActions(decided.starts, kills, decided.news)

    def _note(self, tx: Transaction, marks: Sequence[PartitionUpdate]) -> None:
        """Store failed partitions, and drop those to recompute."""
        mine = [mark for mark in marks if self.holds(mark.node, mark.key)]
        stale = [
            (update.node, update.key) for update in mine if update.state is PartitionState.WAITING
        ]
        self.redone += sum(1 for node, key in stale if key in self.staged.keys(node))
        self.staged.drop(tx, stale)
        self._forget_ended(tx, [item for item in stale if item in self.ended])
        stopped = [
            UnsuccessfulPartition(
                update.node,
                update.key,
                update.state,
                update.reason,
                *self._stopped.get((update.node, update.key), ()),
            )
            for update in mine
            if update.state in STOPPED
        ]
        self.ended |= {(partition.node, partition.key): partition for partition in stopped}
        backfill_plans.stage(tx, [_as_stored(self.plan, partition) for partition in stopped])

    def _forget_ended(self, tx: Transaction, partitions: Sequence[tuple[str, str]]) -> None:
        for partition in partitions:
            del self.ended[partition]
        backfill_plans.unstage(tx, self.plan, partitions)


def ended_rows(rows: Iterable[OverlayRow]) -> list[UnsuccessfulPartition]:
    """Return the failed partitions of a backfill's rows."""
    return [_ended(row) for row in rows if row.state != STAGED]


def _ended(row: OverlayRow) -> UnsuccessfulPartition:
    attempt = AttemptId(row.epoch, row.n) if row.n else None
    return UnsuccessfulPartition(
        row.node, row.partition, PartitionState(row.state), row.reason or "", attempt, row.changed
    )


def _as_stored(plan: int, ended: UnsuccessfulPartition) -> OverlayRow:
    """Return a failed partition as a row for the store."""
    epoch, n = ended.attempt or (0, 0)
    return OverlayRow(
        plan,
        ended.node,
        ended.key,
        epoch,
        n,
        ended.state.value,
        reason=ended.reason,
        changed=ended.sample,
    )
