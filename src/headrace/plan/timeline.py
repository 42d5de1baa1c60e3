"""Partitions over time: expected and absent ones, `--from` and `--to`, publishing steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from headrace.model.errors import UsageError
from headrace.model.intervals import (
    GRAINS,
    bounds_us,
    key_at_us,
    parse_key,
    start_us,
)
from headrace.model.nodes import Grain, Value
from headrace.model.partitions import SEPARATOR, WHOLE, first_start_us
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
"""How far beyond now a partition may be missing that an interval of today needs: the rest of its
year."""


class NodeExtents(Value):
    """The partitions of a node by state.

    Sets overlap, since a published one may have failed since.
    """

    known: Extent = NO_PARTITIONS
    """All partitions with a delivery or an attempt."""
    visible: Extent = NO_PARTITIONS
    """Partitions with a visible publication."""
    usable: Extent = NO_PARTITIONS
    """Partitions that later ones may read: published, waived, or published and to be recomputed."""
    fresh: Extent = NO_PARTITIONS
    """Partitions that are published and have nothing to be done."""
    failed: Extent = NO_PARTITIONS
    """Partitions whose last attempt failed or was rejected, within the requested history."""
    hopeless: Extent = NO_PARTITIONS
    """Partitions that failed or were rejected with the current declaration and were never
    published."""
    held: Extent = NO_PARTITIONS
    """Partitions that wait for a decision by a person."""
    dropped: Extent = NO_PARTITIONS
    """Partitions whose newest data a person has dropped; they haven't failed and aren't held."""
    arrived: Extent = NO_PARTITIONS
    """For a source: deliveries that aren't ingested."""


NO_EXTENTS = NodeExtents()


def changed_partitions(read: NodeInput, changed: Extent, extents: NodeExtents) -> Extent:
    """Return the output's partitions that new publications of the input's `changed` ones change.

    `extents` are those of the output. A reference changes none, or, if the node declares
    `rebuild_on_reference`, all published ones.
    """
    if read.reference and read.output.rebuild_on_reference:
        return extents.visible
    return downstream_partitions(read, changed, extents.known)


