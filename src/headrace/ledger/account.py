"""Delay ledgers (SEMANTICS §7): where each microsecond of a wait went. Pure.

The segments are contiguous and add up to the wait exactly. An open wait ends now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple, TypeVar

import msgspec

from headrace.ledger.critical_path import Path, Shortest, rebuild_began_us
from headrace.ledger.inputs import LedgerInputs, PartitionRef, ReadScope
from headrace.ledger.records import LedgerPublication, LedgerRecords, publications_until
from headrace.ledger.segments import OVERHEAD, PEOPLE, WORK, Segment, SegmentKind, clipped, merged
from headrace.model.intervals import bounds_us
from headrace.model.partitions import SEPARATOR
from headrace.slo.declared_promises import WHOLE, NodeTraits, Terms
from headrace.slo.declared_promises import began as began_us
from headrace.slo.obligations import EvaluationContext, covered, needed

# What kept the required partitions from being published. The critical path ends with attempts, and
# it is chance which attempt of a repair ends last. So the path alone doesn't decide the time until
# the last obstacle ended: among the partitions whose obstacle ended then, or that waited for the
# same incident, the most informative one decides, by what its rows said before the repair.

_RANK = {SegmentKind.HOLD: 0, SegmentKind.APPROVAL: 1, SegmentKind.PAUSED: 2, SegmentKind.SOURCE: 3}
"""Kinds that no attempt by Headrace ends, the most informative first."""


Reads = Callable[[str, str], bool]
"""(node, other) → whether `node` is derived from `other`, directly or not."""


class DelayCause(NamedTuple):
    """What kept one partition from being published from `from_us` until `to_us`.

    `there_us` is when it was published; None while it isn't.
    """

    place: PartitionRef
    kind: SegmentKind
    incident: int
    from_us: int
    to_us: int
    there_us: int | None

    @property
    def order(self) -> tuple[int, int, str, str]:
        """Sort key: the most informative kind first, then the earliest."""
        return (_RANK[self.kind], self.from_us, *self.place)


def with_last_obstacle(
    segments: Sequence[Segment],
    path: Path,
    places: Sequence[PartitionRef],
    there: Callable[[PartitionRef], int | None],
    from_us: int,
    to_us: int,
    *,
    reads: Reads,
) -> list[Segment]:
    """Return the segments of a path, with the obstacle of all `places` until the last one ended.

    Time counts as somebody's decision only while nothing else blocked. `places` are the partitions
    that weren't published at `from_us`.
    """
    path_last = _last(segments)
    alone = {place: _alone(path, place, there(place), from_us, to_us) for place in places}
    ended_us = from_us if path_last is None else path_last.to_us
    last = _came_while_unobserved(segments, ended_us, alone) or path_last
    if last is None:
        return list(segments)
    chosen = _most_telling(alone, there, last, reads)
    explained_segments = list(segments)
    if chosen is not None and (
        path_last is None or chosen.place != (path_last.node, path_last.partition)
    ):
        until, end = min(chosen.to_us, last.to_us), chosen.there_us or to_us
        before = path.back(chosen.place, from_us, end, there=chosen.there_us is not None)
        explained_segments = merged(
            [*clipped(before, from_us, until), *clipped(segments, until, to_us)]
        )
    return without_others_decider(
        explained_segments, [segment for segments in alone.values() for segment in segments], reads
    )


def _came_while_unobserved(
    segments: Sequence[Segment], ended_us: int, alone: Mapping[PartitionRef, Sequence[Segment]]
) -> Segment | None:
    """Return the obstacle that ended last while a path's delivery lay unobserved.

    The path's own last obstacle ended at `ended_us`. Of several deliveries that one pass finds, the
    queue decides which is published last, not which was missing for longest.
    """
    observed_us = next(
        (
            segment.to_us
            for segment in segments
            if segment.kind is SegmentKind.DETECTION and segment.from_us == ended_us
        ),
        ended_us,
    )
    later = (
        other
        for other in map(_last, alone.values())
        if other is not None and ended_us < other.to_us <= observed_us
    )
    return max(later, key=lambda other: other.to_us, default=None)


def without_others_decider(
    segments: Sequence[Segment], others: Sequence[Segment], reads: Reads
) -> list[Segment]:
    """Return the segments, without a decider while anything else blocked that no command ends.

    Such blockers (`others` without a decider) are missing deliveries and data that must be repaired
    first. Nodes downstream of a segment's node don't count: they couldn't be published before it.
    """
    spans = [segment for segment in others if segment.kind in _RANK and not segment.decider]
    results: list[Segment] = []
    for segment in segments:
        besides = [span for span in spans if not reads(span.node, segment.node)]
        results += _undecided(segment, besides) if segment.decider else [segment]
    return merged(results)


def _undecided(segment: Segment, spans: Sequence[Segment]) -> list[Segment]:
    inside = [
        span for span in spans if span.from_us < segment.to_us and span.to_us > segment.from_us
    ]
    edges = {at for span in inside for at in (span.from_us, span.to_us)}
    edges = {
        segment.from_us,
        segment.to_us,
        *(at for at in edges if segment.from_us < at < segment.to_us),
    }
    segments = []
    for start, end in pairwise(sorted(edges)):
        part = msgspec.structs.replace(segment, from_us=start, to_us=end)
        lacking = [span for span in inside if span.from_us <= start and span.to_us >= end]
        if lacking:
            span = min(lacking, key=lambda each: (-each.to_us, each.node, each.partition))
            part = msgspec.structs.replace(part, decider="", lacking=span.node)
        segments.append(part)
    return segments


def _most_telling(
    alone: Mapping[PartitionRef, Sequence[Segment]],
    there: Callable[[PartitionRef], int | None],
    last: Segment,
    reads: Reads,
) -> DelayCause | None:
    """Return what best explains the last obstacle, in one of the partitions.

    Partitions that are still missing come first.
    """
    causes = []
    for place, place_segments in alone.items():
        if (each := _last(place_segments)) is not None:
            evidence = DelayCause(
                place, each.kind, each.incident, each.from_us, each.to_us, there(place)
            )
            causes.append(evidence)
    same = [cause for cause in causes if _same(cause, last, reads)]
    lasting = [cause for cause in same if cause.there_us is None]
    return _telling(lasting or same)


def _telling(causes: Sequence[DelayCause]) -> DelayCause | None:
    """Return the cause at the root: of its node, the partition that was blocked last.

    Before that, something else kept that partition from being published.
    """
    root = min(causes, key=lambda cause: cause.order, default=None)
    delay_causes = [
        cause
        for cause in causes
        if root is not None and (cause.place.node, cause.kind) == (root.place.node, root.kind)
    ]
    return max(delay_causes, key=lambda cause: (cause.from_us, cause.place), default=None)


def _same(cause: DelayCause, last: Segment, reads: Reads) -> bool:
    """Return whether a cause is the path's last obstacle, or ended together with it.

    The second includes a partition that was withdrawn after one of its inputs was, and recomputed
    after that input.
    """
    if cause.incident and cause.incident == last.incident:
        return cause.to_us >= last.from_us
    if reads(last.node, cause.place.node):
        return last.from_us < cause.to_us <= last.to_us
    return cause.to_us == last.to_us


def _alone(
    path: Path, place: PartitionRef, there_us: int | None, from_us: int, to_us: int
) -> list[Segment]:
    """Return what a partition's own rows say about the wait."""
    if there_us is not None and there_us <= from_us:
        return []
    until = to_us if there_us is None else min(there_us, to_us)
    return path.alone(place, from_us, until, there=there_us is not None)


