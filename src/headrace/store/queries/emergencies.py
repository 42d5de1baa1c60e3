"""Roles that somebody took in an emergency, until when and why."""

from __future__ import annotations

from typing import NamedTuple

from headrace.store.transaction import Transaction

_COLUMNS = "id, subject, actor, role, scope, reason, started_at, expires_at, ended_at, ended_by"


class Emergency(NamedTuple):
    """A role taken by break-glass; times are in microseconds since 1970 UTC, of the wall clock."""

    id: int
    subject: str
    actor: str
    role: str
    scope: str
    """JSON of a `Scope`."""
    reason: str
    started_at: int
    expires_at: int
    ended_at: int | None = None
    ended_by: str | None = None


def add(tx: Transaction, item: Emergency) -> int:
    """Store a new one, whatever its `id`; return its number."""
    return tx.insert(
        "insert into access_emergency (subject, actor, role, scope, reason, started_at, expires_at)"
        " values (?, ?, ?, ?, ?, ?, ?)",
        item[1:8],
    )


def in_force(tx: Transaction, now: int) -> list[Emergency]:
    """Return those that neither ended nor expired, the newest first."""
    rows = tx.execute(
        f"select {_COLUMNS} from access_emergency"
        " where ended_at is null and expires_at > ? order by id desc",
        (now,),
    )
    return [Emergency(*row) for row in rows]


def since(tx: Transaction, at: int) -> list[Emergency]:
    """Return those that began at or after a time, the newest first."""
    rows = tx.execute(
        f"select {_COLUMNS} from access_emergency where started_at >= ? order by id desc",
        (at,),
    )
    return [Emergency(*row) for row in rows]


def end(tx: Transaction, number: int, *, actor: str, now: int) -> None:
    """End one early."""
    tx.execute(
        "update access_emergency set ended_at = ?, ended_by = ? where id = ? and ended_at is null",
        (now, actor, number),
    )
