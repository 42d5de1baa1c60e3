"""Queries for the delay ledger: a partition's attempts, publications and deliveries.

They also return concurrent work. Each query uses an index and has a limit, so its cost doesn't grow
with the history.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from headrace.store.queries.attempts import AT_PARTITIONS, at_partitions
from headrace.store.queries.backfill_plans import NOT_VOID
from headrace.store.transaction import Transaction

ALONE_MAX = 200
"""At most this number of a partition's newest attempts is read."""
SEVERAL_MAX = 60
"""At most this number of a node's newest attempts at several partitions is read."""
AROUND_MAX = 400
"""At most this number of earlier attempts is searched for those that ran while one waited."""
ROWS_MAX = 200

ATTEMPT = (
    "select a.epoch, a.n, a.kind, a.state, a.queued_at, coalesce(a.dispatched_at, a.started_at,"
    " a.queued_at) as dispatched, a.finished_at, a.reason, a.measures, a.error, a.delivery_id,"
    " a.version, a.run_id, r.started_at as asked, p.id as plan, p.created_at as planned,"
    " p.started_at as begun, p.needs, a.partitions from attempt a left join run r on r.id ="
    " a.run_id left join plan p on p.id = r.plan_id where "
)
"""Start of a query for `AttemptRecord`; a condition follows."""


_DELIVERY = (
    "coalesce(a.delivery_id, (select b.delivery_id from publication b where b.node = :node and"
    " b.partition = :partition and b.epoch = a.epoch and b.n = a.n))"
)
"""The delivery that an attempt ingested for a partition; of a batch, that which it published."""


class AttemptRecord(NamedTuple):
    """An attempt, its run and its plan. Times are microseconds; `measures` and `error` are JSON."""

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
    """Return the newest attempts at a partition, in the order in which they were queued.

    Attempts at several partitions are included if they are among the newest, or published.
    """
    select = ATTEMPT.replace("a.delivery_id", _DELIVERY)
    alone = msgspec.json.encode([partition]).decode()
    rows: list[tuple[Any, ...]] = tx.execute(
        f"{select} a.node = :node and {AT_PARTITIONS} order by a.epoch desc, a.n desc limit :limit",
        {"node": node, "partition": partition, "limit": ALONE_MAX, **at_partitions(alone)},
    ).fetchall()
    several = tx.execute(
        f"{select} a.node = :node and a.partitions like '%,%' order by a.epoch desc, a.n desc"
        " limit :limit",
        {"node": node, "partition": partition, "limit": SEVERAL_MAX},
    ).fetchall()
    published = tx.execute(
        f"{select} (a.epoch, a.n) in (select q.epoch, q.n from publication q where q.node = :node"
        " and q.partition = :partition order by q.published_at desc limit :limit)",
        {"node": node, "partition": partition, "limit": ROWS_MAX},
    ).fetchall()
    mine = [row for row in several if partition in msgspec.json.decode(row[-1])]
    records = {(row[0], row[1]): AttemptRecord(*row) for row in (*rows, *mine, *published)}
    return sorted(records.values(), key=lambda record: (record.queued_at, record.epoch, record.n))


_NOT_SINCE = (
    "exists (select 1 from json_each(a.partitions) as key where not exists (select 1 from"
    " publication q where q.node = a.node and q.partition = key.value and q.ended_snapshot is null"
    " and q.published_at >= coalesce(a.finished_at, a.queued_at)))"
)
"""Condition that one of an attempt's partitions hasn't been published since."""
# A skipped attempt counts with an error only (a full disk, a throttled server): deliveries of a
# skipped batch are ingested by other attempts. Data staged by a backfill is still on its way.
_UNPUBLISHED = (
    "(a.state in ('failed', 'lost', 'held', 'rejected', 'cancelled') or (a.state = 'skipped' and"
    f" a.error is not null and {_NOT_SINCE}))"
)


