"""Publications: audited partitions that were made visible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from headrace.store.database import Transaction

_COLUMNS = (
    "id, node, partition, epoch, n, snapshot, ended_snapshot, published_at, ended_at, rows, bytes, verdict, content_hash, identical, "
    "version, delivery_id, manifest"
)


class Publication(msgspec.Struct, frozen=True):
    """One publication; `ended_at` and `ended_snapshot` are None while readers see it. `manifest` lists what a `files`
    asset wrote: path, size, sha256. Times are microseconds of the store's clock."""

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
    """What readers see of a partition, or None."""
    row = tx.execute(
        f"select {_COLUMNS} from publication where node = :node and partition = :partition and ended_snapshot is null",
        {"node": node, "partition": partition},
    ).fetchone()
    return _publication(row) if row else None


def newest(tx: Transaction, node: str) -> Publication | None:
    """What readers see of the node's newest partition that is published (by key, which is by time), or None."""
    row = tx.execute(
        f"select {_COLUMNS} from publication where node = :node and ended_snapshot is null order by partition desc limit 1",
        {"node": node},
    ).fetchone()
    return _publication(row) if row else None


def rows_each(tx: Transaction, node: str, read: str, before: str, limit: int) -> list[float]:
    """How many rows the newest partitions of a node before one have for each row of the same partition of another node."""
    rows = tx.execute(
        "select p.rows, i.rows from publication p join publication i on i.node = ? and i.partition = p.partition"
        " and i.ended_snapshot is null and i.rows > 0 where p.node = ? and p.ended_snapshot is null and p.partition < ?"
        " order by p.partition desc limit ?",
        (read, node, before, limit),
    ).fetchall()
    return [own / of for own, of in rows]


def any_of(tx: Transaction, node: str) -> bool:
    """Whether anything of a node was ever published."""
    statement = "select 1 from publication where node = :node limit 1"
    return tx.execute(statement, {"node": node}).fetchone() is not None


def any_since_version(tx: Transaction, node: str, version: int, before: int | None = None) -> bool:
    """Whether anything of a node was published by this version of the project or a later one, `before` another if given."""
    statement = "select 1 from publication where node = :node and version >= :version"
    bounds = {"node": node, "version": version}
    if before is not None:
        statement, bounds = f"{statement} and version < :before", {**bounds, "before": before}
    return tx.execute(f"{statement} limit 1", bounds).fetchone() is not None


def newest_id(tx: Transaction, node: str, partitions: Sequence[str] | None) -> int:
    """The id of the newest publication among some partitions of a node (None: all), 0 for none."""
    sql = "select coalesce(max(id), 0) from publication where node = :node and ended_snapshot is null"
    if partitions is None:
        return int(tx.execute(sql, {"node": node}).fetchone()[0])
    result = (tx.execute(f"{sql} and partition = :key", {"node": node, "key": key}).fetchone()[0] for key in partitions)
    return max(map(int, result), default=0)


def last_id(tx: Transaction) -> int:
    """The id of the newest publication of all, 0 for none."""
    return int(tx.execute("select coalesce(max(id), 0) from publication").fetchone()[0])


def snapshot_of(tx: Transaction, node: str, publication_id: int) -> int | None:
    """The snapshot that a publication made, whatever has replaced it since; None for one that isn't the node's."""
    row = tx.execute("select snapshot from publication where id = :id and node = :node", {"id": publication_id, "node": node}).fetchone()
    return None if row is None else int(row[0])


def of_node(tx: Transaction, node: str, *, first: str | None = None, last: str | None = None, limit: int = 1_000) -> list[Publication]:
    """What readers see of a node's newest partitions between two keys (both included), newest first."""
    bounded = "" if last is None else "and partition <= :last "
    rows = tx.execute(
        f"select {_COLUMNS} from publication where node = :node and ended_snapshot is null "
        f"and partition >= :first {bounded}order by partition desc limit :limit",
        {"node": node, "first": first or "", "last": last, "limit": limit},
    )
    return _publications(rows)


def of_run(tx: Transaction, run_id: int) -> list[Publication]:
    """What the attempts of a run made visible, in order."""
    columns = ", ".join(f"p.{name.strip()}" for name in _COLUMNS.split(","))
    rows = tx.execute(
        f"select {columns} from attempt a join publication p on p.epoch = a.epoch and p.n = a.n where a.run_id = :run order by p.id",
        {"run": run_id},
    )
    return _publications(rows)


def first_published(tx: Transaction, node: str, partition: str) -> tuple[int, int] | None:
    """When a partition was first published, and in which snapshot; None if it never was."""
    row = tx.execute(
        "select published_at, snapshot from publication where node = :node and partition = :partition order by published_at, id limit 1",
        {"node": node, "partition": partition},
    ).fetchone()
    return None if row is None else (row[0], row[1])


def first_reading(tx: Transaction, node: str, partition: str, snapshot: int, since_us: int) -> tuple[int, int] | None:
    """The first publication of a partition, not before `since_us`, by an attempt that read this snapshot or a later one:
    when, and in which snapshot; None if there is none."""
    row = tx.execute(
        "select p.published_at, p.snapshot from publication p join attempt a on a.epoch = p.epoch and a.n = p.n "
        "where p.node = :node and p.partition = :partition and p.published_at >= :since and a.snapshot_read >= :snapshot "
        "order by p.published_at, p.id limit 1",
        {"node": node, "partition": partition, "since": since_us, "snapshot": snapshot},
    ).fetchone()
    return None if row is None else (row[0], row[1])


