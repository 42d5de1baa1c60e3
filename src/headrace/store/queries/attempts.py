"""Attempts: one try at one node × one range of partitions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from headrace.store.database import Transaction

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


def get(tx: Transaction, epoch: int, n: int) -> Attempt | None:
    """One attempt, or None."""
    row = tx.execute(f"select {_COLUMNS} from attempt where epoch = :epoch and n = :n", {"epoch": epoch, "n": n}).fetchone()
    return _attempt(row) if row else None


def of_run(tx: Transaction, run_id: int, *, limit: int = 10_000) -> list[Attempt]:
    """The attempts of a run, in order."""
    return _attempts(
        tx.execute(f"select {_COLUMNS} from attempt where run_id = :run order by epoch, n limit :limit", {"run": run_id, "limit": limit})
    )


def of_node(tx: Transaction, node: str, *, limit: int = 50) -> list[Attempt]:
    """The newest attempts at a node, newest first."""
    return _attempts(
        tx.execute(
            f"select {_COLUMNS} from attempt where node = :node order by epoch desc, n desc limit :limit",
            {"node": node, "limit": limit},
        )
    )


def of_partition(tx: Transaction, node: str, partition: str, *, limit: int = 10) -> list[Attempt]:
    """The newest attempts at one partition, newest first."""
    return _attempts(
        tx.execute(
            f"select {_COLUMNS} from attempt where node = :node "
            "and exists (select 1 from json_each(attempt.partitions) as key where key.value = :partition) "
            "order by epoch desc, n desc limit :limit",
            {"node": node, "partition": partition, "limit": limit},
        )
    )


def running(tx: Transaction) -> list[Attempt]:
    """All that are under way, oldest first."""
    return _attempts(tx.execute(f"select {_COLUMNS} from attempt where state in ('queued', 'running') order by epoch, n"))


def _attempts(rows: Iterable[tuple[Any, ...]]) -> list[Attempt]:
    return [_attempt(row) for row in rows]


def _attempt(row: tuple[Any, ...]) -> Attempt:
    values = list(row)
    values[5] = tuple(msgspec.json.decode(values[5]))
    for place in (-2, -1):
        values[place] = None if values[place] is None else msgspec.json.decode(values[place])
    return Attempt(*values)
