"""Obligations (SEMANTICS §7): deadlines of a consumer's intervals, and when they were met. Pure.

A promise begins when it is applied, or at its `since:`. Intervals that were due earlier aren't
obligations, because nobody had promised them. A changed promise starts over; a recorded obligation
keeps the deadline under which it was recorded.

An obligation is met when every asset that the consumer reads has a publication of the partitions
that the interval requires. An unpartitioned asset over partitioned inputs meets it with its first
publication that read all required partitions of those inputs. Data without a rhythm meets every
interval once anything of it is published.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from itertools import islice

import msgspec

from headrace.model import Grain, InputMode, InputSpec, PartitionSpec, Place
from headrace.model.intervals import bounds_us, key_at_us, next_key, previous_key, start_us
from headrace.model.partitions import SEPARATOR, first_start_us, required
from headrace.model.times import Duration, Offset
from headrace.slo.declared_promises import (
    WHOLE,
    DeclaredPromises,
    Node,
    Rhythm,
    Rhythms,
    Terms,
    began,
)
from headrace.slo.facts import RecordedObligation, StateFacts, VisiblePublication

INTERVALS_MAX = 10_000
"""At most this many of a consumer's newest intervals are evaluated; older ones are left out."""
_LONGEST_US = {
    Grain.HOUR: 3_600_000_000,
    Grain.DAY: 86_400_000_000,
    Grain.WEEK: 7 * 86_400_000_000,
    Grain.MONTH: 31 * 86_400_000_000,
    Grain.QUARTER: 92 * 86_400_000_000,
    Grain.YEAR: 366 * 86_400_000_000,
}
_BEFORE_ALL = VisiblePublication(0, 0)


class Obligation(msgspec.Struct, frozen=True):
    """One consumer × one interval.

    `met_at_us` None: not met yet; `waived_at_us` None: not waived.
    """

    interval: str
    due_at_us: int
    met_at_us: int | None
    waived_at_us: int | None = None

    @property
    def waived(self) -> bool:
        """Whether somebody waived it."""
        return self.waived_at_us is not None

    @property
    def settled(self) -> bool:
        """Whether it is met or waived."""
        return self.settled_at_us is not None

    @property
    def settled_at_us(self) -> int | None:
        """When it was met or waived, whichever came first; None while it is neither."""
        times = (self.met_at_us, self.waived_at_us)
        return min((at for at in times if at is not None), default=None)

    def open_at(self, at_us: int) -> bool:
        """Return whether it was still neither met nor waived at a time."""
        return self.settled_at_us is None or self.settled_at_us > at_us

    def open_until(self, at_us: int) -> bool:
        """Return whether it was neither met nor waived before a time."""
        return self.settled_at_us is None or self.settled_at_us >= at_us


class EvaluationContext:
    """The declared promises, the facts, and the rhythms that follow from both.

    `paces` are the rhythms of the same declaration, if they were computed before.
    """

    def __init__(
        self, declared: DeclaredPromises, facts: StateFacts, paces: Rhythms | None = None
    ) -> None:
        self.declared = declared
        self.facts = facts
        sources = [node.name for node in declared.nodes.values() if node.is_source]
        read = [name for terms in declared.consumers for name in terms.reads]
        nodes = [*dict.fromkeys([*read, *declared.exports, *declared.nodes])]
        facts.expect(nodes, sources, [terms.consumer for terms in declared.consumers])
        known = Rhythms({**declared.nodes, **declared.exports}) if paces is None else paces
        self.rhythms: dict[str, Rhythm] = known.of(
            {name: facts.oldest_delivery(name) for name in sources}
        )

    @cached_property
    def places(self) -> dict[str, int]:
        """Node → its position in topological order."""
        return {name: place for place, name in enumerate(self.declared.nodes)}

    def known_reads(self, terms: Terms) -> list[Node]:
        """Return the reads of a consumer that exist in the applied version."""
        return [self.declared.nodes[name] for name in terms.reads if name in self.declared.nodes]

    def awaited(self, terms: Terms) -> list[Node]:
        """Return the nodes that an interval waits for: the reads, and their export."""
        export = self.declared.exports.get(terms.consumer)
        return [*self.known_reads(terms), *([export] if export is not None else [])]

    def node(self, name: str) -> Node:
        """Return a source, an asset, or the export of a consumer."""
        return self.declared.nodes.get(name) or self.declared.exports[name]

    def has_rhythm(self, terms: Terms) -> bool:
        """Return whether any of a consumer's reads comes by interval."""
        return any(self.rhythms[node.name].has for node in self.known_reads(terms))


