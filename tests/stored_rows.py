"""Rows of the state's tables, for tests of queries: columns that a test doesn't name have a value."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.store import Transaction
from headrace.store.transaction import insertion

_ATTEMPT = {"run_id": 1, "node": "orders", "kind": "produce", "partitions": "[]", "queued_at": 1}
_FACT = {
    "column_name": "amount", "severity": "warn", "expected": "1", "observed": "2", "strength": "1",
    "detail": "", "at": 1,
}  # fmt: skip
_PLAN = {
    "actor": "ann",
    "reason": "",
    "request": "{}",
    "version": 1,
    "content": b"",
    "created_at": 1,
}
_DELIVERY = {
    "path": "x.csv", "size_bytes": 1, "modified_us": 2, "claimed_at": 3, "observed_at": 4,
    "arrived_at": 5, "state": "published",
}  # fmt: skip
_PUBLICATION = {
    "node": "orders", "epoch": 1, "n": 1, "snapshot": 1, "published_at": 1, "rows": 1, "bytes": 1,
    "verdict": "passed", "version": 1,
}  # fmt: skip
_DRIFT = {
    "epoch": 1, "n": 1, "evidence": "[]", "policy": "map", "used_by": "[]", "at": 1,
}  # fmt: skip
_VERSION = {"hash": "h", "manifest": "{}", "compiled": b"", "applied_at": 1, "actor": "ann"}

DEFAULTS: dict[str, dict[str, Any]] = {
    "attempt": {**_ATTEMPT, "state": "published"},
    "delivery": _DELIVERY,
    "drift": _DRIFT,
    "fact": {"node": "orders", **_FACT},
    "look": {"found": 0},
    "overlay": {"node": "orders", "epoch": 1, "n": 1, "state": "staged"},
    "partition": {"node": "orders", "state": "published", "since": 1},
    "plan": {**_PLAN, "state": "running"},
    "publication": _PUBLICATION,
    "quarantine": {"node": "orders", "epoch": 1, "n": 1, "state": "held", "reason": "", "at": 1},
    "run": {"kind": "run", "request": "{}", "actor": "ann", "state": "succeeded", "started_at": 1},
    "version": _VERSION,
}


def insert(tx: Transaction, table: str, **columns: Any) -> None:
    """Insert a row."""
    row = {**DEFAULTS.get(table, {}), **columns}
    tx.execute(insertion(table, list(row)), list(row.values()))


def attempt(tx: Transaction, n: int, *keys: str, epoch: int = 1, **columns: Any) -> None:
    """Insert an attempt at some partitions."""
    insert(tx, "attempt", epoch=epoch, n=n, partitions=keys_of(*keys), **columns)


def publication(tx: Transaction, number: int, partition: str, **columns: Any) -> None:
    """Insert a publication; it is visible unless `ended_snapshot` is given."""
    insert(tx, "publication", id=number, partition=partition, **columns)


def keys_of(*keys: str) -> str:
    """The partitions of an attempt, as they are stored."""
    return msgspec.json.encode(keys).decode()
