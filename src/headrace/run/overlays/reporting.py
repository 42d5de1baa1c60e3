"""What a plan tells: the run that works at it, the audit trail, and what it came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from headrace.govern.audit import Action, Actor, ActorType, AuditEvent, Object, append, append_all
from headrace.run.orders import ActiveRun, RunRequest
from headrace.run.overlays.backfilling import AFTERWARDS, INGESTED, Backfilling
from headrace.run.overlays.beginning import UnsuccessfulPartition
from headrace.run.overlays.outcome import PlanOutcome
from headrace.run.steps.publish import HEADRACE
from headrace.schedule import PartitionState
from headrace.store import Transaction
from headrace.store.queries import attempts
from headrace.store.queries.plans import OverlayRow, PlanRecord


def order(item: Backfilling, row: PlanRecord) -> RunRequest:
    """What goes on with a plan."""
    request: dict[str, Any] = msgspec.json.decode(row.request) if row.request else {}
    actor = Actor(ActorType.PERSON, row.actor)
    return RunRequest(kind="backfill", targets=item.targets(INGESTED), actor=actor, request=request, reason=row.reason, plan=row.id)


def said(tx: Transaction, item: Backfilling, now: int, action: Action, actor: Actor, reason: str) -> None:
    """Somebody did something about a plan."""
    append(
        tx,
        now,
        AuditEvent(action=action, actor=actor, object=Object("backfill", str(item.id)), reason=reason, after=_figures(item.outcome)),
    )


def published(tx: Transaction, item: Backfilling, rows: Sequence[OverlayRow], now: int) -> None:
    """Partitions of a plan became visible, at once: one entry for each node."""
    count, total = Counter(row.node for row in rows), Counter[str]()
    for row in rows:
        total[row.node] += row.rows
    append_all(tx, now, [
        AuditEvent(action=Action.PARTITION_PUBLISHED, actor=HEADRACE, object=Object("partition", node, f"backfill {item.id}"),
              after={"partitions": count[node], "rows": total[node], "step": item.steps_done}, reason=item.reason)
        for node in count
    ])  # fmt: skip


def finished(tx: Transaction, item: Backfilling, state: str, now: int) -> None:
    """A plan has ended: what it changed."""
    changed = {node: dict(zip(("partitions", "added", "removed", "changed"), figures, strict=True))
               for node, figures in item.outcome.changed.items()}  # fmt: skip
    after = {"state": state, **_figures(item.outcome), "rows": changed}
    event = AuditEvent(
        action=Action.PLAN_FINISHED, actor=HEADRACE, object=Object("backfill", str(item.id)), reason=item.reason, after=after
    )
    append(tx, now, event)


def failed(tx: Transaction, run: ActiveRun, nodes: Collection[str]) -> list[UnsuccessfulPartition]:
    """What production couldn't make of these nodes, in a run; each with why its last attempt failed."""
    whys = {(attempt.node, key): attempt.reason for attempt in attempts.of_run(tx, run.id) for key in attempt.partitions}
    return [
        UnsuccessfulPartition(node, key, PartitionState.FAILED, whys.get((node, key)) or state)
        for (node, key), state in run.results.items()
        if node in nodes and state != "published"
    ]


def outcome(item: Backfilling, run: ActiveRun | None, unmade: Sequence[UnsuccessfulPartition]) -> PlanOutcome:
    """What a plan has come to in the end."""
    after = item.nodes(AFTERWARDS)
    more = sum(1 for (node, _), state in run.results.items() if node in after and state == "published") if run is not None else 0
    return msgspec.structs.replace(item.outcome, published=item.outcome.published + more).with_failures(unmade)


def state_of(outcome: PlanOutcome) -> str:
    """Where a plan stands that has ended."""
    if not outcome.failed:
        return "succeeded"
    return "partial" if outcome.published else "failed"


def _figures(outcome: PlanOutcome) -> dict[str, Any]:
    return {"published": outcome.published, "failed": outcome.failed, "redone": outcome.redone}
