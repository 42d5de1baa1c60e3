"""What computing partitions will cost, by what the same nodes needed before."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.model.nodes import CostRates
from headrace.plan.backfills import Chosen
from headrace.store import Transaction
from headrace.store.queries import attempts


def predicted_cost(
    tx: Transaction | None, rates: CostRates | None, chosen: Sequence[Chosen]
) -> float | None:
    """Return the cost of computing partitions, in the currency of the rates; None if unknown.

    It is unknown without rates, and if a node has no successful attempt yet. Work and reading count
    as the mean of a partition in the node's newest successful attempts; storage doesn't count.
    """
    work = [item for item in chosen if item.partitions]
    if not work:
        return 0.0
    if tx is None or rates is None:
        return None
    total = 0.0
    for item in work:
        samples = attempts.work_samples(tx, item.node)
        partitions = sum(sample.partitions for sample in samples)
        if not partitions:
            return None
        slot_us = sum(sample.slot_us for sample in samples) / partitions
        bytes_read = sum(sample.bytes_read for sample in samples) / partitions
        total += item.partitions * rates.of(slot_us, bytes_read, 0.0)
    return total
