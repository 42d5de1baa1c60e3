"""Deliveries whose rows were published for another interval while a worker ingested them."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.checks.anomalies.metric_anomalies import IGNORE
from headrace.checks.anomalies.row_anomalies import STALE_ROWS_MIN, PublishedContent, same_as
from headrace.runtime.messages import IngestBatchTask, IngestTask, StagedOutcome
from headrace.runtime.runs import RunningAttempt, contents
from headrace.store import Transaction
from headrace.store.queries import quality
from headrace.store.queries.leader_writes import PublicationRecord


def repetition(
    tx: Transaction,
    pending: Sequence[PublicationRecord],
    attempt: RunningAttempt,
    outcome: StagedOutcome,
) -> str | None:
    """Say whose rows a delivery repeats, if a worker couldn't know it; None if there are none.

    That is the case if the interval was published after the task was sent. If the worker knew it,
    the worker has evaluated the repetition. `pending` are publications that aren't written yet.
    """
    task, keys = _ingested(attempt, outcome)
    if task is None or outcome.staged is None or not _is_compared(task):
        return None
    others = [row for row in pending if row.node == attempt.node]
    hashes, rows = contents(attempt, outcome)
    for key in keys:
        if rows[key] < STALE_ROWS_MIN:
            continue
        other = _same_rows(tx, others, attempt.node, key, hashes[key], task.around.versions)
        if other is not None:
            whose = "the same rows" if len(keys) == 1 else f"the rows of {key}"
            return f"{whose} were published as {other} meanwhile: it is checked again"
    return None


def _is_compared(task: IngestTask) -> bool:
    """Whether the same rows in two intervals of the source are an anomaly."""
    return (
        task.source.partition.grain is not None
        and not task.source.expect.unchanged
        and task.around.on_anomaly != IGNORE
    )


def _ingested(
    attempt: RunningAttempt, outcome: StagedOutcome
) -> tuple[IngestTask | None, tuple[str, ...]]:
    """Return the task and the intervals of deliveries that each have an interval of their own."""
    task = attempt.prepared.task
    if isinstance(task, IngestBatchTask):
        return task.first, tuple(outcome.ingested)
    if isinstance(task, IngestTask) and len(attempt.keys) == 1:
        return task, attempt.keys
    return None, ()


def _same_rows(
    tx: Transaction,
    pending: Sequence[PublicationRecord],
    node: str,
    key: str,
    content_hash: str | None,
    versions: Sequence[PublishedContent],
) -> str | None:
    """Return the interval with the same rows that isn't among the known `versions`."""
    known = any(version.content_hash == content_hash for version in versions)
    if content_hash is None or known:
        return None
    others = [row.partition for row in pending if row.content_hash == content_hash]
    others += quality.published_lately(tx, node, content_hash)
    newer = [PublishedContent(other, content_hash) for other in others]
    return same_as(key, content_hash, [*newer, *versions])
