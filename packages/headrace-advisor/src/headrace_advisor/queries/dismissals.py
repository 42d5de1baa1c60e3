"""Proposals that somebody dismissed with a reason, until somebody reopens them."""

from __future__ import annotations

from typing import NamedTuple

from headrace.store.transaction import Transaction

READ_MAX = 10_000
"""At most this many of the newest dismissals count."""
_COLUMNS = "id, proposal, node, facts, cost, reason, actor, at"


class StoredDismissal(NamedTuple):
    """A dismissal of a proposal that nobody has reopened.

    `facts` is a hash of the code and checks at that time. `cost` is in microseconds, None if it
    wasn't known; `at` in microseconds since 1970 UTC.
    """

    id: int
    proposal: str
    node: str
    facts: str
    cost: int | None
    reason: str
    actor: str
    at: int


def by_proposal(tx: Transaction) -> dict[str, StoredDismissal]:
    """Return proposal → its newest dismissal, if nobody has reopened it."""
    rows = tx.execute(
        f"select {_COLUMNS} from dismissal where reopened_at is null order by id desc limit ?",
        (READ_MAX,),
    ).fetchall()
    return {row[1]: StoredDismissal(*row) for row in reversed(rows)}


def add(tx: Transaction, item: StoredDismissal) -> None:
    """Store a dismissal, whatever its `id`, in place of an earlier one of the same proposal."""
    reopen(tx, item.proposal, actor=item.actor, now=item.at)
    tx.execute(
        "insert into dismissal (proposal, node, facts, cost, reason, actor, at) values"
        " (?, ?, ?, ?, ?, ?, ?)",
        item[1:],
    )


def reopen(tx: Transaction, proposal: str, *, actor: str, now: int) -> None:
    """End the dismissal of a proposal, if there is one."""
    tx.execute(
        "update dismissal set reopened_at = ?, reopened_by = ? where proposal = ? and reopened_at"
        " is null",
        (now, actor, proposal),
    )
