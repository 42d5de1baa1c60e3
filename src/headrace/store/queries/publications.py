"""Publications: audited partitions that were published, replaced or withdrawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from headrace.store.queries.partition_states import next_revision
from headrace.store.transaction import Transaction

_COLUMNS = (
    "id, node, partition, epoch, n, snapshot, ended_snapshot, published_at, ended_at, rows, bytes,"
    " verdict, content_hash, identical, version, delivery_id, manifest"
)

HAS_ITS_ROWS = "(rows > 0 or content_hash is not null)"
"""Leaves out publications whose rows were removed whole since then: they have no hash any more."""


class Publication(msgspec.Struct, frozen=True):
    """One publication. Times are microseconds of the store's clock.

    `ended_at` and `ended_snapshot` are None while it is visible. `manifest` lists the files of a
    `files` asset: path, size, sha256.
    """

    id: int
    node: str
    partition: str
    epoch: int
    n: int
    snapshot: int
    ended_snapshot: int | None
    published_at: int
    ended_at: int | None
    rows: int
    bytes: int
    verdict: str
    content_hash: str | None
    identical: bool
    version: int
    delivery_id: int | None
    manifest: tuple[dict[str, Any], ...] | None


def current(tx: Transaction, node: str, partition: str) -> Publication | None:
    """Return a partition's visible publication, or None."""
    row = tx.execute(
        f"select {_COLUMNS} from publication where node = :node and partition = :partition and"
        " ended_snapshot is null",
        {"node": node, "partition": partition},
    ).fetchone()
    return _publication(row) if row else None


def newest(tx: Transaction, node: str) -> Publication | None:
    """Return the publication of the node's newest published partition (by key), or None."""
    row = tx.execute(
        f"select {_COLUMNS} from publication where node = :node and ended_snapshot is null order by"
        " partition desc limit 1",
        {"node": node},
    ).fetchone()
    return _publication(row) if row else None


def rows_each(tx: Transaction, node: str, read: str, before: str, limit: int) -> list[float]:
    """Return the node's rows per row of `read`, for the newest partitions before `before`.

    Partitions whose rows were removed since then are left out.
    """
    rows = tx.execute(
        "select p.rows, i.rows from publication p join publication i on i.node = ? and i.partition"
        " = p.partition and i.ended_snapshot is null and i.rows > 0 where p.node = ? and"
        " p.ended_snapshot is null and p.partition < ? and (p.rows > 0 or p.content_hash is not"
        " null) order by p.partition desc limit ?",
        (read, node, before, limit),
    ).fetchall()
    return [own_rows / of for own_rows, of in rows]


def any_of(tx: Transaction, node: str) -> bool:
    """Return whether a node was ever published."""
    statement = "select 1 from publication where node = :node limit 1"
    return tx.execute(statement, {"node": node}).fetchone() is not None


def any_since_version(tx: Transaction, node: str, version: int, before: int | None = None) -> bool:
    """Return whether a node was published by this version or a later one, but before `before`."""
    statement = "select 1 from publication where node = :node and version >= :version"
    bounds = {"node": node, "version": version}
    if before is not None:
        statement, bounds = f"{statement} and version < :before", {**bounds, "before": before}
    return tx.execute(f"{statement} limit 1", bounds).fetchone() is not None


def newest_id(tx: Transaction, node: str, partitions: Sequence[str] | None) -> int:
    """Return the id of the newest publication of some partitions (None: all); 0 without any."""
    sql = (
        "select coalesce(max(id), 0) from publication where node = :node and ended_snapshot is null"
    )
    if partitions is None:
        return int(tx.execute(sql, {"node": node}).fetchone()[0])
    result = (
        tx.execute(f"{sql} and partition = :key", {"node": node, "key": key}).fetchone()[0]
        for key in partitions
    )
    return max(map(int, result), default=0)


def last_id(tx: Transaction) -> int:
    """Return the id of the newest publication; 0 without any."""
    return int(tx.execute("select coalesce(max(id), 0) from publication").fetchone()[0])


def snapshot_of(tx: Transaction, node: str, publication_id: int) -> int | None:
    """Return the snapshot of a publication, visible or not; None if it isn't the node's."""
    row = tx.execute(
        "select snapshot from publication where id = :id and node = :node",
        {"id": publication_id, "node": node},
    ).fetchone()
    return None if row is None else int(row[0])


def visible_before(tx: Transaction, node: str, snapshot: int) -> list[tuple[str, int]]:
    """Return partition and version of the node's visible rows published before a snapshot."""
    return tx.execute(
        "select partition, version from publication where node = ? and ended_snapshot is null and"
        " snapshot < ? and rows > 0",
        (node, snapshot),
    ).fetchall()


