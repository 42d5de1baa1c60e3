"""Evidence that a deadline can't be met with the usual arrivals, observations and durations.

It is one piece of evidence for as long as the promise can't be kept. Days on which another cause
blocks the interval, or on which nothing is due, don't count.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from functools import cache
from typing import NamedTuple

import msgspec

from headrace.incidents.diagnosis.evidence import Evidence, Family
from headrace.incidents.evidence.arrivals import (
    BlockedInterval,
    TimedArrival,
    expected_since,
    usual_arrivals,
)
from headrace.model.causes import CauseKind
from headrace.model.intervals import bounds_us, from_us
from headrace.slo.blockage import BlockReason, promised_by
from headrace.slo.declared_promises import Terms
from headrace.slo.freshness import TOLERANCE_US
from headrace.slo.obligations import EvaluationContext, due_us
from headrace.slo.times import ago
from headrace.store.queries import attempts, incidents, obligations
from headrace.store.queries import evidence as stored
from headrace.store.queries.deliveries import observed_between
from headrace.store.queries.obligations import StoredObligation
from headrace.store.transaction import Transaction

KIND = "deadline"
LOOKED = "if looked at "
"""Prefix of how much earlier an observation must be, if nothing else has to change."""
NATS = 6.0
ARRIVALS_LEAST = 5
"""At least this many deliveries are needed to know when they usually come."""
MISSED_LEAST = 5
"""At least this many deadlines in a row must be missed without another cause."""
ASKED_MAX = 12
"""At most this many of a consumer's newest deadlines are evaluated."""
_MINUTE_US = 60_000_000
_HOLDS = (BlockReason.MISSING, BlockReason.WAITING)


class _Ends(NamedTuple):
    """When an interval is usually published, and why."""

    at_us: int
    because: str
    unseen_us: int = 0
    """Usual time from the arrival of the delivery it waits for to its observation."""
    promised: bool = False
    """Whether the time is known only from a source's own promise."""
    usual: bool = True
    """Whether the time holds on most days; a promise or a few observations don't show that."""
    source: str = ""
    """The source that it waits for."""
    not_observed: bool = False
    """Whether no observation happens between the interval's end and the deadline.

    Then an earlier delivery alone wouldn't be seen in time.
    """


class _MissedDeadline(NamedTuple):
    """A consumer's newest deadline, by which its interval wasn't published."""

    terms: Terms
    newest: list[StoredObligation]
    """The consumer's due obligations that aren't waived, newest interval first; never empty."""
    due_us: int
    """The deadline by the promise in force, if that is later than the one recorded."""
    blocked: BlockedInterval | None
    """The newest interval with its blockers, while it isn't published."""
    started: Evidence | None
    """The active evidence, if an earlier evaluation found that the deadline can't be met."""

    @property
    def last(self) -> StoredObligation:
        """The obligation whose deadline this is."""
        return self.newest[0]


def gather(
    tx: Transaction,
    context: EvaluationContext,
    intervals: list[BlockedInterval],
    late: Collection[tuple[str, str]],
    outages: Sequence[Evidence],
    now: int,
) -> Iterator[Evidence]:
    """Yield evidence for consumers whose newest due interval is usually published too late.

    Nothing but usual arrivals and computations may block it. `outages` are those of Headrace: what
    was missed or observed late because of them doesn't count as usual.
    """
    usual = _Usual(tx, context, outages)
    for missed in _missed_deadlines(tx, context, intervals, now):
        if missed.started is None and _has_another_cause(missed, late, outages):
            continue
        ends = _too_late_end(tx, context, usual, missed, outages)
        if ends is not None:
            yield _evidence(missed, ends, context.declared.timezone, now)


def _missed_deadlines(
    tx: Transaction, context: EvaluationContext, intervals: list[BlockedInterval], now: int
) -> Iterator[_MissedDeadline]:
    """Yield the newest deadline of each consumer that missed it."""
    blocked = {(interval.consumer, interval.interval): interval for interval in intervals}
    active = dict(stored.active_of(tx, KIND).values())
    for terms in context.declared.consumers:
        rows = obligations.newest(tx, terms.consumer, limit=ASKED_MAX)
        newest = [row for row in rows if row.due_at <= now and row.waived_at is None]
        if not newest or (newest[0].met_at is not None and newest[0].met_at <= newest[0].due_at):
            continue  # in time: the deadline can be met
        last = newest[0]
        content = active.get(terms.consumer)
        yield _MissedDeadline(
            terms,
            newest,
            max(last.due_at, due_us(terms, last.interval)),
            blocked.get((terms.consumer, last.interval)),
            None if content is None else msgspec.msgpack.decode(content, type=Evidence),
        )


