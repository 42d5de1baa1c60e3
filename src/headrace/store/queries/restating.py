"""What readers see of a source, as far as a new delivery is compared with it."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.store.database import Transaction

NEWEST = 100
"""Deliveries that are looked through: the wrong day's file is mostly a neighbour's."""


def sound(tx: Transaction, source: str, keys: Sequence[str]) -> dict[str, tuple[int, str | None, str | None, str]]:
    """Partition → rows, content hash, the SHA-256 of what it was read from, and the attempt that
    published it. What was
    published as an exception isn't there."""
    rows = tx.execute(
        "select p.partition, p.rows, p.content_hash, d.sha256, p.epoch, p.n from publication p join delivery d on d.id = p.delivery_id"
        " where p.node = ? and p.ended_snapshot is null and p.partition between ? and ?"
        " and not exists (select 1 from accepted a where a.publication_id = p.id and a.ended_at is null)",
        (source, min(keys), max(keys)),
    ).fetchall()
    wanted = set(keys)
    return {row[0]: (*row[1:4], f"{row[4]}.{row[5]}") for row in rows if row[0] in wanted}


def redelivered_since(tx: Transaction, source: str, key: str) -> bool:
    """Whether an interval before this one was delivered again after what readers see of this one
    was published."""
    row = tx.execute(
        "select 1 from publication p join publication q on q.node = p.node and q.partition < p.partition and q.id > p.id"
        " where p.node = :node and p.partition = :key and p.ended_snapshot is null and q.ended_snapshot is null and exists"
        " (select 1 from publication o where o.node = q.node and o.partition = q.partition and o.id < q.id) limit 1",
        {"node": source, "key": key},
    ).fetchone()
    return row is not None


def withheld(tx: Transaction, source: str, key: str, size_bytes: int) -> list[tuple[str, str]]:
    """(interval, SHA-256) of deliveries of that size that other intervals were held or rejected for, among the newest intervals."""
    rows = tx.execute(
        "select partition, sha256 from (select partition, sha256, size_bytes, state from delivery where source = ?"
        " order by partition desc, id desc limit ?) as newest"
        " where partition <> ? and size_bytes = ? and sha256 is not null and state in ('held', 'rejected')",
        (source, NEWEST, key, size_bytes),
    ).fetchall()
    return [(row[0], row[1]) for row in rows]
