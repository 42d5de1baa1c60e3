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
