"""Queries for the graph as it stood at a past time.

Attempts of backfills count once they are published: until then they leave production as it was.
No query reads rows of much earlier times than it is asked about.
"""

from __future__ import annotations

from typing import NamedTuple

from headrace.model.intervals import local_date
from headrace.store.transaction import Transaction


class PastAttempt(NamedTuple):
    """An attempt at a node. Times are microseconds; `ended_at` None: it is still running.

    For an attempt of a backfill `ended_at` is when it was published.
    """

    node: str
    epoch: int
    n: int
    state: str
    started_at: int | None
    ended_at: int | None

    @property
    def key(self) -> tuple[int, int]:
        """Attempts in the order in which they were started."""
        return self.epoch, self.n


_COLUMNS = "a.node, a.epoch, a.n, a.state, a.started_at"
_FROM = "from attempt a left join run r on r.id = a.run_id"
_ENDED = "case when r.plan_id is null then a.finished_at else a.published_at end"


def version_at(tx: Transaction, at_us: int) -> int | None:
    """Return the number of the version in force at a time; None before the first apply."""
    row = tx.execute(
        "select id from version where applied_at <= :at order by id desc limit 1", {"at": at_us}
    ).fetchone()
    return None if row is None else int(row[0])


def versions_between(
    tx: Transaction, from_us: int, to_us: int, limit: int
) -> list[tuple[int, int]]:
    """Return (number, µs of apply) of the newest versions applied after `from_us`, oldest first."""
    rows = tx.execute(
        "select id, applied_at from version where applied_at > :from and applied_at <= :to order by"
        " id desc limit :limit",
        {"from": from_us, "to": to_us, "limit": limit},
    ).fetchall()
    return [(int(number), int(at)) for number, at in reversed(rows)]


def last_ended(tx: Transaction, node: str, at_us: int) -> PastAttempt | None:
    """Return the newest attempt at a node that had ended by a time, or None.

    Reads the node's attempts from the newest back to that one. A held or rejected attempt that was
    accepted by then counts as published.
    """
    row = tx.execute(
        f"select {_COLUMNS}, {_ENDED} {_FROM} where a.node = :node and {_ENDED} <= :at order by"
        " a.epoch desc, a.n desc limit 1",
        {"node": node, "at": at_us},
    ).fetchone()
    if row is None:
        return None
    attempt = PastAttempt(*row)
    if attempt.state in ("held", "rejected") and _published_by(tx, attempt, at_us):
        return attempt._replace(state="published")
    return attempt


def _published_by(tx: Transaction, attempt: PastAttempt, at_us: int) -> bool:
    row = tx.execute(
        "select 1 from publication where epoch = :epoch and n = :n and published_at <= :at limit 1",
        {"epoch": attempt.epoch, "n": attempt.n, "at": at_us},
    ).fetchone()
    return row is not None


def running_at(tx: Transaction, at_us: int) -> list[PastAttempt]:
    """Return the attempts outside backfills that were running at a time.

    Reads the attempts that have ended since then.
    """
    rows = tx.execute(
        f"select {_COLUMNS}, a.finished_at {_FROM} where a.started_at <= :at and r.plan_id is null"
        f" and a.finished_at > :at union all select {_COLUMNS}, a.finished_at {_FROM} where"
        " a.state in ('queued', 'running') and a.started_at <= :at and r.plan_id is null",
        {"at": at_us},
    )
    return [PastAttempt(*row) for row in rows]


def ended_between(tx: Transaction, from_us: int, to_us: int, limit: int) -> list[PastAttempt]:
    """Return the newest attempts outside backfills that ended after `from_us` and by `to_us`.

    Newest first.
    """
    rows = tx.execute(
        f"select {_COLUMNS}, a.finished_at {_FROM} where a.finished_at > :from and a.finished_at <="
        " :to and r.plan_id is null order by a.finished_at desc limit :limit",
        {"from": from_us, "to": to_us, "limit": limit},
    )
    return [PastAttempt(*row) for row in rows]


def nth_newest_end(tx: Transaction, from_us: int, to_us: int, n: int) -> int | None:
    """Return when the attempt ended after which exactly `n` others did, in the same window.

    None if no more than `n` attempts ended in it.
    """
    row = tx.execute(
        "select finished_at from attempt where finished_at > :from and finished_at <= :to order by"
        " finished_at desc limit 1 offset :n",
        {"from": from_us, "to": to_us, "n": n},
    ).fetchone()
    return None if row is None else int(row[0])


def published_later(tx: Transaction, from_us: int, to_us: int, limit: int) -> list[PastAttempt]:
    """Return the attempts whose data was published after `from_us` by a later decision.

    Those are accepted data and promoted backfills; `ended_at` is when they were published. Newest
    first.
    """
    rows = tx.execute(
        f"select {_COLUMNS}, p.at from (select epoch, n, min(published_at) as at from publication"
        " where published_at > :from and published_at <= :to group by epoch, n) p join attempt a on"
        " a.epoch = p.epoch and a.n = p.n left join run r on r.id = a.run_id where r.plan_id is not"
        " null or a.state in ('held', 'rejected') order by p.at desc limit :limit",
        {"from": from_us, "to": to_us, "limit": limit},
    )
    return [PastAttempt(*row)._replace(state="published", started_at=None) for row in rows]


def is_removed(tx: Transaction, node: str, from_us: int | None, to_us: int) -> bool:
    """Return whether retention has deleted attempts at a node that ended between two times.

    `from_us` None: at any time before `to_us`. Precise to the day in UTC.
    """
    first = "" if from_us is None else local_date(from_us, "UTC").isoformat()
    row = tx.execute(
        "select 1 from attempt_day where node = :node and day >= :first and day <= :last limit 1",
        {"node": node, "first": first, "last": local_date(to_us, "UTC").isoformat()},
    ).fetchone()
    return row is not None


def data_through(tx: Transaction, node: str, at_us: int) -> str | None:
    """Return the newest partition of a node that readers saw at a time."""
    row = tx.execute(
        "select partition from publication where node = :node and published_at <= :at and (ended_at"
        " is null or ended_at > :at) order by partition desc limit 1",
        {"node": node, "at": at_us},
    ).fetchone()
    return None if row is None else str(row[0])


def incidents_at(tx: Transaction, at_us: int) -> list[tuple[int, str]]:
    """Return (number, node) of the incidents open at a time, with the nodes affected by then."""
    rows = tx.execute(
        "with open_then as (select id, node from incident where state <> 'resolved' and opened_at"
        " <= :at union all select id, node from incident where state = 'resolved' and resolved_at >"
        " :at and opened_at <= :at) select id, node from open_then union select s.incident_id,"
        " s.node from symptom s join open_then o on o.id = s.incident_id where s.at <= :at order by"
        " 1",
        {"at": at_us},
    )
    return [(int(number), str(node)) for number, node in rows]
