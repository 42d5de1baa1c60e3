"""Partition states: where every partition stands, for readers, calendars and the scheduler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from headrace.store.transaction import Transaction

# The state of every partition that was ever touched, and what readers see of a node.

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


# What readers see of all nodes, by one query; `extent` answers the same for one node.


class VisibleExtent(NamedTuple):
    """A node's extent, and how many of its partitions readers see."""

    extent: NodePublicationSummary
    partitions: int


_SEEN = (
    "select s.node, s.oldest, s.newest, p.published_at, p.verdict, p.rows, s.partitions from (select node, min(partition) as oldest,"
    " max(partition) as newest, count(*) as partitions from publication where ended_snapshot is null{one} group by node) as s"
    " join publication p on p.node = s.node and p.partition = s.newest and p.ended_snapshot is null"
)


def visible_extents(tx: Transaction) -> dict[str, VisibleExtent]:
    """Node → what readers see of it; those of which they see nothing aren't there."""
    return {row[0]: VisibleExtent(NodePublicationSummary(*row[:6]), int(row[6])) for row in tx.execute(_SEEN.format(one=""))}


def visible_extent(tx: Transaction, node: str) -> VisibleExtent | None:
    """The same of one node; None where readers see nothing of it."""
    row = tx.execute(_SEEN.format(one=" and node = :node"), {"node": node}).fetchone()
    return None if row is None else VisibleExtent(NodePublicationSummary(*row[:6]), int(row[6]))


def last_revision(tx: Transaction) -> int:
    """Of the last change of any partition."""
    return int(tx.execute("select coalesce(max(revision), 0) from partition").fetchone()[0])


def changed_nodes(tx: Transaction, after: int) -> list[str]:
    """The nodes of which a partition changed after a revision."""
    rows = tx.execute(
        "select distinct node || '' from partition where revision > ?", (after,)
    ).fetchall()  # by the revision, not by the key
    return [node for (node,) in rows]


# A node's partitions as a calendar shows them: each one's state beside what readers see of it.

_DROPPED = (
    "p.state in ('rejected', 'held') and (select q.state from quarantine q"
    " where q.node = p.node and q.partition = p.partition order by q.id desc limit 1) = 'dropped'"
)
"""Of what waited last somebody said that it will never be published; the partition keeps its state."""
CALENDAR_STATE = (
    f"case when {_DROPPED} then 'dropped' when p.state in ('running', 'rejected', 'held', 'failed', 'withdrawn') then p.state"
    " when p.publication_id is not null and (p.stale <> 0 or p.proposed <> 0) then 'stale'"
    " when p.publication_id is not null and b.verdict in ('warned', 'unchecked') then b.verdict"
    " when p.publication_id is not null then 'published' else p.state end"
)
"""One word for a partition: what a person would act on comes first."""
_FROM = "from partition p left join publication b on b.id = p.publication_id where p.node = :node"


class Day(NamedTuple):
    """One partition. Times are microseconds of the store's clock."""

    partition: str
    state: str
    seen: bool
    stale: bool
    reason: str | None
    since: int
    failures: int
    rows: int | None
    bytes: int | None
    verdict: str | None
    published_at: int | None


def days_between(tx: Transaction, node: str, first: str, last: str | None, *, before: str | None, limit: int) -> list[Day]:
    """The newest partitions from one key to another (both included) that are older than `before`, newest first."""
    bounds = ("" if last is None else " and p.partition <= :last") + ("" if before is None else " and p.partition < :before")
    rows = tx.execute(
        f"select p.partition, {CALENDAR_STATE}, p.publication_id is not null, p.stale <> 0 or p.proposed <> 0, p.reason, p.since,"
        f" p.failures, b.rows, b.bytes, b.verdict, b.published_at {_FROM} and p.partition >= :first{bounds} order by p.partition desc limit"
        " :limit",
        {"node": node, "first": first, "last": last, "before": before, "limit": limit},
    )
    return [Day(row[0], row[1], bool(row[2]), bool(row[3]), *row[4:]) for row in rows]


def calendar_counts(tx: Transaction, node: str, first: str = "", last: str | None = None) -> dict[str, int]:
    """How many partitions of a node are in each state, from one key to another (both included)."""
    bounds = "" if last is None else " and p.partition <= :last"
    rows = tx.execute(
        f"select {CALENDAR_STATE} as shown, count(*) {_FROM} and p.partition >= :first{bounds} group by shown",
        {"node": node, "first": first, "last": last},
    )
    return dict(rows.fetchall())


def keys_between(tx: Transaction, node: str, first: str, last: str) -> list[str]:
    """The partitions from one key to another, both included."""
    rows = tx.execute(
        "select partition from partition where node = :node and partition >= :first and partition <= :last",
        {"node": node, "first": first, "last": last},
    )
    return [str(row[0]) for row in rows]


def count_between(tx: Transaction, node: str, first: str, before: str | None) -> int:
    """How many partitions there are from one key to before another."""
    bounds = "" if before is None else " and partition < :before"
    row = tx.execute(
        f"select count(*) from partition where node = :node and partition >= :first{bounds}",
        {"node": node, "first": first, "before": before},
    ).fetchone()
    return int(row[0])


