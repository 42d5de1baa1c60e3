"""What a leader counts of itself since it began: for `/metrics`, where a counter starts anew with each process."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from headrace.run.news import News
from headrace.store import Transaction


class Figures:
    """Plain numbers that only grow: another thread may read them at any time."""

    def __init__(self) -> None:
        self.turns = 0
        self.commit_seconds = 0.0
        """What turns took from the beginning of their transaction to the end of its commit."""
        self.partitions: Counter[str] = Counter()
        """What attempts came to, partition by partition."""

    @contextmanager
    def turn(self, transaction: AbstractContextManager[Transaction]) -> Iterator[Transaction]:
        """Count a turn's transaction, and how long it took."""
        began = time.monotonic()
        with transaction as tx:
            yield tx
        self.turns += 1
        self.commit_seconds += time.monotonic() - began

    def note(self, news: Iterable[News]) -> None:
        """Count what partitions came to."""
        self.partitions.update(one.state for one in news)
