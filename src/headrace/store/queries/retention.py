"""Retention: finds and deletes history and stored bytes that aren't needed any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from headrace.store.queries import availability
from headrace.store.transaction import Transaction

# Deletion of old history that no remaining row needs.
#
# An old attempt is deleted with its check results, profiles and publications once none of its
# publications is visible. Of each partition these publications stay: the visible one, the first
# one (when data became readable), and the newest one that wasn't identical to its predecessor. A
# resolved incident is deleted with its evidence, timeline and notifications once the publications
# that it names as wrong are deleted; otherwise reports would count wrong data as served. The last
# incident before one that stays, stays too. Open rows of any kind stay at any age. The audit trail,
# obligations and partitions are never deleted.

_GOING = (
    "p.ended_at < :before"
    " and exists (select 1 from publication f where f.node = p.node and f.partition = p.partition"
    " and f.published_at <= p.published_at and f.id < p.id)"
    " and exists (select 1 from publication l where l.node = p.node and l.partition = p.partition"
    " and l.published_at >= p.published_at and l.id > p.id and l.identical = 0)"
)
"""Condition on a publication `p` that may be deleted."""
_ATTEMPTS = (
    "select a.epoch, a.n, a.node, a.state, a.started_at, a.finished_at from attempt a where"
    " (a.epoch > :epoch or (a.epoch = :epoch and a.n > :n)) and a.queued_at < :before and"
    " a.finished_at < :before and a.state not in ('queued', 'running') and not exists (select 1"
    " from publication p where p.epoch = a.epoch and p.n = a.n and not (p.ended_at is not null and"
    f" {_GOING})) and not exists (select 1 from quarantine q where q.state in ('held', 'rejected')"
    " and q.node = a.node and q.epoch = a.epoch and q.n = a.n) and not exists (select 1 from"
    " overlay o where o.epoch = a.epoch and o.n = a.n) order by a.epoch, a.n limit :limit"
)
_BY_ID = {
    "run": (
        "select r.id from run r where r.id > :after and r.finished_at < :before and r.state <>"
        " 'running' and not exists (select 1 from attempt a where a.run_id = r.id) order by r.id"
        " limit :limit"
    ),
    "delivery": (
        "select d.id from delivery d where d.id > :after and d.observed_at < :before and d.state <>"
        " 'waiting' and exists (select 1 from delivery n where n.source = d.source and n.path ="
        " d.path and n.id > d.id) and exists (select 1 from delivery n where n.source = d.source"
        " and n.partition = d.partition and n.id > d.id) and not exists (select 1 from attempt a"
        " where a.delivery_id = d.id) and not exists (select 1 from publication p where p.node ="
        " d.source and p.partition = d.partition and p.delivery_id = d.id) and not exists (select 1"
        " from quarantine q where q.node = d.source and q.partition = d.partition and q.delivery_id"
        " = d.id) order by d.id limit :limit"
    ),
    "quarantine": (
        "select q.id from quarantine q where q.id > :after and q.at < :before"
        " and q.state in ('released', 'dropped', 'superseded') order by q.id limit :limit"
    ),
    "request": (
        "select r.id from request r where r.id > :after and r.finished_at < :before and r.state in"
        " ('done', 'failed') order by r.id limit :limit"
    ),
    "incident": (
        "select i.id from incident i where i.id > :after and i.state = 'resolved' and i.resolved_at"
        " < :before"
        " and i.id < (select max(id) from incident)"  # so that its number isn't reused
        " and not exists (select 1 from unsound u join publication p on p.id = u.publication_id"
        " where u.incident_id = i.id)"
        " and not exists (select 1 from evidence e where e.incident_id = i.id and e.ended_at is"
        " null)"
        " and not exists (select 1 from incident n where n.recurrence_of = i.id and (n.state <>"
        " 'resolved' or n.resolved_at >= :before))"
        " order by i.id limit :limit"
    ),
    "journal": (
        "select j.seq from journal j where j.seq > :after and j.epoch in (select epoch from journal"
        " group by epoch having max(at) < :before) order by j.seq limit :limit"
    ),
}
"""Query for deletable rows, by table.

