"""Quarantine: where held and rejected data waits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from headrace.store.database import Transaction

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


class Totals(msgspec.Struct, frozen=True):
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


def totals(tx: Transaction) -> Totals:
    """What waits, in all."""
    row = tx.execute(
        "select count(delivery_id), count(*), coalesce(sum(rows), 0) from quarantine where state in ('held', 'rejected')"
    ).fetchone()
    return Totals(*row)


def nodes(tx: Transaction) -> set[str]:
    """The nodes of which something waits."""
    return {row[0] for row in tx.execute("select distinct node from quarantine where state in ('held', 'rejected')")}


def _all(rows: Iterable[tuple[Any, ...]]) -> list[Quarantined]:
    found = []
    for row in rows:
        values = list(row)
        values[9] = None if values[9] is None else tuple(msgspec.json.decode(values[9]))
        found.append(Quarantined(*values))
    return found
