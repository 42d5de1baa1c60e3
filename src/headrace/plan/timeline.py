"""Partitions over time: expected and absent ones, `--from` and `--to`, publishing steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from headrace.model.errors import UsageError
from headrace.model.intervals import GRAINS, bounds_us, key_at_us, parse_key, start_us
from headrace.model.nodes import Grain, Value
from headrace.model.partitions import SEPARATOR, WHOLE
from headrace.plan.backfills import BackfillStep
from headrace.plan.partition_ranges import (
    ANY_KEY,
    NO_PARTITIONS,
    Edges,
    Extent,
    NodeInput,
    difference,
    downstream_intervals,
    downstream_partitions,
    edges_of,
    extent_of,
    intersection,
    key_of,
    ranges,
    spans,
    union,
)
from headrace.scheduler import Graph, GraphNode
from headrace.scheduler.ranges import number_of

# Expected partitions of each node, and absent ones, which block their readers (SEMANTICS §1-§3).

AHEAD_US = 400 * 86_400_000_000
"""So far beyond now something may be missing that an interval of today needs: the rest of its year."""


class NodeExtents(Value):
    """Where a node's partitions stand. They overlap: what is published may have failed since."""

    known: Extent = NO_PARTITIONS
    """All that was ever heard of, by a delivery or an attempt."""
    visible: Extent = NO_PARTITIONS
    """What readers see something of."""
    usable: Extent = NO_PARTITIONS
    """What those may read that come after it: published, waived, or published and to be made again."""
    fresh: Extent = NO_PARTITIONS
    """What is published and nothing is to be done about."""
    failed: Extent = NO_PARTITIONS
    """What failed or was rejected the last time, as far back as was asked."""
    hopeless: Extent = NO_PARTITIONS
    """What failed or was rejected as it is declared now, and was never published."""
    held: Extent = NO_PARTITIONS
    """What somebody has to decide about."""
    arrived: Extent = NO_PARTITIONS
    """Of a source: deliveries that nobody has ingested."""


NO_EXTENTS = NodeExtents()


