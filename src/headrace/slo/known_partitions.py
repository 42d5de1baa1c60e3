"""The partitions of nodes as one evaluation sees them, read in ranges instead of one by one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from headrace.model.partitions import WHOLE
from headrace.store.queries.partition_states import (
    LAST_KEY,
    KnownPartition,
    known_around,
    span_read,
)
from headrace.store.transaction import Transaction

_FIRST_MAX = 32
"""At most this many partitions are read first on either side of the one that is asked for."""
_NODES_MAX = 8
"""At most this many nodes that will be asked for are read first, besides the one asked for."""


class KnownPartitions:
    """The known partitions of nodes, in a transaction that doesn't change them.

    Each range of a node is twice as wide as the one before, and first ranges are read of twice as
    many nodes: a glance reads little, and a long history needs few statements.
    """

    def __init__(self, tx: Transaction) -> None:
        self._tx, self._more = tx, _NODES_MAX
        self._limits: dict[str, int] = {}
        self._spans: dict[str, tuple[str, str]] = {}
        """Node → from which partition to which all are known."""
        self._known: dict[str, dict[str, KnownPartition]] = {}
        self.expected: Sequence[str] = ()
        """The nodes that will be asked for."""

    def get(self, node: str, key: str) -> KnownPartition | None:
        """Return a partition; None if nothing is known of it."""
        first, last = self._spans.get(node, (LAST_KEY, ""))
        if not first <= key <= last:
            self._read_around(node, key)
        return self._known[node].get(key)

    def _read_around(self, node: str, key: str) -> None:
        nodes, limit = {node: None}, self._limits.get(node, _FIRST_MAX)
        if node not in self._known and key != WHOLE:
            others = (other for other in self.expected if other not in self._known)
            nodes |= dict.fromkeys(islice(others, self._more))
            self._more *= 2
        for name, partitions in known_around(self._tx, list(nodes), key, limit).items():
            self._known[name] = {partition.partition: partition for partition in partitions}
            self._spans[name] = span_read(list(self._known[name]), key, limit)
            self._limits[name] = limit * 2
