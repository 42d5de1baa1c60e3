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


def order(one: Backfilling, row: PlanRecord) -> RunRequest:
    """What goes on with a plan."""
    request: dict[str, Any] = msgspec.json.decode(row.request) if row.request else {}
    actor = Actor(ActorType.PERSON, row.actor)
    return RunRequest(kind="backfill", targets=one.targets(INGESTED), actor=actor, request=request, reason=row.reason, plan=row.id)


def said(tx: Transaction, one: Backfilling, now: int, action: Action, actor: Actor, reason: str) -> None:
    """Somebody did something about a plan."""
    append(
        tx, now, AuditEvent(action=action, actor=actor, object=Object("backfill", str(one.id)), reason=reason, after=_figures(one.outcome))
    )


def published(tx: Transaction, one: Backfilling, rows: Sequence[OverlayRow], now: int) -> None:
    """Partitions of a plan became visible, at once: one entry for each node."""
    count, total = Counter(row.node for row in rows), Counter[str]()
    for row in rows:
        total[row.node] += row.rows
    append_all(tx, now, [
        AuditEvent(action=Action.PARTITION_PUBLISHED, actor=HEADRACE, object=Object("partition", node, f"backfill {one.id}"),
              after={"partitions": count[node], "rows": total[node], "step": one.steps_done}, reason=one.reason)
        for node in count
    ])  # fmt: skip


def finished(tx: Transaction, one: Backfilling, state: str, now: int) -> None:
    """A plan has ended: what it changed."""
    changed = {node: dict(zip(("partitions", "added", "removed", "changed"), figures, strict=True))
               for node, figures in one.outcome.changed.items()}  # fmt: skip
    after = {"state": state, **_figures(one.outcome), "rows": changed}
    event = AuditEvent(action=Action.PLAN_FINISHED, actor=HEADRACE, object=Object("backfill", str(one.id)), reason=one.reason, after=after)
    append(tx, now, event)


def failed(tx: Transaction, run: ActiveRun, nodes: Collection[str]) -> list[UnsuccessfulPartition]:
    """What production couldn't make of these nodes, in a run; each with why its last attempt failed."""
    whys = {(one.node, key): one.reason for one in attempts.of_run(tx, run.id) for key in one.partitions}
    return [
        UnsuccessfulPartition(node, key, PartitionState.FAILED, whys.get((node, key)) or state)
        for (node, key), state in run.results.items()
        if node in nodes and state != "published"
    ]


def outcome(one: Backfilling, run: ActiveRun | None, unmade: Sequence[UnsuccessfulPartition]) -> PlanOutcome:
    """What a plan has come to in the end."""
    after = one.nodes(AFTERWARDS)
    more = sum(1 for (node, _), state in run.results.items() if node in after and state == "published") if run is not None else 0
    return msgspec.structs.replace(one.outcome, published=one.outcome.published + more).with_failures(unmade)


def state_of(found: PlanOutcome) -> str:
    """Where a plan stands that has ended."""
    if not found.failed:
        return "succeeded"
    return "partial" if found.published else "failed"


def _figures(found: PlanOutcome) -> dict[str, Any]:
    return {"published": found.published, "failed": found.failed, "redone": found.redone}
