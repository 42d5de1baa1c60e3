"""The document of a run, read back from what the store kept of it: what a run says and what `runs` says is one thing."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from headrace.operations.documents import AttemptRow, PublishedRow, RejectedRow, RunDocument
from headrace.operations.runs import error_row, reason_of
from headrace.run.orders import RunResult
from headrace.store import Clock, Store
from headrace.store.clock import instant
from headrace.store.queries import attempts, publications
from headrace.store.queries.attempts import Attempt

ATTEMPTS_MAX = 1_000_000


def run_document(store: Store, clock: Clock, zone: ZoneInfo, result: RunResult) -> RunDocument:
    """What a run did."""
    with store.read() as tx:
        found = attempts.of_run(tx, result.run_id, limit=ATTEMPTS_MAX)
        visible = publications.of_run(tx, result.run_id)
    measured = {a.id: a for a in found}
    return RunDocument(
        now=clock.now().astimezone(zone),
        run_id=str(result.run_id),
        state=result.state,
        attempts=[_attempt(a, zone) for a in found],
        published=[
            PublishedRow(asset=p.node, partition=p.partition, rows=p.rows, snapshot=p.snapshot, verdict=p.verdict, identical=p.identical)
            for p in visible
        ],
        rejected=[
            RejectedRow(asset=a.node, partition=key, state=a.state, reason=reason_of(a), rows=_rows(a))
            for a in measured.values()
            if a.state in ("held", "rejected", "failed")
            for key in a.partitions
        ],
        clock=clock.kind,
        reason=_reason(result),
    )


REASONS_SHOWN_MAX = 3


def _reason(result: RunResult) -> str | None:
    """What keeps asked partitions from running, and what a look had to say."""
    waiting = [f"{node}@{key} {why}" if key != "*" else f"{node} {why}" for node, key, why in result.waiting]
    more = [f"{len(waiting) - REASONS_SHOWN_MAX} more wait"] if len(waiting) > REASONS_SHOWN_MAX else []
    return "; ".join([*waiting[:REASONS_SHOWN_MAX], *more, *result.notes]) or None


def _attempt(attempt: Attempt, zone: ZoneInfo) -> AttemptRow:
    def at(us: int | None) -> datetime | None:
        return None if us is None else instant(us).astimezone(zone)

    return AttemptRow(
        id=attempt.id,
        asset=attempt.node,
        partitions=list(attempt.partitions),
        state=attempt.state,
        rows=_rows(attempt),
        queued_at=instant(attempt.queued_at).astimezone(zone),
        started_at=at(attempt.started_at),
        finished_at=at(attempt.finished_at),
        published_at=at(attempt.published_at),
        verdict=attempt.verdict,
        reason=reason_of(attempt),
        error=error_row(attempt.error),
    )


def _rows(attempt: Attempt) -> int | None:
    return attempt.measures.get("rows_out") if attempt.measures else None