class Timeline:
    """The nodes of a graph in time. `standings` has the nodes of which something was heard; `now` is in microseconds."""

    def __init__(self, graph: Graph, standings: Mapping[str, NodeExtents], now: int) -> None:
        self.nodes = {node.name: node for node in graph.nodes}
        self.now = now
        self._standings = standings
        self.reads = {
            node.name: tuple(NodeInput(output=node, spec=spec, input=self.nodes[spec.node]) for spec in node.inputs) for node in graph.nodes
        }
        self._starts: dict[str, float] = {}
        self._expected: dict[str, Edges] = {}
        self._never_due: dict[str, Edges] = {}
        """Node → the intervals for which a calendar leaves nothing due."""
        for node in graph.nodes:  # in topological order: nothing here looks further than one input away
            self._starts[node.name] = self._start(node)
            self._expected[node.name] = self._there_should_be(node)
            self._never_due[node.name] = self._without_data(node)

    def standing(self, name: str) -> NodeExtents:
        """Where a node's partitions stand."""
        return self._standings.get(name, NO_EXTENTS)

    def candidates(self, node: GraphNode, candidates: Mapping[str, Extent], asked: Edges = ()) -> Extent:
        """The partitions that there may be by those that there may be of its inputs, whether or not something blocks them; of a node
        that no input announces, also the intervals that were `asked` for."""
        known = self.standing(node.name).known
        paced = [read for read in self.reads[node.name] if read.required]
        if not paced:
            return known | self._unprompted(node, asked)
        extent = known
        for read in paced:
            extent = extent | downstream_partitions(read, candidates.get(read.input.name, NO_PARTITIONS), known)
        return self._in_time(node, extent)

    def absent(self, node: GraphNode, available: Extent, candidates: Extent) -> Extent:
        """The partitions that aren't `available` and that whoever reads them waits for: of those that there may be, and of the intervals
        that nothing was heard of."""
        spec, missing = node.partition, candidates - available
        if spec.grain is None:
            return missing
        expected = difference(self._expected[node.name], self._never_due[node.name])
        if spec.key is None:
            return missing | extent_of({"": difference(expected, available.runs.get("", ()))})
        if spec.values is not None:
            return missing | extent_of({value: difference(expected, available.runs.get(value, ())) for value in spec.values})
        return missing | extent_of({ANY_KEY: difference(expected, union(candidates.times, available.times))})

    def should_be(self, node: GraphNode) -> Edges:
        """The intervals of a node that something is due for, until now."""
        ended = number_at(node, self.now)
        return difference(intersection(self._expected[node.name], (-(1 << 62), ended)), self._never_due[node.name])

    def ended(self, node: GraphNode, extent: Extent) -> Extent:
        """What of an extent has ended by now: of what comes later nobody misses anything."""
        if node.partition.grain is None:
            return extent
        until = (-(1 << 62), number_at(node, self.now))
        return extent_of({data: intersection(edges, until) for data, edges in extent.runs.items()}, extent.named)

    # When a node begins, and what follows from that

    def _start(self, node: GraphNode) -> float:
        """When a node's first partition starts: declared, its oldest, or the latest start of what it requires."""
        if node.partition.grain is None:
            return -math.inf
        if node.start is not None:
            return start_us(node.start, node.partition.grain, node.timezone)
        if node.is_source:
            times = self.standing(node.name).known.times
            return bounds_us(key_of(node, times[0]), node.partition.grain, node.timezone)[0] if times else math.inf
        return max((self._starts[read.input.name] for read in self.reads[node.name] if read.required), default=-math.inf)

    def _there_should_be(self, node: GraphNode) -> Edges:
        """The intervals from a node's start until long after now."""
        if node.partition.grain is None:
            return ()
        times, start = self.standing(node.name).known.times, self._starts[node.name]
        beyond = number_at(node, self.now + AHEAD_US)
        if math.isinf(start):
            return () if start > 0 or not times else (times[0], beyond)
        first = number_at(node, int(start))
        return (first, beyond) if first < beyond else ()

    def _without_data(self, node: GraphNode) -> Edges:
        """The intervals that a calendar leaves nothing due for: its own, or that of all that it requires."""
        expected = self._expected[node.name]
        if not expected:
            return ()
        unheard = difference(expected, self.standing(node.name).known.times)
        results = () if node.days_off.none else edges_of(self._off(node, unheard))
        required = [read for read in self.reads[node.name] if read.required]
        if required and any(self._never_due[read.input.name] for read in required):
            due = (
                downstream_intervals(read, difference(self._expected[read.input.name], self._never_due[read.input.name]))
                for read in required
            )
            results = union(results, difference(unheard, union(*due)))
        return results

    def _off(self, node: GraphNode, times: Edges) -> Iterator[int]:
        grain = node.partition.grain
        assert grain is not None
        for first, last in ranges(times):
            for number in range(first, last + 1):
                if node.days_off.covers(key_of(node, number), grain, node.timezone):
                    yield number

    def _unprompted(self, node: GraphNode, asked: Edges) -> Extent:
        """The partitions of a node that no input announces."""
        spec = node.partition
        if spec.whole:
            return extent_of({}, (WHOLE,))
        if spec.grain is None:
            return extent_of({}, spec.values or ())
        begun = math.isfinite(self._starts[node.name])
        first = number_at(node, int(self._starts[node.name])) if begun else asked[0] if asked else number_at(node, self.now)
        edges = intersection((first, max(first, number_at(node, self.now)) + 1), (-(1 << 62), number_at(node, self.now)))
        return extent_of(dict.fromkeys(spec.values or ("",), edges))

    def _in_time(self, node: GraphNode, extent: Extent) -> Extent:
        """What doesn't end before a node starts, and, where only longer intervals are read, has ended."""
        if node.partition.grain is None:
            return extent
        edges = self._expected[node.name]
        if all(_longer(read) for read in self.reads[node.name] if read.required):
            edges = intersection(edges, (-(1 << 62), number_at(node, self.now)))
        return extent_of({data: intersection(item, edges) for data, item in extent.runs.items()}, extent.named)


def number_at(node: GraphNode, at_us: int) -> int:
    """The number of the interval of a node in which an instant lies: those before it have ended by then."""
    grain = node.partition.grain
    assert grain is not None
    key = key_at_us(at_us, grain, node.timezone)
    number = number_of(key, grain, node.timezone)
    if number is not None:
        return number
    return number_at(node, bounds_us(key, grain, node.timezone)[1])  # half an hour that shares its number


def _longer(read: NodeInput) -> bool:
    out, into = read.output.partition.grain, read.input.partition.grain
    return out is not None and into is not None and GRAINS.index(into) > GRAINS.index(out)


