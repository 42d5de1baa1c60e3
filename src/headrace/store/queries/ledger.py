"""What the delay ledger is made of: a partition's attempts, publications and deliveries.

Also what else happened meanwhile. Each answer is a look-up by an index, bounded whatever the length of the history.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from headrace.store.transaction import Transaction

ALONE_MAX = 200
"""So many of a partition's newest attempts are looked at."""
SEVERAL_MAX = 60
"""So many of a node's newest attempts at several partitions at once."""
AROUND_MAX = 400
"""So many attempts before one are looked through for those that ran while it waited."""
ROWS_MAX = 200

ATTEMPT = (
    "select a.epoch, a.n, a.kind, a.state, a.queued_at, coalesce(a.dispatched_at, a.started_at, a.queued_at) as dispatched, a.finished_at,"
    " a.reason, a.measures, a.error, a.delivery_id, a.version, a.run_id, r.started_at as asked, p.id as plan,"
    " p.created_at as planned, p.started_at as begun, p.needs, a.partitions"
    " from attempt a left join run r on r.id = a.run_id left join plan p on p.id = r.plan_id where "
)
"""Columns of `AttemptRecord` and what they are read from; a condition follows."""


class AttemptRecord(NamedTuple):
    """One attempt, its run and its plan. Times are microseconds; `measures` and `error` are JSON."""

    epoch: int
    n: int
    kind: str
    state: str
    queued_at: int
    dispatched_at: int
    finished_at: int | None
    reason: str | None
    measures: str | None
    error: str | None
    delivery_id: int | None
    version: int | None
    run_id: int
    asked_at: int | None
    plan_id: int | None
    planned_at: int | None
    begun_at: int | None
    needs: str | None
    partitions: str


def attempts(tx: Transaction, node: str, partition: str) -> list[AttemptRecord]:
    """The newest attempts at a partition, in the order in which they were queued: of those at several at once the newest, and those
    that published."""
    alone = msgspec.json.encode([partition]).decode()
    rows: list[tuple[Any, ...]] = tx.execute(
        f"{ATTEMPT} a.node = :node and a.partitions = :alone order by a.epoch desc, a.n desc limit :limit",
        {"node": node, "alone": alone, "limit": ALONE_MAX},
    ).fetchall()
    several = tx.execute(
        f"{ATTEMPT} a.node = :node and a.partitions like '%,%' order by a.epoch desc, a.n desc limit :limit",
        {"node": node, "limit": SEVERAL_MAX},
    ).fetchall()
    published = tx.execute(
        f"{ATTEMPT} (a.epoch, a.n) in (select q.epoch, q.n from publication q where q.node = :node and q.partition = :partition"
        " order by q.published_at desc limit :limit)",
        {"node": node, "partition": partition, "limit": ROWS_MAX},
    ).fetchall()
    mine = [row for row in several if partition in msgspec.json.decode(row[-1])]
    records = {(row[0], row[1]): AttemptRecord(*row) for row in (*rows, *mine, *published)}
    return sorted(records.values(), key=lambda record: (record.queued_at, record.epoch, record.n))


def of_run(
    tx: Transaction, run_id: int, after: tuple[int, int], limit: int, *, unpublished: bool = False
) -> list[tuple[str, AttemptRecord]]:
    """The attempts of a run, each with its node, in order, from the one after `after` (epoch, n) on;
    of those that ended without a publication alone, if that is asked for."""
    only = " and a.state not in ('queued', 'running', 'published')" if unpublished else ""
    rows = tx.execute(
        f"select a.node, {ATTEMPT.removeprefix('select')} a.run_id = :run and (a.epoch > :epoch or (a.epoch = :epoch and a.n > :n)){only}"
        " order by a.epoch, a.n limit :limit",
        {"run": run_id, "epoch": after[0], "n": after[1], "limit": limit},
    ).fetchall()
    return [(row[0], AttemptRecord(*row[1:])) for row in rows]


def states_of_run(tx: Transaction, run_id: int) -> dict[str, int]:
    """State → how many attempts of a run are in it."""
    rows = tx.execute("select state, count(*) from attempt where run_id = ? group by state order by state", (run_id,)).fetchall()
    return {str(state): int(count) for state, count in rows}


