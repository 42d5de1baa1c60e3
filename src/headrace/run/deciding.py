"""What the core decides, written down before it is acted on: attempts that start, partitions that stand elsewhere, the journal."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.engine import BodyError, ErrorKind
from headrace.lake.catalog import newest_snapshot
from headrace.run.claims import LeaderClaims
from headrace.run.messages import ComputeTask
from headrace.run.news import News
from headrace.run.runs import RunRegistry
from headrace.run.steps.outcomes import RunningAttempt
from headrace.run.tasks import TaskBuilder, Undeliverable
from headrace.schedule import (
    CANCELLED,
    AttemptId,
    AttemptPublished,
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
    history,
)
from headrace.store import Transaction
from headrace.store.queries import borrowing, firings, journal, leading
from headrace.store.queries.journal import JournalRow
from headrace.store.queries.leading import AttemptEnd, AttemptStart, PartitionRecord


class SchedulerDecisions(msgspec.Struct, frozen=True):
    """What the core asked for in one turn. `news` tells of attempts that failed before they were sent to anybody."""

    starts: list[RunningAttempt]
    commands: list[Command]
    news: list[News]


class Decisions:
    """One core's, over one applied version, in one leader's epoch: production's, or that of a `plan`, which says nothing of where
    production's partitions stand."""

    def __init__(
        self,
        core: Core,
        tasks: TaskBuilder,
        claims: LeaderClaims,
        runs: RunRegistry,
        *,
        epoch: int,
        slots: int,
        version: int,
        plan: int = 0,
    ) -> None:
        self.core = core
        self._tasks, self._claims, self._runs = tasks, claims, runs
        self._epoch, self._slots, self._version, self._plan = epoch, slots, version, plan
        self._untold: list[JournalRow] = []
        self._proving: dict[AttemptId, str] = {}
        """Attempts that also compute one of their partitions alone → their node."""
        self.last_n = 0
        """Of the attempts that this core has started."""

    def decide(self, tx: Transaction, events: Sequence[Event], now: int) -> SchedulerDecisions:
        """Hand events to the core until it asks for nothing more, and write what it decides."""
        decided = SchedulerDecisions([], [], [])
        self._note_proofs(tx, events)
        told, snapshot = list(events), None
        while told:
            commands = self.core.handle_all(told, now)
            self._journal(tx, told, commands, now)
            decided.commands.extend(commands)
            dispatches = [command for command in commands if isinstance(command, Dispatch)]
            if dispatches and snapshot is None:
                snapshot = newest_snapshot(tx)
            told = [end for dispatch in dispatches for end in self._start(tx, dispatch, now, snapshot or 0, decided)]
        if not self._plan:
            _mark(tx, [c for c in decided.commands if isinstance(c, PartitionUpdate)], now)
        firings.record(tx, [(c.node, c.at) for c in decided.commands if isinstance(c, FiredAt)])
        leading.start_attempts(tx, [self._row(tx, attempt, now) for attempt in decided.starts])
        borrowing.read_at(tx, [(*start.id, start.prepared.borrowed) for start in decided.starts if start.prepared.borrowed is not None])
        leading.end_attempts(tx, [_cancelled(c.attempt, now) for c in decided.commands if isinstance(c, Kill) and c.reason == CANCELLED])
        return decided

    def _journal(self, tx: Transaction, events: Sequence[Event], commands: Sequence[Command], now: int) -> None:
        """Write down what the core was told and decided; what came to nothing waits for what comes to something."""
        told = history.encode(events)
        self._untold.append(JournalRow(self._epoch, self._slots, now, told, history.digest(commands), self._plan))
        if commands:
            journal.append(tx, self._untold)
            self._untold.clear()

    def _note_proofs(self, tx: Transaction, events: Sequence[Event]) -> None:
        """Write down of which bodies it is known now whether several partitions at once come to what one alone comes to."""
        for event in events if self._proving else ():
            node = self._proving.pop(event.attempt, None) if isinstance(event, AttemptPublished | AttemptUnsuccessful) else None
            if node is not None and isinstance(event, AttemptPublished):
                self._tasks.proved(tx, node, proven=True)
            elif node is not None and isinstance(event, AttemptUnsuccessful) and event.kind is FailureKind.NOT_SEPARABLE:
                self._tasks.proved(tx, node, proven=False)

    def _start(self, tx: Transaction, command: Dispatch, now: int, snapshot: int, decided: SchedulerDecisions) -> list[Event]:
        self.last_n = command.attempt.n
        try:
            prepared = self._tasks.prepare(tx, command, now, snapshot)
        except Undeliverable as error:
            return [self._undeliverable(tx, command, str(error), now, decided)]
        decided.starts.append(RunningAttempt(command.attempt, command.node, command.keys, prepared, command.queued_at, command.runs))
        self._claims.grant(command.attempt, command.node, command.keys)
        if isinstance(prepared.task, ComputeTask) and prepared.task.prove:
            self._proving[command.attempt] = command.node
        return []

    def _undeliverable(self, tx: Transaction, command: Dispatch, reason: str, now: int, decided: SchedulerDecisions) -> AttemptUnsuccessful:
        """An attempt that failed before it was sent to anybody."""
        kind, row = self._tasks.kind(command.node), self._runs.row_of(tx, command.runs[0], now)
        start = AttemptStart(*command.attempt, row, command.node, kind, command.keys, self._version, 0, None, command.queued_at, now)
        error = msgspec.json.encode(BodyError(kind=ErrorKind.DETERMINISTIC, message=reason)).decode()
        leading.start_attempts(tx, [start])
        leading.end_attempts(tx, [AttemptEnd(*command.attempt, state="failed", finished_at=now, reason=reason, error=error)])
        decided.news.extend(News(command.node, key, "failed", None, reason, runs=command.runs) for key in command.keys)
        return AttemptUnsuccessful(command.attempt, PartitionState.FAILED, reason, FailureKind.DETERMINISTIC)

    def _row(self, tx: Transaction, attempt: RunningAttempt, now: int) -> AttemptStart:
        prepared = attempt.prepared
        return AttemptStart(
            *attempt.id, self._runs.row_of(tx, attempt.runs[0], now), attempt.node, prepared.kind, attempt.keys, self._version,
            prepared.snapshot, prepared.delivery_id, attempt.queued_at, now,
        )  # fmt: skip


def _mark(tx: Transaction, marks: Sequence[PartitionUpdate], now: int) -> None:
    rows = [PartitionRecord(m.node, m.key, m.state, m.stale, m.failures, m.not_before, m.reason, now, m.proposed) for m in marks]
    leading.mark_partitions(tx, rows)


def _cancelled(attempt: AttemptId, now: int) -> AttemptEnd:
    """An attempt that nobody wants any more, as it stands from now on: its worker's end is only waited for."""
    return AttemptEnd(*attempt, state="cancelled", finished_at=now, reason=CANCELLED)