def _has_another_cause(
    missed: _MissedDeadline, late: Collection[tuple[str, str]], outages: Sequence[Evidence]
) -> bool:
    """Return whether a blocker or an outage explains why a deadline was missed."""
    if missed.blocked is not None and _is_held_elsewhere(missed.blocked, late):
        return True
    last = missed.last
    return _away(outages, last.due_at, last.met_at or last.due_at)


def _is_held_elsewhere(interval: BlockedInterval, late: Collection[tuple[str, str]]) -> bool:
    return not interval.by or any(
        b.block not in _HOLDS or (b.node, b.partition) in late for b in interval.by
    )


def _too_late_end(
    tx: Transaction,
    context: EvaluationContext,
    usual: _Usual,
    missed: _MissedDeadline,
    outages: Sequence[Evidence],
) -> _Ends | None:
    """Return when the newest interval is usually published; None if that isn't too late.

    With active evidence, recently missed intervals are enough: the evidence doesn't end before the
    deadline can be met.
    """
    usually = _usual_end(context, usual, missed)
    ends = usually if usually is not None and usually.at_us > missed.last.due_at else None
    if ends is None or ends.promised:
        ends = _always(tx, context, usual, missed, outages) or ends
    if missed.started is None and (ends is None or ends.at_us <= missed.due_us):
        return None
    recent = _lately(tx, missed, outages)
    ends = ends or usually or _as_lately(recent)
    if ends is None:
        return None
    ends = _not_before_recent(usual, ends, recent, missed)
    return _with_observations(usual, ends, missed) if ends.at_us > missed.due_us else None


def _with_observations(usual: _Usual, ends: _Ends, missed: _MissedDeadline) -> _Ends:
    """Return the end, marked if its source isn't observed before the deadline."""
    if not ends.source or ends.unseen_us < _MINUTE_US:
        return ends
    not_observed = usual.not_observed(ends.source, missed.last.interval, missed.due_us)
    return ends._replace(not_observed=not_observed)


def _usual_end(context: EvaluationContext, usual: _Usual, missed: _MissedDeadline) -> _Ends | None:
    """Return when the newest interval is usually published; None if unknown."""
    places = [(source, missed.last.interval) for source in _sources(context, missed.terms)]
    if missed.blocked is not None:
        places += [(b.node, b.partition) for b in missed.blocked.by if b.block in _HOLDS]
    results = [
        ends
        for node, key in dict.fromkeys(places)
        if (ends := usual.ends(missed.terms, node, key)) is not None
    ]
    return max(results, key=lambda ends: ends.at_us, default=None)


def _always(
    tx: Transaction,
    context: EvaluationContext,
    usual: _Usual,
    missed: _MissedDeadline,
    outages: Sequence[Evidence],
) -> _Ends | None:
    """Return the latest publication if the newest deadlines were all missed.

    None if another incident explains that. Intervals that one observation found together late don't
    count as usual.
    """
    late = _met_late(missed)
    rows = [row for row, _ in late]
    if len(late) < MISSED_LEAST or _had_another_cause(tx, missed.terms, rows, outages):
        return None
    (newest, newest_met_us), (oldest, oldest_met_us) = late[0], late[-1]
    if 2 * (newest_met_us - oldest_met_us) < newest.due_at - oldest.due_at:
        return None
    took = max(met_us - row.due_at for row, met_us in late)
    ends = _Ends(missed.last.due_at + took, f"the last {len(late)} were")
    name, seen = _observed_last(context, usual, missed.terms, newest.interval)
    if seen is None or seen.unseen_us < _MINUTE_US:
        return ends
    because = f"{ends.because}; {_seen_late(newest.interval, seen, missed.terms)}"
    return ends._replace(because=because, unseen_us=seen.unseen_us, source=name)


def _met_late(missed: _MissedDeadline) -> list[tuple[StoredObligation, int]]:
    """Return those of the newest obligations that were met after their deadline, and when."""
    return [
        (row, row.met_at)
        for row in missed.newest[:MISSED_LEAST]
        if row.met_at is not None and row.met_at > row.due_at
    ]


def _observed_last(
    context: EvaluationContext, usual: _Usual, terms: Terms, interval: str
) -> tuple[str, TimedArrival | None]:
    """Return the source whose delivery of an interval was observed last, and that delivery."""
    results = ((name, usual.delivery(name, interval)) for name in _sources(context, terms))
    return max(
        ((name, arrival) for name, arrival in results if arrival is not None),
        key=lambda it: it[1].observed_us,
        default=("", None),
    )


def _lately(
    tx: Transaction, missed: _MissedDeadline, outages: Sequence[Evidence]
) -> dict[str, int]:
    """Return interval → when the newest interval would have been published with the same delay.

    These are recently missed intervals without another cause, possibly with the newest.
    """
    terms = missed.terms
    ended = bounds_us(missed.last.interval, terms.per, terms.timezone)[1]
    return {
        row.interval: ended + met_us - bounds_us(row.interval, terms.per, terms.timezone)[1]
        for row, met_us in _met_late(missed)
        if not _had_another_cause(tx, terms, [row], outages)
    }


