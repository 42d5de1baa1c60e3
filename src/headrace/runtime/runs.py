"""Runs and attempts as the leader tracks them: requests, progress, results, claims and outcomes."""

from __future__ import annotations

import enum
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import msgspec

from headrace.checks import CheckState, Verdict
from headrace.engine import BodyError, ErrorKind
from headrace.runtime.messages import (
    ComputeTask,
    FailedOutcome,
    IngestBatchTask,
    StagedOutcome,
    TaskOutcome,
    WithheldOutcome,
)
from headrace.runtime.tasks import PreparedTask
from headrace.scheduler import AttemptId, DeliveryArrived, Requested, Settled, Target
from headrace.scheduler.events import WAITING_SHOWN_MAX
from headrace.security.audit import Actor
from headrace.store import Transaction

# Progress of a run while it works, for callers that display it.


class NewsState(enum.StrEnum):
    """The outcome of an attempt for one of its partitions."""

    PUBLISHED = "published"
    STAGED = "staged"
    """Of a backfill."""
    HELD = "held"
    REJECTED = "rejected"
    FAILED = "failed"
    LOST = "lost"
    CANCELLED = "cancelled"
    WAITING = "waiting"
    """The partition is retried."""


class News(msgspec.Struct, frozen=True, gc=False):
    """The outcome of one partition."""

    node: str
    partition: str
    state: NewsState
    verdict: str | None
    reason: str
    rows: int | None = None
    runs: tuple[int, ...] = ()
    """The runs that need the partition."""


class Reporter(Protocol):
    """Receives news as they arrive; must return at once."""

    def __call__(self, news: News, /) -> None: ...


def silent(_: News) -> None:
    """Report nothing."""


# The request of a run, its state while it is active, and its result.

STANDING = -1
"""Number of the standing run: the one that a server works at by itself. There is at most one."""
TICK = "tick"
"""Kind of a run that is one pass over everything."""
PROPOSED = "is stale, and is recomputed only on request"


class RunRequest(msgspec.Struct, frozen=True):
    """The request of one run.

    `kind` is `run`, `tick`, `receive`, `serve` or `backfill`; `request` holds the command's
    arguments as typed.
    """

    kind: str
    targets: tuple[Target, ...]
    actor: Actor
    request: dict[str, object] = {}
    reason: str = ""
    retry: frozenset[str] = frozenset()
    """Nodes that a user requested: their failed partitions are retried."""
    again: frozenset[str] = frozenset()
    """The nodes of `retry` whose publications are replaced."""
    received: tuple[DeliveryArrived, ...] = ()
    """Deliveries handed in by hand; their sources aren't observed."""
    together: tuple[DeliveryArrived, ...] = ()
    """Deliveries of several partitions each to re-ingest, all partitions of one together."""
    continuous: bool = False
    """Whether the run lasts as long as the leader: the work that a server does by itself."""
    plan: int | None = None
    """The backfill that the run works at.

    `targets` are the sources to ingest before it computes.
    """


class RunState(enum.StrEnum):
    """How a run ended."""

    NOTHING_DUE = "nothing_due"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    """Some of its partitions were published."""
    FAILED = "failed"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    """Its backfill was paused."""


class RunResult(msgspec.Struct, frozen=True):
    """The result of a run.

    `waiting` holds node, partition and reason of at most WAITING_SHOWN_MAX requested partitions
    that couldn't run.
    """

    run_id: int
    state: RunState
    waiting: tuple[tuple[str, str, str], ...]
    warnings: tuple[str, ...]
    partitions: int = 0
    """Number of partitions with an outcome."""


class ActiveRun:
    """An active run. A standing run is never settled."""

    def __init__(self, number: int, order: RunRequest, report: Reporter = silent) -> None:
        self.id, self.order, self.report = number, order, report
        self.row: int | None = number
        """The run's row in the store.

        A standing run has one only while some of its work is active.
        """
        self.notes: tuple[str, ...] = ()
        self.looking = 0
        """Number of observations that the run waits for."""
        self.results: dict[tuple[str, str], NewsState] = {}
        """Node and partition → state."""

    def request(self, borrowed: frozenset[str]) -> Requested:
        """Return the request for the core, without borrowed nodes."""
        targets = tuple(target for target in self.order.targets if target.node not in borrowed)
        return Requested(
            targets, self.order.retry, self.order.again, self.id, self.order.continuous
        )

    @property
    def state(self) -> RunState:
        """How the run ended, from the last state of each partition.

        A partition that waits for a disk or a server hasn't failed. If all of them wait, nothing
        was due.
        """
        if all(state is NewsState.WAITING for state in self.results.values()):
            return RunState.NOTHING_DUE
        good = sum(1 for state in self.results.values() if state is NewsState.PUBLISHED)
        if good == len(self.results):
            return RunState.SUCCEEDED
        return RunState.PARTIAL if good else RunState.FAILED


