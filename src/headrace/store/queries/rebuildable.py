"""Partitions whose rows were removed because they can be computed again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headrace.store.transaction import Transaction


class RebuildablePartition(NamedTuple):
    """A published partition that may be removed if it gives the same rows again."""

    partition: str
    publication: int
    rows: int
    content_hash: str


class RemovedPartition(NamedTuple):
    """A partition that was removed: `rows` and `content_hash` are those that it had.

    `same` says whether it has the same rows again: None while it isn't rebuilt.
    """

    node: str
    partition: str
    rows: int
    content_hash: str
    version: int
    engine: str
    same: bool | None


def candidates(tx: Transaction, node: str, before: str, limit: int) -> list[RebuildablePartition]:
    """Return the oldest published partitions before a key that have rows and a hash, up to date."""
    rows = tx.execute(
        "select b.partition, b.id, b.rows, b.content_hash from publication b join partition p on"
        " p.node = b.node and p.partition = b.partition and p.publication_id = b.id where"
        " b.node = ? and b.partition < ? and b.ended_snapshot is null and b.rows > 0 and"
        " b.content_hash is not null and p.stale = 0 and p.state = 'published' order by b.partition"
        " limit ?",
        (node, before, limit),
    ).fetchall()
    return [RebuildablePartition(*row) for row in rows]


def count(tx: Transaction, node: str, before: str) -> tuple[int, int]:
    """Return the number of published partitions before a key that have rows, and of their rows."""
    row = tx.execute(
        "select count(*), sum(rows) from publication where node = ? and partition < ? and"
        " ended_snapshot is null and rows > 0",
        (node, before),
    ).fetchone()
    return int(row[0]), int(row[1] or 0)


def is_up_to_date(tx: Transaction, node: str, partition: str) -> bool:
    """Whether a partition is published and not stale."""
    row = tx.execute(
        "select 1 from partition where node = ? and partition = ? and publication_id is not null"
        " and stale = 0 and state = 'published'",
        (node, partition),
    ).fetchone()
    return row is not None


def current(tx: Transaction, node: str, keys: Sequence[str]) -> dict[str, int]:
    """Return the publications that readers see of some partitions, by partition."""
    results = {}
    for key in keys:
        row = tx.execute(
            "select id from publication where node = ? and partition = ? and ended_snapshot is"
            " null",
            (node, key),
        ).fetchone()
        if row is not None:
            results[key] = int(row[0])
    return results


def remove(
    tx: Transaction,
    node: str,
    removed: Sequence[RebuildablePartition],
    *,
    version: int,
    engine: str,
    now: int,
) -> None:
    """Store the hashes of partitions whose rows are removed."""
    tx.executemany(
        "insert into rebuildable_partition (node, partition, publication_id, rows, content_hash,"
        " version, engine, removed_at) values (?, ?, ?, ?, ?, ?, ?, ?) on conflict (node,"
        " partition) do update set publication_id = excluded.publication_id, rows = excluded.rows,"
        " content_hash = excluded.content_hash, version = excluded.version, engine ="
        " excluded.engine, removed_at = excluded.removed_at",
        [
            (node, each.partition, each.publication, each.rows, each.content_hash, version, engine,
             now)
            for each in removed
        ],
    )  # fmt: skip


def is_removed(tx: Transaction, node: str, partition: str) -> bool:
    """Whether readers see a publication whose rows were removed because it can be rebuilt."""
    row = tx.execute(
        "select 1 from rebuildable_partition r join publication b on b.id = r.publication_id where"
        " r.node = ? and r.partition = ? and b.ended_snapshot is null",
        (node, partition),
    ).fetchone()
    return row is not None


def removed(
    tx: Transaction, node: str | None = None, partition: str | None = None
) -> list[RemovedPartition]:
    """Return the removed partitions, compared with what was published of them since."""
    rows = tx.execute(
        "select r.node, r.partition, r.rows, r.content_hash, r.version, r.engine, r.publication_id,"
        " b.id, b.content_hash from rebuildable_partition r left join publication b on b.node ="
        " r.node and b.partition = r.partition and b.ended_snapshot is null where (cast(:node as"
        " text) is null or r.node = :node) and (cast(:partition as text) is null or r.partition ="
        " :partition) order by r.node, r.partition",
        {"node": node, "partition": partition},
    ).fetchall()
    return [
        RemovedPartition(
            name, key, count, digest, version, engine, None if was == now else digest == now_digest
        )
        for name, key, count, digest, version, engine, was, now, now_digest in rows
    ]
