"""Rows of tables that the module under test only reads: a test names the values that matter to it."""

from __future__ import annotations

from typing import Any

from headrace.store import Transaction
from headrace.store.transaction import insertion

DEFAULTS: dict[str, dict[str, Any]] = {
    "run": {"kind": "tick", "request": "{}", "actor": "ann", "state": "running", "started_at": 1},
    "attempt": {
        "epoch": 1,
        "run_id": 1,
        "node": "a",
        "kind": "produce",
        "partitions": '["d1"]',
        "state": "published",
        "queued_at": 1,
    },
    "partition": {"since": 1},
    "publication": {
        "partition": "d1",
        "epoch": 1,
        "n": 1,
        "snapshot": 1,
        "published_at": 1,
        "rows": 1,
        "bytes": 1,
        "verdict": "passed",
        "version": 1,
    },
    "quarantine": {"epoch": 1, "n": 1, "state": "held", "reason": "bad", "at": 1},
    "delivery": {
        "path": "f.csv",
        "size_bytes": 1,
        "modified_us": 1,
        "claimed_at": 1,
        "observed_at": 1,
        "arrived_at": 1,
        "state": "waiting",
    },
    "drift": {
        "epoch": 1,
        "column_name": "x",
        "evidence": "[]",
        "policy": "map",
        "used_by": "[]",
        "at": 1,
    },
    "incident": {
        "state": "open",
        "kind": "late",
        "node": "a",
        "fingerprint": "f",
        "owner": "ann",
        "summary": "late",
        "confidence": "0.500",
        "evidence": "[]",
        "affected": "{}",
        "began_at": 1,
        "opened_at": 1,
        "updated_at": 1,
    },
    "evidence": {"node": "a", "partition": "d1", "held": 1, "content": b"", "at": 1},
    "plan": {
        "state": "running",
        "actor": "ann",
        "reason": "",
        "request": "{}",
        "version": 1,
        "content": b"",
        "created_at": 1,
    },
    "version": {"hash": "h", "manifest": "{}", "compiled": b"", "actor": "ann"},
    "promise": {"consumer": "c", "terms": "{}", "from_at": 1, "begins_at": 1},
    "obligation": {"consumer": "c", "promise_id": 1},
    "look": {"source": "s", "found": 0},
}
"""Values of columns that must have one, by table."""


def add(tx: Transaction, table: str, *rows: dict[str, Any]) -> None:
    """Insert rows in order; columns without a value have their default."""
    for row in rows:
        values = DEFAULTS.get(table, {}) | row
        tx.execute(insertion(table, list(values)), list(values.values()))
