"""Invalidated data in responses: its rows, the cost and the commands of the backfills."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from headrace.ledger.compute_time import (
    ComputeTime,
    MonthlyChange,
    compute_time,
    monthly_change,
)
from headrace.model import Project
from headrace.model.partitions import command_line
from headrace.plan import ChangeKind, Compiled
from headrace.plan import invalidation as planning
from headrace.plan.backfills import Backfill, Chosen, Mode
from headrace.plan.invalidation import OWN_CODE, Invalidation, NeededBackfill, Published
from headrace.plan.partition_ranges import extent_of_keys
from headrace.plan.project_plan import PlannedChanges
from headrace.repairs.plan_inputs import count_partitions
from headrace.responses import NeededRow, StaleRow
from headrace.runtime import estimates
from headrace.runtime.graph import graph_of
from headrace.runtime.partition_extents import read_states
from headrace.scheduler.estimates import Estimate
from headrace.store import Transaction


class Cost(msgspec.Struct, frozen=True):
    """The cost of backfills: `estimate` is None if the duration of one of them is unknown."""

    estimate: Estimate | None = None
    size: int | None = None
    """Bytes to be written."""
    compute: ComputeTime | None = None
    """Of the recomputation, and of new assets."""
    month: MonthlyChange | None = None


def cost_of(
    tx: Transaction, old: Compiled, compiled: Compiled, planned: PlannedChanges, now_us: int
) -> Cost:
    """Return the cost of recomputing what changes invalidate, and what they cost in a month."""
    invalidated = planned.invalidated
    added = [change.node for change in planned.nodes if change.change is ChangeKind.ADDED]
    chosen = [item for backfill in invalidated.planned for item in backfill.chosen]
    return Cost(
        _summed(tx, compiled, invalidated.planned) if invalidated.stale else None,
        sum(estimates.bytes_of(tx, backfill) for backfill in invalidated.planned),
        compute_time(tx, compiled, chosen, added),
        monthly_change(tx, old, compiled, planned.nodes, now_us),
    )


def _summed(tx: Transaction, compiled: Compiled, backfills: Sequence[Backfill]) -> Estimate | None:
    """Return the duration of backfills run one after the other; None unless all are known."""
    slots = compiled.project.settings.workers
    results = [estimates.estimate_backfill(tx, compiled, backfill, slots) for backfill in backfills]
    known = [estimate for estimate in results if estimate is not None]
    if len(known) < len(results) or not known:
        return None
    seconds, low, high = (
        sum(each)
        for each in zip(
            *((estimate.seconds, estimate.low, estimate.high) for estimate in known), strict=True
        )
    )
    return Estimate(seconds, low, high, known[0].basis)


# What is stale in the applied project.


def still_invalid(
    tx: Transaction, compiled: Compiled, before: Invalidation, *, version: int, now_us: int
) -> Invalidation:
    """Return what is still invalid after the change was applied.

    An environment may have contributed finished partitions.
    """
    return planning.outstanding(
        _published(tx, compiled, version),
        compiled,
        before.changed_nodes,
        failed=before.failed,
        why=OWN_CODE,
        now_us=now_us,
    )


def outstanding(tx: Transaction, compiled: Compiled, *, version: int, now_us: int) -> Invalidation:
    """Return the stale partitions of the applied project that have no request to recompute them."""
    return planning.outstanding(
        _published(tx, compiled, version), compiled, compiled.project.assets.keys(), now_us=now_us
    )


def invalidated_downstream(
    tx: Transaction, compiled: Compiled, source: str, keys: Sequence[str], *, version: int
) -> Invalidation:
    """Return the published partitions downstream of a source's partitions, and their backfills."""
    published = _published(tx, compiled, version)
    node = next(node for node in published.graph.nodes if node.name == source)
    return planning.invalidated_downstream(
        published, source, extent_of_keys(node, keys), compiled.project.assets.keys()
    )


def _published(tx: Transaction, compiled: Compiled, version: int) -> Published:
    graph = graph_of(compiled)
    return Published(graph=graph, extents=read_states(tx, graph, version=version, arrived={}))


# Rows of responses.


def stale_rows(chosen: Iterable[Chosen]) -> list[StaleRow]:
    """Return the partitions as rows of the response."""
    return [
        StaleRow(
            node=item.node,
            partitions=item.partitions,
            from_=item.spans[0].first,
            to=item.spans[-1].last,
            why=item.why,
        )
        for item in chosen
    ]


def needed_rows(project: Project, invalidated: Invalidation) -> list[NeededRow]:
    """Return the backfills as rows of the response, each with its command."""
    return [
        NeededRow(
            select=list(item.nodes),
            from_=item.first,
            to=item.last,
            mode=item.mode,
            command=_command(item),
            counts=None
            if item.backfill is None
            else count_partitions(
                project, ((chosen.node, chosen.partitions) for chosen in item.backfill.chosen)
            ),
        )
        for item in invalidated.backfills
    ]


def _command(item: NeededBackfill) -> str:
    words = ["backfill", *item.nodes, "--from", item.first, "--to", item.last]
    words += ["--mode", item.mode.value] if item.mode is not Mode.MISSING else []
    return command_line(*words, "--reason", "TEXT")
