"""Evidence that a deadline can't be met with the usual arrivals, observations and durations.

It is one piece of evidence for as long as the promise can't be kept. A day on which another cause blocks the interval, or on which nothing
is due, says nothing about that.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from functools import cache
from typing import NamedTuple

import msgspec

from headrace.incidents.diagnosis.evidence import Evidence, Family
from headrace.incidents.evidence.arrivals import BlockedInterval, TimedArrival, came, expected_since
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
"""What is said before how much earlier an observation would have to be, where that is all that has to be otherwise."""
NATS = 6.0
ARRIVALS_LEAST = 5
"""At least so many deliveries say when they usually come."""
MISSED_LEAST = 5
"""At least so many deadlines in a row, missed without another cause, say that they can't be met."""
ASKED_MAX = 12
"""At most so many of a consumer's newest deadlines are looked at."""
_MINUTE_US = 60_000_000
_HOLDS = (BlockReason.MISSING, BlockReason.WAITING)


class _Ends(NamedTuple):
    """When an interval is usually there, and what that consists of."""

    at_us: int
    because: str
    unseen_us: int = 0
    """For how long what it waits for has usually lain there until somebody looks."""
    promised: bool = False
    """Whether nothing but a source's own promise says when it comes."""
    usual: bool = True
    """Whether it is so on most days; neither a promise nor a few looks say that."""
    source: str = ""
    """What it waits for."""
    not_observed: bool = False
    """Whether nobody looks between the interval's end and the deadline, so that an earlier delivery alone wouldn't be seen."""


def gather(
    tx: Transaction,
    context: EvaluationContext,
    intervals: list[BlockedInterval],
    late: Collection[tuple[str, str]],
    outages: Sequence[Evidence],
    now: int,
) -> Iterator[Evidence]:
    """The consumers whose newest due interval waits, or waited, for nothing but what usually comes, or is computed, after it was due.
    `outages` are those of Headrace itself: what was missed, or seen late, through them says nothing of what is usual."""
    waiting = {interval.consumer: interval for interval in intervals}  # they come oldest first
    known = dict(stored.active_of(tx, KIND).values())
    usual = _Usual(tx, context, outages)
    for terms in context.declared.consumers:
        before = known.get(terms.consumer)
        started = None if before is None else msgspec.msgpack.decode(before, type=Evidence)
        rows = obligations.newest(tx, terms.consumer, limit=ASKED_MAX)
        newest = [row for row in rows if row.due_at <= now and row.waived_at is None]
        if not newest or (newest[0].met_at is not None and newest[0].met_at <= newest[0].due_at):
            continue  # in time: it can be kept
        last = newest[0]
        interval = waiting.get(terms.consumer)
        held = interval is not None and interval.interval == last.interval and _is_held_elsewhere(interval, late)
        if started is None and (held or _away(outages, last.due_at, last.met_at or last.due_at)):
            continue
        due = max(last.due_at, due_us(terms, last.interval))
        usually = _usual_end(context, usual, terms, last, interval)
        ends = usually if usually is not None and usually.at_us > last.due_at else None
        if ends is None or ends.promised:
            ends = _always(tx, context, usual, terms, newest, outages) or ends
        if started is None and (ends is None or ends.at_us <= due):
            continue
        recent = _lately(tx, terms, newest, outages)
        ends = ends or usually or _as_lately(recent)
        kept_by = None if ends is None else _kept_by(usual, ends, recent, due, terms)
        if kept_by is not None and kept_by.at_us > due:
            if kept_by.source and kept_by.unseen_us >= _MINUTE_US:
                kept_by = kept_by._replace(not_observed=usual.not_observed(kept_by.source, last.interval, due))
            yield _evidence(terms, last, due, kept_by, started, context.declared.timezone, now)


def _is_held_elsewhere(interval: BlockedInterval, late: Collection[tuple[str, str]]) -> bool:
    return not interval.by or any(b.block not in _HOLDS or (b.node, b.partition) in late for b in interval.by)


