"""Attempts: one try at one node × one range of partitions. One whose runtime has died is shown as lost, although only the next
leader writes that down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from headrace.store.database import Transaction
from headrace.store.lease import holder

OPEN = ("queued", "running")
ENVIRONMENT = "environment"
"""In `measures`: the hash by which `content` holds the interpreter and the packages that an attempt ran with."""
IN_A_ROW_MAX = 200
"""How many failed attempts in a row are counted at most."""
GONE = "the runtime ended while it ran"

_COLUMNS = (
    "epoch, n, run_id, node, kind, partitions, state, version, snapshot_read, delivery_id, queued_at, started_at, finished_at, "
    "published_at, verdict, reason, measures, error"
)


class Attempt(msgspec.Struct, frozen=True):
    """One attempt. `measures` and `error` are as the worker reported them (engine's Measures and BodyError); times are
    microseconds of the store's clock."""

    epoch: int
    n: int
    run_id: int
    node: str
    kind: str
    partitions: tuple[str, ...]
    state: str
    version: int | None
    snapshot_read: int | None
    delivery_id: int | None
    queued_at: int
    started_at: int | None
    finished_at: int | None
    published_at: int | None
    verdict: str | None
    reason: str | None
    measures: dict[str, Any] | None
    error: dict[str, Any] | None

    @property
    def id(self) -> str:
        """`epoch.n`."""
        return f"{self.epoch}.{self.n}"


def environment(tx: Transaction, attempt: Attempt) -> bytes | None:
    """JSON of the interpreter and the packages that an attempt ran with; None where nothing was recorded."""
    digest = (attempt.measures or {}).get(ENVIRONMENT)
    row = None if digest is None else tx.execute("select bytes from content where hash = ?", (digest,)).fetchone()
    return None if row is None else bytes(row[0])


def get(tx: Transaction, epoch: int, n: int) -> Attempt | None:
    """One attempt, or None."""
    row = tx.execute(f"select {_COLUMNS} from attempt where epoch = :epoch and n = :n", {"epoch": epoch, "n": n}).fetchone()
    return _attempts(tx, [row])[0] if row else None


def of_run(tx: Transaction, run_id: int, *, limit: int = 10_000) -> list[Attempt]:
    """The attempts of a run, in order."""
    return _attempts(
        tx,
        tx.execute(f"select {_COLUMNS} from attempt where run_id = :run order by epoch, n limit :limit", {"run": run_id, "limit": limit}),
    )


def of_plan(tx: Transaction, plan: int) -> list[Attempt]:
    """The attempts of a backfill, by whichever of its runs, in order."""
    sql = f"select {_COLUMNS} from attempt where run_id in (select id from run where plan_id = ?) order by epoch, n"
    return _attempts(tx, tx.execute(sql, (plan,)))


def of_node(tx: Transaction, node: str, *, limit: int = 50, states: Sequence[str] = ()) -> list[Attempt]:
    """The newest attempts at a node, newest first; only those in some states, where any are named."""
    marks = f" and state in ({', '.join('?' * len(states))})" if states else ""
    rows = tx.execute(f"select {_COLUMNS} from attempt where node = ?{marks} order by epoch desc, n desc limit ?", (node, *states, limit))
    return _attempts(tx, rows)


def others_short(tx: Transaction, node: str, since: int, besides: str) -> bool:
    """Whether an attempt at another node failed for want of memory, disk or time since then; those with
    this code don't count."""
    rows = tx.execute(
        "select error from attempt where node <> ? and finished_at >= ? and state = 'failed' and error is not null", (node, since)
    ).fetchall()
    errors = [msgspec.json.decode(error) for (error,) in rows]
    return any(error.get("kind") == "resources" and error.get("code") != besides for error in errors)


def of_partition(tx: Transaction, node: str, partition: str, *, limit: int = 10) -> list[Attempt]:
    """The newest attempts at one partition, newest first."""
    alone = tx.execute(
        f"select {_COLUMNS} from attempt where node = :node and partitions = :alone order by epoch desc, n desc limit :limit",
        {"node": node, "alone": msgspec.json.encode([partition]).decode(), "limit": limit},
    ).fetchall()
    several = tx.execute(
        f"select {_COLUMNS} from attempt where node = :node and partitions like '%,%' "
        "and exists (select 1 from json_each(attempt.partitions) as key where key.value = :partition) "
        "order by epoch desc, n desc limit :limit",
        {"node": node, "partition": partition, "limit": limit},
    ).fetchall()
    newest = sorted({(row[0], row[1]): row for row in (*alone, *several)}.items(), reverse=True, key=lambda item: item[0])[:limit]
    return _attempts(tx, [row for _, row in newest])


def failed_in_a_row(tx: Transaction, node: str, partition: str, *, until: tuple[int, int] | None = None) -> list[str]:
    """The ids of the newest attempts at a partition that failed or were lost one after the other, newest
    first; with `until` (epoch, n) of those up to that one. One that couldn't begin, or was cancelled,
    is none of them and doesn't end the row."""
    results = []
    for attempt in of_partition(tx, node, partition, limit=IN_A_ROW_MAX):
        if attempt.state in OPEN or attempt.state in ("skipped", "cancelled") or (until is not None and (attempt.epoch, attempt.n) > until):
            continue
        if attempt.state not in ("failed", "lost"):
            break
        results.append(attempt.id)
    return results


def running(tx: Transaction) -> list[Attempt]:
    """All that are under way, oldest first."""
    attempts = _attempts(tx, tx.execute(f"select {_COLUMNS} from attempt where state in ('queued', 'running') order by epoch, n"))
    return [attempt for attempt in attempts if attempt.state in OPEN]


def _attempts(tx: Transaction, rows: Iterable[tuple[Any, ...]]) -> list[Attempt]:
    attempts = [_attempt(row) for row in rows]
    if not any(attempt.state in OPEN for attempt in attempts):
        return attempts
    leader = holder(tx)
    epoch = leader.epoch if leader is not None else None
    return [
        attempt if attempt.state not in OPEN or attempt.epoch == epoch else msgspec.structs.replace(attempt, state="lost", reason=GONE)
        for attempt in attempts
    ]


def _attempt(row: tuple[Any, ...]) -> Attempt:
    values = list(row)
    values[5] = tuple(msgspec.json.decode(values[5]))
    for place in (-2, -1):
        values[place] = None if values[place] is None else msgspec.json.decode(values[place])
    return Attempt(*values)
