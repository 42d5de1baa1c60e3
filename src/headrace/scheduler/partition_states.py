"""Partition states: the state of every partition, and facts about each node as a whole.

A partition is an object of its own only while the scheduler has something to do or to report about it. All others, which are most of them,
are terminal: members of their node's ranges, without cost for a decision.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from headrace.model.intervals import bounds_us
from headrace.model.partitions import SEPARATOR, end_of, join, order_of, split
from headrace.scheduler.events import Target
from headrace.scheduler.graph import GraphNode
from headrace.scheduler.ranges import TerminalPartitions
from headrace.scheduler.states import AT_REST, PartitionState, TrackedPartition

INTERVALS_REMEMBERED_MAX = 1_000
"""Of a node whose keys grow: so many intervals' keys are kept listed."""


class PartitionRange(NamedTuple):
    """A range of a node's partitions in the order of time, both included; None for no bound."""

    first: str | None
    last: str | None

    @property
    def everything(self) -> bool:
        """Whether it has no bounds."""
        return self.first is None and self.last is None

    def covers(self, order: str) -> bool:
        """Whether a partition with that order is in it."""
        return (self.first is None or order >= self.first) and (self.last is None or order <= self.last)


def span_of(node: GraphNode, target: Target) -> PartitionRange:
    """What a target means, in the order of its node's partitions."""
    spec, zone = node.partition, node.timezone
    first = None if target.first is None else order_of(target.first, spec, zone)
    return PartitionRange(first, None if target.last is None else end_of(target.last, spec, zone))


class PartitionStates:
    """The partitions of all nodes."""

    def __init__(self, nodes: dict[str, GraphNode]) -> None:
        self.nodes = nodes
        self.tracked_partitions: dict[str, dict[str, TrackedPartition]] = {name: {} for name in nodes}
        """What isn't at rest."""
        self.resting = {name: TerminalPartitions(node.partition, node.timezone) for name, node in nodes.items()}
        self.oldest: dict[str, tuple[str, str]] = {}
        """Node → order and key of its oldest partition that was ever heard of."""
        self.newest: dict[str, tuple[str, str]] = {}
        self.visible: set[str] = set()
        """Nodes of which something is published."""
        self.busy: dict[str, int] = {}
        """Node → how many of its partitions are queued or running, if any are."""
        self.bundles: dict[tuple[str, str], set[str]] = {}
        """Node and bundle → the partitions that came in it."""
        self.publications: dict[str, int] = {}
        """Node that isn't cut → the publication that first had the content that readers see."""
        self.expanded: dict[str, str] = {}
        """Node that nothing announces partitions of → the last one that it was found to have because time has come so far."""
        self._data_keys: dict[str, dict[str, dict[str, None]]] = {name: {} for name, node in nodes.items() if _grows(node)}
        """Node whose keys grow → interval → its keys, of the intervals that were asked for last."""
        self._open_keys: dict[str, dict[str, dict[str, None]]] = {name: {} for name in self._data_keys}
        """Node whose keys grow → interval → those of its keys that aren't at rest."""

    # One partition

    def get(self, name: str, key: str) -> TrackedPartition | None:
        """A partition to look at, None if nothing was ever heard of it."""
        tracked = self.tracked_partitions[name].get(key)
        if tracked is None and key in self.resting[name]:
            return AT_REST
        return tracked

    def known(self, name: str, key: str) -> bool:
        """Whether anything was ever heard of a partition."""
        return key in self.tracked_partitions[name] or key in self.resting[name]

    def tracked(self, name: str, key: str) -> TrackedPartition:
        """A partition to change; `settle` ends the change of one that may be at rest then. KeyError if nothing was heard of it."""
        tracked = self.tracked_partitions[name].get(key)
        if tracked is not None:
            return tracked
        if key not in self.resting[name]:
            raise KeyError((name, key))
        self.resting[name].discard(key)
        tracked = TrackedPartition(PartitionState.PUBLISHED)
        tracked.published = True
        self.put(name, key, tracked)
        return tracked

    def settle(self, name: str, key: str) -> None:
        """Keep a partition as a member of a range, if nothing else is to be said about it."""
        if self.tracked_partitions[name][key].at_rest:
            self._take(name, key)
            self.resting[name].add(key)

    def put(self, name: str, key: str, tracked: TrackedPartition) -> None:
        """A partition that was heard of isn't at rest."""
        self.tracked_partitions[name][key] = tracked
        if (keys := self._open_keys.get(name)) is not None:
            moment, data = split(key, self.nodes[name].partition)
            keys.setdefault(moment, {})[data] = None

    def _take(self, name: str, key: str) -> None:
        if self.tracked_partitions[name].pop(key, None) is not None and (keys := self._open_keys.get(name)) is not None:
            moment, data = split(key, self.nodes[name].partition)
            del keys[moment][data]
            if not keys[moment]:
                del keys[moment]

    def add(self, name: str, key: str, tracked: TrackedPartition) -> bool:
        """A partition that nothing was heard of; whether it is now its node's oldest."""
        self.put(name, key, tracked)
        return self._heard(name, key)

    def place(self, name: str, key: str, tracked: TrackedPartition) -> bool:
        """A partition stands so, whatever was known of it before; whether it is now its node's oldest."""
        if tracked.published:
            self.visible.add(name)
        if tracked.at_rest:
            self._take(name, key)
            self.resting[name].add(key)
        else:
            self.resting[name].discard(key)
            self.put(name, key, tracked)
        return self._heard(name, key)

    def show(self, name: str, tracked: TrackedPartition) -> None:
        """Readers see something of a partition."""
        tracked.published = True
        self.visible.add(name)

    def hide(self, name: str, tracked: TrackedPartition) -> None:
        """Readers see nothing of a partition any more."""
        tracked.published = False
        if not self.resting[name] and not any(partition.published for partition in self.tracked_partitions[name].values()):
            self.visible.discard(name)

    def bundle(self, name: str, key: str, bundle: str) -> None:
        """Note the file that a partition was delivered in with others; empty for none."""
        tracked = self.tracked(name, key)
        if tracked.bundle:
            self.bundles[name, tracked.bundle].discard(key)
        tracked.bundle = bundle
        if bundle:
            self.bundles.setdefault((name, bundle), set()).add(key)

    def order(self, node: GraphNode, key: str) -> str:
        """What sorts a node's partitions by time."""
        return order_of(key, node.partition, node.timezone)

    # Those of a node

    def open(self, name: str) -> list[tuple[str, TrackedPartition]]:
        """The partitions of a node that aren't at rest, oldest first."""
        node = self.nodes[name]
        return sorted(self.tracked_partitions[name].items(), key=lambda item: self.order(node, item[0]))

    def published(self, name: str) -> list[str]:
        """The partitions of a node that readers see something of, oldest first: costs as much as there are."""
        node = self.nodes[name]
        shown = (key for key, tracked in self.tracked_partitions[name].items() if tracked.published)
        return sorted((*self.resting[name], *shown), key=lambda key: self.order(node, key))

    def empty(self, name: str) -> bool:
        """Whether nothing was ever heard of a node's partitions."""
        return not self.tracked_partitions[name] and not self.resting[name]

    def beside(self, node: GraphNode, key: str) -> list[str]:
        """The partitions of the same interval that were heard of, with this one."""
        spec = node.partition
        if spec.grain is None or spec.key is None:
            return [key]
        moment = time_key(node, key)
        result = (join(moment, data) for data in spec.values or self.seen(node.name, moment))
        return [item for item in result if self.known(node.name, item)]

    def seen(self, name: str, time_key: str) -> Collection[str]:
        """The data keys that were ever heard of for an interval of a node whose keys grow."""
        listed = self._data_keys.get(name)
        if listed is None:
            return ()
        results = listed.get(time_key)
        if results is None:
            if len(listed) >= INTERVALS_REMEMBERED_MAX:
                listed.clear()
            results = listed[time_key] = dict.fromkeys(sorted(self._data_keys_of(name, time_key)))
        return results.keys()

    def first_of_interval(self, name: str, key: str) -> bool:
        """Whether a partition of a node whose keys grow is the only one of its interval that was heard of."""
        return (
            name in self._data_keys
            and self.nodes[name].partition.grain is not None
            and len(self.seen(name, key.partition(SEPARATOR)[0])) == 1
        )

    def rest(self, name: str, count: int) -> None:
        """So many partitions are neither queued nor running any more."""
        left = self.busy.get(name, 0) - count
        if left:
            self.busy[name] = left
        else:
            self.busy.pop(name, None)

    def _heard(self, name: str, key: str) -> bool:
        """Note that there is a partition; whether it is its node's oldest."""
        node = self.nodes[name]
        if listed := self._data_keys.get(name):
            moment, data = split(key, node.partition)
            if moment in listed:
                listed[moment][data] = None
        place = (order_of(key, node.partition, node.timezone), key)
        if name not in self.newest or place > self.newest[name]:
            self.newest[name] = place
        if name in self.oldest and place > self.oldest[name]:
            return False
        self.oldest[name] = place
        return True

    def _data_keys_of(self, name: str, moment: str) -> Iterator[str]:
        resting, spec = self.resting[name], self.nodes[name].partition
        number, _ = resting.place(join(moment, "-")) if moment else (None, "")
        if number is not None:
            yield from (data for data, runs in resting.runs.items() if number in runs)
        named = (split(key, spec) for key in resting.named)
        yield from (data for time, data in named if time == moment)
        yield from self._open_keys[name].get(moment, ())


