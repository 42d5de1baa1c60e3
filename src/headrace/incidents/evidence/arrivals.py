"""Evidence of missing deliveries, and the overdue intervals of consumers that wait for something."""

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
from headrace.slo.declared_promises import Node, began
from headrace.slo.incident_impact import DownstreamIndex
from headrace.slo.obligations import EvaluationContext
from headrace.slo.obligations import obligations as promises
from headrace.slo.times import dated
from headrace.store.queries import deliveries, obligations
from headrace.store.queries import evidence as stored
from headrace.store.transaction import Transaction

# The newest intervals of each consumer that are due and missing, with the most upstream
# partitions that block them.

BLOCKED_ASKED_MAX = 5
"""So many of a consumer's newest unmet intervals are asked what they wait for."""


class BlockedInterval(msgspec.Struct, frozen=True):
    """An interval of a consumer that is due and isn't there, and what holds it back."""

    consumer: str
    interval: str
    due_at: int
    by: tuple[Blocked, ...]


def waiting_intervals(tx: Transaction, context: EvaluationContext, blockage: Blockage, now: int) -> list[BlockedInterval]:
    """Of each consumer the newest intervals that are due and aren't there."""
    terms = {consumer.consumer: consumer for consumer in context.declared.consumers}
    return [
        BlockedInterval(consumer, obligation.interval, obligation.due_at, tuple(blockage.of(terms[consumer], obligation.interval)))
        for consumer, unmet in obligations.all_unmet(tx, now, BLOCKED_ASKED_MAX).items()
        for obligation in (unmet if consumer in terms else ())
    ]


def missed_partitions(intervals: list[BlockedInterval]) -> dict[tuple[str, str], int]:
    """What isn't there although an interval that needs it is due: node and partition → since when it is due."""
    dues: dict[tuple[str, str], int] = {}
    for interval in intervals:
        for blocked in interval.by:
            if blocked.block is BlockReason.MISSING:
                place = blocked.node, blocked.partition
                dues[place] = min(dues.get(place, interval.due_at), interval.due_at)
    return dues


# Deliveries that are later than promised, or later than they ever were.

KIND = "late"
Missed: TypeAlias = Mapping[tuple[str, str], int]
"""Source and interval → since when a consumer's interval that needs it is due."""
BACK_MAX = 31
"""So many intervals back from now an interval that isn't there is looked for, as long as none is there."""
HISTORY = 56
LEAST = 14
"""So many deliveries it takes to know when they usually come."""
AT_ONCE_MAX = 7
"""More intervals than these that come at once are history; fewer may be how a vendor delivers, as after a weekend."""
FIRST_OBSERVATION_US = 60 * 60 * 1_000_000
"""What is delivered so shortly before its source is first looked at may be what that look fetched."""
MARGIN_LEAST_US = 30 * 60 * 1_000_000
THROTTLED = "couldn't be looked at: its server asked for a pause"
"""Observed of an interval that may be there: nobody was allowed to look."""
EXACT_NATS = 12.0
HISTORY_NATS = 5.0


def gather(
    tx: Transaction, context: EvaluationContext, blockage: Blockage, reach: DownstreamIndex, missed: Missed, now: int
) -> Iterator[Evidence]:
    """The intervals of sources that should be there. `missed` are those that a consumer's due has passed without."""
    known: dict[str, dict[str, Evidence]] = {}
    for name, content in stored.active_of(tx, KIND).values():
        before = msgspec.msgpack.decode(content, type=Evidence)
        known.setdefault(name, {})[before.partition] = before
    for node in context.declared.nodes.values():
        if node.is_source and node.partition.grain is not None and not node.partition.by_delivery:
            yield from _of_source(tx, context, blockage, reach, node, missed, known.get(node.name, {}), now)


def _of_source(
    tx: Transaction,
    context: EvaluationContext,
    blockage: Blockage,
    reach: DownstreamIndex,
    node: Node,
    missed: Missed,
    known: Mapping[str, Evidence],
    now: int,
) -> Iterator[Evidence]:
    # an older interval that a consumer needs may be passed over by a newer one before anybody looks again
    start = context.rhythms[node.name].start_us
    asked = {*known, *(key for source, key in missed if source == node.name)}
    grain = node.partition.grain
    if start is not None and grain is not None:  # what was expected of a source before it ever delivered isn't, once it begins later
        asked = {key for key in asked if (began(key, grain, node.timezone) or 0) >= start}
    absent = {*_newest_absent(tx, context, node, now), *(key for key in asked if not deliveries.has_arrived(tx, node.name, key))}
    if not absent:
        return
    looked = deliveries.observations(tx, node.name, limit=1)
    delay = None if node.expect_by is not None else usual_delay(tx, node)
    declared = expected_since(tx, node.name)
    for key in sorted(absent):
        by, text = expected_by(node, key, delay), "" if node.expect_by is not None else ", as usual"
        if by is None:
            by, text = missed.get((node.name, key)), ", when a consumer was due"
        if (node.name, key) not in missed and obligations.any_waived(tx, reach.consumers(node.name), key):
            if not _awaited(context, blockage, reach, node, key, now):
                continue
            if by is None and key in known:
                by = known[key].began_us
        if by is None or by >= now or not looked or looked[0].at <= by:
            continue
        if by < declared and (node.name, key) not in missed and key not in known:
            continue  # nobody expected it here before its source was declared
        failing = looked[0].error is not None
        was_missed = (node.name, key) in missed or (key in known and known[key].kind == CauseKind.MISSING_SOURCE)
        late = CauseKind.MISSING_SOURCE if was_missed else CauseKind.LATE_SOURCE
        throttled = looked[0].code == "source_throttled"
        yield Evidence(
            id=f"{KIND}:{node.name}@{key}", node=node.name, partition=key, family=Family.ARRIVAL, kind="" if failing else late.value,
            expected=f"by {dated(by, context.declared.timezone)}{text}",
            observed=THROTTLED if throttled else "nothing was delivered",
            strength=EXACT_NATS if node.expect_by is not None else HISTORY_NATS, at_us=now, began_us=by,
        )  # fmt: skip


