"""Changes since a point in time, for pages and for the gathering of evidence."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import msgspec

from headrace.store.queries.attempts import AT_PARTITIONS, at_partitions
from headrace.store.transaction import Transaction, among, at_places

# Kinds and names of changed things, never data.
#
# `Marks` contain the position of each table. Each mark is one index look-up, or covers a table that
# stays small. Equal marks mean that no response has changed.

NAMES_MAX = 100
"""At most this number of names is listed; `more` indicates further ones."""


class Marks(msgspec.Struct, frozen=True, array_like=True):
    """Positions of all tables."""

    revision: int = 0
    runs: int = 0
    at_work: int = 0
    """Identifies the running runs and attempts."""
    versions: int = 0
    audit: int = 0
    incidents: int = 0
    deliveries: int = 0
    quarantine: int = 0
    plans: int = 0


class ChangedNames(msgspec.Struct, frozen=True):
    """One kind of change and the names concerned.

    `kind` is `partitions`, `runs`, `versions`, `audit`, `incidents`, `deliveries`, `quarantine`,
    `backfills`, or `everything` (unknown what). `names` are the nodes, runs and so on; `more` says
    that the list is incomplete.
    """

    kind: str
    names: tuple[str, ...]
    more: bool


_MARKS = (
    "select (select coalesce(max(revision), 0) from partition), (select coalesce(max(id), 0) from"
    " run), 0, (select coalesce(max(id), 0) from version), (select coalesce(max(seq), 0) from"
    " audit), (select coalesce(max(id), 0) from incident_event), (select coalesce(max(id), 0) from"
    " delivery), (select coalesce(max(id), 0) from quarantine), 0"
)

_RUNS = (
    "select id from run where id > ? union select run_id from attempt where state in ('queued',"
    " 'running')"
)
_PLANS = "select id from plan where state in ('running', 'paused') union select max(id) from plan"


def marks(tx: Transaction) -> Marks:
    """Return the current positions."""
    row = list(tx.execute(_MARKS).fetchone())
    at_work = tx.execute("select id, 0, '' from run where state = 'running' order by id").fetchall()
    at_work += tx.execute(
        "select epoch, n, state from attempt where state in ('queued', 'running') order by epoch, n"
    ).fetchall()
    plans = tx.execute(
        "select id, state, steps_done, outcome from plan where state in ('running', 'paused') order"
        " by id"
    ).fetchall()
    plans += tx.execute("select id, state, 0, '' from plan order by id desc limit 1").fetchall()
    row[2], row[8] = _digest(at_work), _digest(plans)
    return Marks(*row)


def since(tx: Transaction, before: Marks, now: Marks) -> Iterator[ChangedNames]:
    """Yield the changes between two positions."""
    if now.revision != before.revision:
        yield _named(
            tx,
            "partitions",
            "select distinct node || '' from partition where revision > ?",
            before.revision,
        )
    if now.runs != before.runs or now.at_work != before.at_work:
        yield _named(tx, "runs", _RUNS, before.runs)
    if now.versions != before.versions:
        yield _named(tx, "versions", "select id from version where id > ?", before.versions)
    if now.audit != before.audit:
        yield _named(tx, "audit", "select seq from audit where seq > ?", before.audit)
    if now.incidents != before.incidents:
        yield _named(
            tx,
            "incidents",
            "select distinct incident_id from incident_event where id > ?",
            before.incidents,
            "INC-",
        )
    if now.deliveries != before.deliveries:
        yield _named(
            tx, "deliveries", "select distinct source from delivery where id > ?", before.deliveries
        )
    if now.quarantine != before.quarantine:
        yield _named(
            tx, "quarantine", "select distinct node from quarantine where id > ?", before.quarantine
        )
    if now.plans != before.plans:
        yield _named(tx, "backfills", _PLANS, None)


def _named(
    tx: Transaction, kind: str, sql: str, after: int | None, prefix: str = ""
) -> ChangedNames:
    rows = tx.execute(f"{sql} limit {NAMES_MAX + 1}", () if after is None else (after,)).fetchall()
    names = sorted(f"{prefix}{name}" for (name,) in rows)
    return ChangedNames(kind, tuple(names[:NAMES_MAX]), len(rows) > NAMES_MAX)


def _digest(rows: Iterable[tuple[object, ...]]) -> int:
    return zlib.crc32(msgspec.msgpack.encode([tuple(row) for row in rows]))


# Partitions that changed, new anomalies, and the attempts behind them.


class ChangedPartition(msgspec.Struct, frozen=True, gc=False):
    """A changed partition. `failures` counts consecutive failures; `since` is in microseconds."""

    node: str
    partition: str
    state: str
    failures: int
    visible_attempt: str | None
    """The attempt of the visible publication."""
    reason: str
    since: int
    revision: int


class FactNews(msgspec.Struct, frozen=True, gc=False):
    """A fact with its number. `at` is in microseconds."""

    id: int
    node: str
    partition: str
    attempt: str
    kind: str
    column: str
    severity: str
    expected: str
    observed: str
    strength: float
    detail: str
    at: int
    arrived_at: int | None
    """Arrival time of its delivery."""
    observed_at: int | None
    """When the delivery that it is of was observed."""
    let_through: int = 0
    """1 if its size would hold the data, and only the declared policy makes it a warning."""


class Withheld(msgspec.Struct, frozen=True, gc=False):
    """A partition's data in quarantine. Times are microseconds."""

    attempt: str
    reason: str
    at: int
    observed_at: int | None
    """When the delivery that it is of was observed."""


