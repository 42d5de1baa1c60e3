"""Trials of changes: what interleaved runs before and after a change came to."""

from __future__ import annotations

from typing import NamedTuple

from headrace.store.transaction import Transaction

TRIALS_MAX = 500
"""At most this many of the newest trials are listed."""
_COLUMNS = (
    "id, node, finding, change, version, code_before, code_after, actor, at, verdict, content"
)


class StoredTrial(NamedTuple):
    """A trial. `at` is in microseconds since 1970 UTC, `content` is JSON of its runs.

    `finding` is the id of the finding of `optimize` whose change was tried; None for other changes.
    """

    id: int
    node: str
    finding: str | None
    change: str
    version: int | None
    code_before: str
    code_after: str
    actor: str
    at: int
    verdict: str
    content: str


def add(tx: Transaction, item: StoredTrial) -> int:
    """Store a new trial, whatever its `id`; return its number."""
    cursor = tx.execute(
        "insert into trial (node, finding, change, version, code_before, code_after, actor, at,"
        " verdict, content) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        item[1:],
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def newest(tx: Transaction, limit: int = TRIALS_MAX) -> list[StoredTrial]:
    """Return the newest trials, newest first."""
    rows = tx.execute(f"select {_COLUMNS} from trial order by id desc limit ?", (limit,))
    return [StoredTrial(*row) for row in rows.fetchall()]


def get(tx: Transaction, number: int) -> StoredTrial:
    """Return a stored trial. Raises LookupError if it doesn't exist."""
    row = tx.execute(f"select {_COLUMNS} from trial where id = ?", (number,)).fetchone()
    if row is None:
        raise LookupError(f"there is no trial {number}")
    return StoredTrial(*row)