class Timeline:
    """The nodes of a graph over time.

    `extents` has the nodes with known partitions; `now` is in microseconds.
    """

    def __init__(self, graph: Graph, extents: Mapping[str, NodeExtents], now: int) -> None:
        self.nodes = {node.name: node for node in graph.nodes}
        self.now = now
        self._extents = extents
        self.reads = {
            node.name: tuple(
                NodeInput(output=node, spec=spec, input=self.nodes[spec.node])
                for spec in node.inputs
            )
            for node in graph.nodes
        }
        self._starts: dict[str, float] = {}
        self._expected: dict[str, Edges] = {}
        self._never_due: dict[str, Edges] = {}
        """Node → intervals for which nothing is due because of a calendar."""
        for (
            node
        ) in graph.nodes:  # in topological order: each node depends only on its direct inputs here
            self._starts[node.name] = self._start(node)
            self._expected[node.name] = self._there_should_be(node)
            self._never_due[node.name] = self._without_data(node)

    def extents_of(self, name: str) -> NodeExtents:
        """Return the partitions of a node by state."""
        return self._extents.get(name, NO_EXTENTS)

    def candidates(
        self, node: GraphNode, candidates: Mapping[str, Extent], requested: Edges = ()
    ) -> Extent:
        """Return the possible partitions of a node, blocked or not, from those of its inputs.

        For a node that no input announces, these include the `requested` intervals.
        """
        known = self.extents_of(node.name).known
        paced = [read for read in self.reads[node.name] if read.required]
        if not paced:
            return known | self._unprompted(node, requested)
        extent = known
        for read in paced:
            extent = extent | downstream_partitions(
                read, candidates.get(read.input.name, NO_PARTITIONS), known
            )
        return self._in_time(node, extent)

    def absent(self, node: GraphNode, available: Extent, candidates: Extent) -> Extent:
        """Return the missing partitions that readers wait for.

        They are the possible partitions that aren't `available`, and the intervals without any
        known partition.
        """
        spec, missing = node.partition, candidates - available
        if spec.grain is None:
            return missing
        expected = difference(self._expected[node.name], self._never_due[node.name])
        if spec.key is None:
            return missing | extent_of({"": difference(expected, available.runs.get("", ()))})
        if spec.values is not None:
            return missing | extent_of(
                {
                    value: difference(expected, available.runs.get(value, ()))
                    for value in spec.values
                }
            )
        return missing | extent_of(
            {ANY_KEY: difference(expected, union(candidates.times, available.times))}
        )

    def should_be(self, node: GraphNode) -> Edges:
        """Return the intervals of a node until now for which something is due."""
        ended = number_at(node, self.now)
        return difference(
            intersection(self._expected[node.name], (-(1 << 62), ended)), self._never_due[node.name]
        )

    def ended(self, node: GraphNode, extent: Extent) -> Extent:
        """Return the part of an extent that has ended by now.

        Later partitions aren't missing yet.
        """
        if node.partition.grain is None:
            return extent
        until = (-(1 << 62), number_at(node, self.now))
        return extent_of(
            {data: intersection(edges, until) for data, edges in extent.runs.items()}, extent.named
        )

    # The beginning of a node, and its consequences

    def _start(self, node: GraphNode) -> float:
        """Return when a node's first partition starts, in microseconds.

        It is declared, or that of its oldest partition, or follows from the required inputs.
        """
        if node.partition.grain is None:
            return -math.inf
        if node.start is not None:
            return start_us(node.start, node.partition.grain, node.timezone)
        if node.is_source:
            times = self.extents_of(node.name).known.times
            return (
                bounds_us(key_of(node, times[0]), node.partition.grain, node.timezone)[0]
                if times
                else math.inf
            )
        return first_start_us(
            node.partition.grain,
            node.timezone,
            [
                (self._starts[read.input.name], into, read.input.timezone, read.spec)
                for read in self.reads[node.name]
                if read.required and (into := read.input.partition.grain) is not None
            ],
        )

    def _there_should_be(self, node: GraphNode) -> Edges:
        """Return the intervals from a node's start until long after now."""
        if node.partition.grain is None:
            return ()
        times, start = self.extents_of(node.name).known.times, self._starts[node.name]
        beyond = number_at(node, self.now + AHEAD_US)
        if math.isinf(start):
            return () if start > 0 or not times else (times[0], beyond)
        first = number_at(node, int(start))
        return (first, beyond) if first < beyond else ()

    def _without_data(self, node: GraphNode) -> Edges:
        """Return the intervals for which nothing is due.

        The node's calendar decides that, or those of all required inputs.
        """
        expected = self._expected[node.name]
        if not expected:
            return ()
        unheard = difference(expected, self.extents_of(node.name).known.times)
        results = () if node.days_off.none else edges_of(self._off(node, unheard))
        required = [read for read in self.reads[node.name] if read.required]
        if required and any(self._never_due[read.input.name] for read in required):
            due = (
                downstream_intervals(
                    read,
                    difference(self._expected[read.input.name], self._never_due[read.input.name]),
                )
                for read in required
            )
            results = union(results, difference(unheard, union(*due)))
        return results

    def _off(self, node: GraphNode, times: Edges) -> Iterator[int]:
        grain = node.partition.time_grain
        for first, last in ranges(times):
            for number in range(first, last + 1):
                if node.days_off.covers(key_of(node, number), grain, node.timezone):
                    yield number

    def _unprompted(self, node: GraphNode, requested: Edges) -> Extent:
        """Return the partitions of a node that no input announces."""
        spec = node.partition
        if spec.whole:
            return extent_of({}, (WHOLE,))
        if spec.grain is None:
            return extent_of({}, spec.values or ())
        begun = math.isfinite(self._starts[node.name])
        first = (
            number_at(node, int(self._starts[node.name]))
            if begun
            else requested[0]
            if requested
            else number_at(node, self.now)
        )
        edges = intersection(
            (first, max(first, number_at(node, self.now)) + 1),
            (-(1 << 62), number_at(node, self.now)),
        )
        return extent_of(dict.fromkeys(spec.values or ("",), edges))

    def _in_time(self, node: GraphNode, extent: Extent) -> Extent:
        """Return the partitions that end after the node's start.

        If the node reads only longer intervals, they must also have ended.
        """
        if node.partition.grain is None:
            return extent
        edges = self._expected[node.name]
        if all(_longer(read) for read in self.reads[node.name] if read.required):
            edges = intersection(edges, (-(1 << 62), number_at(node, self.now)))
        return extent_of(
            {data: intersection(item, edges) for data, item in extent.runs.items()}, extent.named
        )


def number_at(node: GraphNode, at_us: int) -> int:
    """Return the number of the node's interval that contains a point in time (microseconds).

    All earlier intervals have ended by then.
    """
    grain = node.partition.time_grain
    key = key_at_us(at_us, grain, node.timezone)
    number = number_of(key, grain, node.timezone)
    if number is not None:
        return number
    return number_at(
        node, bounds_us(key, grain, node.timezone)[1]
    )  # half an hour that shares its number


