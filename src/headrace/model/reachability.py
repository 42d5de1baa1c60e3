"""What is reachable in a graph: the walk behind every `upstream` and `downstream` of nodes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable


def reachable(
    starts: Iterable[str], step: Callable[[str], Iterable[str]], levels: int | None = None
) -> dict[str, int]:
    """Return the starts and every name reachable from them, nearest first, with its distance.

    `step` returns the next names of a name. At most `levels` steps; None means no limit. Cycles
    end.
    """
    distances = dict.fromkeys(starts, 0)
    waiting = deque(distances)
    while waiting:
        name = waiting.popleft()
        distance = distances[name]
        if levels is not None and distance >= levels:
            continue
        for other in step(name):
            if other not in distances:
                distances[other] = distance + 1
                waiting.append(other)
    return distances
