"""Which held deliveries are history: the source's first observation found them, with many others.

Promises begin when they are applied, so nothing about such intervals is urgent: they are one list.
"""

from __future__ import annotations

from headrace.store.database import Transaction
from headrace.store.queries import deliveries

LEAST = 14
"""A first observation of at least this many intervals is a history that is loaded at once."""


class ObservationHistory:
    """The first observations of sources, each looked up at most once."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._first: dict[str, tuple[int, int] | None] = {}

    def intervals(self, source: str, observed_at: int | None) -> int:
        """How many intervals the source's first observation found, where a delivery that was
        observed at this time (microseconds) is one of them and they are many; else 0."""
        if observed_at is None:
            return 0
        if source not in self._first:
            self._first[source] = deliveries.first_observation(self._tx, source)
        first = self._first[source]
        if first is None or first[0] != observed_at or first[1] < LEAST:
            return 0
        return first[1]
