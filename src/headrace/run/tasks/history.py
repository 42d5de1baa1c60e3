"""What partitions are compared with: what the sound ones before them measured."""

from __future__ import annotations

from headrace.model.required import WHOLE
from headrace.quality.metrics import HISTORY_PARTITIONS, StoredMetrics
from headrace.store import Transaction
from headrace.store.queries import metrics


def history(tx: Transaction, node: str, keys: tuple[str, ...]) -> tuple[StoredMetrics, ...]:
    """Of those before the first of `keys`, oldest first; none where a node isn't cut by time."""
    first = min(keys)
    if first == WHOLE:
        return ()
    return tuple(StoredMetrics(*item) for item in metrics.before(tx, node, first, HISTORY_PARTITIONS))
