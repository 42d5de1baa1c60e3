"""A backfill's partitions one by one: of a plan that is looked at, how each stands now; of one that is kept, what came of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from headrace.operations.backfill_planning import BackfillArguments, content, plan
from headrace.operations.backfill_responses import PlannedPartitionRow, PlannedPartitionsResponse
from headrace.operations.backfills import number_of, unknown
from headrace.operations.cursors import cursor, place
from headrace.operations.session import ProjectSession, usable
from headrace.plan.backfills import Backfill
from headrace.run.graph import graph_of
from headrace.run.overlays.spans import keys_of
from headrace.schedule import Graph
from headrace.store import Store
from headrace.store.queries import calendar, plan_figures, plans

UNHEARD = "missing"
UNMADE = "planned"
"""Of a plan that is kept: it isn't made yet, or never was."""
Standing = Callable[[str, str], tuple[str, str | None]]
"""Of (node, key): its state, and the attempt that made it."""


def of_preview(session: ProjectSession, arguments: BackfillArguments, *, after: str | None, limit: int) -> PlannedPartitionsResponse:
    """What a backfill would make. UsageError as for the backfill itself."""
    compiled = session.compiled if session.compiled is not None else usable(session.declared())
    planned = plan(session, session.store, compiled, session.version, arguments, now=session.now())
    known = _Known(session.store)
    return _page(session, planned.backfill, planned.graph, known, lambda node, key: (known.of(node).get(key, UNHEARD), None), after, limit)


def of_plan(session: ProjectSession, text: str, *, after: str | None, limit: int) -> PlannedPartitionsResponse:
    """What a kept backfill makes, and what came of it. UsageError if there is none of that number."""
    number = number_of(session, text)
    if session.store is None or session.compiled is None:
        raise unknown(text)
    with session.store.read() as tx:
        row = plans.get(tx, number)
        if row is None:
            raise unknown(text)
        made = {(row.node, row.partition): (row.state, f"{row.epoch}.{row.n}") for row in plans.staged(tx, number)}
        made |= {(node, key): ("published", attempt) for node, key, attempt in plan_figures.publications(tx, number)}
    known = _Known(session.store)
    return _page(
        session, content(row), graph_of(session.compiled), known, lambda node, key: made.get((node, key), (UNMADE, None)), after, limit
    )


class _Known:
    """The partitions that anything was heard of, node by node, with their states."""

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
            return calendar.states(tx, node)


def _page(
    session: ProjectSession, backfill: Backfill, graph: Graph, known: _Known, standing: Standing, after: str | None, limit: int
) -> PlannedPartitionsResponse:
    begin = 0 if after is None else place(after, int)
    results = list(islice(_partitions(backfill, graph, known), begin, begin + limit + 1))
    rows = []
    for node, key in results[:limit]:
        state, attempt = standing(node, key)
        rows.append(PlannedPartitionRow(asset=node, partition=key, state=state, attempt=attempt))
    return PlannedPartitionsResponse(now=session.now(), partitions=rows, next=cursor(begin + limit) if len(results) > limit else None)


def _partitions(backfill: Backfill, graph: Graph, known: _Known) -> Iterator[tuple[str, str]]:
    nodes = {node.name: node for node in graph.nodes}
    for chosen in backfill.chosen:
        if chosen.node in nodes:  # of an old plan one may not be declared any more
            for key in keys_of(nodes[chosen.node], chosen.spans, known.of(chosen.node)):
                yield chosen.node, key