def _as_lately(recent: dict[str, int]) -> _Ends | None:
    """Return the latest time at which recently missed intervals were published."""
    return _Ends(max(recent.values()), _last(recent), usual=_is_usual(recent)) if recent else None


def _is_usual(recent: dict[str, int]) -> bool:
    """Return whether most recently missed intervals were as late as the latest."""
    return (
        len(recent) >= MISSED_LEAST
        and max(recent.values()) - statistics.median(recent.values()) <= TOLERANCE_US
    )


def _last(recent: dict[str, int]) -> str:
    return "the last was" if len(recent) == 1 else f"the last {len(recent)} were"


def _not_before_recent(
    usual: _Usual, ends: _Ends, recent: dict[str, int], missed: _MissedDeadline
) -> _Ends:
    """Return the usual time, but not earlier than recently missed intervals were published.

    So the proposal isn't one that the last days would have missed as well.
    """
    latest = max(recent.values(), default=ends.at_us)
    later = _minute(latest) > _minute(ends.at_us)
    if not later and (not ends.promised or not recent):
        return ends
    if ends.unseen_us and latest - ends.at_us <= TOLERANCE_US:
        return ends._replace(at_us=latest)
    there_by = _clock(_minute(latest), missed.due_us, missed.terms.timezone)
    because = f"{ends.because}; {_last(recent)} there by {there_by}"
    if later and ends.source:
        interval = max(recent, key=lambda key: (_minute(recent[key]), key))
        seen = usual.delivery(ends.source, interval)
        if seen is not None and seen.unseen_us >= _MINUTE_US:
            because = f"{ends.because}; {_seen_late(interval, seen, missed.terms)}"
            ends = ends._replace(unseen_us=seen.unseen_us)
    promised, always = ends.promised and not later, _is_usual(recent) if later else ends.usual
    return ends._replace(
        at_us=max(latest, ends.at_us), because=because, promised=promised, usual=always
    )


def _seen_late(what: str, seen: TimedArrival, terms: Terms) -> str:
    """Return a clause about a delivery that waited for its observation."""
    arrived, looked = (
        f"{from_us(at, terms.timezone):%H:%M}" for at in (seen.arrived_us, seen.observed_us)
    )
    return f"{what} came at {arrived}, but wasn't observed before {looked}"