def of_run(
    tx: Transaction, run_id: int, after: tuple[int, int], limit: int, *, unpublished: bool = False
) -> list[tuple[str, AttemptRecord]]:
    """Return (node, attempt) of a run after `after` (epoch, n), in order.

    With `unpublished`, only attempts that failed, were lost, held, rejected or cancelled, or wait
    for something outside, are returned.
    """
    only = f" and {_UNPUBLISHED}" if unpublished else ""
    rows = tx.execute(
        f"select a.node, {ATTEMPT.removeprefix('select')} a.run_id = :run and (a.epoch > :epoch or"
        f" (a.epoch = :epoch and a.n > :n)){only} order by a.epoch, a.n limit :limit",
        {"run": run_id, "epoch": after[0], "n": after[1], "limit": limit},
    ).fetchall()
    return [(row[0], AttemptRecord(*row[1:])) for row in rows]


def unpublished_of_run(tx: Transaction, run_id: int) -> list[tuple[str, int]]:
    """Return (node, number of attempts) that `of_run` returns with `unpublished`."""
    rows = tx.execute(
        f"select a.node, count(*) from attempt a where a.run_id = ? and {_UNPUBLISHED} group by"
        " a.node",
        (run_id,),
    ).fetchall()
    return [(str(node), int(count)) for node, count in rows]


def open_of_run(
    tx: Transaction, run_id: int, first: tuple[int, int], last: tuple[int, int]
) -> set[tuple[int, int]]:
    """Return (epoch, n) of a run's attempts from one to another with a partition that wasn't
    published since."""
    rows = tx.execute(
        "select a.epoch, a.n from attempt a where a.run_id = ? and (a.epoch, a.n) >= (?, ?)"
        f" and (a.epoch, a.n) <= (?, ?) and {_UNPUBLISHED} and {_NOT_SINCE}",
        (run_id, *first, *last),
    ).fetchall()
    return {(epoch, n) for epoch, n in rows}


def states_of_run(tx: Transaction, run_id: int) -> dict[str, int]:
    """Return the number of a run's attempts by state."""
    rows = tx.execute(
        "select state, count(*) from attempt where run_id = ? group by state order by state",
        (run_id,),
    ).fetchall()
    return {str(state): int(count) for state, count in rows}


def under_way_of_run(tx: Transaction, run_id: int) -> list[tuple[str, str]]:
    """Return (node, partition) of a run's queued and running attempts, in order."""
    rows = tx.execute(
        "select node, partitions from attempt where run_id = ? and state in ('queued', 'running')"
        " order by epoch, n",
        (run_id,),
    ).fetchall()
    return list(
        dict.fromkeys((node, key) for node, keys in rows for key in msgspec.json.decode(keys))
    )


def tried_before(tx: Transaction, node: str, record: AttemptRecord) -> int | None:
    """Return when the previous attempt at the same partitions in the same run ended, or None."""
    row = tx.execute(
        f"select finished_at from attempt where node = :node and {AT_PARTITIONS} and"
        " (epoch, n) < (:epoch, :n) and run_id = :run and kind = :kind order by epoch desc, n desc"
        " limit 1",
        {
            "node": node,
            **at_partitions(record.partitions),
            "epoch": record.epoch,
            "n": record.n,
            "run": record.run_id,
            "kind": record.kind,
        },
    ).fetchone()
    return None if row is None else row[0]


def publications(
    tx: Transaction, node: str, partition: str
) -> list[tuple[int, int | None, int, int]]:
    """Return (published, ended, epoch, n) of a partition's publications, oldest first."""
    rows = tx.execute(
        "select published_at, ended_at, epoch, n from publication where node = :node and partition"
        " = :partition order by published_at, id limit :limit",
        {"node": node, "partition": partition, "limit": ROWS_MAX},
    ).fetchall()
    return [(at, ended, epoch, n) for at, ended, epoch, n in rows]


def dropped(tx: Transaction, node: str, partition: str) -> dict[tuple[int, int], tuple[int, str]]:
    """Return the time and reason of dropped data, by its attempt (epoch, n)."""
    rows = tx.execute(
        "select epoch, n, decided_at, decided from quarantine where node = :node and partition ="
        " :partition and state = 'dropped' and decided_at is not null order by id desc limit"
        " :limit",
        {"node": node, "partition": partition, "limit": ROWS_MAX},
    ).fetchall()
    return {(epoch, n): (at, reason or "dropped") for epoch, n, at, reason in rows}


