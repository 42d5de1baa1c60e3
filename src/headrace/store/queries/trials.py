"""Trials of changes: what interleaved runs before and after a change came to."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from headrace.store.transaction import Transaction

ATTEMPTS_MAX = 50_000
"""At most this many of a node's newest attempts are counted."""
_COLUMNS = (
    "id, node, finding, change, version, code_before, code_after, actor, at, verdict, content,"
    " proven"
)


class StoredTrial(NamedTuple):
    """A trial. `at` is in microseconds since 1970 UTC, `content` is JSON of its runs.

    `finding` is the id of the finding of `optimize` whose change was tried; None for other changes.
    `proven` is 1 if `optimize apply` can apply it.
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
    proven: int = 0


def add(tx: Transaction, item: StoredTrial) -> int:
    """Store a new trial, whatever its `id`; return its number."""
    return tx.insert(
        "insert into trial (node, finding, change, version, code_before, code_after, actor, at,"
        " verdict, content, proven) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        item[1:],
    )


def newest(tx: Transaction, limit: int) -> list[StoredTrial]:
    """Return the newest trials, newest first."""
    rows = tx.execute(f"select {_COLUMNS} from trial order by id desc limit ?", (limit,))
    return [StoredTrial(*row) for row in rows.fetchall()]


def of_finding(tx: Transaction, finding: str, node: str | None = None) -> StoredTrial | None:
    """Return the newest trial of a finding's change, of one node or any; None without one."""
    row = tx.execute(
        f"select {_COLUMNS} from trial where finding = :finding and"
        " (cast(:node as text) is null or node = :node) order by id desc limit 1",
        {"finding": finding, "node": node},
    ).fetchone()
    return None if row is None else StoredTrial(*row)


def of_code(tx: Transaction, node: str, code: str) -> StoredTrial | None:
    """Return the newest trial of other code of a node, by its fingerprint; None without one."""
    row = tx.execute(
        f"select {_COLUMNS} from trial where node = ? and code_after = ? and code_before <>"
        " code_after order by id desc limit 1",
        (node, code),
    ).fetchone()
    return None if row is None else StoredTrial(*row)


def partitions_computed(tx: Transaction, node: str, from_us: int, until_us: int) -> int:
    """Return how many partitions of a node were computed in a window, counting each time."""
    rows = tx.execute(
        "select partitions from attempt where node = ? and finished_at > ? and finished_at <= ? and"
        " kind <> 'export' and state in ('published', 'held', 'rejected')"
        " order by epoch desc, n desc limit ?",
        (node, from_us, until_us, ATTEMPTS_MAX),
    )
    return sum(len(msgspec.json.decode(content)) for (content,) in rows.fetchall())


def get(tx: Transaction, number: int) -> StoredTrial:
    """Return a stored trial. Raises LookupError if it doesn't exist."""
    row = tx.execute(f"select {_COLUMNS} from trial where id = ?", (number,)).fetchone()
    if row is None:
        raise LookupError(f"there is no trial {number}")
    return StoredTrial(*row)