def under_way_of_run(tx: Transaction, run_id: int) -> list[tuple[str, str]]:
    """Node and partition of the attempts of a run that are queued or running, in order."""
    rows = tx.execute(
        "select node, partitions from attempt where run_id = ? and state in ('queued', 'running') order by epoch, n",
        (run_id,),
    ).fetchall()
    return list(dict.fromkeys((node, key) for node, keys in rows for key in msgspec.json.decode(keys)))


def tried_before(tx: Transaction, node: str, record: AttemptRecord) -> int | None:
    """When the try before an attempt, of its run and at its partitions, had ended."""
    row = tx.execute(
        "select finished_at from attempt where node = :node and partitions = :partitions and (epoch, n) < (:epoch, :n)"
        " and run_id = :run and kind = :kind order by epoch desc, n desc limit 1",
        {"node": node, "partitions": record.partitions, "epoch": record.epoch, "n": record.n, "run": record.run_id, "kind": record.kind},
    ).fetchone()
    return None if row is None else row[0]


def publications(tx: Transaction, node: str, partition: str) -> list[tuple[int, int | None, int, int]]:
    """(published, ended, epoch, n) of a partition's publications, oldest first."""
    rows = tx.execute(
        "select published_at, ended_at, epoch, n from publication where node = :node and partition = :partition"
        " order by published_at, id limit :limit",
        {"node": node, "partition": partition, "limit": ROWS_MAX},
    ).fetchall()
    return [(at, ended, epoch, n) for at, ended, epoch, n in rows]


def dropped(tx: Transaction, node: str, partition: str) -> dict[tuple[int, int], tuple[int, str]]:
    """(epoch, n) of the attempts whose held data somebody dropped → when, and what was said."""
    rows = tx.execute(
        "select epoch, n, decided_at, decided from quarantine where node = :node and partition = :partition"
        " and state = 'dropped' and decided_at is not null order by id desc limit :limit",
        {"node": node, "partition": partition, "limit": ROWS_MAX},
    ).fetchall()
    return {(epoch, n): (at, said or "dropped") for epoch, n, at, said in rows}


def arrivals(tx: Transaction, source: str, partition: str) -> list[tuple[int, int, int, int]]:
    """(id, arrived, observed, claimed) of an interval's deliveries, oldest first."""
    rows = tx.execute(
        "select id, arrived_at, observed_at, claimed_at from delivery where source = :source"
        " and partition = :partition order by id limit :limit",
        {"source": source, "partition": partition, "limit": ROWS_MAX},
    ).fetchall()
    return sorted(
        ((number, arrived, max(arrived, observed), claimed) for number, arrived, observed, claimed in rows),
        key=lambda item: (item[1], item[0]),
    )


def placed_at(tx: Transaction, source: str, observed_us: int) -> int | None:
    """Since when the project has looked for a source where it did at a time: since a version was applied
    after the last look in another place, else since the look. None where all looks were in that place."""
    row = tx.execute(
        "select place from look where source = ? and at <= ? order by at desc limit 1",
        (source, observed_us),
    ).fetchone()
    if row is None or not row[0]:
        return None
    (elsewhere,) = tx.execute(
        "select max(at) from look where source = ? and at < ? and place not in (?, '')",
        (source, observed_us, row[0]),
    ).fetchone()
    if elsewhere is None:
        return None
    sql = "select min(applied_at) from version where applied_at > ? and applied_at <= ?"
    (applied,) = tx.execute(sql, (elsewhere, observed_us)).fetchone()
    if applied is not None:
        return int(applied)
    sql = "select min(at) from look where source = ? and at > ?"
    return int(tx.execute(sql, (source, elsewhere)).fetchone()[0])


def observations(tx: Transaction, source: str, until_us: int) -> list[tuple[int, str | None]]:
    """(at, error) of the looks at a source that are kept (`record_observation`), oldest first."""
    rows = tx.execute(
        "select at, error from look where source = :source and at <= :until order by at",
        {"source": source, "until": until_us},
    ).fetchall()
    return [(int(at), error) for at, error in rows]


