"""A core of its own computes the partitions of one step of a plan, alongside production's."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from headrace.checks import Verdict
from headrace.engine import ErrorKind
from headrace.faults import FaultPoint, reached
from headrace.plan.backfills import BackfillStep, first_attempt_of, plan_of_attempt
from headrace.runtime.applied_versions import AppliedVersion, Production
from headrace.runtime.decisions import Decisions, RunRegistry
from headrace.runtime.executors import LostWorker, TaskFinished
from headrace.runtime.messages import ComputeTask, RowChangeCounts, TaskOutcome
from headrace.runtime.overlays.partitions import STAGED, OverlayPartitions, PlannedPartitions, keys_of
from headrace.runtime.overlays.production_state import OverlaidTasks, UnsuccessfulPartition, graph_below, known_keys, loaded
from headrace.runtime.publishing import Batch
from headrace.runtime.runs import LeaderClaims, News, RunningAttempt, as_failed, contents, size_bytes_of, verdict_of
from headrace.runtime.tasks import TaskBuilder
from headrace.scheduler import (
    CANCELLED,
    AttemptId,
    AttemptPublished,
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
from headrace.store.queries import backfill_plans, leader_writes, quality
from headrace.store.queries.backfill_plans import OverlayRow
from headrace.store.queries.leader_writes import AttemptEnd

# Writes what attempts of a plan computed, apart from what readers see.


class Staging(Batch):
    """One commit's worth of a plan's attempts that have ended. Nothing of it is quarantined, published or audited: the plan tells."""

    def __init__(
        self, tx: Transaction, tasks: TaskBuilder, claims: LeaderClaims, staged: OverlayPartitions, *, now: int, version: int
    ) -> None:
        super().__init__(tx, tasks, claims, now=now, version=version, publication_id=0)
        self._staged = staged
        self.stopped: dict[tuple[str, str], tuple[AttemptId, str | None]] = {}
        """Of what came to nothing: by which attempt, and some of its rows."""

    def write(self, snapshot_author: str = "") -> None:
        """Write everything that was recorded."""
        del snapshot_author
        leader_writes.write_checks(self._tx, self._checks)
        leader_writes.write_profiles(self._tx, self._profiles)
        quality.write_metrics(self._tx, self._metrics)
        leader_writes.end_attempts(self._tx, self._ends)
        reached(FaultPoint.OVERLAY_STAGED)

    def _publish(self, attempt: RunningAttempt, outcome: TaskOutcome) -> TaskOutcome:
        """Keep what was staged; gives back a failed outcome where its columns don't fit what the plan has."""
        file, task = outcome.staged, attempt.prepared.task
        if file is None or outcome.replacement is not None or not isinstance(task, ComputeTask):
            return as_failed(outcome, "what it makes can't wait beside production", ErrorKind.DETERMINISTIC)
        table, known = outcome.table or task.table, self._staged.tables.get(attempt.node)
        if known is not None and (table is None or known.columns != table.columns):
            return as_failed(outcome, "its columns were set by another attempt meanwhile", ErrorKind.TRANSIENT)
        hashes, counts = contents(attempt, outcome, file)
        before = leader_writes.published_hashes(self._tx, attempt.node, attempt.keys)
        changed = {key: _difference(outcome, key, before, hashes[key], counts[key]) for key in attempt.keys}
        rows = [self._row(attempt, outcome, key, hashes[key], counts[key], changed[key]) for key in attempt.keys]
        told = tuple((row.partition, self._staged.other(row.node, row.partition, row.content_hash)) for row in rows)
        self._staged.add(self._tx, attempt.id, attempt.node, outcome, rows, table if known is None else None)
        self.events.append(AttemptPublished(attempt.id, told, outcome.measures.seconds + outcome.measures.audit_seconds))
        self._end(attempt, outcome, STAGED, outcome.audit.verdict if outcome.audit else Verdict.UNCHECKED)
        self.news += [News(row.node, row.partition, STAGED, row.verdict, "", row.rows, attempt.runs) for row in rows]
        return outcome

    def _stop(self, attempt: RunningAttempt, outcome: TaskOutcome) -> None:
        """What came to nothing is looked at where its plan is."""
        super()._stop(attempt, outcome)
        for key in attempt.keys:
            self.stopped[attempt.node, key] = attempt.id, self._sample(outcome)

    def _sample(self, outcome: TaskOutcome) -> str | None:
        rows = [row for result in outcome.audit.results for row in result.sample] if outcome.audit is not None else []
        return msgspec.json.encode(rows).decode() if rows else None

    def _row(
        self, attempt: RunningAttempt, outcome: TaskOutcome, key: str, content_hash: str | None, rows: int, changed: RowChangeCounts
    ) -> OverlayRow:
        return OverlayRow(
            self._staged.plan, attempt.node, key, *attempt.id, STAGED, rows, size_bytes_of(outcome, rows), content_hash,
            verdict_of(outcome, key), None, None if changed == RowChangeCounts() else msgspec.json.encode(changed).decode(),
        )  # fmt: skip