def cancelled_by(actor: str, reason: str) -> str:
    """Return a clause with the user who cancelled a run and the reason."""
    return f"cancelled by {actor}" + (f": {reason}" if reason else "")


def waiting(
    settled: Settled, proposed: Sequence[tuple[str, str]]
) -> tuple[tuple[str, str, str], ...]:
    """Return requested partitions that couldn't run, with the reason of each."""
    return (*settled.waiting, *((node, key, PROPOSED) for node, key in proposed))[
        :WAITING_SHOWN_MAX
    ]


# Counters of one leader since it started, for `/metrics`: a counter there restarts at zero with
# each process.

TURN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds of the buckets of loop iterations, in seconds; one more bucket holds longer ones."""


class LeaderCounters:
    """Counters of one leader: they only grow, so another thread may read them at any time."""

    def __init__(self, slots: int = 0) -> None:
        self.slots = slots
        """Number of attempts that can run at once."""
        self.turns = [0] * (len(TURN_SECONDS) + 1)
        """Number of iterations by duration, from the start of the transaction to its commit."""
        self.turn_seconds = 0.0
        self.partitions: Counter[str] = Counter()
        """State → number of partitions that attempts ended with."""

    @contextmanager
    def iteration(self, transaction: AbstractContextManager[Transaction]) -> Iterator[Transaction]:
        """Count a loop iteration's transaction and its duration."""
        began = time.monotonic()
        with transaction as tx:
            yield tx
        took = time.monotonic() - began
        self.turns[bisect_left(TURN_SECONDS, took)] += 1
        self.turn_seconds += took

    def note(self, news: Iterable[News]) -> None:
        """Count the states of partitions."""
        self.partitions.update(item.state for item in news)


# Claims: only the newest attempt that was given a partition may publish it (SEMANTICS §6). They
# live in the leader's memory. A leader that has lost its lease can't commit, whatever it
# remembers, because every transaction checks its epoch; so no other process needs to read them.


class LeaderClaims:
    """The claims of one leader."""

    def __init__(self) -> None:
        self._holders: dict[tuple[str, str], AttemptId] = {}

    def grant(self, attempt: AttemptId, node: str, keys: Sequence[str]) -> None:
        """Give an attempt its partitions; earlier holders can't publish them any more."""
        for key in keys:
            self._holders[node, key] = attempt

    def held(self, attempt: AttemptId, node: str, keys: Sequence[str]) -> bool:
        """Whether an attempt still holds all of its partitions."""
        return all(self._holders.get((node, key)) == attempt for key in keys)

    def release(self, attempt: AttemptId, node: str, keys: Sequence[str]) -> None:
        """Release the claims of an ended attempt, except those that a newer attempt took over."""
        for key in keys:
            if self._holders.get((node, key)) == attempt:
                del self._holders[node, key]


# Running attempts, and how an outcome of a worker is interpreted: its contents, its verdict, its
# warnings.


class RunningAttempt(msgspec.Struct, frozen=True, gc=False):
    """What the leader remembers of a running attempt."""

    id: AttemptId
    node: str
    keys: tuple[str, ...]
    prepared: PreparedTask
    queued_at: int
    runs: tuple[int, ...]
    staged_outcome: StagedOutcome | None = None
    """The staged outcome, while files shared with other partitions are copied again.

    Another attempt has replaced these files since.
    """
    copied: int = 0
    """Number of times that these copies were requested."""


