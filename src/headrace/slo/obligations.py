"""Obligations (SEMANTICS §7): deadlines of a consumer's intervals, and when they were met. Pure.

A promise begins when it is applied, or with its `since:`. Intervals that were due before that are no obligations, because nobody had
promised them. A changed promise begins anew; a recorded obligation keeps the deadline under which it was recorded.

An obligation is met when every asset read has a publication of the partitions that the interval requires. An unpartitioned asset over
partitioned inputs meets it with its first publication that read all that the interval requires of those inputs. Data without a rhythm meets
every interval once it was published at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from itertools import islice

import msgspec

from headrace.model import Grain, InputMode, InputSpec, PartitionSpec, Place
from headrace.model.intervals import bounds_us, key_at_us, next_key, previous_key, start_us
from headrace.model.partitions import SEPARATOR, required
from headrace.model.times import Duration, Offset
from headrace.slo.declared_promises import WHOLE, DeclaredPromises, Node, Rhythm, Rhythms, Terms, began
from headrace.slo.facts import RecordedObligation, StateFacts, VisiblePublication

INTERVALS_MAX = 10_000
"""So many of a consumer's newest intervals are judged; a promise over older data begins there."""
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
    """One consumer × one interval. `met_at_us` None: not met yet; `waived_at_us` None: not waived."""

    interval: str
    due_at_us: int
    met_at_us: int | None
    waived_at_us: int | None = None

    @property
    def waived(self) -> bool:
        """Whether somebody let it go."""
        return self.waived_at_us is not None

    @property
    def settled(self) -> bool:
        """Met or waived."""
        return self.settled_at_us is not None

    @property
    def settled_at_us(self) -> int | None:
        """When it was met, or waived before that; None while it is neither."""
        times = (self.met_at_us, self.waived_at_us)
        return min((at for at in times if at is not None), default=None)

    def open_at(self, at_us: int) -> bool:
        """Whether it was neither met nor waived yet at that time."""
        return self.settled_at_us is None or self.settled_at_us > at_us

    def open_until(self, at_us: int) -> bool:
        """Whether it was neither met nor waived before that time."""
        return self.settled_at_us is None or self.settled_at_us >= at_us


class EvaluationContext:
    """What is judged, the facts, and the rhythms that follow from both. `paces` are those of the same declaration, where they were
    found before."""

    def __init__(self, declared: DeclaredPromises, facts: StateFacts, paces: Rhythms | None = None) -> None:
        self.declared = declared
        self.facts = facts
        oldest = {node.name: facts.oldest_delivery(node.name) for node in declared.nodes.values() if node.is_source}
        known = Rhythms({**declared.nodes, **declared.exports}) if paces is None else paces
        self.rhythms: dict[str, Rhythm] = known.of(oldest)

    @cached_property
    def places(self) -> dict[str, int]:
        """Node → its place in topological order."""
        return {name: place for place, name in enumerate(self.declared.nodes)}

    def known_reads(self, terms: Terms) -> list[Node]:
        """The reads that exist in what is applied."""
        return [self.declared.nodes[name] for name in terms.reads if name in self.declared.nodes]

    def awaited(self, terms: Terms) -> list[Node]:
        """What an interval waits for: the reads, and the export of them."""
        export = self.declared.exports.get(terms.consumer)
        return [*self.known_reads(terms), *([export] if export is not None else [])]

    def node(self, name: str) -> Node:
        """A source, an asset, or the export of a consumer."""
        return self.declared.nodes.get(name) or self.declared.exports[name]

    def has_rhythm(self, terms: Terms) -> bool:
        """Whether any of its reads comes interval by interval."""
        return any(self.rhythms[node.name].has for node in self.known_reads(terms))


def due_us(terms: Terms, interval: str) -> int:
    """By when an interval is due: its `due`, or, under `max_age`, the moment when the interval before it becomes too old."""
    began, ended = bounds_us(interval, terms.per, terms.timezone)
    if terms.max_age is not None:
        return Duration.parse(terms.max_age).after_us(began, terms.timezone)
    return Offset.parse(terms.due or "+0s").after_us(ended, terms.timezone, terms.no_data.holds)


def obligations(terms: Terms, context: EvaluationContext, now_us: int) -> list[Obligation]:
    """A consumer's obligations, oldest first: those written down, those that became due since, and those of intervals
    that have begun but aren't due yet. Of the ones written down only the unmet are judged again."""
    return obligations_of(context.facts.kept(terms.consumer), terms, context, now_us)


