"""What partitions contain, and how often checks failed."""

from __future__ import annotations

from typing import NamedTuple

from headrace.store.transaction import Transaction

CONTENTS_MAX = 200_000
"""At most this many partitions are compared by content."""


class Content(NamedTuple):
    """The rows of a current partition, by their hash."""

    node: str
    partition: str
    hash: str
    rows: int


def contents(tx: Transaction) -> list[Content]:
    """Return the current partitions with rows and a hash, the newest `CONTENTS_MAX`."""
    rows = tx.execute(
        "select node, partition, content_hash, rows from publication where ended_snapshot is null"
        " and rows > 0 and content_hash is not null order by id desc limit :limit",
        {"limit": CONTENTS_MAX},
    )
    return [Content(*row) for row in rows.fetchall()]


class CheckRecord(NamedTuple):
    """How often a check was evaluated on rows, and how often it failed."""

    evaluated: int
    failed: int


def check_record(tx: Transaction, node: str, name: str) -> CheckRecord:
    """Return the record of one check."""
    row = tx.execute(
        "select count(*), coalesce(sum(case when outcome = 'failed' then 1 else 0 end), 0) from"
        " check_result where node = :node and name = :name and outcome <> 'unchecked'",
        {"node": node, "name": name},
    ).fetchone()
    assert row is not None
    return CheckRecord(int(row[0]), int(row[1]))
