"""Quarantine: held and rejected data that waits for a decision."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec

from headrace.store.queries.partition_states import next_revision
from headrace.store.transaction import Transaction

_COLUMNS = "id, node, partition, epoch, n, state, reason, path, rows, sample, delivery_id, at"


class Quarantined(msgspec.Struct, frozen=True):
    """One held or rejected partition. `path` is relative to the data folder, `sample` at most a few of the rows that
    broke a check; `at` is in microseconds of the store's clock."""

    id: int
    node: str
    partition: str
    epoch: int
    n: int
    state: str
    reason: str
    path: str | None
    rows: int | None
    sample: tuple[dict[str, Any], ...] | None
    delivery_id: int | None
    at: int


class QuarantineTotals(msgspec.Struct, frozen=True):
    """What waits, in all. `rows` counts what is known."""

    deliveries: int
    partitions: int
    rows: int


def waiting(tx: Transaction, *, node: str | None = None, partition: str | None = None, limit: int = 1_000) -> list[Quarantined]:
    """What waits now, by node and partition; of one node, or of one of its partitions, if named."""
    narrowed = "".join(f" and {column} = :{column}" for column, value in (("node", node), ("partition", partition)) if value is not None)
    return _all(
        tx.execute(
            f"select {_COLUMNS} from quarantine where state in ('held', 'rejected'){narrowed} order by node, partition, id limit :limit",
            {"node": node, "partition": partition, "limit": limit},
        )
    )


def totals(tx: Transaction, declared: Callable[[str], object]) -> QuarantineTotals:
    """What waits, in all, of nodes that are `declared`: about others nobody can decide anything."""
    rows = tx.execute(
        "select node, count(delivery_id), count(*), coalesce(sum(rows), 0) from quarantine"
        " where state in ('held', 'rejected') group by node"
    ).fetchall()
    results = [row[1:] for row in rows if declared(row[0]) is not None]
    return QuarantineTotals(*(sum(int(row[n]) for row in results) for n in range(3)))


def by_node(tx: Transaction) -> dict[str, tuple[int, int, int]]:
    """Node → partitions and rows (as far as they are known) that wait, and how many of the
    partitions are rejected."""
    rows = tx.execute(
        "select node, count(*), coalesce(sum(rows), 0),"
        " sum(case when state = 'rejected' then 1 else 0 end)"
        " from quarantine where state in ('held', 'rejected') group by node order by node"
    ).fetchall()
    return {str(node): (int(all_), int(known), int(bad)) for node, all_, known, bad in rows}


def nodes(tx: Transaction) -> set[str]:
    """The nodes of which something waits."""
    return {row[0] for row in tx.execute("select distinct node from quarantine where state in ('held', 'rejected')")}


def _all(rows: Iterable[tuple[Any, ...]]) -> list[Quarantined]:
    results = []
    for row in rows:
        values = list(row)
        values[9] = None if values[9] is None else tuple(msgspec.json.decode(values[9]))
        results.append(Quarantined(*values))
    return results


# What people decide about it ------------------------------------------------------------------------------------------


def withhold(tx: Transaction, rows: Iterable[tuple[int, int, bytes]]) -> None:
    """(epoch, n, outcome) of attempts that were held or rejected: what is needed to publish what they staged, as it is."""
    tx.executemany("insert into withheld (epoch, n, outcome) values (?, ?, ?)", rows)


def withheld(tx: Transaction, epoch: int, n: int) -> bytes | None:
    """What is needed to publish what an attempt staged; None where it staged nothing that could be."""
    row = tx.execute("select outcome from withheld where epoch = ? and n = ?", (epoch, n)).fetchone()
    return None if row is None else bytes(row[0])


def of_attempt(tx: Transaction, epoch: int, n: int) -> list[Quarantined]:
    """What waits of one attempt: all intervals of a file that came with several."""
    return _all(
        tx.execute(
            f"select {_COLUMNS} from quarantine where epoch = ? and n = ? and state in ('held', 'rejected') order by partition, id",
            (epoch, n),
        )
    )


def rows_of(tx: Transaction, node: str, epoch: int, n: int) -> int | None:
    """The rows that an attempt held or rejected, whatever became of them; None where nobody knows."""
    sql = "select sum(rows) from quarantine where node = ? and epoch = ? and n = ?"
    (result,) = tx.execute(sql, (node, epoch, n)).fetchone()
    return None if result is None else int(result)


def decide(tx: Transaction, ids: Iterable[int], state: str, now: int, said: str = "") -> None:
    """What waited is `released` or `dropped` now; `said`: by whom, and why."""
    tx.executemany(
        "update quarantine set state = ?, decided_at = ?, decided = ? where id = ? and state in ('held', 'rejected')",
        [(state, now, said, item) for item in ids],
    )


def get(tx: Transaction, number: int) -> Quarantined | None:
    """What waits or waited, by its number; None where that was forgotten."""
    results = _all(tx.execute(f"select {_COLUMNS} from quarantine where id = ?", (number,)))
    return results[0] if results else None