def _difference(outcome: TaskOutcome, key: str, before: Mapping[str, str | None], content_hash: str | None, rows: int) -> RowChangeCounts:
    """How a partition differs from what readers see, whose content hashes are `before`."""
    if key not in before:
        return RowChangeCounts(added=rows)
    if content_hash is not None and before[key] == content_hash:
        return RowChangeCounts()
    return outcome.changed.get(key, RowChangeCounts())


# The overlay of one step.

PATIENCE_SECONDS = 1.0
"""So long an attempt may run that is under way when its plan is paused."""
STOPPED = (PartitionState.FAILED, PartitionState.HELD, PartitionState.REJECTED)


class PostCommitActions(msgspec.Struct):
    """What is to be done once a transaction is committed."""

    starts: list[RunningAttempt] = []
    kills: list[Kill] = []
    news: list[News] = []

    def add(self, other: PostCommitActions) -> None:
        """All of that as well."""
        self.starts += other.starts
        self.kills += other.kills
        self.news += other.news


class Lent(msgspec.Struct, frozen=True):
    """What a leader lends to its plans: what is applied, its graph, its runs, its epoch, how many attempts run at once."""

    applied: AppliedVersion
    code: str
    graph: Graph
    runs: RunRegistry
    epoch: int
    slots: int
    production: Production | None = None
    """In an environment: where borrowed nodes are read."""
    cache: Path | None = None
    """Where the lineage of what is applied is kept."""


