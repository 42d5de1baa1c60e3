"""A backfill as a response: what it computes, which consumers it affects, and its progress."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from headrace.access.consequences import consumers_of
from headrace.model import Project
from headrace.model.policy import Approval
from headrace.plan import Compiled
from headrace.plan.backfill_planning import INGESTED
from headrace.plan.backfills import Backfill, Chosen
from headrace.project.session import ProjectSession
from headrace.repairs.backfill_planning import BackfillArguments, DraftBackfill, content
from headrace.repairs.broken_partitions import error_row, failed_checks
from headrace.repairs.plan_inputs import count_partitions, kind_of
from headrace.repairs.repairs import BrokenPartition, first_of
from headrace.responses import Affects
from headrace.responses.backfills import (
    BackfillResponse,
    BackfillRow,
    ChangedRow,
    ChangedTotals,
    EstimateRow,
    FailureRow,
    PlanRowResponse,
    SkippedRow,
)
from headrace.runtime.overlays.backfill import PlanOutcome
from headrace.store import Transaction
from headrace.store.queries import attempts, backfill_plans
from headrace.store.queries.backfill_plans import PlanRecord, Sums

ENDED = ("succeeded", "partial", "failed", "cancelled")


def planned_response(
    session: ProjectSession,
    planned: DraftBackfill,
    arguments: BackfillArguments,
    *,
    now: datetime,
    clock: str,
) -> BackfillResponse:
    """Return the response of a plan that isn't stored (yet)."""
    return msgspec.structs.replace(
        _response(
            planned.backfill,
            planned.compiled,
            arguments,
            planned.estimate,
            planned.approval,
            now=now,
            clock=clock,
        ),
        state="planned" if planned.backfill.chosen else "nothing_due",
        by=session.actor,
        bytes_estimate=planned.size or None,
    )


class BackfillTotals(msgspec.Struct, frozen=True):
    """Published partitions: ingested deliveries, and for an ended plan also the sums per node."""

    ingested: int
    nodes: Mapping[str, Sums] | None = None


def stored_response(
    session: ProjectSession,
    row: PlanRecord,
    compiled: Compiled,
    *,
    now: datetime,
    clock: str,
    published: BackfillTotals,
    remaining: EstimateRow | None = None,
) -> BackfillResponse:
    """Return the response of a stored plan."""
    arguments = msgspec.json.decode(row.request, type=BackfillArguments)
    estimate = None if row.estimate is None else _estimated(row.estimate)
    approval = None if row.needs is None else msgspec.json.decode(row.needs, type=Approval)
    response = _response(
        content(row), compiled, arguments, estimate, approval, now=now, clock=clock
    )
    outcome = PlanOutcome.read(row.outcome)
    response = _with_published(response, compiled, published.nodes)
    return msgspec.structs.replace(
        response,
        id=str(row.id),
        plan_id=arguments.plan_id or str(row.id),
        state=row.state,
        by=row.actor,
        steps_done=row.steps_done,
        published=outcome.published + published.ingested,
        failed=outcome.failed,
        redone=outcome.redone,
        remaining=remaining,
        changed=_totals(outcome.changed) if outcome.published else None,
        changes=_changes(outcome.changed),
        failures=_failures(outcome),
        created_at=session.instant(row.created_at),
        started_at=_at(session, row.started_at),
        finished_at=_at(session, row.finished_at),
    )


def _estimated(stored_estimate: str) -> EstimateRow:
    """Decode a stored estimate; drop the interval that older versions stored with guesses."""
    row = msgspec.json.decode(stored_estimate, type=EstimateRow)
    return row if row.known else msgspec.structs.replace(row, low=None, high=None)


def backfill_line(
    session: ProjectSession,
    row: PlanRecord,
    state: str,
    ingested: int,
    remaining: EstimateRow | None,
) -> PlanRowResponse:
    """Return one line of `backfills`. `state` as it is shown."""
    backfill, outcome = content(row), PlanOutcome.read(row.outcome)
    arguments = msgspec.json.decode(row.request, type=BackfillArguments)
    return PlanRowResponse(
        id=str(row.id),
        plan_id=arguments.plan_id or str(row.id),
        state=state,
        by=row.actor,
        reason=row.reason,
        assets=[item.node for item in backfill.chosen],
        partitions_total=backfill.partitions,
        published=outcome.published + ingested,
        failed=outcome.failed,
        remaining=remaining,
        created_at=session.instant(row.created_at),
        finished_at=_at(session, row.finished_at),
    )


def _with_published(
    response: BackfillResponse, compiled: Compiled, nodes: Mapping[str, Sums] | None
) -> BackfillResponse:
    """Return the response with the published partitions and rows per node, if known."""
    if nodes is None:
        return response
    results = [(row, nodes.get(row.asset, Sums(0, 0))) for row in response.assets]
    rows = [
        msgspec.structs.replace(row, published=sums.partitions, rows=sums.rows)
        for row, sums in results
    ]
    counts_row = count_partitions(
        compiled.project, ((row.asset, sums.partitions) for row, sums in results)
    )
    return msgspec.structs.replace(response, assets=rows, made=counts_row)