def _last(segments: Sequence[Segment]) -> Segment | None:
    """Return the last obstacle, merged with earlier segments of the same cause.

    Attempts in between didn't end it.
    """
    last: Segment | None = None
    for segment in reversed(segments):
        if segment.kind not in _RANK:
            continue
        if last is None:
            last = segment
        elif (segment.kind, segment.incident, segment.node, segment.partition) == (
            last.kind,
            last.incident,
            last.node,
            last.partition,
        ):
            last = msgspec.structs.replace(last, from_us=segment.from_us)
        else:
            break
    return last


HEADRACE = "headrace"
_Key = TypeVar("_Key")


class Share(NamedTuple):
    """Who is responsible for a part of a wait.

    `kind` is set for time that the owner could have ended with one command, for waits for a trigger
    that the owner declared, and for Headrace's queue while no slot was free, which isn't overhead.
    """

    owner: str
    kind: SegmentKind | None = None


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """The ledger of one wait.

    `open`: the wait isn't over. `rebuild`: it began with something other than the interval's end.
    """

    subject: str
    interval: str
    from_us: int
    to_us: int
    open: bool
    segments: tuple[Segment, ...]
    shortest_us: int | None = None
    """The shortest possible wait for the same arrivals, with nothing but work; None: unknown."""
    rebuild: bool = False

    @property
    def wait_us(self) -> int:
        """Length of the wait, until now if it is open, in microseconds."""
        return self.to_us - self.from_us

    @property
    def overhead_us(self) -> int:
        """Microseconds of overhead, waits for declared triggers included."""
        return sum(segment.us for segment in self.segments if segment.overhead)

    @property
    def work_us(self) -> int:
        """Microseconds that asset code, ingestion and exports took."""
        return sum(segment.us for segment in self.segments if segment.kind in WORK)

    def by_kind(self) -> dict[SegmentKind, int]:
        """Return the microseconds of each kind that occurs."""
        return _counted((segment.kind, segment.us) for segment in self.segments)

    def headrace_parts(self) -> dict[SegmentKind, int]:
        """Return the microseconds of each kind that Headrace itself took."""
        return _counted(
            (segment.kind, segment.us) for segment in self.segments if segment.by_headrace
        )

    def overhead_parts(self) -> dict[str, int]:
        """Return the microseconds of each overhead kind, and of the queue while a slot was free."""
        results = {
            str(kind): 0 for kind in SegmentKind if kind in OVERHEAD or kind is SegmentKind.QUEUE
        }
        for segment in self.segments:
            if segment.overhead:
                results[segment.kind] += segment.us
        return results

    def shares(
        self, declared: Mapping[str, NodeTraits], incidents: Mapping[int, str]
    ) -> dict[Share, int]:
        """Return the microseconds of each owner, the largest first.

        Headrace owns its overhead and its queue. An incident's owner has the time that waited
        because of it, except time that a person could have ended with one command: that is the
        person's.
        """
        results = _counted(
            (share_of(segment, declared, incidents), segment.us) for segment in self.segments
        )
        return dict(
            sorted(results.items(), key=lambda item: (-item[1], item[0].owner, item[0].kind or ""))
        )


