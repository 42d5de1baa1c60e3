"""Partition states, for readers, calendars and the scheduler."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from headrace.store.transaction import Transaction, among, at_places, json_list

# The state of every known partition, and what readers see of a node.

LAST_KEY = "\U0010ffff"
"""A text after all keys."""
_COLUMNS = "node, partition, state, stale, failures, not_before, publication_id, reason, since"


class Partition(msgspec.Struct, frozen=True):
    """One partition. Times are microseconds of the store's clock.

    `publication_id` is the visible publication, independent of the state of newer attempts.
    """

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
    """A node's oldest and newest published partitions, and the newest one's verdict."""

    node: str
    oldest: str
    newest: str
    newest_at: int
    newest_verdict: str
    newest_rows: int | None
    """None if they were removed whole since then (retention, erasure)."""


def get(tx: Transaction, node: str, partition: str) -> Partition | None:
    """Return one partition; None if it is unknown."""
    row = tx.execute(
        f"select {_COLUMNS} from partition where node = :node and partition = :partition",
        {"node": node, "partition": partition},
    ).fetchone()
    return _partition(row) if row else None


def states_at(
    tx: Transaction, places: Collection[tuple[str, str]]
) -> dict[tuple[str, str], tuple[str, str | None]]:
    """Return the state of known partitions, and its reason."""
    rows = tx.execute(
        f"select node, partition, state, reason from partition where {among()}",
        at_places(places),
    )
    return {(node, partition): (state, reason) for node, partition, state, reason in rows}


class KnownPartition(NamedTuple):
    """What is known of a partition. Times are microseconds of the store's clock."""

    node: str
    partition: str
    state: str
    published: bool
    """Whether readers see a publication, whatever the state of newer attempts is."""
    stale: bool
    reason: str
    since: int
    not_before: int | None
    dropped_at: int | None
    """When the newest data of a held or rejected partition was dropped; None if it wasn't."""
    first_at: int | None
    first_snapshot: int | None
    """Time and snapshot of the first publication; None if it was never published."""


_KNOWN = (
    "p.node, p.partition, p.state, p.publication_id is not null, p.stale <> 0, coalesce(p.reason,"
    " ''), p.since, p.not_before, case when p.state in ('held', 'rejected') then (select case when"
    " q.state = 'dropped' then coalesce(q.decided_at, q.at) end from quarantine q where q.node ="
    " p.node and q.partition = p.partition order by q.id desc limit 1) end, f.published_at,"
    " f.snapshot"
)
_FIRST_PUBLICATION = (
    "left join publication f on f.id = (select e.id from publication e where e.node = p.node and"
    " e.partition = p.partition order by e.published_at, e.id limit 1)"
)


def known_around(
    tx: Transaction, nodes: Sequence[str], key: str, limit: int
) -> dict[str, list[KnownPartition]]:
    """Return at most `limit` partitions of each node up to `key`, and as many after it."""
    partitions: dict[str, list[KnownPartition]] = {node: [] for node in nodes}
    rows = _around(tx, (_KNOWN, _FIRST_PUBLICATION), nodes, key, limit)
    for node, partition, state, published, stale, *others in rows:
        known = KnownPartition(node, partition, state, bool(published), bool(stale), *others)
        partitions[node].append(known)
    return partitions


def keys_around(
    tx: Transaction, nodes: Sequence[str], key: str, limit: int
) -> dict[str, list[str]]:
    """Return the keys of the same partitions."""
    keys: dict[str, list[str]] = {node: [] for node in nodes}
    for node, partition in _around(tx, ("p.node, p.partition", ""), nodes, key, limit):
        keys[node].append(partition)
    return keys


def _around(
    tx: Transaction, what: tuple[str, str], nodes: Sequence[str], key: str, limit: int
) -> Iterable[Any]:
    columns, joined = what
    return tx.execute(
        f"select {columns} from json_each(:nodes) cross join partition p {joined} where p.node ="
        " value and p.partition >= coalesce((select o.partition from partition o where o.node ="
        " value and o.partition <= :key order by o.partition desc limit 1 offset :others), '') and"
        " p.partition <= coalesce((select o.partition from partition o where o.node = value and"
        " o.partition > :key order by o.partition limit 1 offset :others), :last)",
        {"nodes": json_list(nodes), "key": key, "others": limit - 1, "last": LAST_KEY},
    )


