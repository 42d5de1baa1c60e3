"""Nodes that fail whatever the partition."""

from __future__ import annotations

import msgspec
from table_rows import add

from headrace.model.texts import marked
from headrace.store import Store
from headrace_ui.queries.failing_nodes import failing_alike


def test_nodes_that_keep_failing(store: Store) -> None:
    """Would catch: a lost connection, or the rows of one partition, taken for code that fails; the
    failure of a batch and of a partition of it for two; failures before it worked again; two
    faults of data in a row, each for itself."""
    failed = {
        "version": 3,
        "state": "failed",
        "error": '{"kind": "deterministic"}',
        "partitions": '["d1"]',
    }
    other = failed | {"partitions": '["d2"]'}
    tried: dict[str, list[dict[str, object]]] = {
        "one": [failed, failed],
        "two": [failed, other],
        "everywhere": [failed | {"error": '{"kind": "deterministic", "everywhere": true}'}],
        "transient": [{**attempt, "error": '{"kind": "transient"}'} for attempt in (failed, other)],
        "batch": [failed | {"partitions": '["d1", "d2"]'}, failed],
        "worked": [other, failed | {"state": "published", "partitions": '["d3"]'}, failed],
        "rejected": [other, failed | {"state": "rejected", "partitions": '["d3"]'}, failed],
        "cancelled": [other, failed | {"state": "cancelled"}, failed],
        "corrected": [other | {"version": 2}, failed],
        "same but for a value": [
            said(failed, f"no rate of {marked('EUR')}"),
            said(other, f"no rate of {marked('USD')}"),
        ],
        "another line": [
            said(failed, f"ValueError: {marked('no rate')}", line=3),
            said(other, f"ValueError: {marked('no rate')}", line=7),
        ],
        "different": [said(failed, "division by zero"), said(other, f"no rate of {marked('USD')}")],
    }
    attempts = [attempt | {"node": node} for node, each in tried.items() for attempt in each]
    with store.write(None) as tx:
        add(tx, "run", {"id": 1})
        for node in tried:
            for key in ("d1", "d2"):
                add(tx, "partition", {"node": node, "partition": key, "state": "failed"})
        add(tx, "attempt", *({"n": n} | attempt for n, attempt in enumerate(attempts, 1)))
        assert failing_alike(tx, 3) == [
            "cancelled",
            "everywhere",
            "same but for a value",
            "two",
        ]


def said(attempt: dict[str, object], message: str, line: int | None = None) -> dict[str, object]:
    error = msgspec.json.encode({"kind": "deterministic", "message": message, "line": line})
    return attempt | {"error": error.decode()}
