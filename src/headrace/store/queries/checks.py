"""What checks came to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from headrace.store.database import Transaction

_COLUMNS = "epoch, n, node, partition, name, kind, severity, outcome, rows, failing, detail, at"


class CheckOutcome(msgspec.Struct, frozen=True):
    """One check on one partition in one attempt; `at` is in microseconds of the store's clock."""

    epoch: int
    n: int
    node: str
    partition: str
    name: str
    kind: str
    severity: str
    outcome: str
    rows: int
    failing: int
    detail: str
    at: int


def of_attempt(tx: Transaction, epoch: int, n: int) -> list[CheckOutcome]:
    """All checks of an attempt, by partition and name."""
    rows = tx.execute(
        f"select {_COLUMNS} from check_result where epoch = :epoch and n = :n order by partition, name", {"epoch": epoch, "n": n}
    )
    return _all(rows)


def history(tx: Transaction, node: str, name: str, *, limit: int = 100) -> list[CheckOutcome]:
    """The newest outcomes of one check, newest first."""
    rows = tx.execute(
        f"select {_COLUMNS} from check_result where node = :node and name = :name order by at desc, partition desc limit :limit",
        {"node": node, "name": name, "limit": limit},
    )
    return _all(rows)


def _all(rows: Iterable[tuple[Any, ...]]) -> list[CheckOutcome]:
    return [CheckOutcome(*row) for row in rows]


def of_check(tx: Transaction, node: str, name: str, *, view: bool, limit: int) -> list[CheckOutcome]:
    """The newest outcomes of a declared check, newest first. A view's are asked wherever what it reads is published."""
    if not view:
        return history(tx, node, name, limit=limit)
    rows = tx.execute(
        f"select {_COLUMNS} from check_result where name = :name order by at desc, partition desc limit :limit",
        {"name": f"{node}.{name}", "limit": limit},
    )
    return _all(rows)


def ran(tx: Transaction) -> dict[tuple[str, str], int]:
    """(Node, check) → how often it looked at rows."""
    rows = tx.execute("select node, name, count(*) from check_result where outcome <> 'unchecked' group by node, name").fetchall()
    return {(row[0], row[1]): int(row[2]) for row in rows}


def flips(tx: Transaction) -> dict[tuple[str, str], list[str]]:
    """(Node, check) → the partitions where it both passed and failed on the same data under the same version: on the same delivered
    bytes, the same published content, or the same snapshot of what an asset reads. Ages grow, so `freshness` is none of them."""
    same = "coalesce(d.sha256, p.content_hash)"
    results: dict[tuple[str, str], dict[str, None]] = {}
    for identity, kind in ((same, "take_in"), (same, "produce"), ("cast(a.snapshot_read as text)", "produce")):
        rows = tx.execute(
            f"select c.node, c.name, c.partition from check_result c join attempt a on a.epoch = c.epoch and a.n = c.n "
            "left join publication p on p.epoch = c.epoch and p.n = c.n and p.partition = c.partition "
            "left join delivery d on d.id = a.delivery_id "
            f"where c.outcome in ('passed', 'failed') and c.kind <> 'freshness' and a.kind = :kind and {identity} is not null "
            f"group by c.node, c.name, c.partition, a.version, {identity} having count(distinct c.outcome) > 1 "
            "order by c.node, c.name, c.partition",
            {"kind": kind},
        )
        for node, name, partition in rows:
            results.setdefault((node, name), {})[partition] = None
    return {key: list(partitions) for key, partitions in results.items()}
