"""Which inputs of a partition let it start, or keep it from starting. Pure.

Questions are about one consumer's interval: what it needs of unpartitioned data is what it needs of
that data's inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple, TypeAlias

from headrace.ledger.records import LedgerRecords, Try
from headrace.model import InputMode, InputSpec
from headrace.model.intervals import previous_key
from headrace.model.partitions import required
from headrace.model.reachability import reachable
from headrace.slo.blockage import promised_by
from headrace.slo.declared_promises import WHOLE, Node, NodeTraits, Terms
from headrace.slo.obligations import EvaluationContext, counts_as_empty, covered, needed

_TOP = 9
RANKED_MAX = 2_000
DEPTH_MAX = 200
"""Limits of the search for the root blocker: number of missing partitions, and levels upstream."""


class PartitionRef(NamedTuple):
    """A partition of a node."""

    node: str
    partition: str


Rank: TypeAlias = tuple[int, int, str, str]
"""Certainty that something blocks others (lowest first), since when, its node and partition."""


class ReadyInput(NamedTuple):
    """An input and when it was published; `at_us` None: it isn't."""

    place: PartitionRef
    at_us: int | None
    staged: tuple[int, int] | None = None
    """The attempt of the same plan that had staged the input, if its reader was staged as well.

    One lake snapshot publishes both, so a publication doesn't say when the input was ready.
    """


class ReadScope(NamedTuple):
    """The consumer's interval for which inputs are evaluated.

    Its needs of unpartitioned data are its needs of that data's inputs.
    """

    terms: Terms
    interval: str


