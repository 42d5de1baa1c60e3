"""Evidence of missing deliveries, and the overdue intervals of consumers that are blocked."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeAlias

import msgspec

from headrace.incidents.diagnosis.evidence import Evidence, Family
from headrace.model.causes import CauseKind
from headrace.model.intervals import bounds_us, key_at_us, previous_key
from headrace.slo.blockage import Blockage, Blocked, BlockReason, promised_by
from headrace.slo.declared_promises import Node, Terms, began
from headrace.slo.incident_impact import DownstreamIndex
from headrace.slo.obligations import EvaluationContext
from headrace.slo.obligations import obligations as promises
from headrace.slo.times import dated
from headrace.store.queries import deliveries, obligations
from headrace.store.queries import evidence as stored
from headrace.store.transaction import Transaction

# The newest intervals of each consumer that are due and missing, with the most upstream partitions
# that block them.

BLOCKED_ASKED_MAX = 5
"""At most this many of a consumer's newest unmet intervals are searched for blockers."""


class BlockedInterval(msgspec.Struct, frozen=True):
    """An interval of a consumer that is due and missing, with its blockers."""

    consumer: str
    interval: str
    due_at: int
    by: tuple[Blocked, ...]


def waiting_intervals(tx: Transaction, blockage: Blockage, now: int) -> list[BlockedInterval]:
    """Return the newest due and missing intervals of each consumer."""
    terms = {consumer.consumer: consumer for consumer in blockage.context.declared.consumers}
    return [
        BlockedInterval(
            consumer,
            obligation.interval,
            obligation.due_at,
            tuple(blockage.of(terms[consumer], obligation.interval)),
        )
        for consumer, unmet in obligations.all_unmet(tx, now, BLOCKED_ASKED_MAX).items()
        for obligation in (unmet if consumer in terms else ())
    ]


def missed_partitions(intervals: list[BlockedInterval]) -> dict[tuple[str, str], int]:
    """Return (node, partition) of missing data → since when an interval that needs it is due."""
    dues: dict[tuple[str, str], int] = {}
    for interval in intervals:
        for blocked in interval.by:
            if blocked.block is BlockReason.MISSING:
                place = blocked.node, blocked.partition
                dues[place] = min(dues.get(place, interval.due_at), interval.due_at)
    return dues


# Deliveries that are later than promised, or later than ever before.

KIND = "late"
Missed: TypeAlias = Mapping[tuple[str, str], int]
"""(source, interval) → since when a consumer's interval that needs it is due."""
BACK_MAX = 31
"""The search for missing intervals goes back at most this many intervals."""
HISTORY = 56
LEAST = 14
"""Number of deliveries from which the usual delay is known."""
AT_ONCE_MAX = 7
"""More intervals than this at once are a history; fewer may be usual, as after a weekend."""
FIRST_OBSERVATION_US = 60 * 60 * 1_000_000
"""Old intervals that came since an hour before their source was declared count as history.

The first observation may have fetched them.
"""
MARGIN_LEAST_US = 30 * 60 * 1_000_000
THROTTLED = "couldn't be polled: its server asked for a pause"
"""Observed for an interval that may exist: the server didn't allow an observation."""
EXACT_NATS = 12.0
HISTORY_NATS = 5.0


def gather(
    tx: Transaction,
    blockage: Blockage,
    reach: DownstreamIndex,
    missed: Missed,
    now: int,
) -> Iterator[Evidence]:
    """Yield the missing intervals of sources.

    `missed` are those without which a consumer's deadline has passed.
    """
    missed_keys: dict[str, dict[str, int]] = {}
    for (source, key), since_us in missed.items():
        missed_keys.setdefault(source, {})[key] = since_us
    known: dict[str, dict[str, Evidence]] = {}
    for name, content in stored.active_of(tx, KIND).values():
        before = msgspec.msgpack.decode(content, type=Evidence)
        known.setdefault(name, {})[before.partition] = before
    search = _LateSearch(tx, blockage, reach, now)
    for node in blockage.context.declared.nodes.values():
        if node.is_source and node.partition.grain is not None and not node.partition.by_delivery:
            yield from search.evidence_at(
                node, missed_keys.get(node.name, {}), known.get(node.name, {})
            )