def arrivals(tx: Transaction, source: str, partition: str) -> list[tuple[int, int, int, int]]:
    """Return (id, arrived, observed, claimed) of an interval's deliveries, oldest first."""
    rows = tx.execute(
        "select id, arrived_at, observed_at, claimed_at from delivery where source = :source"
        " and partition = :partition order by id limit :limit",
        {"source": source, "partition": partition, "limit": ROWS_MAX},
    ).fetchall()
    return sorted(
        (
            (number, arrived, max(arrived, observed), claimed)
            for number, arrived, observed, claimed in rows
        ),
        key=lambda item: (item[1], item[0]),
    )


def placed_at(tx: Transaction, source: str, observed_us: int) -> int | None:
    """Return since when a source has been observed at the place where it was at a time.

    It is the first `apply` after the last observation at another place, else that observation.
    Returns None if all observations were at the same place.
    """
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
    """Return (at, error) of a source's stored observations (`record_observation`), oldest first."""
    rows = tx.execute(
        "select at, error from look where source = :source and at <= :until order by at",
        {"source": source, "until": until_us},
    ).fetchall()
    return [(int(at), error) for at, error in rows]


def newest_published(
    tx: Transaction, node: str, before_us: int, epoch: int | None, n: int | None
) -> tuple[str, int] | None:
    """Return (partition, time) of a node's last publication before a time and an attempt."""
    bound = "" if epoch is None else " and (epoch < :epoch or (epoch = :epoch and n < :n))"
    row = tx.execute(
        f"select partitions, published_at from attempt where node = :node{bound} and state ="
        " 'published' and published_at <= :before order by epoch desc, n desc limit 1",
        {"node": node, "before": before_us, "epoch": epoch, "n": n},
    ).fetchone()
    return None if row is None else (str(msgspec.json.decode(row[0])[-1]), int(row[1]))


def around(tx: Transaction, epoch: int, n: int) -> list[tuple[int, int, int | None]]:
    """Return times of the newest AROUND_MAX earlier attempts of the same leader, without backfills.

    They are (sent to a worker, begun, ended).
    """
    rows = tx.execute(
        "select coalesce(dispatched_at, started_at), started_at, finished_at from attempt where"
        " epoch = :epoch and n < :n and n >= :first and started_at is not null",
        {"epoch": epoch, "n": n, "first": n - AROUND_MAX},
    ).fetchall()
    return [(dispatched, began, ended) for dispatched, began, ended in rows]


def slots(tx: Transaction, epoch: int) -> int | None:
    """Return a leader's maximum number of concurrent attempts; None if its journal was deleted.

    Isolated backfills have workers of their own, which aren't counted.
    """
    row = tx.execute(
        "select slots from journal where epoch = ? and plan_id = 0 order by seq limit 1", (epoch,)
    ).fetchone()
    return None if row is None else int(row[0])


def leads(tx: Transaction, epoch: int) -> tuple[int, int] | None:
    """Return a leader's maximum of concurrent attempts and its start; None without its journal."""
    row = tx.execute(
        "select slots, at from journal where epoch = ? and plan_id = 0 order by seq limit 1",
        (epoch,),
    ).fetchone()
    return None if row is None else (int(row[0]), int(row[1]))


def under_way(tx: Transaction, epoch: int, now_us: int) -> list[str]:
    """Return the nodes of a leader's queued and running attempts, oldest first."""
    rows = tx.execute(
        "select node from attempt where state in ('queued', 'running') and epoch = ? and queued_at"
        " <= ? order by n",
        (epoch, now_us),
    ).fetchall()
    return [str(node) for (node,) in rows]


def applied_at(tx: Transaction, version: int) -> int | None:
    """Return when a version was applied."""
    row = tx.execute("select applied_at from version where id = ?", (version,)).fetchone()
    return None if row is None else int(row[0])


