"""Queries for the delay ledger: a partition's attempts, publications and deliveries.

They also return concurrent work. Each query uses an index and has a limit, so its cost doesn't grow
with the history.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from headrace.store.queries.attempts import (
    PARTITIONS_INDEXED,
    newest_ids,
)
from headrace.store.queries.backfill_plans import NOT_VOID
from headrace.store.transaction import Transaction, among, at_places, json_list

ALONE_MAX = 200
"""At most this number of a partition's newest attempts is read."""
SEVERAL_MAX = 60
"""At most this number of a node's newest attempts at several partitions is read."""
AROUND_MAX = 400
"""At most this number of earlier attempts is searched for those that ran while one waited."""
ROWS_MAX = 200

_ATTEMPT = (
    "a.epoch, a.n, a.kind, a.state, a.queued_at, coalesce(a.dispatched_at, a.started_at,"
    " a.queued_at) as dispatched, a.finished_at, a.reason, a.measures, a.error, a.delivery_id,"
    " a.version, a.run_id, r.started_at as asked, p.id as plan, p.created_at as planned,"
    " p.started_at as begun, p.needs, a.partitions"
)
_OF_ATTEMPT = "left join run r on r.id = a.run_id left join plan p on p.id = r.plan_id"
ATTEMPT = f"select {_ATTEMPT} from attempt a {_OF_ATTEMPT} where "
"""Start of a query for `AttemptRecord`; a condition follows."""
_OF_NODES = ATTEMPT.replace("select", "select a.node,", 1)
_PUBLISHED = (
    f"select q.node, q.partition, q.delivery_id, {_ATTEMPT} from (select node, partition,"
    " delivery_id, epoch, n, row_number() over (partition by node, partition order by published_at"
    " desc) as place from publication where"
)
"""Start of a query for the attempts behind publications, the newest first."""


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


# What is asked partition by partition is read for several partitions, of several nodes, at once.

_KEYS = "in (select value from json_each(:keys))"
Place = tuple[str, str]
"""A node and a partition."""


def attempts(tx: Transaction, places: Collection[Place]) -> dict[Place, list[AttemptRecord]]:
    """Return the newest attempts at each partition, in the order in which they were queued.

    Attempts at several partitions are included if they are among the newest of their node, or
    published; their delivery is the one that they published for the partition.
    """
    found: dict[Place, dict[tuple[int, int], AttemptRecord]] = {place: {} for place in places}
    nodes = list({node for node, _ in places})
    alone = [json_list([key]) for key in {key for _, key in places}]
    starts = [text[:PARTITIONS_INDEXED] for text in alone]
    rows: list[tuple[Any, ...]] = tx.execute(
        f"{_OF_NODES} (a.epoch, a.n) in (select epoch, n from (select epoch, n, row_number() over"
        " (partition by node, partitions order by epoch desc, n desc) as place from attempt where"
        " node in (select value from json_each(:nodes)) and substr(partitions, 1,"
        f" {PARTITIONS_INDEXED}) in (select value from json_each(:starts)) and partitions in"
        " (select value from json_each(:alone))) as newest where place <= :limit)",
        {
            "nodes": json_list(nodes),
            "starts": json_list(starts),
            "alone": json_list(alone),
            "limit": ALONE_MAX,
        },
    ).fetchall()
    several, parameters = newest_ids(nodes, SEVERAL_MAX, " and partitions like '%,%'")
    rows += tx.execute(f"{_OF_NODES} (a.epoch, a.n) in ({several})", parameters).fetchall()
    for node, *row in rows:
        for place in found.keys() & {(node, key) for key in msgspec.json.decode(row[-1])}:
            found[place][row[0], row[1]] = AttemptRecord(*row)
    published = tx.execute(
        f"{_PUBLISHED} {among()}) as q join attempt a on a.epoch = q.epoch and a.n = q.n"
        f" {_OF_ATTEMPT} where q.place <= :limit",
        at_places(places) | {"limit": ROWS_MAX},
    ).fetchall()
    for node, key, delivery, *row in published:
        record = AttemptRecord(*row)
        if record.delivery_id is None:
            record = record._replace(delivery_id=delivery)
        found.get((node, key), {})[record.epoch, record.n] = record
    return {
        place: sorted(each.values(), key=lambda record: (record.queued_at, record.epoch, record.n))
        for place, each in found.items()
    }


PublicationRow = tuple[int, int | None, int, int]
"""When it was published and when that ended, and its attempt (epoch, n)."""