class _LateSearch:
    """Searches sources for intervals that should be there by now.

    For one source, `missed` is interval → since when a consumer that needs it is due, and `known`
    is interval → active evidence from an earlier evaluation.
    """

    def __init__(
        self,
        tx: Transaction,
        blockage: Blockage,
        reach: DownstreamIndex,
        now: int,
    ) -> None:
        self._tx, self._context, self._now = tx, blockage.context, now
        self._blockage, self._reach = blockage, reach

    def evidence_at(
        self, node: Node, missed: Mapping[str, int], known: Mapping[str, Evidence]
    ) -> Iterator[Evidence]:
        """Yield evidence of the late intervals of a source."""
        absent = self._absent(node, {*known, *missed})
        observations = deliveries.observations(self._tx, node.name, limit=1) if absent else []
        if not observations:
            return
        newest = observations[0]
        throttled = newest.code == "source_throttled"
        observed = THROTTLED if throttled else "nothing was delivered"
        strength = EXACT_NATS if node.expect_by is not None else HISTORY_NATS
        for key, by, text in self._overdue(node, absent, missed, known, newest.at):
            failing = newest.error is not None
            yield Evidence(
                id=f"{KIND}:{node.name}@{key}",
                node=node.name,
                partition=key,
                family=Family.ARRIVAL,
                kind="" if failing else _late_or_missing(key, missed, known).value,
                expected=f"by {dated(by, self._context.declared.timezone)}{text}",
                observed=observed,
                strength=strength,
                at_us=self._now,
                began_us=by,
            )

    def _absent(self, node: Node, candidate_keys: set[str]) -> list[str]:
        """Return the intervals that haven't arrived: the newest, and these candidates.

        A newer interval may arrive before the next observation and hide an older one that a
        consumer needs.
        """
        start = self._context.rhythms[node.name].start_us
        grain = node.partition.grain
        # once a source begins later, intervals before its first delivery are no longer expected
        if start is not None and grain is not None:
            candidate_keys = {
                key for key in candidate_keys if (began(key, grain, node.timezone) or 0) >= start
            }
        return sorted(
            {
                *_newest_absent(self._tx, self._context, node, self._now),
                *(
                    key
                    for key in candidate_keys
                    if not deliveries.has_arrived(self._tx, node.name, key)
                ),
            }
        )

    def _overdue(
        self,
        node: Node,
        absent: list[str],
        missed: Mapping[str, int],
        known: Mapping[str, Evidence],
        observed_us: int,
    ) -> Iterator[tuple[str, int, str]]:
        """Yield the absent intervals that the newest observation should have found.

        Each has the time by which it was expected, and a clause about who expected it.
        """
        delay = None if node.expect_by is not None else usual_delay(self._tx, node)
        declared = expected_since(self._tx, node.name)
        for key in absent:
            by, text = self._expected(node, key, delay, missed, known)
            if by is None or by >= self._now or by >= observed_us:
                continue
            if by < declared and key not in missed and key not in known:
                continue  # nobody expected it before its source was declared
            yield key, by, text

    def _expected(
        self,
        node: Node,
        key: str,
        delay: int | None,
        missed: Mapping[str, int],
        known: Mapping[str, Evidence],
    ) -> tuple[int | None, str]:
        """Return by when an interval is expected, and a clause about who expects it.

        The time is None if nobody expects it, or if everybody who did has waived it.
        """
        by, text = expected_by(node, key, delay), "" if node.expect_by is not None else ", as usual"
        if by is None:
            by, text = missed.get(key), ", when a consumer was due"
        readers = self._reach.consumers(node.name)
        if key in missed or not obligations.any_waived(self._tx, readers, key):
            return by, text
        if not self._awaited(node, key):
            return None, text
        if by is None and key in known:
            by = known[key].began_us
        return by, text

    def _awaited(self, node: Node, key: str) -> bool:
        """Return whether an open obligation, due or not, waits for an interval of a source."""
        readers = set(self._reach.consumers(node.name))
        return any(
            self._waits_for(terms, node, key)
            for terms in self._context.declared.consumers
            if terms.consumer in readers
        )

    def _waits_for(self, terms: Terms, node: Node, key: str) -> bool:
        """Return whether an open obligation of a consumer waits for an interval of a source.

        The obligation's interval overlaps the source's or has ended. A later one that hasn't ended
        may look back at the interval, and counts once it has ended.
        """
        began_us, ended_us = bounds_us(key, node.partition.time_grain, node.timezone)
        for promise in promises(terms, self._context, self._now):
            since, until = bounds_us(promise.interval, terms.per, terms.timezone)
            if promise.settled or until <= began_us or (since >= ended_us and until > self._now):
                continue
            blockers = self._blockage.of(terms, promise.interval)
            if any((by.node, by.partition) == (node.name, key) for by in blockers):
                return True
        return False


