"""Exceptions: held or rejected data that somebody accepted; and publications that are named as wrong."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from headrace.store.queries.evidence import LAPSED
from headrace.store.transaction import Transaction

# Who accepted the data, why and until when.

_COLUMNS = "id, node, partition, quarantine_id, publication_id, actor, reason, at, until, ended_at"


class ExceptionRecord(msgspec.Struct, frozen=True):
    """One exception; times in microseconds of the store's clock. Without `publication_id` its data is to be made again, by looser
    rules; with `ended_at` nothing came of that."""

    id: int
    node: str
    partition: str
    quarantine_id: int
    publication_id: int | None
    actor: str
    reason: str
    at: int
    until: int | None
    ended_at: int | None

    def lapsed(self, now_us: int) -> bool:
        """Whether its time is over."""
        return self.until is not None and self.until <= now_us


class Acceptance(msgspec.Struct, frozen=True):
    """An exception as it is made."""

    quarantine_id: int
    publication_id: int | None
    actor: str
    reason: str
    at: int
    until: int | None


def accept_exception(tx: Transaction, node: str, partition: str, acceptance: Acceptance) -> None:
    """Write an exception down; one that waited for the same partition is over."""
    give_up_exception(tx, node, partition, acceptance.at)
    tx.execute(
        "insert into accepted (node, partition, quarantine_id, publication_id, actor, reason, at, until) values (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            node,
            partition,
            acceptance.quarantine_id,
            acceptance.publication_id,
            acceptance.actor,
            acceptance.reason,
            acceptance.at,
            acceptance.until,
        ),
    )


def is_exception_expected(tx: Transaction, node: str, partition: str) -> bool:
    """Whether somebody has accepted what will be made of a partition next."""
    row = tx.execute(
        "select 1 from accepted where node = ? and partition = ? and publication_id is null and ended_at is null limit 1",
        (node, partition),
    ).fetchone()
    return row is not None


def expected_exceptions(tx: Transaction, node: str) -> set[str]:
    """The partitions of a node of which somebody has accepted what will be made of them next."""
    rows = tx.execute("select partition from accepted where node = ? and publication_id is null and ended_at is null", (node,))
    return {str(row[0]) for row in rows}


def exceptions_in_force(tx: Transaction) -> list[ExceptionRecord]:
    """The exceptions that readers see, whether their time is over or not, by node and partition."""
    rows = tx.execute(
        f"select {_COLUMNS} from accepted where ended_at is null and exists (select 1 from publication p"
        " where p.id = accepted.publication_id and p.ended_snapshot is null) order by node, partition"
    )
    return [ExceptionRecord(*row) for row in rows]


def lapsing_since(tx: Transaction, record: ExceptionRecord) -> int:
    """Since when an exception is one that will lapse: renewals of it go on with the one before."""
    row = tx.execute(
        "select min(at) from accepted where publication_id = :publication and id > (select coalesce(max(id), 0) from accepted"
        " where publication_id = :publication and until is null and id < :id) and id <= :id",
        {"publication": record.publication_id, "id": record.id},
    ).fetchone()
    return record.at if row[0] is None else int(row[0])


def nodes_with_exceptions(tx: Transaction, first: str, last: str) -> set[str]:
    """Whose partitions between two keys (both included) readers see as exceptions."""
    rows = tx.execute(
        "select distinct node from accepted where ended_at is null and publication_id is not null and partition between ? and ?",
        (first, last),
    )
    return {str(node) for (node,) in rows}


def renew_exception(tx: Transaction, before: ExceptionRecord, acceptance: Acceptance) -> None:
    """An exception goes on, from now on as somebody else's word, or for longer."""
    tx.execute("update accepted set ended_at = ? where id = ?", (acceptance.at, before.id))
    accept_exception(tx, before.node, before.partition, acceptance)


def exceptions_of_partition(tx: Transaction, node: str, partition: str) -> list[ExceptionRecord]:
    """Every exception that was ever made for a partition, newest first."""
    rows = tx.execute(f"select {_COLUMNS} from accepted where node = ? and partition = ? order by id desc", (node, partition))
    return [ExceptionRecord(*row) for row in rows]


def exceptions_of_usual_names(tx: Transaction, node: str) -> set[str]:
    """The partitions of a source that readers see as exceptions, and whose deliveries had the columns that were expected."""
    rows = tx.execute(
        "select a.partition from accepted a join publication p on p.id = a.publication_id and p.ended_snapshot is null"
        " where a.node = :node and a.ended_at is null and not exists (select 1 from drift d where d.source = a.node"
        " and d.partition = a.partition and d.epoch = p.epoch and d.n = p.n and d.kind in ('added', 'dropped', 'renamed'))",
        {"node": node},
    )
    return {str(key) for (key,) in rows}


def accepted_attempt(tx: Transaction, node: str, partition: str, attempt: str) -> str | None:
    """The attempt (`3.17`) that was held or rejected, of the attempt that published the same as an exception; None of any other."""
    epoch, _, n = attempt.partition(".")
    row = tx.execute(
        "select q.epoch, q.n from publication p join accepted a on a.publication_id = p.id join quarantine q on q.id = a.quarantine_id"
        " where p.node = :node and p.partition = :partition and p.epoch = :epoch and p.n = :n order by a.id limit 1",
        {"node": node, "partition": partition, "epoch": int(epoch), "n": int(n)},
    ).fetchone()
    return None if row is None else f"{row[0]}.{row[1]}"


def attach_publications(tx: Transaction, rows: Iterable[tuple[str, str, int]]) -> None:
    """(node, partition, publication): the exceptions that waited for these are theirs."""
    if tx.execute("select 1 from accepted where publication_id is null and ended_at is null limit 1").fetchone() is None:
        return
    tx.executemany(
        "update accepted set publication_id = ? where node = ? and partition = ? and publication_id is null and ended_at is null",
        [(publication, node, partition) for node, partition, publication in rows],
    )


def give_up_exception(tx: Transaction, node: str, partition: str, now: int) -> bool:
    """Nothing came of an exception, if one still waits: its data can't be published at all. Whether one did."""
    waited = is_exception_expected(tx, node, partition)
    tx.execute(
        "update accepted set ended_at = ? where node = ? and partition = ? and publication_id is null and ended_at is null",
        (now, node, partition),
    )
    return waited


# Publications that incidents name as wrong, publications that were accepted as exceptions, and
# the publications that were computed from either.


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


def named_wrong(tx: Transaction, from_us: int) -> list[Unsound]:
    """What incidents name that weren't resolved before then."""
    rows = tx.execute(
        SAME_ROWS.format(which="i.resolved_at is null or i.resolved_at > ?")
        + "select u.incident_id, u.columns, u.known_at, u.until_at, p.node, p.partition, p.snapshot, p.ended_snapshot, p.published_at,"
        " p.ended_at, case when i.kind = 'data_corrupted' then u.known_at end from wrong u join incident i on i.id = u.incident_id"
        " join publication p on p.id = u.publication_id order by p.id, u.incident_id",
        (from_us,),
    )
    return [Unsound(row[0], tuple(msgspec.json.decode(row[1])), *row[2:]) for row in rows]


def accepted_exceptions(tx: Transaction, from_us: int, limit: int = 500) -> list[AcceptedPublication]:
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


def computed_since(tx: Transaction, node: str, snapshot: int) -> list[PublicationProvenance]:
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
