"""Attempts at partitions of nodes, with their durations and sizes."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from headrace.store.lease import holder
from headrace.store.transaction import Transaction, among, at_places, json_list

# An attempt whose leader has died is returned as lost, although only the next leader writes that
# state.

OPEN = ("queued", "running")
ENVIRONMENT = "environment"
"""Key in `measures` of the hash, in `content`, of the attempt's interpreter and packages."""
IN_A_ROW_MAX = 200
"""At most this number of consecutive failed attempts is counted."""
GONE = "the runtime ended while it ran"

NODES_MAX = 100
"""At most this number of nodes is asked for by one statement, which has a part for each."""
PARTITIONS_INDEXED = 256
"""Characters of an attempt's list of partitions that its index has (migration 21)."""
AT_PARTITIONS = (
    f"substr(partitions, 1, {PARTITIONS_INDEXED}) = :partitions_start and partitions = :partitions"
)
"""Condition for attempts at exactly the partitions of `at_partitions`."""

_COLUMNS = (
    "epoch, n, run_id, node, kind, partitions, state, version, snapshot_read, delivery_id,"
    " queued_at, started_at, finished_at, published_at, verdict, reason, measures, error"
)


def at_partitions(partitions: str) -> dict[str, str]:
    """Return the parameters of `AT_PARTITIONS` for a list of partitions in JSON."""
    return {"partitions": partitions, "partitions_start": partitions[:PARTITIONS_INDEXED]}


def newest_ids(nodes: Sequence[str], limit: int, also: str = "") -> tuple[str, dict[str, Any]]:
    """Return the query for (epoch, n) of each node's newest attempts, and its parameters.

    Each node is a query of its own, which an index ends at `limit`. `also` is a further condition.
    The union has a name, as SQLite runs it for each row of the outer query otherwise.
    """
    arms = (
        f"select * from (select epoch, n from attempt where node = :node_{place}{also} order by"
        f" epoch desc, n desc limit :newest) as of_{place}"
        for place in range(len(nodes))
    )
    parameters = {f"node_{place}": node for place, node in enumerate(nodes)}
    together = " union all ".join(arms)
    return f"select epoch, n from ({together}) as newest", {**parameters, "newest": limit}


class Attempt(msgspec.Struct, frozen=True):
    """One attempt. Times are microseconds of the store's clock.

    `measures` and `error` are as reported by the worker (the engine's Measures and BodyError).
    """

    epoch: int
    n: int
    run_id: int
    node: str
    kind: str
    partitions: tuple[str, ...]
    state: str
    version: int | None
    snapshot_read: int | None
    delivery_id: int | None
    queued_at: int
    started_at: int | None
    finished_at: int | None
    published_at: int | None
    verdict: str | None
    reason: str | None
    measures: dict[str, Any] | None
    error: dict[str, Any] | None

    @property
    def id(self) -> str:
        """The attempt's id, `epoch.n`."""
        return f"{self.epoch}.{self.n}"


def environment(tx: Transaction, attempt: Attempt) -> bytes | None:
    """Return an attempt's interpreter and packages as JSON; None if not recorded."""
    digest = (attempt.measures or {}).get(ENVIRONMENT)
    row = (
        None
        if digest is None
        else tx.execute("select bytes from content where hash = ?", (digest,)).fetchone()
    )
    return None if row is None else bytes(row[0])


def get(tx: Transaction, epoch: int, n: int) -> Attempt | None:
    """Return one attempt, or None."""
    row = tx.execute(
        f"select {_COLUMNS} from attempt where epoch = :epoch and n = :n", {"epoch": epoch, "n": n}
    ).fetchone()
    return _attempts(tx, [row])[0] if row else None


def of_run(tx: Transaction, run_id: int, *, limit: int = 10_000) -> list[Attempt]:
    """Return the attempts of a run, in order."""
    return _attempts(
        tx,
        tx.execute(
            f"select {_COLUMNS} from attempt where run_id = :run order by epoch, n limit :limit",
            {"run": run_id, "limit": limit},
        ),
    )


def of_plan(tx: Transaction, plan: int) -> list[Attempt]:
    """Return the attempts of all runs of a backfill, in order."""
    sql = (
        f"select {_COLUMNS} from attempt where run_id in (select id from run where plan_id = ?)"
        " order by epoch, n"
    )
    return _attempts(tx, tx.execute(sql, (plan,)))


