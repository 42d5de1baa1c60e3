"""A publication is taken back: readers see nothing of its partition any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from headrace.store.database import Transaction
from headrace.store.queries.standings import next_revision


def withdraw(tx: Transaction, node: str, partition: str, *, snapshot: int, now: int, reason: str) -> None:
    """End what readers see of a partition, from a snapshot on."""
    tx.execute(
        "insert into withdrawal (node, partition, at, reason) values (?, ?, ?, ?) on conflict do nothing", (node, partition, now, reason)
    )
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
    rows = tx.execute(
        "select distinct p.node, p.partition from withdrawal w join partition p on p.node = w.node and p.partition = w.partition"
        " where p.publication_id is null"
    )
    return frozenset((node, partition) for node, partition in rows)


class Withdrawn(NamedTuple):
    """A publication that was withdrawn, and whose rows nobody has accepted since. Times in microseconds, snapshots of the lake."""

    rows: int
    """The first publication of the partition with these rows: the same for all of them that were withdrawn."""
    node: str
    partition: str
    at: int
    reason: str | None
    """With who gave it: `test rows (by ada)`; None: that isn't known any more."""
    snapshot: int
    ended_snapshot: int
    content_hash: str | None
    shown: bool
    """Whether something else was published in its place since."""


_WITHDRAWN = (
    "select coalesce((select min(s.id) from publication s where s.node = p.node and s.partition = p.partition"
    " and s.content_hash = p.content_hash), p.id), p.node, p.partition, w.at, w.reason, p.snapshot, p.ended_snapshot, p.content_hash,"
    " exists (select 1 from publication n where n.node = p.node and n.partition = p.partition and n.ended_snapshot is null)"
    " from withdrawal w join publication p on p.node = w.node and p.partition = w.partition and p.ended_at = w.at"
    " where {which} and not exists (select 1 from publication q where q.node = p.node and q.partition = p.partition"
    " and q.content_hash = p.content_hash and q.id > p.id and not exists (select 1 from withdrawal x"
    " where x.node = q.node and x.partition = q.partition and x.at = q.ended_at)) order by p.id"
)


def all_withdrawn(tx: Transaction) -> list[Withdrawn]:
    """Everything that was ever withdrawn, oldest first."""
    return [_withdrawn(row) for row in tx.execute(_WITHDRAWN.format(which="1 = 1"))]


def withdrawn_of(tx: Transaction, node: str, keys: Sequence[str]) -> list[Withdrawn]:
    """What was ever withdrawn of some partitions of a node, oldest first."""
    rows = tx.execute(_WITHDRAWN.format(which="w.node = ? and w.partition between ? and ?"), (node, min(keys), max(keys)))
    return [withdrawn for row in rows if (withdrawn := _withdrawn(row)).partition in keys]


def _withdrawn(row: Sequence[Any]) -> Withdrawn:
    return Withdrawn(*row)._replace(shown=bool(row[-1]))