def obligations_of(written: Sequence[RecordedObligation], terms: Terms, context: EvaluationContext, now_us: int) -> list[Obligation]:
    """The same where those that are written down are known."""
    obligations = []
    newest: tuple[int, str] | None = None
    begins = begins_us(terms, context, now_us)
    for obligation in written:
        start = began(obligation.interval, terms.per, terms.timezone)
        if start is None:
            continue  # written under a promise per another grain
        known = obligation.met_at_us is not None and not taken_back(terms, obligation.interval, context)
        met = obligation.met_at_us if known else met_at(terms, obligation.interval, context)
        obligations.append(Obligation(obligation.interval, obligation.due_at_us, met, obligation.waived_at_us))
        newest = max(newest or (start, obligation.interval), (start, obligation.interval))
    after = newest[1] if newest is not None else None
    obligations.extend(promised_from(begins, terms, context, after, now_us))
    return obligations


def begins_us(terms: Terms, context: EvaluationContext, now_us: int) -> int:
    """From when on what is due was promised by the promise in force; from now on, where nothing is in force yet."""
    begins = context.facts.promised_at(terms.consumer)
    return now_us if begins is None else begins


def promised_from(begins_us: int, terms: Terms, context: EvaluationContext, after: str | None, now_us: int) -> Iterator[Obligation]:
    """The obligations of a promise that begins at a time, oldest first, as far as their intervals have begun; of
    those only what comes after the interval `after`, where one is given."""
    for interval in _intervals(begins_us, terms, context, after, now_us):
        due = due_us(terms, interval)
        if due >= begins_us and not _no_data(terms, interval):
            yield Obligation(interval, due, met_at(terms, interval, context))


def intervals_before(obligations: Sequence[Obligation], terms: Terms, context: EvaluationContext, now_us: int) -> Iterator[str]:
    """The intervals before the first of some obligations, newest first, back to where all reads have started: they
    were never promised, but can be read."""
    first = obligations[0].interval if obligations else key_at_us(now_us, terms.per, terms.timezone)
    starts = [context.rhythms[node.name].start_us for node in context.known_reads(terms) if context.rhythms[node.name].has]
    known = [start for start in starts if start is not None]
    if not known or len(known) < len(starts):
        return
    key = previous_key(first, terms.per, terms.timezone)
    while start_us(key, terms.per, terms.timezone) >= max(known):
        yield key
        key = previous_key(key, terms.per, terms.timezone)


def taken_back(terms: Terms, interval: str, context: EvaluationContext) -> bool:
    """Whether something that an interval reads was withdrawn since: what was met isn't any more."""
    gone = context.facts.withdrawn()
    if not gone:
        return False
    return any((node.name, key) in gone for node in context.awaited(terms) for key in needed(node, terms, interval, context) or (WHOLE,))


def met_at(terms: Terms, interval: str, context: EvaluationContext) -> int | None:
    """When the last of an interval's reads could be read, and had been exported where that was promised; None while one can't."""
    reads = context.known_reads(terms)
    if not reads or len(reads) < len(terms.reads):
        return None
    seen = [covered(node, terms, interval, context) for node in context.awaited(terms)]
    return None if None in seen else max(publication.at_us for publication in seen if publication is not None)


def covered(node: Node, terms: Terms, interval: str, context: EvaluationContext) -> VisiblePublication | None:
    """The publication with which a node first held all that an interval requires of it; None if there is none yet."""
    rhythm = context.rhythms[node.name]
    keys = needed(node, terms, interval, context)
    if keys is not None:
        seen = [context.facts.first(node.name, key) for key in keys]
        return None if None in seen else max((publication for publication in seen if publication is not None), default=_BEFORE_ALL)
    if not rhythm.has or not node.partition.whole:
        newest = context.facts.newest(node.name)
        return None if newest is None else context.facts.first(node.name, newest.oldest)
    return _covered_whole(node, terms, interval, context)


def _covered_whole(node: Node, terms: Terms, interval: str, context: EvaluationContext) -> VisiblePublication | None:
    latest = _BEFORE_ALL
    for source in paced_inputs(node, context):
        seen = covered(source, terms, interval, context)
        if seen is None:
            return None
        latest = VisiblePublication(max(latest.at_us, seen.at_us), max(latest.snapshot, seen.snapshot))
    return context.facts.first_reading(node.name, latest.snapshot, latest.at_us)