def published_of(tx: Transaction, row: PlanRecord) -> BackfillTotals:
    """Return what a plan has published so far.

    Sums per node come only once the plan has ended, because they read all of its publications.
    """
    ingested_count = ingested(tx, row)
    if row.state not in ENDED:
        return BackfillTotals(ingested_count)
    nodes = backfill_plans.published_by_node(tx, row.id)
    counted = sum(nodes[item.node].partitions for item in content(row).chosen if item.node in nodes)
    total = PlanOutcome.read(row.outcome).published + ingested_count
    return BackfillTotals(ingested_count, nodes if counted == total else None)


def ingested(tx: Transaction, row: PlanRecord) -> int:
    """Return the number of deliveries that a plan's runs have published."""
    return backfill_plans.count_published(
        tx, row.id, [item.node for item in content(row).chosen if item.how == INGESTED]
    )


def _response(
    backfill: Backfill,
    compiled: Compiled,
    arguments: BackfillArguments,
    estimate: EstimateRow | None,
    approval: Approval | None,
    *,
    now: datetime,
    clock: str,
) -> BackfillResponse:
    return BackfillResponse(
        now=now,
        clock=clock,
        plan_id=None,
        state="planned",
        mode=backfill.mode,
        reason=arguments.reason,
        by="",
        assets=[_row(compiled, item) for item in backfill.chosen],
        partitions_total=backfill.partitions,
        counts=count_partitions(
            compiled.project, ((item.node, item.partitions) for item in backfill.chosen)
        ),
        skipped=[
            SkippedRow(asset=item.node, partitions=item.partitions, why=item.why)
            for item in backfill.skipped
        ],
        estimate=estimate,
        bytes_estimate=None,
        affects=affects(compiled, [item.node for item in backfill.chosen]),
        needs_approval=approval is not None,
        approval=approval,
        publishes=backfill.publishes,
        steps=len(backfill.steps),
        steps_done=0,
        command=arguments.command,
        published=0,
        failed=0,
        redone=0,
        changed=None,
        changes=[],
        failures=[],
        remaining=None,
        created_at=None,
        started_at=None,
        finished_at=None,
        notes=[],
    )


def _row(compiled: Compiled, item: Chosen) -> BackfillRow:
    return BackfillRow(
        asset=item.node,
        partitions=item.partitions,
        from_=item.spans[0].first,
        to=item.spans[-1].last,
        ranges=len(item.spans),
        why=item.why,
        how=item.how,
        kind=kind_of(compiled.project, item.node).value,
    )


def affects(compiled: Compiled, names: Iterable[str]) -> Affects:
    """Return the consumers that read `names`, directly or through views, and all their owners.

    The owners of `names` are included.
    """
    starting_nodes = set(names)
    readers = consumers_of(compiled, starting_nodes)
    owners = {
        node.owner
        for name in (*starting_nodes, *readers)
        if (node := compiled.project.node(name)) is not None
    }
    return Affects(consumers=readers, owners=sorted(owners))


def _totals(changed: Mapping[str, tuple[int, int, int, int]]) -> ChangedTotals:
    partitions, added, removed, other = (
        sum(item[i] for item in changed.values()) for i in range(4)
    )
    return ChangedTotals(
        partitions=partitions, rows_added=added, rows_removed=removed, rows_changed=other
    )


def _changes(changed: Mapping[str, tuple[int, int, int, int]]) -> list[ChangedRow]:
    return [
        ChangedRow(
            asset=node,
            partitions=partitions,
            rows_added=added,
            rows_removed=removed,
            rows_changed=other,
        )
        for node, (partitions, added, removed, other) in changed.items()
    ]


def _failures(outcome: PlanOutcome) -> list[FailureRow]:
    rows = []
    for node, key, state, reason in outcome.failures:
        seen = outcome.evidence.get(f"{node}@{key}")
        rows.append(
            FailureRow(
                asset=node,
                partition=key,
                state=state,
                reason=reason,
                attempt=f"{seen.attempt.epoch}.{seen.attempt.n}" if seen else None,
                checks=[],
                sample=seen.sample if seen else [],
                first=None,
            )
        )
    return rows


def with_attempts(
    tx: Transaction, project: Project, response: BackfillResponse
) -> BackfillResponse:
    """Return the response with the failed checks and the suggested first action of each failure."""
    rows = []
    for row in response.failures:
        attempt = attempts.get(tx, *map(int, row.attempt.split("."))) if row.attempt else None
        if attempt is None:
            rows.append(row)
            continue
        broken = failed_checks(tx, (attempt.epoch, attempt.n), row.partition)
        first = first_of(
            project, BrokenPartition(row.asset, row.partition, row.state, error_row(attempt.error))
        )
        rows.append(msgspec.structs.replace(row, checks=broken, first=first))
    return msgspec.structs.replace(response, failures=rows)


def _at(session: ProjectSession, at: int | None) -> datetime | None:
    return None if at is None else session.instant(at)