class IncidentRecord(NamedTuple):
    """The fields of an incident that the ledger displays."""

    id: int
    node: str
    kind: str
    summary: str
    owner: str
    began_at: int
    ended_at: int | None
    places: int
    """Number of partitions with evidence of it."""
    of_node: bool = False
    """Whether it concerns the whole node, without evidence at the partition itself."""


_INCIDENT = (
    "select id, node, kind, summary, owner, began_at, coalesce(restored_at, resolved_at), (select"
    " count(*) from incident_partition seen where seen.incident_id = incident.id){more} from"
    " incident where "
)
_OF_NODE = (
    ", not (node = :node and partition = :partition) and not exists (select 1 from"
    " incident_partition p where p.incident_id = incident.id and p.node = :node and p.partition ="
    " :partition) and not exists (select 1 from symptom s where s.incident_id = incident.id and"
    " s.node = :node and s.partition = :partition)"
)


def incidents(tx: Transaction, node: str, partition: str) -> list[IncidentRecord]:
    """Return the incidents whose cause or symptoms include a partition."""
    rows = tx.execute(
        f"{_INCIDENT.format(more=_OF_NODE)}id in (select incident_id from incident_partition where"
        " node = :node and partition in (:partition, '') union select incident_id from symptom"
        " where node = :node and partition in (:partition, '')) or (node = :node and partition ="
        " :partition) order by id limit :limit",
        {"node": node, "partition": partition, "limit": ROWS_MAX},
    ).fetchall()
    return [IncidentRecord(*row) for row in rows]


def explained(
    tx: Transaction, node: str, partition: str, numbers: Iterable[int]
) -> dict[int, list[tuple[int, int]]]:
    """Return attempts (epoch, n) at a partition whose outcome is evidence, by incident.

    The outcome is a failure, a hold or a rejection.
    """
    results: dict[int, list[tuple[int, int]]] = {}
    for number in numbers:
        rows = tx.execute(
            "select distinct attempt from evidence where incident_id = :id and node = :node and"
            " partition in (:partition, '') and held = 1 and attempt is not null",
            {"id": number, "node": node, "partition": partition},
        ).fetchall()
        for (attempt,) in rows:
            epoch, _, n = str(attempt).partition(".")
            results.setdefault(number, []).append((int(epoch), int(n)))
    return results


def incident(tx: Transaction, number: int) -> IncidentRecord | None:
    """Return one incident, or None."""
    row = tx.execute(f"{_INCIDENT.format(more='')}id = ?", (number,)).fetchone()
    return None if row is None else IncidentRecord(*row)


def awaiting(tx: Transaction) -> list[tuple[int, int, str, bytes]]:
    """Return (id, created, needs, content) of the backfills that wait for an approval."""
    rows = tx.execute(
        "select id, created_at, coalesce(needs, ''), content from plan where state ="
        f" 'awaiting_approval' and {NOT_VOID} order by id limit :limit",
        {"limit": ROWS_MAX},
    ).fetchall()
    return [(number, created, needs, bytes(content)) for number, created, needs, content in rows]


class ActRecord(NamedTuple):
    """An approval that was asked for an act which partitions wait for, and its answers.

    `needs` is JSON of `model.policy.Approval`, `spans` of [node, first, last]. `replaced_at` is
    when a changed act was asked for or another version applied. Times are in microseconds since
    1970 UTC.
    """

    id: int
    kind: str
    created_at: int
    used_at: int | None
    needs: str
    spans: str
    replaced_at: int | None
    answers: list[tuple[str, str, str, int]]
    """Answer, actor, JSON of the needs that it meets, and its time; oldest first."""