def paced_inputs(node: Node, context: EvaluationContext) -> list[Node]:
    """The inputs of a whole asset that come interval by interval."""
    return [
        context.declared.nodes[spec.node]
        for spec in node.inputs
        if spec.mode is not InputMode.ALL and not spec.optional and spec.node in context.rhythms and context.rhythms[spec.node].has
    ]


def needed(node: Node, terms: Terms, interval: str, context: EvaluationContext) -> list[str] | None:
    """The partitions of a node that an interval of a consumer requires, without those that count as present and empty;
    None where it isn't cut by time. Of keys that grow, those that were heard of; an interval of which none was is named alone."""
    output = PartitionSpec(grain=terms.per)
    seen = partial(context.facts.keys, node.name)
    keys = required(output, terms.timezone, interval, node.partition, node.timezone, _plain(node.name), seen).keys
    if keys is None:
        return None
    return [key for key in keys if not counts_as_empty(node, key, context)]


def counts_as_empty(node: Node, key: str, context: EvaluationContext) -> bool:
    """Whether a partition lies before a node's start, or was never due and didn't come; keys without time never do."""
    grain, start = node.partition.grain, context.rhythms[node.name].start_us
    if grain is None:
        return False
    moment = key.partition(SEPARATOR)[0]
    if start is not None and start_us(moment, grain, node.timezone) < start:
        return True
    return node.no_data.covers(moment, grain, node.timezone) and context.facts.first(node.name, key) is None


def _plain(name: str) -> InputSpec:
    return InputSpec(node=name, place=Place(file=""))


def _intervals(begins_us: int, terms: Terms, context: EvaluationContext, after: str | None, now_us: int) -> Iterator[str]:
    """The intervals that have begun, from the first that can be due once the promise begins, or from the one after
    `after` where that is later."""
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
    """The first interval that is due at a time or after it: later intervals are never due earlier."""
    key = key_at_us(begins_us, terms.per, terms.timezone)
    for _ in range(INTERVALS_MAX):
        before = previous_key(key, terms.per, terms.timezone)
        if due_us(terms, before) < begins_us:
            break
        key = before
    return key


def _first_interval(terms: Terms, context: EvaluationContext, now_us: int) -> str | None:
    """The interval in which all reads have started. Where none has a rhythm, the one in which the promise began
    (under `max_age` there are no intervals then: the age is that of the publication)."""
    paced = [context.rhythms[node.name] for node in context.known_reads(terms) if context.rhythms[node.name].has]
    if not paced and terms.max_age is not None:
        return None
    starts = [rhythm.start_us for rhythm in paced] or [begins_us(terms, context, now_us)]
    known = [start for start in starts if start is not None]
    if len(known) < len(starts):
        return None
    oldest = now_us - INTERVALS_MAX * _LONGEST_US[terms.per]
    return key_at_us(max(*known, oldest), terms.per, terms.timezone)


def _no_data(terms: Terms, interval: str) -> bool:
    """Whether the calendar says that nothing is due for an interval."""
    return terms.no_data.covers(interval, terms.per, terms.timezone)


# Since when a consumer is late, or served, without a break; obligations come in the order of
# their deadlines. Under `due` a consumer is late while the newest obligation that has fallen due
# isn't met, and older ones are backlog. Under `max_age` any gap makes the readable data too old
# (`every`).


def late_run(due: Sequence[Obligation], now_us: int, *, every: bool) -> Sequence[Obligation]:
    """The obligations through which it has been late without a break until now, the first of which made it so; empty if
    it isn't late. `due` holds those whose deadline has passed."""
    if every:
        first = next((place for place, obligation in enumerate(due) if obligation.open_at(now_us)), len(due))
        while (before := _open_before(due, first)) is not None:
            first = before
        return due[first:]
    if not due or not due[-1].open_at(now_us):
        return ()
    first = len(due) - 1
    while first > 0 and due[first - 1].open_until(due[first].due_at_us):
        first -= 1
    return due[first:]


