"""A publication is taken back: readers see nothing of its partition any more."""

from __future__ import annotations

from headrace.store.database import Transaction
from headrace.store.queries.standings import next_revision


def withdraw(tx: Transaction, node: str, partition: str, *, snapshot: int, now: int, reason: str) -> None:
    """End what readers see of a partition, from a snapshot on."""
    tx.execute("insert into withdrawal (node, partition, at) values (?, ?, ?) on conflict do nothing", (node, partition, now))
    tx.execute(
        "update publication set ended_snapshot = :snapshot, ended_at = :now "
        "where node = :node and partition = :partition and ended_snapshot is null",
        {"snapshot": snapshot, "now": now, "node": node, "partition": partition},
    )
    tx.execute(
        "update partition set state = 'withdrawn', publication_id = null, stale = 0, proposed = 0, failures = 0, not_before = null, "
        "reason = :reason, since = :now, revision = :revision where node = :node and partition = :partition",
        {"reason": reason, "now": now, "node": node, "partition": partition, "revision": next_revision(tx)},
    )


def withdrawn(tx: Transaction) -> frozenset[tuple[str, str]]:
    """Node and partition of what is withdrawn now, and nothing was published of since."""
    rows = tx.execute(  # the first condition is the index's
        "select node, partition from partition where state <> 'published' and state = 'withdrawn' and publication_id is null"
    )
    return frozenset((node, partition) for node, partition in rows)
