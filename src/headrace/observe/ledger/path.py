"""The critical path of one wait: back from what was there last to the input that made it start, to the source. Pure.

Each partition on the path has the time from when its last input was there until it was there itself; these times follow each
other without a gap, so the segments of all of them add up to the wait.
"""

from __future__ import annotations

from collections.abc import Mapping

from headrace.observe.blockage import promised_by
from headrace.observe.declared_promises import WHOLE, Node
from headrace.observe.ledger.claims import DelayClaims, Queues, Stay
from headrace.observe.ledger.crowd import crowded
from headrace.observe.ledger.declared import NodeTraits
from headrace.observe.ledger.inputs import LedgerInputs, PartitionRef, ReadyInput
from headrace.observe.ledger.rebuilds import cause_us
from headrace.observe.ledger.records import LedgerPublication, LedgerRecords, Try
from headrace.observe.ledger.segments import UNKNOWN, Segment, SegmentKind, clipped, divided, merged

STEPS_MAX = 1_000
"""So many partitions a path has at most; what is before them is unattributed."""


class Path:
    """Walks back from one partition: `again` where it, and what it reads, was there before and is made once more."""

    def __init__(self, inputs: LedgerInputs, records: LedgerRecords, traits: Mapping[str, NodeTraits], *, again: bool = False) -> None:
        self._inputs, self._records, self._traits, self._again = inputs, records, traits, again

    def back(self, place: PartitionRef, from_us: int, to_us: int, *, there: bool) -> list[Segment]:
        """Contiguous segments from `from_us` to `to_us`; `there`: it was there at `to_us`, else it is waited for."""
        results: list[list[Segment]] = []
        above: ReadyInput | None = ReadyInput(place, to_us if there else None)
        end, steps = to_us, 0
        while above is not None and end > from_us and steps < STEPS_MAX:
            stay, above = self._stay(above, from_us, end)
            results.append(self._divided(stay))
            end, steps = stay.from_us, steps + 1
        if end > from_us:
            rest = Segment(
                kind=SegmentKind.UNATTRIBUTED, node=place.node, partition=place.partition, from_us=from_us, to_us=end, note=UNKNOWN
            )
            results.append([rest])
        return merged([segment for segments in reversed(results) for segment in segments])

    def alone(self, place: PartitionRef, from_us: int, to_us: int, *, there: bool) -> list[Segment]:
        """The same of what a partition's own rows say, whatever it waited for."""
        final = self._shown(place, to_us) if there else None
        return self._own(self._as_stay(place, self._inputs.known(place.node), from_us, to_us, final, to_us))

    def _stay(self, ready_input: ReadyInput, from_us: int, to_us: int) -> tuple[Stay, ReadyInput | None]:
        """The part of one partition, which was there at `to_us` or isn't there yet, and what is above it."""
        place, node = ready_input.place, self._inputs.known(ready_input.place.node)
        final = None if ready_input.at_us is None else self._made_by(ready_input, to_us)
        tries = [item for item in self._records.tries(*place) if item.queued_us < to_us or (final is not None and item.id == final.id)]
        made = self._made(tries, final)
        if self._again:
            tries = [item for item in tries if item.queued_us >= from_us]
        elif place.partition == WHOLE:  # the attempts before belong to other intervals
            tries = [made] if made is not None else []
        first = tries[0] if tries else None
        begun = min(first.queued_us, to_us) if first is not None else to_us
        ready = self._inputs.of(place, begun, made, first)
        if first is not None and any(ready_input.at_us is None for ready_input in ready):
            # A batch is queued as soon as one of its partitions is ready; the inputs of the others are there when it is given out.
            ready = self._inputs.of(place, min(max(begun, first.dispatched_us), to_us), made, first)
        if self._again:
            ready = [self._renewed(ready_input, begun) for ready_input in ready]
        missing = [ready_input for ready_input in ready if ready_input.at_us is None]
        if missing and first is None and final is None:
            above = min(missing, key=lambda ready_input: self._inputs.root_rank(ready_input.place))
            return self._as_stay(place, node, to_us, to_us, final, begun), above
        last = max((ready_input for ready_input in ready if ready_input.at_us is not None), key=_when, default=None)
        if last is None or last.at_us is None or last.at_us <= from_us:
            return self._as_stay(place, node, from_us, to_us, final, begun), None
        return self._as_stay(place, node, min(last.at_us, to_us), to_us, final, begun), last

    def _made_by(self, ready_input: ReadyInput, to_us: int) -> LedgerPublication:
        """With what a partition was there: what its plan had staged, else a publication."""
        return self._shown(ready_input.place, to_us) if ready_input.staged is None else LedgerPublication(to_us, None, *ready_input.staged)

    def _renewed(self, ready_input: ReadyInput, until_us: int) -> ReadyInput:
        """When it was published last, or staged for what reads it."""
        if ready_input.staged is not None:
            return ready_input
        shown = [each.at_us for each in self._records.shown(*ready_input.place) if each.at_us <= until_us]
        return ReadyInput(ready_input.place, shown[-1]) if shown else ready_input

    def _as_stay(
        self, place: PartitionRef, node: Node | None, from_us: int, to_us: int, final: LedgerPublication | None, begun_us: int
    ) -> Stay:
        trigger = node.trigger if node is not None else None
        text = "" if trigger is None else trigger.cron or trigger.upstream or trigger.arrival or "its time"
        return Stay(
            node=place.node, partition=place.partition, from_us=from_us, to_us=to_us, is_source=_is_source(node),
            final=None if final is None else final.id, traits=self._traits.get(place.node, NodeTraits()), triggered=text,
            promised_us=None if node is None else promised_by(node, place.partition),
            queues=self._queues(place, from_us) if final is None else None,
            missed=tuple((*ref, until) for ref, until in self._inputs.missed(place, begun_us)) if not self._again else (),
            tried_from_us=from_us if self._again or (place.partition == WHOLE and not _is_source(node)) else 0,
        )  # fmt: skip

    def _queues(self, place: PartitionRef, from_us: int) -> Queues | None:
        """For what it waits now although it could begin."""
        led = self._records.led()
        said = None if led is None else crowded(place.node, self._traits, led)
        return None if led is None or said is None else Queues(max(from_us, led.since_us), said)

    def _shown(self, place: PartitionRef, at_us: int) -> LedgerPublication:
        """The publication with which it was there; one that nothing is known of any more, where its rows have gone."""
        publications = [publication for publication in self._records.shown(*place) if publication.at_us <= at_us]
        return next(
            (publication for publication in publications if publication.at_us == at_us),
            publications[-1] if publications else LedgerPublication(at_us, None, 0, 0),
        )

    def _made(self, tries: list[Try], final: LedgerPublication | None) -> Try | None:
        return None if final is None else next((item for item in tries if item.id == final.id), None)

    def _divided(self, stay: Stay) -> list[Segment]:
        segments = self._own(stay)
        if stay.is_source or self._again:
            return segments
        return self._explained(stay, segments)

    def _own(self, stay: Stay) -> list[Segment]:
        return divided(DelayClaims(stay, self._records).all(), stay.from_us, stay.to_us, stay.node, stay.partition)

    def _explained(self, stay: Stay, segments: list[Segment]) -> list[Segment]:
        """While nothing had asked for it, or what was there of it was wrong, something that it reads may have been made once more: it
        waited for that."""
        wrong = any(publication.unsound for publication in self._records.shown(stay.node, stay.partition))
        kinds = (SegmentKind.SCHEDULE, SegmentKind.HOLD) if wrong else (SegmentKind.SCHEDULE,)
        idle = [segment for segment in segments if segment.kind in kinds]
        if not idle:
            return segments
        again = self._made_again(PartitionRef(stay.node, stay.partition), idle[0].from_us, idle[-1].to_us)
        if again is None:
            return segments
        at_us, above, before = again
        since = max(idle[0].from_us, cause_us(self._inputs, self._records, above, before, at_us))
        inner = Path(self._inputs, self._records, self._traits, again=True).back(above, since, at_us, there=True)
        return [part for segment in segments for part in (_filled(segment, inner) if segment.kind in kinds else [segment])]

    def _made_again(self, place: PartitionRef, from_us: int, to_us: int) -> tuple[int, PartitionRef, LedgerPublication] | None:
        """The input that was published again last between two times: when, and in the place of what."""
        results = []
        for ready_input in self._inputs.of(place, to_us):
            publications = [each for each in self._records.shown(*ready_input.place) if each.at_us <= to_us]
            if len(publications) > 1 and publications[-1].at_us > from_us:
                results.append((publications[-1].at_us, ready_input.place, publications[-2]))
        return max(results, key=lambda each: each[:2], default=None)


def _filled(segment: Segment, inner: list[Segment]) -> list[Segment]:
    """A segment in which nothing had asked for it, with what was made meanwhile in its place."""
    within = clipped(inner, segment.from_us, segment.to_us)
    if not within:
        return [segment]
    before, after = clipped([segment], segment.from_us, within[0].from_us), clipped([segment], within[-1].to_us, segment.to_us)
    return [*(part for part in before if part.us > 0), *within, *(part for part in after if part.us > 0)]


def _is_source(node: Node | None) -> bool:
    return node is not None and node.is_source


def _when(ready_input: ReadyInput) -> tuple[int, PartitionRef]:
    return ready_input.at_us or 0, ready_input.place
