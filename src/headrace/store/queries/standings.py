"""Where partitions stand, as the core starts from it: all of them, or those that changed since a checkpoint.

Each change of a partition's row has the number `revision`, which grows with each transaction that changes any. A checkpoint names
the last number that it knows. Rows that go leave no number behind, so whoever deletes any drops the checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headrace.store.database import Transaction


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


def standings(tx: Transaction, after: int = -1, node: str | None = None) -> Iterator[StoredPartitionState]:
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


def keep_checkpoint(tx: Transaction, version: int, content: bytes, now: int) -> None:
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


def briefly(tx: Transaction, after: int = -1) -> Iterator[Brief]:
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