def act_approvals(tx: Transaction) -> list[ActRecord]:
    """Return the newest approvals of acts that partitions wait for, newest first."""
    rows = tx.execute(
        "select r.id, r.kind, r.created_at, r.used_at, r.needs, r.spans, (select min(n.created_at)"
        " from approval_request n where n.id > r.id and n.kind = r.kind and n.plan_id <> r.plan_id"
        " and coalesce(n.version, 0) = coalesce(r.version, 0) and (n.kind = 'apply' or n.command ="
        " r.command)) as newer, (select min(v.applied_at) from version v where v.id >"
        " coalesce(r.version, 0)) as applied from approval_request r where r.spans <> '[]' order by"
        " r.id desc limit :limit",
        {"limit": ROWS_MAX},
    ).fetchall()
    return [
        ActRecord(
            id=number,
            kind=kind,
            created_at=created,
            used_at=used,
            needs=needs,
            spans=spans,
            replaced_at=min((at for at in replaced if at is not None), default=None),
            answers=_answers(tx, number),
        )
        for number, kind, created, used, needs, spans, *replaced in rows
    ]


def _answers(tx: Transaction, request: int) -> list[tuple[str, str, str, int]]:
    rows = tx.execute(
        "select answer, actor, meets, answered_at from approval_answer where request_id = :id order"
        " by id",
        {"id": request},
    ).fetchall()
    return [(answer, actor, meets, int(at)) for answer, actor, meets, at in rows]


def obligation(
    tx: Transaction, consumer: str, interval: str
) -> tuple[int | None, int | None, int | None]:
    """Return (met, waived, due) of a consumer's interval; all None before it is stored."""
    row = tx.execute(
        "select met_at, waived_at, due_at from obligation where consumer = ? and interval = ?",
        (consumer, interval),
    ).fetchone()
    return (None, None, None) if row is None else (row[0], row[1], row[2])


def promised_reads(tx: Transaction, consumer: str, interval: str) -> list[str] | None:
    """Return a consumer's declared reads when an interval became due; None before it is stored."""
    row = tx.execute(
        "select p.terms from obligation o join promise p on p.id = o.promise_id where o.consumer ="
        " ? and o.interval = ?",
        (consumer, interval),
    ).fetchone()
    return None if row is None else list(msgspec.json.decode(row[0])["reads"])


def read_between(
    tx: Transaction, nodes: Iterable[str], since_us: int
) -> tuple[int | None, int | None]:
    """Return by when nodes had been read since a time, and their last read before it.

    It covers observed reads only, without exports.
    """
    after: list[int] = []
    before: list[int] = []
    for node in nodes:
        row = tx.execute(
            "select min(case when last_at >= :since then last_at end), max(case when last_at <"
            " :since then last_at end) from usage where node = :node and via <> 'export'",
            {"node": node, "since": since_us},
        ).fetchone()
        after += [] if row[0] is None else [int(row[0])]
        before += [] if row[1] is None else [int(row[1])]
    return min(after, default=None), max(before, default=None)


# Frozen ledgers, which are stored before their rows are deleted.


def frozen(tx: Transaction, consumer: str, interval: str) -> tuple[str, str] | None:
    """Return (content, hash) of a ledger whose rows were deleted, or None."""
    row = tx.execute(
        "select content, hash from frozen_ledger where consumer = ? and interval = ?",
        (consumer, interval),
    ).fetchone()
    return None if row is None else (str(row[0]), str(row[1]))


def to_freeze(
    tx: Transaction, consumer: str, before_us: int, limit: int
) -> list[tuple[str, int | None, int | None]]:
    """Return (interval, met, waived) of obligations settled before a time and not yet frozen.

    They are sorted by deadline.
    """
    rows = tx.execute(
        "select o.interval, o.met_at, o.waived_at from obligation o where o.consumer = :consumer"
        " and o.due_at < :before and coalesce(o.met_at, o.waived_at) < :before and not exists"
        " (select 1 from frozen_ledger f where f.consumer = o.consumer and f.interval = o.interval)"
        " order by o.due_at, o.interval limit :limit",
        {"consumer": consumer, "before": before_us, "limit": limit},
    ).fetchall()
    return [(interval, met, waived) for interval, met, waived in rows]


def freeze(tx: Transaction, rows: Iterable[tuple[str, str, str, str, int]]) -> None:
    """Insert frozen ledgers: (consumer, interval, content, hash, at)."""
    tx.executemany(
        "insert into frozen_ledger (consumer, interval, content, hash, at) values (?, ?, ?, ?, ?)",
        rows,
    )
