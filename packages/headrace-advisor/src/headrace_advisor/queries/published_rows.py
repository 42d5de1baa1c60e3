"""Published partitions by whether any of their rows are left."""

from __future__ import annotations

from headrace.store import Transaction


def keys_with_rows(tx: Transaction, node: str) -> list[str]:
    """Return the published partitions of a node that have rows, newest first."""
    rows = tx.execute(
        "select partition from publication where node = ? and ended_snapshot is null and rows > 0"
        " order by partition desc",
        (node,),
    )
    return [str(key) for (key,) in rows.fetchall()]


def is_retired_whole(tx: Transaction, node: str) -> bool:
    """Whether a node has visible publications, and the rows of none of them are left."""
    row = tx.execute(
        "select count(*), coalesce(sum(rows), 0) from publication where node = ? and"
        " ended_snapshot is null",
        (node,),
    ).fetchone()
    return bool(row and row[0] and not row[1])