def version_in(tx: Transaction, node: str, snapshot: int) -> int:
    """Return the version that published a node, visible or not, in a snapshot; 0 if none did."""
    sql = "select coalesce(max(version), 0) from publication where node = ? and snapshot = ?"
    return int(tx.execute(sql, (node, snapshot)).fetchone()[0])


def of_node(
    tx: Transaction,
    node: str,
    *,
    first: str | None = None,
    last: str | None = None,
    limit: int = 1_000,
) -> list[Publication]:
    """Return visible publications from `first` to `last` (both included), newest first."""
    bounded = "" if last is None else "and partition <= :last "
    rows = tx.execute(
        f"select {_COLUMNS} from publication where node = :node and ended_snapshot is null "
        f"and partition >= :first {bounded}order by partition desc limit :limit",
        {"node": node, "first": first or "", "last": last, "limit": limit},
    )
    return _publications(rows)


class PublishedByRun(NamedTuple):
    """The fields of a publication that the response of its run has."""

    node: str
    partition: str
    rows: int
    snapshot: int
    verdict: str
    identical: bool


def of_run(tx: Transaction, run_id: int) -> Iterator[PublishedByRun]:
    """Yield the publications of a run's attempts, in order, one at a time: a run may have many.

    Consume them before the transaction ends.
    """
    rows = tx.execute(
        "select p.node, p.partition, p.rows, p.snapshot, p.verdict, p.identical from attempt a join"
        " publication p on p.epoch = a.epoch and p.n = a.n where a.run_id = :run order by p.id",
        {"run": run_id},
    )
    for node, partition, count, snapshot, verdict, identical in rows:
        yield PublishedByRun(node, partition, count, snapshot, verdict, bool(identical))


def ids_of_run(tx: Transaction, run_id: int) -> set[int]:
    """Return the ids of the publications of a run's attempts."""
    rows = tx.execute(
        "select p.id from attempt a join publication p on p.epoch = a.epoch and p.n = a.n where"
        " a.run_id = :run",
        {"run": run_id},
    )
    return {int(number) for (number,) in rows}


def warned_since(tx: Transaction, since_us: int, limit: int) -> list[tuple[str, str]]:
    """Return (node, partition) of visible publications with a warning, newest first."""
    rows = tx.execute(
        "select node, partition from publication where published_at > ? and verdict = 'warned' and"
        " ended_snapshot is null order by published_at desc, id desc limit ?",
        (since_us, limit),
    )
    return [(str(node), str(partition)) for node, partition in rows]


def verdicts_of(tx: Transaction, epoch: int, n: int) -> dict[str, str]:
    """Return partition → verdict of the publications of one attempt."""
    rows = tx.execute(
        "select partition, verdict from publication where epoch = :epoch and n = :n",
        {"epoch": epoch, "n": n},
    )
    return dict(rows.fetchall())


def first_published(tx: Transaction, node: str, partition: str) -> tuple[int, int] | None:
    """Return time and snapshot of a partition's first publication; None if never published."""
    row = tx.execute(
        "select published_at, snapshot from publication where node = :node and partition ="
        " :partition order by published_at, id limit 1",
        {"node": node, "partition": partition},
    ).fetchone()
    return None if row is None else (row[0], row[1])


def first_reading(
    tx: Transaction, node: str, partition: str, snapshot: int, since_us: int
) -> tuple[int, int] | None:
    """Return time and snapshot of a partition's first publication since a time, or None.

    Its attempt must have read this snapshot or a later one.
    """
    row = tx.execute(
        "select p.published_at, p.snapshot from publication p join attempt a on a.epoch = p.epoch"
        " and a.n = p.n where p.node = :node and p.partition = :partition and p.published_at >="
        " :since and a.snapshot_read >= :snapshot order by p.published_at, p.id limit 1",
        {"node": node, "partition": partition, "since": since_us, "snapshot": snapshot},
    ).fetchone()
    return None if row is None else (row[0], row[1])


def newest_at(tx: Transaction, snapshot: int) -> int | None:
    """Return the time of the newest publication in a snapshot; None without any by then."""
    row = tx.execute(
        "select max(published_at) from publication where snapshot <= :snapshot",
        {"snapshot": snapshot},
    ).fetchone()
    return None if row is None else row[0]


class NewestPublication(msgspec.Struct, frozen=True):
    """A partition's newest publication: its inputs' snapshot, and whether a backfill made it."""

    partition: str
    version: int
    snapshot: int
    read: int
    planned: bool


