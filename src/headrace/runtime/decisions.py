"""Decisions of the core, stored before the leader acts on them, and the active runs."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from headrace.engine import BodyError, ErrorKind
from headrace.engine.attempts import is_called_each
from headrace.lake.catalog import newest_snapshot
from headrace.runtime.messages import ComputeTask
from headrace.runtime.publishing import HEADRACE
from headrace.runtime.runs import (
    STANDING,
    TICK,
    ActiveRun,
    LeaderClaims,
    News,
    NewsState,
    RunningAttempt,
    RunRequest,
    RunResult,
)
from headrace.runtime.tasks import TaskBuilder, Undeliverable
from headrace.scheduler import (
    CANCELLED,
    AttemptId,
    AttemptPublished,
    AttemptState,
    AttemptUnsuccessful,
    Command,
    Core,
    Dispatch,
    Event,
    FailureKind,
    FiredAt,
    Kill,
    PartitionState,
    PartitionUpdate,
    Target,
)
from headrace.scheduler import core as scheduler_core
from headrace.security.audit import Action, Actor, AuditEvent, Object, append
from headrace.store import Transaction
from headrace.store.queries import environments, leader_writes, scheduling
from headrace.store.queries.leader_writes import AttemptEnd, AttemptStart, PartitionRecord
from headrace.store.queries.scheduling import JournalRow

# The active runs of a leader: their rows in the store, the results of their partitions, and their
# own results.


class RunRegistry:
    """Runs by their number."""

    def __init__(self) -> None:
        self.going_on: dict[int, ActiveRun] = {}
        self._ended: dict[int, RunResult] = {}
        self.passes: set[int] = set()
        """The runs that are passes over everything."""
        self.tried: list[tuple[str, str]] = []
        """Node and partition of the standing run's attempts that ended since the last check."""
        self.waits: set[tuple[str, str]] = set()
        """Those of them that wait until the machine has resources again."""

    def begin(self, tx: Transaction, order: RunRequest, now: int) -> int:
        """Store a new run; return its number."""
        number = _run_row(tx, order, now)
        if order.kind == TICK:
            self.passes.add(number)
        if order.retry:
            append(
                tx,
                now,
                run_event(number, Action.RUN_REQUESTED, order.actor, order.request, order.reason),
            )
        return number

    def result(self, number: int) -> RunResult | None:
        """Return the result of a run that has ended, once; None before."""
        return self._ended.pop(number, None)

    def retarget(self, everything: Sequence[Target]) -> None:
        """Have the runs that go on with all nodes go on with these, of another version."""
        for run in self.going_on.values():
            if run.order.continuous:
                run.order = msgspec.structs.replace(run.order, targets=tuple(everything))

    def end(self, number: int, result: RunResult) -> None:
        """Move a run to the ended ones, after its end is committed."""
        if self.going_on.pop(number, None) is not None:
            self._ended[number] = result

    def row_of(self, tx: Transaction, number: int, now: int) -> int:
        """Return a run's row in the store.

        A standing run gets a new row with the first attempt after it was idle.
        """
        run = self.going_on.get(number)
        if run is None:
            return number
        if run.row is None:
            run.row = _run_row(tx, run.order, now)
        return run.row

    def close(self, tx: Transaction, run: ActiveRun, now: int) -> None:
        """Store the result of a run."""
        assert run.row is not None
        leader_writes.finish_run(tx, run.row, run.state, now)
        if run.results:
            counts = dict(Counter(run.results.values()))
            append(
                tx,
                now,
                run_event(
                    run.row,
                    Action.RUN_FINISHED,
                    HEADRACE,
                    {"state": run.state, "partitions": counts},
                    "",
                ),
            )

    @property
    def wave(self) -> bool:
        """Whether some work of the standing run is active, or has just ended."""
        run = self.going_on.get(STANDING)
        return run is not None and run.row is not None

    def end_wave(self, tx: Transaction, now: int) -> None:
        """Store the work that the standing run did since it was last idle as one finished run."""
        run = self.going_on[STANDING]
        assert run.row is not None
        self._ended[STANDING] = RunResult(run.row, run.state, (), run.notes, len(run.results))
        self.close(tx, run, now)
        run.row, run.notes = None, ()
        run.results.clear()

    def note(self, news: Iterable[News]) -> None:
        """Add the states of partitions to their runs, in the transaction that sets them."""
        for item, run in self._with_runs(news):
            if run.row is not None:
                run.results[item.node, item.partition] = item.state

    def tell(self, news: Iterable[News]) -> None:
        """Report the news to the callers of the runs, after the commit."""
        for item, run in self._with_runs(news):
            with contextlib.suppress(Exception):  # a failing progress display can't stop the work
                run.report(item)

    def _with_runs(self, news: Iterable[News]) -> Iterable[tuple[News, ActiveRun]]:
        return (
            (item, run)
            for item in news
            for number in item.runs
            if (run := self.going_on.get(number)) is not None
        )


