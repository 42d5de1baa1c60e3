"""How large the partitions of a node are: a mean of a bounded window, at a cost that doesn't grow with the history."""

from __future__ import annotations

from headrace.store.database import Transaction

WINDOW = 50
"""So many of the newest partitions that readers see are looked at."""


def of_partition(tx: Transaction, node: str) -> float:
    """Bytes of a partition of a node, on average; 0 where none is published."""
    row = tx.execute(
        "select avg(p.bytes) from (select publication_id from partition where node = :node and publication_id is not null"
        " order by partition desc limit :window) as newest join publication p on p.id = newest.publication_id",
        {"node": node, "window": WINDOW},
    ).fetchone()
    return 0.0 if row is None or row[0] is None else float(row[0])
