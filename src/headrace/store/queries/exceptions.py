"""Exceptions (accepted held or rejected data), and publications that incidents name as wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import msgspec

from headrace.store.queries.evidence import LAPSED
from headrace.store.transaction import Transaction

# Exceptions with their author, reason and end.

_COLUMNS = "id, node, partition, quarantine_id, publication_id, actor, reason, at, until, ended_at"


class ExceptionRecord(msgspec.Struct, frozen=True):
    """One exception. Times are microseconds of the store's clock.

    Without `publication_id`, its data is still to be recomputed under looser rules; with `ended_at`
    as well, that gave no publication.
    """

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
        """Return whether the exception has lapsed."""
        return self.until is not None and self.until <= now_us


class Acceptance(msgspec.Struct, frozen=True):
    """A new exception."""

    quarantine_id: int
    publication_id: int | None
    actor: str
    reason: str
    at: int
    until: int | None


def accept_exception(tx: Transaction, node: str, partition: str, acceptance: Acceptance) -> None:
    """Insert an exception, and end one that still waits for the same partition."""
    give_up_exception(tx, node, partition, acceptance.at)
    tx.execute(
        "insert into accepted (node, partition, quarantine_id, publication_id, actor, reason, at,"
        " until) values (?, ?, ?, ?, ?, ?, ?, ?)",
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
    """Return whether a partition's next publication is accepted as an exception."""
    row = tx.execute(
        "select 1 from accepted where node = ? and partition = ? and publication_id is null and"
        " ended_at is null limit 1",
        (node, partition),
    ).fetchone()
    return row is not None


def expected_exceptions(tx: Transaction, node: str) -> set[str]:
    """Return a node's partitions whose next publication is accepted as an exception."""
    rows = tx.execute(
        "select partition from accepted where node = ? and publication_id is null and ended_at is"
        " null",
        (node,),
    )
    return {str(row[0]) for row in rows}


