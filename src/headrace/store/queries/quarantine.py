"""Quarantine: held and rejected data that waits for a decision."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec

from headrace.store.queries.partition_states import next_revision
from headrace.store.transaction import Transaction, among, at_places

_COLUMNS = (
    "id, node, partition, epoch, n, state, reason, path, rows, sample, delivery_id, at, acceptable"
)


class Quarantined(msgspec.Struct, frozen=True):
    """One held or rejected partition. `path` is relative to the data folder.

    `sample` contains a few rows that failed a check. `at` is in microseconds of the store's clock.
    """

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
    acceptable: bool = True
    """Whether accepting it as an exception can publish it."""


class QuarantineTotals(msgspec.Struct, frozen=True):
    """Totals of data in quarantine. A file of several intervals is one delivery, and a partition
    for each of them. `rows` omits unknown row counts."""

    deliveries: int
    partitions: int
    rows: int


def waiting(
    tx: Transaction, *, node: str | None = None, partition: str | None = None, limit: int = 1_000
) -> list[Quarantined]:
    """Return data in quarantine by node and partition, optionally of one node or partition."""
    narrowed = "".join(
        f" and {column} = :{column}"
        for column, value in (("node", node), ("partition", partition))
        if value is not None
    )
    return _all(
        tx.execute(
            f"select {_COLUMNS} from quarantine where state in ('held', 'rejected'){narrowed} order"
            " by node, partition, id limit :limit",
            {"node": node, "partition": partition, "limit": limit},
        )
    )


def unacceptable(tx: Transaction, places: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the partitions whose data in quarantine can't be published by accepting it."""
    rows = tx.execute(
        "select node, partition from quarantine where state in ('held', 'rejected') and acceptable"
        f" = 0 and {among()}",
        at_places(places),
    )
    return {(node, partition) for node, partition in rows}


def totals(tx: Transaction, declared: Callable[[str], object]) -> QuarantineTotals:
    """Return the totals for `declared` nodes; no decision is possible about others."""
    rows = tx.execute(
        "select node, count(distinct case when delivery_id is not null then epoch || '.' || n end),"
        " count(*), coalesce(sum(rows), 0) from quarantine where state in ('held', 'rejected')"
        " group by node"
    ).fetchall()
    results = [row[1:] for row in rows if declared(row[0]) is not None]
    return QuarantineTotals(*(sum(int(row[n]) for row in results) for n in range(3)))


def by_node(tx: Transaction) -> dict[str, tuple[int, int, int]]:
    """Return quarantined partitions, their known rows, and rejected partitions, by node."""
    rows = tx.execute(
        "select node, count(*), coalesce(sum(rows), 0),"
        " sum(case when state = 'rejected' then 1 else 0 end)"
        " from quarantine where state in ('held', 'rejected') group by node order by node"
    ).fetchall()
    return {str(node): (int(all_), int(known), int(bad)) for node, all_, known, bad in rows}


def nodes(tx: Transaction) -> set[str]:
    """Return the nodes with data in quarantine."""
    return {
        row[0]
        for row in tx.execute(
            "select distinct node from quarantine where state in ('held', 'rejected')"
        )
    }


def _all(rows: Iterable[tuple[Any, ...]]) -> list[Quarantined]:
    results = []
    for row in rows:
        values = list(row)
        values[9] = None if values[9] is None else tuple(msgspec.json.decode(values[9]))
        values[12] = bool(values[12])
        results.append(Quarantined(*values))
    return results


# Decisions about quarantined data.


def withhold(tx: Transaction, rows: Iterable[tuple[int, int, bytes]]) -> None:
    """Insert (epoch, n, outcome) of held or rejected attempts, for later publication."""
    tx.executemany("insert into withheld (epoch, n, outcome) values (?, ?, ?)", rows)


def withheld(tx: Transaction, epoch: int, n: int) -> bytes | None:
    """Return the outcome needed to publish an attempt's staged data; None without such data."""
    row = tx.execute(
        "select outcome from withheld where epoch = ? and n = ?", (epoch, n)
    ).fetchone()
    return None if row is None else bytes(row[0])


