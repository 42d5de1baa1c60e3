"""The causes of a wait: what kept the partitions that it needs from being there, whichever attempts ended it. Pure.

The critical path ends with attempts, and which of several attempts of one repair came last is chance. So the time until the last
obstacle was gone isn't taken from the path alone: of all partitions whose obstacle ended then, or that waited because of the same
incident, the one that tells most is chosen, by what their rows said before the repair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from headrace.observe.ledger.inputs import PartitionRef
from headrace.observe.ledger.path import Path
from headrace.observe.ledger.segments import Segment, SegmentKind, clipped, merged

_RANK = {SegmentKind.HOLD: 0, SegmentKind.APPROVAL: 1, SegmentKind.PAUSED: 2, SegmentKind.SOURCE: 3}
"""Kinds that no attempt of Headrace's ends, what tells most of them first."""


Reads = Callable[[str, str], bool]
"""(node, other) → whether a node is made of another, itself or through others."""


def nothing_reads(_node: str, _other: str) -> bool:
    """Of nodes of which it isn't known what they are made of."""
    return False


class DelayCause(NamedTuple):
    """What kept one partition from being there until `to_us`; `there_us` is when it was there, None while it isn't."""

    place: PartitionRef
    kind: SegmentKind
    incident: int
    from_us: int
    to_us: int
    there_us: int | None

    @property
    def order(self) -> tuple[int, int, str, str]:
        """What tells most first, then what began first."""
        return (_RANK[self.kind], self.from_us, *self.place)


def settled(
    segments: Sequence[Segment],
    path: Path,
    places: Sequence[PartitionRef],
    there: Callable[[PartitionRef], int | None],
    from_us: int,
    to_us: int,
    *,
    reads: Reads = nothing_reads,
) -> list[Segment]:
    """The segments of a path, with what kept all of `places` waiting in place of what was before
    its last obstacle ended; somebody could have ended only what nothing else kept waiting. `places`
    are those that weren't there at `from_us`."""
    last = _last(segments)
    if last is None:
        return list(segments)
    alone = {place: _alone(path, place, there(place), from_us, to_us) for place in places}
    told = _told(segments, last, path, alone, there, from_us, to_us, reads)
    return undecided(told, [segment for segments in alone.values() for segment in segments], reads)


def undecided(segments: Sequence[Segment], others: Sequence[Segment], reads: Reads = nothing_reads) -> list[Segment]:
    """The segments, without a decider while one of `others` kept the wait from ending that no
    command ends: what wasn't delivered, or has to be mended first. What reads a segment's node
    couldn't be there before that, and kept nothing waiting."""
    spans = [segment for segment in others if segment.kind in _RANK and not segment.decider]
    results: list[Segment] = []
    for segment in segments:
        besides = [span for span in spans if not reads(span.node, segment.node)]
        results += _undecided(segment, besides) if segment.decider else [segment]
    return merged(results)


def _undecided(segment: Segment, spans: Sequence[Segment]) -> list[Segment]:
    inside = [span for span in spans if span.from_us < segment.to_us and span.to_us > segment.from_us]
    edges = {at for span in inside for at in (span.from_us, span.to_us)}
    edges = {segment.from_us, segment.to_us, *(at for at in edges if segment.from_us < at < segment.to_us)}
    segments = []
    for start, end in pairwise(sorted(edges)):
        part = msgspec.structs.replace(segment, from_us=start, to_us=end)
        lacking = [span for span in inside if span.from_us <= start and span.to_us >= end]
        if lacking:
            span = min(lacking, key=lambda each: (-each.to_us, each.node, each.partition))
            part = msgspec.structs.replace(part, decider="", lacking=span.node)
        segments.append(part)
    return segments


def _told(
    segments: Sequence[Segment],
    last: Segment,
    path: Path,
    alone: Mapping[PartitionRef, Sequence[Segment]],
    there: Callable[[PartitionRef], int | None],
    from_us: int,
    to_us: int,
    reads: Reads,
) -> list[Segment]:
    """The segments, or those of the place that tells more of the last obstacle: while it is waited
    for something, of what isn't there."""
    causes = []
    for place, own in alone.items():
        if (each := _last(own)) is not None:
            evidence = DelayCause(place, each.kind, each.incident, each.from_us, each.to_us, there(place))
            causes.append(evidence)
    same = [cause for cause in causes if _same(cause, last, reads)]
    lasting = [cause for cause in same if cause.there_us is None]
    chosen = _telling(lasting or same)
    if chosen is None or chosen.place == (last.node, last.partition):
        return list(segments)
    until, end = min(chosen.to_us, last.to_us), chosen.there_us or to_us
    before = path.back(chosen.place, from_us, end, there=chosen.there_us is not None)
    return merged([*clipped(before, from_us, until), *clipped(segments, until, to_us)])


def _telling(causes: Sequence[DelayCause]) -> DelayCause | None:
    """Where it began, and of that node the partition that was kept last: before that, something
    else kept it from being there."""
    root = min(causes, key=lambda cause: cause.order, default=None)
    delay_causes = [cause for cause in causes if root is not None and (cause.place.node, cause.kind) == (root.place.node, root.kind)]
    return max(delay_causes, key=lambda cause: (cause.from_us, cause.place), default=None)


def _same(cause: DelayCause, last: Segment, reads: Reads) -> bool:
    """Whether it is of one cause with the path's last obstacle, or was over at once with it: what was
    taken back after something that it reads was taken back, and made again after that."""
    if cause.incident and cause.incident == last.incident:
        return cause.to_us >= last.from_us
    if reads(last.node, cause.place.node):
        return last.from_us < cause.to_us <= last.to_us
    return cause.to_us == last.to_us


def _alone(path: Path, place: PartitionRef, there_us: int | None, from_us: int, to_us: int) -> list[Segment]:
    """What a partition's own rows say of the wait."""
    if there_us is not None and there_us <= from_us:
        return []
    until = to_us if there_us is None else min(there_us, to_us)
    return path.alone(place, from_us, until, there=there_us is not None)


def _last(segments: Sequence[Segment]) -> Segment | None:
    """The last obstacle, as one with those of the same cause before it: attempts in between didn't end it."""
    last: Segment | None = None
    for segment in reversed(segments):
        if segment.kind not in _RANK:
            continue
        if last is None:
            last = segment
        elif (segment.kind, segment.incident, segment.node, segment.partition) == (last.kind, last.incident, last.node, last.partition):
            last = msgspec.structs.replace(last, from_us=segment.from_us)
        else:
            break
    return last