def waived_checks(
    tx: Transaction, node: str, partitions: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """Return by partition the checks that failed in data of these partitions that was accepted.

    It is still to be published.
    """
    rows = tx.execute(
        "select distinct a.partition, c.name from accepted a join quarantine q on q.id ="
        " a.quarantine_id join check_result c on c.epoch = q.epoch and c.n = q.n and c.partition ="
        " q.partition and c.outcome = 'failed' where a.node = ? and a.publication_id is null and"
        " a.ended_at is null order by c.name",
        (node,),
    ).fetchall()
    return {key: tuple(name for at, name in rows if at == key) for key in partitions}


def emptied_columns(tx: Transaction, source: str, partitions: Collection[str]) -> tuple[str, ...]:
    """Return the columns that accepted deliveries of these partitions don't have, or not in their
    type, in lower case.

    They are still to be published.
    """
    rows = tx.execute(
        "select distinct lower(d.column_name), a.partition from accepted a join quarantine q on"
        " q.id = a.quarantine_id join drift d on d.epoch = q.epoch and d.n = q.n and d.partition ="
        " q.partition and d.kind in ('dropped', 'renamed', 'type') where a.node = ? and"
        " a.publication_id is null and a.ended_at is null",
        (source,),
    )
    return tuple(sorted({str(name) for name, partition in rows if partition in partitions}))


def rows_were_read(tx: Transaction, source: str, partitions: Collection[str]) -> bool:
    """Return whether the rows of all accepted deliveries of these partitions were read.

    They are still to be published. Of others, no anomaly was known when they were accepted.
    """
    rows = tx.execute(
        "select a.partition from accepted a join quarantine q on q.id = a.quarantine_id where"
        " a.node = ? and a.publication_id is null and a.ended_at is null and not exists (select 1"
        " from metric m where m.epoch = q.epoch and m.n = q.n and m.partition = q.partition)",
        (source,),
    )
    return all(partition not in partitions for (partition,) in rows)


def exceptions_in_force(tx: Transaction) -> list[ExceptionRecord]:
    """Return the exceptions of visible publications, lapsed or not, by node and partition."""
    rows = tx.execute(
        f"select {_COLUMNS} from accepted where ended_at is null and exists (select 1 from"
        " publication p where p.id = accepted.publication_id and p.ended_snapshot is null) order"
        " by node, partition"
    )
    return [ExceptionRecord(*row) for row in rows]


def lapsing_since(tx: Transaction, record: ExceptionRecord) -> int:
    """Return since when an exception has had an end; renewals continue the previous exception."""
    row = tx.execute(
        "select min(at) from accepted where publication_id = :publication and id > (select"
        " coalesce(max(id), 0) from accepted where publication_id = :publication and until is null"
        " and id < :id) and id <= :id",
        {"publication": record.publication_id, "id": record.id},
    ).fetchone()
    return record.at if row[0] is None else int(row[0])


def nodes_with_exceptions(tx: Transaction, first: str, last: str) -> set[str]:
    """Return nodes with visible exceptions from `first` to `last`, both included."""
    rows = tx.execute(
        "select distinct node from accepted where ended_at is null and publication_id is not null"
        " and partition between ? and ?",
        (first, last),
    )
    return {str(node) for (node,) in rows}


def renew_exception(tx: Transaction, before: ExceptionRecord, acceptance: Acceptance) -> None:
    """Renew an exception, by another user or for a longer time."""
    tx.execute("update accepted set ended_at = ? where id = ?", (acceptance.at, before.id))
    accept_exception(tx, before.node, before.partition, acceptance)


def exceptions_of_partition(tx: Transaction, node: str, partition: str) -> list[ExceptionRecord]:
    """Return all exceptions of a partition, newest first."""
    rows = tx.execute(
        f"select {_COLUMNS} from accepted where node = ? and partition = ? order by id desc",
        (node, partition),
    )
    return [ExceptionRecord(*row) for row in rows]


def exceptions_of_usual_names(tx: Transaction, node: str) -> set[str]:
    """Return a source's partitions with visible exceptions and the expected columns."""
    rows = tx.execute(
        "select a.partition from accepted a join publication p on p.id = a.publication_id and"
        " p.ended_snapshot is null where a.node = :node and a.ended_at is null and not exists"
        " (select 1 from drift d where d.source = a.node and d.partition = a.partition and d.epoch"
        " = p.epoch and d.n = p.n and d.kind in ('added', 'dropped', 'renamed'))",
        {"node": node},
    )
    return {str(key) for (key,) in rows}


def accepted_attempt(tx: Transaction, node: str, partition: str, attempt: str) -> str | None:
    """Return the held or rejected attempt (`3.17`) that `attempt` published as an exception."""
    epoch, _, n = attempt.partition(".")
    row = tx.execute(
        "select q.epoch, q.n from publication p join accepted a on a.publication_id = p.id join"
        " quarantine q on q.id = a.quarantine_id where p.node = :node and p.partition = :partition"
        " and p.epoch = :epoch and p.n = :n order by a.id limit 1",
        {"node": node, "partition": partition, "epoch": int(epoch), "n": int(n)},
    ).fetchone()
    return None if row is None else f"{row[0]}.{row[1]}"


def attach_publications(tx: Transaction, rows: Iterable[tuple[str, str, int]]) -> None:
    """Assign (node, partition, publication) to the exceptions that wait for them."""
    tx.executemany(
        "update accepted set publication_id = ? where node = ? and partition = ? and publication_id"
        " is null and ended_at is null",
        [(publication, node, partition) for node, partition, publication in rows],
    )


def give_up_exception(tx: Transaction, node: str, partition: str, now: int) -> bool:
    """End a waiting exception whose data can't be published; return whether there was one."""
    waited = is_exception_expected(tx, node, partition)
    tx.execute(
        "update accepted set ended_at = ? where node = ? and partition = ? and publication_id is"
        " null and ended_at is null",
        (now, node, partition),
    )
    return waited


# Publications that incidents name as wrong, publications that were accepted as exceptions, and
# publications computed from either.


class Unsound(NamedTuple):
    """A publication that an incident names as wrong.

    `until_at` is set once the incident turned out not to affect it. With `damaged_at`, it was sound
    until its file in the lake was damaged; `until_at` is then the time of the file's recovery.
    """

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
    """A publication that was accepted as an exception.

    It has the exception's end (None: never), and the time at which it was revoked or renewed.
    `incident` is the open incident about its lapse.
    """

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
    """A publication with its inputs' snapshot, and whether it is identical to the one it replaced.

    `planned` means that a backfill computed it: it read the inputs that the same backfill had
    staged, and was published with them in one snapshot.
    """

    partition: str
    snapshot: int
    ended_snapshot: int | None
    published_at: int
    ended_at: int | None
    read: int
    identical: bool
    planned: bool

    def saw(self, read_from: int, read_until: int) -> bool:
        """Return whether it was computed from an input visible from one snapshot until another."""
        if self.planned and self.snapshot in (read_from, read_until):
            return self.snapshot == read_from
        return read_from <= self.read < read_until


SAME_ROWS = (
    "with recursive wrong (incident_id, columns, known_at, until_at, publication_id) as ( select"
    " u.incident_id, u.columns, u.known_at, u.until_at, u.publication_id from unsound u join"
    " incident i on i.id = u.incident_id where {which} union select w.incident_id, w.columns,"
    " w.known_at, w.until_at, q.id from wrong w join incident i on i.id = w.incident_id and i.kind"
    " <> 'data_corrupted' join publication p on p.id = w.publication_id join publication q on"
    " q.node = p.node and q.partition = p.partition and q.content_hash = p.content_hash and q.id ="
    " (select min(x.id) from publication x where x.node = p.node and x.partition = p.partition and"
    " x.id > p.id) where not exists (select 1 from accepted a where a.publication_id = q.id and"
    " a.ended_at is null)) "
)
"""Query for publications named as wrong, and those that replaced them with the same rows.

The latter are wrong too, unless they were accepted. Rows damaged in the lake are different: the
same rows, recomputed, are right.
"""


def named_wrong(tx: Transaction, from_us: int) -> list[Unsound]:
    """Return the publications named as wrong by incidents that weren't resolved before a time."""
    rows = tx.execute(
        SAME_ROWS.format(which="i.resolved_at is null or i.resolved_at > ?")
        + "select u.incident_id, u.columns, u.known_at, u.until_at, p.node, p.partition,"
        " p.snapshot, p.ended_snapshot, p.published_at, p.ended_at, case when i.kind ="
        " 'data_corrupted' then u.known_at end from wrong u join incident i on i.id ="
        " u.incident_id join publication p on p.id = u.publication_id order by p.id,"
        " u.incident_id",
        (from_us,),
    )
    return [Unsound(row[0], tuple(msgspec.json.decode(row[1])), *row[2:]) for row in rows]


def accepted_exceptions(
    tx: Transaction, from_us: int, limit: int = 500
) -> list[AcceptedPublication]:
    """Return the newest accepted publications that were visible since a time, newest first.

    They include those whose lapse has an open incident, because data computed from them may still
    be visible.
    """
    lapsed = _lapsed_incidents(tx)
    rows = tx.execute(
        "select a.id, a.actor, a.reason, a.until, a.ended_at, p.node, p.partition, p.snapshot,"
        " p.ended_snapshot, p.published_at, p.ended_at from accepted a join publication p on p.id"
        " = a.publication_id where p.ended_at is null or p.ended_at > ? or exists (select 1 from"
        " evidence e join incident i on i.id = e.incident_id where i.state <> 'resolved' and e.id"
        f" >= '{LAPSED}:' || a.id || ':' and e.id < '{LAPSED}:' || a.id || ';') order by a.id desc"
        " limit ?",
        (from_us, limit),
    )
    return [AcceptedPublication(*row)._replace(incident=lapsed.get(row[0])) for row in rows]


def _lapsed_incidents(tx: Transaction) -> dict[int, int]:
    """Return the open incidents about lapses, by exception."""
    rows = tx.execute(
        "select e.id, e.incident_id from evidence e join incident i on i.id = e.incident_id"
        " where i.state <> 'resolved' and e.id >= :first and e.id < :beyond",
        {"first": f"{LAPSED}:", "beyond": f"{LAPSED};"},
    )
    return {int(row[0].split(":")[1]): int(row[1]) for row in rows}


def computed_since(tx: Transaction, node: str, snapshot: int) -> list[PublicationProvenance]:
    """Return publications with inputs read since this snapshot, and later ones of backfills."""
    rows = tx.execute(
        "select p.partition, p.snapshot, p.ended_snapshot, p.published_at, p.ended_at,"
        " a.snapshot_read, p.identical, r.plan_id from publication p join attempt a on a.epoch ="
        " p.epoch and a.n = p.n join run r on r.id = a.run_id where p.node = ? and p.snapshot >= ?"
        " and (a.snapshot_read >= ? or r.plan_id is not null)",
        (node, snapshot, snapshot),
    )
    return [
        PublicationProvenance(
            row[0], row[1], row[2], row[3], row[4], row[5] or 0, bool(row[6]), row[7] is not None
        )
        for row in rows
    ]


def replaced_last(tx: Transaction) -> int:
    """Return the latest time at which wrong data may have been replaced, in microseconds; or 0.

    Data is wrong by incidents, by exceptions that may lapse, or by withdrawals.
    """
    row = tx.execute(
        "select coalesce(max(over_at), 0) from (select p.ended_at as over_at from unsound u join"
        " publication p on p.id = u.publication_id union all select until_at from unsound union all"
        " select p.ended_at from accepted a join publication p on p.id = a.publication_id where"
        " a.until is not null union all select ended_at from accepted where until is not null union"
        " all select max(at) from withdrawal union all select published_at from publication where"
        " id = (select max(id) from publication) and exists (select 1 from withdrawal)) o"
    ).fetchone()
    return int(row[0])
