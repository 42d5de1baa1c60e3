"""Partition states: the state of every partition, and facts about each node as a whole.

A partition is an object of its own only while the scheduler has something to do or to report about
it. All others, which are most of them, are terminal: they are members of their node's ranges and
cost a decision nothing.

Partitions that aren't terminal may be many, too: 100,000 hours that a change of code made stale, or
that wait for one input. Those of which the same is known when a core starts are a group: one
shared object and ranges. A partition leaves its group when something about it changes.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from headrace.model.intervals import bounds_us
from headrace.model.partitions import SEPARATOR, end_of, join, order_of, split
from headrace.scheduler.events import Target
from headrace.scheduler.graph import GraphNode
from headrace.scheduler.ranges import IntegerSet, PartitionSet
from headrace.scheduler.states import (
    AT_REST,
    PartitionState,
    SharedPartition,
    TrackedPartition,
)

INTERVALS_REMEMBERED_MAX = 1_000
"""Maximum number of intervals per node with a growing set of keys whose key lists are cached."""


class PartitionRange(NamedTuple):
    """A range of a node's partitions in time order, both ends included; None for no bound."""

    first: str | None
    last: str | None

    @property
    def everything(self) -> bool:
        """Whether it has no bounds."""
        return self.first is None and self.last is None

    def covers(self, order: str) -> bool:
        """Return whether a partition with that order is in the range."""
        return (self.first is None or order >= self.first) and (
            self.last is None or order <= self.last
        )


EVERYTHING = PartitionRange(None, None)


def span_of(node: GraphNode, target: Target) -> PartitionRange:
    """Return the range of a target, in the order of its node's partitions."""
    spec, zone = node.partition, node.timezone
    first = None if target.first is None else order_of(target.first, spec, zone)
    return PartitionRange(first, None if target.last is None else end_of(target.last, spec, zone))


def waits(tracked: TrackedPartition) -> bool:
    """Return whether a partition waits, in the queue or for something."""
    return tracked.state is PartitionState.WAITING


def _any(tracked: TrackedPartition) -> bool:
    del tracked
    return True


def _all(data: str, numbers: IntegerSet) -> IntegerSet:
    del data
    return numbers


class PartitionGroup(NamedTuple):
    """Partitions of a node that aren't terminal, and of which the core knows the same."""

    state: SharedPartition
    partitions: PartitionSet


def groups_partitions(node: GraphNode) -> bool:
    """Return whether partitions of a node may be in groups: those by time, with known keys."""
    return node.partition.grain is not None and not node.partition.grows


