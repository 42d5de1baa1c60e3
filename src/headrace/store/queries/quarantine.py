"""Quarantine: where held and rejected data waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from headrace.store.database import Transaction
from headrace.store.queries.standings import next_revision

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
