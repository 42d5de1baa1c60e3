"""What readers see of all nodes, in one go: what is looked up node by node is the same (`partitions.extent`)."""

from __future__ import annotations

from typing import NamedTuple

from headrace.store.database import Transaction
from headrace.store.queries.partitions import NodePublicationSummary


class VisibleExtent(NamedTuple):
    """A node's extent, and how many of its partitions readers see."""

    extent: NodePublicationSummary
    partitions: int


_SEEN = (
    "select s.node, s.oldest, s.newest, p.published_at, p.verdict, p.rows, s.partitions from (select node, min(partition) as oldest,"
    " max(partition) as newest, count(*) as partitions from publication where ended_snapshot is null{one} group by node) as s"
    " join publication p on p.node = s.node and p.partition = s.newest and p.ended_snapshot is null"
)


def all_of(tx: Transaction) -> dict[str, VisibleExtent]:
    """Node → what readers see of it; those of which they see nothing aren't there."""
    return {row[0]: VisibleExtent(NodePublicationSummary(*row[:6]), int(row[6])) for row in tx.execute(_SEEN.format(one=""))}


def of(tx: Transaction, node: str) -> VisibleExtent | None:
    """The same of one node; None where readers see nothing of it."""
    row = tx.execute(_SEEN.format(one=" and node = :node"), {"node": node}).fetchone()
    return None if row is None else VisibleExtent(NodePublicationSummary(*row[:6]), int(row[6]))


def revision(tx: Transaction) -> int:
    """Of the last change of any partition."""
    return int(tx.execute("select coalesce(max(revision), 0) from partition").fetchone()[0])


def changed_nodes(tx: Transaction, after: int) -> list[str]:
    """The nodes of which a partition changed after a revision."""
    rows = tx.execute(
        "select distinct node || '' from partition where revision > ?", (after,)
    ).fetchall()  # by the revision, not by the key
    return [node for (node,) in rows]
