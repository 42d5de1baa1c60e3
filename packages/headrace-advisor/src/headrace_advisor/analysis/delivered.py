"""When consumers' intervals are delivered in simulated days or in the past, and what held them up.

An interval is delivered when everything that it reads is published, and its export is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from headrace.model import InputSpec, PartitionSpec, Place
from headrace.model.intervals import bounds_us, key_at_us, next_key
from headrace.model.partitions import WHOLE, required
from headrace.scheduler import Graph, GraphNode
from headrace.scheduler.dependencies import Network, network_of
from headrace.slo.declared_promises import Terms
from headrace.slo.obligations import due_us
from headrace_advisor.analysis.intervals import Span
from headrace_advisor.analysis.virtual_days import Passage, Played

STEPS_MAX = 1_000
_SECOND_US = 1_000_000


class ConsumerInterval(NamedTuple):
    """One interval of a consumer, with its end and its deadline in microseconds.

    `needs` are the partitions that it reads, `whole` the nodes without intervals.
    """

    consumer: str
    interval: str
    end_us: int
    due_us: int
    needs: tuple[tuple[str, str], ...]
    whole: tuple[str, ...]


class Waited(NamedTuple):
    """What a delivery waited for: the kind (`asset`, `pool`, `workers`, `source`) and its name."""

    kind: str
    name: str


class Deliveries:
    """The intervals of consumers that end in a span, over one graph.

    Those that are due before `since_us` (microseconds) are left out.
    """

    def __init__(
        self, graph: Graph, consumers: Iterable[Terms], span: Span, since_us: int = 0
    ) -> None:
        self._network = network_of(graph)
        self._span = span
        self._exports = {node.name for node in graph.nodes}
        self.intervals = [
            interval
            for terms in consumers
            for interval in self._intervals(terms, span)
            if interval.due_us >= since_us
        ]
        self._paced: dict[str, tuple[GraphNode, ...]] = {}

    def _intervals(self, terms: Terms, span: Span) -> Iterable[ConsumerInterval]:
        key = key_at_us(span.start_us - 1, terms.per, terms.timezone)
        end = bounds_us(key, terms.per, terms.timezone)[1]
        while end < span.end_us:
            if not terms.no_data.covers(key, terms.per, terms.timezone):
                needs, whole = self._needs(terms, key)
                yield ConsumerInterval(
                    terms.consumer, key, end, due_us(terms, key), tuple(needs), tuple(whole)
                )
            key = next_key(key, terms.per, terms.timezone)
            end = bounds_us(key, terms.per, terms.timezone)[1]

    def _needs(self, terms: Terms, interval: str) -> tuple[list[tuple[str, str]], list[str]]:
        needs: list[tuple[str, str]] = []
        whole: list[str] = []
        names = [*terms.reads, *([terms.consumer] if terms.consumer in self._exports else [])]
        for name in names:
            node = self._network.nodes.get(name)
            if node is None:
                continue
            spec = InputSpec(node=name, place=Place(file=""))
            keys = required(
                PartitionSpec(grain=terms.per),
                terms.timezone,
                interval,
                node.partition,
                node.timezone,
                spec,
            ).keys
            if keys is None:
                whole.append(name)
            else:
                needs += [(name, key) for key in keys if self.counts(node, key)]
        return needs, whole

    def counts(self, node: GraphNode, key: str) -> bool:
        """Return whether a partition is part of the span; earlier ones are published before."""
        if node.partition.grain is None:
            return False
        end = bounds_us(key.partition("/")[0], node.partition.grain, node.timezone)[1]
        return end >= self._span.start_us and not node.days_off.covers(
            key.partition("/")[0], node.partition.grain, node.timezone
        )

    def at_us(self, interval: ConsumerInterval, played: Played) -> int | None:
        """Return when an interval was delivered, in microseconds; None if it wasn't."""
        last = self._last(interval, played)
        if last is None:
            return None
        return max((passage.ended_us for _, _, passage in last), default=interval.end_us)

    def _last(
        self, interval: ConsumerInterval, played: Played
    ) -> list[tuple[str, str, Passage]] | None:
        """Return the passages that an interval needs; None if one is missing."""
        results = []
        for name, key in interval.needs:
            passage = played.passages.get((name, key))
            if passage is None:
                return None
            results.append((name, key, passage))
        for name in interval.whole:
            passages = self._whole(name, interval, played)
            if passages is None:
                return None
            results += passages
        return results

    def _whole(
        self, name: str, interval: ConsumerInterval, played: Played
    ) -> list[tuple[str, str, Passage]] | None:
        """Return the first passage of an unpartitioned node that read all of an interval.

        Empty for a node that nothing paces; None if there is no such passage.
        """
        above = self._above(name)
        if not above:
            return []
        latest = 0
        for node in above:
            keys = self._keys_within(node, interval)
            ends = [played.passages.get((node.name, key)) for key in keys]
            if None in ends:
                return None
            latest = max([latest, *(item.ended_us for item in ends if item is not None)])
        for passage in played.repeated.get(name, ()):
            if passage.began_us >= latest:
                return [(name, WHOLE, passage)]
        return None

    def _above(self, name: str) -> tuple[GraphNode, ...]:
        """Return the nodes with intervals that an unpartitioned node reads, through others, too."""
        if name not in self._paced:
            self._paced[name] = tuple(self._find_above(name))
        return self._paced[name]

    def _find_above(self, name: str) -> Iterable[GraphNode]:
        pending, seen = [name], {name}
        while pending:
            links = self._network.links[pending.pop()]
            nodes = {link.input.name: link.input for link in links if not link.optional}
            new = [node for other, node in nodes.items() if other not in seen]
            seen.update(node.name for node in new)
            pending += [node.name for node in new if node.partition.grain is None]
            yield from (node for node in new if node.partition.grain is not None)

    def _keys_within(self, node: GraphNode, interval: ConsumerInterval) -> list[str]:
        """Return the partitions of a node that end at the end of an interval."""
        grain = node.partition.time_grain
        time_key = key_at_us(interval.end_us - 1, grain, node.timezone)
        keys = [f"{time_key}/{value}" for value in node.partition.values or ()] or [time_key]
        ended = bounds_us(time_key, grain, node.timezone)[1] <= interval.end_us
        return [key for key in keys if ended and self.counts(node, key)]

    def ready_us(self, interval: ConsumerInterval, played: Played) -> int | None:
        """Return when the last delivery that an interval depends on arrived, in microseconds."""
        times = [
            played.arrived[place] for place in self._sources(interval) if place in played.arrived
        ]
        return max(times, default=None)

    def _sources(self, interval: ConsumerInterval) -> set[tuple[str, str]]:
        """Return the partitions of sources that an interval depends on, within the span."""
        pending = [*interval.needs]
        pending += [
            (node.name, key)
            for name in interval.whole
            for node in self._above(name)
            for key in self._keys_within(node, interval)
        ]
        seen, results = set(pending), set[tuple[str, str]]()
        while pending:
            name, key = pending.pop()
            node = self._network.nodes[name]
            if node.is_source:
                results.add((name, key))
            for place in upstream_partitions(self._network, node, key):
                if place not in seen and self.counts(self._network.nodes[place[0]], place[1]):
                    seen.add(place)
                    pending.append(place)
        return results

    def waited(self, interval: ConsumerInterval, played: Played) -> Counter[Waited]:
        """Return the microseconds between the end of an interval and its delivery, by cause.

        They are those of the critical path: back from what was published last, through what was
        published last of its inputs, to a source.
        """
        waits = Counter[Waited]()
        last = self._last(interval, played)
        for _ in range(STEPS_MAX):
            if not last:
                break
            name, key, passage = max(last, key=lambda item: item[2].ended_us)
            waits[Waited("asset", name)] += passage.ended_us - passage.began_us
            if passage.began_us > passage.ready_us:
                waits[_crowded(passage)] += passage.began_us - passage.ready_us
            node = self._network.nodes[name]
            if node.is_source:
                arrived_us = played.arrived.get((name, key), interval.end_us)
                waits[Waited("source", name)] += max(0, arrived_us - interval.end_us)
                break
            last = [
                (*place, played.passages[place])
                for place in upstream_partitions(self._network, node, key)
                if place in played.passages
            ]
        return waits


def _crowded(passage: Passage) -> Waited:
    if passage.crowded in ("", "workers"):
        return Waited("workers", "")
    return Waited("pool", passage.crowded)


def upstream_partitions(network: Network, node: GraphNode, key: str) -> list[tuple[str, str]]:
    """Return the partitions that a partition needs, without references."""
    return [
        (link.input.name, needed)
        for link in network.links[node.name]
        if not link.newest
        for needed in link.needs(key)
    ]


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value that a share of the ordered values doesn't exceed, interpolated."""
    place = share * (len(ordered) - 1)
    low = int(place)
    if low + 1 >= len(ordered) or ordered[low + 1] == float("inf"):
        return ordered[low]
    return ordered[low] + (place - low) * (ordered[low + 1] - ordered[low])
