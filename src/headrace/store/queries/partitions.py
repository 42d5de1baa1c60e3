"""Partitions: where each one that was ever touched stands now."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.store.database import Transaction

_COLUMNS = "node, partition, state, stale, failures, not_before, publication_id, reason, since"


class Partition(msgspec.Struct, frozen=True):
    """One partition. `publication_id` is what readers see, whatever the state says of newer attempts; times are
    microseconds of the store's clock."""

    node: str
    partition: str
    state: str
    stale: bool
    failures: int
    not_before: int | None
    publication_id: int | None
    reason: str | None
    since: int


class NodePublicationSummary(msgspec.Struct, frozen=True):
    """What readers see of a node, in short: its oldest and newest published partitions, and the newest one's verdict."""

    node: str
    oldest: str
    newest: str
    newest_at: int
    newest_verdict: str
    newest_rows: int


def get(tx: Transaction, node: str, partition: str) -> Partition | None:
    """One partition; None if nothing was ever heard of it."""
    row = tx.execute(
        f"select {_COLUMNS} from partition where node = :node and partition = :partition", {"node": node, "partition": partition}
    ).fetchone()
    return _partition(row) if row else None


def oldest_open(tx: Transaction, node: str) -> str | None:
    """The oldest of a node's partitions that isn't simply published; None if all are."""
    row = tx.execute("select min(partition) from partition where node = :node and state <> 'published'", {"node": node}).fetchone()
    return None if row is None else row[0]


def counts(tx: Transaction) -> dict[str, dict[str, int]]:
    """Node → state → how many of its partitions are in it."""
    results: dict[str, dict[str, int]] = {}
    for node, state, count in tx.execute("select node, state, count(*) from partition group by node, state"):
        results.setdefault(node, {})[state] = count
    return results


def waiting_reasons(tx: Transaction, begins: str) -> set[str]:
    """Why partitions wait, of the reasons that begin so."""
    rows = tx.execute(
        "select distinct reason from partition where state <> 'published' and state = 'waiting' and substr(reason, 1, :length) = :begins",
        {"length": len(begins), "begins": begins},
    )
    return {row[0] for row in rows}


def stale_nodes(tx: Transaction) -> set[str]:
    """The nodes of which a published partition is stale."""
    return {row[0] for row in tx.execute("select distinct node from partition where stale <> 0 and publication_id is not null")}


def stale_keys(tx: Transaction, node: str, limit: int = 100) -> list[str]:
    """The newest of a node's published partitions that are stale, oldest first."""
    rows = tx.execute(
        "select partition from partition where node = :node and stale <> 0 and publication_id is not null "
        "order by partition desc limit :limit",
        {"node": node, "limit": limit},
    ).fetchall()
    return [key for (key,) in reversed(rows)]


def extent(tx: Transaction, node: str) -> NodePublicationSummary | None:
    """What readers see of a node, in short; None if nothing."""
    row = tx.execute(
        "select partition, published_at, verdict, rows from publication "
        "where node = :node and ended_snapshot is null order by partition desc limit 1",
        {"node": node},
    ).fetchone()
    if row is None:
        return None
    oldest = tx.execute("select min(partition) from publication where node = :node and ended_snapshot is null", {"node": node}).fetchone()
    return NodePublicationSummary(node, oldest[0], *row)


def data_keys(tx: Transaction, node: str, moment: str) -> list[str]:
    """The keys of a node that were heard of for an interval, without the interval; all keys of a node that isn't cut by time."""
    if not moment:
        rows = tx.execute("select partition from partition where node = :node", {"node": node}).fetchall()
    else:
        rows = tx.execute(
            "select partition from partition where node = :node and partition >= :first and partition < :beyond",
            {"node": node, "first": f"{moment}/", "beyond": f"{moment}0"},
        ).fetchall()
    return sorted(key[len(moment) + 1 :] if moment else key for (key,) in rows)


def _partition(row: tuple[Any, ...]) -> Partition:
    node, partition, state, stale, failures, not_before, publication_id, reason, since = row
    return Partition(node, partition, state, bool(stale), failures, not_before, publication_id, reason, since)