def calendar_states(tx: Transaction, node: str) -> dict[str, str]:
    """Partition → the same word, of all of a node's, oldest first."""
    return dict(tx.execute(f"select p.partition, {CALENDAR_STATE} {_FROM} order by p.partition", {"node": node}).fetchall())


# The partition states from which the scheduler starts: all of them, or those that changed since a
# checkpoint.
#
# Each change of a partition's row gets the number `revision`, which grows with every transaction
# that changes any. A checkpoint records the last number that it covers. Deleted rows leave no
# number behind, so code that deletes rows also drops the checkpoint.


class StoredPartitionState(msgspec.Struct, frozen=True):
    """A partition as the core loads it."""

    node: str
    partition: str
    state: str
    stale: bool
    failures: int
    not_before: int | None
    published: bool
    proposed: bool
    reason: str
    since: int
    publication: int
    """Of the partition `*`: the publication that first had the content that readers see."""


class StoredCheckpoint(msgspec.Struct, frozen=True):
    """A checkpoint: what it was taken of, and up to which change."""

    version: int
    revision: int
    content: bytes


def next_revision(tx: Transaction) -> int:
    """What the rows that change now are numbered with."""
    return int(tx.execute("select coalesce(max(revision), 0) from partition").fetchone()[0]) + 1


def stored_states(tx: Transaction, after: int = -1, node: str | None = None) -> Iterator[StoredPartitionState]:
    """The partitions that were touched after a revision, or all of one node, one by one: they may be more than fit into memory."""
    which, value = ("p.revision > ?", after) if node is None else ("p.node = ?", node)
    rows = tx.execute(
        "select p.node, p.partition, p.state, p.stale, p.failures, p.not_before, p.publication_id is not null, p.proposed,"
        " coalesce(p.reason, ''), p.since, case when p.partition = '*' then (select coalesce(max(f.id), 0) from publication f"
        " where f.node = p.node and f.partition = '*' and f.identical = 0) else 0 end"
        f" from partition p where {which}",
        (value,),
    )
    for r in rows:
        yield StoredPartitionState(r[0], r[1], r[2], bool(r[3]), r[4], r[5], bool(r[6]), bool(r[7]), r[8], r[9], r[10])


def checkpoint(tx: Transaction) -> StoredCheckpoint | None:
    """What a core knew when it was last written down."""
    row = tx.execute("select version, revision, content from checkpoint where id = 1").fetchone()
    return None if row is None else StoredCheckpoint(row[0], row[1], bytes(row[2]))


def save_checkpoint(tx: Transaction, version: int, content: bytes, now: int) -> None:
    """Write down what a core knows of everything that has changed until now, in this transaction too."""
    tx.execute(
        "insert into checkpoint (id, version, revision, at, content) values (1, ?, ?, ?, ?) on conflict (id) do update set"
        " version = excluded.version, revision = excluded.revision, at = excluded.at, content = excluded.content",
        (version, next_revision(tx) - 1, now, content),
    )


def drop_checkpoint(tx: Transaction) -> None:
    """Rows of partitions were deleted or renamed: the next core starts from all that are left."""
    tx.execute("delete from checkpoint")


class Brief(msgspec.Struct, frozen=True, gc=False):
    """A partition in short, for who looks at very many."""

    node: str
    partition: str
    state: str
    stale: bool
    failing: bool
    published: bool


def brief_states(tx: Transaction, after: int = -1) -> Iterator[Brief]:
    """The partitions that were touched after a revision, in short. `stale` are also those that only somebody who asks makes again."""
    rows = tx.execute(
        "select node, partition, state, stale <> 0 or proposed <> 0, failures > 0, publication_id is not null from partition"
        " where revision > ? order by node",
        (after,),
    )
    for node, partition, state, stale, failing, published in rows:
        yield Brief(node, partition, state, bool(stale), bool(failing), bool(published))


def failed_since(tx: Transaction, at: int) -> list[tuple[str, str]]:
    """Node and partition of what failed or was rejected at a time or later (microseconds), or backs off before the next try; and of
    what did so under other code and waits to be made by the one that is applied."""
    rows = tx.execute(
        "select node, partition from partition where state <> 'published' and since >= ?"
        " and (state in ('failed', 'rejected') or (state = 'waiting' and failures > 0)) order by node",
        (at,),
    )
    return [*((row[0], row[1]) for row in rows), *_failed_before(tx, at)]


def _failed_before(tx: Transaction, at: int) -> Iterator[tuple[str, str]]:
    """Another version was applied since: what failed counts as never tried, but an attempt says that it was."""
    waiting = "select node, partition from partition where state = 'waiting' and failures = 0 and since >= ?"
    open_since = {(row[0], row[1]) for row in tx.execute(waiting, (at,))}
    if not open_since:
        return
    ended = "select node, partitions from attempt where finished_at >= ? and state in ('failed', 'rejected')"
    for node, partitions in tx.execute(ended, (at,)):
        for key in msgspec.json.decode(partitions):
            if (node, key) in open_since:
                open_since.discard((node, key))
                yield node, key
