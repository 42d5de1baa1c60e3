"""The runs in short, one line a run, in pages: what `runs` says partition by partition is too much for a list of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from headrace.operations.catalog.responses import CountedRow
from headrace.operations.cursors import cursor, place
from headrace.operations.responses import Response
from headrace.operations.session import ProjectSession
from headrace.store import Transaction
from headrace.store.queries import runs
from headrace.store.queries.runs import Run


class RunHead(Response, frozen=True, kw_only=True):
    """A run by itself."""

    run_id: str
    kind: str
    state: str
    actor: str
    started_at: datetime
    finished_at: datetime | None


class RunLine(RunHead, frozen=True, kw_only=True):
    """A run; `attempts` are counted by their state."""

    reason: str | None
    """Why it was cancelled."""
    attempts: list[CountedRow]


class RunsResponse(Response, frozen=True, kw_only=True):
    """Runs, newest first; `next` is the cursor of older ones."""

    now: datetime
    runs: list[RunLine]
    next: str | None


def run_list(session: ProjectSession, *, failed: bool, before: str | None, limit: int) -> RunsResponse:
    """A page of runs; `failed` only those that didn't succeed. UsageError for a cursor that was never given."""
    older_than = None if before is None else place(before, int)
    lines: list[RunLine] = []
    more = False
    if session.store is not None:
        with session.store.read() as tx:
            page = runs.page(tx, limit=limit + 1, before=older_than, failed=failed)
            more = len(page) > limit
            lines = [_line(session, tx, run) for run in page[:limit]]
    return RunsResponse(now=session.now(), runs=lines, next=cursor(int(lines[-1].run_id)) if more else None)


def _line(session: ProjectSession, tx: Transaction, run: Run) -> RunLine:
    counted = [CountedRow(value=state, count=n) for state, n in runs.attempts_by_state(tx, run.id)]
    return RunLine(**head(session, run), reason=run.reason, attempts=counted)


def head(session: ProjectSession, run: Run) -> dict[str, Any]:
    """The fields of RunHead."""
    return {
        "run_id": str(run.id),
        "kind": run.kind,
        "state": run.shown_state,
        "actor": run.actor,
        "started_at": session.instant(run.started_at),
        "finished_at": None if run.finished_at is None else session.instant(run.finished_at),
    }