def dropped(tx: Transaction, node: str, partition: str) -> Quarantined | None:
    """What came last of a partition, if somebody dropped it; `at` is when that was."""
    columns = _COLUMNS.removesuffix("at") + "coalesce(decided_at, at)"
    results = _all(
        tx.execute(
            f"select {columns} from quarantine where node = ? and partition = ? order by id desc limit 1",
            (node, partition),
        )
    )
    return results[0] if results and results[0].state == "dropped" else None


def dropped_deliveries(tx: Transaction, node: str | None = None) -> list[tuple[str, str]]:
    """Node and partition of the deliveries that somebody dropped, of one source or of all, where nothing has come since."""
    of = "" if node is None else " and q.node = :node"
    rows = tx.execute(
        "select q.node, q.partition from quarantine q join partition p on p.node = q.node and p.partition = q.partition"
        f" where q.state = 'dropped' and q.delivery_id is not null and p.state in ('held', 'rejected'){of}"
        " and not exists (select 1 from quarantine n where n.node = q.node and n.partition = q.partition and n.id > q.id)",
        {"node": node},
    )
    return [(row[0], row[1]) for row in rows]


def say(tx: Transaction, node: str, partition: str, reason: str) -> None:
    """Why a partition that readers don't see stands as it does."""
    tx.execute(
        "update partition set reason = :reason, revision = :revision"
        " where node = :node and partition = :partition and state <> 'published'",
        {"reason": reason, "revision": next_revision(tx), "node": node, "partition": partition},
    )


def say_of_deliveries(tx: Transaction, numbers: Iterable[int], reason: str) -> None:
    """Why deliveries of which readers see nothing stand as they do."""
    tx.executemany(
        "update delivery set reason = ? where id = ? and state in ('held', 'rejected')", [(reason, number) for number in numbers]
    )


# Deliveries that are held for their row count alone, and the same interval of other sources to
# compare them with.

ROWS = "volume_anomaly"


class HeldForRows(msgspec.Struct, frozen=True, gc=False):
    """A delivery that only the number of its rows keeps from readers."""

    source: str
    partition: str
    delivery: int


def measured_of_held(tx: Transaction, source: str, partition: str) -> bytes | None:
    """What the newest delivery measured that is held for an interval; None where none is."""
    row = tx.execute(
        "select m.vector from quarantine q join metric m on m.epoch = q.epoch and m.n = q.n and m.partition = q.partition"
        " where q.node = :node and q.partition = :partition and q.state = 'held' order by q.id desc limit 1",
        {"node": source, "partition": partition},
    ).fetchone()
    return None if row is None else bytes(row[0])


def held_for_rows(tx: Transaction, partitions: Collection[str]) -> list[HeldForRows]:
    """The deliveries of these intervals that are held for the number of their rows alone, and were held once only, by source and interval.

    Asked in each turn with news of a source: what lies open is found by its own index (`quarantine_open` has both states), and sorted here,
    because to sort by the key would be to walk all that was ever held.
    """
    rows = tx.execute(
        "select q.node, q.partition, q.delivery_id from quarantine q"
        " where q.state in ('held', 'rejected') and q.state = 'held' and q.delivery_id is not null"
        " and exists (select 1 from fact f where f.node = q.node and f.partition = q.partition and f.epoch = q.epoch and f.n = q.n"
        " and f.severity = 'hold')"
        " and not exists (select 1 from fact f where f.node = q.node and f.partition = q.partition and f.epoch = q.epoch and f.n = q.n"
        " and f.severity = 'hold' and not (f.kind = :rows and f.column_name = ''))"
        " and (select count(*) from quarantine o where o.node = q.node and o.partition = q.partition and o.delivery_id = q.delivery_id)"
        " = 1",
        {"rows": ROWS},
    ).fetchall()
    return [HeldForRows(*row) for row in sorted(rows) if row[1] in partitions]


def is_delivery_awaited(tx: Transaction, source: str, partition: str) -> bool:
    """Whether a delivery of an interval is there and isn't ingested yet."""
    row = tx.execute(
        "select 1 from delivery where source = :source and partition = :partition and state = 'waiting' limit 1",
        {"source": source, "partition": partition},
    ).fetchone()
    return row is not None


def reingest(tx: Transaction, delivery: int) -> None:
    """A delivery is to be ingested once more."""
    tx.execute("update delivery set state = 'waiting' where id = :id", {"id": delivery})


# Partitions that were rejected by a check which reads another node, and whether that node has
# published other rows since.

_READ_OTHERS = ("references", "sql")
"""Kinds of checks that may read other nodes."""


class QuarantinedPartition(msgspec.Struct, frozen=True, gc=False):
    """A partition that waits in quarantine, as an attempt made it. `snapshot` is what that attempt read."""

    node: str
    partition: str
    delivery: int | None
    snapshot: int


def rejected_by_references(tx: Transaction, node: str) -> list[QuarantinedPartition]:
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


def has_newer_rows(tx: Transaction, node: str, than: QuarantinedPartition) -> bool:
    """Whether a node has published other rows than it had when an attempt read it."""
    row = tx.execute(
        "select 1 from publication where node = :node and snapshot > :snapshot and identical = 0 limit 1",
        {"node": node, "snapshot": than.snapshot},
    ).fetchone()
    return row is not None
