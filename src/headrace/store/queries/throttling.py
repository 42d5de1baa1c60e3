"""Sources whose servers asked to be left alone for a while, and how much of them is loaded."""

from __future__ import annotations

import msgspec

from headrace.store.database import Transaction
from headrace.store.queries import news


def waiting(tx: Transaction, now: int) -> list[tuple[str, int]]:
    """(source, since when) of the sources of which a partition waits for a server's pause to end."""
    rows = tx.execute(
        "select node, min(partition), min(since) from partition"
        " where state = 'waiting' and failures = 0 and not_before > ? group by node order by node",
        (now,),
    ).fetchall()
    return [(node, since) for node, key, since in rows if _kind(tx, node, key) == "throttled"]


def loaded(tx: Transaction, source: str) -> tuple[int, int, str | None]:
    """How many of a source's intervals are published, how many are known, and the oldest of them."""
    row = tx.execute(
        "select count(case when publication_id is not null then 1 end), count(*), min(partition) from partition where node = ?",
        (source,),
    ).fetchone()
    return row[0], row[1], row[2]


def _kind(tx: Transaction, node: str, key: str) -> str:
    """Why the newest attempt at a partition ended."""
    ended = news.newest_ended(tx, node, key)
    return "" if ended is None or not ended.error else str(msgspec.json.decode(ended.error).get("kind", ""))
