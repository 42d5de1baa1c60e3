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

# The fixed cost of an attempt and the cost of each of its partitions, estimated from the
# durations of single attempts. Pure.

FIXED_SECONDS = 0.05
"""Of an attempt at one partition so much at most is taken to be the same for several, until one at several was seen."""
FOLLOWING_SHARE = 0.06
"""And of what is that short, so much to be of the partition: of small data most is the same for thirty."""


class AttemptGroup(NamedTuple):
    """What attempts at about so many partitions took, in seconds, and how many attempts those were."""

    size: float
    seconds: float
    weight: float = 1


class Fit(NamedTuple):
    """Seconds an attempt, and seconds for each of its partitions."""

    attempt: float
    each: float


def fitted(groups: Sequence[AttemptGroup]) -> Fit:
    """Of at least one group. Where only one size was seen, most of what is long is taken to be of the partitions."""
    if len(groups) == 1:
        size, seconds, _ = groups[0]
        each = max(seconds - FIXED_SECONDS, FOLLOWING_SHARE * seconds) / size
    else:
        each = max(0.0, _slope(groups))
    return Fit(max(0.0, weighted_median((group.seconds - each * group.size, group.weight) for group in groups)), each)


def _slope(groups: Sequence[AttemptGroup]) -> float:
    """Seconds that one more partition costs: the median over all pairs of sizes, those that lie far apart and were seen often weighing
    most."""
    pairs = (sorted(pair) for pair in combinations(groups, 2))
    return weighted_median(
        ((many - few) / (size - other), (size - other) * math.sqrt(n * m)) for (other, few, n), (size, many, m) in pairs if size > other
    )


def weighted_median(weighted: Iterable[tuple[float, float]]) -> float:
    """The value below and above which lies half of all weight."""
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
# attempts. A worker with its next tasks at hand continues without waiting for the leader's
# commit, which takes most of the time of attempts of a few milliseconds. But a dispatched attempt
# counts as running and can't give way to a more urgent one, so only attempts that are known to be
# short are dispatched ahead, and only while all running attempts are known to be short as well. A
# node that never ran is assumed to be like the last one that ran; until one of its partitions is
# published, at most as many are dispatched as there are workers: code that fails for every
# partition is found by the first ones.

SHORT_SECONDS = 0.05
SAMPLES_MIN = 3
"""Of a node, until its own durations say what it is like."""
RECENT_MIN = 20
"""Of all nodes, until they say what a node is like that never ran."""
AHEAD = 64
"""Attempts per worker, the one that runs included."""
WEIGHT = 0.3
"""Of the newest duration in a running mean."""


class AttemptDurations:
    """What attempts at each node took, in seconds, newest weighing most."""

    def __init__(self) -> None:
        self.means: dict[str, tuple[int, float]] = {}
        """Node → how many attempts, and their mean."""
        self.paces: dict[str, Sizes] = {}
        """Node whose partitions may be computed together → what attempts at so many took."""
        self._recent = (0, SHORT_SECONDS)
        """The same of all nodes."""

    def add(self, node: str, seconds: float) -> None:
        """One attempt ended."""
        self.means[node] = _weighted_in(self.means.get(node, (0, seconds)), seconds)
        self._recent = _weighted_in(self._recent, seconds)

    def pace(self, node: str, partitions: int, seconds: float) -> None:
        """An attempt at so many partitions took so long."""
        sizes = {int(size).bit_length(): (size, mean) for size, mean in self.paces.get(node, ())}
        size, mean = sizes.get(partitions.bit_length(), (partitions, seconds))
        sizes[partitions.bit_length()] = (size + WEIGHT * (partitions - size), mean + WEIGHT * (seconds - mean))
        self.paces[node] = tuple(sorted(sizes.values()))

    def seen(self, node: str) -> list[AttemptGroup]:
        """What attempts at a node took, by about how many partitions they computed, fewest first."""
        return [AttemptGroup(*results) for results in self.paces.get(node, ())]

    def short(self, node: str) -> bool:
        """Whether attempts at a node are known to be short."""
        count, mean = self.means.get(node, (0, SHORT_SECONDS))
        if count >= SAMPLES_MIN:
            return mean < SHORT_SECONDS
        recent, mean_of_all = self._recent
        return recent >= RECENT_MIN and max(mean_of_all, mean if count else 0.0) < SHORT_SECONDS


def _weighted_in(known: tuple[int, float], seconds: float) -> tuple[int, float]:
    count, mean = known
    return count + 1, mean + WEIGHT * (seconds - mean)


class Slots:
    """The slots of the workers while attempts are given out."""

    def __init__(self, workers: int, running: Iterable[str], durations: AttemptDurations) -> None:
        self._workers, self._durations = workers, durations
        nodes = list(running)
        self._count, self._short = len(nodes), all(durations.short(node) for node in nodes)
        self._of_node = Counter(nodes)

    @property
    def free(self) -> int:
        """How many workers have nothing to do, at least the one that an attempt is given out to."""
        return max(1, self._workers - self._count)

    def admit(self, node: str, *, ahead: bool = True) -> bool:
        """Whether an attempt at a node may be given out beside those that were; `ahead`: also where no worker waits for it."""
        if self._count < self._workers or (self._workers == 1 and self._count < 2):  # with one worker everything waits anyway
            return True
        if node not in self._durations.means and self._of_node[node] >= self._workers:
            return False
        return ahead and self._count < self._workers * AHEAD and self._short and self._durations.short(node)

    def take(self, node: str) -> None:
        """An attempt at a node is given out."""
        self._count += 1
        self._of_node[node] += 1
        self._short = self._short and self._durations.short(node)


# The ready queue: a heap for each set of pools, so a partition whose pools are full doesn't delay
# others.


class ReadyEntry(NamedTuple):
    """A partition that is ready; the least runs first. Where everything else is alike, what comes first in the graph does."""

    priority: int
    """The declared one, negative: the larger comes first."""
    urgency: int
    """Its latest safe start, in microseconds."""
    kind: int
    turn: int
    """Its node's place in the graph, where nodes come one after the other."""
    order: str
    rank: int
    key: str


class ReadyQueue:
    """The ready queue."""

    def __init__(self) -> None:
        self._heaps: dict[Takes, list[ReadyEntry]] = {}

    def push(self, takes: Takes, entry: ReadyEntry) -> None:
        """A partition is ready, and needs that much of pools."""
        heapq.heappush(self._heaps.setdefault(takes, []), entry)

    def pop(self, takes: Takes) -> None:
        """The most urgent of those that need the same isn't there any more."""
        heap = self._heaps[takes]
        heapq.heappop(heap)
        if not heap:
            del self._heaps[takes]

    def head(self, takes: Takes) -> ReadyEntry | None:
        """The most urgent of those that need the same."""
        heap = self._heaps.get(takes)
        return heap[0] if heap else None

    def heads(self) -> list[tuple[ReadyEntry, Takes]]:
        """The most urgent of each set of pools, as a heap."""
        results = [(heap[0], takes) for takes, heap in self._heaps.items()]
        heapq.heapify(results)
        return results

    def __bool__(self) -> bool:
        return bool(self._heaps)

    def __iter__(self) -> Iterator[ReadyEntry]:
        """All of them, in no order."""
        for heap in self._heaps.values():
            yield from heap