def _usual_end(
    context: EvaluationContext, usual: _Usual, terms: Terms, last: StoredObligation, interval: BlockedInterval | None
) -> _Ends | None:
    """When an interval is there by usual arrivals and durations; None where nothing says that."""
    places = [(source, last.interval) for source in _sources(context, terms)]
    if interval is not None and interval.interval == last.interval:
        places += [(b.node, b.partition) for b in interval.by if b.block in _HOLDS]
    results = [ends for node, key in dict.fromkeys(places) if (ends := usual.ends(terms, node, key)) is not None]
    return max(results, key=lambda ends: ends.at_us, default=None)


def _always(
    tx: Transaction, context: EvaluationContext, usual: _Usual, terms: Terms, newest: list[StoredObligation], outages: Sequence[Evidence]
) -> _Ends | None:
    """When an interval was there at the latest, where the newest deadlines were all missed and no other
    incident was open about that. What one look found late together says nothing of what is usual."""
    last = newest[:MISSED_LEAST]
    late = [obligation for obligation in last if obligation.met_at is not None and obligation.met_at > obligation.due_at]
    if len(late) < MISSED_LEAST or _had_another_cause(tx, terms, late, outages):
        return None
    met = [obligation.met_at or 0 for obligation in late]
    if 2 * (met[0] - met[-1]) < late[0].due_at - late[-1].due_at:
        return None
    took = max((obligation.met_at or 0) - obligation.due_at for obligation in late)
    ends = _Ends(newest[0].due_at + took, f"the last {len(late)} were")
    results = ((name, usual.delivery(name, late[0].interval)) for name in _sources(context, terms))
    name, seen = max(
        ((name, arrival) for name, arrival in results if arrival is not None), key=lambda it: it[1].observed_us, default=("", None)
    )
    if seen is None or seen.unseen_us < _MINUTE_US:
        return ends
    because = f"{ends.because}; {_seen_late(late[0].interval, seen, terms)}"
    return ends._replace(because=because, unseen_us=seen.unseen_us, source=name)


def _lately(tx: Transaction, terms: Terms, newest: list[StoredObligation], outages: Sequence[Evidence]) -> dict[str, int]:
    """Interval → when the newest interval would have been there, had it come as this one: those that were missed lately without
    another cause, the newest among them."""
    ended = bounds_us(newest[0].interval, terms.per, terms.timezone)[1]
    return {
        obligation.interval: ended + obligation.met_at - bounds_us(obligation.interval, terms.per, terms.timezone)[1]
        for obligation in newest[:MISSED_LEAST]
        if obligation.met_at is not None and obligation.met_at > obligation.due_at
        if not _had_another_cause(tx, terms, [obligation], outages)
    }


def _as_lately(recent: dict[str, int]) -> _Ends | None:
    """When an interval was there at the latest, of those that were missed lately."""
    return _Ends(max(recent.values()), _last(recent), usual=_is_usual(recent)) if recent else None


def _is_usual(recent: dict[str, int]) -> bool:
    """Whether most of those that were missed lately were there as late as the latest."""
    return len(recent) >= MISSED_LEAST and max(recent.values()) - statistics.median(recent.values()) <= TOLERANCE_US


def _last(recent: dict[str, int]) -> str:
    return "the last was" if len(recent) == 1 else f"the last {len(recent)} were"


