"""One iteration of the leader's loop: answers of workers, decisions, writes, tasks to send."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from headrace.faults import FaultPoint, reached
from headrace.incidents.endings import CHECKED_AGAIN
from headrace.model.causes import HEADRACE
from headrace.model.partitions import partition_argument
from headrace.plan.backfills import plan_of_attempt
from headrace.runtime.applied_versions import AppliedVersion, Production
from headrace.runtime.decisions import Decisions, RunRegistry
from headrace.runtime.delivery_order import DeliveryOrder
from headrace.runtime.durable_files import make_durable
from headrace.runtime.evaluation import VersionEvaluator, evaluate_state, evaluated_again
from headrace.runtime.event_log import Checkpoints
from headrace.runtime.executors import Executor, LostWorker, ObservationFinished, TaskFinished
from headrace.runtime.executors import News as Answered
from headrace.runtime.folders import Folders
from headrace.runtime.messages import Prune
from headrace.runtime.overlays.plans import Plans
from headrace.runtime.publishing import Batch
from headrace.runtime.runs import (
    STANDING,
    LeaderClaims,
    LeaderCounters,
    News,
    NewsState,
    RunningAttempt,
    RunResult,
    waiting,
)
from headrace.runtime.source_watch import PendingObservation, PendingObservations, recorded
from headrace.runtime.tasks import EXPORT, TaskBuilder
from headrace.scheduler import (
    CANCELLED,
    AttemptId,
    ClockAdvanced,
    Command,
    Core,
    DeliveryArrived,
    Event,
    GraphNode,
    Kill,
    PartitionOvertaken,
    Settled,
    WorkerLost,
)
from headrace.scheduler.events import WAITING_SHOWN_MAX
from headrace.slo import obligation_records
from headrace.slo.declared_promises import DeclaredPromises
from headrace.slo.obligations import EvaluationContext
from headrace.store import Clock as StoreClock
from headrace.store import Lease, Store, Transaction
from headrace.store.queries import incidents, lake_maintenance, quarantine
from headrace.store.queries import quarantine as stored
from headrace.store.queries.incidents import Happened
from headrace.store.queries.quarantine import QuarantinedPartition

# Repeats a check that rejected rows because rows of another node were missing, once that node has
# published other rows.


def checked_again(
    tx: Transaction, checked: Sequence[GraphNode], news: Iterable[News], now: int
) -> Iterator[DeliveryArrived | PartitionOvertaken]:
    """Yield an event for each partition to recompute or re-ingest because a reference changed.

    These are partitions rejected by a check that reads another node, where `news` reports that
    other rows of that node were published since. `checked` are the nodes with such checks.
    """
    published = {item.node for item in news if item.state is NewsState.PUBLISHED}
    for node in checked if published else ():
        read = [name for name in node.checked_against if name in published]
        if read:
            yield from _rejected_by(tx, node.name, read, now)


def _rejected_by(
    tx: Transaction, node: str, references: Sequence[str], now: int
) -> Iterator[DeliveryArrived | PartitionOvertaken]:
    """Yield an event for each rejected partition of a node with newer rows in a reference."""
    for partition in stored.rejected_by_references(tx, node):
        newer = next(
            (name for name in references if stored.has_newer_rows(tx, name, partition)), ""
        )
        if newer:
            _note_recheck(tx, partition, newer, now)
            yield _recheck_event(tx, partition)


def _recheck_event(
    tx: Transaction, partition: QuarantinedPartition
) -> DeliveryArrived | PartitionOvertaken:
    if partition.delivery is None:
        return PartitionOvertaken(partition.node, partition.partition)
    quarantine.reingest(tx, partition.delivery)
    return DeliveryArrived(partition.node, partition.partition)


def _note_recheck(
    tx: Transaction, partition: QuarantinedPartition, reference: str, now: int
) -> None:
    """Record the recheck in the timeline of the open incident, if there is one."""
    incident = incidents.open_at(tx, partition.node, partition.partition)
    if incident is not None:
        text = (
            f"{partition_argument(partition.node, partition.partition)} is checked again:"
            f" {reference} has other rows since"
        )
        incidents.happened(
            tx, incident.id, [Happened(now, text, HEADRACE, f"{CHECKED_AGAIN}{reference}")]
        )


# The state of a leader while it leads, and its work in one iteration. `leader.Leader` adds the
# methods that callers use.

Write: TypeAlias = Callable[[Transaction, int], Sequence[Event] | None]
"""Writes an event's data at a time, in the iteration's transaction; may return more events."""


class _Decided(NamedTuple):
    """Actions to take once an iteration is committed."""

    starts: list[RunningAttempt]
    errands: list[tuple[RunningAttempt, Prune]]
    kills: list[Kill]
    news: list[News]
    ended: list[RunResult]


class LeaderLoop:
    """The state of a leader while it leads, and one iteration of its loop.

    `leader.Leader` adds the methods for callers.
    """

    applied: AppliedVersion
    _core: Core
    _tasks: TaskBuilder
    _decisions: Decisions
    _declared_promises: DeclaredPromises
    _evaluator: VersionEvaluator
    _checked: tuple[GraphNode, ...]
    """The nodes with checks that read other nodes."""

    def __init__(
        self,
        store: Store,
        lease: Lease,
        clock: StoreClock,
        folders: Folders,
        executor: Executor,
        production: Production | None,
    ) -> None:
        self.store, self.lease, self.clock = store, lease, clock
        self._production = production
        self._folders, self._executor = folders, executor
        self._looks = PendingObservations(store, executor, folders)
        self._delivery_order = DeliveryOrder()
        self.figures = LeaderCounters(executor.slots)
        self._attempts: dict[AttemptId, RunningAttempt] = {}
        self._claims = LeaderClaims()
        self._runs = RunRegistry()
        self._publication_id = self._last_n = self._begun_us = 0
        self._checkpoints = Checkpoints()
        self._unproven = True
        """Whether no worker has answered this leader yet."""
        self._plans = Plans(
            store, executor, self._runs, lambda write: self._run_iteration([], [], write)
        )

    @property
    def _borrowed(self) -> frozenset[str]:
        """The nodes that an environment reads from production; none in production."""
        return self._production.nodes if self._production is not None else frozenset()

    def _run_iteration(
        self, events: Sequence[Event], news: Sequence[Answered], write: Write | None = None
    ) -> None:
        """Run one iteration: record what happened in one transaction, then act on the decisions."""
        reached(FaultPoint.TURN_BEGUN)
        self._begun_us = self.clock.now_us()
        self._checkpoints.sound = False
        self._looks.record(news)
        answers = [n for n in news if isinstance(n, TaskFinished)]
        wrong = make_durable(
            self._folders,
            [n for n in answers if n.attempt in self._attempts or plan_of_attempt(n.attempt)],
        )
        reached(FaultPoint.TURN_SYNCED)
        with self.figures.iteration(self.store.write(self.lease.epoch)) as tx:
            decided = self._written(tx, events, news, wrong, write)
            reached(FaultPoint.TURN_COMMITTING)
        self._checkpoints.sound = True
        reached(FaultPoint.TURN_COMMITTED)
        self._last_n = max(self._last_n, self._decisions.last_n)
        self._act(decided)
        self._runs.tell(decided.news)  # after `_act`, so that workers don't wait for reporters
        for result in (*decided.ended, *self._plans.ended()):
            self._runs.end(result.run_id, result)
        reached(FaultPoint.TURN_DONE)

    def _written(
        self,
        tx: Transaction,
        events: Sequence[Event],
        news: Sequence[Answered],
        wrong: dict[AttemptId, str],
        write: Write | None,
    ) -> _Decided:
        """Write everything that one iteration writes."""
        now = self.clock.mark(tx)
        self._plans.publication_id = self._publication_id
        more = (write(tx, now) or ()) if write is not None else ()
        self._publication_id = max(self._publication_id, self._plans.publication_id)
        self._clear_worker_problem(tx, news)
        batch = Batch(
            tx,
            self._tasks,
            self._claims,
            now=now,
            version=self.applied.id,
            publication_id=self._publication_id,
            begun=self._begun_us,
        )
        ended = self._recorded(batch, news, wrong)
        batch.write()
        errands = batch.errands()
        self._publication_id = batch.publication_id
        again = [
            *evaluated_again(tx, self.applied.compiled.project, batch.news, now),
            *checked_again(tx, self._checked, batch.news, now),
        ]
        seen = [
            event
            for observation in self._looks.ended()
            for event in self._seen(tx, observation, now)
        ]
        # what a backfill that has just begun now holds
        elsewhere = self._plans.elsewhere()
        decided = self._decisions.decide(
            tx, [*elsewhere, *ended, *again, *seen, *events, *more], now
        )
        self._plans.follow(tx, [*batch.visible, *events, *more], news, wrong, now)
        elsewhere = self._plans.elsewhere()
        if elsewhere:
            decided = decided.followed_by(self._decisions.decide(tx, elsewhere, now))
        self._attempts |= {
            attempt.id: attempt
            for attempt in (*decided.starts, *(attempt for attempt, _ in errands))
        }
        all_news = [*batch.news, *decided.news, *self._plans.news]
        self.figures.note(all_news)
        self._runs.note(all_news)
        ended_runs = self._finish_runs(tx, decided.commands, now)
        if self._plans.to_be_judged():
            self._settle(tx, now)
        self._end_wave(tx, now)
        if self._production is None:
            self._checkpoints.maintain(
                tx, self._core, [*batch.events, *more], decided.commands, self.applied.id, now
            )
        return _Decided(
            decided.starts,
            errands,
            [command for command in decided.commands if isinstance(command, Kill)],
            all_news,
            ended_runs,
        )

    def _clear_worker_problem(self, tx: Transaction, news: Sequence[Answered]) -> None:
        """Clear the recorded problem of starting workers as soon as a worker has answered."""
        answered = any(isinstance(item, TaskFinished | ObservationFinished) for item in news)
        if self._unproven and answered:
            lake_maintenance.clear_problem(tx, lake_maintenance.WORKERS)
            self._unproven = False

    def _recorded(
        self, batch: Batch, news: Sequence[Answered], wrong: dict[AttemptId, str]
    ) -> list[Event]:
        """Record the ended attempts of production and return their events for the core."""
        for item in news:
            if not isinstance(item, TaskFinished):
                continue
            attempt = self._attempts.pop(item.attempt, None)
            if attempt is None:  # an attempt of a backfill
                continue
            batch.add(attempt, item.outcome, wrong.get(item.attempt))
            if STANDING in attempt.runs:
                self._runs.tried += [(attempt.node, key) for key in attempt.keys]
        lost = [self._lose(loss, batch) for loss in news if isinstance(loss, LostWorker)]
        return [*batch.events, *lost]

    def _act(self, decided: _Decided) -> None:
        """Carry out the committed decisions."""
        if any(attempt.prepared.kind == EXPORT for attempt in decided.starts):
            self._make_durable()
            reached(FaultPoint.TURN_DURABLE)
        for attempt in decided.starts:
            reached(FaultPoint.TASK_SENDING)
            self._executor.submit(attempt.id, attempt.prepared.task)
        for attempt, task in decided.errands:
            self._executor.submit(attempt.id, task)
        for command in decided.kills:
            self._executor.kill(command.attempt, command.reason)
        self._plans.send()
        self._executor.send()

    def _seen(self, tx: Transaction, observation: PendingObservation, now: int) -> list[Event]:
        """Return the events of a finished observation, with the request that waited for it."""
        events: list[Event] = list(
            recorded(tx, observation, now, self._declared_promises.tick_every_us)
        )
        run = self._runs.going_on.get(observation.run)
        if run is None:
            return [*events, ClockAdvanced()]
        run.looking, run.notes = run.looking - 1, (*run.notes, *observation.warnings)
        return [*run.order.received, *run.order.together, *events, run.request(self._borrowed)]

    def _finish_runs(
        self, tx: Transaction, commands: Sequence[Command], now: int
    ) -> list[RunResult]:
        """Finish the runs that the core calls settled; return the results of those that ended."""
        results = [
            self._finish(tx, command, now) for command in commands if isinstance(command, Settled)
        ]
        return [result for result in results if result is not None]

    def _finish(self, tx: Transaction, settled: Settled, now: int) -> RunResult | None:
        """Finish a run: evaluate what became due and store the result.

        A run of a backfill continues there and returns None.
        """
        run = self._runs.going_on[settled.run]
        if run.order.plan is not None:
            self._settle(tx, now)
            self._plans.settled(tx, run, now)
            return None
        still = waiting(settled, self._core.proposed(most=WAITING_SHOWN_MAX))
        self._settle(tx, now, run.row)
        self._runs.close(tx, run, now)
        return RunResult(run.id, run.state, still, run.notes, len(run.results))

    def _end_wave(self, tx: Transaction, now: int) -> None:
        """End the current run of the standing run when nothing of it is active any more.

        Attempts that wait for free disk space are retried every few seconds. They belong to one
        run, which ends when nothing waits any more.
        """
        if not self._runs.wave or any(
            STANDING in attempt.runs for attempt in self._attempts.values()
        ):
            return
        tried, self._runs.tried = self._runs.tried, []
        self._runs.waits = {
            item for item in (*self._runs.waits, *tried) if self._core.waits_for_machine(*item)
        }
        if tried or not self._runs.waits:
            self._settle(tx, now, self._runs.going_on[STANDING].row)
        if not self._runs.waits:
            self._runs.end_wave(tx, now)

    def _make_durable(self) -> None:
        """Make all commits survive a power failure, before an effect outside Headrace.

        A durable commit also makes the commits before it durable.
        """
        with self.store.write(self.lease.epoch, durable=True) as tx:
            self.clock.mark(tx)

    def _lose(self, loss: LostWorker, batch: Batch) -> WorkerLost:
        """Record the loss of a worker's running attempt and of those queued behind it.

        Observations are skipped: the core doesn't know them.
        """
        lost = [
            self._attempts.pop(attempt_id, None) if attempt_id is not None else None
            for attempt_id in (loss.running, *loss.queued)
        ]
        for attempt in lost:
            if attempt is not None:
                begun = attempt.id == loss.running
                batch.lose(
                    attempt, loss.reason, begun=begun, cancelled=begun and loss.reason == CANCELLED
                )
        running, *queued = (attempt.id if attempt is not None else None for attempt in lost)
        return WorkerLost(
            running,
            tuple(attempt_id for attempt_id in queued if attempt_id is not None),
            f"its worker {loss.reason}",
        )

    def _settle(self, tx: Transaction, now: int, run: int | None = None) -> None:
        """Record obligations that became due or were met, and evaluate the state.

        Environments send no notifications.
        """
        if self._production is None:
            evaluate_state(tx, self._evaluator, now, run)
            return
        with self._production.store.read() as theirs:
            obligation_records.settle_obligations(
                tx,
                EvaluationContext(self._declared_promises, self._production.facts(tx, theirs)),
                now,
            )