class NewestAttempt(msgspec.Struct, frozen=True, gc=False):
    """Result of a partition's newest attempt. `error` is JSON; times are microseconds."""

    attempt: str
    kind: str
    state: str
    reason: str
    error: str | None
    queued_at: int
    finished_at: int


def changed_partitions(tx: Transaction, after: int, limit: int) -> list[ChangedPartition]:
    """Return the partitions that changed after a revision, in order, in complete revisions."""
    last = tx.execute(
        "select revision from partition where revision > ? order by revision limit 1 offset ?",
        (after, limit),
    ).fetchone()
    rows = tx.execute(
        "select s.node, s.partition, s.state, s.failures, p.epoch, p.n, coalesce(s.reason, ''),"
        " s.since, s.revision from partition s left join publication p on p.id = s.publication_id"
        " where s.revision > ? and s.revision <= ? order by s.revision",
        (after, 2**62 if last is None else last[0]),
    )
    return [_changed(row) for row in rows]


def _changed(row: tuple[Any, ...]) -> ChangedPartition:
    node, partition, state, failures, epoch, n, reason, since, revision = row
    return ChangedPartition(
        node,
        partition,
        state,
        failures,
        None if epoch is None else f"{epoch}.{n}",
        reason,
        since,
        revision,
    )


def facts_after(tx: Transaction, after: int, limit: int) -> list[FactNews]:
    """Return the facts after a number, in order."""
    rows = tx.execute(
        "select f.id, f.node, f.partition, f.epoch, f.n, f.kind, f.column_name, f.severity,"
        " f.expected, f.observed, f.strength, f.detail, f.at, d.arrived_at, d.observed_at,"
        " f.let_through from fact f left join delivery d on d.id = f.delivery_id where f.id > ?"
        " order by f.id limit ?",
        (after, limit),
    )
    return [_fact(row) for row in rows]


def _fact(r: tuple[Any, ...]) -> FactNews:
    return FactNews(
        r[0], r[1], r[2], f"{r[3]}.{r[4]}", r[5], r[6], r[7], r[8], r[9], float(r[10]), *r[11:]
    )


def repeated(tx: Transaction, fact: FactNews) -> bool:
    """Return whether a fact's publication replaced one with the same rows or the same fact.

    The same fact has the same kind, column, check and observation.
    """
    epoch, _, n = fact.attempt.partition(".")
    of = "epoch = :epoch and n = :n and node = :node and partition = :partition"
    row = tx.execute(
        f"select identical, snapshot from publication where {of}",
        {"epoch": int(epoch), "n": int(n), "node": fact.node, "partition": fact.partition},
    ).fetchone()
    if row is None or row[0]:
        return row is not None
    sql = (
        "select 1 from publication p join fact f on f.node = p.node and f.partition = p.partition"
        " and f.epoch = p.epoch and f.n = p.n where p.node = :node and p.partition = :partition"
        " and p.ended_snapshot = :snapshot and f.kind = :kind and f.column_name = :column"
        " and f.observed = :observed and (f.detail = :detail or substr(f.detail, 1, 6) <> 'check ')"
    )
    parameters = {
        "node": fact.node, "partition": fact.partition, "snapshot": row[1], "kind": fact.kind,
        "column": fact.column, "observed": fact.observed, "detail": fact.detail,
    }  # fmt: skip
    return tx.execute(sql, parameters).fetchone() is not None