# `--from` and `--to`: one range for nodes with different partitions.

_NUMBER_MAX = 1 << 61
DELIVERY_DIGITS = 12


class PartitionLimits(Value):
    """The partitions of one node that lie in a range."""

    times: Edges | None = None
    """Intervals by their numbers; None: all."""
    data: str | None = None
    """The one data's key that is meant; None: all."""
    keys: tuple[str | None, str | None] = (None, None)
    """Of what is cut by a key alone: the first and the last, in the order of text."""

    def within(self, extent: Extent) -> Extent:
        """What of an extent is meant."""
        runs = {data: edges for data, edges in extent.runs.items() if self.data is None or data == self.data}
        if self.times is not None:
            runs = {data: intersection(edges, self.times) for data, edges in runs.items()}
        first, last = self.keys
        named = (key for key in extent.named if (first is None or key >= first) and (last is None or key <= last))
        return extent_of(runs, named)


ALL_PARTITIONS = PartitionLimits()


class ParsedInterval(Value):
    """An interval that was typed."""

    key: str
    grain: Grain
    zone: str
    """Of hours, whose keys mean one instant everywhere; longer intervals lie in each node's own zone."""

    def bounds(self, node: GraphNode) -> tuple[int, int]:
        """Where it begins and ends for a node, in microseconds."""
        return bounds_us(self.key, self.grain, self.zone if self.grain is Grain.HOUR else node.timezone)


def limits_of(nodes: Sequence[GraphNode], first: str | None, last: str | None) -> dict[str, PartitionLimits]:
    """What a range means for each node: keys in the grain of any of them. Of a node with longer intervals all are meant that the range
    touches; one that isn't cut is meant as a whole. UsageError for keys that none of them has, and for a range the wrong way round."""
    if first is None and last is None:
        return {node.name: ALL_PARTITIONS for node in nodes}
    cut = [node for node in nodes if node.partition.grain is not None]
    if not cut:
        return {node.name: _by_key(node, first, last) for node in nodes}
    interval, other = _typed_interval(cut, first), _typed_interval(cut, last)
    data = _data_key(first, last, keyed=any(node.partition.key is not None for node in cut))
    return {node.name: _in_time(node, interval, other, data) if node.partition.grain is not None else ALL_PARTITIONS for node in nodes}


def _typed_interval(cut: Sequence[GraphNode], typed: str | None) -> ParsedInterval | None:
    """What was typed; its grain is that of the nodes that have such keys. UsageError where none has."""
    if typed is None:
        return None
    text = typed.partition(SEPARATOR)[0] if any(node.partition.key is not None for node in cut) else typed
    refused: UsageError | None = None
    for node in sorted(cut, key=_grain):
        try:
            return ParsedInterval(
                key=parse_key(text, _partitioned_by(node), node.timezone), grain=_partitioned_by(node), zone=node.timezone
            )
        except UsageError as error:
            refused = refused or error
    longest = max(_grain(node) for node in cut)
    for grain in GRAINS[longest + 1 :]:  # of days, a month means all its days
        try:
            return ParsedInterval(key=parse_key(text, grain, cut[0].timezone), grain=grain, zone=cut[0].timezone)
        except UsageError:
            continue
    assert refused is not None
    raise refused


def _in_time(node: GraphNode, interval: ParsedInterval | None, other: ParsedInterval | None, data: str | None) -> PartitionLimits:
    first = -_NUMBER_MAX if interval is None else number_at(node, interval.bounds(node)[0])
    last = _NUMBER_MAX if other is None else number_at(node, other.bounds(node)[1] - 1)
    if first > last:
        assert interval is not None
        assert other is not None
        raise UsageError(f"--to {other.key} comes before --from {interval.key}", hint="both are included; swap them")
    return PartitionLimits(times=(first, last + 1), data=data if node.partition.key is not None else None)


def _data_key(first: str | None, last: str | None, *, keyed: bool) -> str | None:
    """The data's key of `2013-02-11/EMEA`: one for the whole range."""
    named = {text.partition(SEPARATOR)[2] for text in (first, last) if keyed and text is not None and SEPARATOR in text}
    if len(named) > 1:
        said = ", ".join(sorted(named))[:80]
        raise UsageError(f"--from and --to name two keys: {said}", hint="leave them away, or plan one after the other")
    return named.pop() if named else None