def _kept_by(usual: _Usual, ends: _Ends, recent: dict[str, int], due: int, terms: Terms) -> _Ends:
    """What is usual, and no earlier than what was seen lately: nobody is told to promise what the
    last days would have missed as well."""
    latest = max(recent.values(), default=ends.at_us)
    later = _minute(latest) > _minute(ends.at_us)
    if not later and (not ends.promised or not recent):
        return ends
    if ends.unseen_us and latest - ends.at_us <= TOLERANCE_US:
        return ends._replace(at_us=latest)
    because = f"{ends.because}; {_last(recent)} there by {_clock(_minute(latest), due, terms.timezone)}"
    if later and ends.source:
        interval = max(recent, key=lambda key: (_minute(recent[key]), key))
        seen = usual.delivery(ends.source, interval)
        if seen is not None and seen.unseen_us >= _MINUTE_US:
            because = f"{ends.because}; {_seen_late(interval, seen, terms)}"
            ends = ends._replace(unseen_us=seen.unseen_us)
    promised, always = ends.promised and not later, _is_usual(recent) if later else ends.usual
    return ends._replace(at_us=max(latest, ends.at_us), because=because, promised=promised, usual=always)


def _seen_late(what: str, seen: TimedArrival, terms: Terms) -> str:
    """That a delivery lay there until somebody looked."""
    arrived, looked = (f"{from_us(at, terms.timezone):%H:%M}" for at in (seen.arrived_us, seen.observed_us))
    return f"{what} came at {arrived}, but nobody looked before {looked}"