def _minute(at_us: int) -> int:
    """Return the time rounded up to a full minute."""
    return -(-at_us // _MINUTE_US) * _MINUTE_US


def _away(outages: Sequence[Evidence], from_us: int, until_us: int) -> bool:
    """Return whether an outage overlaps a span."""
    return any(
        (outage.began_us or outage.at_us) <= until_us and outage.at_us >= from_us
        for outage in outages
    )


def _had_another_cause(
    tx: Transaction, terms: Terms, late: list[StoredObligation], outages: Sequence[Evidence]
) -> bool:
    if any(_away(outages, missed.due_at, missed.met_at or missed.due_at) for missed in late):
        return True
    return any(
        incident.began_at <= (missed.met_at or 0)
        and (incident.restored_at or incident.resolved_at or missed.due_at) >= missed.due_at
        for incident in incidents.newest(tx)
        if terms.consumer in incident.affected.consumers
        and incident.kind != CauseKind.DEADLINE_INFEASIBLE
        for missed in late
    )


def _evidence(missed: _MissedDeadline, ends: _Ends, project_zone: str, now: int) -> Evidence:
    """Return the evidence, with times in the consumer's timezone, as in its `due`.

    The timezone is named if the project has another.
    """
    terms, last, due, started = missed.terms, missed.last, missed.due_us, missed.started
    zone = terms.timezone
    named = "" if zone == project_zone else f", times of {zone}"
    at = _minute(ends.at_us)
    early = ago(at - due)
    earlier = f"there {early} earlier"
    if ends.promised:
        earlier = f"promised {early} earlier"
    elif ends.unseen_us >= at - due:
        earlier = f"{LOOKED}{early} earlier"
    elif ends.not_observed:
        earlier = (
            f"there {ago(_minute(ends.at_us - ends.unseen_us) - due)}, and looked at {early},"
            " earlier"
        )
    there = "usually there" if ends.usual else "there"
    return Evidence(
        id=f"{KIND}:{terms.consumer}",
        node=terms.consumer,
        family=Family.ARRIVAL,
        kind=CauseKind.DEADLINE_INFEASIBLE.value,
        partition=last.interval if started is None else started.partition,
        expected=(
            f"by {_clock(due, due, zone)}; fits if due by {_clock(at, due, zone)}, or {earlier}"
        ),
        observed=f"{there} at {_clock(at, due, zone)}{named} ({ends.because})",
        strength=NATS,
        at_us=now,
        began_us=last.due_at if started is None else started.began_us,
    )


def _clock(at: int, due: int, zone: str) -> str:
    """Return the time of day, with the number of days after the deadline, if any."""
    local, days = (
        from_us(at, zone),
        (from_us(at, zone).date() - from_us(due, zone).date()) // timedelta(days=1),
    )
    return f"{local:%H:%M}" + (f" {days} day{'s' if days > 1 else ''} later" if days else "")


def _sources(context: EvaluationContext, terms: Terms) -> list[str]:
    """Return the upstream sources with the consumer's own grain."""
    above = context.declared.upstream(terms.reads)
    return [node.name for node in above if node.is_source and node.partition.grain is terms.per]


class _Usual:
    """Usual arrivals and durations; each is read once."""

    def __init__(
        self, tx: Transaction, context: EvaluationContext, outages: Sequence[Evidence]
    ) -> None:
        self._tx, self._context, self._outages = tx, context, outages
        self._delay = cache(self._usual_delay)
        self._seconds = cache(self._usual_seconds)
        self._after = cache(self._longest_after)

    def ends(self, terms: Terms, name: str, key: str) -> _Ends | None:
        """Return when a read that waits for a source's partition is usually published.

        None if unknown.
        """
        source = self._context.node(name)
        if not source.is_source or source.partition.grain is None:
            return None
        delay, unseen = self._delay(name)
        ended = bounds_us(key.partition("/")[0], source.partition.grain, source.timezone)[1]
        arrives = promised_by(source, key) if delay is None else ended + delay
        takes = max(
            (result for read in terms.reads if (result := self._after(name, read)) is not None),
            default=0.0,
        )
        if arrives is None:
            return None
        work = int(takes * 1_000_000)
        clock = f"{from_us(arrives, terms.timezone):%H:%M}"
        if unseen > TOLERANCE_US:
            looked = f"{from_us(arrives + unseen, terms.timezone):%H:%M}"
            return _Ends(
                arrives + unseen + work,
                f"{name} at {clock}, but isn't observed before {looked}",
                unseen,
                source=name,
            )
        comes = f"if {name} comes by {clock} as promised" if delay is None else f"{name} at {clock}"
        return _Ends(
            arrives + work,
            f"{comes}, then {ago(work)}",
            promised=delay is None,
            usual=delay is not None,
            source=name,
        )

    def delivery(self, source: str, interval: str) -> TimedArrival | None:
        """Return the delivery of an interval with its observation; None if unknown."""
        ended = self._ended(source, interval)
        return next(
            (
                arrival
                for arrival in usual_arrivals(self._tx, self._context.node(source))
                if arrival.ended_us == ended
            ),
            None,
        )

    def not_observed(self, source: str, interval: str, due: int) -> bool:
        """Return whether a source isn't observed between an interval's end and its deadline.

        False if unknown.
        """
        return observed_between(self._tx, source, self._ended(source, interval), due) is False

    def _ended(self, source: str, interval: str) -> int:
        node = self._context.node(source)
        return bounds_us(interval.partition("/")[0], node.partition.time_grain, node.timezone)[1]

    def _usual_delay(self, source: str) -> tuple[int | None, int]:
        """Return the median delay of deliveries and their median wait for an observation.

        Both are in microseconds. The wait is 0 with too few observations, however many deliveries
        each of them found.
        """
        took = usual_arrivals(self._tx, self._context.node(source))
        if len(took) < ARRIVALS_LEAST:
            return None, 0
        delay, declared = (
            statistics.median(arrival.delay_us for arrival in took),
            expected_since(self._tx, source),
        )
        seen = [
            arrival
            for arrival in took
            if arrival.arrived_us >= declared
            and not _away(self._outages, arrival.arrived_us, arrival.observed_us)
        ]
        observations = {arrival.observed_us for arrival in seen}
        return int(delay), (
            int(statistics.median(arrival.unseen_us for arrival in seen))
            if len(observations) >= ARRIVALS_LEAST
            else 0
        )

    def _usual_seconds(self, node: str) -> float:
        duration_statistics = attempts.durations_of_node(self._tx, node)
        return duration_statistics.p50 if duration_statistics is not None else 0.0

    def _longest_after(self, source: str, node: str) -> float | None:
        """Return the duration of the longest chain from a source to a node, in seconds.

        None if no chain leads there.
        """
        if node == source:
            return self._seconds(node)
        declared = self._context.declared.nodes.get(node)
        above = (
            [
                result
                for spec in declared.inputs
                if (result := self._after(source, spec.node)) is not None
            ]
            if declared
            else []
        )
        return max(above) + self._seconds(node) if above else None
