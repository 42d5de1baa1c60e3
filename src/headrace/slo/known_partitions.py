"""The partitions of a node as one evaluation sees them, read in ranges instead of one by one."""

from __future__ import annotations

from headrace.store.queries.partition_states import (
    LAST_KEY,
    KnownPartition,
    known_around,
    span_read,
)
from headrace.store.transaction import Transaction

_FIRST_MAX = 32
"""At most this many partitions are read first on either side of the one that is asked for."""


class KnownPartitions:
    """The known partitions of a node, in a transaction that doesn't change them.

    Each range is twice as wide as the one before: a glance reads little, and a long history needs
    few statements.
    """

    def __init__(self, tx: Transaction, node: str) -> None:
        self._tx, self._node, self._limit = tx, node, _FIRST_MAX
        self._known: dict[str, KnownPartition] = {}
        self._first, self._last = LAST_KEY, ""
        """All partitions from the one to the other are known: none at the beginning."""

    def get(self, key: str) -> KnownPartition | None:
        """Return a partition; None if nothing is known of it."""
        if not self._first <= key <= self._last:
            self._read_around(key)
        return self._known.get(key)

    def _read_around(self, key: str) -> None:
        read = known_around(self._tx, self._node, key, self._limit)
        self._known = {partition.partition: partition for partition in read}
        self._first, self._last = span_read(list(self._known), key, self._limit)
        self._limit *= 2
