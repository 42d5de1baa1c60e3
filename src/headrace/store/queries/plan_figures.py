"""What the runs that worked at a plan published as any run does: beside what the plan staged."""

from __future__ import annotations

from collections.abc import Collection

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


def publications(tx: Transaction, plan: int) -> list[tuple[str, str, str]]:
    """(node, partition, attempt) of all that the runs of a plan published, and readers see or saw."""
    rows = tx.execute(
        "select p.node, p.partition, p.epoch, p.n from run r join attempt a on a.run_id = r.id"
        " join publication p on p.epoch = a.epoch and p.n = a.n where r.plan_id = ? order by p.id",
        (plan,),
    ).fetchall()
    return [(node, partition, f"{epoch}.{n}") for node, partition, epoch, n in rows]