ALIKE = 1.5
"""Up to this factor more failing rows, in proportion, a check warns as it did before."""
RESULTS_COMPARED = 200
"""At most this number of a check's newest results is compared: more partitions may be recomputed by
new code at once."""


def alike_since(tx: Transaction, fact: FactNews, check: str) -> int | None:
    """Return since when a check has warned in each result as a fact says, in microseconds.

    None if the result before it was another one, or if the check couldn't be evaluated.
    """
    epoch, _, n = fact.attempt.partition(".")
    identity = {"epoch": int(epoch), "n": int(n), "partition": fact.partition, "name": check}
    result = tx.execute(
        "select failing, rows from check_result where epoch = :epoch and n = :n and"
        " partition = :partition and name = :name",
        identity,
    ).fetchone()
    if result is None or result[0] == 0:
        return None
    share = result[0] / max(result[1], 1)
    earlier = tx.execute(
        "select at, outcome, failing, rows from check_result where node = :node and name = :name"
        " and at <= :at and not (epoch = :epoch and n = :n and partition = :partition)"
        " order by at desc, epoch desc, n desc, partition desc limit :limit",
        {"node": fact.node, "at": fact.at, "limit": RESULTS_COMPARED, **identity},
    )
    since_us = None
    for at_us, outcome, failing, rows in earlier:
        if outcome != "failed" or failing / max(rows, 1) * ALIKE < share:
            break
        since_us = at_us
    return since_us


def cured(tx: Transaction, fact: FactNews) -> list[FactNews]:
    """Return the anomalies of the replaced publication that a fact's publication doesn't have.

    Results of checks are excluded.
    """
    epoch, _, n = fact.attempt.partition(".")
    rows = tx.execute(
        "select f.id, f.node, f.partition, f.epoch, f.n, f.kind, f.column_name, f.severity,"
        " f.expected, f.observed, f.strength, f.detail, f.at, d.arrived_at, d.observed_at from"
        " publication p join publication q on q.node = p.node and q.partition = p.partition and"
        " q.ended_snapshot = p.snapshot join fact f on f.epoch = q.epoch and f.n = q.n and f.node ="
        " q.node and f.partition = q.partition left join delivery d on d.id = q.delivery_id where"
        " p.epoch = :epoch and p.n = :n and p.node = :node and p.partition = :partition and"
        " substr(f.detail, 1, 6) <> 'check ' and not exists (select 1 from fact g where g.epoch ="
        " p.epoch and g.n = p.n and g.node = p.node and g.partition = p.partition and g.kind ="
        " f.kind and g.column_name = f.column_name) order by f.id",
        {"epoch": int(epoch), "n": int(n), "node": fact.node, "partition": fact.partition},
    )
    return [_fact(row) for row in rows]


def restated_with(tx: Transaction, fact: FactNews) -> list[FactNews]:
    """Return restatements of the node's other partitions by the same observation or attempt."""
    epoch, _, n = fact.attempt.partition(".")
    rows = tx.execute(
        "select f.id, f.node, f.partition, f.epoch, f.n, f.kind, f.column_name, f.severity,"
        " f.expected, f.observed, f.strength, f.detail, f.at, d.arrived_at, d.observed_at from fact"
        " f left join delivery d on d.id = f.delivery_id where f.node = :node and f.kind = :kind"
        " and f.partition <> :partition and (d.observed_at = :observed or (f.epoch = :epoch and f.n"
        " = :n)) order by f.id",
        {
            "node": fact.node,
            "kind": fact.kind,
            "partition": fact.partition,
            "observed": fact.observed_at,
            "epoch": int(epoch),
            "n": int(n),
        },
    )
    return [_fact(row) for row in rows]


