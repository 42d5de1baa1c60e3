"""Attempts: one try at a node and a range of partitions; how long attempts take and how much they read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from headrace.store.lease import holder
from headrace.store.transaction import Transaction

# An attempt whose leader has died is returned as lost, although only the next leader writes that
# state.

OPEN = ("queued", "running")
ENVIRONMENT = "environment"
"""In `measures`: the hash by which `content` holds the interpreter and the packages that an attempt ran with."""
IN_A_ROW_MAX = 200
"""How many failed attempts in a row are counted at most."""
GONE = "the runtime ended while it ran"

_COLUMNS = (
    "epoch, n, run_id, node, kind, partitions, state, version, snapshot_read, delivery_id, queued_at, started_at, finished_at, "
    "published_at, verdict, reason, measures, error"
)


class Attempt(msgspec.Struct, frozen=True):
    """One attempt. `measures` and `error` are as the worker reported them (engine's Measures and BodyError); times are
    microseconds of the store's clock."""

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
        """`epoch.n`."""
        return f"{self.epoch}.{self.n}"


def environment(tx: Transaction, attempt: Attempt) -> bytes | None:
    """JSON of the interpreter and the packages that an attempt ran with; None where nothing was recorded."""
    digest = (attempt.measures or {}).get(ENVIRONMENT)
    row = None if digest is None else tx.execute("select bytes from content where hash = ?", (digest,)).fetchone()
    return None if row is None else bytes(row[0])


def get(tx: Transaction, epoch: int, n: int) -> Attempt | None:
    """One attempt, or None."""
    row = tx.execute(f"select {_COLUMNS} from attempt where epoch = :epoch and n = :n", {"epoch": epoch, "n": n}).fetchone()
    return _attempts(tx, [row])[0] if row else None


def of_run(tx: Transaction, run_id: int, *, limit: int = 10_000) -> list[Attempt]:
    """The attempts of a run, in order."""
    return _attempts(
        tx,
        tx.execute(f"select {_COLUMNS} from attempt where run_id = :run order by epoch, n limit :limit", {"run": run_id, "limit": limit}),
    )


def of_plan(tx: Transaction, plan: int) -> list[Attempt]:
    """The attempts of a backfill, by whichever of its runs, in order."""
    sql = f"select {_COLUMNS} from attempt where run_id in (select id from run where plan_id = ?) order by epoch, n"
    return _attempts(tx, tx.execute(sql, (plan,)))


def of_node(tx: Transaction, node: str, *, limit: int = 50, states: Sequence[str] = ()) -> list[Attempt]:
    """The newest attempts at a node, newest first; only those in some states, where any are named."""
    marks = f" and state in ({', '.join('?' * len(states))})" if states else ""
    rows = tx.execute(f"select {_COLUMNS} from attempt where node = ?{marks} order by epoch desc, n desc limit ?", (node, *states, limit))
    return _attempts(tx, rows)


def others_short(tx: Transaction, node: str, since: int, besides: str) -> bool:
    """Whether an attempt at another node failed for want of memory, disk or time since then; those with
    this code don't count."""
    rows = tx.execute(
        "select error from attempt where node <> ? and finished_at >= ? and state = 'failed' and error is not null", (node, since)
    ).fetchall()
    errors = [msgspec.json.decode(error) for (error,) in rows]
    return any(error.get("kind") == "resources" and error.get("code") != besides for error in errors)


def of_partition(tx: Transaction, node: str, partition: str, *, limit: int = 10) -> list[Attempt]:
    """The newest attempts at one partition, newest first."""
    alone = tx.execute(
        f"select {_COLUMNS} from attempt where node = :node and partitions = :alone order by epoch desc, n desc limit :limit",
        {"node": node, "alone": msgspec.json.encode([partition]).decode(), "limit": limit},
    ).fetchall()
    several = tx.execute(
        f"select {_COLUMNS} from attempt where node = :node and partitions like '%,%' "
        "and exists (select 1 from json_each(attempt.partitions) as key where key.value = :partition) "
        "order by epoch desc, n desc limit :limit",
        {"node": node, "partition": partition, "limit": limit},
    ).fetchall()
    newest = sorted({(row[0], row[1]): row for row in (*alone, *several)}.items(), reverse=True, key=lambda item: item[0])[:limit]
    return _attempts(tx, [row for _, row in newest])


def failed_in_a_row(tx: Transaction, node: str, partition: str, *, until: tuple[int, int] | None = None) -> list[str]:
    """The ids of the newest attempts at a partition that failed or were lost one after the other, newest
    first; with `until` (epoch, n) of those up to that one. One that couldn't begin, or was cancelled,
    is none of them and doesn't end the row."""
    results = []
    for attempt in of_partition(tx, node, partition, limit=IN_A_ROW_MAX):
        if attempt.state in OPEN or attempt.state in ("skipped", "cancelled") or (until is not None and (attempt.epoch, attempt.n) > until):
            continue
        if attempt.state not in ("failed", "lost"):
            break
        results.append(attempt.id)
    return results


def running(tx: Transaction) -> list[Attempt]:
    """All that are under way, oldest first."""
    attempts = _attempts(tx, tx.execute(f"select {_COLUMNS} from attempt where state in ('queued', 'running') order by epoch, n"))
    return [attempt for attempt in attempts if attempt.state in OPEN]


def _attempts(tx: Transaction, rows: Iterable[tuple[Any, ...]]) -> list[Attempt]:
    attempts = [_attempt(row) for row in rows]
    if not any(attempt.state in OPEN for attempt in attempts):
        return attempts
    leader = holder(tx)
    epoch = leader.epoch if leader is not None else None
    return [
        attempt if attempt.state not in OPEN or attempt.epoch == epoch else msgspec.structs.replace(attempt, state="lost", reason=GONE)
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
"""So many of a node's newest attempts that succeeded are looked at."""
SEARCHED_MAX = 4 * DURATIONS_WINDOW
"""They are looked for among so many of its newest attempts: a node that fails all the time costs no more."""

DURATIONS_SQL = (
    "select finished_at - started_at, partitions, version from "
    "(select epoch, n, state, started_at, finished_at, partitions, version from attempt where node = :node "
    "order by epoch desc, n desc limit :searched) as newest "
    "where state in ('published', 'staged') and started_at is not null and finished_at is not null "
    "order by epoch desc, n desc limit :window"
)


PLAN_SQL = (
    "select node, partitions, state, started_at, finished_at from attempt "
    "where run_id = (select max(id) from run where plan_id = :plan) order by epoch desc, n desc limit :limit"
)


class DurationStatistics(msgspec.Struct, frozen=True):
    """What attempts at one node took, in seconds: the median, and what 95 of 100 stay within (rounded up to the next one seen).
    `count` says how many were looked at; nothing is said about a node of which none succeeded."""

    p50: float
    p95: float
    count: int


def durations_of_node(tx: Transaction, node: str) -> DurationStatistics | None:
    """Of a node's newest attempts that succeeded; None if none is known."""
    took = sorted(seconds for _, seconds in duration_samples(tx, node))
    return DurationStatistics(_percentile(took, 0.5), _percentile(took, 0.95), len(took)) if took else None


def duration_samples(tx: Transaction, node: str) -> list[tuple[int, float]]:
    """Of a node's newest attempts that succeeded, newest first: how many partitions each computed, and its seconds."""
    return [sample for _, sample in durations_by_version(tx, node)]


def durations_by_version(tx: Transaction, node: str) -> list[tuple[int | None, tuple[int, float]]]:
    """The same, each with the version that it was made by."""
    rows = tx.execute(DURATIONS_SQL, {"node": node, "searched": SEARCHED_MAX, "window": DURATIONS_WINDOW}).fetchall()
    return [(version, (max(1, len(_keys(partitions))), max(0, us) / 1_000_000)) for us, partitions, version in rows]


class PlanAttempt(NamedTuple):
    """An attempt of a plan. Times are microseconds; `finished_at` is None while it runs."""

    node: str
    partitions: tuple[str, ...]
    state: str
    started_at: int
    finished_at: int | None


def attempts_of_plan(tx: Transaction, plan: int, *, limit: int) -> list[PlanAttempt]:
    """The newest attempts of the newest run of a plan, newest first, those included that are under way."""
    rows = tx.execute(PLAN_SQL, {"plan": plan, "limit": limit}).fetchall()
    return [PlanAttempt(node, _keys(keys), state, began, ended) for node, keys, state, began, ended in rows if began is not None]


def start_delays(tx: Transaction, limit: int) -> list[float]:
    """Seconds from the beginning of a run to its first attempt, of the newest leaders of which each began
    with it: until then its workers were started."""
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
        (epoch,) = tx.execute("select max(epoch) from attempt where epoch < ?", (epoch,)).fetchone() or (None,)
    return results


def p95_durations(tx: Transaction, nodes: Iterable[str]) -> dict[str, float]:
    """Node → what 95 of 100 of its attempts stay within, in seconds; of those of which some succeeded."""
    known = ((node, durations_of_node(tx, node)) for node in nodes)
    return {node: statistics.p95 for node, statistics in known if statistics is not None}


def _keys(partitions: str) -> tuple[str, ...]:
    return msgspec.json.decode(partitions, type=tuple[str, ...])


def _percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least that share of all doesn't exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


# The mean size of a node's partitions over a bounded window, at a cost that doesn't grow with the
# history.

SIZES_WINDOW = 50
"""So many of the newest partitions that readers see are looked at."""


def mean_partition_bytes(tx: Transaction, node: str) -> float:
    """Bytes of a partition of a node, on average; 0 where none is published."""
    row = tx.execute(
        "select avg(p.bytes) from (select publication_id from partition where node = :node and publication_id is not null"
        " order by partition desc limit :window) as newest join publication p on p.id = newest.publication_id",
        {"node": node, "window": SIZES_WINDOW},
    ).fetchone()
    return 0.0 if row is None or row[0] is None else float(row[0])


# Whether computing several partitions at once gives the same result as computing one alone, by
# the fingerprint of the asset code that was tried.


def record_batching(tx: Transaction, node: str, fingerprint: str, *, proven: bool) -> None:
    """A body with that fingerprint was tried: `proven`, or seen to come to something else."""
    tx.execute(
        "insert into batching (node, fingerprint, proven) values (?, ?, ?)"
        " on conflict (node) do update set fingerprint = excluded.fingerprint, proven = excluded.proven",
        (node, fingerprint, int(proven)),
    )


def known_batching(tx: Transaction) -> dict[str, tuple[str, bool]]:
    """Node → the fingerprint of the body that was tried last, and whether it was proven."""
    rows = tx.execute("select node, fingerprint, proven from batching").fetchall()
    return {str(node): (str(fingerprint), bool(proven)) for node, fingerprint, proven in rows}


def is_batching_proven(tx: Transaction, node: str, fingerprint: str) -> bool:
    """Whether exactly this body was seen to come to the same."""
    row = tx.execute("select proven from batching where node = ? and fingerprint = ?", (node, fingerprint)).fetchone()
    return row is not None and bool(row[0])
