"""Publications that incidents name as wrong, those that were accepted as exceptions, and what read them."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from headrace.store.database import Transaction
from headrace.store.queries.evidence import LAPSED


class Unsound(NamedTuple):
    """A publication and the incident that names it; `until_at` where it turned out not to cover it. `damaged_at`: it was sound until its
    file was damaged in the lake; then `until_at` is when the file was there again."""

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
    damaged_at: int | None = None


class AcceptedPublication(NamedTuple):
    """A publication that somebody accepted; until when (None: for good), and when the exception was
    taken back or renewed. `incident` is the open one of its lapse."""

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
    incident: int | None = None


class PublicationProvenance(NamedTuple):
    """A publication, in which snapshot its inputs were read, and whether it came out the same as the one that it replaced. `planned`: a
    backfill computed it. It read what the same backfill had staged of its inputs, and was published with them in one snapshot."""

    partition: str
    snapshot: int
    ended_snapshot: int | None
    published_at: int
    ended_at: int | None
    read: int
    identical: bool
    planned: bool = False

    def saw(self, read_from: int, read_until: int) -> bool:
        """Whether an input that was there from one snapshot until another is what it was computed from."""
        if self.planned and self.snapshot in (read_from, read_until):
            return self.snapshot == read_from
        return read_from <= self.read < read_until


SAME_ROWS = (
    "with recursive wrong (incident_id, columns, known_at, until_at, publication_id) as ("
    " select u.incident_id, u.columns, u.known_at, u.until_at, u.publication_id from unsound u"
    " join incident i on i.id = u.incident_id where {which}"
    " union select w.incident_id, w.columns, w.known_at, w.until_at, q.id from wrong w"
    " join incident i on i.id = w.incident_id and i.kind <> 'data_corrupted'"
    " join publication p on p.id = w.publication_id"
    " join publication q on q.node = p.node and q.partition = p.partition and q.content_hash = p.content_hash and q.id ="
    " (select min(x.id) from publication x where x.node = p.node and x.partition = p.partition and x.id > p.id)"
    " where not exists (select 1 from accepted a where a.publication_id = q.id and a.ended_at is null)) "
)
"""What incidents name as wrong, and what replaced it with the same rows: those are as wrong, unless somebody accepted them. Rows that were
damaged in the lake are the exception: the same rows, computed again, are what they should be."""


def named(tx: Transaction, from_us: int) -> list[Unsound]:
    """What incidents name that weren't resolved before then."""
    rows = tx.execute(
        SAME_ROWS.format(which="i.resolved_at is null or i.resolved_at > ?")
        + "select u.incident_id, u.columns, u.known_at, u.until_at, p.node, p.partition, p.snapshot, p.ended_snapshot, p.published_at,"
        " p.ended_at, case when i.kind = 'data_corrupted' then u.known_at end from wrong u join incident i on i.id = u.incident_id"
        " join publication p on p.id = u.publication_id order by p.id, u.incident_id",
        (from_us,),
    )
    return [Unsound(row[0], tuple(msgspec.json.decode(row[1])), *row[2:]) for row in rows]


def excepted(tx: Transaction, from_us: int, limit: int = 500) -> list[AcceptedPublication]:
    """The newest exceptions that became a publication which readers saw since then, newest first; with
    those whose lapse has an open incident, since what was computed from them may still be read."""
    lapsed = _lapsed_incidents(tx)
    rows = tx.execute(
        "select a.id, a.actor, a.reason, a.until, a.ended_at, p.node, p.partition, p.snapshot, p.ended_snapshot, p.published_at, p.ended_at"
        " from accepted a join publication p on p.id = a.publication_id where p.ended_at is null or p.ended_at > ?"
        " or exists (select 1 from evidence e join incident i on i.id = e.incident_id where i.state <> 'resolved'"
        f" and e.id >= '{LAPSED}:' || a.id || ':' and e.id < '{LAPSED}:' || a.id || ';') order by a.id desc limit ?",
        (from_us, limit),
    )
    return [AcceptedPublication(*row)._replace(incident=lapsed.get(row[0])) for row in rows]


def _lapsed_incidents(tx: Transaction) -> dict[int, int]:
    """Exception → the open incident of its lapse."""
    rows = tx.execute(
        "select e.id, e.incident_id from evidence e join incident i on i.id = e.incident_id"
        " where i.state <> 'resolved' and e.id >= :first and e.id < :beyond",
        {"first": f"{LAPSED}:", "beyond": f"{LAPSED};"},
    )
    return {int(row[0].split(":")[1]): int(row[1]) for row in rows}


def made_since(tx: Transaction, node: str, snapshot: int) -> list[PublicationProvenance]:
    """The publications of a node whose inputs were read in this snapshot or later, and those of backfills since then."""
    rows = tx.execute(
        "select p.partition, p.snapshot, p.ended_snapshot, p.published_at, p.ended_at, a.snapshot_read, p.identical, r.plan_id from"
        " publication p join attempt a on a.epoch = p.epoch and a.n = p.n join run r on r.id = a.run_id"
        " where p.node = ? and p.snapshot >= ? and (a.snapshot_read >= ? or r.plan_id is not null)",
        (node, snapshot, snapshot),
    )
    return [PublicationProvenance(row[0], row[1], row[2], row[3], row[4], row[5] or 0, bool(row[6]), row[7] is not None) for row in rows]


def replaced_last(tx: Transaction) -> int:
    """When the newest of what was wrong, by incidents, by exceptions that may lapse or by withdrawals, can
    have been over; microseconds, 0 for never."""
    row = tx.execute(
        "select coalesce(max(over_at), 0) from (select p.ended_at as over_at from unsound u join publication p"
        " on p.id = u.publication_id union all select until_at from unsound"
        " union all select p.ended_at from accepted a join publication p on p.id = a.publication_id where a.until is not null"
        " union all select ended_at from accepted where until is not null union all select max(at) from withdrawal"
        " union all select published_at from publication where id = (select max(id) from publication)"
        " and exists (select 1 from withdrawal)) o"
    ).fetchone()
    return int(row[0])
