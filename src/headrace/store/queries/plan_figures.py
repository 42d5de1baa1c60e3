"""What the runs that worked at a plan published as any run does: beside what the plan staged."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from headrace.store.database import Transaction


def published(tx: Transaction, plan: int, nodes: Collection[str]) -> int:
    """How many partitions of these nodes were published by runs of a plan."""
    if not nodes:
        return 0
    marks = ", ".join("?" * len(nodes))
    row = tx.execute(
        "select count(*) from (select distinct p.node, p.partition from run r"
        " join attempt a on a.run_id = r.id join publication p on p.epoch = a.epoch and p.n = a.n"
        f" where r.plan_id = ? and a.node in ({marks})) as made",
        (plan, *nodes),
    ).fetchone()
    return int(row[0])


class Sums(NamedTuple):
    """Of one node: how many partitions runs of a plan published, and their rows."""

    partitions: int
    rows: int


def of_nodes(tx: Transaction, plan: int) -> dict[str, Sums]:
    """Node → what the runs of a plan published of it: each partition once, with the rows it had last."""
    rows = tx.execute(
        "select p.node, count(*), sum(p.rows) from publication p where p.id in ("
        "select max(p.id) from run r join attempt a on a.run_id = r.id"
        " join publication p on p.epoch = a.epoch and p.n = a.n where r.plan_id = ?"
        " group by p.node, p.partition) group by p.node",
        (plan,),
    ).fetchall()
    return {node: Sums(int(partitions), int(count)) for node, partitions, count in rows}


def publications(tx: Transaction, plan: int) -> list[tuple[str, str, str]]:
    """(node, partition, attempt) of all that the runs of a plan published, and readers see or saw."""
    rows = tx.execute(
        "select p.node, p.partition, p.epoch, p.n from run r join attempt a on a.run_id = r.id"
        " join publication p on p.epoch = a.epoch and p.n = a.n where r.plan_id = ? order by p.id",
        (plan,),
    ).fetchall()
    return [(node, partition, f"{epoch}.{n}") for node, partition, epoch, n in rows]
