"""A node's partitions for calendars: each one's state and its visible publication."""

from __future__ import annotations

from typing import NamedTuple

from headrace.store.transaction import Transaction

_DROPPED = (
    "p.state in ('rejected', 'held') and (select q.state from quarantine q"
    " where q.node = p.node and q.partition = p.partition order by q.id desc limit 1) = 'dropped'"
)
"""Condition: the partition's last quarantined data was dropped; the partition keeps its state."""


_CALENDAR_STATE = (
    f"case when {_DROPPED} then 'dropped' when p.state in ('running', 'rejected', 'held', 'failed',"
    " 'withdrawn') then p.state when p.publication_id is not null and (p.stale <> 0 or p.proposed"
    " <> 0) then 'stale' when p.publication_id is not null and b.verdict in ('warned',"
    " 'unchecked') then b.verdict when p.publication_id is not null then 'published' else"
    " p.state end"
)
"""SQL for a partition's state in calendars; states that need an action take precedence."""


_FROM = "from partition p left join publication b on b.id = p.publication_id where p.node = :node"


class Day(NamedTuple):
    """One partition. Times are microseconds of the store's clock."""

    partition: str
    state: str
    seen: bool
    stale: bool
    reason: str | None
    since: int
    failures: int
    rows: int | None
    bytes: int | None
    verdict: str | None
    published_at: int | None


def days_between(
    tx: Transaction, node: str, first: str, last: str | None, *, before: str | None, limit: int
) -> list[Day]:
    """Return partitions from `first` to `last` (included) and below `before`, newest first."""
    bounds = ("" if last is None else " and p.partition <= :last") + (
        "" if before is None else " and p.partition < :before"
    )
    rows = tx.execute(
        f"select p.partition, {_CALENDAR_STATE}, p.publication_id is not null, p.stale <> 0 or"
        " p.proposed <> 0, p.reason, p.since, p.failures, b.rows, b.bytes, b.verdict,"
        f" b.published_at {_FROM} and p.partition >= :first{bounds} order by p.partition desc limit"
        " :limit",
        {"node": node, "first": first, "last": last, "before": before, "limit": limit},
    )
    return [Day(row[0], row[1], bool(row[2]), bool(row[3]), *row[4:]) for row in rows]


def calendar_counts(
    tx: Transaction, node: str, first: str = "", last: str | None = None
) -> dict[str, int]:
    """Return the number of partitions by calendar state, from `first` to `last` (included)."""
    bounds = "" if last is None else " and p.partition <= :last"
    rows = tx.execute(
        f"select {_CALENDAR_STATE} as shown, count(*) {_FROM} and p.partition >= :first{bounds}"
        " group by shown",
        {"node": node, "first": first, "last": last},
    )
    return dict(rows.fetchall())


def keys_between(tx: Transaction, node: str, first: str, last: str) -> list[str]:
    """Return the partitions from `first` to `last`, both included."""
    rows = tx.execute(
        "select partition from partition where node = :node and partition >= :first and partition"
        " <= :last",
        {"node": node, "first": first, "last": last},
    )
    return [str(row[0]) for row in rows]


def count_between(tx: Transaction, node: str, first: str, before: str | None) -> int:
    """Return the number of partitions from `first` up to, but without, `before`."""
    bounds = "" if before is None else " and partition < :before"
    row = tx.execute(
        f"select count(*) from partition where node = :node and partition >= :first{bounds}",
        {"node": node, "first": first, "before": before},
    ).fetchone()
    return int(row[0])


def calendar_states(tx: Transaction, node: str) -> dict[str, str]:
    """Return the calendar states of all of a node's partitions, oldest first."""
    return dict(
        tx.execute(
            f"select p.partition, {_CALENDAR_STATE} {_FROM} order by p.partition", {"node": node}
        ).fetchall()
    )