def due_us(terms: Terms, interval: str) -> int:
    """Return the deadline of an interval, in microseconds.

    That is its `due` or, under `max_age`, the time at which the interval before it becomes too old.
    """
    began, ended = bounds_us(interval, terms.per, terms.timezone)
    if terms.max_age is not None:
        return Duration.parse(terms.max_age).after_us(began, terms.timezone)
    return Offset.parse(terms.due or "+0s").after_us(ended, terms.timezone, terms.no_data.holds)


def obligations(terms: Terms, context: EvaluationContext, now_us: int) -> list[Obligation]:
    """Return a consumer's obligations, oldest first.

    These are the recorded ones, those that became due since, and those of intervals that have begun
    but aren't due yet. Of the recorded ones, only the unmet are evaluated again.
    """
    return obligations_of(
        context.facts.recorded_obligations(terms.consumer), terms, context, now_us
    )


def obligations_of(
    written: Sequence[RecordedObligation], terms: Terms, context: EvaluationContext, now_us: int
) -> list[Obligation]:
    """Return a consumer's obligations; `written` are the recorded ones."""
    obligations = []
    newest: tuple[int, str] | None = None
    begins = begins_us(terms, context, now_us)
    for obligation in written:
        start = began(obligation.interval, terms.per, terms.timezone)
        if start is None:
            continue  # recorded under a promise per another grain
        known = obligation.met_at_us is not None and not taken_back(
            terms, obligation.interval, context
        )
        met = obligation.met_at_us if known else met_at(terms, obligation.interval, context)
        obligations.append(
            Obligation(obligation.interval, obligation.due_at_us, met, obligation.waived_at_us)
        )
        newest = max(newest or (start, obligation.interval), (start, obligation.interval))
    after = newest[1] if newest is not None else None
    obligations.extend(promised_from(begins, terms, context, after, now_us))
    return obligations


def begins_us(terms: Terms, context: EvaluationContext, now_us: int) -> int:
    """Return the start of the promise in force, or `now_us` if none is in force."""
    begins = context.facts.promised_at(terms.consumer)
    return now_us if begins is None else begins


def promised_from(
    begins_us: int, terms: Terms, context: EvaluationContext, after: str | None, now_us: int
) -> Iterator[Obligation]:
    """Yield the obligations of a promise that begins at `begins_us`, oldest first.

    Only intervals that have begun are included and, if `after` is given, only those after it.
    """
    for interval in _intervals(begins_us, terms, context, after, now_us):
        due = due_us(terms, interval)
        if due >= begins_us and not terms.no_data.covers(interval, terms.per, terms.timezone):
            yield Obligation(interval, due, met_at(terms, interval, context))


def intervals_before(
    obligations: Sequence[Obligation], terms: Terms, context: EvaluationContext, now_us: int
) -> Iterator[str]:
    """Yield the intervals before the first obligation, newest first.

    They go back to where all reads have started: they were never promised but can be read.
    """
    first = obligations[0].interval if obligations else key_at_us(now_us, terms.per, terms.timezone)
    starts = _starts_us(terms, context)
    if not starts or math.isinf(max(starts)):
        return
    key = previous_key(first, terms.per, terms.timezone)
    while start_us(key, terms.per, terms.timezone) >= max(starts):
        yield key
        key = previous_key(key, terms.per, terms.timezone)