def of_node(
    tx: Transaction,
    node: str,
    *,
    limit: int = 50,
    states: Sequence[str] = (),
    before: tuple[int, int] | tuple[()] = (),
) -> list[Attempt]:
    """Return the newest attempts at a node, newest first.

    Only in `states`, and only those before the attempt `before` (epoch, n), if these are given.
    """
    marks = f" and state in ({', '.join('?' * len(states))})" if states else ""
    earlier = " and (epoch, n) < (?, ?)" if before else ""
    rows = tx.execute(
        f"select {_COLUMNS} from attempt where node = ?{marks}{earlier} order by epoch desc, n desc"
        " limit ?",
        (node, *states, *before, limit),
    )
    return _attempts(tx, rows)


def others_short(tx: Transaction, node: str, since: int, besides: str) -> bool:
    """Return whether an attempt at another node ran out of memory, disk or time since a time.

    Attempts that failed with the code `besides` don't count.
    """
    rows = tx.execute(
        "select error from attempt where node <> ? and finished_at >= ? and state = 'failed' and"
        " error is not null",
        (node, since),
    ).fetchall()
    errors = [msgspec.json.decode(error) for (error,) in rows]
    return any(
        error.get("kind") == "resources" and error.get("code") != besides for error in errors
    )


def of_partition(tx: Transaction, node: str, partition: str, *, limit: int = 10) -> list[Attempt]:
    """Return the newest attempts at one partition, newest first."""
    alone = tx.execute(
        f"select {_COLUMNS} from attempt where node = :node and {AT_PARTITIONS} order by epoch"
        " desc, n desc limit :limit",
        {"node": node, "limit": limit, **at_partitions(msgspec.json.encode([partition]).decode())},
    ).fetchall()
    several = tx.execute(
        f"select {_COLUMNS} from attempt where node = :node and partitions like '%,%' and exists"
        " (select 1 from json_each(attempt.partitions) as key where key.value = :partition) order"
        " by epoch desc, n desc limit :limit",
        {"node": node, "partition": partition, "limit": limit},
    ).fetchall()
    newest = sorted(
        {(row[0], row[1]): row for row in (*alone, *several)}.items(),
        reverse=True,
        key=lambda item: item[0],
    )[:limit]
    return _attempts(tx, [row for _, row in newest])


def newest_at(
    tx: Transaction, places: Collection[tuple[str, str]], states: Sequence[str] = ()
) -> dict[tuple[str, str], Attempt]:
    """Return the newest attempt at each of these partitions that was ever tried.

    Only in `states`, if these are given.
    """
    ended = " and state in (select value from json_each(:states))" if states else ""
    alone = [msgspec.json.encode([key]).decode() for _, key in places]
    newest = "row_number() over (partition by node, {} order by epoch desc, n desc) as place"
    rows = tx.execute(
        f"select {_COLUMNS} from (select attempt.*, {newest.format('partitions')} from attempt"
        " where node in (select value from json_each(:nodes)) and substr(partitions, 1,"
        f" {PARTITIONS_INDEXED}) in (select value from json_each(:starts)) and partitions in"
        f" (select value from json_each(:alone)){ended}) as one where place = 1 union select"
        f" {_COLUMNS} from (select attempt.*, {newest.format('key.value')} from attempt,"
        " json_each(attempt.partitions) as key where partitions like '%,%' and"
        f" {among('node', 'key.value')}{ended}) as several where place = 1",
        {
            **at_places(places),
            "alone": json_list(alone),
            "starts": json_list(text[:PARTITIONS_INDEXED] for text in alone),
            **({"states": json_list(states)} if states else {}),
        },
    ).fetchall()
    return {
        (attempt.node, key): attempt
        for attempt in sorted(_attempts(tx, rows), key=lambda each: (each.epoch, each.n))
        for key in attempt.partitions
    }


def failed_in_a_row(
    tx: Transaction, node: str, partition: str, *, until: tuple[int, int] | None = None
) -> list[str]:
    """Return the ids of the newest consecutive failed or lost attempts, newest first.

    With `until` (epoch, n), later attempts are ignored. Attempts that couldn't begin or were
    cancelled are skipped.
    """
    results = []
    for attempt in of_partition(tx, node, partition, limit=IN_A_ROW_MAX):
        if (
            attempt.state in OPEN
            or attempt.state in ("skipped", "cancelled")
            or (until is not None and (attempt.epoch, attempt.n) > until)
        ):
            continue
        if attempt.state not in ("failed", "lost"):
            break
        results.append(attempt.id)
    return results


