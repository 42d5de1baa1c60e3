"""What audits found in data: check outcomes, drift, anomalies and measured vectors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from headrace.store.transaction import Transaction

# Outcomes of checks.

_CHECK_COLUMNS = "epoch, n, node, partition, name, kind, severity, outcome, rows, failing, detail, at"


class CheckOutcome(msgspec.Struct, frozen=True):
    """One check on one partition in one attempt; `at` is in microseconds of the store's clock."""

    epoch: int
    n: int
    node: str
    partition: str
    name: str
    kind: str
    severity: str
    outcome: str
    rows: int
    failing: int
    detail: str
    at: int


def checks_of_attempt(tx: Transaction, epoch: int, n: int) -> list[CheckOutcome]:
    """All checks of an attempt, by partition and name."""
    rows = tx.execute(
        f"select {_CHECK_COLUMNS} from check_result where epoch = :epoch and n = :n order by partition, name", {"epoch": epoch, "n": n}
    )
    return _outcomes(rows)


def check_history(tx: Transaction, node: str, name: str, *, limit: int = 100) -> list[CheckOutcome]:
    """The newest outcomes of one check, newest first."""
    rows = tx.execute(
        f"select {_CHECK_COLUMNS} from check_result where node = :node and name = :name order by at desc, partition desc limit :limit",
        {"node": node, "name": name, "limit": limit},
    )
    return _outcomes(rows)


def _outcomes(rows: Iterable[tuple[Any, ...]]) -> list[CheckOutcome]:
    return [CheckOutcome(*row) for row in rows]


def outcomes_of_check(tx: Transaction, node: str, name: str, *, view: bool, limit: int) -> list[CheckOutcome]:
    """The newest outcomes of a declared check, newest first. A view's are asked wherever what it reads is published."""
    if not view:
        return check_history(tx, node, name, limit=limit)
    rows = tx.execute(
        f"select {_CHECK_COLUMNS} from check_result where name = :name order by at desc, partition desc limit :limit",
        {"name": f"{node}.{name}", "limit": limit},
    )
    return _outcomes(rows)


def check_counts(tx: Transaction) -> dict[tuple[str, str], int]:
    """(Node, check) → how often it looked at rows."""
    rows = tx.execute("select node, name, count(*) from check_result where outcome <> 'unchecked' group by node, name").fetchall()
    return {(row[0], row[1]): int(row[2]) for row in rows}


def check_flips(tx: Transaction) -> dict[tuple[str, str], list[str]]:
    """(Node, check) → the partitions where it both passed and failed on the same data under the same version: on the same delivered
    bytes, the same published content, or the same snapshot of what an asset reads. Ages grow, so `freshness` is none of them."""
    same = "coalesce(d.sha256, p.content_hash)"
    results: dict[tuple[str, str], dict[str, None]] = {}
    for identity, kind in ((same, "take_in"), (same, "produce"), ("cast(a.snapshot_read as text)", "produce")):
        rows = tx.execute(
            f"select c.node, c.name, c.partition from check_result c join attempt a on a.epoch = c.epoch and a.n = c.n "
            "left join publication p on p.epoch = c.epoch and p.n = c.n and p.partition = c.partition "
            "left join delivery d on d.id = a.delivery_id "
            f"where c.outcome in ('passed', 'failed') and c.kind <> 'freshness' and a.kind = :kind and {identity} is not null "
            f"group by c.node, c.name, c.partition, a.version, {identity} having count(distinct c.outcome) > 1 "
            "order by c.node, c.name, c.partition",
            {"kind": kind},
        )
        for node, name, partition in rows:
            results.setdefault((node, name), {})[partition] = None
    return {key: list(partitions) for key, partitions in results.items()}


# How deliveries differed from what was expected of them, and which anomalies deliveries and
# partitions have.

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


def accept_renames(tx: Transaction, source: str, partitions: Iterable[str], columns: Iterable[str], *, by: str, now: int) -> None:
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


# The vector that was measured of each audited partition. It is written with the attempt; later
# partitions are compared with it.

VERSIONS_MAX = 500
"""So many versions of a node are compared with what comes: more than a year of days."""
LATELY_MAX = 256
"""How many of the newest publications are searched for the rows of a delivery, where it was given
to a worker before they were published."""

_SOUND = (
    "select p.partition, m.vector, exists (select 1 from accepted a where a.publication_id = p.id and a.ended_at is null)"
    " from publication p join metric m on m.epoch = p.epoch and m.n = p.n and m.partition = p.partition"
    " where p.node = ? and p.ended_snapshot is null and p.partition < ? and p.rows > 0{key}"
    " order by p.partition desc limit ?"
)
"""What readers see, and whether it was published as an exception: that is a level which numbers may have, and no measure of what is
sound."""


def write_metrics(tx: Transaction, rows: Iterable[tuple[int, int, str, str, bytes]]) -> None:
    """(epoch, n, node, partition, vector) of each partition that was audited."""
    tx.executemany("insert into metric (epoch, n, node, partition, vector) values (?, ?, ?, ?, ?)", rows)


def metrics_before(tx: Transaction, node: str, partition: str, limit: int) -> list[tuple[str, bytes, bool]]:
    """(partition, vector, whether an exception) of the newest partitions before one that readers see, oldest first.
    Where data is cut by a key too, they are of the same key."""
    moment, slash, key = partition.partition("/")
    own = (len(moment) + 1, slash + key) if slash else ()
    sql = _SOUND.format(key=" and substr(p.partition, ?) = ?" if slash else "")
    rows = tx.execute(sql, (node, moment, *own, limit)).fetchall()
    return [(result, bytes(vector), bool(excepted)) for result, vector, excepted in reversed(rows)]


def metrics_of_attempt(tx: Transaction, epoch: int, n: int, partition: str) -> bytes | None:
    """What an attempt measured of a partition."""
    row = tx.execute("select vector from metric where epoch = ? and n = ? and partition = ?", (epoch, n, partition)).fetchone()
    return None if row is None else bytes(row[0])


def published_versions(tx: Transaction, node: str) -> list[tuple[str, str]]:
    """(partition, content hash) of the newest publications of a node, whether readers still see them or not; newest first."""
    sql = (
        "select partition, content_hash from publication where node = ? and rows > 0 and content_hash is not null"
        " order by partition desc, id desc limit ?"
    )
    return [(partition, content) for partition, content in tx.execute(sql, (node, VERSIONS_MAX)).fetchall()]


def published_lately(tx: Transaction, node: str, content_hash: str) -> list[str]:
    """The partitions of a node among the newest publications of all nodes that have these rows."""
    sql = (
        "select partition from (select node, partition, content_hash from publication order by id desc limit ?) as newest"
        " where node = ? and content_hash = ?"
    )
    return [key for (key,) in tx.execute(sql, (LATELY_MAX, node, content_hash)).fetchall()]


def rows_until(tx: Transaction, node: str, partition: str, limit: int) -> list[tuple[str, int]]:
    """(partition, rows) that readers see, up to a partition and with it; oldest first."""
    sql = (
        "select partition, rows from publication where node = ? and ended_snapshot is null and partition <= ?"
        " order by partition desc limit ?"
    )
    results = tx.execute(sql, (node, partition, limit)).fetchall()
    return [(key, rows) for key, rows in reversed(results)]