def taken_back(terms: Terms, interval: str, context: EvaluationContext) -> bool:
    """Return whether a partition that an interval reads was withdrawn since it was met."""
    withdrawn = context.facts.withdrawn()
    if not withdrawn:
        return False
    return any(
        (node.name, key) in withdrawn
        for node in context.awaited(terms)
        for key in needed(node, terms, interval, context) or (WHOLE,)
    )


def met_at(terms: Terms, interval: str, context: EvaluationContext) -> int | None:
    """Return when an interval's last read became readable and its export, if any, was written.

    None while any of these is missing.
    """
    reads = context.known_reads(terms)
    if not reads or len(reads) < len(terms.reads):
        return None
    last = _last_of([covered(node, terms, interval, context) for node in context.awaited(terms)])
    return None if last is None else last.at_us


def covered(
    node: Node, terms: Terms, interval: str, context: EvaluationContext
) -> VisiblePublication | None:
    """Return the publication with which a node first held all that an interval requires.

    None if there is no such publication yet.
    """
    rhythm = context.rhythms[node.name]
    keys = needed(node, terms, interval, context)
    if keys is not None:
        return _last_of([context.facts.first(node.name, key) for key in keys])
    if not rhythm.has or not node.partition.whole:
        newest = context.facts.newest(node.name)
        return None if newest is None else context.facts.first(node.name, newest.oldest)
    return _covered_whole(node, terms, interval, context)


def _last_of(seen: Sequence[VisiblePublication | None]) -> VisiblePublication | None:
    """Return the last of the publications, before all others if there are none to wait for.

    None if one of them is still missing.
    """
    known = [publication for publication in seen if publication is not None]
    if len(known) < len(seen):
        return None
    return max(known, default=_BEFORE_ALL)


def _covered_whole(
    node: Node, terms: Terms, interval: str, context: EvaluationContext
) -> VisiblePublication | None:
    latest = _BEFORE_ALL
    for source in paced_inputs(node, context):
        seen = covered(source, terms, interval, context)
        if seen is None:
            return None
        latest = VisiblePublication(
            max(latest.at_us, seen.at_us), max(latest.snapshot, seen.snapshot)
        )
    return context.facts.first_reading(node.name, latest.snapshot, latest.at_us)


def paced_inputs(node: Node, context: EvaluationContext) -> list[Node]:
    """Return the inputs of an unpartitioned asset that come by interval."""
    return [
        context.declared.nodes[spec.node]
        for spec in node.inputs
        if spec.mode is not InputMode.ALL
        and not spec.optional
        and spec.node in context.rhythms
        and context.rhythms[spec.node].has
    ]


def needed(node: Node, terms: Terms, interval: str, context: EvaluationContext) -> list[str] | None:
    """Return the partitions of a node that a consumer's interval requires.

    Partitions that count as present and empty are left out. None if the node isn't partitioned by
    time. If keys grow with the data, return the known ones, or the interval itself if none is
    known.
    """
    output = PartitionSpec(grain=terms.per)
    seen = partial(context.facts.keys, node.name)
    keys = required(
        output, terms.timezone, interval, node.partition, node.timezone, _plain(node.name), seen
    ).keys
    if keys is None:
        return None
    return [key for key in keys if not counts_as_empty(node, key, context)]


def counts_as_empty(node: Node, key: str, context: EvaluationContext) -> bool:
    """Return whether a partition is before its node's start, or was neither due nor published.

    Always False for keys without time.
    """
    grain, start = node.partition.grain, context.rhythms[node.name].start_us
    if grain is None:
        return False
    interval = key.partition(SEPARATOR)[0]
    if start is not None and start_us(interval, grain, node.timezone) < start:
        return True
    return node.no_data.covers(interval) and context.facts.first(node.name, key) is None


def _plain(name: str) -> InputSpec:
    return InputSpec(node=name, place=Place(file=""))