def contents(
    attempt: RunningAttempt, outcome: StagedOutcome
) -> tuple[dict[str, str | None], dict[str, int]]:
    """Return each partition's content hash and row count; for a merge, of the whole table."""
    if outcome.replacement is not None:
        (key,) = attempt.keys
        return {key: outcome.replacement.content_hash}, {key: outcome.replacement.rows}
    hashes: dict[str, str | None] = dict.fromkeys(attempt.keys)
    rows = dict.fromkeys(attempt.keys, 0)
    if outcome.staged is not None:
        for part in outcome.staged.partitions:
            hashes[part.key], rows[part.key] = part.content_hash, part.rows
    elif outcome.manifest is not None:
        written = sum(int(item.get("rows", 0)) for item in outcome.manifest)
        return dict.fromkeys(attempt.keys, outcome.sha256), dict.fromkeys(attempt.keys, written)
    return hashes, rows


def withheld(outcome: WithheldOutcome) -> bytes:
    """Return the encoded data that publishes a held or rejected attempt's staged rows unchanged."""
    data = type(outcome)(
        attempt=outcome.attempt,
        measures=outcome.measures,
        staged=outcome.staged,
        table=outcome.table,
        quarantined=outcome.quarantined,
        learnt=outcome.learnt,
    )
    return msgspec.msgpack.encode(data)


def as_failed(outcome: TaskOutcome, message: str, kind: ErrorKind, code: str = "") -> FailedOutcome:
    """Return the outcome as failed, without anything that was staged."""
    return FailedOutcome(
        attempt=outcome.attempt,
        measures=outcome.measures,
        audit=outcome.audit,
        sha256=outcome.sha256,
        fingerprint=outcome.fingerprint,
        log_lines=outcome.log_lines,
        environment=outcome.environment,
        error=BodyError(kind=kind, message=message, code=code),
    )


def as_repeated(outcome: TaskOutcome, message: str) -> FailedOutcome:
    """Return the outcome as one that is retried at once and not counted as a failure.

    The data that the attempt read is fine.
    """
    error = BodyError(kind=ErrorKind.THROTTLED, message=message, after_seconds=0.0)
    return msgspec.structs.replace(as_failed(outcome, message, error.kind), error=error)


def completed(attempt: RunningAttempt, outcome: StagedOutcome) -> StagedOutcome:
    """Return the attempt's outcome, with the file copies requested since."""
    staged = attempt.staged_outcome
    if staged is None:
        return outcome
    return msgspec.structs.replace(staged, rewritten=(*staged.rewritten, *outcome.rewritten))


def has_facts_to_keep(attempt: RunningAttempt, outcome: TaskOutcome) -> bool:
    """Whether to store drift and anomalies of the attempt.

    A failed batch stores none: its partitions are retried in smaller batches.
    """
    match outcome:
        case FailedOutcome():
            return False
        case StagedOutcome():
            return bool(outcome.drift or outcome.facts)
    return not is_batch(attempt) and bool(outcome.drift or outcome.facts)


def is_batch(attempt: RunningAttempt) -> bool:
    """Whether the attempt was at several partitions that can be retried separately.

    False for a source's bundle: its partitions come in one file and can't be ingested separately.
    """
    task = attempt.prepared.task
    return isinstance(task, IngestBatchTask) or (
        len(attempt.keys) > 1 and isinstance(task, ComputeTask)
    )


def verdict_of(outcome: TaskOutcome, key: str) -> Verdict:
    """Return the verdict that the partition is published with."""
    return outcome.audit.of(key).verdict if outcome.audit else Verdict.UNCHECKED


def size_bytes_of(outcome: StagedOutcome, rows: int) -> int:
    """Return a partition's size in bytes; in a shared file, its share by rows."""
    if outcome.staged is None:
        return 0
    if len(outcome.staged.partitions) == 1 or not outcome.staged.rows:
        return outcome.staged.size_bytes
    return outcome.staged.size_bytes * rows // outcome.staged.rows


def warnings(outcome: TaskOutcome, key: str | None) -> str:
    """Return the warnings of a published partition, or of the whole attempt if `key` is None."""
    audit = outcome.audit if outcome.audit is None or key is None else outcome.audit.of(key)
    if audit is None or audit.verdict is not Verdict.WARNED:
        return ""
    messages = [r.summary for r in audit.results if r.outcome is CheckState.FAILED]
    reason = "" if isinstance(outcome, FailedOutcome) else outcome.reason
    if key is not None and isinstance(outcome, StagedOutcome) and key in outcome.ingested:
        reason = outcome.ingested[key].reason
    return "; ".join([*messages, *([reason] if reason else [])])
