"""Evidence of what people did that consumers wait for: paused nodes, publications taken back."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.observe.blockage import BlockReason
from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.diagnosis.wording import WITHDRAWN
from headrace.observe.incidents.blocked import BlockedInterval
from headrace.store.database import Transaction
from headrace.store.queries import pauses

EXACT_NATS = 12.0


def gather(tx: Transaction, intervals: list[BlockedInterval], now: int) -> Iterator[Evidence]:
    """What people did that intervals wait for: paused nodes, publications taken back."""
    blocks = {
        (b.block, b.node, b.partition): b
        for interval in intervals
        for b in interval.by
        if b.block in (BlockReason.PAUSED, BlockReason.WITHDRAWN)
    }
    held = {pause.node: pause for pause in pauses.in_force(tx, now)} if blocks else {}
    told: set[str] = set()
    for (block, node, partition), blocked in blocks.items():
        if block is BlockReason.WITHDRAWN:
            yield Evidence(
                id=f"act:withdrawn:{node}@{partition}", node=node, partition=partition, family=Family.ACT, kind=CauseKind.REPORTED.value,
                observed=f"{WITHDRAWN}{blocked.reason}", strength=EXACT_NATS, at_us=blocked.since_us or now, detail="withdrawn",
            )  # fmt: skip
        elif node in held and node not in told:
            told.add(node)
            pause = held[node]
            yield Evidence(
                id=f"act:paused:{node}@{pause.since}", node=node, family=Family.ACT, kind=CauseKind.PAUSED.value,
                observed=f"paused by {pause.actor}: {pause.reason}", strength=EXACT_NATS, at_us=now, began_us=pause.since,
            )  # fmt: skip
