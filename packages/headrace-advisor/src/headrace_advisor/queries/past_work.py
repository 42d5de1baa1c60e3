"""What a node's newest attempts and deliveries took, in bounded windows."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from headrace.store.transaction import Transaction

ATTEMPTS_MAX = 400
"""Maximum number of a node's newest attempts that are read."""
DELIVERIES_MAX = 400
"""Maximum number of a source's newest deliveries that are read."""


class _Measures(msgspec.Struct, frozen=True, gc=False):
    """The needed part of an attempt's measures."""

    seconds: float = 0.0
    audit_seconds: float = 0.0
    publish_seconds: float = 0.0
    rows_out: int = 0
    peak_memory_bytes: int = 0


class _Error(msgspec.Struct, frozen=True, gc=False):
    kind: str = ""


class PastAttempt(NamedTuple):
    """One ended attempt. Times are microseconds; `seconds` is the worker's and the leader's time.

    `backfill` says whether it belonged to a backfill. `failure` is the kind of its failure.
    `peak_memory_bytes` is 0 if it wasn't measured.
    """

    partitions: tuple[str, ...]
    state: str
    started_at: int
    finished_at: int
    seconds: float
    rows_out: int
    failure: str
    backfill: bool
    peak_memory_bytes: int = 0


class PastDelivery(NamedTuple):
    """One delivery. Times are microseconds of the store's clock.

    `began_at` is when its partition was first published, less what that attempt took; 0 if never.
    `arrived_at` is before `observed_at` if Headrace didn't look meanwhile.
    """

    partition: str
    size_bytes: int
    observed_at: int
    began_at: int
    arrived_at: int


_measures = msgspec.json.Decoder(_Measures)
_error = msgspec.json.Decoder(_Error)
_keys = msgspec.json.Decoder(tuple[str, ...])


def attempts_since(tx: Transaction, node: str, since_us: int) -> list[PastAttempt]:
    """Return a node's newest ended attempts since a time, oldest first; at most ATTEMPTS_MAX."""
    rows = tx.execute(
        "select a.partitions, a.state, a.started_at, a.finished_at, a.measures, a.error, r.plan_id"
        " from (select epoch, n, run_id, partitions, state, started_at, finished_at, measures,"
        " error from attempt where node = :node order by epoch desc, n desc limit :limit) a join"
        " run r on r.id = a.run_id where a.finished_at >= :since and a.started_at is not null"
        " order by a.epoch, a.n",
        {"node": node, "since": since_us, "limit": ATTEMPTS_MAX},
    )
    return [_attempt(*row) for row in rows]


def _attempt(
    partitions: str,
    state: str,
    started_at: int,
    finished_at: int,
    measures: str | None,
    error: str | None,
    plan_id: int | None,
) -> PastAttempt:
    known = _Measures() if measures is None else _measures.decode(measures)
    # `started_at` is when it was dispatched, which may be while its worker was busy.
    measured = known.seconds + known.audit_seconds + known.publish_seconds
    elapsed = max(0, finished_at - started_at) / 1_000_000
    return PastAttempt(
        _keys.decode(partitions),
        state,
        started_at,
        finished_at,
        min(measured, elapsed) if measured else elapsed,
        known.rows_out,
        "" if error is None else _error.decode(error).kind,
        plan_id is not None,
        known.peak_memory_bytes,
    )


def deliveries_since(tx: Transaction, source: str, since_us: int) -> list[PastDelivery]:
    """Return a source's newest deliveries since a time, oldest first; at most DELIVERIES_MAX."""
    rows = tx.execute(
        "select partition, size_bytes, observed_at, coalesce((select min(p.published_at -"
        " a.finished_at + a.started_at) from publication p join attempt a on a.epoch = p.epoch and"
        " a.n = p.n where p.node = :source and p.partition = d.partition), 0), arrived_at from"
        " (select id, partition, size_bytes, observed_at, arrived_at from delivery where source ="
        " :source order by id desc limit :limit) d where observed_at >= :since order by id",
        {"source": source, "since": since_us, "limit": DELIVERIES_MAX},
    )
    return [PastDelivery(*row) for row in rows]