def _longer(read: NodeInput) -> bool:
    out, into = read.output.partition.grain, read.input.partition.grain
    return out is not None and into is not None and GRAINS.index(into) > GRAINS.index(out)


# `--from` and `--to`: one range for nodes with different partitions.

_NUMBER_MAX = 1 << 61
DELIVERY_DIGITS = 12


class PartitionLimits(Value):
    """The partitions of one node within a range."""

    times: Edges | None = None
    """Intervals by number; None for all."""
    data: str | None = None
    """The only data key of the range; None for all."""
    keys: tuple[str | None, str | None] = (None, None)
    """For nodes partitioned by key alone: the first and the last key in text order."""

    def within(self, extent: Extent) -> Extent:
        """Return the part of an extent within the limits."""
        runs = {
            data: edges
            for data, edges in extent.runs.items()
            if self.data is None or data == self.data
        }
        if self.times is not None:
            runs = {data: intersection(edges, self.times) for data, edges in runs.items()}
        first, last = self.keys
        named = (
            key
            for key in extent.named
            if (first is None or key >= first) and (last is None or key <= last)
        )
        return extent_of(runs, named)


ALL_PARTITIONS = PartitionLimits()


class ParsedInterval(Value):
    """An interval that a user entered."""

    key: str
    grain: Grain
    zone: str
    """Time zone of an hour, which is the same point in time everywhere; longer intervals use each
    node's own zone."""

    def bounds(self, node: GraphNode) -> tuple[int, int]:
        """Return its beginning and end for a node, in microseconds."""
        return bounds_us(
            self.key, self.grain, self.zone if self.grain is Grain.HOUR else node.timezone
        )


def limits_of(
    nodes: Sequence[GraphNode], first: str | None, last: str | None
) -> dict[str, PartitionLimits]:
    """Return the limits of a range for each node; keys may have the grain of any of them.

    For longer intervals, all that overlap the range are included; an unpartitioned node is included
    as a whole. Raises UsageError for keys that no node has, and for a range whose end is before its
    beginning.
    """
    if first is None and last is None:
        return {node.name: ALL_PARTITIONS for node in nodes}
    cut = [node for node in nodes if node.partition.grain is not None]
    if not cut:
        return {node.name: _by_key(node, first, last) for node in nodes}
    interval, other = _typed_interval(cut, first), _typed_interval(cut, last)
    data = _data_key(first, last, keyed=any(node.partition.key is not None for node in cut))
    return {
        node.name: _in_time(node, interval, other, data)
        if node.partition.grain is not None
        else ALL_PARTITIONS
        for node in nodes
    }


def _typed_interval(cut: Sequence[GraphNode], typed: str | None) -> ParsedInterval | None:
    """Return the entered interval, in the grain of the nodes with such keys.

    UsageError if none has.
    """
    if typed is None:
        return None
    text = (
        typed.partition(SEPARATOR)[0]
        if any(node.partition.key is not None for node in cut)
        else typed
    )
    refused: UsageError | None = None
    for node in sorted(cut, key=_grain):
        try:
            return ParsedInterval(
                key=parse_key(text, node.partition.time_grain, node.timezone),
                grain=node.partition.time_grain,
                zone=node.timezone,
            )
        except UsageError as error:
            refused = refused or error
    longest = max(_grain(node) for node in cut)
    for grain in GRAINS[longest + 1 :]:  # for days, a month means all its days
        try:
            return ParsedInterval(
                key=parse_key(text, grain, cut[0].timezone), grain=grain, zone=cut[0].timezone
            )
        except UsageError:
            continue
    assert refused is not None
    raise refused


def _in_time(
    node: GraphNode, interval: ParsedInterval | None, other: ParsedInterval | None, data: str | None
) -> PartitionLimits:
    first = -_NUMBER_MAX if interval is None else number_at(node, interval.bounds(node)[0])
    last = _NUMBER_MAX if other is None else number_at(node, other.bounds(node)[1] - 1)
    if first > last:
        assert interval is not None
        assert other is not None
        raise UsageError(
            f"--to {other.key} comes before --from {interval.key}",
            hint="both are included; swap them",
        )
    return PartitionLimits(
        times=(first, last + 1), data=data if node.partition.key is not None else None
    )


def _data_key(first: str | None, last: str | None, *, keyed: bool) -> str | None:
    """Return the data key of `2013-02-11/EMEA`; the range has only one."""
    named = {
        text.partition(SEPARATOR)[2]
        for text in (first, last)
        if keyed and text is not None and SEPARATOR in text
    }
    if len(named) > 1:
        listed = ", ".join(sorted(named))[:80]
        raise UsageError(
            f"--from and --to name two keys: {listed}",
            hint="leave them away, or plan one after the other",
        )
    return named.pop() if named else None