def run_event(
    run: int, action: Action, actor: Actor, after: dict[str, object], reason: str
) -> AuditEvent:
    """Return the audit event of a run."""
    return AuditEvent(
        action=action,
        actor=actor,
        object=Object("run", str(run)),
        after=after,
        reason=reason,
        run_id=str(run),
    )


def _run_row(tx: Transaction, order: RunRequest, now: int) -> int:
    request = msgspec.json.encode(order.request).decode()
    return leader_writes.start_run(
        tx, kind=order.kind, request=request, actor=order.actor.id, now=now, plan=order.plan
    )


# Writes what the core decides: attempts that start, partitions that change their state, and the
# core's events with a hash of its commands.


class SchedulerDecisions(msgspec.Struct, frozen=True):
    """The decisions of the core in one loop iteration.

    `news` are the attempts that failed before they were sent to a worker.
    """

    starts: list[RunningAttempt]
    commands: list[Command]
    news: list[News]

    def followed_by(self, later: SchedulerDecisions) -> SchedulerDecisions:
        """Return these decisions and later ones of the same iteration."""
        return SchedulerDecisions(
            self.starts + later.starts, self.commands + later.commands, self.news + later.news
        )


class Decisions:
    """Stores the decisions of one core over one applied version, in one leader's epoch.

    The core is production's or that of a `plan`, a backfill. A backfill's core doesn't change
    production's partition states.
    """

    def __init__(
        self,
        core: Core,
        tasks: TaskBuilder,
        claims: LeaderClaims,
        runs: RunRegistry,
        *,
        version: int,
        plan: int = 0,
    ) -> None:
        self.core = core
        self._tasks, self._claims, self._runs = tasks, claims, runs
        self._version, self._plan = version, plan
        self._untold: list[JournalRow] = []
        self._proving: dict[AttemptId, tuple[str, bool]] = {}
        """Attempts whose end tells whether code can be batched → their node, and whether they prove
        it, because they also compute one of their partitions alone."""
        self.last_n = 0
        """Number of the last attempt that this core started."""

    def decide(self, tx: Transaction, events: Sequence[Event], now: int) -> SchedulerDecisions:
        """Hand events to the core until it asks for nothing more; store its decisions."""
        decided = SchedulerDecisions([], [], [])
        self._note_proofs(tx, events)
        pending, snapshot = list(events), None
        while pending:
            commands = self.core.handle_all(pending, now)
            self._journal(tx, pending, commands, now)
            decided.commands.extend(commands)
            dispatches = [command for command in commands if isinstance(command, Dispatch)]
            if dispatches and snapshot is None:
                snapshot = newest_snapshot(tx)
            pending = [
                end
                for dispatch in dispatches
                for end in self._start(tx, dispatch, now, snapshot or 0, decided)
            ]
        self._write(tx, decided, now)
        return decided

    def _write(self, tx: Transaction, decided: SchedulerDecisions, now: int) -> None:
        """Store new states, firings, starts and ends of attempts."""
        if not self._plan:
            _mark(tx, [c for c in decided.commands if isinstance(c, PartitionUpdate)], now)
        scheduling.record_firings(
            tx, [(c.node, c.at) for c in decided.commands if isinstance(c, FiredAt)]
        )
        leader_writes.start_attempts(
            tx, [self._row(tx, attempt, now) for attempt in decided.starts]
        )
        environments.record_reads(
            tx,
            [
                (*start.id, start.prepared.borrowed)
                for start in decided.starts
                if start.prepared.borrowed is not None
            ],
        )
        leader_writes.end_attempts(
            tx,
            [
                _cancelled(c.attempt, now)
                for c in decided.commands
                if isinstance(c, Kill) and c.reason == CANCELLED
            ],
        )

    def _journal(
        self, tx: Transaction, events: Sequence[Event], commands: Sequence[Command], now: int
    ) -> None:
        """Append events and decisions to the event log.

        Events without decisions wait for the next ones with some.
        """
        encoded_events = scheduler_core.encode_events(events)
        self._untold.append(
            JournalRow(
                self.core.epoch,
                self.core.slots,
                now,
                encoded_events,
                scheduler_core.commands_digest(commands),
                self._plan,
            )
        )
        if commands:
            scheduling.append_events(tx, self._untold)
            self._untold.clear()

    def _note_proofs(self, tx: Transaction, events: Sequence[Event]) -> None:
        """Store whether an asset's current code can be batched, when an attempt has shown it.

        A proof compares a partition in a batch with the same partition computed alone. Code that is
        called for each partition needs none, but its rows may not fit together.
        """
        for event in events if self._proving else ():
            if not isinstance(event, AttemptPublished | AttemptUnsuccessful):
                continue
            node, proves = self._proving.pop(event.attempt, ("", False))
            if proves and isinstance(event, AttemptPublished):
                self._tasks.proved(tx, node, proven=True)
            elif (
                node
                and isinstance(event, AttemptUnsuccessful)
                and event.kind is FailureKind.NOT_SEPARABLE
            ):
                self._tasks.proved(tx, node, proven=False)

    def _start(
        self,
        tx: Transaction,
        command: Dispatch,
        now: int,
        snapshot: int,
        decided: SchedulerDecisions,
    ) -> list[Event]:
        self.last_n = command.attempt.n
        try:
            prepared = self._tasks.prepare(tx, command, now, snapshot)
        except Undeliverable as error:
            return [self._undeliverable(tx, command, str(error), now, decided)]
        decided.starts.append(
            RunningAttempt(
                command.attempt,
                command.node,
                command.keys,
                prepared,
                command.queued_at,
                command.runs,
            )
        )
        self._claims.grant(command.attempt, command.node, command.keys)
        if isinstance(prepared.task, ComputeTask):
            proves = prepared.task.alone is not None
            if proves or is_called_each(prepared.task):
                self._proving[command.attempt] = command.node, proves
        return []

    def _undeliverable(
        self, tx: Transaction, command: Dispatch, reason: str, now: int, decided: SchedulerDecisions
    ) -> AttemptUnsuccessful:
        """Record an attempt that failed before it was sent to a worker."""
        kind, row = self._tasks.kind(command.node), self._runs.row_of(tx, command.runs[0], now)
        start = AttemptStart(
            *command.attempt,
            row,
            command.node,
            kind,
            command.keys,
            self._version,
            0,
            None,
            command.queued_at,
            now,
        )
        error = msgspec.json.encode(
            BodyError(ErrorKind.DETERMINISTIC, reason, code="configuration_error")
        ).decode()
        leader_writes.start_attempts(tx, [start])
        leader_writes.end_attempts(
            tx,
            [
                AttemptEnd(
                    *command.attempt,
                    state=AttemptState.FAILED,
                    finished_at=now,
                    reason=reason,
                    error=error,
                )
            ],
        )
        decided.news.extend(
            News(command.node, key, NewsState.FAILED, None, reason, runs=command.runs)
            for key in command.keys
        )
        return AttemptUnsuccessful(
            command.attempt, PartitionState.FAILED, reason, FailureKind.DETERMINISTIC
        )

    def _row(self, tx: Transaction, attempt: RunningAttempt, now: int) -> AttemptStart:
        prepared = attempt.prepared
        return AttemptStart(
            *attempt.id,
            self._runs.row_of(tx, attempt.runs[0], now),
            attempt.node,
            prepared.kind,
            attempt.keys,
            self._version,
            prepared.snapshot,
            prepared.delivery_id,
            attempt.queued_at,
            now,
        )


def _mark(tx: Transaction, marks: Sequence[PartitionUpdate], now: int) -> None:
    rows = [
        PartitionRecord(
            m.node, m.key, m.state, m.stale, m.failures, m.not_before, m.reason, now, m.proposed
        )
        for m in marks
    ]
    leader_writes.mark_partitions(tx, rows)


def _cancelled(attempt: AttemptId, now: int) -> AttemptEnd:
    """Return the end of a cancelled attempt.

    It is cancelled at once; the leader then only waits for the worker.
    """
    return AttemptEnd(*attempt, state=AttemptState.CANCELLED, finished_at=now, reason=CANCELLED)
