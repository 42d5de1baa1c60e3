"""Environments: what they borrow from production, and what production takes over from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from headrace.store.transaction import Transaction

# The nodes that an environment reads from production, and production's publications as its leader
# last saw them.


class Borrowed(msgspec.Struct, frozen=True):
    """A publication in production's state."""

    publication_id: int
    content_hash: str | None


def published_in_production(tx: Transaction) -> dict[tuple[str, str], Borrowed]:
    """(node, partition) → what readers see, in production's own state."""
    rows = tx.execute(
        "select node, partition, id, content_hash from publication where ended_snapshot is null"
    ).fetchall()
    return {
        (node, partition): Borrowed(number, content) for node, partition, number, content in rows
    }


def borrowed_nodes(tx: Transaction) -> frozenset[str]:
    """The nodes that the environment with this state reads from production."""
    return frozenset(node for (node,) in tx.execute("select node from borrowed").fetchall())


def remembered_publications(tx: Transaction) -> dict[tuple[str, str], Borrowed]:
    """(node, partition) → what the environment's last leader saw of production."""
    rows = tx.execute(
        "select node, partition, publication_id, content_hash from borrowed_publication"
    ).fetchall()
    return {
        (node, partition): Borrowed(number, content) for node, partition, number, content in rows
    }


def remember_publications(
    tx: Transaction, borrowed: Iterable[str], seen: Mapping[tuple[str, str], Borrowed]
) -> None:
    """Write down what is borrowed, and what is seen of it; only what differs is touched."""
    tx.execute("delete from borrowed")
    tx.executemany("insert into borrowed (node) values (?)", [(node,) for node in sorted(borrowed)])
    before = remembered_publications(tx)
    tx.executemany(
        "delete from borrowed_publication where node = ? and partition = ?",
        [key for key in before if key not in seen],
    )
    tx.executemany(
        "insert into borrowed_publication (node, partition, publication_id, content_hash) values"
        " (?, ?, ?, ?) on conflict (node, partition) do update set publication_id ="
        " excluded.publication_id, content_hash = excluded.content_hash",
        [
            (*key, item.publication_id, item.content_hash)
            for key, item in seen.items()
            if before.get(key) != item
        ],
    )


def record_reads(tx: Transaction, rows: Iterable[tuple[int, int, int]]) -> None:
    """(epoch, n, production's snapshot) of attempts that read from production."""
    tx.executemany("insert into borrowed_read (epoch, n, snapshot) values (?, ?, ?)", rows)


def recorded_reads(tx: Transaction, node: str) -> dict[tuple[int, int], tuple[int, int]]:
    """(epoch, n) of attempts of an environment at a node → the snapshots that they read: its own,
    and production's.
    """
    rows = tx.execute(
        "select a.epoch, a.n, a.snapshot_read, b.snapshot from attempt a join borrowed_read b on"
        " b.epoch = a.epoch and b.n = a.n where a.node = ?",
        (node,),
    ).fetchall()
    return {(epoch, n): (own_snapshot, theirs) for epoch, n, own_snapshot, theirs in rows}


# A promotion takes over publications that an environment computed: the leader writes an attempt
# for them and copies their check outcomes and profiles.

FIRST = 900_000_000
"""Numbers of attempts from here on are of what was brought in, and not computed here."""


def add_promotion(
    tx: Transaction,
    *,
    epoch: int,
    run_id: int,
    node: str,
    keys: Sequence[str],
    version: int,
    reason: str,
    now: int,
) -> int:
    """A row for what is brought in of a node, so that its publications belong to something; its
    number. It took no time of its own."""
    row = tx.execute(
        "select max(n) from attempt where epoch = ? and n >= ? and n < ?",
        (epoch, FIRST, FIRST + FIRST // 9),
    ).fetchone()
    n = FIRST if row is None or row[0] is None else int(row[0]) + 1
    tx.execute(
        "insert into attempt (epoch, n, run_id, node, kind, partitions, state, version, queued_at,"
        " finished_at, published_at, reason) values (?, ?, ?, ?, 'produce', ?, 'published', ?, ?,"
        " ?, ?, ?)",
        (
            epoch,
            n,
            run_id,
            node,
            msgspec.json.encode(list(keys)).decode(),
            version,
            now,
            now,
            now,
            reason,
        ),
    )
    return n


def checks_of(
    tx: Transaction, epoch: int, n: int, node: str, partition: str
) -> list[tuple[Any, ...]]:
    """(name, kind, severity, outcome, rows, failing, detail) of the checks that an attempt made of
    a partition."""
    return tx.execute(
        "select name, kind, severity, outcome, rows, failing, detail from check_result"
        " where epoch = ? and n = ? and node = ? and partition = ? order by name",
        (epoch, n, node, partition),
    ).fetchall()


def profile_of(tx: Transaction, epoch: int, n: int, partition: str) -> str | None:
    """The profile that an attempt took of a partition, as JSON."""
    row = tx.execute(
        "select columns from profile where epoch = ? and n = ? and partition = ?",
        (epoch, n, partition),
    ).fetchone()
    return None if row is None else str(row[0])


def mark_verdicts(tx: Transaction, rows: Iterable[tuple[str, int, int]]) -> None:
    """(verdict, epoch, n) of attempts."""
    tx.executemany("update attempt set verdict = ? where epoch = ? and n = ?", rows)
