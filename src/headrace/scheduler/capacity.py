"""Capacity: worker slots, durations of attempts, and the queue of ready partitions."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from headrace.scheduler.events import Sizes
from headrace.scheduler.graph import Takes

# The fixed cost of an attempt and the cost of each of its partitions, estimated from the durations
# of single attempts. Pure.

FIXED_SECONDS = 0.05
"""Seconds of an attempt at one partition that count as fixed cost, until an attempt at several was
measured."""
FOLLOWING_SHARE = 0.06
"""Minimum share of an attempt's duration that counts as the partition's cost: on small data, thirty
partitions take little longer than one."""


class AttemptGroup(NamedTuple):
    """Mean size (partitions) and duration (seconds) of attempts of similar size.

    `weight` is their number.
    """

    size: float
    seconds: float
    weight: float = 1


class Fit(NamedTuple):
    """Fixed seconds per attempt (`attempt`) and seconds per partition (`each`)."""

    attempt: float
    each: float


def fitted(groups: Sequence[AttemptGroup]) -> Fit:
    """Return the cost per attempt and per partition, fitted to at least one group.

    With only one size, all but the first FIXED_SECONDS counts as the partitions' cost.
    """
    if len(groups) == 1:
        size, seconds, _ = groups[0]
        each = max(seconds - FIXED_SECONDS, FOLLOWING_SHARE * seconds) / size
    else:
        each = max(0.0, _slope(groups))
    return Fit(
        max(
            0.0,
            weighted_median((group.seconds - each * group.size, group.weight) for group in groups),
        ),
        each,
    )


def _slope(groups: Sequence[AttemptGroup]) -> float:
    """Return the seconds that one more partition costs.

    The weighted median over all pairs of sizes. Pairs whose sizes are far apart, and pairs with
    many attempts, weigh most.
    """
    pairs = (sorted(pair) for pair in combinations(groups, 2))
    return weighted_median(
        ((many - few) / (size - other), (size - other) * math.sqrt(n * m))
        for (other, few, n), (size, many, m) in pairs
        if size > other
    )


def weighted_median(weighted: Iterable[tuple[float, float]]) -> float:
    """Return the weighted median of (value, weight) pairs."""
    ordered = sorted(weighted)
    half, passed = sum(weight for _, weight in ordered) / 2, 0.0
    for place, (value, weight) in enumerate(ordered):
        passed += weight
        if passed == half and place + 1 < len(ordered):
            return (value + ordered[place + 1][0]) / 2
        if passed > half:
            return value
    return ordered[-1][0]


# Number of attempts that may be dispatched at once: one slot per worker, and more for short
# attempts. A worker that has its next tasks in its pipe continues without waiting for the leader's
# commit, which otherwise dominates attempts of a few milliseconds. But a dispatched attempt counts
# as running and can't give way to a more urgent one. Therefore only attempts known to be short are
# dispatched ahead, and only while all running attempts are known to be short. A node that never ran
# is assumed to be like recent attempts of all nodes. Until one of its partitions is published, at
# most as many are dispatched as there are workers, so code that fails for every partition fails
# only a few times.

SHORT_SECONDS = 0.05
SAMPLES_MIN = 3
"""Attempts of a node after which its own durations decide whether it is short."""
RECENT_MIN = 20
"""Attempts of all nodes after which they decide for a node that never ran."""
AHEAD = 64
"""Partitions per worker above which no more than one attempt is ahead of each worker.