class Books:
    """Delay ledgers as of one point in time."""

    def __init__(
        self, traits: Mapping[str, NodeTraits], context: EvaluationContext, records: LedgerRecords
    ) -> None:
        self.traits, self._context, self._records = traits, context, records

    def of_consumer(
        self, terms: Terms, interval: str, *, met_us: int | None, over_us: int | None = None
    ) -> Ledger | None:
        """Return a consumer's wait for one interval; None if the interval hasn't ended yet.

        The wait ends at `met_us`, at `over_us` if the obligation was waived then, else now.
        """
        if began_us(interval, terms.per, terms.timezone) is None:
            return None  # recorded under a promise per another grain
        began = bounds_us(interval, terms.per, terms.timezone)[1]
        waived_us = over_us if met_us is None else None
        unserved_until = self._records.now_us if waived_us is None else waived_us
        if unserved_until < began:
            return None  # also if it was met before: nobody has waited yet
        reading = ReadScope(terms, interval)
        inputs = self._inputs(reading)
        required = self._required(reading)
        times = {place: self._there(reading, place) for place in required}
        served_us = None if met_us is None else self._served_us(times, began, met_us)
        there = served_us is not None
        ended = unserved_until if served_us is None else served_us
        place = (self._last(times) if there else self._missing(times, inputs)) or PartitionRef(
            terms.consumer, interval
        )
        shortest = Shortest(inputs, self._records)
        # What only those reads need that are there by now, is no obstacle any more.
        awaited = [read for read in required if not there and times[read] is None] or required
        shortest.of(awaited, began, max(began, ended))
        path = Path(inputs, self._records, self.traits)
        segments = path.back(place, began, ended, there=there) if ended > began else []
        segments = with_last_obstacle(
            segments,
            path,
            shortest.places,
            partial(self._there_by, reading, ended if there else None),
            began,
            ended,
            reads=inputs.reads,
        )
        return Ledger(
            subject=terms.consumer,
            interval=interval,
            from_us=began,
            to_us=max(began, ended),
            open=not there and over_us is None,
            segments=tuple(segments),
            shortest_us=shortest.of(required, began, max(began, ended)),
        )

    def _served_us(
        self, times: Mapping[PartitionRef, int | None], began: int, met_us: int
    ) -> int | None:
        """Return when the reads of a met obligation were sound; None if one isn't any more.

        `times` has since when each read is sound. It is later than `met_us` if one was wrong.
        """
        for place, at_us in times.items():
            withdrawn = place in self._context.facts.withdrawn()
            if at_us is None and (withdrawn or self._was_wrong(place)):
                return None
        if any(self._was_wrong(place) for place in times):
            return max([began, *(at for at in times.values() if at is not None)])
        return met_us

    def of_partition(self, name: str, key: str) -> Ledger | None:
        """Return a partition's newest wait; None if nothing waited for it.

        The wait for its first publication begins at the interval's end; for a later one, with its
        cause.
        """
        place, inputs = PartitionRef(name, key), self._inputs(None)
        publications = self._records.publications_of(name, key)
        is_open = not publications or self._is_awaited(place)
        ended = self._records.now_us if is_open else publications[-1].at_us
        replaced = publications if is_open else publications[:-1]
        before = replaced[-1] if replaced else None
        if before is None:
            began = self._end_of(name, key)
        else:
            began = rebuild_began_us(inputs, self._records, place, before, ended)
        if began is None or ended < began:
            return None
        path = Path(inputs, self._records, self.traits, again=before is not None)
        segments = path.back(place, began, ended, there=not is_open) if ended > began else []
        shortest = (
            Shortest(inputs, self._records).of([place], began, ended) if before is None else None
        )
        return Ledger(
            subject=name if key == WHOLE else f"{name}@{key}",
            interval=key,
            from_us=began,
            to_us=ended,
            open=is_open,
            segments=tuple(segments),
            shortest_us=shortest,
            rebuild=before is not None,
        )

    def of_run(
        self, subject: str, place: PartitionRef, from_us: int, to_us: int, *, there: bool
    ) -> Ledger:
        """Return the time from a run's start until an attempt ended: the path back from it.

        `place` is the attempt's partition; `there`: it was published at `to_us`. The records must
        be those as of `to_us`.
        """
        path = Path(self._inputs(None), self._records, self.traits, again=True)
        segments = path.back(place, from_us, to_us, there=there) if to_us > from_us else []
        return Ledger(
            subject=subject,
            interval=place.partition,
            from_us=from_us,
            to_us=max(from_us, to_us),
            open=False,
            segments=tuple(segments),
        )

    def _inputs(self, reading: ReadScope | None) -> LedgerInputs:
        return LedgerInputs(self._context, self._records, self.traits, reading)

    def _is_awaited(self, place: PartitionRef) -> bool:
        """Return whether a partition's publication is stale or withdrawn, and not waived."""
        facts = self._context.facts.partition_state(*place)
        if facts is None or facts.state == "waived":
            return False
        return facts.stale or not facts.published

    def _end_of(self, name: str, key: str) -> int | None:
        """Return when an interval ended.

        Without intervals, return when the partition was first queued or delivered.
        """
        node = self._context.declared.nodes.get(name) or self._context.declared.exports.get(name)
        if node is not None and node.partition.grain is not None:
            return bounds_us(key.partition(SEPARATOR)[0], node.partition.grain, node.timezone)[1]
        tries = self._records.tries(name, key)
        arrivals = self._records.arrivals(name, key)
        return min(
            [item.queued_us for item in tries[:1]]
            + [arrival.arrived_us for arrival in arrivals[:1]],
            default=None,
        )

    # Reads of a consumer's interval

    def _last(self, times: Mapping[PartitionRef, int | None]) -> PartitionRef | None:
        """Return the read that was published last."""
        return max(
            ((at_us, place) for place, at_us in times.items() if at_us is not None),
            default=(0, None),
        )[1]

    def _missing(
        self, times: Mapping[PartitionRef, int | None], inputs: LedgerInputs
    ) -> PartitionRef | None:
        """Return the missing read that most surely blocks the interval."""
        missing = [place for place, at_us in times.items() if at_us is None]
        return min(missing or times, key=inputs.root_rank, default=None)

    def _there(self, reading: ReadScope, place: PartitionRef) -> int | None:
        """Return since when readers can read a partition soundly; None if they can't."""
        whole = place.partition == WHOLE
        seen = (
            covered(self._context.node(place.node), *reading, self._context)
            if whole
            else self._context.facts.first(*place)
        )
        if seen is None:
            return None
        publications = self._records.publications_of(*place)
        if not self._was_wrong(place):
            return seen.at_us
        since = max(
            [
                seen.at_us,
                *(
                    publication.ended_us
                    for publication in publications
                    if publication.ended_us is not None and _taken_back(publication, publications)
                ),
            ]
        )
        return next(
            (
                publication.at_us
                for publication in publications
                if publication.at_us >= since and not publication.unsound
            ),
            None,
        )

    def _there_by(
        self, reading: ReadScope, ended_us: int | None, place: PartitionRef
    ) -> int | None:
        """Return the same for a wait that has ended.

        Partitions that were withdrawn since count as published then.
        """
        there = self._there(reading, place)
        if there is not None or ended_us is None:
            return there
        publications = publications_until(self._records, place, ended_us)
        return publications[-1].at_us if publications else None

    def _was_wrong(self, place: PartitionRef) -> bool:
        """Return whether readers had to wait again because data was unsound or withdrawn."""
        publications = self._records.publications_of(*place)
        return any(
            publication.unsound or _taken_back(publication, publications)
            for publication in publications
        )

    def _required(self, reading: ReadScope) -> list[PartitionRef]:
        """Return the partitions of a consumer's reads and export that an interval requires."""
        refs = []
        for node in self._context.awaited(reading.terms):
            keys = needed(node, *reading, self._context)
            refs += [PartitionRef(node.name, key) for key in ((WHOLE,) if keys is None else keys)]
        return refs


