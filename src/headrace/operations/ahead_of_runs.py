"""What `run --again`, `retry` and `quarantine accept` announce before they begin, counted as every plan is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import TypeAlias

import msgspec

from headrace.model.zones import to_us
from headrace.operations import standings
from headrace.operations.counting import counted
from headrace.operations.performing import CommandContext
from headrace.operations.progress import Progress
from headrace.operations.responses import CountsRow
from headrace.plan.backfills import Mode
from headrace.plan.choosing import BackfillRequest, choose
from headrace.plan.extents import NOTHING, Extent
from headrace.plan.limits import limits_of
from headrace.plan.timeline import Timeline
from headrace.run.graph import graph_of
from headrace.run.leader import Leader

Span: TypeAlias = tuple[str | None, str | None]


def of_places(leader: Leader, places: Iterable[tuple[str, str]]) -> CountsRow:
    """The counts of these partitions, and of no others."""
    return counted(leader.applied.compiled.project, Counter(node for node, _ in set(places)).items())


def of_recomputing(context: CommandContext, leader: Leader, names: Collection[str], spans: Sequence[Span], *, alone: bool) -> CountsRow:
    """The counts of what is recomputed of these nodes in these ranges, whether it is published or not; with what reads
    it, unless it is made `alone`."""
    compiled = leader.applied.compiled
    graph = graph_of(compiled)
    extents = standings.of_session(context.session, context.store, graph, compiled.project, leader.applied.id, seen={})
    for name in [node.name for node in graph.nodes if node.is_source and node.name in names and node.name in extents]:
        extents[name] = msgspec.structs.replace(extents[name], arrived=extents[name].known)  # it is read again
    timeline = Timeline(graph, extents, to_us(context.now()))
    nodes = [timeline.nodes[name] for name in names if name in timeline.nodes]
    made: dict[str, Extent] = {}
    for first, last in spans:
        request = BackfillRequest(mode=Mode.ALL, limits=limits_of(nodes, first, last), only=alone, borrowed=context.session.borrowed)
        for item in choose(timeline, compiled, request).picked:
            made[item.node] = made.get(item.node, NOTHING) | item.extent
    return counted(compiled.project, ((node, len(extent)) for node, extent in made.items()))


def announce(progress: Progress, command: str, counts: CountsRow) -> None:
    """Tell who waits what will be made."""
    progress.note(f"{command} makes {counts.text or 'nothing'}")
