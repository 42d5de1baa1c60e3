"""How deliveries differed from what was expected of them, and what is odd about deliveries and partitions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from headrace.store.database import Transaction

_DRIFT = "source, partition, delivery_id, epoch, n, kind, column_name, to_name, score, evidence, policy, used_by, at, measured"
_FACT = "node, partition, epoch, n, delivery_id, kind, column_name, severity, expected, observed, strength, detail, at"

UNUSUAL_KINDS = ("stale_data", "duplicate_rows", "volume_anomaly", "null_spike", "distribution_shift")
"""Kinds of facts about figures."""
ROW_KINDS = ("stale_data", "duplicate_rows", "volume_anomaly")
"""Those of them that are about rows."""
_UNUSUAL = (
    "fact f join publication p on p.epoch = f.epoch and p.n = f.n and p.partition = f.partition and p.ended_snapshot is null"
    " where f.severity = 'warn' and substr(f.detail, 1, 6) <> 'check '"
    f" and f.kind in {UNUSUAL_KINDS!r}"
)
"""Facts about figures that readers see: not those of checks, nor of schemas."""
AFTER_ALL = "~"
"""Sorts after whatever a partition's key goes on with."""
FACTS_RECENT = 500
"""So many of the newest facts are looked through for what readers see now."""


class DriftRow(msgspec.Struct, frozen=True, gc=False):
    """One change of one delivery. `evidence` and `used_by` are JSON lists, `score` a decimal; `at` is in microseconds."""

    source: str
    partition: str
    delivery_id: int | None
    epoch: int
    n: int
    kind: str
    column: str
    to: str | None
    score: str | None
    evidence: str
    policy: str
    used_by: str
    at: int
    measured: str | None = None
    """JSON of what a rename was decided by."""


class FactRow(msgspec.Struct, frozen=True, gc=False):
    """One thing that is odd about a partition. `strength` is a decimal, in nats; `at` is in microseconds."""

    node: str
    partition: str
    epoch: int
    n: int
    delivery_id: int | None
    kind: str
    column: str
    severity: str
    expected: str
    observed: str
    strength: str
    detail: str
    at: int


def write_drift(tx: Transaction, rows: Iterable[DriftRow]) -> None:
    """Keep changes of deliveries."""
    tx.executemany(f"insert into drift ({_DRIFT}) values ({_marks(DriftRow)})", [msgspec.structs.astuple(row) for row in rows])


def write_facts(tx: Transaction, rows: Iterable[FactRow]) -> None:
    """Keep what is odd."""
    tx.executemany(f"insert into fact ({_FACT}) values ({_marks(FactRow)})", [msgspec.structs.astuple(row) for row in rows])


def newest_drift(tx: Transaction, source: str, partition: str | None = None) -> list[DriftRow]:
    """The changes of a source's newest delivery that had any; of one partition, where that is named."""
    where, given = ("source = ? and partition = ?", (source, partition)) if partition is not None else ("source = ?", (source,))
    newest = f"select epoch, n from drift where {where} order by id desc limit 1"
    row = tx.execute(newest, given).fetchone()
    if row is None:
        return []
    results = tx.execute(f"select {_DRIFT} from drift where {where} and epoch = ? and n = ? order by id", (*given, *row)).fetchall()
    return [DriftRow(*item) for item in results]


def renames_wait(tx: Transaction, source: str, partition: str) -> bool:
    """Whether a delivery waits for somebody to accept what its columns are called now. One that was dropped, or that another one
    has replaced, doesn't."""
    newest = "select max(id) from drift where source = :source and partition = :partition"
    row = tx.execute(
        "select 1 from drift d, drift last where d.source = :source and d.partition = :partition and d.kind = 'renamed'"
        f" and d.policy = 'block' and d.accepted_at is null and last.id = ({newest}) and d.epoch = last.epoch and d.n = last.n"
        " and exists (select 1 from quarantine q where q.node = d.source and q.partition = d.partition and q.epoch = d.epoch"
        " and q.n = d.n and q.state in ('held', 'rejected')) limit 1",
        {"source": source, "partition": partition},
    ).fetchone()
    return row is not None


