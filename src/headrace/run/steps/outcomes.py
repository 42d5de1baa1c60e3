"""What the leader remembers of an attempt, and what its outcome comes to."""

from __future__ import annotations

import msgspec

from headrace.engine import BodyError, ErrorKind
from headrace.lake import StagedFile
from headrace.quality import Verdict
from headrace.run.messages import ComputeTask, TaskOutcome
from headrace.run.tasks import PreparedTask
from headrace.schedule import AttemptId


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


def failed(outcome: TaskOutcome, message: str, kind: ErrorKind) -> TaskOutcome:
    """The outcome as that of an attempt that failed, with nothing left of what it staged."""
    error = BodyError(kind=kind, message=message)
    return msgspec.structs.replace(
        outcome, state="failed", error=error, reason="", staged=None, replacement=None, rewritten=(), learnt=None, manifest=None
    )


def put_back(outcome: TaskOutcome, message: str) -> TaskOutcome:
    """The outcome as that of an attempt that is made again at once, and counts as none: nothing is
    wrong with what it read."""
    error = BodyError(kind=ErrorKind.THROTTLED, message=message, after_seconds=0.0)
    return msgspec.structs.replace(failed(outcome, message, error.kind), error=error)


def completed(attempt: RunningAttempt, outcome: TaskOutcome) -> TaskOutcome:
    """What an attempt made, with the copies that were asked for since."""
    return outcome if attempt.made is None else msgspec.structs.replace(attempt.made, rewritten=outcome.rewritten)


def says(attempt: RunningAttempt, outcome: TaskOutcome) -> bool:
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
