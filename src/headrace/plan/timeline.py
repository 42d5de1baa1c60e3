"""Which partitions of each node there should be, and which of those aren't there: what blocks whoever reads them (SEMANTICS §1-§3)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from headrace.model.intervals import GRAINS, bounds_us, key_at_us, start_us
from headrace.model.nodes import Value
from headrace.model.required import WHOLE
from headrace.plan.extents import ANY_KEY, NOTHING, Edges, Extent, common, edges_of, key_of, made, minus, ranges, union
from headrace.plan.touching import NodeInput, reached, touched
from headrace.schedule import Graph, GraphNode
from headrace.schedule.ranges import number_of

AHEAD_US = 400 * 86_400_000_000
"""So far beyond now something may be missing that an interval of today needs: the rest of its year."""


class NodeExtents(Value):
    """Where a node's partitions stand. They overlap: what is published may have failed since."""

    known: Extent = NOTHING
    """All that was ever heard of, by a delivery or an attempt."""
    visible: Extent = NOTHING
    """What readers see something of."""
    usable: Extent = NOTHING
    """What those may read that come after it: published, waived, or published and to be made again."""
    fresh: Extent = NOTHING
    """What is published and nothing is to be done about."""
    failed: Extent = NOTHING
    """What failed or was rejected the last time, as far back as was asked."""
    hopeless: Extent = NOTHING
    """What failed or was rejected as it is declared now, and was never published."""
    held: Extent = NOTHING
    """What somebody has to decide about."""
    arrived: Extent = NOTHING
    """Of a source: deliveries that nobody has ingested."""


UNHEARD = NodeExtents()


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
        return self._standings.get(name, UNHEARD)

    def candidates(self, node: GraphNode, candidates: Mapping[str, Extent], asked: Edges = ()) -> Extent:
        """The partitions that there may be by those that there may be of its inputs, whether or not something blocks them; of a node
        that no input announces, also the intervals that were `asked` for."""
        known = self.standing(node.name).known
        paced = [read for read in self.reads[node.name] if read.required]
        if not paced:
            return known | self._unprompted(node, asked)
        extent = known
        for read in paced:
            extent = extent | touched(read, candidates.get(read.input.name, NOTHING), known)
        return self._in_time(node, extent)

    def absent(self, node: GraphNode, available: Extent, candidates: Extent) -> Extent:
        """The partitions that aren't `available` and that whoever reads them waits for: of those that there may be, and of the intervals
        that nothing was heard of."""
        spec, missing = node.partition, candidates - available
        if spec.grain is None:
            return missing
        expected = minus(self._expected[node.name], self._never_due[node.name])
        if spec.key is None:
            return missing | made({"": minus(expected, available.runs.get("", ()))})
        if spec.values is not None:
            return missing | made({value: minus(expected, available.runs.get(value, ())) for value in spec.values})
        return missing | made({ANY_KEY: minus(expected, union(candidates.times, available.times))})

    def should_be(self, node: GraphNode) -> Edges:
        """The intervals of a node that something is due for, until now."""
        ended = number_at(node, self.now)
        return minus(common(self._expected[node.name], (-(1 << 62), ended)), self._never_due[node.name])

    def ended(self, node: GraphNode, extent: Extent) -> Extent:
        """What of an extent has ended by now: of what comes later nobody misses anything."""
        if node.partition.grain is None:
            return extent
        until = (-(1 << 62), number_at(node, self.now))
        return made({data: common(edges, until) for data, edges in extent.runs.items()}, extent.named)

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
        unheard = minus(expected, self.standing(node.name).known.times)
        results = () if node.days_off.none else edges_of(self._off(node, unheard))
        required = [read for read in self.reads[node.name] if read.required]
        if required and any(self._never_due[read.input.name] for read in required):
            due = (reached(read, minus(self._expected[read.input.name], self._never_due[read.input.name])) for read in required)
            results = union(results, minus(unheard, union(*due)))
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
            return made({}, (WHOLE,))
        if spec.grain is None:
            return made({}, spec.values or ())
        begun = math.isfinite(self._starts[node.name])
        first = number_at(node, int(self._starts[node.name])) if begun else asked[0] if asked else number_at(node, self.now)
        edges = common((first, max(first, number_at(node, self.now)) + 1), (-(1 << 62), number_at(node, self.now)))
        return made(dict.fromkeys(spec.values or ("",), edges))

    def _in_time(self, node: GraphNode, extent: Extent) -> Extent:
        """What doesn't end before a node starts, and, where only longer intervals are read, has ended."""
        if node.partition.grain is None:
            return extent
        edges = self._expected[node.name]
        if all(_longer(read) for read in self.reads[node.name] if read.required):
            edges = common(edges, (-(1 << 62), number_at(node, self.now)))
        return made({data: common(item, edges) for data, item in extent.runs.items()}, extent.named)


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
