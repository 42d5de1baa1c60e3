"""What a leader counts of itself since it began: for `/metrics`, where a counter starts anew with each process."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from headrace.run.news import News
from headrace.store import Transaction

TURN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Up to where each bucket of turns goes; one more is for longer ones."""


class LeaderCounters:
    """Plain numbers that only grow: another thread may read them at any time."""

    def __init__(self, slots: int = 0) -> None:
        self.slots = slots
        """How many attempts can run at once."""
        self.turns = [0] * (len(TURN_SECONDS) + 1)
        """How many took so long, from the beginning of their transaction to the end of its commit: by bucket."""
        self.turn_seconds = 0.0
        self.partitions: Counter[str] = Counter()
        """What attempts came to, partition by partition."""

    @contextmanager
    def turn(self, transaction: AbstractContextManager[Transaction]) -> Iterator[Transaction]:
        """Count a turn's transaction, and how long it took."""
        began = time.monotonic()
        with transaction as tx:
            yield tx
        took = time.monotonic() - began
        self.turns[bisect_left(TURN_SECONDS, took)] += 1
        self.turn_seconds += took

    def note(self, news: Iterable[News]) -> None:
        """Count what partitions came to."""
        self.partitions.update(item.state for item in news)
