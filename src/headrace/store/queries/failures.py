"""What went wrong and still stands so: the partitions that `retry` takes."""

from __future__ import annotations

import msgspec

from headrace.store.database import Transaction

_STILL_OPEN = ("failed", "rejected", "waiting", "missing")
"""Where a partition stands that failed, or whose attempt was lost, and that nothing has come of since."""


def of_run(tx: Transaction, run_id: int) -> list[tuple[str, str]]:
    """Node and partition of what failed, was rejected or lost in a run and hasn't been published since, in order."""
    rows = tx.execute(
        "select node, partitions from attempt where run_id = :run and state in ('failed', 'rejected', 'lost') order by epoch, n",
        {"run": run_id},
    ).fetchall()
    results = dict.fromkeys((node, key) for node, keys in rows for key in msgspec.json.decode(keys))
    still = {node: _still_failed(tx, node) for node in {node for node, _ in results}}
    return [(node, key) for node, key in results if key in still[node]]


def of_node(tx: Transaction, node: str, partition: str | None = None) -> list[tuple[str, str]]:
    """The same of one node, whatever run it was in: those that failed, were rejected, or back off before the next try."""
    item = "" if partition is None else " and partition = :partition"
    rows = tx.execute(
        "select node, partition from partition where node = :node and state <> 'published' "
        f"and (state in ('failed', 'rejected') or (state = 'waiting' and failures > 0)){item} order by partition",
        {"node": node, "partition": partition},
    )
    return [(row[0], row[1]) for row in rows]


def _still_failed(tx: Transaction, node: str) -> set[str]:
    marks = ", ".join("?" for _ in _STILL_OPEN)
    open_ = f"node = ? and state <> 'published' and state in ({marks})"
    rows = tx.execute(f"select partition from partition where {open_}", (node, *_STILL_OPEN))
    return {key for (key,) in rows.fetchall()}


def failing_nodes(tx: Transaction) -> list[str]:
    """The nodes of which a partition has failed and was not published since, by name."""
    rows = tx.execute("select distinct node from partition where state <> 'published' and state = 'failed' order by node").fetchall()
    return [node for (node,) in rows]


class NodeFailure(msgspec.Struct, frozen=True):
    """A node's newest attempt, which failed. `partition` is the first of those that it was at; `error` is JSON of what went wrong;
    `finished_at` is in microseconds."""

    node: str
    partition: str
    reason: str
    error: str
    finished_at: int


def newest_attempts(tx: Transaction, version: int) -> list[NodeFailure]:
    """Of each node the newest attempt, where it failed at this version with a partition that is failed still; by node."""
    failures = []
    for node in failing_nodes(tx):
        row = tx.execute(
            "select state, version, partitions, coalesce(reason, ''), error, finished_at from attempt"
            " where node = ? order by epoch desc, n desc limit 1",
            (node,),
        ).fetchone()
        if row is None or row[0] != "failed" or row[1] != version or row[4] is None:
            continue
        key = msgspec.json.decode(row[2])[0]
        state = tx.execute("select state from partition where node = ? and partition = ?", (node, key)).fetchone()
        if state is not None and state[0] == "failed":
            failures.append(NodeFailure(node, key, *row[3:]))
    return failures


def still_open(tx: Transaction, node: str) -> list[str]:
    """The partitions of a node that aren't published as they should be: something went wrong, or nothing has come of them yet."""
    rows = tx.execute("select partition from partition where node = ? and (state <> 'published' or stale <> 0)", (node,))
    return [key for (key,) in rows.fetchall()]


def standing(tx: Transaction, limit: int) -> list[tuple[str, str, str]]:
    """(node, partition, state) of what failed, is held or was rejected, and stands so now; by node and partition."""
    rows = tx.execute(
        "select node, partition, state from partition where state <> 'published' and state in ('failed', 'held', 'rejected')"
        " order by node, partition limit ?",
        (limit,),
    )
    return [(row[0], row[1], row[2]) for row in rows.fetchall()]