def _awaited(context: EvaluationContext, blockage: Blockage, reach: DownstreamIndex, node: Node, key: str, now: int) -> bool:
    """Whether a promise that is neither met nor waived, due or not, waits for an interval of a source: one of the same time, or of one
    that is over. What has only begun since may look back at it, and is asked when it is over."""
    assert node.partition.grain is not None
    began_us, ended_us = bounds_us(key, node.partition.grain, node.timezone)
    readers = set(reach.consumers(node.name))
    for terms in (consumer for consumer in context.declared.consumers if consumer.consumer in readers):
        for promise in promises(terms, context, now):
            since, until = bounds_us(promise.interval, terms.per, terms.timezone)
            if promise.settled or until <= began_us or (since >= ended_us and until > now):
                continue
            if any((by.node, by.partition) == (node.name, key) for by in blockage.of(terms, promise.interval)):
                return True
    return False


def _newest_absent(tx: Transaction, context: EvaluationContext, node: Node, now: int) -> Iterator[str]:
    """The newest intervals that have ended and aren't there, back to one that is, or to the first that is
    expected. Of a source that has never delivered, and is promised, that is the one in which it was declared."""
    assert node.partition.grain is not None
    grain, start = node.partition.grain, context.rhythms[node.name].start_us
    if start is None and node.expect_by is not None:
        start = began(key_at_us(expected_since(tx, node.name), grain, node.timezone), grain, node.timezone)
    key = previous_key(key_at_us(now, grain, node.timezone), grain, node.timezone)
    for _ in range(BACK_MAX):
        if start is None or (began(key, grain, node.timezone) or 0) < start or deliveries.has_arrived(tx, node.name, key):
            return
        if not node.no_data.covers(key, grain, node.timezone):
            yield key
        key = previous_key(key, grain, node.timezone)


def expected_since(tx: Transaction, source: str) -> int:
    """Since when deliveries of a source are expected here, in microseconds: something was applied, and it
    was declared."""
    return max(deliveries.first_applied(tx) or 0, deliveries.declared_since(tx, source) or 0)


def expected_by(node: Node, key: str, delay: int | None) -> int | None:
    """Until when an interval should be there: as promised, else as usual; None where neither is known."""
    if node.expect_by is not None or delay is None or node.partition.grain is None:
        return promised_by(node, key)
    return bounds_us(key, node.partition.grain, node.timezone)[1] + delay


def usual_delay(tx: Transaction, node: Node) -> int | None:
    """How long after its interval's end a delivery has come at the latest, but for one in a hundred, with a margin; None where too
    little is known."""
    took = [arrival.delay_us for arrival in came(tx, node)]
    if len(took) < LEAST:
        return None
    middle = statistics.median(took)
    spread = statistics.median(abs(item - middle) for item in took)
    late = sorted(took)[min(len(took) - 1, math.ceil(0.99 * len(took)) - 1)]
    return late + max(MARGIN_LEAST_US, int(3 * spread))


class TimedArrival(NamedTuple):
    """A delivery: when its interval ended, when it arrived, and when somebody looked. Microseconds."""

    ended_us: int
    arrived_us: int
    observed_us: int

    @property
    def delay_us(self) -> int:
        """How long after its interval's end it came; negative where it came before."""
        return self.arrived_us - self.ended_us

    @property
    def unseen_us(self) -> int:
        """For how long it lay there until somebody looked."""
        return self.observed_us - self.arrived_us


def came(tx: Transaction, node: Node) -> list[TimedArrival]:
    """The newest deliveries that say when a source usually delivers.

    History that is loaded says nothing of that: neither what lay there when the source was declared, nor all but
    the newest of many intervals that came at once. Nor does what was first seen after nobody had looked.
    """
    grain = node.partition.grain
    assert grain is not None
    declared = expected_since(tx, node.name)
    arrived = [
        arrival for arrival in deliveries.first_arrivals(tx, node.name, HISTORY) if began(arrival[0], grain, node.timezone) is not None
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
