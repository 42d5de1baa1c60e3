"""Runs: requested or scheduled pieces of work."""

from __future__ import annotations

import msgspec

from headrace.store.database import Transaction

_COLUMNS = "id, kind, request, actor, state, started_at, finished_at, cancelled_at, cancelled_by, reason"


class Run(msgspec.Struct, frozen=True):
    """One run. `request` is JSON text of what was asked for; times are microseconds of the store's clock."""

    id: int
    kind: str
    request: str
    actor: str
    state: str
    started_at: int
    finished_at: int | None
    cancelled_at: int | None = None
    cancelled_by: str | None = None
    reason: str | None = None
    """Why it was cancelled, where somebody said so."""

    @property
    def shown_state(self) -> str:
        """`cancelled` for one that a person took back; `state` is what had come of it by then."""
        return "cancelled" if self.cancelled_at is not None else self.state


def get(tx: Transaction, run_id: int) -> Run | None:
    """One run, or None."""
    row = tx.execute(f"select {_COLUMNS} from run where id = :id", {"id": run_id}).fetchone()
    return Run(*row) if row else None


def newest(tx: Transaction, *, limit: int = 50, since_us: int | None = None) -> list[Run]:
    """The newest runs, newest first, begun since then."""
    rows = tx.execute(
        f"select {_COLUMNS} from run where started_at >= :since order by id desc limit :limit",
        {"since": since_us or 0, "limit": limit},
    )
    return [Run(*row) for row in rows]


def failed(tx: Transaction, *, limit: int = 50, since_us: int | None = None) -> list[Run]:
    """The newest runs that didn't succeed, newest first, begun since then."""
    rows = tx.execute(
        f"select {_COLUMNS} from run where state in ('failed', 'partial', 'lost') and started_at >= :since order by id desc limit :limit",
        {"since": since_us or 0, "limit": limit},
    )
    return [Run(*row) for row in rows]
