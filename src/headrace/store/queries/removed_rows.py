"""Rows that go: by what erased ones are recognised, and what the state keeps of removed ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from headrace.model.erased_rows import ErasedKey, ErasedRows
from headrace.store.transaction import Transaction


def keys_of(tx: Transaction, node: str) -> tuple[ErasedRows, ...]:
    """Return by what the rows of all erased subjects are recognised in a node."""
    found: dict[tuple[int, int], list[ErasedKey]] = defaultdict(list)
    for erasure, number, field, tokens in tx.execute(
        "select erasure_id, alternative, field, tokens from erased_key where node = ? order by"
        " erasure_id, alternative, field",
        (node,),
    ).fetchall():
        found[erasure, number].append(ErasedKey(field, tuple(msgspec.json.decode(tokens))))
    return tuple(ErasedRows(tuple(keys)) for keys in found.values())


# What the state itself holds of removed rows: profiles, samples, details of checks.

_SCRUBBED = (
    "delete from profile where node = :node and partition = :partition",
    "update quarantine set sample = null where node = :node and partition = :partition",
    (
        "update check_result set detail = '' where node = :node and partition = :partition and"
        " failing > 0"
    ),
)


def scrub(tx: Transaction, node: str, partitions: Sequence[str]) -> None:
    """Delete values of rows from what the state keeps about partitions: profiles and samples."""
    places = [{"node": node, "partition": key} for key in partitions]
    for sql in _SCRUBBED:
        tx.executemany(sql, places)


def vectors_of(tx: Transaction, node: str, partition: str) -> list[tuple[int, int, bytes]]:
    """Return epoch, n and encoded metrics of all attempts at a partition."""
    rows = tx.execute(
        "select epoch, n, vector from metric where node = ? and partition = ?", (node, partition)
    ).fetchall()
    return [(epoch, n, bytes(vector)) for epoch, n, vector in rows]


def set_vector(tx: Transaction, epoch: int, n: int, partition: str, vector: bytes) -> None:
    """Replace the encoded metrics of an attempt at a partition."""
    tx.execute(
        "update metric set vector = ? where epoch = ? and n = ? and partition = ?",
        (vector, epoch, n, partition),
    )


class ShownPublication(NamedTuple):
    """A publication of a partition; `attempt` is `epoch.n`."""

    id: int
    attempt: str
    snapshot: int
    current: bool


def publications_at(tx: Transaction, node: str, partition: str) -> list[ShownPublication]:
    """Return all publications of a partition, oldest first."""
    rows = tx.execute(
        "select id, epoch, n, snapshot, ended_snapshot from publication where node = ? and"
        " partition = ? order by id",
        (node, partition),
    ).fetchall()
    return [
        ShownPublication(number, f"{epoch}.{n}", snapshot, ended is None)
        for number, epoch, n, snapshot, ended in rows
    ]


def lose_rows(tx: Transaction, publication: int, rows: int, content_hash: str | None) -> None:
    """Subtract erased rows from a publication, whose content has another hash now."""
    tx.execute(
        "update publication set rows = rows - ?, content_hash = ? where id = ?",
        (rows, content_hash, publication),
    )


def forget_quarantined(tx: Transaction, numbers: Collection[int]) -> list[str]:
    """Forget the files of quarantined data, and what would publish it as it was.

    Returns their partitions.
    """
    partitions = []
    for number in numbers:
        row = tx.execute("select partition from quarantine where id = ?", (number,)).fetchone()
        partitions.append(str(row[0]))
        tx.execute(
            "delete from withheld where exists (select 1 from quarantine q where q.id = ? and"
            " q.epoch = withheld.epoch and q.n = withheld.n)",
            (number,),
        )
        tx.execute("update quarantine set path = null, sample = null where id = ?", (number,))
    return partitions


# Partitions before the first one that is kept.


class OldPartitions(NamedTuple):
    """Visible partitions with rows: how many, their rows, and the first and last of them."""

    partitions: int
    rows: int
    first: str
    last: str


def published_before(tx: Transaction, node: str, key: str) -> OldPartitions | None:
    """Return the visible partitions before a key that have rows; None if there are none."""
    row = tx.execute(
        "select count(*), sum(rows), min(partition), max(partition) from publication where"
        " node = ? and partition < ? and ended_snapshot is null and rows > 0",
        (node, key),
    ).fetchone()
    return OldPartitions(int(row[0]), int(row[1]), row[2], row[3]) if row[0] else None


def published_nodes(tx: Transaction) -> list[str]:
    """Return the nodes with visible rows, in order."""
    rows = tx.execute(
        "select distinct node from publication where ended_snapshot is null and rows > 0 order by"
        " node"
    ).fetchall()
    return [node for (node,) in rows]


def first_published(tx: Transaction, node: str, key: str) -> str | None:
    """Return the first visible partition from a key on that has rows."""
    row = tx.execute(
        "select min(partition) from publication where node = ? and partition >= ? and"
        " ended_snapshot is null and rows > 0",
        (node, key),
    ).fetchone()
    return None if row is None else row[0]


def quarantined_before(tx: Transaction, node: str, key: str) -> list[tuple[int, str]]:
    """Return number and path of quarantined data of partitions before a key."""
    rows = tx.execute(
        "select id, path from quarantine where node = ? and partition < ? and path is not null",
        (node, key),
    ).fetchall()
    return [(number, path) for number, path in rows]


def is_emptied(tx: Transaction, node: str, partition: str) -> bool:
    """Whether readers see a publication of the partition that has no rows."""
    row = tx.execute(
        "select rows from publication where node = ? and partition = ? and ended_snapshot is null",
        (node, partition),
    ).fetchone()
    return row is not None and row[0] == 0
