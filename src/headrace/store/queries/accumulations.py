"""Publications of tables that live across partitions: each is the whole table as one partition left it."""

from __future__ import annotations

import msgspec

from headrace.store.database import Transaction


class AccumulatedPartition(msgspec.Struct, frozen=True):
    """What readers see of a partition: the snapshot in which the table stood as it left it, and what it was then."""

    partition: str
    snapshot: int
    content_hash: str | None
    rows: int


def published(tx: Transaction, node: str) -> list[AccumulatedPartition]:
    """Of each partition that is published."""
    rows = tx.execute("select partition, snapshot, content_hash, rows from publication where node = ? and ended_snapshot is null", (node,))
    return [AccumulatedPartition(*row) for row in rows.fetchall()]


def newest_snapshot(tx: Transaction, node: str) -> int:
    """The last snapshot in which a publication of the node, whatever became of it, changed the table; 0 if none did."""
    return int(tx.execute("select coalesce(max(snapshot), 0) from publication where node = ?", (node,)).fetchone()[0])
