"""Segments of a wait: their kinds in order of precedence, and how claims are divided. Pure.

If several claims cover the same time, the kind that comes first in `SegmentKind` gets it.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec


class SegmentKind(enum.StrEnum):
    """What time was spent on (SEMANTICS §7); of several claims, the first of these gets it."""

    HOLD = "hold"
    """A person must decide or repair something."""
    APPROVAL = "approval"
    PAUSED = "paused"
    RETRY = "retry"
    """An attempt without a result, and the wait for the next."""
    RUN = "run"
    AUDIT = "audit"
    PUBLISH = "publish"
    EXPORT = "export"
    DISPATCH = "dispatch"
    """Dispatched, but no worker has begun."""
    QUEUE = "queue"
    """Ready, but without a slot or room in a pool."""
    SCHEDULE = "schedule"
    """Ready, but not requested yet: it lacks a trigger, a tick or a leader."""
    DETECTION = "detection"
    """Delivered, but not observed yet."""
    SOURCE = "source"
    UNATTRIBUTED = "unattributed"
    """Time without a claim."""


_RANK = {kind: rank for rank, kind in enumerate(SegmentKind)}
OVERHEAD = frozenset(
    {
        SegmentKind.DETECTION,
        SegmentKind.SCHEDULE,
        SegmentKind.DISPATCH,
        SegmentKind.AUDIT,
        SegmentKind.PUBLISH,
        SegmentKind.UNATTRIBUTED,
    }
)
"""Kinds that are Headrace's overhead; the queue is overhead only while a slot was free."""
WORK = frozenset({SegmentKind.RUN, SegmentKind.EXPORT})
PEOPLE = frozenset({SegmentKind.HOLD, SegmentKind.APPROVAL, SegmentKind.PAUSED})
"""Kinds that wait for a person."""


TRIGGER_AWAITED = "waited for its trigger"
"""How the note of a segment begins in which a node waited for its own trigger."""
UNKNOWN = "nothing is known of this time"
"""The note of time without a claim."""


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """Time from `from_us` until before `to_us`, in microseconds of the store's clock.

    Segments that are claims may overlap.
    """

    kind: SegmentKind
    node: str
    partition: str
    from_us: int
    to_us: int
    note: str = ""
    incident: int = 0
    """Number of the incident that explains it; 0 if unknown."""
    free: bool = False
    """For the queue: whether a slot was free."""
    decider: str = ""
    """Who could have ended the wait with one command; empty if a repair had to come first."""
    lacking: str = ""
    """The node that was missing meanwhile and that no command brings.

    Its owner has the time instead of the decider.
    """
    quality: bool = False
    """Whether data that was held, rejected or wrong caused it.

    It is a wait for the repair of that data, or work that had to be redone because of it.
    """

    @property
    def us(self) -> int:
        """Length in microseconds."""
        return self.to_us - self.from_us

    @property
    def overhead(self) -> bool:
        """Whether it counts as overhead (SEMANTICS §7), waits for a declared trigger included."""
        return self.kind in OVERHEAD or (self.kind is SegmentKind.QUEUE and self.free)

    @property
    def by_headrace(self) -> bool:
        """Whether Headrace itself took the time: overhead for which no trigger was waited for."""
        return self.overhead and not self.awaits_trigger

    @property
    def awaits_trigger(self) -> bool:
        """Whether the node waited for its own trigger: the time of the owner who declared it."""
        return self.kind is SegmentKind.SCHEDULE and self.note.startswith(TRIGGER_AWAITED)


def divided(
    claims: Iterable[Segment], from_us: int, to_us: int, node: str, partition: str
) -> list[Segment]:
    """Return contiguous segments from `from_us` to `to_us`.

    Each point in time belongs to the claim of the first kind; of equal ones, to the one that begins
    last; of those, to the first. Time without a claim is unattributed to `node`.
    """
    within = [claim for claim in clipped(claims, from_us, to_us) if claim.us > 0]
    within.sort(key=lambda claim: claim.from_us)
    edges = {from_us, to_us}
    for claim in within:
        edges |= {claim.from_us, claim.to_us}
    segments: list[Segment] = []
    live: list[tuple[int, int, int, Segment]] = []  # a heap of begun claims, by precedence
    begun = 0
    for start, end in pairwise(sorted(edges)):
        while begun < len(within) and within[begun].from_us <= start:
            claim = within[begun]
            heapq.heappush(live, (_RANK[claim.kind], -claim.from_us, begun, claim))
            begun += 1
        while live and live[0][3].to_us <= start:
            heapq.heappop(live)
        first = live[0][3] if live else unattributed(node, partition, start, end)
        segments.append(_cut(first, start, end))
    return merged(segments)


def unattributed(node: str, partition: str, from_us: int, to_us: int) -> Segment:
    """Return time without a claim."""
    return Segment(
        kind=SegmentKind.UNATTRIBUTED,
        node=node,
        partition=partition,
        from_us=from_us,
        to_us=to_us,
        note=UNKNOWN,
    )


def merged(segments: Sequence[Segment]) -> list[Segment]:
    """Return the segments with equal neighbours merged."""
    results: list[Segment] = []
    for segment in segments:
        if results and segment == msgspec.structs.replace(
            results[-1], from_us=results[-1].to_us, to_us=segment.to_us
        ):
            results[-1] = msgspec.structs.replace(results[-1], to_us=segment.to_us)
        else:
            results.append(segment)
    return results


def clipped(segments: Iterable[Segment], from_us: int, to_us: int) -> list[Segment]:
    """Return the parts of segments within a span."""
    return [
        _cut(segment, from_us, to_us)
        for segment in segments
        if segment.from_us < to_us and segment.to_us > from_us
    ]


def _cut(segment: Segment, from_us: int, to_us: int) -> Segment:
    if segment.from_us >= from_us and segment.to_us <= to_us:
        return segment
    return msgspec.structs.replace(
        segment, from_us=max(segment.from_us, from_us), to_us=min(segment.to_us, to_us)
    )
