"""What an environment borrows from production: which nodes, and what it last saw of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from headrace.store.database import Transaction


class Borrowed(msgspec.Struct, frozen=True):
    """A publication in production's state."""

    publication_id: int
    content_hash: str | None


def published(tx: Transaction) -> dict[tuple[str, str], Borrowed]:
    """(node, partition) → what readers see, in production's own state."""
    rows = tx.execute("select node, partition, id, content_hash from publication where ended_snapshot is null").fetchall()
    return {(node, partition): Borrowed(number, content) for node, partition, number, content in rows}


def nodes(tx: Transaction) -> frozenset[str]:
    """The nodes that the environment with this state reads from production."""
    return frozenset(node for (node,) in tx.execute("select node from borrowed").fetchall())


def remembered(tx: Transaction) -> dict[tuple[str, str], Borrowed]:
    """(node, partition) → what the environment's last leader saw of production."""
    rows = tx.execute("select node, partition, publication_id, content_hash from borrowed_publication").fetchall()
    return {(node, partition): Borrowed(number, content) for node, partition, number, content in rows}


def remember(tx: Transaction, borrowed: Iterable[str], seen: Mapping[tuple[str, str], Borrowed]) -> None:
    """Write down what is borrowed, and what is seen of it; only what differs is touched."""
    tx.execute("delete from borrowed")
    tx.executemany("insert into borrowed (node) values (?)", [(node,) for node in sorted(borrowed)])
    before = remembered(tx)
    tx.executemany("delete from borrowed_publication where node = ? and partition = ?", [key for key in before if key not in seen])
    tx.executemany(
        "insert into borrowed_publication (node, partition, publication_id, content_hash) values (?, ?, ?, ?)"
        " on conflict (node, partition) do update set publication_id = excluded.publication_id, content_hash = excluded.content_hash",
        [(*key, item.publication_id, item.content_hash) for key, item in seen.items() if before.get(key) != item],
    )


def read_at(tx: Transaction, rows: Iterable[tuple[int, int, int]]) -> None:
    """(epoch, n, production's snapshot) of attempts that read from production."""
    tx.executemany("insert into borrowed_read (epoch, n, snapshot) values (?, ?, ?)", rows)


def reads(tx: Transaction, node: str) -> dict[tuple[int, int], tuple[int, int]]:
    """(epoch, n) of attempts of an environment at a node → the snapshots that they read: its own, and production's."""
    rows = tx.execute(
        "select a.epoch, a.n, a.snapshot_read, b.snapshot from attempt a join borrowed_read b on b.epoch = a.epoch and b.n = a.n"
        " where a.node = ?",
        (node,),
    ).fetchall()
    return {(epoch, n): (own, theirs) for epoch, n, own, theirs in rows}