def span_read(keys: Sequence[str], key: str, limit: int) -> tuple[str, str]:
    """Return from which key to which all partitions are known, once these were read around `key`.

    `limit` is how many were read at most on either side.
    """
    earlier = sum(other <= key for other in keys)
    return (
        min(keys) if earlier == limit else "",
        max(keys) if len(keys) - earlier == limit else LAST_KEY,
    )


def oldest_open(tx: Transaction, node: str) -> str | None:
    """Return a node's oldest partition in a state other than `published`, or None."""
    row = tx.execute(
        "select min(partition) from partition where node = :node and state <> 'published'",
        {"node": node},
    ).fetchone()
    return None if row is None else row[0]


def waiting_reasons(tx: Transaction, begins: str) -> set[str]:
    """Return the distinct reasons of waiting partitions that begin with a text."""
    rows = tx.execute(
        "select distinct reason from partition where state <> 'published' and state = 'waiting' and"
        " substr(reason, 1, :length) = :begins",
        {"length": len(begins), "begins": begins},
    )
    return {row[0] for row in rows}


def stale_nodes(tx: Transaction) -> set[str]:
    """Return the nodes with stale published partitions."""
    return {
        row[0]
        for row in tx.execute(
            "select distinct node from partition where stale <> 0 and publication_id is not null"
        )
    }


def stopped_nodes(tx: Transaction) -> set[str]:
    """Return the nodes with partitions that stay as they are until somebody acts."""
    rows = tx.execute(
        "select distinct node from partition where state <> 'published' and state in ('held',"
        " 'rejected', 'failed', 'withdrawn', 'waived')"
    )
    return {node for (node,) in rows}


def stale_keys(tx: Transaction, node: str, limit: int = 100) -> list[str]:
    """Return at most `limit` newest stale published partitions of a node, oldest first."""
    rows = tx.execute(
        "select partition from partition where node = :node and stale <> 0 and publication_id is"
        " not null order by partition desc limit :limit",
        {"node": node, "limit": limit},
    ).fetchall()
    return [key for (key,) in reversed(rows)]


def extent(tx: Transaction, node: str) -> NodePublicationSummary | None:
    """Return a summary of a node's published partitions; None without any."""
    row = tx.execute(
        "select partition, published_at, verdict, case when rows > 0 or content_hash is not null"
        " then rows end from publication where node = :node and ended_snapshot is null order by"
        " partition desc limit 1",
        {"node": node},
    ).fetchone()
    if row is None:
        return None
    oldest = tx.execute(
        "select min(partition) from publication where node = :node and ended_snapshot is null",
        {"node": node},
    ).fetchone()
    return NodePublicationSummary(node, oldest[0], *row)


def data_keys(tx: Transaction, node: str, interval: str) -> list[str]:
    """Return a node's known data keys of an interval, or all if it isn't partitioned by time."""
    if not interval:
        rows = tx.execute(
            "select partition from partition where node = :node", {"node": node}
        ).fetchall()
    else:
        rows = tx.execute(
            "select partition from partition where node = :node and partition >= :first and"
            " partition < :beyond",
            {"node": node, "first": f"{interval}/", "beyond": f"{interval}0"},
        ).fetchall()
    return sorted(key[len(interval) + 1 :] if interval else key for (key,) in rows)


def has_data_key(tx: Transaction, node: str, key: str, *, timed: bool) -> bool:
    """Whether a partition of this data key is known; `timed` if intervals precede the keys."""
    if not timed:
        return get(tx, node, key) is not None
    ending = f"/{key}"
    row = tx.execute(
        "select 1 from partition where node = :node and"
        " substr(partition, length(partition) - :length + 1) = :ending limit 1",
        {"node": node, "ending": ending, "length": len(ending)},
    ).fetchone()
    return row is not None


def _partition(row: tuple[Any, ...]) -> Partition:
    node, partition, state, stale, failures, not_before, publication_id, reason, since = row
    return Partition(
        node, partition, state, bool(stale), failures, not_before, publication_id, reason, since
    )


