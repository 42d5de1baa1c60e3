"""The expected result of a scenario, computed from its deliveries without the core's code."""

from __future__ import annotations

import functools
import math
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from headrace.model import Grain, InputMode, InputSpec
from headrace.model.intervals import (
    DAY_US,
    bounds_us,
    key_at_us,
    keys_between,
    next_key,
    previous_key,
)
from headrace.model.times import Duration, Offset
from headrace.scheduler.graph import Graph, GraphNode
from simulation.scenario import DAY

# Contents of a partition by SEMANTICS §1-§3, implemented a second time and without the core's code,
# so that both can be compared. Only calendars are shared with the core
# (`headrace.model.intervals`), which has its own tests.

WHOLE = "*"
_REACH, _HOURS_REACH = 20 * DAY, 12 * DAY
"""Maximum distance of a partition from the middle of the scenario; its inputs may reach further."""
_ORDER = {grain: place for place, grain in enumerate(Grain)}
_AROUND = {Grain.HOUR: 40 * DAY, Grain.DAY: 380 * DAY, Grain.WEEK: 60 * DAY}


def moment_of(node: GraphNode, key: str) -> str:
    """Return the time part of a key; empty without one."""
    return key.split("/", 1)[0] if node.partition.grain is not None else ""


def region_of(node: GraphNode, key: str) -> str:
    """Return the data part of a key; empty without one."""
    cut = node.partition
    return "" if cut.key is None else key if cut.grain is None else key.partition("/")[2]


def span(node: GraphNode, key: str) -> tuple[int, int]:
    """Return the start and the end of a partition that has an interval."""
    assert node.partition.grain is not None
    return bounds_us(moment_of(node, key), node.partition.grain, node.timezone)


@functools.lru_cache(maxsize=256)
def _around(
    grain: Grain, zone: str, about: int
) -> tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]]:
    """Return the intervals around a point in time: keys, starts, ends."""
    reach = _AROUND.get(grain, 800 * DAY)
    keys = tuple(
        keys_between(
            key_at_us(about - reach, grain, zone),
            key_at_us(about + reach, grain, zone),
            grain,
            zone,
        )
    )
    spans = [bounds_us(key, grain, zone) for key in keys]
    return keys, tuple(start for start, _ in spans), tuple(end for _, end in spans)


@functools.lru_cache(maxsize=65_536)
def _read_of(
    source: tuple[Grain, str, int],
    interval: tuple[str, Grain, str],
    mode: InputMode,
    lookback: str | None,
) -> tuple[str, ...]:
    """Return the input's intervals that one interval is computed from, around a point in time.

    Cached, because they are the same for many nodes and scenarios.
    """
    (into, _, _), (_, grain, zone) = source, interval
    start, end = bounds_us(*interval)
    keys, starts, ends = _around(*source)
    if _ORDER[into] > _ORDER[grain] and mode is not InputMode.WITHIN:
        return (keys[bisect_right(ends, end) - 1],)  # the latest one that has ended
    since = Duration.parse(lookback).before_us(start, zone) if lookback else start
    return keys[bisect_right(ends, since) : bisect_left(starts, end)]


class SimulatedInput(NamedTuple):
    """One input of a node, with facts that follow from both partitionings."""

    spec: InputSpec
    source: GraphNode
    refers: bool
    """Whether it is a reference: any newest publication will do."""
    everything: bool
    """Whether the whole input is read and required."""


