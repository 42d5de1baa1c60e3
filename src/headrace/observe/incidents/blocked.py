"""What the intervals of consumers that are due and aren't there wait for: the most upstream partitions that hold them back."""

from __future__ import annotations

import msgspec

from headrace.observe.blockage import Blockage, Blocked, BlockReason
from headrace.observe.obligations import EvaluationContext
from headrace.store.database import Transaction
from headrace.store.queries import obligations

ASKED_MAX = 5
"""So many of a consumer's newest unmet intervals are asked what they wait for."""


class BlockedInterval(msgspec.Struct, frozen=True):
    """An interval of a consumer that is due and isn't there, and what holds it back."""

    consumer: str
    interval: str
    due_at: int
    by: tuple[Blocked, ...]


def waiting(tx: Transaction, context: EvaluationContext, blockage: Blockage, now: int) -> list[BlockedInterval]:
    """Of each consumer the newest intervals that are due and aren't there."""
    terms = {consumer.consumer: consumer for consumer in context.declared.consumers}
    return [
        BlockedInterval(consumer, obligation.interval, obligation.due_at, tuple(blockage.of(terms[consumer], obligation.interval)))
        for consumer, unmet in obligations.all_unmet(tx, now, ASKED_MAX).items()
        for obligation in (unmet if consumer in terms else ())
    ]


def missed(intervals: list[BlockedInterval]) -> dict[tuple[str, str], int]:
    """What isn't there although an interval that needs it is due: node and partition → since when it is due."""
    dues: dict[tuple[str, str], int] = {}
    for interval in intervals:
        for blocked in interval.by:
            if blocked.block is BlockReason.MISSING:
                place = blocked.node, blocked.partition
                dues[place] = min(dues.get(place, interval.due_at), interval.due_at)
    return dues
