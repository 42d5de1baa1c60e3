"""What the advisor knows of the past: how long partitions took, and when deliveries came.

The past is read in a bounded window. Work that says nothing about an ordinary day is left out:
backfills, initial loads, and assets' partitions that waited for a person. A source's day that was
held until a person or the vendor mended it came when that was done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple, TypeVar

import msgspec

from headrace.extension import UsageError
from headrace.model.intervals import DAY_US, bounds_us, day_start_us, local_date
from headrace.model.partitions import SEPARATOR
from headrace.scheduler import FailureKind, Graph, GraphNode
from headrace.store import Transaction
from headrace.store.queries import deliveries
from headrace_advisor.queries import past_work
from headrace_advisor.queries.past_work import PastAttempt, PastDelivery

WINDOW_DAYS = 90
"""The past that is read, in days."""
LAG_MIN_US = 3 * DAY_US
"""Work that begins later than this after an interval counts as catching up, unless that is usual
for its node."""
LAG_TIMES = 3
NOT_RETRIED = (FailureKind.DETERMINISTIC, FailureKind.NOT_SEPARABLE)
"""Failures after which a person had to act."""
_SECOND_US = 1_000_000


class FailedTry(NamedTuple):
    """An unsuccessful attempt before the one that published; `kind` as `FailureKind`."""

    seconds: float
    kind: str


class PastComputation(NamedTuple):
    """How one partition came to its first publication.

    `day` is the ordinal of the date on which its interval ended, or on which it ran; `slot` tells
    partitions of one day apart. Times are microseconds.
    """

    key: str
    day: int
    slot: str
    seconds: float
    failed: tuple[FailedTry, ...]
    began_us: int
    published_us: int


class PastArrival(NamedTuple):
    """One delivery: when Headrace observed it, and its bytes (or rows, without bytes).

    `offset_us` counts from the end of its interval, or from the beginning of the day.
    """

    key: str
    day: int
    slot: str
    offset_us: int
    observed_us: int
    volume: float


Past = TypeVar("Past", PastComputation, PastArrival)


class NodePast(msgspec.Struct, frozen=True):
    """The past of one node; `left_out` counts what was left out, by reason.

    `peak_memory_bytes` is the most that an attempt used; 0 if no attempt was measured.
    """

    computations: tuple[PastComputation, ...] = ()
    arrivals: tuple[PastArrival, ...] = ()
    left_out: dict[str, int] = {}
    peak_memory_bytes: int = 0


class History(msgspec.Struct, frozen=True):
    """The past of a project until `now_us`, by node. `timezone` is the project's."""

    now_us: int
    timezone: str
    nodes: dict[str, NodePast]

    def until(self, at_us: int) -> History:
        """Return what was known at a point in time (microseconds)."""
        return History(
            at_us,
            self.timezone,
            {
                name: NodePast(
                    tuple(item for item in past.computations if item.published_us < at_us),
                    tuple(item for item in past.arrivals if item.observed_us < at_us),
                )
                for name, past in self.nodes.items()
            },
        )

    def days(self) -> set[int]:
        """Return the days of which anything is known, as ordinals."""
        return {item.day for past in self.nodes.values() for item in past.computations}


BACKFILL, HELD, CATCHING_UP, INITIAL = ("backfill", "held", "catching_up", "initial")
"""Why something is left out of the past."""


def read_history(tx: Transaction, graph: Graph, timezone: str, now_us: int) -> History:
    """Read the past of a graph's nodes, at most WINDOW_DAYS and a bounded number of rows each."""
    since = now_us - WINDOW_DAYS * DAY_US
    nodes = {}
    for node in graph.nodes:
        attempts = past_work.attempts_since(tx, node.name, since)
        first = deliveries.first_observation(tx, node.name) if node.is_source else None
        delivered = past_work.deliveries_since(tx, node.name, since) if node.is_source else []
        nodes[node.name] = past_of(
            node, attempts, delivered, timezone, None if first is None else first[0]
        )
    return History(now_us, timezone, nodes)


def past_of(
    node: GraphNode,
    attempts: Iterable[PastAttempt],
    delivered: Sequence[PastDelivery],
    timezone: str,
    first_observed_us: int | None = None,
) -> NodePast:
    """Return a node's past from its attempts and deliveries, both oldest first."""
    left_out = Counter[str]()
    every = list(attempts)
    rows = {key: item.rows_out for item in every for key in item.partitions}
    computations = _computations(node, every, timezone, left_out)
    held = _held(every) if node.is_source and not _recurs(node) else set()
    left_out[HELD] -= len({item.partition for item in delivered if item.began_at} & held)
    came = [
        item._replace(observed_at=max(item.observed_at, item.began_at))
        if item.partition in held and item.observed_at != first_observed_us
        else item
        for item in delivered
    ]
    arrivals = _arrivals(node, came, rows, timezone, first_observed_us, left_out)
    peak = max((item.peak_memory_bytes for item in every), default=0)
    return NodePast(tuple(computations), tuple(arrivals), dict(+left_out), peak)


# Computations


def _computations(
    node: GraphNode, attempts: Iterable[PastAttempt], timezone: str, left_out: Counter[str]
) -> list[PastComputation]:
    by_key: dict[str, list[PastAttempt]] = {}
    for attempt in attempts:
        for key in attempt.partitions:
            by_key.setdefault(key, []).append(attempt)
    results = []
    for key, tries in by_key.items():
        if _recurs(node):
            results += _each_time(node, key, tries, timezone, left_out)
        else:
            results += _first_time(node, key, tries, timezone, left_out)
    lags = [_lag_us(node, item.key, item.began_us) for item in results]
    usual = _usual(results, lags, left_out)
    return sorted(usual, key=lambda item: item.began_us)


