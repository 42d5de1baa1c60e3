"""What may run: a heap for each set of pools, so that what has no room is in nobody's way."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple

from headrace.schedule.pools import Takes


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
