"""Freezes: who is stopped, since when and why."""

from __future__ import annotations

from typing import NamedTuple

from headrace.store.transaction import Transaction

EVERYBODY = "*"
"""The subject of a freeze of everybody but admins."""


class Freeze(NamedTuple):
    """A freeze in force; `created_at` is in microseconds since 1970 UTC."""

    subject: str
    reason: str
    created_by: str
    created_at: int


def add(tx: Transaction, *, subject: str, reason: str, actor: str, now: int) -> None:
    """Store a new freeze."""
    tx.execute(
        "insert into access_freeze (subject, reason, created_by, created_at) values (?, ?, ?, ?)",
        (subject, reason, actor, now),
    )


def in_force(tx: Transaction) -> list[Freeze]:
    """Return the freezes that aren't lifted, the newest first."""
    rows = tx.execute(
        "select subject, reason, created_by, created_at from access_freeze"
        " where lifted_at is null order by id desc"
    )
    return [Freeze(*row) for row in rows]


def lift(tx: Transaction, *, subject: str, actor: str, now: int) -> None:
    """Lift a freeze."""
    tx.execute(
        "update access_freeze set lifted_by = ?, lifted_at = ?"
        " where subject = ? and lifted_at is null",
        (actor, now, subject),
    )
