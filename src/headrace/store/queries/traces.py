"""Runs and attempts in the order in which they ended, for those who collect traces."""

from __future__ import annotations

from typing import NamedTuple

from headrace.store.database import Transaction
from headrace.store.queries.ledger import ATTEMPT, AttemptRecord


class Ran(NamedTuple):
    """A run. Times are microseconds of the store's clock; `finished_at` is None while it goes on."""

    id: int
    kind: str
    state: str
    started_at: int
    finished_at: int | None


def newest(tx: Transaction) -> int:
    """When the newest attempt ended; 0 for none."""
    return int(tx.execute("select coalesce(max(finished_at), 0) from attempt where finished_at is not null").fetchone()[0])


def ended(tx: Transaction, epoch: int, after: tuple[int, int], limit: int) -> list[tuple[str, AttemptRecord]]:
    """The next attempts of a leader that have ended after a time and number, each with its node, in the order of their ends."""
    rows = tx.execute(
        f"select a.node, {ATTEMPT.removeprefix('select')} a.finished_at >= :at and (a.finished_at > :at or a.n > :n) and a.epoch = :epoch"
        " order by a.finished_at, a.epoch, a.n limit :limit",
        {"epoch": epoch, "at": after[0], "n": after[1], "limit": limit},
    )
    return [(row[0], AttemptRecord(*row[1:])) for row in rows]


def run(tx: Transaction, number: int) -> Ran | None:
    """One run, whether it goes on or not."""
    row = tx.execute("select id, kind, state, started_at, finished_at from run where id = :id", {"id": number}).fetchone()
    return None if row is None else Ran(*row)
