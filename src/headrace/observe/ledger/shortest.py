"""The shortest possible wait: with nothing but work between the data's arrival and its readers. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.observe.ledger.claims import first_arrival
from headrace.observe.ledger.inputs import LedgerInputs, PartitionRef
from headrace.observe.ledger.records import LedgerRecords, Try

PLACES_MAX = 1_000
DEPTH_MAX = 200
"""What lies further up than this, or beyond so many partitions, isn't looked at: the answer would be too short then, so there is none."""


class _Endless(Exception):
    """Too much to look at."""


class Shortest:
    """Of one wait."""

    def __init__(self, inputs: LedgerInputs, records: LedgerRecords) -> None:
        self._inputs, self._records = inputs, records
        self._known: dict[PartitionRef, int] = {}

    @property
    def places(self) -> list[PartitionRef]:
        """The partitions that were looked at: all that the wait needed and that weren't there when it began."""
        return list(self._known)

    def of(self, places: Sequence[PartitionRef], from_us: int, to_us: int) -> int | None:
        """Microseconds from `from_us`, never more than it took; None where that can't be told."""
        try:
            ends = [self._earliest(place, from_us, to_us, 0) for place in places]
        except _Endless:
            return None
        return min(max(ends), to_us) - from_us if ends else None

    def _earliest(self, place: PartitionRef, from_us: int, to_us: int, depth: int) -> int:
        """When a partition could have been there at the earliest."""
        if place in self._known:
            return self._known[place]
        if len(self._known) >= PLACES_MAX or depth > DEPTH_MAX:
            raise _Endless
        self._known[place] = from_us  # for what reads itself
        there = self._inputs.enough(place, to_us)
        made = self._made(place, there, to_us)
        begins = from_us
        node = self._inputs.known(place.node)
        if node is not None and node.is_source:
            arrived = self._arrived(place, made)
            begins = max(from_us, arrived if arrived is not None else from_us if made is not None else to_us)
        else:
            for ready_input in self._inputs.of(place, to_us, made):
                if ready_input.at_us is None or ready_input.at_us > from_us:
                    begins = max(begins, self._earliest(ready_input.place, from_us, to_us, depth + 1))
            for _, until in self._inputs.missed(place, to_us if made is None else made.queued_us):
                begins = max(begins, min(until, to_us))
        ends = begins + self._work_us(place, made)
        self._known[place] = ends if there is None else min(ends, max(there, from_us))
        return self._known[place]

    def _made(self, place: PartitionRef, there_us: int | None, to_us: int) -> Try | None:
        """The attempt that made what was there first."""
        shown = {publication.id for publication in self._records.shown(*place) if (there_us or 0) <= publication.at_us <= to_us}
        return next((item for item in self._records.tries(*place) if item.id in shown), None)

    def _arrived(self, place: PartitionRef, made: Try | None) -> int | None:
        """When the first delivery arrived that could be published: one that was held waited for a decision only."""
        arrivals = self._records.arrivals(*place)
        held = {item.delivery for item in self._records.tries(*place) if item.state == "held"}
        first = first_arrival(arrivals, made)
        results = [arrival.arrived_us for arrival in arrivals if arrival is first or arrival.id in held]
        return min(results, default=None)

    def _work_us(self, place: PartitionRef, made: Try | None) -> int:
        if made is not None:
            return made.run_us
        return self._records.typical_us(place.node) or 0