def running(tx: Transaction) -> list[Attempt]:
    """Return all running attempts, oldest first."""
    attempts = _attempts(
        tx,
        tx.execute(
            f"select {_COLUMNS} from attempt where state in ('queued', 'running') order by epoch, n"
        ),
    )
    return [attempt for attempt in attempts if attempt.state in OPEN]


def _attempts(tx: Transaction, rows: Iterable[tuple[Any, ...]]) -> list[Attempt]:
    attempts = [_attempt(row) for row in rows]
    if not any(attempt.state in OPEN for attempt in attempts):
        return attempts
    leader = holder(tx)
    epoch = leader.epoch if leader is not None else None
    return [
        (
            attempt
            if attempt.state not in OPEN or attempt.epoch == epoch
            else msgspec.structs.replace(attempt, state="lost", reason=GONE)
        )
        for attempt in attempts
    ]


def _attempt(row: tuple[Any, ...]) -> Attempt:
    values = list(row)
    values[5] = tuple(msgspec.json.decode(values[5]))
    for place in (-2, -1):
        values[place] = None if values[place] is None else msgspec.json.decode(values[place])
    return Attempt(*values)


# Durations are percentiles over a bounded window of a node's newest attempts, so that the cost
# doesn't grow with the history.

DURATIONS_WINDOW = 50
"""Number of a node's newest successful attempts in the statistics."""
SEARCHED_MAX = 4 * DURATIONS_WINDOW
"""Number of newest attempts to search for successful ones, to limit the cost of failing nodes."""

PLAN_SQL = (
    "select node, partitions, state, started_at, finished_at from attempt where run_id = (select"
    " max(id) from run where plan_id = :plan) order by epoch desc, n desc limit :limit"
)


class DurationStatistics(msgspec.Struct, frozen=True):
    """Durations of a node's successful attempts in seconds: median and p95.

    p95 is the smallest observed duration that at least 95 % of attempts don't exceed. `count` is
    the number of attempts.
    """

    p50: float
    p95: float
    count: int


def durations_of_node(tx: Transaction, node: str) -> DurationStatistics | None:
    """Return the durations of a node's newest successful attempts; None without any."""
    return durations_of_nodes(tx, [node])[node]


def durations_of_nodes(
    tx: Transaction, nodes: Collection[str]
) -> dict[str, DurationStatistics | None]:
    """Return the durations of each node's newest successful attempts; None without any."""
    statistics: dict[str, DurationStatistics | None] = dict.fromkeys(nodes)
    for node, samples in _durations(tx, nodes).items():
        took = sorted(seconds for _, (_, seconds) in samples)
        statistics[node] = DurationStatistics(
            _percentile(took, 0.5), _percentile(took, 0.95), len(took)
        )
    return statistics


_Samples = list[tuple[int | None, tuple[int, float]]]


def durations_by_version(tx: Transaction, node: str) -> _Samples:
    """Return (version, (partitions, seconds)) of the newest successful attempts, newest first."""
    return _durations(tx, [node]).get(node, [])


def _durations(tx: Transaction, nodes: Iterable[str]) -> dict[str, _Samples]:
    samples: dict[str, _Samples] = {}
    names = list(nodes)
    for first in range(0, len(names), NODES_MAX):
        ids, parameters = newest_ids(names[first : first + NODES_MAX], SEARCHED_MAX)
        for node, us, partitions, version in tx.execute(
            "select node, finished_at - started_at, partitions, version from attempt where (epoch,"
            f" n) in ({ids}) and state in ('published', 'staged') and started_at is not null and"
            " finished_at is not null order by epoch desc, n desc",
            parameters,
        ):
            of_node = samples.setdefault(node, [])
            if len(of_node) < DURATIONS_WINDOW:
                of_node.append((version, (max(1, len(_keys(partitions))), max(0, us) / 1_000_000)))
    return samples


class WorkSample(NamedTuple):
    """What an attempt needed: microseconds in which it held a slot, and bytes that it read."""

    partitions: int
    slot_us: float
    bytes_read: int


class _Measures(msgspec.Struct):
    bytes_in: int = 0
    seconds: float = 0.0
    audit_seconds: float = 0.0