def _taken_back(publication: LedgerPublication, publications: Sequence[LedgerPublication]) -> bool:
    """Return whether nothing replaced a publication when it ended."""
    return publication.ended_us is not None and not any(
        each.at_us <= publication.ended_us and each.at_us > publication.at_us
        for each in publications
    )


def share_of(
    segment: Segment, declared: Mapping[str, NodeTraits], incidents: Mapping[int, str]
) -> Share:
    """Return who is responsible for a segment; `incidents` maps numbers to owners."""
    if segment.by_headrace:
        return Share(HEADRACE)
    if segment.kind is SegmentKind.QUEUE:
        return Share(HEADRACE, segment.kind)
    if segment.decider:
        return Share(segment.decider, segment.kind)
    if segment.lacking:
        return Share(_owner(segment.lacking, declared))
    if segment.awaits_trigger:
        return Share(_owner(segment.node, declared), segment.kind)
    if segment.incident in incidents and (
        segment.kind in PEOPLE or segment.kind in (SegmentKind.SOURCE, SegmentKind.RETRY)
    ):
        return Share(incidents[segment.incident])
    return Share(_owner(segment.node, declared))


def _owner(node: str, declared: Mapping[str, NodeTraits]) -> str:
    traits = declared.get(node)
    return traits.owner if traits is not None else ""


def _counted(pairs: Iterable[tuple[_Key, int]]) -> dict[_Key, int]:
    result: Counter[_Key] = Counter()
    for key, us in pairs:
        result[key] += us
    return dict(result)