def newest_published(tx: Transaction, node: str, before_us: int, epoch: int | None, n: int | None) -> tuple[str, int] | None:
    """What an attempt at a node published last before a time, and before another attempt began: its last partition and when."""
    bound = "" if epoch is None else " and (epoch < :epoch or (epoch = :epoch and n < :n))"
    row = tx.execute(
        f"select partitions, published_at from attempt where node = :node{bound} and state = 'published' and published_at <= :before"
        " order by epoch desc, n desc limit 1",
        {"node": node, "before": before_us, "epoch": epoch, "n": n},
    ).fetchone()
    return None if row is None else (str(msgspec.json.decode(row[0])[-1]), int(row[1]))


def around(tx: Transaction, epoch: int, n: int) -> list[tuple[int, int, int | None]]:
    """When attempts before one of the same leader were given out, begun and ended, those of plans apart; the newest AROUND_MAX."""
    rows = tx.execute(
        "select coalesce(dispatched_at, started_at), started_at, finished_at from attempt where epoch = :epoch and n < :n and n >= :first"
        " and started_at is not null",
        {"epoch": epoch, "n": n, "first": n - AROUND_MAX},
    ).fetchall()
    return [(given, began, ended) for given, began, ended in rows]


def slots(tx: Transaction, epoch: int) -> int | None:
    """How many attempts a leader ran at once; None where its journal has gone."""
    row = tx.execute("select slots from journal where epoch = ? order by seq limit 1", (epoch,)).fetchone()
    return None if row is None else int(row[0])


def leads(tx: Transaction, epoch: int) -> tuple[int, int] | None:
    """How many attempts a leader runs at once, and since when it leads; None where its journal has gone."""
    row = tx.execute("select slots, at from journal where epoch = ? order by seq limit 1", (epoch,)).fetchone()
    return None if row is None else (int(row[0]), int(row[1]))


def under_way(tx: Transaction, epoch: int, now_us: int) -> list[str]:
    """The nodes of a leader's attempts that are under way, the oldest first."""
    rows = tx.execute(
        "select node from attempt where state in ('queued', 'running') and epoch = ? and queued_at <= ? order by n", (epoch, now_us)
    ).fetchall()
    return [str(node) for (node,) in rows]


def applied_at(tx: Transaction, version: int) -> int | None:
    """When a version was applied."""
    row = tx.execute("select applied_at from version where id = ?", (version,)).fetchone()
    return None if row is None else int(row[0])


class IncidentRecord(NamedTuple):
    """An incident, as far as the ledger names it."""

    id: int
    node: str
    kind: str
    summary: str
    owner: str
    began_at: int
    ended_at: int | None
    places: int
    """At how many partitions its evidence is."""
    of_node: bool = False
    """It is about the node as a whole: nothing of it was seen at the partition itself."""


_INCIDENT = (
    "select id, node, kind, summary, owner, began_at, coalesce(restored_at, resolved_at),"
    " (select count(*) from incident_partition seen where seen.incident_id = incident.id){more} from incident where "
)
_OF_NODE = (
    ", not (node = :node and partition = :partition) and not exists (select 1 from incident_partition p where p.incident_id = incident.id"
    " and p.node = :node and p.partition = :partition) and not exists (select 1 from symptom s"
    " where s.incident_id = incident.id and s.node = :node and s.partition = :partition)"
)


def incidents(tx: Transaction, node: str, partition: str) -> list[IncidentRecord]:
    """The incidents that a partition is part of: where the cause is seen, or a symptom of it."""
    rows = tx.execute(
        f"{_INCIDENT.format(more=_OF_NODE)}id in (select incident_id from incident_partition"
        " where node = :node and partition in (:partition, '') union select incident_id from symptom"
        " where node = :node and partition in (:partition, ''))"
        " or (node = :node and partition = :partition) order by id limit :limit",
        {"node": node, "partition": partition, "limit": ROWS_MAX},
    ).fetchall()
    return [IncidentRecord(*row) for row in rows]


