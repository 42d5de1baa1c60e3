"""What checks came to, and the profiles that audits took."""

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


def names(tx: Transaction, node: str) -> list[str]:
    """The names of all checks that ever ran on a node."""
    found: list[str] = []
    last = ""
    while (row := tx.execute(_NEXT_NAME, {"node": node, "last": last}).fetchone())[0] is not None:
        last = row[0]
        found.append(last)
    return found


# One step along the index per name, however many outcomes there are.
_NEXT_NAME = "select min(name) from check_result where node = :node and name > :last"


def profile(tx: Transaction, node: str, partition: str) -> dict[str, Any] | None:
    """The newest profile of a partition, column → what one scan learnt about it; None if none was taken."""
    row = tx.execute(
        "select columns from profile where node = :node and partition = :partition order by epoch desc, n desc limit 1",
        {"node": node, "partition": partition},
    ).fetchone()
    return None if row is None else dict(msgspec.json.decode(row[0]))


def _all(rows: Iterable[tuple[Any, ...]]) -> list[CheckOutcome]:
    return [CheckOutcome(*row) for row in rows]
