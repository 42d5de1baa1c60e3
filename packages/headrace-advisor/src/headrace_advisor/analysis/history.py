"""What the advisor knows of the past: how long partitions took, and when deliveries came.

The past is read in a bounded window. Work that says nothing about an ordinary day is left out:
backfills, initial loads, and assets' partitions that waited for a person. A source's day that was
held until a person or the vendor mended it came when that was done. A day that never came, or was
held and never mended, counts as if it came now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

import msgspec

from headrace.model.intervals import DAY_US, day_start_us
from headrace.model.partitions import SEPARATOR
from headrace.scheduler import FailureKind, Graph, GraphNode
from headrace.store import Transaction
from headrace.store.queries import deliveries
from headrace_advisor.analysis.intervals import (
    Span,
    day_and_slot,
    end_us,
    expected_arrivals,
    recurs,
)
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

    `offset_us` counts from the end of its interval, or from the beginning of the day. `overdue`
    means that it came unusually late, or never so far: then it is as if it came now.
    """

    key: str
    day: int
    slot: str
    offset_us: int
    observed_us: int
    volume: float
    overdue: bool = False


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
            node,
            attempts,
            delivered,
            timezone,
            None if first is None else first[0],
            now_us=now_us,
        )
    return History(now_us, timezone, nodes)


def past_of(
    node: GraphNode,
    attempts: Iterable[PastAttempt],
    delivered: Sequence[PastDelivery],
    timezone: str,
    first_observed_us: int | None = None,
    *,
    now_us: int,
) -> NodePast:
    """Return a node's past until a time from its attempts and deliveries, both oldest first."""
    left_out = Counter[str]()
    every = list(attempts)
    rows = {key: item.rows_out for item in every for key in item.partitions}
    computations = _computations(node, every, timezone, left_out)
    held = _held(every) if node.is_source and not recurs(node) else set()
    left_out[HELD] -= len({item.partition for item in delivered} & held)
    came = [
        _mended(item, now_us)
        if item.partition in held and item.observed_at != first_observed_us
        else item
        for item in delivered
    ]
    arrivals = _arrivals(node, came, rows, timezone, first_observed_us, now_us, left_out)
    peak = max((item.peak_memory_bytes for item in every), default=0)
    return NodePast(tuple(computations), tuple(arrivals), dict(+left_out), peak)


def _mended(item: PastDelivery, now_us: int) -> PastDelivery:
    """Return a held delivery as if it came when it was mended; if it never was, now."""
    at_us = max(item.observed_at, item.began_at or now_us)
    return item._replace(observed_at=at_us, arrived_at=at_us)


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
        if recurs(node):
            results += _each_time(node, key, tries, timezone, left_out)
        else:
            results += _first_time(node, key, tries, timezone, left_out)
    lags = [_lag_us(node, item.key, item.began_us) for item in results]
    usual = _usual(results, lags, left_out)
    return sorted(usual, key=lambda item: item.began_us)


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


def _lag_us(node: GraphNode, key: str, at_us: int) -> int | None:
    end = end_us(node, key)
    return None if end is None else at_us - end


def _usual(
    items: Sequence[PastComputation], lags: Sequence[int | None], left_out: Counter[str]
) -> list[PastComputation]:
    """Return the items whose lag after their interval (microseconds) is usual for the node."""
    most = _usual_us(lags)
    usual = [item for item, lag in zip(items, lags, strict=True) if lag is None or lag <= most]
    left_out[CATCHING_UP] += len(items) - len(usual)
    return usual


def _usual_us(lags: Iterable[int | None]) -> int:
    """Return how long after an interval (microseconds) is usual for a node."""
    known = sorted(lag for lag in lags if lag is not None)
    return max(LAG_MIN_US, LAG_TIMES * known[len(known) // 2]) if known else LAG_MIN_US


# Arrivals


def _arrivals(
    node: GraphNode,
    delivered: Sequence[PastDelivery],
    rows: Mapping[str, int],
    timezone: str,
    first_observed_us: int | None,
    now_us: int,
    left_out: Counter[str],
) -> list[PastArrival]:
    every = list(delivered) if recurs(node) else _first(delivered)
    new = [item for item in every if item.observed_at != first_observed_us]
    left_out[INITIAL] += len(every) - len(new)
    usual_us = _usual_us(_lag_us(node, item.partition, item.observed_at) for item in new)
    arrivals = [
        _arrival(node, item, rows, timezone)._replace(overdue=overdue)
        for item in new
        if (overdue := _is_beyond(node, item.partition, item.arrived_at, usual_us))
        or not _is_beyond(node, item.partition, item.observed_at, usual_us)
    ]
    left_out[CATCHING_UP] += len(new) - len(arrivals)
    if first_observed_us is not None and arrivals:
        since = max(first_observed_us, delivered[0].observed_at)
        span = Span(since, (now_us - usual_us - since) // DAY_US, timezone)
        arrivals += _never(
            node, [item.partition for item in every], span, now_us, arrivals[-1].volume
        )
    return arrivals


def _is_beyond(node: GraphNode, key: str, at_us: int, usual_us: int) -> bool:
    """Return whether a time is more than usual after the end of an interval."""
    return (_lag_us(node, key, at_us) or 0) > usual_us


def _first(delivered: Iterable[PastDelivery]) -> list[PastDelivery]:
    """Return the first delivery of each interval; readers had it when a correction came."""
    results: dict[str, PastDelivery] = {}
    for item in delivered:
        results.setdefault(item.partition, item)
    return list(results.values())


def _never(
    node: GraphNode, came: Iterable[str], span: Span, now_us: int, volume: float
) -> Iterable[PastArrival]:
    """Yield the intervals of a span that never came, as if they came now."""
    known = set(came)
    if not node.partition.values:
        known |= {key.partition(SEPARATOR)[0] for key in known}
    for key, end, day, slot in expected_arrivals(node, span):
        if key not in known:
            yield PastArrival(key, day, slot, now_us - end, now_us, volume, overdue=True)


def _arrival(
    node: GraphNode, item: PastDelivery, rows: Mapping[str, int], timezone: str
) -> PastArrival:
    day, slot = day_and_slot(node, item.partition, item.observed_at, timezone)
    end = end_us(node, item.partition)
    began = day_start_us(date.fromordinal(day), timezone) if end is None else end
    volume = float(item.size_bytes or rows.get(item.partition, 0))
    return PastArrival(
        item.partition, day, slot, item.observed_at - began, item.observed_at, volume
    )
