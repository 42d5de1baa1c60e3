"""How many attempts may be given out at once: a slot a worker, and more where nobody would wait long for them.

An executor that has its next tasks at hand goes on without waiting for the leader's commit, which for attempts of a few
milliseconds is most of the time. What is given out counts as running though, and can't give way to what is more urgent: so
only what is known to be short is given out ahead, and only while everything that runs is known to be short as well. A node
that never ran is taken to be like what ran last; but of its partitions no more are given out than there are workers, until one
was published: code that can't work in any of them is found out by the first ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from headrace.schedule.events import Sizes
from headrace.schedule.fitting import AttemptGroup

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
        self.means[node] = _added(self.means.get(node, (0, seconds)), seconds)
        self._recent = _added(self._recent, seconds)

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


def _added(known: tuple[int, float], seconds: float) -> tuple[int, float]:
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
