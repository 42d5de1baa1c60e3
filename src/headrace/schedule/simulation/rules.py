"""What a partition is made of, read off SEMANTICS §1-§3 once more: nothing here is the core's, so that both can be compared.

Only calendars are shared with it (`headrace.model.intervals`): where an interval starts and ends has tests of its own.
"""

from __future__ import annotations

import functools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from headrace.model import Grain, InputMode, InputSpec
from headrace.model.intervals import bounds_us, key_at_us, keys_between, previous_key
from headrace.model.times import Duration, Offset
from headrace.schedule.graph import Graph, GraphNode
from headrace.schedule.simulation.scenario import DAY

WHOLE = "*"
_REACH, _HOURS_REACH = 20 * DAY, 12 * DAY
"""So far from the middle of everything there may be partitions. What these are made of reaches further."""
_ORDER = {grain: place for place, grain in enumerate(Grain)}
_AROUND = {Grain.HOUR: 40 * DAY, Grain.DAY: 380 * DAY, Grain.WEEK: 60 * DAY}


def moment_of(node: GraphNode, key: str) -> str:
    """The time's part of a key, empty where there is none."""
    return key.split("/", 1)[0] if node.partition.grain is not None else ""


def region_of(node: GraphNode, key: str) -> str:
    """The data's part of a key, empty where there is none."""
    cut = node.partition
    return "" if cut.key is None else key if cut.grain is None else key.partition("/")[2]


def span(node: GraphNode, key: str) -> tuple[int, int]:
    """Start and end of a partition that is cut by time."""
    assert node.partition.grain is not None
    return bounds_us(moment_of(node, key), node.partition.grain, node.timezone)


@functools.lru_cache(maxsize=256)
def _around(grain: Grain, zone: str, about: int) -> tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]]:
    """The intervals around an instant: keys, starts, ends."""
    reach = _AROUND.get(grain, 800 * DAY)
    keys = tuple(keys_between(key_at_us(about - reach, grain, zone), key_at_us(about + reach, grain, zone), grain, zone))
    spans = [bounds_us(key, grain, zone) for key in keys]
    return keys, tuple(start for start, _ in spans), tuple(end for _, end in spans)


@functools.lru_cache(maxsize=65_536)
def _read_of(source: tuple[Grain, str, int], interval: tuple[str, Grain, str], mode: InputMode, lookback: str | None) -> tuple[str, ...]:
    """The intervals of an input, around an instant, that one interval is made of: of many nodes in many worlds the same."""
    (into, _, _), (_, grain, zone) = source, interval
    start, end = bounds_us(*interval)
    keys, starts, ends = _around(*source)
    if _ORDER[into] > _ORDER[grain] and mode is not InputMode.WITHIN:
        return (keys[bisect_right(ends, end) - 1],)  # the one that ended last
    since = Duration.parse(lookback).before_us(start, zone) if lookback else start
    return keys[bisect_right(ends, since) : bisect_left(starts, end)]


class SimulatedInput(NamedTuple):
    """One input of a node, with what follows from how both are cut."""

    spec: InputSpec
    source: GraphNode
    refers: bool
    """It is only referred to: its newest publication, whichever that is."""
    everything: bool
    """All of it is read, and required."""


