"""Results of audits: check outcomes, drift, anomalies and metrics."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import msgspec

from headrace.store.queries.publications import HAS_ITS_ROWS
from headrace.store.transaction import Transaction, among, at_places

# Outcomes of checks.

_CHECK_COLUMNS = (
    "epoch, n, node, partition, name, kind, severity, outcome, rows, failing, detail, at"
)


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
    """Return all check outcomes of an attempt, by partition and name."""
    rows = tx.execute(
        f"select {_CHECK_COLUMNS} from check_result where epoch = :epoch and n = :n order by"
        " partition, name",
        {"epoch": epoch, "n": n},
    )
    return _outcomes(rows)


def check_history(tx: Transaction, node: str, name: str, *, limit: int = 100) -> list[CheckOutcome]:
    """Return the newest outcomes of one check, newest first."""
    rows = tx.execute(
        f"select {_CHECK_COLUMNS} from check_result where node = :node and name = :name order by at"
        " desc, partition desc limit :limit",
        {"node": node, "name": name, "limit": limit},
    )
    return _outcomes(rows)


def _outcomes(rows: Iterable[tuple[Any, ...]]) -> list[CheckOutcome]:
    return [CheckOutcome(*row) for row in rows]


def outcomes_of_check(
    tx: Transaction, node: str, name: str, *, view: bool, limit: int
) -> list[CheckOutcome]:
    """Return the newest outcomes of a declared check, newest first.

    A view's checks are evaluated whenever its inputs are published.
    """
    if not view:
        return check_history(tx, node, name, limit=limit)
    rows = tx.execute(
        f"select {_CHECK_COLUMNS} from check_result where name = :name order by at desc, partition"
        " desc limit :limit",
        {"name": f"{node}.{name}", "limit": limit},
    )
    return _outcomes(rows)


# Drift of deliveries, and anomalies of deliveries and partitions.

_DRIFT = (
    "source, partition, delivery_id, epoch, n, kind, column_name, to_name, score, evidence, policy,"
    " used_by, at, measured"
)
_FACT = (
    "node, partition, epoch, n, delivery_id, kind, column_name, severity, expected, observed,"
    " strength, detail, at, let_through"
)

UNUSUAL_KINDS = (
    "stale_data",
    "duplicate_rows",
    "volume_anomaly",
    "null_spike",
    "distribution_shift",
)
"""Kinds of facts about metrics."""
ROW_KINDS = ("stale_data", "duplicate_rows", "volume_anomaly")
"""Kinds of facts about rows."""
_UNUSUAL = (
    "fact f join publication p on p.epoch = f.epoch and p.n = f.n and p.partition = f.partition"
    " and p.ended_snapshot is null where f.severity = 'warn' and substr(f.detail, 1, 6) <> 'check"
    f" ' and f.kind in {UNUSUAL_KINDS!r}"
)
"""Query for metric anomalies of visible publications, without facts of checks and schemas."""
AFTER_ALL = "~"
"""Sorts after any continuation of a partition's key."""
FACTS_RECENT = 500
"""Number of newest facts to search for those of visible publications."""


class DriftRow(msgspec.Struct, frozen=True, gc=False):
    """One change of one delivery. `at` is in microseconds.

    `evidence` and `used_by` are JSON lists, `score` is a decimal.
    """

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
    """The measurements that decided a rename, as JSON."""


class FactRow(msgspec.Struct, frozen=True, gc=False):
    """One anomaly of a partition. `strength` is a decimal in nats; `at` is in microseconds."""

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
    let_through: int = 0
    """1 if its size would hold the data, and only the declared policy makes it a warning."""


def write_drift(tx: Transaction, rows: Iterable[DriftRow]) -> None:
    """Insert changes of deliveries."""
    tx.executemany(
        f"insert into drift ({_DRIFT}) values ({_marks(DriftRow)})",
        [msgspec.structs.astuple(row) for row in rows],
    )


def write_facts(tx: Transaction, rows: Iterable[FactRow]) -> None:
    """Insert anomalies."""
    tx.executemany(
        f"insert into fact ({_FACT}) values ({_marks(FactRow)})",
        [msgspec.structs.astuple(row) for row in rows],
    )