def _minute(at_us: int) -> int:
    """The full minute that isn't before."""
    return -(-at_us // _MINUTE_US) * _MINUTE_US


def _away(outages: Sequence[Evidence], from_us: int, until_us: int) -> bool:
    """Whether Headrace wasn't there for some of a time."""
    return any((outage.began_us or outage.at_us) <= until_us and outage.at_us >= from_us for outage in outages)


def _had_another_cause(tx: Transaction, terms: Terms, late: list[StoredObligation], outages: Sequence[Evidence]) -> bool:
    if any(_away(outages, missed.due_at, missed.met_at or missed.due_at) for missed in late):
        return True
    return any(
        incident.began_at <= (missed.met_at or 0) and (incident.restored_at or incident.resolved_at or missed.due_at) >= missed.due_at
        for incident in incidents.newest(tx)
        if terms.consumer in incident.affected.consumers and incident.kind != CauseKind.DEADLINE_INFEASIBLE
        for missed in late
    )


def _evidence(
    terms: Terms, last: StoredObligation, due: int, ends: _Ends, started: Evidence | None, project_zone: str, now: int
) -> Evidence:  # fmt: skip
    """Times are the consumer's, as its `due` is written, and name its zone where the project has another."""
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
        earlier = f"there {ago(_minute(ends.at_us - ends.unseen_us) - due)}, and looked at {early}, earlier"
    there = "usually there" if ends.usual else "there"
    return Evidence(
        id=f"{KIND}:{terms.consumer}", node=terms.consumer, family=Family.ARRIVAL, kind=CauseKind.DEADLINE_INFEASIBLE.value,
        partition=last.interval if started is None else started.partition,
        expected=f"by {_clock(due, due, zone)}; fits if due by {_clock(at, due, zone)}, or {earlier}",
        observed=f"{there} at {_clock(at, due, zone)}{named} ({ends.because})",
        strength=NATS, at_us=now, began_us=last.due_at if started is None else started.began_us,
    )  # fmt: skip


def _clock(at: int, due: int, zone: str) -> str:
    """The time of day; with the days after the deadline, if any."""
    local, days = from_us(at, zone), (from_us(at, zone).date() - from_us(due, zone).date()) // timedelta(days=1)
    return f"{local:%H:%M}" + (f" {days} day{'s' if days > 1 else ''} later" if days else "")


def _sources(context: EvaluationContext, terms: Terms) -> list[str]:
    """The sources with the consumer's own rhythm that it comes from."""
    waiting, results = list(terms.reads), dict.fromkeys(terms.reads)
    while waiting:
        node = context.declared.nodes.get(waiting.pop())
        new = [spec.node for spec in node.inputs if spec.node not in results] if node is not None else []
        results |= dict.fromkeys(new)
        waiting += new
    nodes = (context.declared.nodes[name] for name in results if name in context.declared.nodes)
    return [node.name for node in nodes if node.is_source and node.partition.grain is terms.per]


class _Usual:
    """When things usually come, and how long they usually take; each is asked once."""

    def __init__(self, tx: Transaction, context: EvaluationContext, outages: Sequence[Evidence]) -> None:
        self._tx, self._context, self._outages = tx, context, outages
        self._delay = cache(self._usual_delay)
        self._seconds = cache(self._usual_seconds)
        self._after = cache(self._longest_after)

    def ends(self, terms: Terms, name: str, key: str) -> _Ends | None:
        """When what waits for one partition of a source is usually there; None where nothing says when."""
        source = self._context.node(name)
        if not source.is_source or source.partition.grain is None:
            return None
        delay, unseen = self._delay(name)
        ended = bounds_us(key.partition("/")[0], source.partition.grain, source.timezone)[1]
        arrives = promised_by(source, key) if delay is None else ended + delay
        takes = max((result for read in terms.reads if (result := self._after(name, read)) is not None), default=0.0)
        if arrives is None:
            return None
        work = int(takes * 1_000_000)
        clock = f"{from_us(arrives, terms.timezone):%H:%M}"
        if unseen > TOLERANCE_US:
            looked = f"{from_us(arrives + unseen, terms.timezone):%H:%M}"
            return _Ends(arrives + unseen + work, f"{name} at {clock}, but nobody looks before {looked}", unseen, source=name)
        comes = f"if {name} comes by {clock} as promised" if delay is None else f"{name} at {clock}"
        return _Ends(arrives + work, f"{comes}, then {ago(work)}", promised=delay is None, usual=delay is not None, source=name)

    def delivery(self, source: str, interval: str) -> TimedArrival | None:
        """When an interval's delivery arrived, and was seen; None where that isn't known."""
        ended = self._ended(source, interval)
        return next((arrival for arrival in came(self._tx, self._context.node(source)) if arrival.ended_us == ended), None)

    def not_observed(self, source: str, interval: str, due: int) -> bool:
        """Whether nobody looked at a source between an interval's end and its deadline; False where that isn't known."""
        return observed_between(self._tx, source, self._ended(source, interval), due) is False

    def _ended(self, source: str, interval: str) -> int:
        node = self._context.node(source)
        assert node.partition.grain is not None  # else nothing says when it usually comes
        return bounds_us(interval.partition("/")[0], node.partition.grain, node.timezone)[1]

    def _usual_delay(self, source: str) -> tuple[int | None, int]:
        """How long after its interval's end a delivery usually comes, and for how long it lies there until
        somebody looks: that isn't known of few looks, however many deliveries each of them found."""
        took = came(self._tx, self._context.node(source))
        if len(took) < ARRIVALS_LEAST:
            return None, 0
        delay, declared = statistics.median(arrival.delay_us for arrival in took), expected_since(self._tx, source)
        seen = [
            arrival
            for arrival in took
            if arrival.arrived_us >= declared and not _away(self._outages, arrival.arrived_us, arrival.observed_us)
        ]
        observations = {arrival.observed_us for arrival in seen}
        return int(delay), int(statistics.median(arrival.unseen_us for arrival in seen)) if len(observations) >= ARRIVALS_LEAST else 0

    def _usual_seconds(self, node: str) -> float:
        duration_statistics = attempts.durations_of_node(self._tx, node)
        return duration_statistics.p50 if duration_statistics is not None else 0.0

    def _longest_after(self, source: str, node: str) -> float | None:
        """How long the longest chain from a source to a node takes, in seconds; None where none leads there."""
        if node == source:
            return self._seconds(node)
        declared = self._context.declared.nodes.get(node)
        above = [result for spec in declared.inputs if (result := self._after(source, spec.node)) is not None] if declared else []
        return max(above) + self._seconds(node) if above else None