def computed(tx: Transaction, node: str, partition: str) -> NewestPublication | None:
    """Return a partition's newest publication, visible or not; None without any."""
    row = tx.execute(
        "select p.partition, p.version, p.snapshot, a.snapshot_read, r.plan_id from publication p"
        " join attempt a on a.epoch = p.epoch and a.n = p.n join run r on r.id = a.run_id"
        " where p.node = :node and p.partition = :partition order by p.id desc limit 1",
        {"node": node, "partition": partition},
    ).fetchone()
    return (
        None
        if row is None
        else NewestPublication(row[0], row[1], row[2], row[3] or 0, row[4] is not None)
    )


def next_with_rows(tx: Transaction, node: str, partition: str) -> str | None:
    """Return the nearest later partition with visible rows, or None."""
    row = tx.execute(
        "select min(partition) from publication where node = ? and partition > ? and ended_snapshot"
        " is null and rows > 0",
        (node, partition),
    ).fetchone()
    return None if row is None or row[0] is None else str(row[0])


def deliveries_before(tx: Transaction, node: str, partition: str, number: int) -> set[int]:
    """Return a partition's deliveries that were published before a publication, visible or not."""
    rows = tx.execute(
        "select distinct delivery_id from publication where node = ? and partition = ? and id < ?"
        " and delivery_id is not null",
        (node, partition, number),
    )
    return {int(delivery) for (delivery,) in rows}


def changed_since(tx: Transaction, node: str, snapshot: int, *, besides: int | None) -> set[str]:
    """Return partitions published with other rows after a snapshot, but not in `besides`."""
    rows = tx.execute(
        "select distinct partition from publication where node = :node and snapshot > :snapshot and"
        " snapshot <> :besides and identical = 0",
        {"node": node, "snapshot": snapshot, "besides": -1 if besides is None else besides},
    )
    return {str(key) for (key,) in rows}


def hashes(tx: Transaction, node: str, keys: Iterable[str]) -> dict[str, str | None]:
    """Return the content hashes of visible publications by partition."""
    results = ((key, current(tx, node, key)) for key in keys)
    return {
        key: publication.content_hash for key, publication in results if publication is not None
    }


class Visible(msgspec.Struct, frozen=True):
    """A publication as visible in one snapshot."""

    id: int
    rows: int
    content_hash: str | None
    published_at: int = 0
    ended_at: int | None = None


def visible(tx: Transaction, node: str, snapshot: int) -> dict[str, Visible]:
    """Return the publications visible in a snapshot, by partition."""
    rows = tx.execute(
        "select partition, id, rows, content_hash, published_at, ended_at from publication where"
        " node = :node and snapshot <= :snapshot and (ended_snapshot is null or ended_snapshot >"
        " :snapshot)",
        {"node": node, "snapshot": snapshot},
    )
    return {row[0]: Visible(*row[1:]) for row in rows}


def shown_between(
    tx: Transaction, node: str, first: str, last: str, *, limit: int
) -> list[Publication]:
    """Return visible publications from `first` to `last`, in order.

    Both are included, with their finer partitions.
    """
    rows = tx.execute(
        f"select {_COLUMNS} from publication where node = :node and ended_snapshot is null and"
        " partition >= :first and (partition <= :last or partition < :beyond) order by partition"
        " limit :limit",
        {"node": node, "first": first, "last": last, "beyond": f"{last}/~", "limit": limit},
    )
    return _publications(rows)


def count_between(tx: Transaction, node: str, first: str, last: str) -> int:
    """Return the number of published partitions from `first` to `last`, both included."""
    row = tx.execute(
        "select count(*) from publication where node = :node and ended_snapshot is null and"
        " partition between :first and :last",
        {"node": node, "first": first, "last": last},
    ).fetchone()
    return int(row[0])


def rows_between(tx: Transaction, node: str, first: str, last: str) -> int:
    """Return the rows of the published partitions from `first` to `last`, both included."""
    row = tx.execute(
        "select coalesce(sum(rows), 0) from publication where node = :node and ended_snapshot is"
        " null and partition between :first and :last",
        {"node": node, "first": first, "last": last},
    ).fetchone()
    return int(row[0])


def _publications(rows: Iterable[tuple[Any, ...]]) -> list[Publication]:
    return [_publication(row) for row in rows]


def _publication(row: tuple[Any, ...]) -> Publication:
    values = list(row)
    values[13] = bool(values[13])
    values[16] = None if values[16] is None else tuple(msgspec.json.decode(values[16]))
    return Publication(*values)