def unserved(obligations: Sequence[Obligation], now_us: int, *, every: bool) -> list[Obligation]:
    """What is due and neither met nor waived, in the order in which it tells why a consumer isn't
    served: first that for which it became late, and what followed, then older ones, the newest first."""
    due = [obligation for obligation in obligations if obligation.due_at_us <= now_us]
    late = [obligation for obligation in late_run(due, now_us, every=every) if not obligation.settled]
    older = due[: due.index(late[0])] if late else due
    return [*late, *(obligation for obligation in reversed(older) if not obligation.settled)]


def _open_before(due: Sequence[Obligation], place: int) -> int | None:
    """The first obligation that was already late when the one at `place` became late; None if none was."""
    if place == len(due):
        return None
    return next((earlier for earlier in range(place) if due[earlier].open_until(due[place].due_at_us)), None)


def served_since(due: Sequence[Obligation], obligations: Sequence[Obligation], *, every: bool) -> int | None:
    """Since when it hasn't been late, of one that isn't late now; where it never was, when its first interval was met.

    `found` also holds obligations that aren't due yet.
    """
    if not due:
        return min((obligation.met_at_us for obligation in obligations if obligation.met_at_us is not None), default=None)
    return _since_all_settled(due) if every else _since_newest_settled(due)


def _since_all_settled(due: Sequence[Obligation]) -> int:
    ends = [_settled(obligation) for obligation in due if _settled(obligation) > obligation.due_at_us]
    return max(ends) if ends else _settled(due[0])


def _since_newest_settled(due: Sequence[Obligation]) -> int:
    since = _settled(due[-1])
    if since > due[-1].due_at_us:
        return since
    for later, obligation in zip(reversed(due), reversed(due[:-1]), strict=False):
        if obligation.open_at(later.due_at_us):
            return later.due_at_us  # the newest due was late until the next fell due, which was met by then
        if _settled(obligation) > obligation.due_at_us:
            return _settled(obligation)
    return _settled(due[0])


def _settled(obligation: Obligation) -> int:
    """When it was met or waived, of one that isn't open any more; else its deadline."""
    return obligation.due_at_us if obligation.settled_at_us is None else obligation.settled_at_us


# The newest interval that a consumer can read. Under `max_age` the newest interval with rows
# before any gap counts.

EMPTY_INTERVALS_MAX = 100
"""So many intervals without rows are passed over to find the newest with rows."""


def data_through(terms: Terms, obligations: Sequence[Obligation], context: EvaluationContext, now_us: int) -> str | None:
    """The newest interval that can be read. Under `max_age`, the newest with rows before any hole; a day
    off counts once it is over. Intervals of before the promise count where none that was promised can be read."""
    if not context.has_rhythm(terms):
        return None
    aged = terms.max_age is not None
    hole = (
        next((place for place, obligation in enumerate(obligations) if not obligation.settled), len(obligations))
        if aged
        else len(obligations)
    )
    for obligation in reversed(obligations[max(0, hole - EMPTY_INTERVALS_MAX) : hole] if aged else obligations):
        if obligation.met_at_us is None or (aged and not _has_rows(terms, obligation.interval, context)):
            continue
        if bounds_us(obligation.interval, terms.per, terms.timezone)[1] <= now_us or _needs_any(terms, obligation.interval, context):
            return obligation.interval
    if hole > EMPTY_INTERVALS_MAX:
        return None  # all that is looked at is empty
    return _before_all(obligations, terms, context, now_us)


def _needs_any(terms: Terms, interval: str, context: EvaluationContext) -> bool:
    """Whether an interval needs anything: no day off does."""
    return any(needed(node, terms, interval, context) != [] for node in context.known_reads(terms))


def _before_all(obligations: Sequence[Obligation], terms: Terms, context: EvaluationContext, now_us: int) -> str | None:
    """The newest that can be read of the intervals before the first obligation that is known of."""
    for interval in islice(intervals_before(obligations, terms, context, now_us), EMPTY_INTERVALS_MAX):
        there = met_at(terms, interval, context) is not None
        if there and (terms.max_age is None or _has_rows(terms, interval, context)):
            return interval
    return None


def _has_rows(terms: Terms, interval: str, context: EvaluationContext) -> bool:
    """Whether each read that is cut by time has rows in what the interval requires."""
    for node in context.known_reads(terms):
        keys = needed(node, terms, interval, context) if node.partition.grain is not None else None
        if keys and not any(context.facts.rows(node.name, key) for key in keys):
            return False
    return True