def explained(tx: Transaction, node: str, partition: str, numbers: Iterable[int]) -> dict[int, list[tuple[int, int]]]:
    """Incident → (epoch, n) of the attempts at a partition whose failure, hold or rejection is evidence of it."""
    results: dict[int, list[tuple[int, int]]] = {}
    for number in numbers:
        rows = tx.execute(
            "select distinct attempt from evidence where incident_id = :id and node = :node and partition in (:partition, '')"
            " and held = 1 and attempt is not null",
            {"id": number, "node": node, "partition": partition},
        ).fetchall()
        for (attempt,) in rows:
            epoch, _, n = str(attempt).partition(".")
            results.setdefault(number, []).append((int(epoch), int(n)))
    return results


def incident(tx: Transaction, number: int) -> IncidentRecord | None:
    """One incident."""
    row = tx.execute(f"{_INCIDENT.format(more='')}id = ?", (number,)).fetchone()
    return None if row is None else IncidentRecord(*row)


def awaiting(tx: Transaction) -> list[tuple[int, int, str, bytes]]:
    """(id, created, needs, content) of the backfills that wait for an approval."""
    rows = tx.execute(
        "select id, created_at, coalesce(needs, ''), content from plan where state = 'awaiting_approval' order by id limit :limit",
        {"limit": ROWS_MAX},
    ).fetchall()
    return [(number, created, needs, bytes(content)) for number, created, needs, content in rows]


def obligation(tx: Transaction, consumer: str, interval: str) -> tuple[int | None, int | None, int | None]:
    """(met, waived, due) of one interval of a consumer; all None while it wasn't written down."""
    row = tx.execute(
        "select met_at, waived_at, due_at from obligation where consumer = ? and interval = ?", (consumer, interval)
    ).fetchone()
    return (None, None, None) if row is None else (row[0], row[1], row[2])


def promised_reads(tx: Transaction, consumer: str, interval: str) -> list[str] | None:
    """What a consumer was promised to read when an interval became due; None while that wasn't written down."""
    row = tx.execute(
        "select p.terms from obligation o join promise p on p.id = o.promise_id where o.consumer = ? and o.interval = ?",
        (consumer, interval),
    ).fetchone()
    return None if row is None else list(msgspec.json.decode(row[0])["reads"])


def read_between(tx: Transaction, nodes: Iterable[str], since_us: int) -> tuple[int | None, int | None]:
    """Of some nodes, exports apart and as far as reads are seen: by when they had been read since a time, and the last time before it."""
    after: list[int] = []
    before: list[int] = []
    for node in nodes:
        row = tx.execute(
            "select min(case when last_at >= :since then last_at end), max(case when last_at < :since then last_at end) from usage"
            " where node = :node and via <> 'export'",
            {"node": node, "since": since_us},
        ).fetchone()
        after += [] if row[0] is None else [int(row[0])]
        before += [] if row[1] is None else [int(row[1])]
    return min(after, default=None), max(before, default=None)


# Frozen ---------------------------------------------------------------------------------------------------------------


def frozen(tx: Transaction, consumer: str, interval: str) -> tuple[str, str] | None:
    """(content, hash) of a ledger whose rows have gone."""
    row = tx.execute("select content, hash from frozen_ledger where consumer = ? and interval = ?", (consumer, interval)).fetchone()
    return None if row is None else (str(row[0]), str(row[1]))


def to_freeze(tx: Transaction, consumer: str, before_us: int, limit: int) -> list[tuple[str, int | None, int | None]]:
    """(interval, met, waived) of a consumer's obligations that were settled before a time and aren't frozen, in the order of their
    deadlines."""
    rows = tx.execute(
        "select o.interval, o.met_at, o.waived_at from obligation o where o.consumer = :consumer and o.due_at < :before"
        " and coalesce(o.met_at, o.waived_at) < :before and not exists (select 1 from frozen_ledger f where f.consumer = o.consumer"
        " and f.interval = o.interval) order by o.due_at, o.interval limit :limit",
        {"consumer": consumer, "before": before_us, "limit": limit},
    ).fetchall()
    return [(interval, met, waived) for interval, met, waived in rows]


def freeze(tx: Transaction, rows: Iterable[tuple[str, str, str, str, int]]) -> None:
    """Keep ledgers: (consumer, interval, content, hash, at)."""
    tx.executemany("insert into frozen_ledger (consumer, interval, content, hash, at) values (?, ?, ?, ?, ?)", rows)