def newest_ended(tx: Transaction, node: str, partition: str) -> NewestAttempt | None:
    """Return the result of the newest ended attempt at only this partition, or None."""
    row = tx.execute(
        "select epoch, n, kind, state, coalesce(reason, ''), error, queued_at, finished_at from"
        f" attempt where node = :node and {AT_PARTITIONS} and finished_at is not null order by"
        " epoch desc, n desc limit 1",
        {"node": node, **at_partitions(msgspec.json.encode([partition]).decode())},
    ).fetchone()
    return None if row is None else NewestAttempt(f"{row[0]}.{row[1]}", *row[2:])


class FailedInBackfill(msgspec.Struct, frozen=True, gc=False):
    """A partition that a backfill couldn't compute, with the result of its attempt."""

    node: str
    partition: str
    ended: NewestAttempt
    version: int | None
    """The version applied at the attempt."""


_FAILED_IN_BACKFILLS = (
    "select o.node, o.partition, a.version, a.epoch, a.n, a.kind, a.state, coalesce(a.reason, ''),"
    " a.error, a.queued_at, a.finished_at from overlay o join plan p on p.id = o.plan_id join"
    " attempt a on a.epoch = o.epoch and a.n = o.n left join partition s on s.node = o.node and"
    " s.partition = o.partition where o.state = 'failed' and p.state in ('running', 'paused',"
    " 'failed', 'partial') and a.finished_at is not null and (s.state is null or s.state in"
    " ('missing', 'waiting') or (s.state = 'published' and s.stale <> 0))"
)


def failed_in_backfills(tx: Transaction, limit: int) -> list[FailedInBackfill]:
    """Return the partitions that backfills failed to compute, by backfill, node and partition.

    The partitions are unpublished or stale, and production hasn't tried them since. The backfills
    are in progress, or ended without them.
    """
    rows = tx.execute(
        f"{_FAILED_IN_BACKFILLS} order by o.plan_id, o.node, o.partition limit :limit",
        {"limit": limit},
    )
    return [_failed(row) for row in rows]


_UNFINISHED = "select id from plan where state in ('running', 'paused', 'failed', 'partial')"


def has_unfinished_backfills(tx: Transaction) -> bool:
    """Return whether there is a backfill that is in progress, or that ended without some."""
    return tx.execute(f"{_UNFINISHED} limit 1").fetchone() is not None


def failed_in_backfill(tx: Transaction, node: str, partition: str) -> FailedInBackfill | None:
    """Return a partition's failure in the newest backfill that failed at it, by index look-ups."""
    row = tx.execute(
        f"{_FAILED_IN_BACKFILLS} and o.plan_id in ({_UNFINISHED}) and o.node = :node and"
        " o.partition = :partition order by o.plan_id desc limit 1",
        {"node": node, "partition": partition},
    ).fetchone()
    return None if row is None else _failed(row)


def _failed(row: tuple[Any, ...]) -> FailedInBackfill:
    return FailedInBackfill(row[0], row[1], NewestAttempt(f"{row[3]}.{row[4]}", *row[5:]), row[2])


def declared_at(tx: Transaction, places: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the locations of the declarations that hold the newest quarantined data of partitions.

    Partitions that are held for another reason aren't among them.
    """
    rows = tx.execute(
        "select f.node, f.partition, f.observed from fact f join quarantine q on q.node = f.node"
        " and q.partition = f.partition and q.epoch = f.epoch and q.n = f.n where f.kind ="
        f" 'configuration_error' and {among('f.node', 'f.partition')} and"
        " q.id = (select max(i.id) from quarantine i where i.node = f.node and i.partition ="
        " f.partition and i.state in ('held', 'rejected')) order by f.id desc",
        at_places(places),
    )
    return {(node, key): str(observed).rpartition(" at ")[2] for node, key, observed in rows}


def newest_withheld(tx: Transaction, node: str, partition: str) -> Withheld | None:
    """Return a partition's newest data in quarantine, or None."""
    row = tx.execute(
        "select q.epoch, q.n, q.reason, q.at, d.observed_at from quarantine q"
        " left join delivery d on d.id = q.delivery_id"
        " where q.node = :node and q.partition = :partition"
        " and q.state in ('held', 'rejected') order by q.id desc limit 1",
        {"node": node, "partition": partition},
    ).fetchone()
    return None if row is None else Withheld(f"{row[0]}.{row[1]}", *row[2:])