def _by_key(node: GraphNode, first: str | None, last: str | None) -> PartitionLimits:
    """Return the limits of a node not partitioned by time: delivery numbers, keys, or none."""
    if node.partition.by_delivery:
        lowest, highest = _number(node, first, 0), _number(node, last, _NUMBER_MAX)
        if highest < lowest:
            raise _wrong_order(first, last)
        return PartitionLimits(times=(lowest, highest + 1))
    if first is not None and last is not None and last < first:
        raise _wrong_order(first, last)
    if node.partition.key is None:
        return ALL_PARTITIONS
    return PartitionLimits(keys=(first, last))


def _wrong_order(first: str | None, last: str | None) -> UsageError:
    return UsageError(
        f"--to {str(last)[:40]} comes before --from {str(first)[:40]}",
        hint="both are included; swap them",
    )


def _number(node: GraphNode, text: str | None, otherwise: int) -> int:
    if text is None:
        return otherwise
    if not (text.isascii() and text.isdigit() and len(text) <= DELIVERY_DIGITS):
        raise UsageError(
            f"{node.name}@{text[:40]} names no delivery", hint=f"{node.name}@1 is the first one"
        )
    return int(text)


def _grain(node: GraphNode) -> int:
    return GRAINS.index(node.partition.time_grain)


# Large backfills are published in steps: some intervals at a time over all nodes, never an output
# before its inputs.

PARTITIONS_MAX = 5_000
"""Maximum number of partitions in progress at once, which bounds a leader's memory for a plan."""
_INTERVAL_MAX = 1 << 62


def publishing_steps(timeline: Timeline, picked: Mapping[str, Extent]) -> tuple[BackfillStep, ...]:
    """Return the publishing steps of staged partitions in time order.

    Nodes without time come last.
    """
    total = sum(map(len, picked.values()))
    if not total:
        return ()
    cuts = _cuts(timeline, picked, -(-total // PARTITIONS_MAX))
    left = [dict(picked), *(_later(timeline, picked, cut) for cut in cuts), {}]
    result = (_between(timeline, before, after) for before, after in pairwise(left))
    return tuple(step for step in result if step.spans)


def _between(
    timeline: Timeline, before: Mapping[str, Extent], after: Mapping[str, Extent]
) -> BackfillStep:
    parts = {name: extent - after.get(name, NO_PARTITIONS) for name, extent in before.items()}
    return BackfillStep(
        spans={
            name: spans(timeline.nodes[name], extent, timeline.extents_of(name).known)
            for name, extent in parts.items()
            if extent
        }
    )


def _later(timeline: Timeline, picked: Mapping[str, Extent], cut: int) -> dict[str, Extent]:
    """Return what isn't published before `cut`.

    Partitions that end later, and all their readers.
    """
    extents: dict[str, Extent] = {}
    for name, extent in picked.items():  # in topological order
        node = timeline.nodes[name]
        later = _ends_after(node, extent, cut)
        for read in timeline.reads[name]:
            if read.input.name in extents:
                later = later | (
                    downstream_partitions(read, extents[read.input.name], extent) & extent
                )
        extents[name] = later
    return extents


def _ends_after(node: GraphNode, extent: Extent, cut: int) -> Extent:
    if node.partition.grain is None:
        return extent
    edges = (number_at(node, cut), _INTERVAL_MAX)
    return extent_of(
        {data: intersection(item, edges) for data, item in extent.runs.items()}, extent.named
    )


def _cuts(timeline: Timeline, picked: Mapping[str, Extent], parts: int) -> Sequence[int]:
    """Return the points in time that divide the plan into about equal parts.

    The node with the most partitions decides.
    """
    name = max(picked, key=lambda item: len(picked[item]))
    node = timeline.nodes[name]
    if node.partition.grain is None:
        return ()
    times = picked[name].times
    positions = (len(extent_of({"": times})) * part // parts for part in range(1, parts))
    keys = (key_of(node, number) for number in _numbers_at(times, positions))
    return [bounds_us(key, node.partition.time_grain, node.timezone)[0] for key in keys]


def _numbers_at(times: tuple[int, ...], places: Iterator[int]) -> Iterator[int]:
    """Yield the numbers at these positions of a set; positions are ascending."""
    runs, passed = ranges(times), 0
    first, last = next(runs)
    for place in places:
        while place - passed > last - first:
            passed += last - first + 1
            first, last = next(runs)
        yield first + place - passed
