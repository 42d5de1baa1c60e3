"""Which partitions of a node read given ones of its input, for ranges at a time (SEMANTICS §2)."""

from __future__ import annotations

import functools

from headrace.model.errors import UsageError
from headrace.model.nodes import Grain, InputMode, InputSpec, PartitionSpec, Place, Value
from headrace.model.required import WHOLE, dependents
from headrace.plan.extents import ANY_KEY, NOTHING, Edges, Extent, made, ranges, union
from headrace.schedule import GraphNode
from headrace.schedule.ranges import number_of, written

_NOWHERE = Place(file="")
REACHES_CACHED = 1 << 17


class NodeInput(Value):
    """One input of one node."""

    output: GraphNode
    spec: InputSpec
    input: GraphNode

    @property
    def reference(self) -> bool:
        """Whether the newest publication of everything is read, whatever partition is made: nothing follows from single ones."""
        out, into = self.output.partition, self.input.partition
        if out.whole or self._every:
            return False
        if self.spec.mode is InputMode.ALL or into.whole:
            return True
        if out.by_delivery or into.by_delivery:
            return not (out.by_delivery and into.by_delivery)
        return out.grain is not None and into.grain is None

    @property
    def gathers(self) -> bool:
        """Whether all that is published is read and each publication changes it."""
        out, into = self.output.partition, self.input.partition
        if out.whole:
            return True
        return out.grain is None and not out.by_delivery and into.grain is not None and self.spec.mode is not InputMode.ALL

    @property
    def required(self) -> bool:
        """Whether a partition waits for partitions of it."""
        return not (self.reference or self.gathers or self.spec.optional)

    @property
    def _every(self) -> bool:
        """Whether each listed key is made of the whole input."""
        out, into = self.output.partition, self.input.partition
        plain = self.spec.mode is InputMode.REQUIRED and not self.spec.optional
        return out.values is not None and out.grain is None and into.whole and plain


def touched(read: NodeInput, chosen: Extent, known: Extent) -> Extent:
    """The output's partitions that read one of `chosen`; `known` are those of the output that were ever heard of, whose keys count
    where nothing lists them. Nothing where the input is a reference."""
    out = read.output.partition
    if not chosen or read.reference:
        return NOTHING
    if out.whole:
        return made({}, (WHOLE,))
    if out.by_delivery:
        later = 1 if read.spec.mode is InputMode.PREVIOUS else 0
        return made({"": _shifted(chosen.runs.get("", ()), later)})
    if out.grain is None:
        return _by_key(read, chosen, known)
    return _in_time(read, chosen, known)


def _by_key(read: NodeInput, chosen: Extent, known: Extent) -> Extent:
    """Of an output that is cut by a key alone."""
    out, into = read.output.partition, read.input.partition
    if out.key == into.key and ANY_KEY not in chosen.runs:
        return made({}, chosen.named if into.grain is None else chosen.runs)
    return made({}, out.values if out.values is not None else known.named)


def _in_time(read: NodeInput, chosen: Extent, known: Extent) -> Extent:
    out, into = read.output.partition, read.input.partition
    if out.key is None:
        return made({"": reached(read, chosen.times)})
    if out.key == into.key:
        everywhere = reached(read, chosen.runs.get(ANY_KEY, ()))
        runs = {data: reached(read, edges) for data, edges in chosen.runs.items() if data != ANY_KEY}
        keys = known.runs.keys() | runs.keys() if everywhere else runs.keys()
        return made({data: union(runs.get(data, ()), everywhere) for data in keys})
    listed = out.values if out.values is not None else tuple(known.runs)
    return made(dict.fromkeys(listed, reached(read, chosen.times)))


def _shifted(edges: Edges, by: int) -> Edges:
    return tuple(number + by for number in edges) if by else edges


def reached(read: NodeInput, edges: Edges) -> Edges:
    """The output's intervals that read one of the input's: what following ones touch follows, so that only ends are asked for."""
    out, into = read.output, read.input
    plain = read.spec.mode is not InputMode.PREVIOUS and read.spec.lookback is None
    if plain and out.partition.grain is into.partition.grain and out.timezone == into.timezone:
        return edges
    results = []
    for first, last in ranges(edges):
        item, other = _first(read, first, last, 1), _first(read, last, first, -1)
        if item is not None and other is not None:
            results.append((item[0], other[1] + 1))
    return union(*results)


EMPTY_MAX = 400
"""So many intervals in a row may be read by nobody."""


def _first(read: NodeInput, start: int, end: int, step: int) -> tuple[int, int] | None:
    """What the first interval on the way from one to another touches that touches anything."""
    for number in range(start, end + step, step)[:EMPTY_MAX]:
        results = _reach(
            number, _cut(read.input), read.input.timezone, _cut(read.output), read.output.timezone, read.spec.mode, read.spec.lookback
        )
        if results is not None:
            return results
    return None


def _cut(node: GraphNode) -> Grain:
    assert node.partition.grain is not None
    return node.partition.grain


@functools.lru_cache(maxsize=REACHES_CACHED)
def _reach(
    number: int, into: Grain, into_zone: str, out: Grain, out_zone: str, mode: InputMode, lookback: str | None
) -> tuple[int, int] | None:
    """The first and the last interval of the output that read one of the input's."""
    spec = InputSpec(node="", mode=mode, lookback=lookback, place=_NOWHERE)
    try:
        key = written(number, into, into_zone if into is Grain.HOUR else "")
        keys = dependents(key, PartitionSpec(grain=out), out_zone, PartitionSpec(grain=into), into_zone, spec)
    except (UsageError, ValueError, OverflowError):  # a day that the zone skipped, or before the calendar begins
        return None
    numbers = [number_of(key, out, out_zone if out is Grain.HOUR else "") for key in (keys or ())]
    there = [number for number in numbers if number is not None]
    return (there[0], there[-1]) if there else None