def time_key(node: GraphNode, key: str) -> str:
    """The time's part of a key."""
    return key.partition(SEPARATOR)[0] if node.partition.key is not None and node.partition.grain is not None else key


def bounds(node: GraphNode, key: str) -> tuple[int, int]:
    """Start and end of a partition's interval, in microseconds; of nodes that are cut by time."""
    grain = node.partition.grain
    assert grain is not None
    return bounds_us(time_key(node, key), grain, node.timezone)


def ended(node: GraphNode, key: str, now: int) -> bool:
    """Whether a partition's interval has ended; true of those that have none."""
    return node.partition.grain is None or bounds(node, key)[1] <= now


def _grows(node: GraphNode) -> bool:
    return node.partition.key is not None and node.partition.values is None


# Membership of a partition in one of many ranges, by its place in the order of time. It is asked
# a million times of thousands of ranges.


class Covering:
    """Ranges of one node's partitions, those that meet as one."""

    def __init__(self, spans: Iterable[PartitionRange]) -> None:
        self._firsts: list[str] = []
        self._lasts: list[str | None] = []
        for span in sorted(spans, key=lambda partition_range: partition_range.first or ""):
            self._add(span)

    def _add(self, span: PartitionRange) -> None:
        first, last = span.first or "", span.last
        if not self._firsts or ((before := self._lasts[-1]) is not None and before < first):
            self._firsts.append(first)
            self._lasts.append(last)
        elif before is not None and (last is None or last > before):
            self._lasts[-1] = last

    @property
    def everything(self) -> bool:
        """Whether it has no bounds."""
        return self._firsts == [""] and self._lasts == [None]

    def covers(self, order: str) -> bool:
        """Whether a partition with that order is in one of them: costs as little as the logarithm of how many there are."""
        place = bisect_right(self._firsts, order) - 1
        if place < 0:
            return False
        last = self._lasts[place]
        return last is None or order <= last