def renames_published(tx: Transaction, source: str, partition: str) -> bool:
    """Whether readers see a delivery without values of columns of which it is proposed what they are called now."""
    row = tx.execute(
        "select 1 from drift d join publication p on p.node = d.source and p.partition = d.partition and p.epoch = d.epoch and p.n = d.n"
        " where d.source = :source and d.partition = :partition and d.kind = 'renamed' and d.policy = 'warn' and d.accepted_at is null"
        " and p.ended_snapshot is null limit 1",
        {"source": source, "partition": partition},
    ).fetchone()
    return row is not None


def accept(tx: Transaction, source: str, partitions: Iterable[str], columns: Iterable[str], *, by: str, now: int) -> None:
    """Somebody accepted what was proposed for these columns of these partitions."""
    wanted = list(columns)
    tx.executemany(
        "update drift set accepted_at = ?, accepted_by = ? where source = ? and partition = ? and column_name = ? and accepted_at is null",
        [(now, by, source, key, column) for key in partitions for column in wanted],
    )


def facts_of(tx: Transaction, node: str, partition: str) -> list[FactRow]:
    """What is odd about a partition, of all its attempts, oldest first."""
    rows = tx.execute(f"select {_FACT} from fact where node = ? and partition = ? order by id", (node, partition)).fetchall()
    return [FactRow(*row) for row in rows]


def facts(tx: Transaction, ids: Sequence[int]) -> list[FactRow]:
    """These facts, oldest first."""
    marks = ", ".join("?" * len(ids))
    rows = tx.execute(f"select {_FACT} from fact where id in ({marks}) order by id", tuple(ids)).fetchall() if ids else []
    return [FactRow(*row) for row in rows]


def _marks(kind: type[Any]) -> str:
    return ", ".join("?" * len(kind.__struct_fields__))


def unusual(tx: Transaction) -> list[tuple[str, str, str, str, float, int]]:
    """(node, partition, column, what, strength, when it was published) of the figures unlike the history that readers see, among the
    newest facts; the least probable of each column. What a check warned of is said by the check."""
    sql = (
        "select f.node, f.partition, f.column_name, f.kind, f.observed, f.expected, f.strength, p.published_at"
        f" from {_UNUSUAL} and f.id > (select coalesce(max(id), 0) from fact) - ?"
    )
    results: dict[tuple[str, str, str], tuple[str, str, str, str, float, int]] = {}
    for node, partition, column, kind, observed, expected, strength, at in tx.execute(sql, (FACTS_RECENT,)).fetchall():
        text = f"{kind}: {f'{column}: ' if column else ''}{observed}, expected {expected}"
        place = (node, partition, column)
        if place not in results or results[place][4] < float(strength):
            results[place] = (*place, text, float(strength), int(at))
    return list(results.values())


def emptied(tx: Transaction, nodes: Sequence[str], first: str, last: str) -> list[tuple[str, str, str]]:
    """(node, partition, column) of what readers see of these nodes, from one partition to another, although it is null unlike its
    history."""
    marks = ", ".join("?" * len(nodes))
    sql = (
        f"select distinct f.node, f.partition, f.column_name from {_UNUSUAL} and f.kind = 'null_spike' and f.column_name <> ''"
        f" and f.node in ({marks}) and f.partition >= ? and f.partition < ?"
    )
    return [(row[0], row[1], row[2]) for row in tx.execute(sql, (*nodes, first, last + AFTER_ALL)).fetchall()]


def unusual_partitions(tx: Transaction, nodes: Sequence[str], first: str, last: str, kinds: Sequence[str] = UNUSUAL_KINDS) -> list[str]:
    """The partitions of these nodes, from one to another, that readers see although figures are unlike the history, by what is unusual;
    of nodes that are cut finer, those within."""
    if not nodes:
        return []
    marks = ", ".join("?" * len(nodes))
    sql = (
        f"select distinct f.partition from {_UNUSUAL} and f.node in ({marks}) and f.partition >= ? and f.partition < ?"
        f" and f.kind in ({', '.join('?' * len(kinds))})"
    )
    return [partition for (partition,) in tx.execute(sql, (*nodes, first, last + AFTER_ALL, *kinds)).fetchall()]