Partitions are counted and not attempts, because preparing an attempt takes the leader's time by its
partitions: production waited 60 ms while it prepared 25 batches.
"""
WEIGHT = 0.3
"""Weight of the newest duration in a running mean."""


CALLS_KEPT = 3
"""Number of newest durations of calls that are kept: the first in a process also imports."""


class AttemptDurations:
    """Durations of attempts by node, in seconds; the newest weigh most."""

    def __init__(self) -> None:
        self.means: dict[str, tuple[int, float]] = {}
        """Node → (number of attempts, running mean in seconds)."""
        self.paces: dict[str, Sizes] = {}
        """Node that computes partitions in batches → the duration of its attempts by batch size."""
        self._recent = (0, SHORT_SECONDS)
        """Number of attempts and running mean of all nodes together."""

    def add(self, node: str, seconds: float) -> None:
        """Record the duration of one attempt."""
        self.means[node] = _weighted_in(self.means.get(node, (0, seconds)), seconds)
        self._recent = _weighted_in(self._recent, seconds)

    def pace(self, node: str, partitions: int, seconds: float) -> None:
        """Record the duration of one attempt at a number of partitions."""
        sizes = {int(size).bit_length(): (size, mean) for size, mean in self.paces.get(node, ())}
        size, mean = sizes.get(partitions.bit_length(), (partitions, seconds))
        sizes[partitions.bit_length()] = (
            size + WEIGHT * (partitions - size),
            mean + WEIGHT * (seconds - mean),
        )
        self.paces[node] = tuple(sorted(sizes.values()))

    def call(self, node: str, seconds: float) -> None:
        """Record the duration of one call, as the mean of its attempt; the newest are kept."""
        self.paces[node] = (*self.paces.get(node, ())[1 - CALLS_KEPT :], (1, seconds))

    def seen(self, node: str) -> list[AttemptGroup]:
        """Return the measured durations of a node's attempts by size, smallest first.

        Those of calls are the newest.
        """
        return [AttemptGroup(*results) for results in self.paces.get(node, ())]

    def short(self, node: str) -> bool:
        """Return whether attempts at a node are known to be short."""
        return self.all_short((node,))

    def all_short(self, nodes: Iterable[str]) -> bool:
        """Return whether attempts at each of these nodes are known to be short.

        Each scheduling pass asks for the nodes of all running attempts.
        """
        means, (recent, mean_of_all) = self.means, self._recent
        others_are_short = recent >= RECENT_MIN and mean_of_all < SHORT_SECONDS
        for node in nodes:
            count, mean = means.get(node, (0, 0.0))
            known = count >= SAMPLES_MIN or others_are_short
            if not known or mean >= SHORT_SECONDS:
                return False
        return True


def _weighted_in(known: tuple[int, float], seconds: float) -> tuple[int, float]:
    count, mean = known
    return count + 1, mean + WEIGHT * (seconds - mean)


class Slots:
    """Worker slots while attempts are being dispatched."""

    def __init__(
        self, workers: int, running: Iterable[tuple[str, int]], durations: AttemptDurations
    ) -> None:
        """`running` are node and number of partitions of each running attempt."""
        self._workers, self._durations = workers, durations
        attempts = list(running)
        self._of_node = Counter(node for node, _ in attempts)
        self._count, self._partitions = len(attempts), sum(count for _, count in attempts)
        self._short = durations.all_short(self._of_node)

    @property
    def free(self) -> int:
        """Number of idle workers, at least 1: the one that gets the next attempt."""
        return max(1, self._workers - self._count)

    def admit(self, node: str, *, ahead: bool = True) -> bool:
        """Return whether another attempt at a node may be dispatched.

        `ahead` allows an attempt for which no worker is idle.
        """
        if self._count < self._workers or (
            self._workers == 1 and self._count < 2
        ):  # with one worker everything waits anyway
            return True
        if node not in self._durations.means and self._of_node[node] >= self._workers:
            return False
        few = self._count < 2 * self._workers or self._partitions < self._workers * AHEAD
        return ahead and few and self._short and self._durations.short(node)

    def take(self, node: str, partitions: int) -> None:
        """Count an attempt at a node as dispatched."""
        self._count += 1
        self._partitions += partitions
        self._of_node[node] += 1
        self._short = self._short and self._durations.short(node)


# The ready queue: one heap for each set of pools, so a partition whose pools are full doesn't delay
# others.


class ReadyEntry(NamedTuple):
    """A ready partition; the smallest entry runs first, ties follow the order of the graph."""

    priority: int
    """The declared priority, negated: the larger priority runs first."""
    urgency: int
    """Its latest safe start, in microseconds."""
    kind: int
    node_rank: int
    """The node's rank in the graph, if the graph is run node by node; else 0."""
    order: str
    rank: int
    key: str


class ReadyQueue:
    """The ready partitions, most urgent first for each set of pools."""

    def __init__(self) -> None:
        self._heaps: dict[Takes, list[ReadyEntry]] = {}

    def push(self, takes: Takes, entry: ReadyEntry) -> None:
        """Add a ready partition that needs these pool slots."""
        heapq.heappush(self._heaps.setdefault(takes, []), entry)

    def heads(self) -> list[tuple[ReadyEntry, Takes]]:
        """Return the most urgent partition of each set of pools, as a heap."""
        results = [(heap[0], takes) for takes, heap in self._heaps.items()]
        heapq.heapify(results)
        return results

    def pop(self, heads: list[tuple[ReadyEntry, Takes]]) -> None:
        """Remove the first partition of `heads`; there, the next one of its pools replaces it."""
        takes = heads[0][1]
        heap = self._heaps[takes]
        heapq.heappop(heap)
        if heap:
            heapq.heapreplace(heads, (heap[0], takes))
        else:
            del self._heaps[takes]
            heapq.heappop(heads)

    def __bool__(self) -> bool:
        return bool(self._heaps)

    def __iter__(self) -> Iterator[ReadyEntry]:
        """Yield all entries in no particular order."""
        for heap in self._heaps.values():
            yield from heap