def publications(tx: Transaction, places: Collection[Place]) -> dict[Place, list[PublicationRow]]:
    """Return the publications of each partition, oldest first."""
    rows = tx.execute(
        "select node, partition, published_at, ended_at, epoch, n from (select node, partition,"
        " published_at, ended_at, epoch, n, row_number() over (partition by node, partition order"
        f" by published_at, id) as place from publication where {among()}) as ranked where place <="
        " :limit order by place",
        at_places(places) | {"limit": ROWS_MAX},
    )
    return _by_place(places, rows)


def dropped(
    tx: Transaction, places: Collection[Place]
) -> dict[tuple[Place, int, int], tuple[int, str]]:
    """Return the time and reason of dropped data, by partition and attempt (epoch, n)."""
    rows = tx.execute(
        "select node, partition, epoch, n, decided_at, decided from (select node, partition, epoch,"
        " n, decided_at, decided, row_number() over (partition by node, partition order by id desc)"
        f" as place from quarantine where {among()} and state = 'dropped' and decided_at is not"
        " null) as ranked where place <= :limit order by place",
        at_places(places) | {"limit": ROWS_MAX},
    )
    return {
        ((node, key), epoch, n): (at, reason or "dropped")
        for node, key, epoch, n, at, reason in rows
    }


ArrivalRow = tuple[int, int, int, int]
"""The number of a delivery, and when it arrived, was observed, and says that it arrived."""


def arrivals(tx: Transaction, places: Collection[Place]) -> dict[Place, list[ArrivalRow]]:
    """Return the deliveries of each interval of a source, oldest first."""
    rows = tx.execute(
        "select source, partition, id, arrived_at, max(arrived_at, observed_at), claimed_at from"
        " (select source, partition, id, arrived_at, observed_at, claimed_at, row_number() over"
        f" (partition by source, partition order by id) as place from delivery where"
        f" {among('source')}) as ranked where place <= :limit order by arrived_at, id",
        at_places(places) | {"limit": ROWS_MAX},
    )
    return _by_place(places, rows)


def _by_place(places: Collection[Place], rows: Iterable[tuple[Any, ...]]) -> dict[Place, list[Any]]:
    """Return the rows of each partition, which begin with its node and key."""
    results: dict[Place, list[Any]] = {place: [] for place in places}
    for node, key, *row in rows:
        if (node, key) in results:
            results[node, key].append(tuple(row))
    return results


class ObservationRow(NamedTuple):
    """An observation of a source (`record_observation`): its time, its error, and the place."""

    at: int
    error: str | None
    place: str


def observations(
    tx: Transaction, sources: Sequence[str], until_us: int
) -> dict[str, list[ObservationRow]]:
    """Return each source's stored observations, oldest first."""
    results: dict[str, list[ObservationRow]] = {source: [] for source in sources}
    for source, at, error, place in tx.execute(
        "select source, at, error, place from look where source in (select value from"
        " json_each(:sources)) and at <= :until order by at",
        {"sources": json_list(sources), "until": until_us},
    ):
        results[source].append(ObservationRow(int(at), error, place))
    return results


def applied_times(tx: Transaction) -> list[int]:
    """Return when each version was applied, oldest first."""
    return [int(at) for (at,) in tx.execute("select applied_at from version order by applied_at")]


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


def around(tx: Transaction, epoch: int, n: int) -> list[tuple[int, int, int, int | None]]:
    """Return the AROUND_MAX attempts of a leader from a number on, without backfills.

    They are (number, sent to a worker, begun, ended).
    """
    rows = tx.execute(
        "select n, coalesce(dispatched_at, started_at), started_at, finished_at from attempt where"
        " epoch = :epoch and n >= :n and n < :end and started_at is not null",
        {"epoch": epoch, "n": n, "end": n + AROUND_MAX},
    ).fetchall()
    return [(number, dispatched, began, ended) for number, dispatched, began, ended in rows]


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


def incidents(tx: Transaction, numbers: Iterable[int]) -> dict[int, IncidentRecord]:
    """Return incidents by their numbers; unknown ones are left out."""
    rows = tx.execute(
        "select id, node, kind, summary, owner, began_at, coalesce(restored_at, resolved_at),"
        " (select count(*) from incident_partition seen where seen.incident_id = incident.id) from"
        " incident where id in (select cast(value as bigint) from json_each(:numbers))",
        {"numbers": json_list(numbers)},
    ).fetchall()
    return {row[0]: IncidentRecord(*row) for row in rows}


