"""Large plans are published in steps: some intervals at a time, all nodes of the plan, and never before what they read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from headrace.model.intervals import bounds_us
from headrace.plan.backfills import BackfillStep
from headrace.plan.extents import NOTHING, Extent, common, key_of, made, ranges, spans
from headrace.plan.timeline import Timeline, number_at
from headrace.plan.touching import touched
from headrace.schedule import GraphNode

PARTITIONS_MAX = 5_000
"""So many are worked at at once: that bounds what a leader has to keep in mind of a plan."""
_FAR = 1 << 62


def steps(timeline: Timeline, picked: Mapping[str, Extent]) -> tuple[BackfillStep, ...]:
    """The steps of what is staged, in the order of time; what isn't cut by time comes with the last."""
    total = sum(map(len, picked.values()))
    if not total:
        return ()
    cuts = _cuts(timeline, picked, -(-total // PARTITIONS_MAX))
    left = [dict(picked), *(_later(timeline, picked, cut) for cut in cuts), {}]
    result = (_between(timeline, before, after) for before, after in pairwise(left))
    return tuple(step for step in result if step.spans)


def _between(timeline: Timeline, before: Mapping[str, Extent], after: Mapping[str, Extent]) -> BackfillStep:
    parts = {name: extent - after.get(name, NOTHING) for name, extent in before.items()}
    return BackfillStep(
        spans={name: spans(timeline.nodes[name], extent, timeline.standing(name).known) for name, extent in parts.items() if extent}
    )


def _later(timeline: Timeline, picked: Mapping[str, Extent], cut: int) -> dict[str, Extent]:
    """What isn't published before an instant: what ends later, and all that reads it."""
    extents: dict[str, Extent] = {}
    for name, extent in picked.items():  # in topological order
        node = timeline.nodes[name]
        later = _ends_after(node, extent, cut)
        for read in timeline.reads[name]:
            if read.input.name in extents:
                later = later | (touched(read, extents[read.input.name], extent) & extent)
        extents[name] = later
    return extents


def _ends_after(node: GraphNode, extent: Extent, cut: int) -> Extent:
    if node.partition.grain is None:
        return extent
    edges = (number_at(node, cut), _FAR)
    return made({data: common(item, edges) for data, item in extent.runs.items()}, extent.named)


def _cuts(timeline: Timeline, picked: Mapping[str, Extent], parts: int) -> Sequence[int]:
    """Instants that cut the plan into about equal parts, by the node that has most partitions."""
    name = max(picked, key=lambda item: len(picked[item]))
    node = timeline.nodes[name]
    if node.partition.grain is None or parts == 1:
        return ()
    times = picked[name].times
    wanted = (len(made({"": times})) * part // parts for part in range(1, parts))
    return [_begins(node, number) for number in _at(times, wanted)]


def _at(times: tuple[int, ...], places: Iterator[int]) -> Iterator[int]:
    """The numbers at these places of a set, places ascending."""
    runs, passed = ranges(times), 0
    first, last = next(runs)
    for place in places:
        while place - passed > last - first:
            passed += last - first + 1
            first, last = next(runs)
        yield first + place - passed


def _begins(node: GraphNode, number: int) -> int:
    assert node.partition.grain is not None
    return bounds_us(key_of(node, number), node.partition.grain, node.timezone)[0]