def _intervals(
    begins_us: int, terms: Terms, context: EvaluationContext, after: str | None, now_us: int
) -> Iterator[str]:
    """Yield the intervals that have begun, from the first that can be due under the promise.

    If `after` is given, start with the interval after it, if that is later.
    """
    earliest = _due_since(begins_us, terms)
    if after is not None:
        first = next_key(after, terms.per, terms.timezone)
    else:
        expected = _first_interval(terms, context, now_us)
        if expected is None:
            return
        first = expected
    key = max(first, earliest, key=lambda item: start_us(item, terms.per, terms.timezone))
    while start_us(key, terms.per, terms.timezone) <= now_us:
        yield key
        key = next_key(key, terms.per, terms.timezone)


def _due_since(begins_us: int, terms: Terms) -> str:
    """Return the first interval that is due at or after a time.

    The loop may stop early because later intervals are never due earlier.
    """
    key = key_at_us(begins_us, terms.per, terms.timezone)
    for _ in range(INTERVALS_MAX):
        before = previous_key(key, terms.per, terms.timezone)
        if due_us(terms, before) < begins_us:
            break
        key = before
    return key


def _first_interval(terms: Terms, context: EvaluationContext, now_us: int) -> str | None:
    """Return the first interval that needs something of all reads.

    If no read has a rhythm, return the interval in which the promise began. Under `max_age` there
    are no intervals then, and the age of the publication counts.
    """
    starts = _starts_us(terms, context)
    if not starts and terms.max_age is not None:
        return None
    first = max(starts, default=begins_us(terms, context, now_us))
    if math.isinf(first):
        return None
    oldest = now_us - INTERVALS_MAX * _LONGEST_US[terms.per]
    return key_at_us(int(max(first, oldest)), terms.per, terms.timezone)


def _starts_us(terms: Terms, context: EvaluationContext) -> list[float]:
    """Return, of each read that comes by interval, when the first interval that needs it starts.

    Infinite if that isn't known yet. Days need a month once it has ended.
    """
    starts: list[float] = []
    for node in context.known_reads(terms):
        rhythm, grain = context.rhythms[node.name], node.partition.grain
        if not rhythm.has:
            continue
        start = math.inf if rhythm.start_us is None else rhythm.start_us
        if grain is not None:
            read = (start, grain, node.timezone, _plain(node.name))
            start = first_start_us(terms.per, terms.timezone, [read])
        starts.append(start)
    return starts


# Since when a consumer is late, or served, without a gap. Obligations are in the order of their
# deadlines. A consumer is late while any obligation that has fallen due is neither met nor waived:
# its readers have the whole history, so a hole in it is data that they miss
# (docs/decisions/0096-promises-and-states.md).


def late_run(due: Sequence[Obligation], now_us: int) -> Sequence[Obligation]:
    """Return the obligations since which a consumer is late without a gap until now.

    The first of them made it late; the result is empty if it isn't late. `due` are the obligations
    whose deadline has passed.
    """
    first = next(
        (place for place, obligation in enumerate(due) if obligation.open_at(now_us)), len(due)
    )
    while (before := _open_before(due, first)) is not None:
        first = before
    return due[first:]


def unserved(obligations: Sequence[Obligation], now_us: int) -> list[Obligation]:
    """Return what is due and neither met nor waived; that for which it became late comes first."""
    return [
        obligation
        for obligation in obligations
        if obligation.due_at_us <= now_us and not obligation.settled
    ]


def _open_before(due: Sequence[Obligation], place: int) -> int | None:
    """Return the index of the first obligation that was open when the one at `place` fell due."""
    if place == len(due):
        return None
    return next(
        (earlier for earlier in range(place) if due[earlier].open_until(due[place].due_at_us)), None
    )


def served_since(due: Sequence[Obligation], obligations: Sequence[Obligation]) -> int | None:
    """Return since when a consumer that isn't late now hasn't been late.

    If it never was late, return when its first interval was met. `obligations` includes those that
    aren't due yet.
    """
    if not due:
        return min(
            (
                obligation.met_at_us
                for obligation in obligations
                if obligation.met_at_us is not None
            ),
            default=None,
        )
    ends = [
        _settled(obligation) for obligation in due if _settled(obligation) > obligation.due_at_us
    ]
    return max(ends) if ends else _settled(due[0])