def _recurs(node: GraphNode) -> bool:
    """Whether the same partitions are computed again and again."""
    return node.partition.grain is None and not node.partition.by_delivery


def _first_time(
    node: GraphNode,
    key: str,
    tries: Sequence[PastAttempt],
    timezone: str,
    left_out: Counter[str],
) -> list[PastComputation]:
    """Return how a partition was first published; later attempts repeat it for other reasons."""
    failed: list[FailedTry] = []
    for item in tries:
        reason = _left_out(item)
        if reason is not None:
            left_out[reason] += 1
            return []
        if item.state == "published":
            return [_computation(node, key, item, failed, timezone)]
        if item.state in ("failed", "lost"):
            kind = FailureKind.LOST_WORKER if item.state == "lost" else item.failure
            seconds = item.seconds / len(item.partitions)
            failed.append(FailedTry(seconds, kind or FailureKind.TRANSIENT))
    return []


def _left_out(attempt: PastAttempt) -> str | None:
    """Return why a partition with this attempt says nothing about an ordinary day."""
    if attempt.backfill:
        return BACKFILL
    waited = attempt.state in ("held", "rejected") or attempt.failure in NOT_RETRIED
    return HELD if waited else None


def _held(attempts: Iterable[PastAttempt]) -> set[str]:
    """Return the partitions that waited for a person before any other result."""
    first: dict[str, str] = {}
    for item in attempts:
        result = _left_out(item) or item.state
        if result in (BACKFILL, HELD, "published"):
            for key in item.partitions:
                first.setdefault(key, result)
    return {key for key, result in first.items() if result == HELD}


def _each_time(
    node: GraphNode,
    key: str,
    tries: Sequence[PastAttempt],
    timezone: str,
    left_out: Counter[str],
) -> list[PastComputation]:
    results = []
    for item in tries:
        if item.backfill:
            left_out[BACKFILL] += 1
        elif item.state == "published":
            results.append(_computation(node, key, item, (), timezone))
    return results


def _computation(
    node: GraphNode,
    key: str,
    attempt: PastAttempt,
    failed: Sequence[FailedTry],
    timezone: str,
) -> PastComputation:
    day, slot = day_and_slot(node, key, attempt.started_at, timezone)
    seconds = attempt.seconds / len(attempt.partitions)
    began = attempt.finished_at - int(attempt.seconds * _SECOND_US)
    return PastComputation(key, day, slot, seconds, tuple(failed), began, attempt.finished_at)


def day_and_slot(node: GraphNode, key: str, at_us: int, timezone: str) -> tuple[int, str]:
    """Return the day (ordinal) of a partition, and what tells it from others of that day.

    For a partition without an interval, the day is that of `at_us` (microseconds).
    """
    grain = node.partition.grain
    if grain is None:
        return local_date(at_us, timezone).toordinal(), key if _recurs(node) else ""
    time_key, _, data = key.partition(SEPARATOR)
    end = _end_us(node, time_key)
    ended = local_date(end, node.timezone) if end is not None else local_date(at_us, timezone)
    hour = time_key[10:] if grain.value == "hour" else ""
    return ended.toordinal(), f"{hour}{SEPARATOR}{data}" if data else hour


def _end_us(node: GraphNode, key: str) -> int | None:
    """Return the end of a partition's interval.

    None without one, and for a key from before a change of the declaration.
    """
    if node.partition.grain is None:
        return None
    try:
        return bounds_us(key.partition(SEPARATOR)[0], node.partition.grain, node.timezone)[1]
    except UsageError:
        return None


def _lag_us(node: GraphNode, key: str, at_us: int) -> int | None:
    end = _end_us(node, key)
    return None if end is None else at_us - end


def _usual(items: Sequence[Past], lags: Sequence[int | None], left_out: Counter[str]) -> list[Past]:
    """Return the items whose lag after their interval (microseconds) is usual for the node."""
    known = sorted(lag for lag in lags if lag is not None)
    most = max(LAG_MIN_US, LAG_TIMES * known[len(known) // 2]) if known else LAG_MIN_US
    usual = [item for item, lag in zip(items, lags, strict=True) if lag is None or lag <= most]
    if len(usual) < len(items):
        left_out[CATCHING_UP] += len(items) - len(usual)
    return usual


# Arrivals


def _arrivals(
    node: GraphNode,
    delivered: Iterable[PastDelivery],
    rows: Mapping[str, int],
    timezone: str,
    first_observed_us: int | None,
    left_out: Counter[str],
) -> list[PastArrival]:
    results: list[PastArrival] = []
    seen = set[str]()
    for item in delivered:
        if item.partition in seen and not _recurs(node):
            continue  # a correction; readers had the interval before
        seen.add(item.partition)
        if item.observed_at == first_observed_us:
            left_out[INITIAL] += 1
            continue
        results.append(_arrival(node, item, rows, timezone))
    lags = [_lag_us(node, item.key, item.observed_us) for item in results]
    return _usual(results, lags, left_out)


def _arrival(
    node: GraphNode, item: PastDelivery, rows: Mapping[str, int], timezone: str
) -> PastArrival:
    day, slot = day_and_slot(node, item.partition, item.observed_at, timezone)
    end = _end_us(node, item.partition)
    began = day_start_us(date.fromordinal(day), timezone) if end is None else end
    volume = float(item.size_bytes or rows.get(item.partition, 0))
    return PastArrival(
        item.partition, day, slot, item.observed_at - began, item.observed_at, volume
    )