class ComparedPublication(msgspec.Struct, frozen=True, gc=False):
    """The fields of a publication that are compared with other publications."""

    partition: str
    id: int
    epoch: int
    n: int
    snapshot: int
    ended_snapshot: int | None
    rows: int
    bytes: int
    verdict: str
    content_hash: str | None
    version: int


def history_of(tx: Transaction, node: str) -> list[ComparedPublication]:
    """Return all publications of a node, by partition and oldest first."""
    rows = tx.execute(
        "select partition, id, epoch, n, snapshot, ended_snapshot, rows, bytes, verdict,"
        " content_hash, version from publication where node = ? order by partition, id",
        (node,),
    ).fetchall()
    return [ComparedPublication(*row) for row in rows]


def by_version(tx: Transaction, node: str) -> list[tuple[int, int, str, str]]:
    """Return (version, number of partitions, first, last) of a node's visible publications."""
    sql = (
        "select version, count(*), min(partition), max(partition) from publication"
        " where node = ? and ended_snapshot is null group by version order by version"
    )
    return [
        (int(version), int(count), first, last)
        for version, count, first, last in tx.execute(sql, (node,)).fetchall()
    ]


def times(tx: Transaction, node: str, partition: str) -> list[int]:
    """Return a partition's publication times in microseconds, oldest first."""
    rows = tx.execute(
        "select published_at from publication where node = ? and partition = ? order by"
        " published_at",
        (node, partition),
    ).fetchall()
    return [int(at) for (at,) in rows]


# Publications of tables across all partitions (`merge`, `snapshot`): each is the whole table after
# the update by one partition.


class AccumulatedPartition(msgspec.Struct, frozen=True):
    """A visible publication of such a table, with its snapshot and content."""

    partition: str
    snapshot: int
    content_hash: str | None
    rows: int


def accumulated(tx: Transaction, node: str) -> list[AccumulatedPartition]:
    """Return the visible publications of such a table, one per published partition."""
    rows = tx.execute(
        "select partition, snapshot, content_hash, rows from publication where node = ? and"
        " ended_snapshot is null",
        (node,),
    )
    return [AccumulatedPartition(*row) for row in rows.fetchall()]


def newest_accumulated_snapshot(tx: Transaction, node: str) -> int:
    """Return the last snapshot in which a publication, visible or not, changed the table; or 0."""
    return int(
        tx.execute(
            "select coalesce(max(snapshot), 0) from publication where node = ?", (node,)
        ).fetchone()[0]
    )


# Withdrawn publications: the partition isn't visible any more.


def withdraw(
    tx: Transaction, node: str, partition: str, *, snapshot: int, now: int, reason: str
) -> None:
    """End the visible publication of a partition, from a snapshot on."""
    tx.execute(
        "insert into withdrawal (node, partition, at, reason) values (?, ?, ?, ?) on conflict do"
        " nothing",
        (node, partition, now, reason),
    )
    tx.execute(
        "update publication set ended_snapshot = :snapshot, ended_at = :now "
        "where node = :node and partition = :partition and ended_snapshot is null",
        {"snapshot": snapshot, "now": now, "node": node, "partition": partition},
    )
    tx.execute(
        # a partition waived since counts as empty already, and the core leaves it waived
        "update partition set state = case when state = 'waived' then state else 'withdrawn' end,"
        " publication_id = null, stale = 0, proposed = 0, failures = 0, not_before = null,"
        " reason = :reason, since = :now, revision = :revision"
        " where node = :node and partition = :partition",
        {
            "reason": reason,
            "now": now,
            "node": node,
            "partition": partition,
            "revision": next_revision(tx),
        },
    )


def withdrawn(tx: Transaction) -> frozenset[tuple[str, str]]:
    """Return (node, partition) of withdrawn partitions that weren't published again."""
    rows = tx.execute(
        "select distinct p.node, p.partition from withdrawal w join partition p on p.node = w.node"
        " and p.partition = w.partition where p.publication_id is null"
    )
    return frozenset((node, partition) for node, partition in rows)


class Withdrawn(NamedTuple):
    """A withdrawn publication whose rows weren't accepted since. Times are microseconds."""

    rows: int
    """The partition's first publication with these rows, for all withdrawals of the rows."""
    node: str
    partition: str
    at: int
    reason: str | None
    """The reason with its author, `test rows (by ada)`; None if no longer known."""
    snapshot: int
    ended_snapshot: int
    content_hash: str | None
    replaced: bool
    """Whether another publication has replaced it."""


