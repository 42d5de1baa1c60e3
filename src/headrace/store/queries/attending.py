"""When the leader last looked after the lake, and last freed space."""

from __future__ import annotations

from headrace.store.database import Transaction


def upkeep_at(tx: Transaction) -> int | None:
    """When the lake was last looked after."""
    row = tx.execute("select value from meta where key = 'upkeep_at'").fetchone()
    return int(row[0]) if row else None


def upkeep_done(tx: Transaction, now: int) -> None:
    """The lake was looked after."""
    tx.execute("insert into meta (key, value) values ('upkeep_at', ?) on conflict (key) do update set value = excluded.value", (str(now),))


def reclaimed_at(tx: Transaction) -> int | None:
    """When space was last freed because there was none."""
    row = tx.execute("select value from meta where key = 'reclaimed_at'").fetchone()
    return int(row[0]) if row else None


def reclaimed(tx: Transaction, now: int) -> None:
    """Space is being freed because there is none."""
    tx.execute(
        "insert into meta (key, value) values ('reclaimed_at', ?) on conflict (key) do update set value = excluded.value", (str(now),)
    )
