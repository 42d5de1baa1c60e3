"""A backfill's partitions one by one.

The current state of each for a preview, its outcome for a stored plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Annotated

from msgspec import Meta

from headrace.extension import SEE, Excluded, ProjectSession, Selected, command
from headrace.plan.backfills import Backfill
from headrace.project.caches import cursor_text, place
from headrace.project.parameters import First, Last, Reason
from headrace.project.session import usable
from headrace.repairs.backfill_planning import BackfillArguments, content, plan
from headrace.runtime.graph import graph_of
from headrace.runtime.overlays.partitions import keys_of
from headrace.scheduler import Graph
from headrace.services.backfills import (
    AllowPartial,
    BackfillId,
    FailedSince,
    ModeOption,
    Only,
    number_of,
    unknown,
)
from headrace.store import Store
from headrace.store.queries import backfill_plans
from headrace_ui.queries import calendar_partitions
from headrace_ui.responses.planned_partitions import PlannedPartitionRow, PlannedPartitionsResponse

UNKNOWN_PARTITION = "missing"
NOT_STARTED = "planned"
"""Of a stored plan: the partition isn't computed yet, or never was."""
PartitionOutcome = Callable[[str, str], tuple[str, str | None]]
"""Maps (node, partition key) to its state and the attempt that computed it."""


@command(
    "backfill partitions",
    SEE,
    of="select",
    http="GET /backfills/preview/partitions backfill_preview_partitions",
)
def preview_partitions(  # noqa: PLR0913 - as many as the command has options
    session: ProjectSession,
    select: Selected = (),
    *,
    exclude: Excluded = (),
    first: First = None,
    last: Last = None,
    since: FailedSince = None,
    mode: ModeOption = "missing",
    only: Only = False,
    allow_partial: AllowPartial = False,
    reason: Reason = None,
    cursor: str | None = None,
    limit: Annotated[int, Meta(ge=1, le=5_000)] = 1_000,
) -> PlannedPartitionsResponse:
    """Return the partitions that a backfill would compute, one by one.

    Raise UsageError as `backfill` does.
    """
    arguments = BackfillArguments(
        list(select), list(exclude), first, last, since, mode, reason or "", only, allow_partial
    )
    compiled = session.compiled if session.compiled is not None else usable(session.declared())
    planned = plan(session, session.store, compiled, session.version, arguments, now=session.now())
    known = _Known(session.store)
    return _page(
        session,
        planned.backfill,
        planned.graph,
        known,
        lambda node, key: (known.of(node).get(key, UNKNOWN_PARTITION), None),
        cursor,
        limit,
    )


@command("backfills partitions", SEE, http="GET /backfills/{plan}/partitions backfill_partitions")
def plan_partitions(
    session: ProjectSession,
    plan: BackfillId,
    *,
    cursor: str | None = None,
    limit: Annotated[int, Meta(ge=1, le=5_000)] = 1_000,
) -> PlannedPartitionsResponse:
    """Return the partitions of a stored backfill with their outcomes.

    Raise UsageError if it doesn't exist.
    """
    number = number_of(session, plan)
    if session.store is None or session.compiled is None:
        raise unknown(plan)
    with session.store.read() as tx:
        row = backfill_plans.get(tx, number)
        if row is None:
            raise unknown(plan)
        outcomes = {
            (row.node, row.partition): (row.state, f"{row.epoch}.{row.n}")
            for row in backfill_plans.staged(tx, number)
        }
        outcomes |= {
            (node, key): ("published", attempt)
            for node, key, attempt in backfill_plans.publications_of(tx, number)
        }
    known = _Known(session.store)
    return _page(
        session,
        content(row),
        graph_of(session.compiled),
        known,
        lambda node, key: outcomes.get((node, key), (NOT_STARTED, None)),
        cursor,
        limit,
    )


class _Known:
    """Known partitions of each node with their states, loaded lazily."""

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self._nodes: dict[str, dict[str, str]] = {}

    def of(self, node: str) -> dict[str, str]:
        if node not in self._nodes:
            self._nodes[node] = self._read(node)
        return self._nodes[node]

    def _read(self, node: str) -> dict[str, str]:
        if self._store is None:
            return {}
        with self._store.read() as tx:
            return calendar_partitions.calendar_states(tx, node)


def _page(
    session: ProjectSession,
    backfill: Backfill,
    graph: Graph,
    known: _Known,
    outcome: PartitionOutcome,
    after: str | None,
    limit: int,
) -> PlannedPartitionsResponse:
    begin = 0 if after is None else place(after, int)
    results = list(islice(_partitions(backfill, graph, known), begin, begin + limit + 1))
    rows = []
    for node, key in results[:limit]:
        state, attempt = outcome(node, key)
        rows.append(PlannedPartitionRow(asset=node, partition=key, state=state, attempt=attempt))
    return PlannedPartitionsResponse(
        now=session.now(),
        partitions=rows,
        next=cursor_text(begin + limit) if len(results) > limit else None,
    )


def _partitions(backfill: Backfill, graph: Graph, known: _Known) -> Iterator[tuple[str, str]]:
    nodes = {node.name: node for node in graph.nodes}
    for chosen in backfill.chosen:
        if chosen.node in nodes:  # an old plan may contain nodes that are no longer declared
            for key in keys_of(nodes[chosen.node], chosen.spans, known.of(chosen.node)):
                yield chosen.node, key
