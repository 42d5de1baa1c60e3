"""Publications that incidents name as wrong, those that were accepted as exceptions, and what read them."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from headrace.store.database import Transaction


class Unsound(NamedTuple):
    """A publication and the incident that names it; `until_at` where it turned out not to cover it."""

    incident_id: int
    columns: tuple[str, ...]
    known_at: int
    until_at: int | None
    node: str
    partition: str
    snapshot: int
    ended_snapshot: int | None
    published_at: int
    ended_at: int | None


class Excepted(NamedTuple):
    """A publication that somebody accepted; until when (None: for good), and when the exception was taken back or renewed."""

    id: int
    actor: str
    reason: str
    until: int | None
    over_at: int | None
    node: str
    partition: str
    snapshot: int
    ended_snapshot: int | None
    published_at: int
    ended_at: int | None


class Made(NamedTuple):
    """A publication, in which snapshot its inputs were read, and whether it came out the same as the one that it replaced."""

    partition: str
    snapshot: int
    ended_snapshot: int | None
    published_at: int
    ended_at: int | None
    read: int
    identical: bool


def named(tx: Transaction, from_us: int) -> list[Unsound]:
    """What incidents name that weren't resolved before then."""
    rows = tx.execute(
        "select u.incident_id, u.columns, u.known_at, u.until_at, p.node, p.partition, p.snapshot, p.ended_snapshot, p.published_at,"
        " p.ended_at from incident i join unsound u on u.incident_id = i.id join publication p on p.id = u.publication_id"
        " where i.resolved_at is null or i.resolved_at > ? order by p.id, i.id",
        (from_us,),
    )
    return [Unsound(row[0], tuple(msgspec.json.decode(row[1])), *row[2:]) for row in rows]


def excepted(tx: Transaction, from_us: int, limit: int = 500) -> list[Excepted]:
    """The newest exceptions that became a publication which readers saw since then, newest first."""
    rows = tx.execute(
        "select a.id, a.actor, a.reason, a.until, a.ended_at, p.node, p.partition, p.snapshot, p.ended_snapshot, p.published_at, p.ended_at"
        " from accepted a join publication p on p.id = a.publication_id where p.ended_at is null or p.ended_at > ?"
        " order by a.id desc limit ?",
        (from_us, limit),
    )
    return [Excepted(*row) for row in rows]


def made_since(tx: Transaction, node: str, snapshot: int) -> list[Made]:
    """The publications of a node whose inputs were read in this snapshot or later."""
    rows = tx.execute(
        "select p.partition, p.snapshot, p.ended_snapshot, p.published_at, p.ended_at, a.snapshot_read, p.identical from"
        " publication p join attempt a on a.epoch = p.epoch and a.n = p.n where p.node = ? and p.snapshot >= ? and a.snapshot_read >= ?",
        (node, snapshot, snapshot),
    )
    return [Made(row[0], row[1], row[2], row[3], row[4], row[5], bool(row[6])) for row in rows]