# What readers see of all nodes, by one query; `extent` answers the same for one node.


class VisibleExtent(NamedTuple):
    """A node's extent and its number of published partitions."""

    extent: NodePublicationSummary
    partitions: int


_SEEN = (
    "select s.node, s.oldest, s.newest, p.published_at, p.verdict, case when p.rows > 0 or"
    " p.content_hash is not null then p.rows end, s.partitions from (select node, min(partition)"
    " as oldest, max(partition) as newest, count(*) as partitions from publication where"
    " ended_snapshot is null{one} group by node) as s join publication p on p.node = s.node and"
    " p.partition = s.newest and p.ended_snapshot is null"
)


def visible_extents(tx: Transaction) -> dict[str, VisibleExtent]:
    """Return the extents of all nodes with published partitions, by node."""
    return {
        row[0]: VisibleExtent(NodePublicationSummary(*row[:6]), int(row[6]))
        for row in tx.execute(_SEEN.format(one=""))
    }


def visible_extent(tx: Transaction, node: str) -> VisibleExtent | None:
    """Return the extent of one node; None without published partitions."""
    row = tx.execute(_SEEN.format(one=" and node = :node"), {"node": node}).fetchone()
    return None if row is None else VisibleExtent(NodePublicationSummary(*row[:6]), int(row[6]))


def last_revision(tx: Transaction) -> int:
    """Return the revision of the last change of any partition."""
    return int(tx.execute("select coalesce(max(revision), 0) from partition").fetchone()[0])


def changed_nodes(tx: Transaction, after: int) -> list[str]:
    """Return the nodes with partitions that changed after a revision."""
    rows = tx.execute(
        "select distinct node || '' from partition where revision > ?", (after,)
    ).fetchall()  # by the revision, not by the key
    return [node for (node,) in rows]


# The partition states from which the scheduler starts: all of them, or those that changed since a
# checkpoint.
#
# Each change of a partition's row sets its `revision`, a number that grows with every transaction
# that changes partitions. A checkpoint records the last revision that it covers. Deleted rows leave
# no revision behind, so code that deletes rows must also drop the checkpoint.


class StoredPartitionState(msgspec.Struct, frozen=True):
    """A partition as loaded by the scheduler's core."""

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
    """For the partition `*`: the first publication with the visible content."""


class StoredCheckpoint(msgspec.Struct, frozen=True):
    """A checkpoint of the scheduler's state, with its version and last covered revision."""

    version: int
    revision: int
    content: bytes


def next_revision(tx: Transaction) -> int:
    """Return the revision for rows that change in this transaction."""
    return int(tx.execute("select coalesce(max(revision), 0) from partition").fetchone()[0]) + 1


def stored_states(tx: Transaction, after: int = -1) -> Iterator[StoredPartitionState]:
    """Stream the partitions that changed after a revision; they may not fit into memory."""
    rows = tx.execute(f"{_STORED.format(since='p.since')} where p.revision > ?", (after,))
    for row in rows:
        yield _stored(row)


_STORED = (
    "select p.node, p.partition, p.state, p.stale, p.failures, p.not_before, p.publication_id"
    " is not null, p.proposed, coalesce(p.reason, ''), {since}, case when p.partition = '*'"
    " then (select coalesce(max(f.id), 0) from publication f where f.node = p.node and"
    " f.partition = '*' and f.identical = 0) else 0 end from partition p"
)


def _stored(r: Sequence[Any]) -> StoredPartitionState:
    return StoredPartitionState(
        r[0], r[1], r[2], bool(r[3]), r[4], r[5], bool(r[6]), bool(r[7]), r[8], r[9], r[10]
    )


RUN_MAX = 10_000
"""Maximum number of partitions per run, so that a reader of all of them needs little memory."""