def of_attempt(tx: Transaction, epoch: int, n: int) -> list[Quarantined]:
    """Return one attempt's data in quarantine, with all intervals of a shared file."""
    return _all(
        tx.execute(
            f"select {_COLUMNS} from quarantine where epoch = ? and n = ? and state in ('held',"
            " 'rejected') order by partition, id",
            (epoch, n),
        )
    )


def rows_of(tx: Transaction, node: str, epoch: int, n: int) -> int | None:
    """Return the number of rows that an attempt held or rejected; None if unknown."""
    sql = "select sum(rows) from quarantine where node = ? and epoch = ? and n = ?"
    (result,) = tx.execute(sql, (node, epoch, n)).fetchone()
    return None if result is None else int(result)


def decide(tx: Transaction, ids: Iterable[int], state: str, now: int, decision: str = "") -> None:
    """Set the state to `released` or `dropped`. `decision` contains the user and the reason."""
    tx.executemany(
        "update quarantine set state = ?, decided_at = ?, decided = ? where id = ? and state in"
        " ('held', 'rejected')",
        [(state, now, decision, item) for item in ids],
    )


def get(tx: Transaction, number: int) -> Quarantined | None:
    """Return quarantined data by number, decided or not; None if it was deleted."""
    results = _all(tx.execute(f"select {_COLUMNS} from quarantine where id = ?", (number,)))
    return results[0] if results else None


def dropped(tx: Transaction, node: str, partition: str) -> Quarantined | None:
    """Return a partition's newest data if it was dropped; `at` is the time of the drop."""
    columns = _COLUMNS.replace(" at,", " coalesce(decided_at, at),")
    results = _all(
        tx.execute(
            f"select {columns} from quarantine where node = ? and partition = ? order by id desc"
            " limit 1",
            (node, partition),
        )
    )
    return results[0] if results and results[0].state == "dropped" else None


def dropped_partitions(
    tx: Transaction, places: Collection[tuple[str, str]] | None = None
) -> set[tuple[str, str]]:
    """Return (node, partition) of dropped data without newer data, of these places or all."""
    of = "" if places is None else f" and {among('q.node', 'q.partition')}"
    rows = tx.execute(
        "select q.node, q.partition from quarantine q join partition p on p.node = q.node and"
        " p.partition = q.partition and p.state in ('held', 'rejected') where q.state = 'dropped'"
        f"{of} and not exists (select 1 from quarantine n where n.node = q.node and n.partition ="
        " q.partition and n.id > q.id)",
        {} if places is None else at_places(places),
    )
    return {(node, partition) for node, partition in rows}


def say(tx: Transaction, node: str, partition: str, reason: str) -> None:
    """Set the reason of an unpublished partition's state."""
    tx.execute(
        "update partition set reason = :reason, revision = :revision"
        " where node = :node and partition = :partition and state <> 'published'",
        {"reason": reason, "revision": next_revision(tx), "node": node, "partition": partition},
    )


def say_of_deliveries(tx: Transaction, numbers: Iterable[int], reason: str) -> None:
    """Set the reason of unpublished deliveries' states."""
    tx.executemany(
        "update delivery set reason = ? where id = ? and state in ('held', 'rejected')",
        [(reason, number) for number in numbers],
    )


# Deliveries that are held only for their row count, to compare with the same interval of other
# sources.

ROWS = "volume_anomaly"


class HeldForRows(msgspec.Struct, frozen=True, gc=False):
    """A delivery that is held only for its row count."""

    source: str
    partition: str
    delivery: int


def measured_of_held(tx: Transaction, source: str, partition: str) -> bytes | None:
    """Return the metrics of an interval's newest held delivery; None without one."""
    row = tx.execute(
        "select m.vector from quarantine q join metric m on m.epoch = q.epoch and m.n = q.n and"
        " m.partition = q.partition where q.node = :node and q.partition = :partition and q.state ="
        " 'held' order by q.id desc limit 1",
        {"node": source, "partition": partition},
    ).fetchone()
    return None if row is None else bytes(row[0])


