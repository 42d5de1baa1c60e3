"""The newest published partitions of a node, with what their attempts took and measured."""

from __future__ import annotations

import msgspec

from headrace.store.transaction import Transaction


class PublishedPoint(msgspec.Struct, frozen=True, gc=False):
    """A visible publication. Times are microseconds; None for those of an attempt that is gone."""

    partition: str
    epoch: int
    n: int
    rows: int
    bytes: int
    published_at: int
    version: int
    verdict: str
    started_at: int | None
    finished_at: int | None
    partitions: str | None
    """JSON list of the partitions that the attempt made."""
    measures: str | None
    """JSON of what the attempt reported."""


_ENDS = "substr({0}, length({0}) - length(:ending) + 1) = :ending"


def newest_points(tx: Transaction, node: str, ending: str, limit: int) -> list[PublishedPoint]:
    """Return the visible publications of the newest partitions whose key ends so, oldest first.

    Those whose rows were removed whole since then (retention, erasure) are left out.
    """
    rows = tx.execute(
        "select p.partition, p.epoch, p.n, p.rows, p.bytes, p.published_at, p.version, p.verdict,"
        " a.started_at, a.finished_at, a.partitions, a.measures from publication p"
        " left join attempt a on a.epoch = p.epoch and a.n = p.n"
        " where p.node = :node and p.ended_snapshot is null and"
        " (p.rows > 0 or p.content_hash is not null) and"
        f" {_ENDS.format('p.partition')} order by p.partition desc limit :limit",
        {"node": node, "ending": ending, "limit": limit},
    ).fetchall()
    return [PublishedPoint(*row) for row in reversed(rows)]


def newest_partitions(tx: Transaction, node: str, limit: int) -> list[str]:
    """Return the newest published partitions by key, newest first."""
    rows = tx.execute(
        "select partition from publication where node = :node and ended_snapshot is null order by"
        " partition desc limit :limit",
        {"node": node, "limit": limit},
    ).fetchall()
    return [partition for (partition,) in rows]


def newest_measurements(tx: Transaction, node: str, first: str, ending: str) -> dict[str, bytes]:
    """Return partition → vector of its newest measurement, also if it was held, oldest first.

    They are the partitions from `first` on whose key ends so.
    """
    rows = tx.execute(
        "select m.partition, m.vector from (select partition, epoch, n, row_number() over"
        " (partition by partition order by epoch desc, n desc) as newest from metric where node ="
        f" :node and partition >= :first and {_ENDS.format('partition')}) k join metric m on"
        " m.epoch = k.epoch and m.n = k.n and m.partition = k.partition where k.newest = 1 order by"
        " m.partition",
        {"node": node, "first": first, "ending": ending},
    )
    return {partition: bytes(vector) for partition, vector in rows}


class StoredProfile(msgspec.Struct, frozen=True, gc=False):
    """The newest audit of a partition, and the profiles of its columns as JSON, if there are any.

    `published`: readers see the rows that were audited.
    """

    partition: str
    published: bool
    columns: str | None


def newest_profiles(
    tx: Transaction, node: str, last: str, ending: str, limit: int
) -> list[StoredProfile]:
    """Return the newest audit of each of the newest partitions up to `last`, oldest first.

    They are those whose key ends so, also if they are held.
    """
    rows = tx.execute(
        "select k.partition, p.node is not null, f.columns from (select m.partition, m.epoch, m.n,"
        " row_number() over (partition by m.partition order by m.epoch desc, m.n desc) as newest"
        " from (select distinct partition from metric where node = :node and partition <= :last"
        f" and {_ENDS.format('partition')} order by partition desc limit :limit) b join metric m on"
        " m.node = :node and m.partition = b.partition) k"
        " left join profile f on f.epoch = k.epoch and f.n = k.n and f.partition = k.partition"
        " left join publication p on p.node = :node and p.partition = k.partition and"
        " p.epoch = k.epoch and p.n = k.n and p.ended_snapshot is null where k.newest = 1"
        " order by k.partition desc",
        {"node": node, "last": last, "ending": ending, "limit": limit},
    ).fetchall()
    return [
        StoredProfile(partition, bool(published), columns)
        for partition, published, columns in reversed(rows)
    ]


def reported_anomalies(
    tx: Transaction, node: str, first: str, last: str
) -> set[tuple[str, str, str]]:
    """Return (partition, column in lower case, kind) of the anomalies of these partitions."""
    rows = tx.execute(
        "select distinct partition, lower(column_name), kind from fact where node = :node and"
        " partition between :first and :last",
        {"node": node, "first": first, "last": last},
    )
    return {(partition, column, kind) for partition, column, kind in rows}


def incidents_at(tx: Transaction, node: str, first: str, last: str) -> list[tuple[str, int]]:
    """Return (partition, incident number) where the causes of incidents were seen."""
    rows = tx.execute(
        "select partition, incident_id from incident_partition where node = :node and partition"
        " between :first and :last order by partition, incident_id",
        {"node": node, "first": first, "last": last},
    ).fetchall()
    return [(partition, number) for partition, number in rows]