_WITHDRAWN = (
    "select coalesce((select min(s.id) from publication s where s.node = p.node and s.partition ="
    " p.partition and s.content_hash = p.content_hash), p.id), p.node, p.partition, w.at, w.reason,"
    " p.snapshot, p.ended_snapshot, p.content_hash, exists (select 1 from publication n where"
    " n.node = p.node and n.partition = p.partition and n.ended_snapshot is null) from withdrawal w"
    " cross join publication p where p.node = w.node and p.partition = w.partition"
    " and p.ended_at = w.at and {which} and not exists (select 1 from publication q where"
    " q.node = p.node and q.partition = p.partition and q.content_hash = p.content_hash and"
    " q.id > p.id and not exists"
    " (select 1 from withdrawal x where x.node = q.node and x.partition = q.partition and x.at ="
    " q.ended_at)) order by p.id"
)


# `cross join` keeps SQLite from reading all publications to find those of a few withdrawals.


def all_withdrawn(tx: Transaction) -> list[Withdrawn]:
    """Return all withdrawn publications, oldest first."""
    return [_withdrawn(row) for row in tx.execute(_WITHDRAWN.format(which="1 = 1"))]


def withdrawn_of(tx: Transaction, node: str, keys: Sequence[str]) -> list[Withdrawn]:
    """Return all withdrawn publications of some partitions, oldest first."""
    rows = tx.execute(
        _WITHDRAWN.format(which="w.node = ? and w.partition between ? and ?"),
        (node, min(keys), max(keys)),
    )
    return [withdrawn for row in rows if (withdrawn := _withdrawn(row)).partition in keys]


def _withdrawn(row: Sequence[Any]) -> Withdrawn:
    return Withdrawn(*row)._replace(replaced=bool(row[-1]))


# Restatements: publications that replaced others with different content, so that published history
# changed.


class Replaced(msgspec.Struct, frozen=True, gc=False):
    """One publication that replaced another. `at` is microseconds of the store's clock.

    `version` and `version_before` are the applied versions of the new and the old publication.
    """

    node: str
    partition: str
    rows_before: int
    rows: int
    at: int
    version_before: int
    version: int
    id: int
    corrects: bool
    """Whether the replaced publication was unsound: an exception, or wrong by an incident."""
    hash_before: str | None = None
    hash: str | None = None
    """Content hash of the new rows, as `hash_before` of the replaced ones; None if unknown."""
    reread: bool = False
    """Whether both are of the same delivery, which was re-ingested."""
    at_before: int = 0
    """When the replaced publication was published: it has all that its inputs had by then."""

    @property
    def was_removed(self) -> bool:
        """Whether the new rows were removed whole since then (retention, erasure)."""
        return self.rows == 0 and self.hash is None


def replaced_since(tx: Transaction, since_us: int, limit: int) -> list[Replaced]:
    """Return at most `limit` newest restatements since a time, oldest first.

    A publication after a withdrawal isn't a restatement.
    """
    rows = tx.execute(
        "select q.node, q.partition, q.rows, p.rows, p.published_at, q.version, p.version, p.id,"
        " exists (select 1 from accepted a where a.publication_id = q.id) or exists (select 1 from"
        " unsound u where u.publication_id = q.id), q.content_hash, p.content_hash, case when"
        " p.delivery_id = q.delivery_id then 1 else 0 end, q.published_at from publication q join"
        " publication p on p.node = q.node and p.partition = q.partition and p.published_at ="
        " q.ended_at and p.id > q.id"
        # not by the key: from all
        " where q.ended_at >= ? and q.partition <> '*' and p.identical = 0 order by p.id + 0 desc"
        " limit ?",
        (since_us, limit),
    ).fetchall()
    return [Replaced(*row) for row in reversed(rows)]


def last_ended(tx: Transaction, before_us: int) -> int:
    """Return when the newest publication that ended before a time ended; 0 if none did."""
    return int(
        tx.execute(
            "select coalesce(max(ended_at), 0) from publication where ended_at is not null and"
            " ended_at < ?",
            (before_us,),
        ).fetchone()[0]
    )


def proposed_recomputations(tx: Transaction, limit: int) -> list[tuple[str, str]]:
    """Return (node, partition) of stale partitions that are only recomputed on request."""
    rows = tx.execute(
        # not by the key
        "select node, partition from partition where stale <> 0 and proposed <> 0 order by node ||"
        " '', partition limit ?",
        (limit,),
    ).fetchall()
    return [(node, key) for node, key in rows]
