"""What the backfills that a change asks for will make: planned by what `backfill` plans with, before the change is applied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from headrace.model import UsageError
from headrace.operations.backfill_planning import mode_of
from headrace.operations.counting import counted
from headrace.operations.responses import NeededRow
from headrace.plan import Compiled
from headrace.plan.backfills import Backfill
from headrace.plan.choosing import BackfillRequest, choose
from headrace.plan.extents import Extent
from headrace.plan.limits import limits_of
from headrace.plan.planning import plan_backfill
from headrace.plan.timeline import NodeExtents, Timeline
from headrace.schedule import Graph


class Ahead(NamedTuple):
    """The commands with what each makes, and the plans themselves."""

    rows: tuple[NeededRow, ...]
    backfills: tuple[Backfill, ...]


def planned_ahead(
    graph: Graph,
    compiled: Compiled,
    standings: Mapping[str, NodeExtents],
    needed: Iterable[NeededRow],
    *,
    now_us: int,
    borrowed: frozenset[str] = frozenset(),
) -> Ahead:
    """Plan each backfill as if those before it had been done. `standings` are those in which the first
    one finds the project."""
    rows: list[NeededRow] = []
    backfills: list[Backfill] = []
    there = dict(standings)
    for row in needed:
        timeline = Timeline(graph, there, now_us)
        nodes = [timeline.nodes[name] for name in row.select]
        try:
            request = BackfillRequest(mode=mode_of(row.mode), limits=limits_of(nodes, row.from_, row.to), borrowed=borrowed)
            backfill = plan_backfill(timeline, compiled, request)
        except UsageError:  # it will be refused, so there is nothing to be counted
            rows.append(row)
            continue
        if not backfill.chosen:
            continue  # a delivery that waited is ingested by the next pass, without being asked for
        counts = counted(compiled.project, ((made.node, made.partitions) for made in backfill.chosen))
        rows.append(msgspec.structs.replace(row, counts=counts))
        backfills.append(backfill)
        for picked in choose(timeline, compiled, request).picked:
            there[picked.node] = _once_made(there.get(picked.node, NodeExtents()), picked.extent)
    return Ahead(tuple(rows), tuple(backfills))


def _once_made(extents: NodeExtents, extent: Extent) -> NodeExtents:
    return NodeExtents(
        known=extents.known | extent,
        visible=extents.visible | extent,
        usable=extents.usable | extent,
        fresh=extents.fresh | extent,
        failed=extents.failed - extent,
        hopeless=extents.hopeless - extent,
        held=extents.held - extent,
        arrived=extents.arrived,
    )