def _settled(obligation: Obligation) -> int:
    """Return when a closed obligation was met or waived; for an open one, its deadline."""
    return obligation.due_at_us if obligation.settled_at_us is None else obligation.settled_at_us


# The newest interval that a consumer can read. Under `max_age`, the newest interval with rows
# before any gap counts.

EMPTY_INTERVALS_MAX = 100
"""The search for the newest interval with rows skips at most this many empty intervals."""


def data_through(
    terms: Terms, obligations: Sequence[Obligation], context: EvaluationContext, now_us: int
) -> str | None:
    """Return the newest interval that a consumer can read.

    Under `max_age` it is the newest with rows before any gap; a day off counts once it is over. If
    no promised interval can be read, earlier ones count.
    """
    reads = context.known_reads(terms)
    if not context.has_rhythm(terms) or any(not context.facts.newest(node.name) for node in reads):
        return None
    first, end = 0, len(obligations)
    if terms.max_age is not None:
        end = next((n for n, obligation in enumerate(obligations) if not obligation.settled), end)
        first = max(0, end - EMPTY_INTERVALS_MAX)
    for n in reversed(range(first, end)):
        if _is_readable(obligations[n], terms, context, now_us):
            return _end_of_data(obligations[n].interval, terms, context)
    if end > EMPTY_INTERVALS_MAX:
        return None  # all intervals that were checked are empty
    return _before_all(obligations, terms, context, now_us)


def _end_of_data(interval: str, terms: Terms, context: EvaluationContext) -> str:
    """Return the interval with which the data for an interval ends.

    It is an earlier one if a read has longer partitions: the last month ends before today.
    """
    ends = [bounds_us(interval, terms.per, terms.timezone)[1]]
    for node in context.known_reads(terms):
        grain = node.partition.grain
        if grain is not None:
            keys = needed(node, terms, interval, context) or ()
            ends += [
                bounds_us(key.partition(SEPARATOR)[0], grain, node.timezone)[1] for key in keys[-1:]
            ]
    return key_at_us(min(ends) - 1, terms.per, terms.timezone)


def _is_readable(
    obligation: Obligation, terms: Terms, context: EvaluationContext, now_us: int
) -> bool:
    """Return whether an interval counts as data that a consumer can read.

    Under `max_age` it must have rows; an interval that requires no data must be over.
    """
    interval = obligation.interval
    if obligation.met_at_us is None:
        return False
    if terms.max_age is not None and not _has_rows(terms, interval, context):
        return False
    ended = bounds_us(interval, terms.per, terms.timezone)[1] <= now_us
    return ended or _needs_any(terms, interval, context)


def _needs_any(terms: Terms, interval: str, context: EvaluationContext) -> bool:
    """Return whether an interval requires any partition; days off require none."""
    return any(needed(node, terms, interval, context) != [] for node in context.known_reads(terms))


def _before_all(
    obligations: Sequence[Obligation], terms: Terms, context: EvaluationContext, now_us: int
) -> str | None:
    """Return the newest readable interval before the first known obligation."""
    for interval in islice(
        intervals_before(obligations, terms, context, now_us), EMPTY_INTERVALS_MAX
    ):
        there = met_at(terms, interval, context) is not None
        if there and (terms.max_age is None or _has_rows(terms, interval, context)):
            return interval
    return None


def _has_rows(terms: Terms, interval: str, context: EvaluationContext) -> bool:
    """Return whether each time-partitioned read has rows in what the interval requires."""
    for node in context.known_reads(terms):
        keys = needed(node, terms, interval, context) if node.partition.grain is not None else None
        if keys and not any(context.facts.rows(node.name, key) for key in keys):
            return False
    return True
