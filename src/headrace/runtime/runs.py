"""Runs and attempts as the leader tracks them: requests, progress, results, claims and outcomes."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import msgspec

from headrace.checks import Verdict
from headrace.engine import BodyError, ErrorKind
from headrace.lake import StagedFile
from headrace.runtime.messages import ComputeTask, TaskOutcome
from headrace.runtime.tasks import PreparedTask
from headrace.scheduler import AttemptId, DeliveryArrived, Requested, Settled, Target
from headrace.scheduler.events import WAITING_SHOWN_MAX
from headrace.security.audit import Actor
from headrace.store import Transaction

# Progress of a run while it works, for callers that display it.


class News(msgspec.Struct, frozen=True, gc=False):
    """One partition came to something: `published`, `held`, `rejected`, `failed`, or is tried again (`waiting`)."""

    node: str
    partition: str
    state: str
    verdict: str | None
    reason: str
    rows: int | None = None
    runs: tuple[int, ...] = ()
    """The runs that want it."""


class Reporter(Protocol):
    """Takes news as they come; must return at once."""

    def __call__(self, news: News, /) -> None: ...


def silent(_: News) -> None:
    """A reporter that tells nobody."""


# The request of a run, its state while it is active, and its result.

STANDING = -1
"""The number of the run that stands, of which there is one at most: what a server does by itself."""
TICK = "tick"
"""The kind of a run that is one pass over everything."""
PROPOSED = "is stale, and is recomputed only if somebody asks"


class RunRequest(msgspec.Struct, frozen=True):
    """What one run is asked to do, by whom. `kind` is `run`, `tick`, `receive` or `serve`, `request` what was typed."""

    kind: str
    targets: tuple[Target, ...]
    actor: Actor
    request: dict[str, object] = {}
    reason: str = ""
    retry: frozenset[str] = frozenset()
    """Nodes that a person asked for: what failed is tried again."""
    again: frozenset[str] = frozenset()
    """Those of them whose publications are replaced."""
    received: tuple[DeliveryArrived, ...] = ()
    """What was handed in by hand; at those sources nobody looks."""
    together: tuple[DeliveryArrived, ...] = ()
    """Deliveries that are ingested `again`, of several partitions each: these are ingested together."""
    standing: bool = False
    """For as long as the leader runs: what a server does by itself."""
    plan: int | None = None
    """The backfill that it works at: `targets` are the sources that are ingested before anything of the plan is computed."""


class RunResult(msgspec.Struct, frozen=True):
    """What a run came to. `waiting` names up to WAITING_SHOWN_MAX partitions that were asked for and couldn't run, with the reason."""

    run_id: int
    state: str
    waiting: tuple[tuple[str, str, str], ...]
    notes: tuple[str, ...]
    partitions: int = 0
    """How many came to something."""


class ActiveRun:
    """A run that goes on. `standing` ones are never settled: what a server does by itself."""

    def __init__(self, number: int, order: RunRequest, report: Reporter = silent) -> None:
        self.id, self.order, self.report = number, order, report
        self.row: int | None = number
        """Its row in the store. One that stands has a row only while some of its work is under way."""
        self.notes: tuple[str, ...] = ()
        self.looking = 0
        """Looks at sources that it waits for."""
        self.results: dict[tuple[str, str], str] = {}
        """What each partition came to."""

    def request(self, borrowed: frozenset[str]) -> Requested:
        """What the core is asked for."""
        targets = tuple(target for target in self.order.targets if target.node not in borrowed)
        return Requested(targets, self.order.retry, self.order.again, self.id, self.order.standing)

    @property
    def state(self) -> str:
        """`nothing_due`, `succeeded`, `failed` or `partial`, from what each partition came to in the end. What waits for a disk or a
        server hasn't failed: where nothing else was due, nothing was."""
        if all(state == "waiting" for state in self.results.values()):
            return "nothing_due"
        good = sum(1 for state in self.results.values() if state == "published")
        return "succeeded" if good == len(self.results) else "partial" if good else "failed"


def cancelled_by(actor: str, reason: str) -> str:
    """Who took a run back, and why, in one clause."""
    return f"cancelled by {actor}" + (f": {reason}" if reason else "")


def waiting(settled: Settled, proposed: Sequence[tuple[str, str]]) -> tuple[tuple[str, str, str], ...]:
    """Partitions that were asked for and couldn't run, with the reason of each."""
    return (*settled.waiting, *((node, key, PROPOSED) for node, key in proposed))[:WAITING_SHOWN_MAX]


# Counters of one leader since it started, for `/metrics`: a counter there restarts at zero with
# each process.

TURN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Up to where each bucket of turns goes; one more is for longer ones."""


class LeaderCounters:
    """Plain numbers that only grow: another thread may read them at any time."""

    def __init__(self, slots: int = 0) -> None:
        self.slots = slots
        """How many attempts can run at once."""
        self.turns = [0] * (len(TURN_SECONDS) + 1)
        """How many took so long, from the beginning of their transaction to the end of its commit: by bucket."""
        self.turn_seconds = 0.0
        self.partitions: Counter[str] = Counter()
        """What attempts came to, partition by partition."""

    @contextmanager
    def turn(self, transaction: AbstractContextManager[Transaction]) -> Iterator[Transaction]:
        """Count a turn's transaction, and how long it took."""
        began = time.monotonic()
        with transaction as tx:
            yield tx
        took = time.monotonic() - began
        self.turns[bisect_left(TURN_SECONDS, took)] += 1
        self.turn_seconds += took

    def note(self, news: Iterable[News]) -> None:
        """Count what partitions came to."""
        self.partitions.update(item.state for item in news)


