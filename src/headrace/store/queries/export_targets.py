"""Which consumers' targets this state has taken over: each take-over has a name of its own in `meta`."""

from __future__ import annotations

import uuid

from headrace.store.database import Transaction

_PREFIX = "exports.take_over."
"""Followed by the consumer."""


def take_over(tx: Transaction, consumer: str) -> str:
    """What the newest take-over of a consumer's target was called; empty where there was none."""
    row = tx.execute("select value from meta where key = ?", (_PREFIX + consumer,)).fetchone()
    return "" if row is None else str(row[0])


def takes_over(tx: Transaction, consumer: str) -> None:
    """From now on the consumer's target is this state's."""
    tx.execute(
        "insert into meta (key, value) values (?, ?) on conflict (key) do update set value = excluded.value",
        (_PREFIX + consumer, uuid.uuid4().hex),
    )