class PartitionStates:
    """The partitions of all nodes."""

    def __init__(self, nodes: dict[str, GraphNode]) -> None:
        self.nodes = nodes
        self.tracked_partitions: dict[str, dict[str, TrackedPartition]] = {
            name: {} for name in nodes
        }
        """Partitions that are neither terminal nor in a group."""
        self.groups: dict[str, list[PartitionGroup]] = {name: [] for name in nodes}
        self.resting = {
            name: PartitionSet(node.partition, node.timezone) for name, node in nodes.items()
        }
        """Terminal partitions."""
        self.oldest: dict[str, tuple[str, str]] = {}
        """Node → order and key of its oldest known partition."""
        self.newest: dict[str, tuple[str, str]] = {}
        self.visible: set[str] = set()
        """Nodes with a visible publication."""
        self.busy: dict[str, int] = {}
        """Node → number of its queued or running partitions, if any."""
        self.bundles: dict[tuple[str, str], set[str]] = {}
        """Node and bundle → the partitions delivered in it."""
        self.publications: dict[str, int] = {}
        """Unpartitioned node → the publication that first had the visible content."""
        self.expanded: dict[str, str] = {}
        """Node without inputs that announce partitions → its last partition found by time alone."""
        self._data_keys: dict[str, dict[str, dict[str, None]]] = {
            name: {} for name, node in nodes.items() if node.partition.grows
        }
        """Node with a growing set of keys → interval → its keys, for the most recently used
        intervals."""
        self._open_keys: dict[str, dict[str, dict[str, None]]] = {
            name: {} for name in self._data_keys
        }
        """Node with a growing set of keys → interval → its keys that aren't terminal."""

    # One partition

    def get(self, name: str, key: str) -> TrackedPartition | None:
        """Return a partition to read, not to change; None if it is unknown."""
        tracked = self.tracked_partitions[name].get(key)
        if tracked is not None:
            return tracked
        if key in self.resting[name]:
            return AT_REST
        return next((group.state for group in self.groups[name] if key in group.partitions), None)

    def known(self, name: str, key: str) -> bool:
        """Return whether a partition is known."""
        return self.get(name, key) is not None

    def is_resting(self, name: str, key: str) -> bool:
        """Return whether a partition is terminal and stored only as a member of a range."""
        return key not in self.tracked_partitions[name] and key in self.resting[name]

    def _group_of(self, name: str, key: str) -> PartitionGroup | None:
        """Return the group of a partition, or the terminal partitions if it is one of them."""
        if key in self.resting[name]:
            return PartitionGroup(AT_REST, self.resting[name])
        return next((group for group in self.groups[name] if key in group.partitions), None)

    def tracked(self, name: str, key: str) -> TrackedPartition:
        """Return a partition to change; raises KeyError if it is unknown.

        Call `settle` after a change that may make it terminal.
        """
        tracked = self.tracked_partitions[name].get(key)
        if tracked is not None:
            return tracked
        group = self._group_of(name, key)
        if group is None:
            raise KeyError((name, key))
        self._leave(name, key, group)
        tracked = group.state.copy()
        self.put(name, key, tracked)
        return tracked

    def _leave(self, name: str, key: str, group: PartitionGroup) -> None:
        group.partitions.discard(key)
        if group.state is not AT_REST and not group.partitions:
            self.groups[name].remove(group)

    def settle(self, name: str, key: str) -> None:
        """Store a terminal partition as a member of a range."""
        if self.tracked_partitions[name][key].at_rest:
            self._take(name, key)
            self.resting[name].add(key)

    def put(self, name: str, key: str, tracked: TrackedPartition) -> None:
        """Store a known partition that isn't terminal."""
        self.tracked_partitions[name][key] = tracked
        if (keys := self._open_keys.get(name)) is not None:
            interval, data = split(key, self.nodes[name].partition)
            keys.setdefault(interval, {})[data] = None

    def _take(self, name: str, key: str) -> None:
        if (
            self.tracked_partitions[name].pop(key, None) is not None
            and (keys := self._open_keys.get(name)) is not None
        ):
            interval, data = split(key, self.nodes[name].partition)
            del keys[interval][data]
            if not keys[interval]:
                del keys[interval]

    def add(self, name: str, key: str, tracked: TrackedPartition) -> bool:
        """Add a new partition; return whether it is now its node's oldest."""
        self.put(name, key, tracked)
        return self._record(name, key)

    def place(self, name: str, key: str, tracked: TrackedPartition) -> bool:
        """Set a partition's state regardless of earlier ones.

        Return whether it is now its node's oldest.
        """
        if tracked.published:
            self.visible.add(name)
        if (group := self._group_of(name, key)) is not None:
            self._leave(name, key, group)
        if tracked.at_rest:
            self._take(name, key)
            self.resting[name].add(key)
        else:
            self.put(name, key, tracked)
        return self._record(name, key)

    def add_group(self, name: str, state: TrackedPartition, runs: Mapping[str, IntegerSet]) -> None:
        """Add partitions that aren't known yet, all in the same state; it may be terminal.

        `runs` are those of a `PartitionSet`. The node must be one of which partitions are grouped.
        """
        node = self.nodes[name]
        assert groups_partitions(node)
        if not any(numbers.edges for numbers in runs.values()):
            return
        partitions = self.resting[name] if state.at_rest else self._group_like(name, state)
        if state.published:
            self.visible.add(name)
        for data, numbers in runs.items():
            known = partitions.runs.get(data, IntegerSet())
            partitions.runs[data] = known | numbers
            for first, beyond in numbers.spans():
                self._record(name, partitions.key(first, data))
                self._record(name, partitions.key(beyond - 1, data))

    def _group_like(self, name: str, state: TrackedPartition) -> PartitionSet:
        """Return the partitions of which the core knows the same, after adding such a group."""
        for group in self.groups[name]:
            if group.state.like(state):
                return group.partitions
        node = self.nodes[name]
        partitions = PartitionSet(node.partition, node.timezone)
        self.groups[name].append(PartitionGroup(SharedPartition(state), partitions))
        return partitions

    def show(self, name: str, tracked: TrackedPartition) -> None:
        """Record that a partition has a visible publication."""
        tracked.published = True
        self.visible.add(name)

    def hide(self, name: str, tracked: TrackedPartition) -> None:
        """Record that a partition has no visible publication any more."""
        tracked.published = False
        states = (*self.tracked_partitions[name].values(), *(g.state for g in self.groups[name]))
        if not self.resting[name] and not any(partition.published for partition in states):
            self.visible.discard(name)

    def bundle(self, name: str, key: str, bundle: str) -> None:
        """Record the file that delivered a partition together with others; empty for none."""
        tracked = self.tracked(name, key)
        if tracked.bundle:
            self.bundles[name, tracked.bundle].discard(key)
        tracked.bundle = bundle
        if bundle:
            self.bundles.setdefault((name, bundle), set()).add(key)

    def order(self, node: GraphNode, key: str) -> str:
        """Return the key that sorts a node's partitions by time."""
        return order_of(key, node.partition, node.timezone)

    # The partitions of a node

    def open(
        self,
        name: str,
        among: Callable[[TrackedPartition], bool] = _any,
        members: Callable[[str, IntegerSet], IntegerSet] = _all,
    ) -> Iterator[tuple[str, TrackedPartition]]:
        """Yield the partitions of a node that aren't terminal and of which `among` holds now.

        `members` selects members of groups, given their data key and numbers. The oldest comes
        first. Members of groups cost only as far as they are consumed. Changes between two of them
        don't change which are yielded.
        """
        node = self.nodes[name]

        def order(item: tuple[str, TrackedPartition]) -> str:
            return self.order(node, item[0])

        changing = self.tracked_partitions[name].items()
        grouped = [
            self._members(name, group, data, members(data, IntegerSet(numbers.edges)))
            for group in self.groups[name]
            if among(group.state)
            for data, numbers in group.partitions.runs.items()
        ]
        ordered = sorted((item for item in changing if among(item[1])), key=order)
        yield from heapq.merge(ordered, *grouped, key=order) if grouped else ordered

    def _members(
        self, name: str, group: PartitionGroup, data: str, numbers: IntegerSet
    ) -> Iterator[tuple[str, TrackedPartition]]:
        """Yield partitions with a data key that are in a group now, oldest first."""
        keys = (group.partitions.key(number, data) for number in numbers)
        return ((key, self.get(name, key) or group.state) for key in keys)

    def published(self, name: str) -> list[str]:
        """Return the partitions of a node with a visible publication, oldest first.

        The cost is proportional to their number.
        """
        node = self.nodes[name]
        published_keys = (
            key for key, tracked in self.tracked_partitions[name].items() if tracked.published
        )
        grouped_keys = (
            key for group in self.groups[name] if group.state.published for key in group.partitions
        )
        return sorted(
            (*self.resting[name], *published_keys, *grouped_keys),
            key=lambda key: self.order(node, key),
        )

    def published_numbers(self, name: str, data: str) -> IntegerSet:
        """Return the published partitions with a data key that are terminal or in groups."""
        numbers = self.resting[name].runs.get(data, IntegerSet())
        for group in self.groups[name]:
            if group.state.published and data in group.partitions.runs:
                numbers |= group.partitions.runs[data]
        return numbers

    def usable_numbers(self, name: str, data: str) -> IntegerSet:
        """Return the partitions with a data key, terminal or in groups, that readers may read.

        They are published, or were passed over and count as empty.
        """
        numbers = self.resting[name].runs.get(data, IntegerSet())
        for group in self.groups[name]:
            waived = group.state.state is PartitionState.WAIVED
            if (group.state.published or waived) and data in group.partitions.runs:
                numbers |= group.partitions.runs[data]
        return numbers

    def known_numbers(self, name: str, data: str) -> IntegerSet:
        """Return the partitions with a data key that are terminal or in groups."""
        numbers = self.resting[name].runs.get(data, IntegerSet())
        for group in self.groups[name]:
            if data in group.partitions.runs:
                numbers |= group.partitions.runs[data]
        return numbers

    def changing_numbers(self, name: str) -> dict[str, IntegerSet]:
        """Return the partitions that are neither terminal nor in a group, by data key."""
        numbers: dict[str, list[int]] = {}
        for key in self.tracked_partitions[name]:
            number, data = self.resting[name].place(key)
            if number is not None:
                numbers.setdefault(data, []).append(number)
        return {data: IntegerSet.of(listed) for data, listed in numbers.items()}

    def data_keys(self, name: str) -> Iterable[str]:
        """Return the data keys of all partitions with a number that are terminal or in groups."""
        sets = (self.resting[name], *(group.partitions for group in self.groups[name]))
        return dict.fromkeys(data for partitions in sets for data in partitions.runs)

    def unsettled(self) -> int:
        """Return the number of partitions that aren't terminal."""
        groups = (group for groups in self.groups.values() for group in groups)
        return sum(map(len, self.tracked_partitions.values())) + sum(
            len(group.partitions) for group in groups
        )

    def empty(self, name: str) -> bool:
        """Return whether none of a node's partitions is known."""
        return not (self.tracked_partitions[name] or self.groups[name] or self.resting[name])

    def beside(self, node: GraphNode, key: str) -> list[str]:
        """Return the known partitions of the same interval, including this one."""
        spec = node.partition
        if spec.grain is None or spec.key is None:
            return [key]
        interval = time_key(node, key)
        result = (join(interval, data) for data in spec.values or self.seen(node.name, interval))
        return [item for item in result if self.known(node.name, item)]

    def neighbours(self, node: GraphNode, key: str) -> tuple[str | None, str | None]:
        """Return the nearest known intervals before and after a partition's, as keys.

        The cost is proportional to ranges and to partitions that are neither terminal nor in a
        group.
        """
        partitions = self.resting[node.name]
        number, _ = partitions.place(key)
        if number is None:
            return None, None
        sets = (partitions, *(group.partitions for group in self.groups[node.name]))
        runs = [numbers for each in sets for numbers in each.runs.values()]
        runs += self.changing_numbers(node.name).values()
        before = [near for numbers in runs if (near := numbers.before(number)) is not None]
        after = [near for numbers in runs if (near := numbers.after(number)) is not None]
        return (
            partitions.key(max(before)) if before else None,
            partitions.key(min(after)) if after else None,
        )

    def seen(self, name: str, time_key: str) -> Collection[str]:
        """Return the known data keys of an interval, for a node with a growing set of keys."""
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
        """Return whether a partition is the only known one of its interval.

        Always false for nodes without a growing set of keys.
        """
        return (
            name in self._data_keys
            and self.nodes[name].partition.grain is not None
            and len(self.seen(name, key.partition(SEPARATOR)[0])) == 1
        )

    def rest(self, name: str, count: int) -> None:
        """Count partitions as neither queued nor running."""
        left = self.busy.get(name, 0) - count
        if left:
            self.busy[name] = left
        else:
            self.busy.pop(name, None)

    def _record(self, name: str, key: str) -> bool:
        """Record a partition in the facts about its node; return whether it is now the oldest.

        The facts are the oldest and the newest partition, and the data keys of intervals.
        """
        node = self.nodes[name]
        if cached_intervals := self._data_keys.get(name):
            interval, data = split(key, node.partition)
            if interval in cached_intervals:  # others are listed when they are queried
                cached_intervals[interval][data] = None
        place = (order_of(key, node.partition, node.timezone), key)
        if name not in self.newest or place > self.newest[name]:
            self.newest[name] = place
        if name in self.oldest and place > self.oldest[name]:
            return False
        self.oldest[name] = place
        return True

    def _data_keys_of(self, name: str, interval: str) -> Iterator[str]:
        resting, spec = self.resting[name], self.nodes[name].partition
        number, _ = resting.place(join(interval, "-")) if interval else (None, "")
        if number is not None:
            yield from (data for data, runs in resting.runs.items() if number in runs)
        named = (split(key, spec) for key in resting.named)
        yield from (data for time, data in named if time == interval)
        yield from self._open_keys[name].get(interval, ())


def time_key(node: GraphNode, key: str) -> str:
    """Return the time part of a key."""
    return (
        key.partition(SEPARATOR)[0]
        if node.partition.key is not None and node.partition.grain is not None
        else key
    )


def bounds(node: GraphNode, key: str) -> tuple[int, int]:
    """Return the start and the end of a partition's interval in microseconds.

    The node must be partitioned by time.
    """
    grain = node.partition.time_grain
    return bounds_us(time_key(node, key), grain, node.timezone)


def ended(node: GraphNode, key: str, now: int) -> bool:
    """Return whether a partition's interval has ended; true without an interval."""
    return node.partition.grain is None or bounds(node, key)[1] <= now


# Membership of a partition in one of many ranges, by its place in time order. It is queried a
# million times for thousands of ranges.


class Covering:
    """Ranges of one node's partitions; adjacent and overlapping ones are merged."""

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
        """Return whether a partition with that order is in a range, in logarithmic time."""
        place = bisect_right(self._firsts, order) - 1
        if place < 0:
            return False
        last = self._lasts[place]
        return last is None or order <= last
