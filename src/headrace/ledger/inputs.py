"""Which inputs of a partition let it start, or keep it from starting. Pure.

Asked for one consumer's interval: what it needs of unpartitioned data is what it needs of that data's inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple, TypeAlias

from headrace.ledger.records import LedgerRecords, Try
from headrace.model import InputMode, InputSpec
from headrace.model.intervals import previous_key
from headrace.model.partitions import required
from headrace.slo.blockage import promised_by
from headrace.slo.declared_promises import WHOLE, Node, NodeTraits, Terms
from headrace.slo.obligations import EvaluationContext, counts_as_empty, covered, needed

_TOP = 9
RANKED_MAX = 2_000
DEPTH_MAX = 200
"""Of what isn't there so much is looked at, and so far up, to find what keeps the rest waiting."""


class PartitionRef(NamedTuple):
    """A partition of a node."""

    node: str
    partition: str


Rank: TypeAlias = tuple[int, int, str, str]
"""How surely something keeps others waiting (the lowest first), since when, its node and partition."""


class ReadyInput(NamedTuple):
    """An input, and when it was there; None: it isn't."""

    place: PartitionRef
    at_us: int | None
    staged: tuple[int, int] | None = None
    """The attempt of the same plan that had staged it, where what reads it was staged as well: both
    are published in one lake snapshot, so a publication doesn't say when the input was there."""


class ReadScope(NamedTuple):
    """For whom it is asked: what a consumer's interval needs of data that isn't cut is what that interval needs of its inputs."""

    terms: Terms
    interval: str


