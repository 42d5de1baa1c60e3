"""How many attempts may be given out at once: a slot a worker, and one more where nobody would wait long for it.

A worker whose next task lies in its pipe already goes on without waiting for the leader's commit, which for attempts of
a few milliseconds is half of the time. A task behind a long one would wait for it though, so only nodes that are
known to be short are given out ahead, and only while everything that runs is known to be short as well.
"""

from __future__ import annotations

from collections.abc import Iterable

SHORT_SECONDS = 0.05
SAMPLES_MIN = 3
AHEAD = 4
"""Attempts per worker, the one that runs included."""
WEIGHT = 0.3
"""Of the newest duration in the running mean."""


class Durations:
    """What attempts at each node took, in seconds, newest weighing most."""

    def __init__(self) -> None:
        self.means: dict[str, tuple[int, float]] = {}
        """Node → how many attempts, and their mean."""

    def add(self, node: str, seconds: float) -> None:
        """One attempt ended."""
        count, mean = self.means.get(node, (0, seconds))
        self.means[node] = (count + 1, mean + WEIGHT * (seconds - mean))

    def short(self, node: str) -> bool:
        """Whether attempts at a node are known to be short."""
        count, mean = self.means.get(node, (0, SHORT_SECONDS))
        return count >= SAMPLES_MIN and mean < SHORT_SECONDS


def admits(node: str, running: Iterable[str], count: int, workers: int, durations: Durations) -> bool:
    """Whether an attempt at `node` may be given out beside the `count` attempts at `running` nodes."""
    if count < workers or (workers == 1 and count < 2):  # with one worker everything waits behind what runs anyway
        return True
    return count < workers * AHEAD and durations.short(node) and all(durations.short(other) for other in running)
