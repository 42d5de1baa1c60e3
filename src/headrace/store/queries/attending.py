"""When the leader last looked after the lake, and last freed space; and whether nothing works for it, or the lake can't be written."""

from __future__ import annotations

import json
from typing import NamedTuple

from headrace.store.database import Transaction

_BROKEN = "workers_broken"
_CLOSED = "lake_closed"


class OngoingProblem(NamedTuple):
    """No worker starts, or the lake can't be written: since when, when that was seen last, both in microseconds, and why."""

    since: int
    seen: int
    why: str


def broken(tx: Transaction) -> OngoingProblem | None:
    """Why nothing works for the leader; None where something has worked since."""
    return _kept(tx, _BROKEN)


def nothing_works(tx: Transaction, why: str, now: int) -> None:
    """No worker starts."""
    _keep(tx, _BROKEN, why, now)


def something_works(tx: Transaction) -> None:
    """A worker has answered."""
    tx.execute("delete from meta where key = ?", (_BROKEN,))


def closed(tx: Transaction) -> OngoingProblem | None:
    """Why the lake's folders can't be written; None where the last leader could."""
    return _kept(tx, _CLOSED)


def lake_closed(tx: Transaction, why: str, now: int) -> None:
    """A leader found that the lake's folders can't be written."""
    _keep(tx, _CLOSED, why, now)


def lake_open(tx: Transaction) -> None:
    """A leader found that they can be."""
    tx.execute("delete from meta where key = ?", (_CLOSED,))


def _kept(tx: Transaction, key: str) -> OngoingProblem | None:
    row = tx.execute("select value from meta where key = ?", (key,)).fetchone()
    return None if row is None else OngoingProblem(*json.loads(row[0]))


def _keep(tx: Transaction, key: str, why: str, now: int) -> None:
    before = _kept(tx, key)
    value = json.dumps([now if before is None else before.since, now, why])
    tx.execute("insert into meta (key, value) values (?, ?) on conflict (key) do update set value = excluded.value", (key, value))


def maintained_at(tx: Transaction) -> int | None:
    """When the lake was last looked after."""
    row = tx.execute("select value from meta where key = 'upkeep_at'").fetchone()
    return int(row[0]) if row else None


def maintenance_done(tx: Transaction, now: int) -> None:
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