def stored_runs(
    tx: Transaction, nodes: Iterable[str] | None = None
) -> Iterator[tuple[StoredPartitionState, list[str]]]:
    """Stream all partitions, or those of some nodes, as runs of rows that differ in their key only.

    Each run comes as its first partition and the keys of all. `since` is 0 where nothing waits.
    """
    since = "case when p.state = 'waiting' and p.failures = 0 then p.since else 0 end"
    which = "" if nodes is None else " where p.node in (select value from json_each(:nodes))"
    rows = tx.execute(
        f"{_STORED.format(since=since)}{which} order by p.node, p.partition",
        {"nodes": json_list(nodes or ())},
    )
    for first, keys in _runs(rows):
        yield _stored(first), keys


def _runs(rows: Iterable[Sequence[Any]]) -> Iterator[tuple[Sequence[Any], list[str]]]:
    """Yield runs of rows that are equal but for the key, which is the second column."""
    first, value, keys = None, None, list[str]()
    for row in rows:
        row_value = (row[0], *row[2:])
        if first is not None and row_value == value and len(keys) < RUN_MAX:
            keys.append(row[1])
            continue
        if first is not None:
            yield first, keys
        first, value, keys = row, row_value, [row[1]]
    if first is not None:
        yield first, keys


def checkpoint(tx: Transaction) -> StoredCheckpoint | None:
    """Return the stored checkpoint of the scheduler's state, or None."""
    row = tx.execute("select version, revision, content from checkpoint where id = 1").fetchone()
    return None if row is None else StoredCheckpoint(row[0], row[1], bytes(row[2]))


def save_checkpoint(tx: Transaction, version: int, content: bytes, now: int) -> None:
    """Store a checkpoint that covers all changes so far, including those of this transaction."""
    tx.execute(
        "insert into checkpoint (id, version, revision, at, content) values (1, ?, ?, ?, ?) on"
        " conflict (id) do update set version = excluded.version, revision = excluded.revision, at"
        " = excluded.at, content = excluded.content",
        (version, next_revision(tx) - 1, now, content),
    )


def drop_checkpoint(tx: Transaction) -> None:
    """Delete the checkpoint after rows were deleted or renamed; the next core loads all rows."""
    tx.execute("delete from checkpoint")


class Brief(msgspec.Struct, frozen=True, gc=False):
    """A short form of a partition, for reading very many."""

    node: str
    partition: str
    state: str
    stale: bool
    failing: bool
    published: bool


def brief_runs(tx: Transaction, after: int = -1) -> Iterator[tuple[Brief, list[str]]]:
    """Yield the partitions that changed after a revision, as runs that differ in their key only.

    Each run comes as its first partition and the keys of all. `stale` includes partitions that are
    only recomputed on request.
    """
    rows = tx.execute(
        "select node, partition, state, stale <> 0 or proposed <> 0, failures > 0, publication_id"
        " is not null from partition where revision > ? order by node, partition",
        (after,),
    )
    for (node, partition, state, stale, failing, published), keys in _runs(rows):
        yield Brief(node, partition, state, bool(stale), bool(failing), bool(published)), keys


def failed_since(tx: Transaction, at: int) -> list[tuple[str, str]]:
    """Return (node, partition) of failed or rejected partitions since a time, in microseconds.

    They include partitions that wait for a retry, and those that failed with earlier code and wait
    to be computed by the applied version.
    """
    rows = tx.execute(
        "select node, partition from partition where state <> 'published' and since >= ? and (state"
        " in ('failed', 'rejected') or (state = 'waiting' and failures > 0)) order by node",
        (at,),
    )
    return [*((row[0], row[1]) for row in rows), *_failed_before(tx, at)]


def _failed_before(tx: Transaction, at: int) -> Iterator[tuple[str, str]]:
    """Yield partitions that failed before a newer version was applied.

    Their state says that they were never tried, so attempts are searched instead.
    """
    waiting = (
        "select node, partition from partition where state = 'waiting' and failures = 0 and since"
        " >= ?"
    )
    open_since = {(row[0], row[1]) for row in tx.execute(waiting, (at,))}
    if not open_since:
        return
    ended = (
        "select node, partitions from attempt where finished_at >= ? and state in ('failed',"
        " 'rejected')"
    )
    for node, partitions in tx.execute(ended, (at,)):
        for key in msgspec.json.decode(partitions):
            if (node, key) in open_since:
                open_since.discard((node, key))
                yield node, key