def newest_at(tx: Transaction, snapshot: int) -> int | None:
    """When the newest publication of a snapshot was made; None where nothing was published by then."""
    row = tx.execute("select max(published_at) from publication where snapshot <= :snapshot", {"snapshot": snapshot}).fetchone()
    return None if row is None else row[0]


class NewestPublication(msgspec.Struct, frozen=True):
    """The newest publication of a partition: in which snapshot its inputs were read, and whether a backfill computed it."""

    partition: str
    version: int
    snapshot: int
    read: int
    planned: bool


def computed(tx: Transaction, node: str, partition: str) -> NewestPublication | None:
    """How the newest publication of a partition was computed, whether readers still see it or not; None if there never was one."""
    row = tx.execute(
        "select p.partition, p.version, p.snapshot, a.snapshot_read, r.plan_id from publication p"
        " join attempt a on a.epoch = p.epoch and a.n = p.n join run r on r.id = a.run_id"
        " where p.node = :node and p.partition = :partition order by p.id desc limit 1",
        {"node": node, "partition": partition},
    ).fetchone()
    return None if row is None else NewestPublication(row[0], row[1], row[2], row[3] or 0, row[4] is not None)


def next_with_rows(tx: Transaction, node: str, partition: str) -> str | None:
    """The nearest partition after one that readers see rows of; None where there is none."""
    row = tx.execute(
        "select min(partition) from publication where node = ? and partition > ? and ended_snapshot is null and rows > 0",
        (node, partition),
    ).fetchone()
    return None if row is None or row[0] is None else str(row[0])


def deliveries_before(tx: Transaction, node: str, partition: str, number: int) -> set[int]:
    """The deliveries of a partition that were published before a publication, whether readers still see them or not."""
    rows = tx.execute(
        "select distinct delivery_id from publication where node = ? and partition = ? and id < ? and delivery_id is not null",
        (node, partition, number),
    )
    return {int(delivery) for (delivery,) in rows}


def changed_since(tx: Transaction, node: str, snapshot: int, *, besides: int | None) -> set[str]:
    """The partitions of a node that were published with other rows after a snapshot; what came `besides` in another isn't counted."""
    rows = tx.execute(
        "select distinct partition from publication where node = :node and snapshot > :snapshot and snapshot <> :besides and identical = 0",
        {"node": node, "snapshot": snapshot, "besides": -1 if besides is None else besides},
    )
    return {str(key) for (key,) in rows}


def hashes(tx: Transaction, node: str, keys: Iterable[str]) -> dict[str, str | None]:
    """Partition → the hash of what readers see of it; what they don't see isn't in it."""
    results = ((key, current(tx, node, key)) for key in keys)
    return {key: publication.content_hash for key, publication in results if publication is not None}


class Visible(msgspec.Struct, frozen=True):
    """A publication as it was seen in one snapshot."""

    id: int
    rows: int
    content_hash: str | None


def visible(tx: Transaction, node: str, snapshot: int) -> dict[str, Visible]:
    """Partition → what readers saw of it in a snapshot."""
    rows = tx.execute(
        "select partition, id, rows, content_hash from publication where node = :node and snapshot <= :snapshot "
        "and (ended_snapshot is null or ended_snapshot > :snapshot)",
        {"node": node, "snapshot": snapshot},
    )
    return {row[0]: Visible(row[1], row[2], row[3]) for row in rows}


def shown_between(tx: Transaction, node: str, first: str, last: str, *, limit: int) -> list[Publication]:
    """What readers see of a node's partitions between two keys (both included, with what is cut finer), in order."""
    rows = tx.execute(
        f"select {_COLUMNS} from publication where node = :node and ended_snapshot is null and partition >= :first"
        " and (partition <= :last or partition < :beyond) order by partition limit :limit",
        {"node": node, "first": first, "last": last, "beyond": f"{last}/~", "limit": limit},
    )
    return _publications(rows)


def count_between(tx: Transaction, node: str, first: str, last: str) -> int:
    """How many of a node's partitions between two keys (both included) readers see."""
    row = tx.execute(
        "select count(*) from publication where node = :node and ended_snapshot is null and partition between :first and :last",
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
    """One publication of a partition, as far as it is compared with others."""

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
    """All publications of a node, by partition and oldest first."""
    rows = tx.execute(
        "select partition, id, epoch, n, snapshot, ended_snapshot, rows, bytes, verdict, content_hash, version from publication"
        " where node = ? order by partition, id",
        (node,),
    ).fetchall()
    return [ComparedPublication(*row) for row in rows]


def by_version(tx: Transaction, node: str) -> list[tuple[int, int, str, str]]:
    """What readers see of a node, by the version of the project that published it: how many partitions, the first and the last."""
    sql = (
        "select version, count(*), min(partition), max(partition) from publication"
        " where node = ? and ended_snapshot is null group by version order by version"
    )
    return [(int(version), int(count), first, last) for version, count, first, last in tx.execute(sql, (node,)).fetchall()]


def times(tx: Transaction, node: str, partition: str) -> list[int]:
    """When a partition was published, oldest first; microseconds."""
    rows = tx.execute(
        "select published_at from publication where node = ? and partition = ? order by published_at",
        (node, partition),
    ).fetchall()
    return [int(at) for (at,) in rows]