class SimulatedRules:
    """Answers questions about a graph and the known deliveries of its sources.

    `about` is a point in time in the middle of the scenario.
    """

    def __init__(self, graph: Graph, about: int) -> None:
        self.nodes = {node.name: node for node in graph.nodes}
        self.inputs = {
            node.name: tuple(self._input(node, spec) for spec in node.inputs)
            for node in graph.nodes
        }
        self._about = about
        self.heard: dict[str, dict[str, int]] = {
            node.name: {} for node in graph.nodes if node.is_source
        }
        """Source → partition → content of its newest delivery."""
        self._regions: dict[tuple[str, str], dict[str, None]] = {}
        self._starts: dict[str, float] = {}
        self._moments: dict[tuple[str, str, str], tuple[str, ...]] = {}
        self.free = self._free(graph)
        """Nodes that may have intervals with nothing due."""

    def forget(self) -> None:
        """Forget all deliveries."""
        for keys in self.heard.values():
            keys.clear()
        self._regions.clear()
        self._starts.clear()

    def hear(self, source: str, key: str, content: int) -> None:
        """Record a delivery."""
        if key not in self.heard[source]:
            self._starts.clear()
            node = self.nodes[source]
            if node.partition.key is not None:
                self._regions.setdefault((source, moment_of(node, key)), {})[
                    region_of(node, key)
                ] = None
        self.heard[source][key] = content

    @staticmethod
    def _free(graph: Graph) -> set[str]:
        results: set[str] = set()
        for node in graph.nodes:
            if not node.days_off.none or any(spec.node in results for spec in node.inputs):
                results.add(node.name)
        return results

    # Inputs

    def _input(self, node: GraphNode, spec: InputSpec) -> SimulatedInput:
        source, out = self.nodes[spec.node], node.partition
        into = source.partition
        refers = not (out.whole or (into.whole and out.grain is None)) and (
            into.whole or spec.mode is InputMode.ALL
        )
        return SimulatedInput(spec, source, refers, everything=out.whole and not into.whole)

    def required(self, node: GraphNode, read: SimulatedInput, key: str) -> tuple[str, ...]:
        """Return the input's partitions that a partition needs.

        None for references and whole inputs.
        """
        if read.refers or read.everything:
            return ()
        into = read.source.partition
        if into.grain is None:
            return (WHOLE,) if into.whole else (region_of(node, key),)
        moments = self._moments_of(node, read.spec, key)
        if into.key is None:
            return moments
        return tuple(
            item for moment in moments for item in self._regional(node, read.source, key, moment)
        )

    def _paced(self, node: GraphNode) -> list[SimulatedInput]:
        """Return the inputs that determine which partitions a node has."""
        return [
            read for read in self.inputs[node.name] if not read.spec.optional and not read.refers
        ]

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
        return _read_of(
            (into, source.timezone, self._about),
            (moment, grain, node.timezone),
            spec.mode,
            spec.lookback,
        )

    def _regional(self, node: GraphNode, source: GraphNode, key: str, moment: str) -> Iterator[str]:
        if node.partition.key is not None:
            yield f"{moment}/{region_of(node, key)}"
        else:
            results = source.partition.values or self.regions(source, moment)
            yield from (f"{moment}/{region}" for region in results) if results else (moment,)

    def regions(self, node: GraphNode, moment: str) -> tuple[str, ...]:
        """Return the keys delivered for an interval to the source of the node's keys."""
        while not node.is_source:
            node = self.nodes[node.inputs[0].node]
        return tuple(self._regions.get((node.name, moment), ()))

    # Existing partitions

    def start(self, node: GraphNode) -> float:
        """Return when a node's data begins, in microseconds.

        Infinite if a required input has no data.
        """
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
        timed = [read for read in self._paced(node) if read.source.partition.grain is not None]
        latest = max((self.start(read.source) for read in timed), default=-math.inf)
        if math.isinf(latest):
            return latest
        moment = key_at_us(int(latest), node.partition.grain, node.timezone)
        while not any(self._reads_something(node, read, moment) for read in timed):
            moment = next_key(moment, node.partition.grain, node.timezone)
        return max(latest, bounds_us(moment, node.partition.grain, node.timezone)[0])

    def _reads_something(self, node: GraphNode, read: SimulatedInput, moment: str) -> bool:
        """Return whether an interval reads one of an input that isn't before the input's start."""
        grain = read.source.partition.grain
        assert grain is not None
        return any(
            bounds_us(item, grain, read.source.timezone)[1] > self.start(read.source)
            for item in self._find_moments(node, read.spec, moment)
        )

    def expected(self, node: GraphNode, key: str) -> bool:
        """Return whether a partition is expected."""
        if node.partition.grain is None:
            return True
        return span(node, key)[1] > self.start(node) and (
            node.name not in self.free or self.due(node, key)
        )

    def due(self, node: GraphNode, key: str) -> bool:
        """Return whether a partition is due by a calendar, or was delivered anyway."""
        assert node.partition.grain is not None
        if span(node, key)[1] <= self.start(node):
            return False
        off = node.days_off.covers(moment_of(node, key), node.partition.grain, node.timezone)
        if node.is_source:
            return not off or key in self.heard[node.name]
        return any(
            self.due(read.source, item)
            for read in self._paced(node)
            for item in self.required(node, read, key)
        )

    def absent(self, node: GraphNode, key: str) -> bool:
        """Return whether a partition counts as present and empty, because it was never expected."""
        return self.start(node) < math.inf and not self.expected(node, key)

    def complete(self, source: GraphNode, key: str, now: int) -> bool:
        """Return whether a delivered interval of a source is complete."""
        if source.watermark:
            begins = span(source, key)[0]
            if not any(
                begins < span(source, other)[0] <= now + DAY_US for other in self.heard[source.name]
            ):
                return False
        if source.complete_after is not None:
            return (
                Offset.parse(source.complete_after).after_us(span(source, key)[1], source.timezone)
                <= now
            )
        return True

    def before(self, node: GraphNode, key: str) -> str | None:
        """Return the previous partition in a chain; None for the first."""
        grain = node.partition.grain
        assert grain is not None
        moment = previous_key(key, grain, node.timezone)
        while bounds_us(moment, grain, node.timezone)[1] > self.start(node):
            if node.name not in self.free or self.due(node, moment):
                return moment
            moment = previous_key(moment, grain, node.timezone)
        return None

    def candidates(self, node: GraphNode) -> tuple[str, ...]:
        """Return all partitions that a node could have in the scenario."""
        cut = node.partition
        if cut.grain is None:
            return cut.values or (WHOLE,)
        moments = self.moments(node)
        if cut.key is None:
            return moments
        return tuple(
            f"{moment}/{region}"
            for moment in moments
            for region in cut.values or self.regions(node, moment)
        )

    def moments(self, node: GraphNode) -> tuple[str, ...]:
        """Return all intervals that a node could have in the scenario, in order."""
        assert node.partition.grain is not None
        keys, starts, ends = _around(node.partition.grain, node.timezone, self._about)
        reach = _HOURS_REACH if node.partition.grain is Grain.HOUR else _REACH
        return keys[
            bisect_right(ends, self._about - reach) : bisect_left(starts, self._about + reach)
        ]


