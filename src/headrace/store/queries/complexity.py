"""Sizes of partitions, and nodes whose publications have the same content."""

from __future__ import annotations

from typing import NamedTuple

from headrace.store.transaction import Transaction

CONTENTS_MAX = 200_000
"""At most this many partitions are compared by content."""


class PartitionSizes(NamedTuple):
    """A node's current partitions: their number, and the bytes and rows of all together."""

    partitions: int
    bytes: int
    rows: int


def partition_sizes(tx: Transaction) -> dict[str, PartitionSizes]:
    """Return the sizes of each node's current partitions."""
    rows = tx.execute(
        "select node, count(*), sum(bytes), sum(rows) from publication where ended_snapshot is null"
        " group by node"
    )
    return {str(row[0]): PartitionSizes(*map(int, row[1:])) for row in rows.fetchall()}


class Content(NamedTuple):
    """The rows of a current partition, by their hash."""

    node: str
    partition: str
    hash: str


def contents(tx: Transaction) -> list[Content]:
    """Return the current partitions with rows and a hash, the newest `CONTENTS_MAX`."""
    rows = tx.execute(
        "select node, partition, content_hash from publication where ended_snapshot is null and"
        " rows > 0 and content_hash is not null order by id desc limit :limit",
        {"limit": CONTENTS_MAX},
    )
    return [Content(*row) for row in rows.fetchall()]


class CheckRecord(NamedTuple):
    """How often a check was evaluated on rows, and how often it failed."""

    evaluated: int
    failed: int


def check_records(tx: Transaction) -> dict[tuple[str, str], CheckRecord]:
    """Return the record of each check, by (node, check)."""
    rows = tx.execute(
        "select node, name, count(*), sum(case when outcome = 'failed' then 1 else 0 end) from"
        " check_result where outcome <> 'unchecked' group by node, name"
    )
    return {(row[0], row[1]): CheckRecord(int(row[2]), int(row[3])) for row in rows.fetchall()}