def _late_or_missing(
    key: str, missed: Mapping[str, int], known: Mapping[str, Evidence]
) -> CauseKind:
    """Return the kind of cause of a late interval.

    It is missing from the first missed deadline of a consumer that needs it until it arrives.
    """
    if key in missed:
        return CauseKind.MISSING_SOURCE
    was_missing = key in known and known[key].kind == CauseKind.MISSING_SOURCE
    return CauseKind.MISSING_SOURCE if was_missing else CauseKind.LATE_SOURCE


def _newest_absent(
    tx: Transaction, context: EvaluationContext, node: Node, now: int
) -> Iterator[str]:
    """Yield the newest ended intervals that are missing, back to one that isn't.

    The search also ends at the first expected interval. For a promised source without any delivery,
    that is the one in which it was declared.
    """
    grain, start = node.partition.time_grain, context.rhythms[node.name].start_us
    if start is None and node.expect_by is not None:
        start = began(
            key_at_us(expected_since(tx, node.name), grain, node.timezone), grain, node.timezone
        )
    key = previous_key(key_at_us(now, grain, node.timezone), grain, node.timezone)
    for _ in range(BACK_MAX):
        if (
            start is None
            or (began(key, grain, node.timezone) or 0) < start
            or deliveries.has_arrived(tx, node.name, key)
        ):
            return
        if not node.no_data.covers(key):
            yield key
        key = previous_key(key, grain, node.timezone)


def expected_since(tx: Transaction, source: str) -> int:
    """Return since when deliveries of a source are expected, in microseconds.

    That is when both a version was applied and the source was declared.
    """
    return max(deliveries.first_applied(tx) or 0, deliveries.declared_since(tx, source) or 0)


def expected_by(node: Node, key: str, delay: int | None) -> int | None:
    """Return when an interval is expected: as promised, else as usual; None if unknown."""
    if node.expect_by is not None or delay is None or node.partition.grain is None:
        return promised_by(node, key)
    return bounds_us(key, node.partition.grain, node.timezone)[1] + delay


def usual_delay(tx: Transaction, node: Node) -> int | None:
    """Return the p99 delay of deliveries after their interval's end, with a margin.

    The result is in microseconds; None if too few deliveries are known.
    """
    took = [arrival.delay_us for arrival in usual_arrivals(tx, node)]
    if len(took) < LEAST:
        return None
    middle = statistics.median(took)
    spread = statistics.median(abs(item - middle) for item in took)
    late = sorted(took)[min(len(took) - 1, math.ceil(0.99 * len(took)) - 1)]
    return late + max(MARGIN_LEAST_US, int(3 * spread))


class TimedArrival(NamedTuple):
    """A delivery: the end of its interval, its arrival and its observation, in microseconds."""

    ended_us: int
    arrived_us: int
    observed_us: int

    @property
    def delay_us(self) -> int:
        """Delay after the interval's end; negative if the delivery came before it."""
        return self.arrived_us - self.ended_us

    @property
    def unseen_us(self) -> int:
        """Time from the arrival to the observation."""
        return self.observed_us - self.arrived_us


def usual_arrivals(tx: Transaction, node: Node) -> list[TimedArrival]:
    """Return the newest deliveries that tell when a source usually delivers.

    Loaded history doesn't: neither old intervals that came with the first observation, nor all but
    the newest of many intervals that came at once. Deliveries first seen after a gap in the
    observations don't either.
    """
    grain = node.partition.time_grain
    declared = expected_since(tx, node.name)
    arrived = [
        arrival
        for arrival in deliveries.first_arrivals(tx, node.name, HISTORY)
        if began(arrival[0], grain, node.timezone) is not None
    ]
    at_once = Counter(at for _, at, _ in arrived)
    newest = {at: key for key, at, _ in reversed(arrived)}
    unseen_until = deliveries.observation_gap_ends(tx, node.name)
    timed_arrivals = []
    for key, at, observed in arrived:
        ended = bounds_us(key.partition("/")[0], grain, node.timezone)[1]
        lay_there = ended < declared <= at + FIRST_OBSERVATION_US
        loaded = at_once[at] > AT_ONCE_MAX and newest[at] != key
        if not lay_there and not loaded and at not in unseen_until:
            timed_arrivals.append(TimedArrival(ended, at, observed))
    return timed_arrivals