def newest_drift(tx: Transaction, source: str, partition: str | None = None) -> list[DriftRow]:
    """Return the changes of a source's newest changed delivery, optionally of one partition."""
    where, parameters = (
        ("source = ? and partition = ?", (source, partition))
        if partition is not None
        else ("source = ?", (source,))
    )
    newest = f"select epoch, n from drift where {where} order by id desc limit 1"
    row = tx.execute(newest, parameters).fetchone()
    if row is None:
        return []
    results = tx.execute(
        f"select {_DRIFT} from drift where {where} and epoch = ? and n = ? order by id",
        (*parameters, *row),
    ).fetchall()
    return [DriftRow(*item) for item in results]


def renames_wait(tx: Transaction, source: str, partition: str) -> bool:
    """Return whether a delivery waits for the acceptance of its column renames.

    Dropped and replaced deliveries don't.
    """
    return (source, partition) in renames_waiting(tx, [(source, partition)])


def renames_waiting(tx: Transaction, places: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the deliveries for which `renames_wait` is true, some others perhaps among them."""
    rows = tx.execute(
        "select distinct d.source, d.partition from drift d join drift newest on newest.id ="
        " (select max(o.id) from drift o where o.source = d.source and o.partition = d.partition)"
        f" where {among('d.source', 'd.partition')} and d.kind = 'renamed' and d.policy ="
        " 'block' and d.accepted_at is null and d.epoch = newest.epoch and d.n = newest.n and"
        " exists (select 1 from quarantine q where q.node = d.source and q.partition ="
        " d.partition and q.epoch = d.epoch and q.n = d.n and q.state in ('held', 'rejected'))",
        at_places(places),
    )
    return {(source, partition) for source, partition in rows}


def renames_published(tx: Transaction, source: str, partition: str) -> bool:
    """Return whether a visible delivery lacks columns for which renames are proposed."""
    row = tx.execute(
        "select 1 from drift d join publication p on p.node = d.source and p.partition ="
        " d.partition and p.epoch = d.epoch and p.n = d.n where d.source = :source and d.partition"
        " = :partition and d.kind = 'renamed' and d.policy = 'warn' and d.accepted_at is null and"
        " p.ended_snapshot is null limit 1",
        {"source": source, "partition": partition},
    ).fetchone()
    return row is not None


def accept_renames(
    tx: Transaction,
    source: str,
    partitions: Iterable[str],
    columns: Iterable[str],
    *,
    by: str,
    now: int,
) -> None:
    """Record the acceptance of proposed renames of these columns of these partitions."""
    column_names = list(columns)
    tx.executemany(
        "update drift set accepted_at = ?, accepted_by = ? where source = ? and partition = ? and"
        " column_name = ? and accepted_at is null",
        [(now, by, source, key, column) for key in partitions for column in column_names],
    )


def facts_of(tx: Transaction, node: str, partition: str) -> list[FactRow]:
    """Return the anomalies of a partition, of all its attempts, oldest first."""
    return facts_at(tx, [(node, partition)]).get((node, partition), [])


def facts_at(
    tx: Transaction, places: Collection[tuple[str, str]]
) -> dict[tuple[str, str], list[FactRow]]:
    """Return the anomalies of partitions, of all their attempts, oldest first."""
    rows = tx.execute(
        f"select {_FACT} from fact where {among()} order by id",
        at_places(places),
    )
    facts: dict[tuple[str, str], list[FactRow]] = {}
    for row in rows:
        facts.setdefault((row[0], row[1]), []).append(FactRow(*row))
    return facts


def drift_at(
    tx: Transaction, places: Collection[tuple[str, str]]
) -> dict[tuple[str, str], list[DriftRow]]:
    """Return the changes of partitions of sources, of all their deliveries, oldest first."""
    rows = tx.execute(
        f"select {_DRIFT} from drift where {among('source', 'partition')} order by id",
        at_places(places),
    )
    changes: dict[tuple[str, str], list[DriftRow]] = {}
    for row in (DriftRow(*each) for each in rows):
        changes.setdefault((row.source, row.partition), []).append(row)
    return changes


def facts(tx: Transaction, ids: Sequence[int]) -> list[FactRow]:
    """Return facts by number, oldest first."""
    marks = ", ".join("?" * len(ids))
    rows = (
        tx.execute(
            f"select {_FACT} from fact where id in ({marks}) order by id", tuple(ids)
        ).fetchall()
        if ids
        else []
    )
    return [FactRow(*row) for row in rows]


def _marks(kind: type[Any]) -> str:
    return ", ".join("?" * len(kind.__struct_fields__))


def unusual(tx: Transaction) -> list[tuple[str, str, str, str, float, int]]:
    """Return visible metric anomalies among the newest facts, the least probable of each column.

    Each is (node, partition, column, detail, strength, publication time). Warnings of checks are
    excluded.
    """
    sql = (
        "select f.node, f.partition, f.column_name, f.kind, f.observed, f.expected, f.strength,"
        f" p.published_at from {_UNUSUAL} and f.id > (select coalesce(max(id), 0) from fact) - ?"
    )
    results: dict[tuple[str, str, str], tuple[str, str, str, str, float, int]] = {}
    for node, partition, column, kind, observed, expected, strength, at in tx.execute(
        sql, (FACTS_RECENT,)
    ).fetchall():
        text = f"{kind}: {f'{column}: ' if column else ''}{observed}, expected {expected}"
        place = (node, partition, column)
        if place not in results or results[place][4] < float(strength):
            results[place] = (*place, text, float(strength), int(at))
    return list(results.values())


def emptied(
    tx: Transaction, nodes: Sequence[str], first: str, last: str
) -> list[tuple[str, str, str]]:
    """Return (node, partition, column) of visible columns with an anomalous share of nulls.

    Partitions are from `first` to `last`.
    """
    marks = ", ".join("?" * len(nodes))
    sql = (
        f"select distinct f.node, f.partition, f.column_name from {_UNUSUAL} and f.kind ="
        f" 'null_spike' and f.column_name <> '' and f.node in ({marks}) and f.partition >= ? and"
        " f.partition < ?"
    )
    return [
        (row[0], row[1], row[2])
        for row in tx.execute(sql, (*nodes, first, last + AFTER_ALL)).fetchall()
    ]


def unusual_partitions(
    tx: Transaction,
    nodes: Sequence[str],
    first: str,
    last: str,
    kinds: Sequence[str] = UNUSUAL_KINDS,
) -> list[str]:
    """Return visible partitions with anomalies of some kinds, from `first` to `last`, unsorted.

    Finer partitions within are included.
    """
    if not nodes:
        return []
    marks = ", ".join("?" * len(nodes))
    sql = (
        f"select distinct f.partition from {_UNUSUAL} and f.node in ({marks}) and f.partition >= ?"
        f" and f.partition < ? and f.kind in ({', '.join('?' * len(kinds))})"
    )
    return [
        partition
        for (partition,) in tx.execute(sql, (*nodes, first, last + AFTER_ALL, *kinds)).fetchall()
    ]


# Metrics of each audited partition, as a vector. It is written with the attempt, and later
# partitions are compared with it.

VERSIONS_MAX = 500
"""At most this number of a node's publications is compared: more than a year of days."""
LATELY_MAX = 256
"""Number of newest publications to search for the rows of a delivery.

It covers publications made after the delivery was sent to a worker.
"""

_SOUND = (
    "select p.partition, m.vector, exists (select 1 from accepted a where a.publication_id = p.id"
    " and a.ended_at is null) from publication p join metric m on m.epoch = p.epoch and m.n = p.n"
    " and m.partition = p.partition where p.node = ? and p.ended_snapshot is null and p.partition <"
    " ? and p.rows > 0{key} order by p.partition desc limit ?"
)
"""Query for visible publications, and whether they are exceptions.

An exception shows a level that metrics may have, but doesn't count as sound.
"""


_LET_THROUGH = (
    "select distinct f.partition, f.column_name, f.accepted_at from fact f join publication p on"
    " p.epoch = f.epoch and p.n = f.n and p.partition = f.partition and p.ended_snapshot is null"
    " where f.let_through = 1 and f.node = ?"
)


def write_metrics(tx: Transaction, rows: Iterable[tuple[int, int, str, str, bytes]]) -> None:
    """Insert (epoch, n, node, partition, vector) for each audited partition."""
    tx.executemany(
        "insert into metric (epoch, n, node, partition, vector) values (?, ?, ?, ?, ?)", rows
    )


def rewrite_metrics(tx: Transaction, node: str, change: Callable[[bytes], bytes]) -> None:
    """Replace all encoded metrics of a node."""
    sql = "select epoch, n, partition, vector from metric where node = ?"
    for *key, vector in tx.execute(sql, (node,)).fetchall():
        tx.execute(
            "update metric set vector = ? where epoch = ? and n = ? and partition = ?",
            (change(bytes(vector)), *key),
        )


def metrics_before(
    tx: Transaction, node: str, partition: str, limit: int
) -> list[tuple[str, bytes, bool, tuple[str, ...]]]:
    """Return (partition, vector, is an exception, doubtful columns) of earlier visible partitions.

    They are the newest ones, oldest first; for data partitioned by a key too, those of the same
    key. A column is doubtful, and so are the rows (empty name), if a policy let an anomaly of it
    through that nobody accepted.
    """
    interval, slash, key = partition.partition("/")
    key_parameters = (len(interval) + 1, slash + key) if slash else ()
    sql = _SOUND.format(key=" and substr(p.partition, ?) = ?" if slash else "")
    rows = tx.execute(sql, (node, interval, *key_parameters, limit)).fetchall()
    doubtful, accepted = _let_through(tx, node, interval)
    return [
        (key, bytes(vector), bool(excepted) or key in accepted, tuple(doubtful.get(key, ())))
        for key, vector, excepted in reversed(rows)
    ]


def _let_through(tx: Transaction, node: str, before: str) -> tuple[dict[str, list[str]], set[str]]:
    """Return partition → columns of anomalies that a policy let through, and accepted partitions.

    Of visible publications of partitions before one.
    """
    doubtful: dict[str, list[str]] = {}
    accepted = set()
    for partition, column, accepted_at in tx.execute(
        f"{_LET_THROUGH} and f.partition < ?", (node, before)
    ).fetchall():
        if accepted_at is None:
            doubtful.setdefault(partition, []).append(column)
        else:
            accepted.add(partition)
    return doubtful, accepted


def let_through_at(tx: Transaction, node: str, partition: str) -> bool:
    """Return whether a policy let anomalies of a visible partition through, not yet accepted."""
    rows = tx.execute(
        f"{_LET_THROUGH} and f.partition = ? and f.accepted_at is null limit 1", (node, partition)
    )
    return rows.fetchone() is not None


def accept_let_through(tx: Transaction, node: str, partition: str, now: int) -> None:
    """Record that somebody accepted the anomalies of a partition."""
    tx.execute(
        "update fact set accepted_at = ? where node = ? and partition = ? and let_through = 1 and"
        " accepted_at is null",
        (now, node, partition),
    )


def metrics_of_attempt(tx: Transaction, epoch: int, n: int, partition: str) -> bytes | None:
    """Return the metrics of a partition in an attempt, or None."""
    row = tx.execute(
        "select vector from metric where epoch = ? and n = ? and partition = ?",
        (epoch, n, partition),
    ).fetchone()
    return None if row is None else bytes(row[0])


def published_versions(tx: Transaction, node: str) -> list[tuple[str, str]]:
    """Return (partition, content hash) of a node's newest publications, visible or not."""
    sql = (
        "select partition, content_hash from publication where node = ? and rows > 0 and"
        " content_hash is not null order by partition desc, id desc limit ?"
    )
    return [
        (partition, content)
        for partition, content in tx.execute(sql, (node, VERSIONS_MAX)).fetchall()
    ]


def published_lately(tx: Transaction, node: str, content_hash: str) -> list[str]:
    """Return a node's partitions with these rows, among the newest publications of all nodes."""
    sql = (
        "select partition from (select node, partition, content_hash from publication order by id"
        " desc limit ?) as newest where node = ? and content_hash = ?"
    )
    return [key for (key,) in tx.execute(sql, (LATELY_MAX, node, content_hash)).fetchall()]


def rows_until(tx: Transaction, node: str, partition: str, limit: int) -> list[tuple[str, int]]:
    """Return (partition, rows) of visible partitions up to and including one, oldest first.

    Those whose rows were removed whole since then (retention, erasure) are left out.
    """
    sql = (
        "select partition, rows from publication where node = ? and ended_snapshot is null and"
        f" partition <= ? and {HAS_ITS_ROWS} order by partition desc limit ?"
    )
    results = tx.execute(sql, (node, partition, limit)).fetchall()
    return [(key, rows) for key, rows in reversed(results)]