class LedgerInputs:
    """Answers for one consumer's interval, or for no consumer."""

    def __init__(
        self, context: EvaluationContext, records: LedgerRecords, traits: Mapping[str, NodeTraits], reading: ReadScope | None
    ) -> None:
        self._context, self._records, self._traits, self._reading = context, records, traits, reading
        self._ranks: dict[PartitionRef, Rank] = {}
        self._above: dict[str, frozenset[str]] = {}
        """Node → what it is made of, itself or through others."""
        self._depth = 0

    def known(self, name: str) -> Node | None:
        """A node as declared, an export by its consumer's name; None for what isn't declared any more."""
        return self._context.declared.nodes.get(name) or self._context.declared.exports.get(name)

    def reads(self, name: str, other: str) -> bool:
        """Whether a node is made of another, itself or through others."""
        if name not in self._above:
            waiting, seen = [name], set[str]()
            while waiting:
                node = self.known(waiting.pop())
                above = {spec.node for spec in node.inputs} - seen if node is not None else set()
                seen |= above
                waiting += above
            self._above[name] = frozenset(seen - {name})
        return other in self._above[name]

    def of(self, place: PartitionRef, at_us: int, before: Try | None = None, reader: Try | None = None) -> list[ReadyInput]:
        """What a partition reads, as it stood at a time; what is optional and wasn't there, and what an attempt didn't wait for, isn't in
        it. `before` is the attempt that made the partition, `reader` the first one that read these inputs."""
        node = self.known(place.node)
        if node is None or node.is_source:
            return []
        inputs = [ready_input for spec in node.inputs for ready_input in self._of_spec(node, place.partition, spec, at_us, before)]
        inputs += self._own(node, place.partition, at_us)
        return [self._as_read(ready_input, reader, at_us) for ready_input in inputs] if reader is not None and reader.staged else inputs

    def missed(self, place: PartitionRef, at_us: int) -> list[tuple[PartitionRef, int]]:
        """The optional inputs that weren't there at a time, each with until when it was promised: a partition waits that long for it."""
        node = self.known(place.node)
        if node is None or node.is_source:
            return []
        refs = [
            PartitionRef(source.name, key)
            for spec in node.inputs
            if spec.optional and (source := self.known(spec.node)) is not None
            for key in self._keys(node, place.partition, source, spec) or ()
            if self.there(PartitionRef(source.name, key), at_us) is None and not counts_as_empty(source, key, self._context)
        ]
        return [(ref, until) for ref in refs if (until := self._promised_us(ref)) is not None]

    def _promised_us(self, place: PartitionRef) -> int | None:
        """Until when a partition was promised: the last of the deliveries that it is made of; None where none of them was."""
        last: int | None = None
        waiting, seen = [place], {place}  # two ways often lead to the same partition
        while waiting:
            name, key = waiting.pop()
            node = self.known(name)
            if node is None:
                continue
            if node.is_source:
                last = max((at for at in (last, promised_by(node, key)) if at is not None), default=None)
                continue
            others = [(source, spec) for spec in node.inputs if (source := self.known(spec.node)) not in (None, node)]
            above = {
                PartitionRef(source.name, item) for source, spec in others for item in self._keys(node, key, source, spec) or ()
            } - seen
            seen |= above
            waiting += above
        return last

    def _as_read(self, ready_input: ReadyInput, reader: Try, at_us: int) -> ReadyInput:
        """An input of a staged attempt: what its plan had staged of it, else what was published."""
        for made in reversed(self._records.tries(*ready_input.place)):
            done = made.staged and made.plan == reader.plan and made.state in ("staged", "published")
            if done and made.finished_us is not None and made.finished_us <= at_us:
                return ReadyInput(ready_input.place, made.finished_us, made.id)
        return ready_input

    def _of_spec(self, node: Node, key: str, spec: InputSpec, at_us: int, before: Try | None) -> Iterator[ReadyInput]:
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
        return required(node.cut(key), node.timezone, key, source.partition, source.timezone, spec, seen).keys

    def _as_a_whole(self, node: Node, source: Node, spec: InputSpec, at_us: int, before: Try | None) -> Iterator[ReadyInput]:
        """What is read as it is: a reference keeps nothing waiting once it is there."""
        if source.partition.whole:
            there = self._whole(source, at_us) if spec.mode is not InputMode.ALL else self.there(PartitionRef(source.name, WHOLE), at_us)
            if there is not None or not spec.optional:
                yield ReadyInput(PartitionRef(source.name, WHOLE), there)
        elif node.partition.whole and spec.mode is not InputMode.ALL:
            epoch, n = before.id if before is not None else (None, None)
            newest = self._records.newest_before(source.name, at_us, epoch, n)
            if newest is not None:
                yield ReadyInput(PartitionRef(source.name, newest[0]), newest[1])

    def enough(self, place: PartitionRef, at_us: int) -> int | None:
        """Since when a partition held all that is asked of it, at a time: what isn't cut was there before, for other intervals."""
        node = self.known(place.node)
        whole = node is not None and place.partition == WHOLE and place.node in self._context.rhythms
        return self._whole(node, at_us) if whole and node is not None else self.there(place, at_us)

    def _whole(self, source: Node, at_us: int) -> int | None:
        """Of data that isn't cut: since when it holds what the interval needs."""
        if self._reading is None or not self._context.rhythms[source.name].has:
            return self.there(PartitionRef(source.name, WHOLE), at_us)
        seen = covered(source, *self._reading, self._context)
        return None if seen is None or seen.at_us > at_us else seen.at_us

    def _own(self, node: Node, key: str, at_us: int) -> Iterator[ReadyInput]:
        """Of what builds on its own past: the partition before."""
        traits, grain = self._traits.get(node.name), node.partition.grain
        if traits is None or not traits.chained or grain is None or node.partition.key is not None:
            return
        before = PartitionRef(node.name, previous_key(key, grain, node.timezone))
        there = self.there(before, at_us)
        if there is not None or not counts_as_empty(node, before.partition, self._context):
            yield ReadyInput(before, there)

    def there(self, place: PartitionRef, at_us: int) -> int | None:
        """Since when readers could read a partition, at a time: from the first of the publications that followed each other without a
        gap; None if they couldn't."""
        since: int | None = None
        ended: int | None = None
        for publication in self._records.shown(*place):
            if publication.at_us > at_us:
                break
            if since is None or (ended is not None and ended < publication.at_us):
                since = publication.at_us
            ended = publication.ended_us
        return since

    def root_rank(self, place: PartitionRef) -> Rank:
        """Of what isn't there: how surely it is that which keeps others waiting, the lowest first: what somebody has to mend, what is
        paused, what wasn't delivered, what runs. Of what has to be mended that first which began first, as `blockage.in_order` has it."""
        if place not in self._ranks:
            if len(self._ranks) >= RANKED_MAX or self._depth >= DEPTH_MAX:
                return (_TOP, 0, *place)
            self._ranks[place] = (_TOP, 0, *place)  # for what reads itself
            self._depth += 1
            self._ranks[place] = self._rank(place)
            self._depth -= 1
        return self._ranks[place]

    def _rank(self, place: PartitionRef) -> Rank:
        node, facts = self.known(place.node), self._context.facts.standing(*place)
        state = facts.state if facts is not None else "missing"
        if facts is not None and state in ("held", "rejected", "failed", "withdrawn"):
            return (0, facts.since_us, *place)
        if any(pause.to_us is None for pause in self._records.pauses(place.node)):
            return (1, 0, *place)
        if node is None or node.is_source:
            return (2, 0, *place)
        if state == "running":
            return (3, 0, *place)
        now = self._records.now_us
        missing = [ready_input.place for ready_input in self.of(place, now) if ready_input.at_us is None]
        return min((self.root_rank(ref) for ref in missing), default=(4, 0, *place))
