"""What partitions measured: written with each attempt that was audited, read as what the next ones are compared with."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.store.database import Transaction

VERSIONS_MAX = 500
"""So many versions of a node are compared with what comes: more than a year of days."""
LATELY_MAX = 256
"""How many of the newest publications are searched for the rows of a delivery, where it was given
to a worker before they were published."""

_SOUND = (
    "select p.partition, m.vector, exists (select 1 from accepted a where a.publication_id = p.id and a.ended_at is null)"
    " from publication p join metric m on m.epoch = p.epoch and m.n = p.n and m.partition = p.partition"
    " where p.node = ? and p.ended_snapshot is null and p.partition < ? and p.rows > 0{key}"
    " order by p.partition desc limit ?"
)
"""What readers see, and whether it was published as an exception: that is a level which numbers may have, and no measure of what is
sound."""


def write(tx: Transaction, rows: Iterable[tuple[int, int, str, str, bytes]]) -> None:
    """(epoch, n, node, partition, vector) of each partition that was audited."""
    tx.executemany("insert into metric (epoch, n, node, partition, vector) values (?, ?, ?, ?, ?)", rows)


def before(tx: Transaction, node: str, partition: str, limit: int) -> list[tuple[str, bytes, bool]]:
    """(partition, vector, whether an exception) of the newest partitions before one that readers see, oldest first.
    Where data is cut by a key too, they are of the same key."""
    moment, slash, key = partition.partition("/")
    own = (len(moment) + 1, slash + key) if slash else ()
    sql = _SOUND.format(key=" and substr(p.partition, ?) = ?" if slash else "")
    rows = tx.execute(sql, (node, moment, *own, limit)).fetchall()
    return [(result, bytes(vector), bool(excepted)) for result, vector, excepted in reversed(rows)]


def of_attempt(tx: Transaction, epoch: int, n: int, partition: str) -> bytes | None:
    """What an attempt measured of a partition."""
    row = tx.execute("select vector from metric where epoch = ? and n = ? and partition = ?", (epoch, n, partition)).fetchone()
    return None if row is None else bytes(row[0])


def versions(tx: Transaction, node: str) -> list[tuple[str, str]]:
    """(partition, content hash) of the newest publications of a node, whether readers still see them or not; newest first."""
    sql = (
        "select partition, content_hash from publication where node = ? and rows > 0 and content_hash is not null"
        " order by partition desc, id desc limit ?"
    )
    return [(partition, content) for partition, content in tx.execute(sql, (node, VERSIONS_MAX)).fetchall()]


def published_lately(tx: Transaction, node: str, content_hash: str) -> list[str]:
    """The partitions of a node among the newest publications of all nodes that have these rows."""
    sql = (
        "select partition from (select node, partition, content_hash from publication order by id desc limit ?) as newest"
        " where node = ? and content_hash = ?"
    )
    return [key for (key,) in tx.execute(sql, (LATELY_MAX, node, content_hash)).fetchall()]


def rows_until(tx: Transaction, node: str, partition: str, limit: int) -> list[tuple[str, int]]:
    """(partition, rows) that readers see, up to a partition and with it; oldest first."""
    sql = (
        "select partition, rows from publication where node = ? and ended_snapshot is null and partition <= ?"
        " order by partition desc limit ?"
    )
    results = tx.execute(sql, (node, partition, limit)).fetchall()
    return [(key, rows) for key, rows in reversed(results)]
