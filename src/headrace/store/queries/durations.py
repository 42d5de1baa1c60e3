"""How long attempts made slots busy, and how many rows were published."""

from __future__ import annotations

from headrace.store.queries.publications import HAS_ITS_ROWS
from headrace.store.transaction import Transaction

PUBLICATIONS_MAX = 500
"""At most this many of a node's newest publications are compared."""
WORKED_MAX = 50_000
"""At most this many of a node's newest attempts are added up."""


def worked_us(tx: Transaction, node: str, from_us: int, until_us: int) -> int:
    """Return how long a node's newest attempts that ended in a window made slots busy, in µs."""
    (worked,) = tx.execute(
        "select coalesce(sum(finished_at - started_at), 0) from (select finished_at, started_at"
        " from attempt where node = ? and finished_at > ? and finished_at <= ? and started_at is"
        " not null order by epoch desc, n desc limit ?) a",
        (node, from_us, until_us, WORKED_MAX),
    ).fetchone()
    return int(worked)


def published_rows(tx: Transaction, node: str, from_us: int, until_us: int) -> list[int]:
    """Return the rows of a node's newest publications in a window, newest first.

    Those whose rows were removed whole since then (retention, erasure) are left out.
    """
    rows = tx.execute(
        "select rows from publication where node = :node and published_at > :since and published_at"
        f" <= :until and {HAS_ITS_ROWS} order by id desc limit :limit",
        {"node": node, "since": from_us, "until": until_us, "limit": PUBLICATIONS_MAX},
    ).fetchall()
    return [int(count) for (count,) in rows]
