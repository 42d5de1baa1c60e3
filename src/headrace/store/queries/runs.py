"""Runs: requested or scheduled pieces of work.

A run whose leader has died is returned as lost, although only the next leader writes that state.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from headrace.store.lease import holder
from headrace.store.transaction import Transaction

RUNNING = "running"
_COLUMNS = (
    "id, kind, request, actor, state, started_at, finished_at, cancelled_at, cancelled_by, reason"
)


class Run(msgspec.Struct, frozen=True):
    """One run. `request` is JSON; times are microseconds of the store's clock."""

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
    """Reason for the cancellation, if one was given."""

    @property
    def shown_state(self) -> str:
        """`cancelled` if a user cancelled the run; `state` is the result of its work until then."""
        return "cancelled" if self.cancelled_at is not None else self.state


def get(tx: Transaction, run_id: int) -> Run | None:
    """One run, or None."""
    row = tx.execute(f"select {_COLUMNS} from run where id = :id", {"id": run_id}).fetchone()
    return _runs(tx, [row])[0] if row else None


def newest(tx: Transaction, *, limit: int = 50, since_us: int | None = None) -> list[Run]:
    """Return the newest runs that began since a time, newest first."""
    rows = tx.execute(
        f"select {_COLUMNS} from run where started_at >= :since order by id desc limit :limit",
        {"since": since_us or 0, "limit": limit},
    )
    return _runs(tx, rows)


def failed(tx: Transaction, *, limit: int = 50, since_us: int | None = None) -> list[Run]:
    """Return the newest unsuccessful runs that began since a time, newest first."""
    lost = "'failed', 'partial', 'lost'" + ("" if holder(tx) else ", 'running'")
    rows = tx.execute(
        f"select {_COLUMNS} from run where state in ({lost}) and started_at >= :since order by id"
        " desc limit :limit",
        {"since": since_us or 0, "limit": limit},
    )
    return _runs(tx, rows)


NODE_ATTEMPTS_MAX = 2_000
"""Of one node: the runs of its newest attempts are listed."""
ATTEMPTS_SEARCHED = 100_000
"""Of an owner's nodes: their runs are searched for among this number of newest attempts."""


class RunFilter(msgspec.Struct, frozen=True):
    """Which runs are listed; None and False filter nothing. Times are of their beginning."""

    failed: bool = False
    kind: str | None = None
    state: str | None = None
    actor: str | None = None
    node: str | None = None
    since_us: int | None = None
    until_us: int | None = None
    nodes: frozenset[str] | None = None
    """Runs with an attempt at one of these, among the newest ATTEMPTS_SEARCHED attempts."""


def page(tx: Transaction, wanted: RunFilter, *, limit: int, before: int | None) -> list[Run]:
    """Return the newest runs older than `before` that fit a filter, newest first.

    `state` is that of `Run.shown_state`.
    """
    led = holder(tx) is not None
    lost = "'failed', 'partial', 'lost'" + ("" if led else ", 'running'")
    bounds = {
        "id < :before": before is not None,
        f"state in ({lost})": wanted.failed,
        "kind = :kind": wanted.kind is not None,
        _in_state(wanted.state, led=led): wanted.state is not None,
        "actor = :actor": wanted.actor is not None,
        "started_at >= :since_us": wanted.since_us is not None,
        "started_at < :until_us": wanted.until_us is not None,
        "id in (select run_id from (select run_id from attempt where node = :node order by epoch"
        f" desc, n desc limit {NODE_ATTEMPTS_MAX}) as newest)": wanted.node is not None,
        "id in (select run_id from (select run_id, node from attempt order by epoch desc, n desc"
        f" limit {ATTEMPTS_SEARCHED}) as newest where node in (select value from"
        " json_each(:nodes)))": wanted.nodes is not None,
    }
    used = [bound for bound, applies in bounds.items() if applies]
    where = f" where {' and '.join(used)}" if used else ""
    rows = tx.execute(
        f"select {_COLUMNS} from run{where} order by id desc limit :limit",
        {
            **msgspec.structs.asdict(wanted),
            "before": before,
            "limit": limit,
            "nodes": msgspec.json.encode(sorted(wanted.nodes or ())).decode(),
        },
    )
    return _runs(tx, rows)


def _in_state(state: str | None, *, led: bool) -> str:
    """Return the condition for a shown state: runs whose leader has died are lost."""
    if state == "cancelled":
        return "cancelled_at is not null"
    stored = "state in ('lost', 'running')" if state == "lost" and not led else "state = :state"
    if state == RUNNING and not led:
        stored = "state is null"
    return f"(cancelled_at is null and {stored})"


def _runs(tx: Transaction, rows: Iterable[tuple[Any, ...]]) -> list[Run]:
    runs = [Run(*row) for row in rows]
    if any(run.state == RUNNING for run in runs) and holder(tx) is None:
        return [
            msgspec.structs.replace(run, state="lost") if run.state == RUNNING else run
            for run in runs
        ]
    return runs
