"""Segments of a wait: their kinds in order of precedence, and how claims are divided. Pure.

Where several claims cover an instant, the kind that comes first in `SegmentKind` has it.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec


class SegmentKind(enum.StrEnum):
    """What an instant was spent on (SEMANTICS §7); where several are claimed at once, the first of these has it."""

    HOLD = "hold"
    """Something that somebody has to decide or mend."""
    APPROVAL = "approval"
    PAUSED = "paused"
    RETRY = "retry"
    """An attempt that came to nothing, and the wait for the next."""
    RUN = "run"
    AUDIT = "audit"
    PUBLISH = "publish"
    EXPORT = "export"
    DISPATCH = "dispatch"
    """Given out, and no worker has begun."""
    QUEUE = "queue"
    """Ready, and no slot or no room in a pool."""
    SCHEDULE = "schedule"
    """All it needs is there, and nothing has asked for it yet: a trigger, a tick, a leader that isn't there."""
    DETECTION = "detection"
    """Delivered, and not seen yet."""
    SOURCE = "source"
    UNATTRIBUTED = "unattributed"
    """What nobody claims."""


_RANK = {kind: rank for rank, kind in enumerate(SegmentKind)}
OVERHEAD = frozenset(
    {SegmentKind.DETECTION, SegmentKind.SCHEDULE, SegmentKind.DISPATCH, SegmentKind.AUDIT, SegmentKind.PUBLISH, SegmentKind.UNATTRIBUTED}
)
"""What Headrace itself takes; of the queue only while a slot was free."""
WORK = frozenset({SegmentKind.RUN, SegmentKind.EXPORT})
PEOPLE = frozenset({SegmentKind.HOLD, SegmentKind.APPROVAL, SegmentKind.PAUSED})
"""What waits for somebody."""


UNKNOWN = "nothing is known of this time"
"""The note of what nobody claims."""


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """Time from `from_us` until before `to_us`, in microseconds of the store's clock. As a claim it may overlap others."""

    kind: SegmentKind
    node: str
    partition: str
    from_us: int
    to_us: int
    note: str = ""
    incident: int = 0
    """Its number, where one is known that explains it."""
    free: bool = False
    """Of the queue: while a slot was free."""
    decider: str = ""
    """Of what waits for somebody: who could have ended it with one command; empty where something had to be mended first."""
    lacking: str = ""
    """Of what somebody decides about: the node that wasn't there meanwhile and that no command brings, so that the time is its owner's."""

    @property
    def us(self) -> int:
        """How long it is."""
        return self.to_us - self.from_us

    @property
    def overhead(self) -> bool:
        """Whether Headrace itself took it."""
        return self.kind in OVERHEAD or (self.kind is SegmentKind.QUEUE and self.free)


def divided(claims: Iterable[Segment], from_us: int, to_us: int, node: str, partition: str) -> list[Segment]:
    """Contiguous segments from `from_us` to `to_us`: each instant belongs to the claim that ranks first, among equals to the one that
    begins last, among those to the first of them; what nobody claims is unattributed to `node`."""
    within = [_cut(claim, from_us, to_us) for claim in claims if claim.from_us < to_us and claim.to_us > from_us]
    within = sorted((segment for segment in within if segment.us > 0), key=lambda item: item.from_us)
    edges = sorted({from_us, to_us, *(segment.from_us for segment in within), *(item.to_us for item in within)})
    segments: list[Segment] = []
    live: list[tuple[int, int, int, Segment]] = []
    begun = 0
    for start, end in pairwise(edges):
        while begun < len(within) and within[begun].from_us <= start:
            segment = within[begun]
            heapq.heappush(live, (_RANK[segment.kind], -segment.from_us, begun, segment))
            begun += 1
        while live and live[0][3].to_us <= start:
            heapq.heappop(live)
        if live:
            segments.append(_cut(live[0][3], start, end))
        else:
            segments.append(Segment(kind=SegmentKind.UNATTRIBUTED, node=node, partition=partition, from_us=start, to_us=end, note=UNKNOWN))
    return merged(segments)


def merged(segments: Sequence[Segment]) -> list[Segment]:
    """Neighbours that say the same, as one."""
    results: list[Segment] = []
    for segment in segments:
        if results and _alike(results[-1], segment):
            results[-1] = msgspec.structs.replace(results[-1], to_us=segment.to_us)
        else:
            results.append(segment)
    return results


def clipped(segments: Iterable[Segment], from_us: int, to_us: int) -> list[Segment]:
    """What of contiguous segments lies within a time."""
    return [_cut(segment, from_us, to_us) for segment in segments if segment.from_us < to_us and segment.to_us > from_us]


def _alike(segment: Segment, other: Segment) -> bool:
    return segment.to_us == other.from_us and msgspec.structs.replace(segment, from_us=0, to_us=0) == msgspec.structs.replace(
        other, from_us=0, to_us=0
    )


def _cut(segment: Segment, from_us: int, to_us: int) -> Segment:
    if segment.from_us >= from_us and segment.to_us <= to_us:
        return segment
    return msgspec.structs.replace(segment, from_us=max(segment.from_us, from_us), to_us=min(segment.to_us, to_us))
