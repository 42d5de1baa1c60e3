"""What is held for how many rows it has, and what it is compared with: the same interval of other sources."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from headrace.store.database import Transaction

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


def awaited(tx: Transaction, source: str, partition: str) -> bool:
    """Whether a delivery of an interval is there and isn't ingested yet."""
    row = tx.execute(
        "select 1 from delivery where source = :source and partition = :partition and state = 'waiting' limit 1",
        {"source": source, "partition": partition},
    ).fetchone()
    return row is not None


def read_again(tx: Transaction, delivery: int) -> None:
    """A delivery is to be ingested once more."""
    tx.execute("update delivery set state = 'waiting' where id = :id", {"id": delivery})
