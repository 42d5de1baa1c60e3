"""How long attempts at a node take: percentiles of a bounded window, at a cost that doesn't grow with the history."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from headrace.store.database import Transaction

WINDOW = 50
"""So many of a node's newest attempts that succeeded are looked at."""
SEARCHED_MAX = 4 * WINDOW
"""They are looked for among so many of its newest attempts: a node that fails all the time costs no more."""

SEARCH = (
    "select finished_at - started_at, partitions, version from "
    "(select epoch, n, state, started_at, finished_at, partitions, version from attempt where node = :node "
    "order by epoch desc, n desc limit :searched) as newest "
    "where state in ('published', 'staged') and started_at is not null and finished_at is not null "
    "order by epoch desc, n desc limit :window"
)


PLAN = (
    "select node, partitions, state, started_at, finished_at from attempt "
    "where run_id = (select max(id) from run where plan_id = :plan) order by epoch desc, n desc limit :limit"
)


class DurationStatistics(msgspec.Struct, frozen=True):
    """What attempts at one node took, in seconds: the median, and what 95 of 100 stay within (rounded up to the next one seen).
    `count` says how many were looked at; nothing is said about a node of which none succeeded."""

    p50: float
    p95: float
    count: int


def of_node(tx: Transaction, node: str) -> DurationStatistics | None:
    """Of a node's newest attempts that succeeded; None if none is known."""
    took = sorted(seconds for _, seconds in samples(tx, node))
    return DurationStatistics(_percentile(took, 0.5), _percentile(took, 0.95), len(took)) if took else None


def samples(tx: Transaction, node: str) -> list[tuple[int, float]]:
    """Of a node's newest attempts that succeeded, newest first: how many partitions each computed, and its seconds."""
    return [sample for _, sample in by_version(tx, node)]


def by_version(tx: Transaction, node: str) -> list[tuple[int | None, tuple[int, float]]]:
    """The same, each with the version that it was made by."""
    rows = tx.execute(SEARCH, {"node": node, "searched": SEARCHED_MAX, "window": WINDOW}).fetchall()
    return [(version, (max(1, len(_keys(partitions))), max(0, us) / 1_000_000)) for us, partitions, version in rows]


class PlanAttempt(NamedTuple):
    """An attempt of a plan. Times are microseconds; `finished_at` is None while it runs."""

    node: str
    partitions: tuple[str, ...]
    state: str
    started_at: int
    finished_at: int | None


def of_plan(tx: Transaction, plan: int, *, limit: int) -> list[PlanAttempt]:
    """The newest attempts of the newest run of a plan, newest first, those included that are under way."""
    rows = tx.execute(PLAN, {"plan": plan, "limit": limit}).fetchall()
    return [PlanAttempt(node, _keys(keys), state, began, ended) for node, keys, state, began, ended in rows if began is not None]


def starts(tx: Transaction, limit: int) -> list[float]:
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


def p95s(tx: Transaction, nodes: Iterable[str]) -> dict[str, float]:
    """Node → what 95 of 100 of its attempts stay within, in seconds; of those of which some succeeded."""
    known = ((node, of_node(tx, node)) for node in nodes)
    return {node: statistics.p95 for node, statistics in known if statistics is not None}


def _keys(partitions: str) -> tuple[str, ...]:
    return msgspec.json.decode(partitions, type=tuple[str, ...])


def _percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least that share of all doesn't exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