class Overlay:
    """Of one step: `staged` is what was made of it already, `ended` what couldn't be. `after` is the last number that was used."""

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
        """Whether somebody wants it made now."""
        self._sent: dict[AttemptId, float] = {}
        """When attempts were given out, by a clock that a replay doesn't stop."""
        self._patient_until: float | None = None
        """Until when what ran at a pause may come to its end."""
        self._stopped: dict[tuple[str, str], tuple[AttemptId, str | None]] = {}
        """What attempts that ended last came to nothing with."""
        self._unsure: list[tuple[str, str]] = []
        """What wasn't staged when this began: something else may have been made of it before, while it was."""
        self._elsewhere: tuple[tuple[str, int], ...] = ()
        self._spans, self._lent = step.spans, lent
        self._claims = LeaderClaims()
        self._graph = graph_below(lent.graph, step.spans.keys())
        self._nodes = {node.name: node for node in self._graph.nodes}
        self._held = {name: PlannedPartitions(self._nodes[name], spans) for name, spans in step.spans.items() if name in self._nodes}
        self._tasks = OverlaidTasks(lent.applied, lent.code, staged, lent.production, lent.cache)
        self.core = Core(epoch=lent.epoch, slots=lent.slots, after=max(after, first_attempt_of(plan)))
        self._decisions = Decisions(
            self.core, self._tasks, self._claims, lent.runs, epoch=lent.epoch, slots=lent.slots, version=lent.applied.id, plan=plan
        )

    @property
    def epoch(self) -> int:
        """The leader's."""
        return self._lent.epoch

    @property
    def last_n(self) -> int:
        """Of its attempts."""
        return self._decisions.last_n

    def holds(self, node: str, key: str) -> bool:
        """Whether a partition is the step's."""
        return node in self._held and key in self._held[node]

    def keys(self, node: str) -> list[str]:
        """The partitions of a node that were made, in the order of their keys."""
        return sorted(self.staged.keys(node))

    # Being told

    def begin(self, tx: Transaction, production: SchedulerCheckpoint, now: int) -> PostCommitActions:
        """Start from where production stands."""
        wanted = {
            name: set(keys_of(self._nodes[name], spans, known_keys(production, self._nodes[name])))
            for name, spans in self._spans.items()
            if name in self._nodes
        }
        made = {name: set(self.staged.keys(name)) & keys for name, keys in wanted.items()}
        if any(made.values()):
            self._unsure = [(name, key) for name, keys in wanted.items() for key in sorted(keys - made[name])]
        return self._decide(tx, [loaded(self._graph, production, wanted, made, self.ended.values())], now)

    def request(self, tx: Transaction, pauses: Sequence[Paused], now: int, *, again: bool = False) -> PostCommitActions:
        """Have the step made, but for what is paused; with `again` what couldn't be made is tried once more."""
        self.requested, self._patient_until = True, None
        actions = self._decide(tx, [Resumed(tuple(self._nodes)), *pauses], now)
        actions.add(self._asked(tx, now, again=again))
        return actions

    def _asked(self, tx: Transaction, now: int, *, again: bool) -> PostCommitActions:
        if again:
            self._forget_ended(tx, list(self.ended))
        targets = tuple(Target(name, span.first, span.last) for name, spans in self._spans.items() if name in self._nodes for span in spans)
        retry = frozenset(self._spans.keys() & self._nodes.keys())
        return self._decide(tx, [Requested(targets, retry=retry if again else frozenset(), run=self.run, standing=True)], now)

    def hear(self, tx: Transaction, events: Iterable[Event], now: int) -> PostCommitActions:
        """Production's core has been told this."""
        told = [item for event in events for item in self._translated(event)]
        return self._decide(tx, told, now) if told else PostCommitActions()

    def again(self, tx: Transaction, events: Sequence[PartitionOvertaken], now: int) -> PostCommitActions:
        """Make these again."""
        return self._decide(tx, events, now)

    def give_up(self, tx: Transaction, now: int) -> PostCommitActions | None:
        """It is at rest: of what was staged once and couldn't be made again, nobody will see anything. So what was made of that is made
        again, or is gone as well. None where there is no such thing."""
        once, self._unsure = dict.fromkeys((*self._unsure, *self.core.outdated())), []
        gone = tuple((node, key) for node, key in once if self.holds(node, key) and key not in self.staged.keys(node))
        return self._decide(tx, [GivenUp(gone)], now) if gone else None

    def pause(self, tx: Transaction, now: int, reason: str) -> PostCommitActions:
        """Begin nothing more. What has run for a while is put back; the rest may come to its end, if that doesn't take long."""
        actions = self._decide(tx, [Paused(tuple(self._nodes), reason)], now)
        self._patient_until = time.monotonic() + PATIENCE_SECONDS
        long = [attempt for attempt in self.attempts.values() if time.monotonic() - self._sent[attempt.id] > PATIENCE_SECONDS]
        actions.add(self._put_back(tx, long, reason, now))
        return actions

    @property
    def patience(self) -> float | None:
        """For how many seconds a pause waits yet for attempts that run; None where it doesn't."""
        return self._patient_until - time.monotonic() if self._patient_until is not None and self.attempts else None

    def record(
        self, tx: Transaction, finished: Sequence[TaskFinished], lost: Sequence[LostWorker], wrong: dict[AttemptId, str], now: int
    ) -> PostCommitActions:
        """Attempts of the plan have ended."""
        if not finished and not lost:
            return PostCommitActions()
        staging = Staging(tx, self._tasks, self._claims, self.staged, now=now, version=self._lent.applied.id)
        for item in finished:
            if item.attempt in self.attempts:
                staging.add(self.attempts.pop(item.attempt), item.outcome, wrong.get(item.attempt))
        gone = [worker_lost for worker in lost if (worker_lost := self._lose(worker, staging)) is not None]
        staging.write()
        self._stopped = staging.stopped
        events: list[Event] = [*staging.events, *gone]
        if not events:
            return PostCommitActions()
        actions = self._decide(tx, events, now)
        actions.news += staging.news
        return actions

    def wake(self, tx: Transaction, now: int) -> PostCommitActions:
        """Time has passed."""
        at, actions = self.core.next_event(), PostCommitActions()
        if self.patience is not None and self.patience <= 0:
            actions.add(self._put_back(tx, list(self.attempts.values()), "its backfill is paused", now))
        if at is not None and at <= now:
            actions.add(self._decide(tx, [ClockAdvanced()], now))
        return actions

    def share(self, tx: Transaction, taken: tuple[tuple[str, int], ...], now: int) -> PostCommitActions:
        """So much of pools is taken by others."""
        if taken == self._elsewhere:
            return PostCommitActions()
        self._elsewhere = taken
        return self._decide(tx, [Elsewhere(taken)], now)

    def give_way(self, tx: Transaction, pools: Collection[str], now: int) -> PostCommitActions:
        """Production needs what attempts hold of these pools: they are ended, and begun again later, which is no failure of theirs."""
        holding = {name for name, node in self._nodes.items() if any(take.pool in pools for take in node.takes)}
        gone = [attempt for attempt in self.attempts.values() if attempt.node in holding]
        return self._put_back(tx, gone, "made room for production", now)

    # Being asked

    @property
    def at_rest(self) -> bool:
        """Whether nothing of the step runs, nor will by itself."""
        return not self.attempts and self.core.idle() and self.core.next_try() is None

    def unmade(self, now: int) -> list[UnsuccessfulPartition]:
        """What of the step couldn't be made, once it is at rest: what failed, and what waits for that or something else."""
        waiting = []
        for name, key in self.core.waiting(now, self.run):
            reasons = self.core.why(name, key)
            waiting.append(UnsuccessfulPartition(name, key, PartitionState.WAITING, reasons[0].text if reasons else ""))
        return [*self.ended.values(), *waiting]

    # Inside

    def _put_back(self, tx: Transaction, gone: Sequence[RunningAttempt], reason: str, now: int) -> PostCommitActions:
        """End attempts that run: their partitions are as if these had never begun."""
        if not gone:
            return PostCommitActions()
        for attempt in gone:
            del self.attempts[attempt.id]
            self._claims.release(attempt.id, attempt.node, attempt.keys)
        leader_writes.end_attempts(tx, [AttemptEnd(*attempt.id, state="cancelled", finished_at=now, reason=reason) for attempt in gone])
        actions = self._decide(tx, [WorkerLost(None, tuple(attempt.id for attempt in gone), reason)], now)
        actions.kills += [Kill(attempt.id, reason) for attempt in gone]
        return actions

    def _translated(self, event: Event) -> Iterable[Event]:
        """What an event of production means to the plan."""
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

    def _lose(self, gone: LostWorker, staging: Staging) -> WorkerLost | None:
        """A worker that had attempts of the plan ended."""
        mine = [
            attempt_id for attempt_id in (gone.running, *gone.queued) if attempt_id is not None and plan_of_attempt(attempt_id) == self.plan
        ]
        lost = [self.attempts.pop(attempt_id) for attempt_id in mine if attempt_id in self.attempts]
        if not lost:
            return None
        for attempt in lost:
            staging.lose(attempt, gone.reason, cancelled=attempt.id == gone.running and gone.reason == CANCELLED)
        running = next((attempt.id for attempt in lost if attempt.id == gone.running), None)
        return WorkerLost(running, tuple(attempt.id for attempt in lost if attempt.id != gone.running), f"its worker {gone.reason}")

    def _decide(self, tx: Transaction, events: Sequence[Event], now: int) -> PostCommitActions:
        decided = self._decisions.decide(tx, events, now)
        self.attempts |= {attempt.id: attempt for attempt in decided.starts}
        sent = time.monotonic()
        self._sent = {number: self._sent.get(number, sent) for number in self.attempts}
        self._note(tx, [command for command in decided.commands if isinstance(command, PartitionUpdate)])
        kills = [command for command in decided.commands if isinstance(command, Kill)]
        return PostCommitActions(decided.starts, kills, decided.news)

    def _note(self, tx: Transaction, marks: Sequence[PartitionUpdate]) -> None:
        """Keep what couldn't be made, and forget what has to be made again."""
        mine = [mark for mark in marks if self.holds(mark.node, mark.key)]
        stale = [(update.node, update.key) for update in mine if update.state is PartitionState.WAITING]
        self.redone += sum(1 for node, key in stale if key in self.staged.keys(node))
        self.staged.drop(tx, stale)
        self._forget_ended(tx, [item for item in stale if item in self.ended])
        stopped = [
            UnsuccessfulPartition(update.node, update.key, update.state, update.reason, *self._stopped.get((update.node, update.key), ()))
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
    """Of what the store has of a plan, what couldn't be made."""
    return [_ended(row) for row in rows if row.state != STAGED]


def _ended(row: OverlayRow) -> UnsuccessfulPartition:
    attempt = AttemptId(row.epoch, row.n) if row.n else None
    return UnsuccessfulPartition(row.node, row.partition, PartitionState(row.state), row.reason or "", attempt, row.changed)


def _as_stored(plan: int, ended: UnsuccessfulPartition) -> OverlayRow:
    """What couldn't be made, as the store has it."""
    epoch, n = ended.attempt or (0, 0)
    return OverlayRow(plan, ended.node, ended.key, epoch, n, ended.state.value, reason=ended.reason, changed=ended.sample)
