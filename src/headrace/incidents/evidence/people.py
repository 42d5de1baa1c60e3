"""Evidence of what people did: pauses, withdrawals, pending approvals, unannounced changes."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headrace.incidents.diagnosis.evidence import Evidence, Family
from headrace.incidents.diagnosis.wording import WITHDRAWN
from headrace.incidents.evidence.arrivals import BlockedInterval
from headrace.incidents.evidence.records import Gathered
from headrace.model.causes import CauseKind
from headrace.model.policy import EXPIRES_US, Approval
from headrace.plan.backfills import Backfill
from headrace.slo.blockage import BlockReason
from headrace.store.queries import backfill_plans, scheduling
from headrace.store.queries import deliveries as stored
from headrace.store.queries.deliveries import Mapped
from headrace.store.transaction import Transaction

# Paused nodes and withdrawn publications that consumers wait for.

EXACT_NATS = 12.0


def gather_pauses_and_withdrawals(
    tx: Transaction, intervals: list[BlockedInterval], now: int
) -> Iterator[Evidence]:
    """Yield evidence of the pauses and withdrawals that intervals wait for."""
    withdrawn = {
        (b.node, b.partition): b
        for interval in intervals
        for b in interval.by
        if b.block is BlockReason.WITHDRAWN
    }
    for (node, partition), blocked in withdrawn.items():
        yield Evidence(
            id=f"act:withdrawn:{node}@{partition}",
            node=node,
            partition=partition,
            family=Family.ACT,
            kind=CauseKind.REPORTED.value,
            observed=f"{WITHDRAWN}{blocked.reason}",
            strength=EXACT_NATS,
            at_us=blocked.since_us or now,
            detail="withdrawn",
        )
    yield from _pauses(tx, intervals, now)


def _pauses(tx: Transaction, intervals: list[BlockedInterval], now: int) -> Iterator[Evidence]:
    """Yield the pauses that intervals wait for, each from the first deadline that it misses."""
    dues = {
        b.node: interval.due_at
        for interval in sorted(intervals, key=lambda item: -item.due_at)
        for b in interval.by
        if b.block is BlockReason.PAUSED
    }
    held = {pause.node: pause for pause in scheduling.pauses_in_force(tx, now)} if dues else {}
    for node in sorted(dues.keys() & held.keys()):
        pause = held[node]
        yield Evidence(
            id=f"act:paused:{node}@{pause.since}",
            node=node,
            family=Family.ACT,
            kind=CauseKind.PAUSED.value,
            observed=f"paused by {pause.actor}: {pause.reason}",
            strength=EXACT_NATS,
            at_us=now,
            began_us=max(pause.since, dues[node]),
        )


# Backfills that wait for approval: at once if a consumer waits for their result, else after an
# hour.

APPROVAL_NATS = 6.0
PATIENCE_US = 3_600_000_000
"""An approval that no consumer waits for counts as forgotten after an hour."""


def gather_pending_approvals(
    tx: Transaction, intervals: list[BlockedInterval], now: int
) -> Iterator[Evidence]:
    """Yield evidence of backfills that wait for approval.

    Those that no consumer waits for count only after `PATIENCE_US`.
    """
    blocking_nodes = {blocked.node for interval in intervals for blocked in interval.by}
    for plan in backfill_plans.awaiting(tx, now - EXPIRES_US):
        chosen = msgspec.msgpack.decode(plan.content, type=Backfill).chosen
        waits = next((item.node for item in chosen if item.node in blocking_nodes), None)
        forgotten = now - plan.created_at >= PATIENCE_US
        node = waits or (chosen[0].node if chosen and forgotten else None)
        if node is not None:
            rule = None if plan.needs is None else msgspec.json.decode(plan.needs, type=Approval)
            yield Evidence(
                id=f"plan:{plan.id}",
                node=node,
                family=Family.ACT,
                kind=CauseKind.APPROVAL_PENDING.value,
                expected=f"an approval: {rule or 'the policy asks for one'}",
                observed=f"backfill {plan.id} waits",
                strength=APPROVAL_NATS,
                at_us=now,
                began_us=plan.created_at,
            )


# Deliveries that differed from the contract and were ingested anyway. Readers miss nothing, but
# somebody changed something without notice. A change that persists is reported once.

MAPPING_KIND = "drift"
MAPPING_NATS = 12.0
_HEADERLESS = "there is no header"


def is_mapping(evidence: str) -> bool:
    """Return whether evidence, by its id, is of a difference that was ingested anyway."""
    return evidence.startswith(f"{MAPPING_KIND}:")


def gather_mapped_columns(tx: Transaction, result: Gathered, after: int) -> int:
    """Gather changes after a number; return the number of the last one."""
    rows, newest = stored.mapped_changes(tx, after)
    for row in rows:
        result.add(_mapping_evidence(row), row.attempt)
    return newest


def _mapping_evidence(row: Mapped) -> Evidence:
    names = row.kind == "renamed" or _HEADERLESS in row.why
    return Evidence(
        id=f"{MAPPING_KIND}:{row.id}",
        node=row.source,
        partition="" if row.partition == "*" else row.partition,
        family=Family.SCHEMA if names else Family.FORMAT,
        kind=(CauseKind.SCHEMA_CHANGE if names else CauseKind.FORMAT_CHANGE).value,
        column=row.column,
        expected=row.column if row.kind == "renamed" else "as it was agreed",
        observed=row.to or row.why,
        strength=MAPPING_NATS,
        held=False,
        at_us=row.at,
        began_us=row.arrived_at,
        detail="; ".join(("headerless" if names and row.kind == "format" else row.kind, row.why)),
    )