# Claims: only the newest attempt that was given a partition may publish it (SEMANTICS §6). They
# live in the leader's memory. A leader that has lost its lease can't commit, whatever it
# remembers, because every transaction checks its epoch; so no other process needs to read them.


class LeaderClaims:
    """The claims of one leader."""

    def __init__(self) -> None:
        self._holders: dict[tuple[str, str], AttemptId] = {}

    def grant(self, attempt: AttemptId, node: str, keys: Sequence[str]) -> None:
        """Give an attempt its partitions; whoever held one of them can't publish it any more."""
        for key in keys:
            self._holders[node, key] = attempt

    def held(self, attempt: AttemptId, node: str, keys: Sequence[str]) -> bool:
        """Whether an attempt still holds all of its partitions."""
        return all(self._holders.get((node, key)) == attempt for key in keys)

    def release(self, attempt: AttemptId, node: str, keys: Sequence[str]) -> None:
        """An attempt has ended; what passed to a newer one stays that one's."""
        for key in keys:
            if self._holders.get((node, key)) == attempt:
                del self._holders[node, key]


# Running attempts, and how an outcome of a worker is interpreted: its contents, its verdict, its
# warnings.


class RunningAttempt(msgspec.Struct, frozen=True, gc=False):
    """What the leader remembers of an attempt while it runs."""

    id: AttemptId
    node: str
    keys: tuple[str, ...]
    prepared: PreparedTask
    queued_at: int
    runs: tuple[int, ...]
    made: TaskOutcome | None = None
    """What it staged, while files that hold its partitions and others are copied once more: another attempt has replaced them."""
    copied: int = 0
    """How often that was asked for."""


def contents(attempt: RunningAttempt, outcome: TaskOutcome, staged: StagedFile) -> tuple[dict[str, str | None], dict[str, int]]:
    """Content hash and rows of each partition; of a merge those of the table as it is after it."""
    if outcome.replacement is not None:
        (key,) = attempt.keys
        return {key: outcome.replacement.content_hash}, {key: outcome.replacement.rows}
    hashes: dict[str, str | None] = dict.fromkeys(attempt.keys)
    rows = dict.fromkeys(attempt.keys, 0)
    for part in staged.partitions:
        hashes[part.key], rows[part.key] = part.content_hash, part.rows
    return hashes, rows


def withheld(outcome: TaskOutcome) -> bytes:
    """What must be remembered of a held or rejected attempt to publish what it staged, as it is."""
    task_outcome = TaskOutcome(
        attempt=outcome.attempt, state=outcome.state, measures=outcome.measures, staged=outcome.staged, table=outcome.table,
        quarantined=outcome.quarantined, learnt=outcome.learnt,
    )  # fmt: skip
    return msgspec.msgpack.encode(task_outcome)


def as_failed(outcome: TaskOutcome, message: str, kind: ErrorKind) -> TaskOutcome:
    """The outcome as that of an attempt that failed, with nothing left of what it staged."""
    error = BodyError(kind=kind, message=message)
    return msgspec.structs.replace(
        outcome, state="failed", error=error, reason="", staged=None, replacement=None, rewritten=(), learnt=None, manifest=None
    )


def as_repeated(outcome: TaskOutcome, message: str) -> TaskOutcome:
    """The outcome as that of an attempt that is made again at once, and counts as none: nothing is
    wrong with what it read."""
    error = BodyError(kind=ErrorKind.THROTTLED, message=message, after_seconds=0.0)
    return msgspec.structs.replace(as_failed(outcome, message, error.kind), error=error)


def completed(attempt: RunningAttempt, outcome: TaskOutcome) -> TaskOutcome:
    """What an attempt made, with the copies that were asked for since."""
    return outcome if attempt.made is None else msgspec.structs.replace(attempt.made, rewritten=outcome.rewritten)


def has_facts_to_keep(attempt: RunningAttempt, outcome: TaskOutcome) -> bool:
    """Whether something odd is to be kept of an attempt: of a batch that is tried again, fewer at once, nothing is."""
    if outcome.state == "failed" or (outcome.state != "staged" and is_batch(attempt)):
        return False
    return bool(outcome.drift or outcome.facts)


def is_batch(attempt: RunningAttempt) -> bool:
    """Whether an asset's partitions were computed several at once. A source's that came in one file can't be told apart."""
    return len(attempt.keys) > 1 and isinstance(attempt.prepared.task, ComputeTask)


def verdict_of(outcome: TaskOutcome, key: str) -> Verdict:
    """What a partition is published with."""
    return outcome.audit.of(key).verdict if outcome.audit else Verdict.UNCHECKED


def size_bytes_of(outcome: TaskOutcome, rows: int) -> int:
    """Of a file of several partitions: the share that its rows have."""
    if outcome.staged is None:
        return 0
    if len(outcome.staged.partitions) == 1 or not outcome.staged.rows:
        return outcome.staged.size_bytes
    return outcome.staged.size_bytes * rows // outcome.staged.rows


def warnings(outcome: TaskOutcome, key: str | None) -> str:
    """What a published partition (with None: all that the attempt made) has to say for itself."""
    audit = outcome.audit if outcome.audit is None or key is None else outcome.audit.of(key)
    if audit is None or audit.verdict is not Verdict.WARNED:
        return ""
    said = [r.said for r in audit.results if r.outcome == "failed"]
    return "; ".join([*said, *([outcome.reason] if outcome.reason else [])])
