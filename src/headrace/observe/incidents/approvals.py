"""Evidence that something waits for somebody's approval while consumers wait for it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headrace.model.policy import Approval
from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.incidents.blocked import BlockedInterval
from headrace.plan.backfills import Backfill
from headrace.store.database import Transaction
from headrace.store.queries import plans

NATS = 6.0
PATIENCE_US = 3_600_000_000
"""Who is to approve something that no consumer waits for may take so long before it is forgotten rather than being looked at."""


def gather(tx: Transaction, intervals: list[BlockedInterval], now: int) -> Iterator[Evidence]:
    """The plans that wait for an approval: those that would compute what a consumer waits for at once, others after a while."""
    wanted = {blocked.node for interval in intervals for blocked in interval.by}
    for plan in plans.awaiting(tx):
        chosen = msgspec.msgpack.decode(plan.content, type=Backfill).chosen
        waits = next((item.node for item in chosen if item.node in wanted), None)
        forgotten = now - plan.created_at >= PATIENCE_US
        node = waits or (chosen[0].node if chosen and forgotten else None)
        if node is not None:
            rule = None if plan.needs is None else msgspec.json.decode(plan.needs, type=Approval)
            yield Evidence(
                id=f"plan:{plan.id}", node=node, family=Family.ACT, kind=CauseKind.APPROVAL_PENDING.value,
                expected=f"an approval: {rule or 'the policy asks for one'}", observed=f"backfill {plan.id} waits", strength=NATS,
                at_us=now, began_us=plan.created_at,
            )  # fmt: skip