class SimulatedRules:
    """Questions about a graph and what was heard of its sources. `about` is an instant in the middle of everything."""

    def __init__(self, graph: Graph, about: int) -> None:
        self.nodes = {node.name: node for node in graph.nodes}
        self.inputs = {node.name: tuple(self._input(node, spec) for spec in node.inputs) for node in graph.nodes}
        self._about = about
        self.heard: dict[str, dict[str, int]] = {node.name: {} for node in graph.nodes if node.is_source}
        """Source → partition → content of its newest delivery."""
        self._regions: dict[tuple[str, str], dict[str, None]] = {}
        self._starts: dict[str, float] = {}
        self._moments: dict[tuple[str, str, str], tuple[str, ...]] = {}
        self.free = self._free(graph)
        """Nodes of whose intervals some may not be due."""

    def forget(self) -> None:
        """Nothing was heard of."""
        for keys in self.heard.values():
            keys.clear()
        self._regions.clear()
        self._starts.clear()

    def hear(self, source: str, key: str, content: int) -> None:
        """Something was delivered."""
        if key not in self.heard[source]:
            self._starts.clear()
            node = self.nodes[source]
            if node.partition.key is not None:
                self._regions.setdefault((source, moment_of(node, key)), {})[region_of(node, key)] = None
        self.heard[source][key] = content

    @staticmethod
    def _free(graph: Graph) -> set[str]:
        results: set[str] = set()
        for node in graph.nodes:
            if not node.days_off.none or any(spec.node in results for spec in node.inputs):
                results.add(node.name)
        return results

    # What is read

    def _input(self, node: GraphNode, spec: InputSpec) -> SimulatedInput:
        source, out = self.nodes[spec.node], node.partition
        into = source.partition
        refers = not (out.whole or (into.whole and out.grain is None)) and (into.whole or spec.mode is InputMode.ALL)
        return SimulatedInput(spec, source, refers, everything=out.whole and not into.whole)

    def required(self, node: GraphNode, read: SimulatedInput, key: str) -> tuple[str, ...]:
        """The partitions of an input that one of a node needs; none of what it refers to, and of what it reads all of."""
        if read.refers or read.everything:
            return ()
        into = read.source.partition
        if into.grain is None:
            return (WHOLE,) if into.whole else (region_of(node, key),)
        moments = self._moments_of(node, read.spec, key)
        if into.key is None:
            return moments
        return tuple(item for moment in moments for item in self._regional(node, read.source, key, moment))

    def _paced(self, node: GraphNode) -> list[SimulatedInput]:
        """The inputs that say which partitions a node has."""
        return [read for read in self.inputs[node.name] if not read.spec.optional and not read.refers]

    def _moments_of(self, node: GraphNode, spec: InputSpec, key: str) -> tuple[str, ...]:
        asked = node.name, spec.node, moment_of(node, key)
        if asked not in self._moments:
            self._moments[asked] = self._find_moments(node, spec, asked[2])
        return self._moments[asked]

    def _find_moments(self, node: GraphNode, spec: InputSpec, moment: str) -> tuple[str, ...]:
        grain, source = node.partition.grain, self.nodes[spec.node]
        into = source.partition.grain
        assert grain is not None
        assert into is not None
        if spec.mode is InputMode.PREVIOUS:
            moment = previous_key(moment, grain, node.timezone)
        return _read_of((into, source.timezone, self._about), (moment, grain, node.timezone), spec.mode, spec.lookback)

    def _regional(self, node: GraphNode, source: GraphNode, key: str, moment: str) -> Iterator[str]:
        if node.partition.key is not None:
            yield f"{moment}/{region_of(node, key)}"
        else:
            results = source.partition.values or self.regions(source, moment)
            yield from (f"{moment}/{region}" for region in results) if results else (moment,)

    def regions(self, node: GraphNode, moment: str) -> tuple[str, ...]:
        """The keys that grew for an interval: those that were delivered to the source that they come from."""
        while not node.is_source:
            node = self.nodes[node.inputs[0].node]
        return tuple(self._regions.get((node.name, moment), ()))

    # What there is

    def start(self, node: GraphNode) -> float:
        """When a node's data begins, in microseconds: infinite where nothing came that it needs."""
        result = self._starts.get(node.name)
        if result is None:
            result = self._starts[node.name] = self._find_start(node)
        return result

    def _find_start(self, node: GraphNode) -> float:
        if node.partition.grain is None:
            return -math.inf
        if node.start is not None:
            return bounds_us(node.start, node.partition.grain, node.timezone)[0]
        if node.is_source:
            return min((span(node, key)[0] for key in self.heard[node.name]), default=math.inf)
        return max((self.start(read.source) for read in self._paced(node)), default=-math.inf)

    def expected(self, node: GraphNode, key: str) -> bool:
        """Whether there should be such a partition."""
        if node.partition.grain is None:
            return True
        return span(node, key)[1] > self.start(node) and (node.name not in self.free or self.due(node, key))

    def due(self, node: GraphNode, key: str) -> bool:
        """Whether a calendar leaves something to do for it, or it came all the same."""
        assert node.partition.grain is not None
        off = node.days_off.covers(moment_of(node, key), node.partition.grain, node.timezone)
        if node.is_source:
            return not off or key in self.heard[node.name]
        return any(self.due(read.source, item) for read in self._paced(node) for item in self.required(node, read, key))

    def absent(self, node: GraphNode, key: str) -> bool:
        """Whether a partition counts as present and empty: there was never to be one."""
        return self.start(node) < math.inf and not self.expected(node, key)

    def complete(self, source: GraphNode, key: str, now: int) -> bool:
        """Whether a source's interval is complete, once it was delivered."""
        if source.watermark:
            begins = span(source, key)[0]
            if not any(span(source, other)[0] > begins for other in self.heard[source.name]):
                return False
        if source.complete_after is not None:
            return Offset.parse(source.complete_after).after_us(span(source, key)[1], source.timezone) <= now
        return True

    def before(self, node: GraphNode, key: str) -> str | None:
        """The partition that one of a chain is made from; None for the first."""
        grain = node.partition.grain
        assert grain is not None
        moment = previous_key(key, grain, node.timezone)
        while bounds_us(moment, grain, node.timezone)[1] > self.start(node):
            if node.name not in self.free or self.due(node, moment):
                return moment
            moment = previous_key(moment, grain, node.timezone)
        return None

    def candidates(self, node: GraphNode) -> tuple[str, ...]:
        """All partitions that a node could have around here."""
        cut = node.partition
        if cut.grain is None:
            return cut.values or (WHOLE,)
        moments = self.moments(node)
        if cut.key is None:
            return moments
        return tuple(f"{moment}/{region}" for moment in moments for region in cut.values or self.regions(node, moment))

    def moments(self, node: GraphNode) -> tuple[str, ...]:
        """All intervals that a node could have around here, in order."""
        assert node.partition.grain is not None
        keys, starts, ends = _around(node.partition.grain, node.timezone, self._about)
        reach = _HOURS_REACH if node.partition.grain is Grain.HOUR else _REACH
        return keys[bisect_right(ends, self._about - reach) : bisect_left(starts, self._about + reach)]
