"""Nodes of which nothing is started, because a person said so. Attempts that run go on."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import NamedTuple

from headrace.schedule.events import Paused


class NodePause(NamedTuple):
    """Why, and until when (microseconds); None where only a person ends it."""

    reason: str
    until: int | None


class Pauses:
    """What is paused."""

    def __init__(self) -> None:
        self._paused: dict[str, NodePause] = {}
        self._ends: list[tuple[int, str]] = []

    def pause(self, event: Paused) -> None:
        """Nodes are paused; what was said before of one is replaced."""
        for node in event.nodes:
            self._paused[node] = NodePause(event.reason, event.until)
            if event.until is not None:
                heapq.heappush(self._ends, (event.until, node))

    def resume(self, nodes: Iterable[str]) -> list[str]:
        """Nodes aren't paused any more; those that were."""
        return [node for node in nodes if self._paused.pop(node, None) is not None]

    def over(self, now: int) -> list[str]:
        """The nodes whose pause has come to its end; they aren't paused any more."""
        results = []
        while self._ends and self._ends[0][0] <= now:
            at, node = heapq.heappop(self._ends)
            pause = self._paused.get(node)
            if pause is not None and pause.until == at:  # it may have been paused again since, or for longer
                results += self.resume([node])
        return results

    def of(self, node: str) -> NodePause | None:
        """The pause of a node."""
        return self._paused.get(node)

    def next_event(self) -> int | None:
        """When one ends by itself next."""
        return self._ends[0][0] if self._ends else None

    def until(self) -> dict[str, int | None]:
        """All that are paused, with when that ends."""
        return {node: pause.until for node, pause in self._paused.items()}