The journal is deleted per leader, because a part of it can't be replayed.
"""
KINDS = ("quarantine", "delivery", "incident", "run", "request", "journal")
"""Deleted after the attempts, which refer to runs and deliveries, in this order."""
_OF_INCIDENT = (
    "notice",
    "evidence",
    "incident_partition",
    "symptom",
    "incident_event",
    "incident_said",
    "unsound",
)
_KEYS = {"journal": "seq"}


class RemovableAttempt(NamedTuple):
    """An attempt that may be deleted. Times are microseconds."""

    epoch: int
    n: int
    node: str
    state: str
    started_at: int | None
    finished_at: int


def removable_attempts(
    tx: Transaction, before: int, after: tuple[int, int], limit: int
) -> list[RemovableAttempt]:
    """Return deletable attempts after `after` (epoch, n), oldest first."""
    parameters = {"before": before, "epoch": after[0], "n": after[1], "limit": limit}
    return [RemovableAttempt(*row) for row in tx.execute(_ATTEMPTS, parameters).fetchall()]


def evidence_of(tx: Transaction, going: Sequence[RemovableAttempt]) -> list[tuple[object, ...]]:
    """Return the full rows of attempts, with their publications and check results."""
    results: list[tuple[object, ...]] = []
    for table in ("attempt", "publication", "check_result"):
        for attempt in going:
            results += tx.execute(
                f"select * from {table} where epoch = ? and n = ?", (attempt.epoch, attempt.n)
            ).fetchall()
    return results


def remove_attempts(tx: Transaction, going: Sequence[RemovableAttempt]) -> None:
    """Delete attempts with all their rows."""
    ids = [(attempt.epoch, attempt.n) for attempt in going]
    for attempt in going:
        availability.keep_run_outcome(tx, attempt.epoch, attempt.n)
    for table in ("check_result", "profile", "metric", "withheld", "publication", "attempt"):
        tx.executemany(f"delete from {table} where epoch = ? and n = ?", ids)


def summarise_attempts(tx: Transaction, days: Sequence[tuple[str, str, str, int, int]]) -> None:
    """Add (node, day, state, count, duration in microseconds) to the totals of deleted attempts."""
    tx.executemany(
        "insert into attempt_day (node, day, state, attempts, took_us) values (?, ?, ?, ?, ?) on"
        " conflict (node, day, state) do update set attempts = attempt_day.attempts +"
        " excluded.attempts, took_us = attempt_day.took_us + excluded.took_us",
        days,
    )


def removable_ids(tx: Transaction, kind: str, before: int, after: int, limit: int) -> list[int]:
    """Return the numbers of deletable rows of one of KINDS, above `after`."""
    rows = tx.execute(_BY_ID[kind], {"before": before, "after": after, "limit": limit}).fetchall()
    return [number for (number,) in rows]


def remove_rows(tx: Transaction, kind: str, numbers: Sequence[int]) -> None:
    """Delete rows of one of KINDS. Daily totals of runs are kept."""
    for number in numbers if kind == "run" else ():
        availability.summarise_run(tx, number)
    if kind == "incident":
        _alone(tx, numbers)
    tx.executemany(
        f"delete from {kind} where {_KEYS.get(kind, 'id')} = ?", [(number,) for number in numbers]
    )


def _alone(tx: Transaction, incidents: Sequence[int]) -> None:
    """Delete all rows of incidents; later recurrences then become the first of their kind."""
    parameters = [(number,) for number in incidents]
    for table in _OF_INCIDENT:
        tx.executemany(f"delete from {table} where incident_id = ?", parameters)
    tx.executemany("update incident set recurrence_of = null where recurrence_of = ?", parameters)


# Bytes outside of the lake that the state still needs.


class RetainedDelivery(NamedTuple):
    """A delivery with stored bytes."""

    source: str
    partition: str
    sha256: str
    arrived_at: int


def retained_deliveries(tx: Transaction) -> list[RetainedDelivery]:
    """Return all deliveries whose bytes were stored by content, with times in microseconds."""
    return [
        RetainedDelivery(*row)
        for row in tx.execute(
            "select source, partition, sha256, arrived_at from delivery where sha256 is not null"
        ).fetchall()
    ]


def quarantined_paths(tx: Transaction) -> set[str]:
    """Return the paths of data in quarantine, relative to the data folder."""
    rows = tx.execute(
        "select path from quarantine where state in ('held', 'rejected') and path is not null"
    ).fetchall()
    return {path for (path,) in rows}


def published_files(tx: Transaction, ended_after_us: int) -> dict[str, Mapping[str, Any]]:
    """Return the files of publications without a table, as `size` and `sha256` by path.

    The publications are visible, or ended after a time. Paths are relative to the data folder.
    """
    rows = tx.execute(
        "select manifest from publication where manifest is not null and (ended_snapshot is null or"
        " ended_at > ?)",
        (ended_after_us,),
    ).fetchall()
    # manifests of exports list their targets too, which Headrace doesn't manage
    return {
        str(entry["path"]): entry
        for (text,) in rows
        for entry in msgspec.json.decode(text)
        if "path" in entry
    }


def digests_in_use(tx: Transaction) -> set[str]:
    """Return the versions whose code may run: the newest, and those of unfinished attempts."""
    rows = tx.execute(
        "select hash from version where id = (select max(id) from version) or id in"
        " (select version from attempt where state in ('queued', 'running'))"
    ).fetchall()
    return {digest for (digest,) in rows}


def expiring_snapshots(tx: Transaction, before: str) -> int:
    """Return the number of lake snapshots replaced before a time, which is text of the catalog.

    The snapshot that was visible at that time is kept.
    """
    row = tx.execute(
        "select count(*) from ducklake_snapshot where snapshot_id < "
        "(select max(snapshot_id) from ducklake_snapshot where snapshot_time <= :before)",
        {"before": before},
    ).fetchone()
    return int(row[0])
