"""The position of OpenLineage events: what was sent of the attempts that have ended."""

from __future__ import annotations

import msgspec

from headrace.store.transaction import Transaction


class LineageCursor(msgspec.Struct, frozen=True):
    """Position of the last sent end (time, epoch, number), and attempts with only a sent start.

    `sent` and `refused` count events; `error` is what kept the last ones from being sent, since
    `failing_since`."""

    at: int
    epoch: int = 0
    n: int = 0
    begun: frozenset[tuple[int, int]] = frozenset()
    sent: int = 0
    refused: int = 0
    error: str = ""
    failing_since: int | None = None


def lineage_cursor(tx: Transaction) -> LineageCursor | None:
    """Return the position of lineage events; None before the first one."""
    row = tx.execute("select content from told_lineage where id = 1").fetchone()
    return None if row is None else msgspec.json.decode(row[0], type=LineageCursor)


def save_lineage_cursor(tx: Transaction, where: LineageCursor) -> None:
    """Store the position of lineage events."""
    content = msgspec.json.encode(where).decode()
    tx.execute(
        "insert into told_lineage (id, content) values (1, :content) on conflict (id) do update set"
        " content = excluded.content",
        {"content": content},
    )