class LedgerInputs:
    """The inputs for one consumer's interval, or for no consumer."""

    def __init__(
        self,
        context: EvaluationContext,
        records: LedgerRecords,
        traits: Mapping[str, NodeTraits],
        reading: ReadScope | None,
    ) -> None:
        self._context, self._records, self._traits, self._reading = (
            context,
            records,
            traits,
            reading,
        )
        self._ranks: dict[PartitionRef, Rank] = {}
        self._above: dict[str, frozenset[str]] = {}
        """Node → all nodes that it is derived from, directly or not."""
        self._depth = 0

    def known(self, name: str) -> Node | None:
        """Return a declared node, or an export by its consumer's name; None if neither."""
        return self._context.declared.nodes.get(name) or self._context.declared.exports.get(name)

    def _inputs(self, name: str) -> Iterable[str]:
        node = self.known(name)
        return () if node is None else (spec.node for spec in node.inputs)

    def reads(self, name: str, other: str) -> bool:
        """Return whether a node is derived from another, directly or not."""
        if name not in self._above:
            self._above[name] = frozenset(reachable([name], self._inputs)) - {name}
        return other in self._above[name]

    def of(
        self, place: PartitionRef, at_us: int, before: Try | None = None, reader: Try | None = None
    ) -> list[ReadyInput]:
        """Return the inputs of a partition as of a time.

        Missing optional inputs, and inputs that an attempt didn't wait for, are left out. `before`
        is the attempt that made the partition, `reader` the first one that read these inputs.
        """
        node = self.known(place.node)
        if node is None or node.is_source:
            return []
        inputs = [
            ready_input
            for spec in node.inputs
            for ready_input in self._of_spec(node, place.partition, spec, at_us, before)
        ]
        inputs += self._previous_partition(node, place.partition, at_us)
        return (
            [self._as_read(ready_input, reader, at_us) for ready_input in inputs]
            if reader is not None and reader.staged
            else inputs
        )

    def missed(self, place: PartitionRef, at_us: int) -> list[tuple[PartitionRef, int]]:
        """Return the optional inputs missing at a time, with their promised times.

        A partition waits for each until that time.
        """
        node = self.known(place.node)
        if node is None or node.is_source:
            return []
        refs = [
            PartitionRef(source.name, key)
            for spec in node.inputs
            if spec.optional and (source := self.known(spec.node)) is not None
            for key in self._keys(node, place.partition, source, spec) or ()
            if self.there(PartitionRef(source.name, key), at_us) is None
            and not counts_as_empty(source, key, self._context)
        ]
        return [(ref, until) for ref in refs if (until := self._promised_us(ref)) is not None]

    def _promised_us(self, place: PartitionRef) -> int | None:
        """Return the promised time of the last delivery that a partition is made of, if any."""
        last: int | None = None
        waiting, seen = [place], {place}  # several paths often lead to the same partition
        while waiting:
            name, key = waiting.pop()
            node = self.known(name)
            if node is None:
                continue
            if node.is_source:
                last = max(
                    (at for at in (last, promised_by(node, key)) if at is not None), default=None
                )
                continue
            others = [
                (source, spec)
                for spec in node.inputs
                if (source := self.known(spec.node)) not in (None, node)
            ]
            above = {
                PartitionRef(source.name, item)
                for source, spec in others
                for item in self._keys(node, key, source, spec) or ()
            } - seen
            seen |= above
            waiting += above
        return last

    def _as_read(self, ready_input: ReadyInput, reader: Try, at_us: int) -> ReadyInput:
        """Return an input of a staged attempt: what its plan staged of it, else as published."""
        for attempt in reversed(self._records.tries(*ready_input.place)):
            done = (
                attempt.staged
                and attempt.plan == reader.plan
                and attempt.state in ("staged", "published")
            )
            if done and attempt.finished_us is not None and attempt.finished_us <= at_us:
                return ReadyInput(ready_input.place, attempt.finished_us, attempt.id)
        return ready_input

    def _of_spec(
        self, node: Node, key: str, spec: InputSpec, at_us: int, before: Try | None
    ) -> Iterator[ReadyInput]:
        source = self.known(spec.node)
        if source is None or spec.node == node.name:
            return
        keys = self._keys(node, key, source, spec)
        if keys is None:
            yield from self._as_a_whole(node, source, spec, at_us, before)
            return
        for item in keys:
            there = self.there(PartitionRef(source.name, item), at_us)
            if there is None and (spec.optional or counts_as_empty(source, item, self._context)):
                continue
            yield ReadyInput(PartitionRef(source.name, item), there)

    def _keys(self, node: Node, key: str, source: Node, spec: InputSpec) -> tuple[str, ...] | None:
        if node.partition.whole and self._reading is not None and spec.mode is not InputMode.ALL:
            keys = (
                needed(source, self._reading.terms, self._reading.interval, self._context)
                if self._context.rhythms[source.name].has
                else None
            )
            return None if keys is None else tuple(keys)
        seen = partial(self._context.facts.keys, source.name)
        return required(
            node.cut(key), node.timezone, key, source.partition, source.timezone, spec, seen
        ).keys

    def _as_a_whole(
        self, node: Node, source: Node, spec: InputSpec, at_us: int, before: Try | None
    ) -> Iterator[ReadyInput]:
        """Yield an input that is read as it is; a reference doesn't block once it is published."""
        if source.partition.whole:
            there = (
                self._whole(source, at_us)
                if spec.mode is not InputMode.ALL
                else self.there(PartitionRef(source.name, WHOLE), at_us)
            )
            if there is not None or not spec.optional:
                yield ReadyInput(PartitionRef(source.name, WHOLE), there)
        elif node.partition.whole and spec.mode is not InputMode.ALL:
            epoch, n = before.id if before is not None else (None, None)
            newest = self._records.newest_before(source.name, at_us, epoch, n)
            if newest is not None:
                yield ReadyInput(PartitionRef(source.name, newest[0]), newest[1])

    def enough(self, place: PartitionRef, at_us: int) -> int | None:
        """Return since when a partition held all that is required of it, as of a time.

        Unpartitioned data was published before, for other intervals.
        """
        node = self.known(place.node)
        whole = (
            node is not None and place.partition == WHOLE and place.node in self._context.rhythms
        )
        return self._whole(node, at_us) if whole and node is not None else self.there(place, at_us)

    def _whole(self, source: Node, at_us: int) -> int | None:
        """Return since when unpartitioned data holds what the interval needs."""
        if self._reading is None or not self._context.rhythms[source.name].has:
            return self.there(PartitionRef(source.name, WHOLE), at_us)
        seen = covered(source, *self._reading, self._context)
        return None if seen is None or seen.at_us > at_us else seen.at_us

    def _previous_partition(self, node: Node, key: str, at_us: int) -> Iterator[ReadyInput]:
        """Yield the partition before, for nodes that build on their own past."""
        traits, grain = self._traits.get(node.name), node.partition.grain
        if traits is None or not traits.chained or grain is None or node.partition.key is not None:
            return
        before = PartitionRef(node.name, previous_key(key, grain, node.timezone))
        there = self.there(before, at_us)
        if there is not None or not counts_as_empty(node, before.partition, self._context):
            yield ReadyInput(before, there)

    def there(self, place: PartitionRef, at_us: int) -> int | None:
        """Return since when readers could read a partition without a gap, as of a time.

        None if they couldn't.
        """
        since: int | None = None
        ended: int | None = None
        for publication in self._records.publications_of(*place):
            if publication.at_us > at_us:
                break
            if since is None or (ended is not None and ended < publication.at_us):
                since = publication.at_us
            ended = publication.ended_us
        return since

    def root_rank(self, place: PartitionRef) -> Rank:
        """Return how surely a missing partition blocks others; lower ranks are surer.

        In this order: data that a person must repair, paused nodes, missing deliveries, running
        attempts. Of the first, the oldest comes first, as in `blockage.in_repair_order`; of the
        deliveries, one with an open incident, as in `incident_impact.holding_incident`.
        """
        if place not in self._ranks:
            if len(self._ranks) >= RANKED_MAX or self._depth >= DEPTH_MAX:
                return (_TOP, 0, *place)
            self._ranks[place] = (_TOP, 0, *place)  # for nodes that read themselves
            self._depth += 1
            self._ranks[place] = self._rank(place)
            self._depth -= 1
        return self._ranks[place]

    def _rank(self, place: PartitionRef) -> Rank:
        node, facts = self.known(place.node), self._context.facts.partition_state(*place)
        state = facts.state if facts is not None else "missing"
        if facts is not None and state in ("held", "rejected", "failed", "withdrawn"):
            return (0, facts.since_us, *place)
        if any(pause.to_us is None for pause in self._records.pauses(place.node)):
            return (1, 0, *place)
        if node is None or node.is_source:
            return (2, not self._has_open_incident(place), *place)
        if state == "running":
            return (3, 0, *place)
        now = self._records.now_us
        missing = [
            ready_input.place for ready_input in self.of(place, now) if ready_input.at_us is None
        ]
        return min((self.root_rank(ref) for ref in missing), default=(4, 0, *place))

    def _has_open_incident(self, place: PartitionRef) -> bool:
        return any(item.ended_us is None for item in self._records.incidents(*place))
