"""Exceptions: held or rejected data that somebody has accepted all the same, by whom, why and until when."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from headrace.store.database import Transaction

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


def accept(tx: Transaction, node: str, partition: str, acceptance: Acceptance) -> None:
    """Write an exception down; one that waited for the same partition is over."""
    give_up(tx, node, partition, acceptance.at)
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


def expected(tx: Transaction, node: str, partition: str) -> bool:
    """Whether somebody has accepted what will be made of a partition next."""
    row = tx.execute(
        "select 1 from accepted where node = ? and partition = ? and publication_id is null and ended_at is null limit 1",
        (node, partition),
    ).fetchone()
    return row is not None


def expected_of(tx: Transaction, node: str) -> set[str]:
    """The partitions of a node of which somebody has accepted what will be made of them next."""
    rows = tx.execute("select partition from accepted where node = ? and publication_id is null and ended_at is null", (node,))
    return {str(row[0]) for row in rows}


def in_force(tx: Transaction) -> list[ExceptionRecord]:
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


def nodes_between(tx: Transaction, first: str, last: str) -> set[str]:
    """Whose partitions between two keys (both included) readers see as exceptions."""
    rows = tx.execute(
        "select distinct node from accepted where ended_at is null and publication_id is not null and partition between ? and ?",
        (first, last),
    )
    return {str(node) for (node,) in rows}


def renew(tx: Transaction, before: ExceptionRecord, acceptance: Acceptance) -> None:
    """An exception goes on, from now on as somebody else's word, or for longer."""
    tx.execute("update accepted set ended_at = ? where id = ?", (acceptance.at, before.id))
    accept(tx, before.node, before.partition, acceptance)


def of_partition(tx: Transaction, node: str, partition: str) -> list[ExceptionRecord]:
    """Every exception that was ever made for a partition, newest first."""
    rows = tx.execute(f"select {_COLUMNS} from accepted where node = ? and partition = ? order by id desc", (node, partition))
    return [ExceptionRecord(*row) for row in rows]


def of_usual_names(tx: Transaction, node: str) -> set[str]:
    """The partitions of a source that readers see as exceptions, and whose deliveries had the columns that were expected."""
    rows = tx.execute(
        "select a.partition from accepted a join publication p on p.id = a.publication_id and p.ended_snapshot is null"
        " where a.node = :node and a.ended_at is null and not exists (select 1 from drift d where d.source = a.node"
        " and d.partition = a.partition and d.epoch = p.epoch and d.n = p.n and d.kind in ('added', 'dropped', 'renamed'))",
        {"node": node},
    )
    return {str(key) for (key,) in rows}


def made_of(tx: Transaction, node: str, partition: str, attempt: str) -> str | None:
    """The attempt (`3.17`) that was held or rejected, of the attempt that published the same as an exception; None of any other."""
    epoch, _, n = attempt.partition(".")
    row = tx.execute(
        "select q.epoch, q.n from publication p join accepted a on a.publication_id = p.id join quarantine q on q.id = a.quarantine_id"
        " where p.node = :node and p.partition = :partition and p.epoch = :epoch and p.n = :n order by a.id limit 1",
        {"node": node, "partition": partition, "epoch": int(epoch), "n": int(n)},
    ).fetchone()
    return None if row is None else f"{row[0]}.{row[1]}"


def published(tx: Transaction, rows: Iterable[tuple[str, str, int]]) -> None:
    """(node, partition, publication): the exceptions that waited for these are theirs."""
    if tx.execute("select 1 from accepted where publication_id is null and ended_at is null limit 1").fetchone() is None:
        return
    tx.executemany(
        "update accepted set publication_id = ? where node = ? and partition = ? and publication_id is null and ended_at is null",
        [(publication, node, partition) for node, partition, publication in rows],
    )


def give_up(tx: Transaction, node: str, partition: str, now: int) -> bool:
    """Nothing came of an exception, if one still waits: its data can't be published at all. Whether one did."""
    waited = expected(tx, node, partition)
    tx.execute(
        "update accepted set ended_at = ? where node = ? and partition = ? and publication_id is null and ended_at is null",
        (now, node, partition),
    )
    return waited
