"""Partitions that a check rejected which reads another node, and whether that node has other rows since."""

from __future__ import annotations

import msgspec

from headrace.store.database import Transaction

_READ_OTHERS = ("references", "sql")
"""Kinds of checks that may read other nodes."""


class QuarantinedPartition(msgspec.Struct, frozen=True, gc=False):
    """A partition that waits in quarantine, as an attempt made it. `snapshot` is what that attempt read."""

    node: str
    partition: str
    delivery: int | None
    snapshot: int


def failed(tx: Transaction, node: str) -> list[QuarantinedPartition]:
    """What waits in quarantine of a node because such a check failed, as the newest attempt left it; by partition."""
    first, second = _READ_OTHERS
    rows = tx.execute(
        "select q.node, q.partition, q.delivery_id, a.snapshot_read from quarantine q join attempt a on a.epoch = q.epoch and a.n = q.n"
        " join partition s on s.node = q.node and s.partition = q.partition and s.state in ('held', 'rejected')"
        " where q.node = :node and q.state in ('held', 'rejected') and a.snapshot_read is not null"
        " and q.id = (select max(o.id) from quarantine o where o.node = q.node and o.partition = q.partition)"
        " and exists (select 1 from check_result c where c.epoch = q.epoch and c.n = q.n and c.node = q.node"
        " and c.partition = q.partition and c.outcome = 'failed' and c.severity = 'blocking' and c.kind in (:first, :second))"
        " order by q.partition",
        {"node": node, "first": first, "second": second},
    )
    return [QuarantinedPartition(*row) for row in rows]


def newer_rows(tx: Transaction, node: str, than: QuarantinedPartition) -> bool:
    """Whether a node has published other rows than it had when an attempt read it."""
    row = tx.execute(
        "select 1 from publication where node = :node and snapshot > :snapshot and identical = 0 limit 1",
        {"node": node, "snapshot": than.snapshot},
    ).fetchone()
    return row is not None
