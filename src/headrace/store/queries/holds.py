"""Legal holds: while one stands, data of its node is neither erased nor retired."""

from __future__ import annotations

from typing import NamedTuple

from headrace.store.transaction import Transaction

EVERYTHING = "*"


class Hold(NamedTuple):
    """A legal hold. `node` is `*` for everything; times are in microseconds since 1970 UTC."""

    id: int
    node: str
    reason: str
    actor: str
    since: int
    released_at: int | None
    released_by: str | None
    release_reason: str | None


_COLUMNS = "id, node, reason, actor, since, released_at, released_by, release_reason"


def in_force(tx: Transaction) -> list[Hold]:
    """Return the holds that aren't released, oldest first."""
    rows = tx.execute(
        f"select {_COLUMNS} from legal_hold where released_at is null order by id"
    ).fetchall()
    return [Hold(*row) for row in rows]


def held_nodes(tx: Transaction) -> set[str]:
    """Return the nodes of which nothing may be removed; `*` is everything."""
    return {hold.node for hold in in_force(tx)}


def every(tx: Transaction, limit: int) -> list[Hold]:
    """Return all holds, newest first."""
    rows = tx.execute(
        f"select {_COLUMNS} from legal_hold order by id desc limit ?", (limit,)
    ).fetchall()
    return [Hold(*row) for row in rows]


def set_hold(tx: Transaction, node: str, *, reason: str, actor: str, now: int) -> Hold:
    """Store a new hold, or return the one in force for the node."""
    for hold in in_force(tx):
        if hold.node == node:
            return hold
    tx.execute(
        "insert into legal_hold (node, reason, actor, since) values (?, ?, ?, ?)",
        (node, reason, actor, now),
    )
    return in_force(tx)[-1]


def release(tx: Transaction, hold: Hold, *, reason: str, actor: str, now: int) -> None:
    """Release a hold."""
    tx.execute(
        "update legal_hold set released_at = ?, released_by = ?, release_reason = ? where id = ?",
        (now, actor, reason, hold.id),
    )