def held_for_rows(tx: Transaction, partitions: Collection[str]) -> list[HeldForRows]:
    """Return deliveries of these intervals that are held only for their row count, and held once.

    They are sorted by source and interval. The leader calls this in each loop iteration with news
    of a source, so the query uses the index `quarantine_open` of undecided data (which has both
    states), and sorts in Python: sorting by the key in SQL would scan all data that was ever held.
    """
    rows = tx.execute(
        "select q.node, q.partition, q.delivery_id from quarantine q where q.state in ('held',"
        " 'rejected') and q.state = 'held' and q.delivery_id is not null and exists (select 1 from"
        " fact f where f.node = q.node and f.partition = q.partition and f.epoch = q.epoch and f.n"
        " = q.n and f.severity = 'hold') and not exists (select 1 from fact f where f.node = q.node"
        " and f.partition = q.partition and f.epoch = q.epoch and f.n = q.n and f.severity = 'hold'"
        " and not (f.kind = :rows and f.column_name = '')) and (select count(*) from quarantine o"
        " where o.node = q.node and o.partition = q.partition and o.delivery_id ="
        " q.delivery_id) = 1",
        {"rows": ROWS},
    ).fetchall()
    return [HeldForRows(*row) for row in sorted(rows) if row[1] in partitions]


def is_delivery_awaited(tx: Transaction, source: str, partition: str) -> bool:
    """Return whether an interval has a delivery that isn't ingested yet."""
    row = tx.execute(
        "select 1 from delivery where source = :source and partition = :partition and state ="
        " 'waiting' limit 1",
        {"source": source, "partition": partition},
    ).fetchone()
    return row is not None


def reingest(tx: Transaction, delivery: int) -> None:
    """Mark a delivery to be re-ingested."""
    tx.execute("update delivery set state = 'waiting' where id = :id", {"id": delivery})


# Partitions rejected by a check that reads another node, and whether that node has published other
# rows since.

_READ_OTHERS = ("references", "sql")
"""Kinds of checks that may read other nodes."""


class QuarantinedPartition(msgspec.Struct, frozen=True, gc=False):
    """A partition in quarantine. `snapshot` is the snapshot that its attempt read."""

    node: str
    partition: str
    delivery: int | None
    snapshot: int


def rejected_by_references(tx: Transaction, node: str) -> list[QuarantinedPartition]:
    """Return a node's partitions in quarantine whose newest attempt failed such a check."""
    first, second = _READ_OTHERS
    rows = tx.execute(
        "select q.node, q.partition, q.delivery_id, a.snapshot_read from quarantine q join attempt"
        " a on a.epoch = q.epoch and a.n = q.n join partition s on s.node = q.node and s.partition"
        " = q.partition and s.state in ('held', 'rejected') where q.node = :node and q.state in"
        " ('held', 'rejected') and a.snapshot_read is not null and q.id = (select max(o.id) from"
        " quarantine o where o.node = q.node and o.partition = q.partition) and exists (select 1"
        " from check_result c where c.epoch = q.epoch and c.n = q.n and c.node = q.node and"
        " c.partition = q.partition and c.outcome = 'failed' and c.severity = 'blocking' and c.kind"
        " in (:first, :second)) order by q.partition",
        {"node": node, "first": first, "second": second},
    )
    return [QuarantinedPartition(*row) for row in rows]


def has_newer_rows(tx: Transaction, node: str, than: QuarantinedPartition) -> bool:
    """Whether a node has published other rows than it had when an attempt read it."""
    row = tx.execute(
        "select 1 from publication where node = :node and snapshot > :snapshot and identical = 0"
        " limit 1",
        {"node": node, "snapshot": than.snapshot},
    ).fetchone()
    return row is not None
