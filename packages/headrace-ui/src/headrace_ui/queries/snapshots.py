"""Which snapshots of a node were published, and what is visible in one."""

from __future__ import annotations

from typing import NamedTuple

from headrace.store.queries.publications import Visible
from headrace.store.transaction import Transaction


class PublishedSnapshot(NamedTuple):
    """A snapshot in which partitions of a node were published, and when the last one was."""

    snapshot: int
    at: int
    partitions: int


def newest_snapshots(tx: Transaction, node: str, limit: int) -> list[PublishedSnapshot]:
    """Return the snapshots of a node's newest `limit` publications, the newest first."""
    rows = tx.execute(
        "select snapshot, max(published_at), count(*) from (select snapshot, published_at from"
        " publication where node = :node order by id desc limit :limit) newest group by snapshot"
        " order by snapshot desc",
        {"node": node, "limit": limit},
    )
    return [PublishedSnapshot(*row) for row in rows]


def last_snapshot(tx: Transaction, node: str, partition: str | None, until: int) -> int | None:
    """Return the last snapshot up to `until` in which a node (its partition) was published."""
    of_partition = "" if partition is None else " and partition = :partition"
    row = tx.execute(
        "select max(snapshot) from publication where node = :node and snapshot <= :until"
        f"{of_partition}",
        {"node": node, "until": until, "partition": partition},
    ).fetchone()
    return None if row is None else row[0]


def visible_at(tx: Transaction, node: str, partition: str, snapshot: int) -> Visible | None:
    """Return a partition's publication as visible in a snapshot, or None."""
    row = tx.execute(
        "select id, rows, content_hash from publication where node = :node and partition ="
        " :partition and snapshot <= :snapshot and (ended_snapshot is null or ended_snapshot >"
        " :snapshot)",
        {"node": node, "partition": partition, "snapshot": snapshot},
    ).fetchone()
    return None if row is None else Visible(row[0], row[1], row[2])