def incidents_at(tx: Transaction, places: Collection[Place]) -> dict[Place, dict[int, bool]]:
    """Return, by partition, the incidents whose cause or symptoms include it.

    True for one that concerns the whole node, without evidence at the partition itself.
    """
    parameters = at_places([*places, *((node, "") for node, _ in places)])
    rows = tx.execute(
        f"select node, partition, incident_id from incident_partition where {among()} union select"
        f" node, partition, incident_id from symptom where {among()} union select node, partition,"
        f" id from incident where partition <> '' and {among()}",
        parameters,
    ).fetchall()
    of_nodes: dict[str, dict[int, bool]] = {}
    for node, key, number in rows:
        if key == "":
            of_nodes.setdefault(node, {})[number] = True
    results = {place: dict(of_nodes.get(place[0], {})) for place in places}
    for node, key, number in rows:
        if (node, key) in results:
            results[node, key][number] = False
    return {place: dict(sorted(named.items())[:ROWS_MAX]) for place, named in results.items()}


def explained(
    tx: Transaction, places: Collection[Place], numbers: Iterable[int]
) -> list[tuple[int, Place, tuple[int, int]]]:
    """Return (incident, partition or "" of a node, attempt) of outcomes that are evidence.

    The outcome is a failure, a hold or a rejection.
    """
    rows = tx.execute(
        "select distinct incident_id, node, partition, attempt from evidence where incident_id in"
        f" (select cast(value as bigint) from json_each(:numbers)) and {among()} and held = 1 and"
        " attempt is not null",
        at_places([*places, *((node, "") for node, _ in places)]) | {"numbers": json_list(numbers)},
    ).fetchall()
    results = []
    for number, node, key, attempt in rows:
        epoch, _, n = str(attempt).partition(".")
        results.append((number, (node, key), (int(epoch), int(n))))
    return results


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


class ObligationRow(NamedTuple):
    """When a consumer's interval was met, waived and due; all None before it is stored.

    `reads` are the declared reads when it became due; None before it is stored.
    """

    met: int | None = None
    waived: int | None = None
    due: int | None = None
    reads: tuple[str, ...] | None = None


def obligations(
    tx: Transaction, consumer: str, intervals: Sequence[str]
) -> dict[str, ObligationRow]:
    """Return what is stored of a consumer's intervals."""
    rows = tx.execute(
        "select o.interval, o.met_at, o.waived_at, o.due_at, p.terms from obligation o left join"
        f" promise p on p.id = o.promise_id where o.consumer = :consumer and o.interval {_KEYS}",
        {"consumer": consumer, "keys": json_list(intervals)},
    ).fetchall()
    results = dict.fromkeys(intervals, ObligationRow())
    for interval, met, waived, due, terms in rows:
        reads = None if terms is None else tuple(msgspec.json.decode(terms)["reads"])
        results[interval] = ObligationRow(met, waived, due, reads)
    return results


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


def frozen(tx: Transaction, consumer: str, intervals: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return (content, hash) of the ledgers whose rows were deleted, by interval."""
    rows = tx.execute(
        "select interval, content, hash from frozen_ledger where consumer = :consumer and interval"
        f" {_KEYS}",
        {"consumer": consumer, "keys": json_list(intervals)},
    ).fetchall()
    return {interval: (str(content), str(digest)) for interval, content, digest in rows}


def to_freeze(tx: Transaction, consumer: str, before_us: int, limit: int) -> list[str]:
    """Return the intervals of obligations settled before a time and not yet frozen, by deadline."""
    rows = tx.execute(
        "select o.interval from obligation o where o.consumer = :consumer"
        " and o.due_at < :before and coalesce(o.met_at, o.waived_at) < :before and not exists"
        " (select 1 from frozen_ledger f where f.consumer = o.consumer and f.interval = o.interval)"
        " order by o.due_at, o.interval limit :limit",
        {"consumer": consumer, "before": before_us, "limit": limit},
    ).fetchall()
    return [interval for (interval,) in rows]


def freeze(tx: Transaction, rows: Iterable[tuple[str, str, str, str, int]]) -> None:
    """Insert frozen ledgers: (consumer, interval, content, hash, at)."""
    tx.executemany(
        "insert into frozen_ledger (consumer, interval, content, hash, at) values (?, ?, ?, ?, ?)",
        rows,
    )
