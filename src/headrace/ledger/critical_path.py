"""The critical path of a wait, where a rebuild began, and the shortest possible wait. Pure.

All three walk from a partition to its inputs, back to the sources.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.ledger.claims import DelayClaims, Queues, Stay, first_arrival
from headrace.ledger.inputs import LedgerInputs, PartitionRef, ReadyInput
from headrace.ledger.records import (
    LedgerPublication,
    LedgerRecords,
    Try,
    crowded,
    publications_until,
)
from headrace.ledger.segments import (
    Segment,
    SegmentKind,
    clipped,
    divided,
    merged,
    unattributed,
)
from headrace.model.intervals import bounds_us
from headrace.model.partitions import SEPARATOR
from headrace.scheduler.gates import fires_by_time, next_firing
from headrace.slo.blockage import promised_by
from headrace.slo.declared_promises import WHOLE, Node, NodeTraits

# What caused a partition to be recomputed, and when: the wait for a rebuild begins there.

REBUILD_STEPS_MAX = 200


def rebuild_began_us(
    inputs: LedgerInputs,
    records: LedgerRecords,
    place: PartitionRef,
    before: LedgerPublication,
    to_us: int,
) -> int:
    """Return when the cause of a rebuild occurred, in microseconds.

    The rebuild replaces the publication `before` and was published at `to_us` (or isn't yet). Its
    cause is a delivery, else an applied version, a requested backfill, or a requested run.
    """
    for _ in range(REBUILD_STEPS_MAX):
        tries = (item for item in records.tries(*place) if before.at_us <= item.queued_us <= to_us)
        first = next(tries, None)
        if _is_source(inputs.known(place.node)):
            return _arrived(records, place, before, to_us, first)
        queued_us = to_us if first is None else first.queued_us
        above = _renewed(inputs, records, place, before, queued_us)
        if above is None:
            return _requested_us(records, before, first, to_us)
        place, earlier, to_us = above
        if earlier is None:
            return to_us
        before = earlier
    return to_us


def _arrived(
    records: LedgerRecords,
    place: PartitionRef,
    before: LedgerPublication,
    to_us: int,
    first: Try | None,
) -> int:
    later = [
        arrival.arrived_us
        for arrival in records.arrivals(*place)
        if arrival.observed_us > before.at_us - 1 and arrival.arrived_us <= to_us
    ]
    return max(later) if later else _requested_us(records, before, first, to_us)


def _requested_us(
    records: LedgerRecords, before: LedgerPublication, first: Try | None, to_us: int
) -> int:
    """Return when somebody requested the rebuild or withdrew the publication before."""
    if (
        before.ended_us is not None
        and first is not None
        and before.at_us < before.ended_us <= first.queued_us
    ):
        return before.ended_us
    if first is None:
        return (
            max(before.at_us, before.ended_us)
            if before.ended_us is not None and before.ended_us <= to_us
            else to_us
        )
    if first.plan is not None:
        return max(before.at_us, first.plan.created_us)
    applied = records.applied_us(first.version) if first.version is not None else None
    request_times = [
        at
        for at in (applied, first.asked_us)
        if at is not None and before.at_us <= at <= first.queued_us
    ]
    return max(request_times, default=first.queued_us)


def _renewed(
    inputs: LedgerInputs,
    records: LedgerRecords,
    place: PartitionRef,
    before: LedgerPublication,
    until_us: int,
) -> tuple[PartitionRef, LedgerPublication | None, int] | None:
    """Return the input that was published last since then, what it replaced, and when.

    None if no input was published since.
    """
    read_us = next(
        (item.dispatched_us for item in records.tries(*place) if item.id == before.id), before.at_us
    )
    results: list[tuple[int, PartitionRef, LedgerPublication | None]] = []
    for ready_input in inputs.of(place, until_us):
        publications = publications_until(records, ready_input.place, until_us)
        if publications and publications[-1].at_us > read_us:
            replaced = publications[-2] if len(publications) > 1 else None
            results.append((publications[-1].at_us, ready_input.place, replaced))
    if not results:
        return None
    at_us, above, earlier = max(results, key=lambda each: each[:2])
    return above, earlier, at_us


# The critical path goes back from the last partition to the input that let it start, and so on to a
# source. Each partition on it has the time from its last input to its own publication. These times
# are contiguous, so the segments of all of them add up to the wait.

PATH_STEPS_MAX = 1_000
"""A path has at most this many partitions; the time before them is unattributed."""


class Path:
    """A walk back from one partition; with `again`, it and its inputs are being recomputed."""

    def __init__(
        self,
        inputs: LedgerInputs,
        records: LedgerRecords,
        traits: Mapping[str, NodeTraits],
        *,
        again: bool = False,
    ) -> None:
        self._inputs, self._records, self._traits, self._again = inputs, records, traits, again

    def back(self, place: PartitionRef, from_us: int, to_us: int, *, there: bool) -> list[Segment]:
        """Return contiguous segments from `from_us` to `to_us`.

        `there`: the partition was published at `to_us`; else the wait is open.
        """
        results: list[list[Segment]] = []
        above: ReadyInput | None = ReadyInput(place, to_us if there else None)
        end, steps = to_us, 0
        while above is not None and end > from_us and steps < PATH_STEPS_MAX:
            stay, above = self._stay(above, from_us, end)
            results.append(self._divided(stay))
            end, steps = stay.from_us, steps + 1
        if end > from_us:
            results.append([unattributed(place.node, place.partition, from_us, end)])
        return merged([segment for segments in reversed(results) for segment in segments])

    def alone(self, place: PartitionRef, from_us: int, to_us: int, *, there: bool) -> list[Segment]:
        """Return the segments from a partition's own rows only, whatever it waited for."""
        final = self._publication_at(place, to_us) if there else None
        return self._own_segments(
            self._as_stay(place, self._inputs.known(place.node), from_us, to_us, final, to_us)
        )

    def _stay(
        self, ready_input: ReadyInput, from_us: int, to_us: int
    ) -> tuple[Stay, ReadyInput | None]:
        """Return one partition's part of the path and the input above it.

        The partition was published at `to_us` or isn't published yet.
        """
        place = ready_input.place
        node = self._inputs.known(place.node)
        final = None if ready_input.at_us is None else self._publication_of(ready_input, to_us)
        tries = self._tries(place, final, from_us, to_us)
        first = tries[0] if tries else None
        begun = to_us if first is None else min(first.queued_us, to_us)
        ready = self._ready_inputs(place, final, first, begun, to_us)
        missing = [item for item in ready if item.at_us is None]
        if missing and first is None and final is None:
            above = min(missing, key=lambda item: self._inputs.root_rank(item.place))
            return self._as_stay(place, node, to_us, to_us, final, begun), above
        published = (item for item in ready if item.at_us is not None)
        last = max(published, key=lambda item: (item.at_us or 0, item.place), default=None)
        if last is None or last.at_us is None or last.at_us <= from_us:
            return self._as_stay(place, node, from_us, to_us, final, begun), None
        return self._as_stay(place, node, min(last.at_us, to_us), to_us, final, begun), last

    def _tries(
        self, place: PartitionRef, final: LedgerPublication | None, from_us: int, to_us: int
    ) -> list[Try]:
        """Return the attempts that belong to the wait for the publication `final`."""
        if place.partition == WHOLE and not self._again:
            # Earlier attempts belong to other intervals.
            attempt = self._attempt_of(place, final)
            return [] if attempt is None else [attempt]
        tries = [
            item
            for item in self._records.tries(*place)
            if item.queued_us < to_us or (final is not None and item.id == final.id)
        ]
        return [item for item in tries if item.queued_us >= from_us] if self._again else tries

    def _ready_inputs(
        self,
        place: PartitionRef,
        final: LedgerPublication | None,
        first: Try | None,
        begun_us: int,
        to_us: int,
    ) -> list[ReadyInput]:
        """Return the inputs as of `begun_us`, when the attempt `first` was queued, if there is one.

        While they are being recomputed, return their last publications.
        """
        final_attempt = self._attempt_of(place, final)
        ready = self._inputs.of(place, begun_us, final_attempt, first)
        if first is not None and any(item.at_us is None for item in ready):
            # A batch is queued as soon as one of its partitions is ready; the inputs of the others
            # are there when it is dispatched.
            dispatched_us = min(max(begun_us, first.dispatched_us), to_us)
            ready = self._inputs.of(place, dispatched_us, final_attempt, first)
        return [self._renewed(item, begun_us) for item in ready] if self._again else ready

    def _publication_of(self, ready_input: ReadyInput, to_us: int) -> LedgerPublication:
        """Return the publication of a partition, or what its plan had staged of it."""
        if ready_input.staged is None:
            return self._publication_at(ready_input.place, to_us)
        return LedgerPublication(to_us, None, *ready_input.staged)

    def _renewed(self, ready_input: ReadyInput, until_us: int) -> ReadyInput:
        """Return the input with its last publication, or its staging for the reader."""
        if ready_input.staged is not None:
            return ready_input
        publications = publications_until(self._records, ready_input.place, until_us)
        return (
            ReadyInput(ready_input.place, publications[-1].at_us) if publications else ready_input
        )

    def _as_stay(
        self,
        place: PartitionRef,
        node: Node | None,
        from_us: int,
        to_us: int,
        final: LedgerPublication | None,
        begun_us: int,
    ) -> Stay:
        trigger = node.trigger if node is not None else None
        text = (
            ""
            if trigger is None
            else trigger.cron or trigger.upstream or trigger.arrival or "its time"
        )
        return Stay(
            node=place.node,
            partition=place.partition,
            from_us=from_us,
            to_us=to_us,
            is_source=_is_source(node),
            final=None if final is None else final.id,
            traits=self._traits.get(place.node, NodeTraits()),
            triggered=text,
            fires_us=None if node is None else self._fires_us(node, place.partition, from_us),
            promised_us=None if node is None else promised_by(node, place.partition),
            queues=self._queues(place, from_us) if final is None else None,
            missed=tuple((*ref, until) for ref, until in self._inputs.missed(place, begun_us))
            if not self._again
            else (),
            tried_from_us=from_us
            if self._again or (place.partition == WHOLE and not _is_source(node))
            else 0,
        )

    def _fires_us(self, node: Node, partition: str, from_us: int) -> int | None:
        """Return when a node's trigger first released a partition that was ready at `from_us`.

        A firing between the interval's end and that time counts; a recomputation needs a later one.
        None without a trigger that fires by time.
        """
        if node.trigger is None or not fires_by_time(node.trigger):
            return None
        ended_us = from_us
        if node.partition.grain is not None and not self._again:
            time_key = partition.partition(SEPARATOR)[0]
            ended_us = bounds_us(time_key, node.partition.grain, node.timezone)[1]
        return next_firing(node.trigger, min(from_us, ended_us) - 1)

    def _queues(self, place: PartitionRef, from_us: int) -> Queues | None:
        """Return what the partition waits for now although it could start."""
        led = self._records.led()
        pool_clause = None if led is None else crowded(place.node, self._traits, led)
        return (
            None
            if led is None or pool_clause is None
            else Queues(max(from_us, led.since_us), pool_clause)
        )

    def _publication_at(self, place: PartitionRef, at_us: int) -> LedgerPublication:
        """Return the publication that was current; an empty one if its rows were deleted since."""
        publications = publications_until(self._records, place, at_us)
        return next(
            (publication for publication in publications if publication.at_us == at_us),
            publications[-1] if publications else LedgerPublication(at_us, None, 0, 0),
        )

    def _attempt_of(self, place: PartitionRef, publication: LedgerPublication | None) -> Try | None:
        """Return the attempt that made a publication; None without one."""
        if publication is None:
            return None
        tries = self._records.tries(*place)
        return next((item for item in tries if item.id == publication.id), None)

    def _divided(self, stay: Stay) -> list[Segment]:
        segments = self._own_segments(stay)
        if stay.is_source or self._again:
            return segments
        return self._explained(stay, segments)

    def _own_segments(self, stay: Stay) -> list[Segment]:
        return divided(
            DelayClaims(stay, self._records).all(),
            stay.from_us,
            stay.to_us,
            stay.node,
            stay.partition,
        )

    def _explained(self, stay: Stay, segments: list[Segment]) -> list[Segment]:
        """Fill idle time with the recomputation of an input.

        While nothing requested the partition, or its data was wrong, it may have waited for that.
        """
        wrong = any(
            publication.unsound
            for publication in self._records.publications_of(stay.node, stay.partition)
        )
        kinds = (SegmentKind.SCHEDULE, SegmentKind.HOLD) if wrong else (SegmentKind.SCHEDULE,)
        idle = [segment for segment in segments if segment.kind in kinds]
        if not idle:
            return segments
        again = self._republished_input(
            PartitionRef(stay.node, stay.partition), idle[0].from_us, idle[-1].to_us
        )
        if again is None:
            return segments
        at_us, above, before = again
        since = max(
            idle[0].from_us, rebuild_began_us(self._inputs, self._records, above, before, at_us)
        )
        inner = Path(self._inputs, self._records, self._traits, again=True).back(
            above, since, at_us, there=True
        )
        return [
            part
            for segment in segments
            for part in (_filled(segment, inner) if segment.kind in kinds else [segment])
        ]

    def _republished_input(
        self, place: PartitionRef, from_us: int, to_us: int
    ) -> tuple[int, PartitionRef, LedgerPublication] | None:
        """Return the input that was republished last in a span, when, and what it replaced."""
        results = []
        for ready_input in self._inputs.of(place, to_us):
            publications = publications_until(self._records, ready_input.place, to_us)
            if len(publications) > 1 and publications[-1].at_us > from_us:
                results.append((publications[-1].at_us, ready_input.place, publications[-2]))
        return max(results, key=lambda each: each[:2], default=None)


def _filled(segment: Segment, inner: list[Segment]) -> list[Segment]:
    """Return an idle segment with the work of the inputs in its place."""
    within = clipped(inner, segment.from_us, segment.to_us)
    if not within:
        return [segment]
    before, after = (
        clipped([segment], segment.from_us, within[0].from_us),
        clipped([segment], within[-1].to_us, segment.to_us),
    )
    return [
        *(part for part in before if part.us > 0),
        *within,
        *(part for part in after if part.us > 0),
    ]


def _is_source(node: Node | None) -> bool:
    return node is not None and node.is_source


# The shortest possible wait: nothing but work between the arrival of the data and its readers.

PLACES_MAX = 1_000
DEPTH_MAX = 200
"""The walk stops at this depth or at `PLACES_MAX` partitions.

Then there is no answer, since it would be too short.
"""


class _Endless(Exception):
    """The walk is too large."""


class Shortest:
    """The shortest possible form of one wait."""

    def __init__(self, inputs: LedgerInputs, records: LedgerRecords) -> None:
        self._inputs, self._records = inputs, records
        self._known: dict[PartitionRef, int] = {}

    @property
    def places(self) -> list[PartitionRef]:
        """The partitions that the wait needed and that weren't published when it began."""
        return list(self._known)

    def of(self, places: Sequence[PartitionRef], from_us: int, to_us: int) -> int | None:
        """Return the microseconds from `from_us`, at most the actual wait; None if unknown."""
        try:
            ends = [self._earliest(place, from_us, to_us, 0) for place in places]
        except _Endless:
            return None
        return min(max(ends), to_us) - from_us if ends else None

    def _earliest(self, place: PartitionRef, from_us: int, to_us: int, depth: int) -> int:
        """Return the earliest time at which a partition could have been published."""
        if place in self._known:
            return self._known[place]
        if len(self._known) >= PLACES_MAX or depth > DEPTH_MAX:
            raise _Endless
        self._known[place] = from_us  # for nodes that read themselves
        published_us = self._inputs.enough(place, to_us)
        attempt = self._first_attempt(place, published_us, to_us)
        if _is_source(self._inputs.known(place.node)):
            begins = self._delivered_us(place, attempt, from_us, to_us)
        else:
            begins = self._inputs_ready_us(place, attempt, from_us, to_us, depth)
        ends = begins + self._work_us(place, attempt)
        if published_us is not None:
            ends = min(ends, max(published_us, from_us))
        self._known[place] = ends
        return ends

    def _delivered_us(
        self, place: PartitionRef, first_attempt: Try | None, from_us: int, to_us: int
    ) -> int:
        """Return when a source's partition could be ingested, at least `from_us`.

        Without a known delivery, an attempt shows that the data was there at `from_us`. Without
        both, the data may have come only at `to_us`.
        """
        arrived = self._arrived(place, first_attempt)
        if arrived is None:
            arrived = to_us if first_attempt is None else from_us
        return max(from_us, arrived)

    def _inputs_ready_us(
        self, place: PartitionRef, first_attempt: Try | None, from_us: int, to_us: int, depth: int
    ) -> int:
        """Return the earliest time at which all inputs could have been ready, at least `from_us`.

        A partition waits for missing optional inputs until their promised times.
        """
        ready_us = from_us
        for ready_input in self._inputs.of(place, to_us, first_attempt):
            if ready_input.at_us is None or ready_input.at_us > from_us:
                earliest = self._earliest(ready_input.place, from_us, to_us, depth + 1)
                ready_us = max(ready_us, earliest)
        queued_us = to_us if first_attempt is None else first_attempt.queued_us
        for _, until in self._inputs.missed(place, queued_us):
            ready_us = max(ready_us, min(until, to_us))
        return ready_us

    def _first_attempt(self, place: PartitionRef, there_us: int | None, to_us: int) -> Try | None:
        """Return the attempt that made the first publication."""
        publication_ids = {
            publication.id
            for publication in self._records.publications_of(*place)
            if (there_us or 0) <= publication.at_us <= to_us
        }
        return next(
            (item for item in self._records.tries(*place) if item.id in publication_ids), None
        )

    def _arrived(self, place: PartitionRef, first_attempt: Try | None) -> int | None:
        """Return when the first delivery arrived that could be published.

        A held delivery counts, because it waited only for a decision.
        """
        arrivals = self._records.arrivals(*place)
        held = {item.delivery for item in self._records.tries(*place) if item.state == "held"}
        first = first_arrival(arrivals, first_attempt)
        results = [
            arrival.arrived_us for arrival in arrivals if arrival is first or arrival.id in held
        ]
        return min(results, default=None)

    def _work_us(self, place: PartitionRef, attempt: Try | None) -> int:
        if attempt is not None:
            return attempt.run_us
        return self._records.typical_us(place.node) or 0