# Expected publications at the end: every partition computed from the deliveries, oldest inputs
# first.

Key = tuple[str, str]
"""A node and one of its partitions."""


def computed_content(
    node: str, key: str, version: int, read: Iterable[tuple[str, str, int]], coarse: int | None
) -> int:
    """Return the content that asset code computes from `read`: (input, partition, content).

    `coarse` limits the number of different contents.
    """
    content = zlib.crc32(repr((node, key, version, sorted(read))).encode())
    return content % coarse if coarse else content


class Oracle:
    """The expected contents of all partitions.

    `content` is None for a partition that can't be computed from the deliveries. `versions` are
    those of changed nodes.
    """

    def __init__(
        self, rules: SimulatedRules, now: int, versions: dict[str, int], coarse: dict[str, int]
    ) -> None:
        self._rules, self._now, self._versions, self._coarse = rules, now, versions, coarse
        self._known: dict[Key, int | None] = {}
        self._all: dict[str, dict[str, int]] = {}
        self.unsure: set[str] = set()
        """Nodes that may or may not have run, because a node that they only run after is expected
        and can't be computed: it depends on which of both became known first."""

    def content(self, name: str, key: str) -> int | None:
        """Return the content of a partition."""
        asked = name, key
        if asked not in self._known:
            self._known[asked] = self._find(self._rules.nodes[name], key)
        return self._known[asked]

    def all(self, node: GraphNode) -> dict[str, int]:
        """Return all partitions of a node that can be computed, with their contents."""
        if node.name not in self._all:
            keys = self._rules.heard[node.name] if node.is_source else self._rules.candidates(node)
            results = ((key, self.content(node.name, key)) for key in keys)
            self._all[node.name] = {key: content for key, content in results if content is not None}
        return self._all[node.name]

    def _find(self, node: GraphNode, key: str) -> int | None:
        if node.partition.grain is not None and node.partition.key is not None and "/" not in key:
            return None  # an interval without any known key
        if node.is_source:
            return (
                self._rules.heard[node.name].get(key) if self._rules.expected(node, key) else None
            )
        if (
            not self._rules.expected(node, key)
            or not self._announced(node, key)
            or not self._in_order(node, key)
        ):
            return None
        read: list[tuple[str, str, int]] = []
        for simulated_input in self._rules.inputs[node.name]:
            results = self._of(node, simulated_input, key)
            if results is None:
                return None
            read += results
        if node.chained and (before := self._rules.before(node, key)) is not None:
            content = self.content(node.name, before)
            if content is None:
                return None
            read.append((node.name, before, content))
        return computed_content(
            node.name, key, self._versions.get(node.name, 0), read, self._coarse.get(node.name)
        )

    def _announced(self, node: GraphNode, key: str) -> bool:
        """Return whether any input of a partition is present."""
        for read in self._rules.inputs[node.name]:
            if read.everything:
                return bool(self.all(read.source))
            if any(
                self.content(read.source.name, item) is not None
                for item in self._rules.required(node, read, key)
            ):
                return True
        return False

    def _in_order(self, node: GraphNode, key: str) -> bool:
        """Return whether the partitions that it only runs after are present."""
        for name in node.depends:
            other = self._rules.nodes[name]
            there = self.content(name, key) is not None
            if there and other.is_source and not self._rules.complete(other, key, self._now):
                return False
            if not there and self._waited_for(other, key):
                self.unsure.add(node.name)
                return False
            if not there and not self.all(other):
                return False
        return True

    def _waited_for(self, node: GraphNode, key: str) -> bool:
        """Return whether a partition that can't be computed becomes known anyway."""
        if node.is_source:
            return key in self._rules.heard[node.name] and self._rules.expected(node, key)
        return self._rules.expected(node, key) and self._announced(node, key)

    def _of(
        self, node: GraphNode, read: SimulatedInput, key: str
    ) -> list[tuple[str, str, int]] | None:
        """Return the partitions read from one input; None if one is missing."""
        rules, source = self._rules, read.source
        if read.everything:
            return [(source.name, item, content) for item, content in self.all(source).items()]
        if read.refers:
            return self._referred(node, source)
        results = []
        for item in rules.required(node, read, key):
            content = self.content(source.name, item)
            if content is not None and (
                not source.is_source or rules.complete(source, item, self._now)
            ):
                results.append((source.name, item, content))
            elif not read.spec.optional and not rules.absent(source, item):
                return None
        return results

    def _referred(self, node: GraphNode, source: GraphNode) -> list[tuple[str, str, int]] | None:
        """Return the partitions of a reference that makes its readers stale; else nothing.

        Other references may be of any age and aren't part of the content. None if the reference is
        still missing.
        """
        results = self.all(source)
        if not results or (
            node.settled and source.partition.whole and self.content(source.name, WHOLE) is None
        ):
            return None
        return (
            [(source.name, item, content) for item, content in results.items()]
            if node.rebuild_on_reference
            else []
        )