def work_samples(tx: Transaction, node: str) -> list[WorkSample]:
    """Return what a node's newest successful attempts needed, newest first."""
    rows = tx.execute(
        "select partitions, measures from (select epoch, n, state, partitions, measures from"
        " attempt where node = :node order by epoch desc, n desc limit :searched) as newest where"
        " state in ('published', 'staged') and measures is not null order by epoch desc, n desc"
        " limit :window",
        {"node": node, "searched": SEARCHED_MAX, "window": DURATIONS_WINDOW},
    ).fetchall()
    samples = []
    for partitions, content in rows:
        measures = msgspec.json.decode(content, type=_Measures)
        slot_us = (measures.seconds + measures.audit_seconds) * 1e6
        samples.append(WorkSample(max(1, len(_keys(partitions))), slot_us, measures.bytes_in))
    return samples


class PlanAttempt(NamedTuple):
    """An attempt of a plan. Times are microseconds; `finished_at` is None while it runs."""

    node: str
    partitions: tuple[str, ...]
    state: str
    started_at: int
    finished_at: int | None


def attempts_of_plan(tx: Transaction, plan: int, *, limit: int) -> list[PlanAttempt]:
    """Return the newest attempts of a plan's newest run, including running ones, newest first."""
    rows = tx.execute(PLAN_SQL, {"plan": plan, "limit": limit}).fetchall()
    return [
        PlanAttempt(node, _keys(keys), state, began, ended)
        for node, keys, state, began, ended in rows
        if began is not None
    ]


def start_delays(tx: Transaction, limit: int) -> list[float]:
    """Return the seconds from the start of the newest leaders' first runs to their first attempts.

    In that time, the workers were started.
    """
    results: list[float] = []
    (epoch,) = tx.execute("select max(epoch) from attempt").fetchone() or (None,)
    while epoch is not None and len(results) < limit:
        row = tx.execute(
            "select a.started_at - r.started_at from attempt a join run r on r.id = a.run_id"
            " where a.epoch = ? and a.n = 1 and a.started_at >= r.started_at",
            (epoch,),
        ).fetchone()
        if row is not None:
            results.append(row[0] / 1_000_000)
        (epoch,) = tx.execute(
            "select max(epoch) from attempt where epoch < ?", (epoch,)
        ).fetchone() or (None,)
    return results


def p95_durations(tx: Transaction, nodes: Iterable[str]) -> dict[str, float]:
    """Return the p95 of durations in seconds, by node, for nodes with successful attempts."""
    known = durations_of_nodes(tx, list(nodes)).items()
    return {node: statistics.p95 for node, statistics in known if statistics is not None}


def _keys(partitions: str) -> tuple[str, ...]:
    return msgspec.json.decode(partitions, type=tuple[str, ...])


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of all values doesn't exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


# The mean size of a node's partitions over a bounded window, at a cost that doesn't grow with the
# history.

SIZES_WINDOW = 50
"""Number of newest published partitions for the mean."""


def mean_partition_bytes(tx: Transaction, node: str) -> float:
    """Return the mean bytes of a node's published partitions; 0 without any."""
    row = tx.execute(
        "select avg(p.bytes) from (select publication_id from partition where node = :node and"
        " publication_id is not null order by partition desc limit :window) as newest join"
        " publication p on p.id = newest.publication_id",
        {"node": node, "window": SIZES_WINDOW},
    ).fetchone()
    return 0.0 if row is None or row[0] is None else float(row[0])


# Whether computing several partitions at once gives the same result as computing each alone, by
# the fingerprint of the tested asset code.


def record_batching(tx: Transaction, node: str, fingerprint: str, *, proven: bool) -> None:
    """Record the test of asset code with a fingerprint: `proven`, or different results."""
    tx.execute(
        "insert into batching (node, fingerprint, proven) values (?, ?, ?) on conflict (node) do"
        " update set fingerprint = excluded.fingerprint, proven = excluded.proven",
        (node, fingerprint, int(proven)),
    )


def known_batching(tx: Transaction) -> dict[str, tuple[str, bool]]:
    """Return (fingerprint, proven) of the last tested asset code, by node."""
    rows = tx.execute("select node, fingerprint, proven from batching").fetchall()
    return {str(node): (str(fingerprint), bool(proven)) for node, fingerprint, proven in rows}


def is_batching_proven(tx: Transaction, node: str, fingerprint: str) -> bool:
    """Return whether batching is proven for exactly this asset code."""
    row = tx.execute(
        "select proven from batching where node = ? and fingerprint = ?", (node, fingerprint)
    ).fetchone()
    return row is not None and bool(row[0])
