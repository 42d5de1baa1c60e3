"""How long attempts at a node take: percentiles of a bounded window, at a cost that doesn't grow with the history."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from headrace.store.database import Transaction

WINDOW = 50
"""So many of a node's newest attempts that succeeded are looked at."""
SEARCHED_MAX = 4 * WINDOW
"""They are looked for among so many of its newest attempts: a node that fails all the time costs no more."""

SEARCH = (
    "select finished_at - started_at from (select epoch, n, state, started_at, finished_at from attempt where node = :node "
    "order by epoch desc, n desc limit :searched) as newest "
    "where state = 'published' and started_at is not null and finished_at is not null order by epoch desc, n desc limit :window"
)


class Durations(msgspec.Struct, frozen=True):
    """What attempts at one node took, in seconds: the median, and what 95 of 100 stay within (rounded up to the next one seen).
    `count` says how many were looked at; nothing is said about a node of which none succeeded."""

    p50: float
    p95: float
    count: int


def of_node(tx: Transaction, node: str) -> Durations | None:
    """Of a node's newest attempts that succeeded; None if none is known."""
    rows = tx.execute(SEARCH, {"node": node, "searched": SEARCHED_MAX, "window": WINDOW}).fetchall()
    took = sorted(max(0, us) / 1_000_000 for (us,) in rows)
    return Durations(_percentile(took, 0.5), _percentile(took, 0.95), len(took)) if took else None


def p95s(tx: Transaction, nodes: Iterable[str]) -> dict[str, float]:
    """Node → what 95 of 100 of its attempts stay within, in seconds; of those of which some succeeded."""
    known = ((node, of_node(tx, node)) for node in nodes)
    return {node: found.p95 for node, found in known if found is not None}


def _percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least that share of all doesn't exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