def _by_key(node: GraphNode, first: str | None, last: str | None) -> PartitionLimits:
    """A range of what isn't cut by time: of keys, of deliveries by their numbers, or of nothing."""
    if not node.partition.by_delivery:
        if first is not None and last is not None and last < first:
            raise UsageError(f"--to {last[:40]} comes before --from {first[:40]}", hint="both are included; swap them")
        return PartitionLimits(keys=(first, last)) if node.partition.key is not None else ALL_PARTITIONS
    item, other = _number(node, first, 0), _number(node, last, _NUMBER_MAX)
    if other < item:
        raise UsageError(f"--to {last} comes before --from {first}", hint="both are included; swap them")
    return PartitionLimits(times=(item, other + 1))


def _number(node: GraphNode, text: str | None, otherwise: int) -> int:
    if text is None:
        return otherwise
    if not (text.isascii() and text.isdigit() and len(text) <= DELIVERY_DIGITS):
        raise UsageError(f"{node.name}@{text[:40]} names no delivery", hint=f"{node.name}@1 is the first one")
    return int(text)


def _partitioned_by(node: GraphNode) -> Grain:
    assert node.partition.grain is not None
    return node.partition.grain


def _grain(node: GraphNode) -> int:
    return GRAINS.index(_partitioned_by(node))


# Large backfills are published in steps: some intervals at a time over all nodes, never an output
# before its inputs.

PARTITIONS_MAX = 5_000
"""So many are worked at at once: that bounds what a leader has to keep in mind of a plan."""
_INTERVAL_MAX = 1 << 62


def publishing_steps(timeline: Timeline, picked: Mapping[str, Extent]) -> tuple[BackfillStep, ...]:
    """The steps of what is staged, in the order of time; what isn't cut by time comes with the last."""
    total = sum(map(len, picked.values()))
    if not total:
        return ()
    cuts = _cuts(timeline, picked, -(-total // PARTITIONS_MAX))
    left = [dict(picked), *(_later(timeline, picked, cut) for cut in cuts), {}]
    result = (_between(timeline, before, after) for before, after in pairwise(left))
    return tuple(step for step in result if step.spans)


def _between(timeline: Timeline, before: Mapping[str, Extent], after: Mapping[str, Extent]) -> BackfillStep:
    parts = {name: extent - after.get(name, NO_PARTITIONS) for name, extent in before.items()}
    return BackfillStep(
        spans={name: spans(timeline.nodes[name], extent, timeline.standing(name).known) for name, extent in parts.items() if extent}
    )


def _later(timeline: Timeline, picked: Mapping[str, Extent], cut: int) -> dict[str, Extent]:
    """What isn't published before an instant: what ends later, and all that reads it."""
    extents: dict[str, Extent] = {}
    for name, extent in picked.items():  # in topological order
        node = timeline.nodes[name]
        later = _ends_after(node, extent, cut)
        for read in timeline.reads[name]:
            if read.input.name in extents:
                later = later | (downstream_partitions(read, extents[read.input.name], extent) & extent)
        extents[name] = later
    return extents


def _ends_after(node: GraphNode, extent: Extent, cut: int) -> Extent:
    if node.partition.grain is None:
        return extent
    edges = (number_at(node, cut), _INTERVAL_MAX)
    return extent_of({data: intersection(item, edges) for data, item in extent.runs.items()}, extent.named)


def _cuts(timeline: Timeline, picked: Mapping[str, Extent], parts: int) -> Sequence[int]:
    """Instants that cut the plan into about equal parts, by the node that has most partitions."""
    name = max(picked, key=lambda item: len(picked[item]))
    node = timeline.nodes[name]
    if node.partition.grain is None or parts == 1:
        return ()
    times = picked[name].times
    wanted = (len(extent_of({"": times})) * part // parts for part in range(1, parts))
    return [_begins(node, number) for number in _numbers_at(times, wanted)]


def _numbers_at(times: tuple[int, ...], places: Iterator[int]) -> Iterator[int]:
    """The numbers at these places of a set, places ascending."""
    runs, passed = ranges(times), 0
    first, last = next(runs)
    for place in places:
        while place - passed > last - first:
            passed += last - first + 1
            first, last = next(runs)
        yield first + place - passed


def _begins(node: GraphNode, number: int) -> int:
    assert node.partition.grain is not None
    return bounds_us(key_of(node, number), node.partition.grain, node.timezone)[0]
