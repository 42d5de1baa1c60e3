"""Work that is estimated, in numbers of intervals: how much of each node, and any part of it as a core starts from it.

What a core is to decide about is the plan's own partitions. All others of the same nodes are taken to be published, and what
isn't a node of the plan to be there: no more of a project than that is looked at, whatever its size.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from headrace.model import Grain, PartitionSpec
from headrace.model.days_off import NO_DAYS_OFF
from headrace.model.intervals import bounds_us, key_at_us
from headrace.model.required import SEPARATOR, WHOLE, delivery_key, join
from headrace.schedule.checkpoint import FORM
from headrace.schedule.events import KeptNode, SavedPartition, SchedulerCheckpoint, Target
from headrace.schedule.graph import Graph, GraphNode
from headrace.schedule.ranges import IntegerSet, TerminalPartitions, number_of, written
from headrace.schedule.states import PartitionState

AROUND = 10_000
"""So many intervals before and after what is planned count as published: farther back no `lookback` reaches."""
_NO_TIMEOUT_US = 1 << 60


class WorkEstimate(NamedTuple):
    """What is made of one node: the intervals by their numbers, and how many partitions each of them has. Of a node that isn't cut by
    time the numbers only count."""

    node: GraphNode
    numbers: IntegerSet
    each: int

    @property
    def partitions(self) -> int:
        """How many there are."""
        return len(self.numbers) * self.each

    def with_partitions(self, count: int, numbers: int) -> WorkEstimate:
        """So many partitions belong to so many numbers, these among them: its keys grow, or nothing but keys cuts it."""
        spec = self.node.partition
        if spec.whole or (spec.grain is not None and spec.key is None):
            return self
        if spec.grain is None:
            return self._replace(numbers=IntegerSet((0, max(1, round(count * len(self.numbers) / max(1, numbers))))))
        return self._replace(each=max(1, round(count / max(1, numbers))))

    def without(self, keys: Collection[str]) -> WorkEstimate:
        """What is left when these were made. Where an interval has several partitions it is done with when most of them are."""
        if self.node.partition.grain is None:
            return self._replace(numbers=IntegerSet((0, len(self.numbers) - min(len(keys), len(self.numbers)))))
        resting, made = TerminalPartitions(self.node.partition, self.node.timezone), Counter[int]()
        made.update(number for number, _ in map(resting.place, keys) if number is not None)
        done = IntegerSet.of(number for number, count in made.items() if 2 * count > self.each)
        return self._replace(numbers=IntegerSet.of(self.numbers.minus(done)))

    @property
    def zone(self) -> str:
        """As numbers need it: days are cut alike everywhere."""
        return self.node.timezone if self.node.partition.grain is Grain.HOUR else ""


def work_of(node: GraphNode, targets: Sequence[Target]) -> WorkEstimate:
    """What targets ask for of one node: where its keys grow, one of each interval."""
    values = node.partition.values or ("",)
    if node.partition.grain is None:
        return WorkEstimate(node, IntegerSet((0, len(values))), 1)
    return WorkEstimate(node, IntegerSet(_edges(node, targets)), len(values))


def _edges(node: GraphNode, targets: Sequence[Target]) -> list[int]:
    """Where runs of numbers begin and end; those that touch are one."""
    grain, edges = node.partition.grain, list[int]()
    assert grain is not None
    zone = node.timezone if grain is Grain.HOUR else ""
    spans = []
    for target in targets:
        ends = [None if key is None else number_of(key.partition(SEPARATOR)[0], grain, zone) for key in (target.first, target.last)]
        if ends[0] is not None and ends[1] is not None and ends[0] <= ends[1]:
            spans.append((ends[0], ends[1] + 1))
    for first, beyond in sorted(spans):
        if edges and first <= edges[-1]:
            edges[-1] = max(edges[-1], beyond)
        else:
            edges += (first, beyond)
    return edges


def reach(planned_work: Sequence[WorkEstimate]) -> tuple[int, int] | None:
    """From when to when the intervals go, in microseconds; None where nothing is cut by time."""
    results = [
        _bounds(planned, number)
        for planned in planned_work
        if planned.node.partition.grain is not None and planned.numbers.edges
        for number in _ends(planned)
    ]
    return (min(first for first, _ in results), max(last for _, last in results)) if results else None


def until(planned_work: Sequence[WorkEstimate], moment: int, share: float) -> list[WorkEstimate]:
    """What begins before a moment; of what isn't cut by time a share, and the whole as a whole."""
    return [planned._replace(numbers=_below(planned.numbers, _beyond(planned, moment, share))) for planned in planned_work]


def _beyond(planned: WorkEstimate, moment: int, share: float) -> int:
    grain = planned.node.partition.grain
    if grain is None:
        return max(1, math.ceil(len(planned.numbers) * share))
    number = number_of(key_at_us(moment, grain, planned.node.timezone), grain, planned.zone)
    return planned.numbers.edges[-1] if number is None and planned.numbers.edges else (number or 0)


def _below(numbers: IntegerSet, beyond: int) -> IntegerSet:
    edges = [min(edge, beyond) for edge in numbers.edges]
    spans = zip(edges[::2], edges[1::2], strict=True)
    return IntegerSet(edge for span in spans if span[0] < span[1] for edge in span)


def _ends(planned: WorkEstimate) -> tuple[int, int]:
    return planned.numbers.edges[0], planned.numbers.edges[-1] - 1


def _bounds(planned: WorkEstimate, number: int) -> tuple[int, int]:
    grain = planned.node.partition.grain
    assert grain is not None
    return bounds_us(written(number, grain, planned.zone), grain, planned.node.timezone)


# As a core starts from it


def graph_of(planned_work: Sequence[WorkEstimate], whole: Graph) -> Graph:
    """The nodes of a graph that something is made of, with nothing but each other to wait for."""
    names = {planned.node.name for planned in planned_work}
    return replace(whole, nodes=tuple(_alone(planned, names) for planned in planned_work))


def _alone(planned: WorkEstimate, names: set[str]) -> GraphNode:
    node = planned.node
    reads = () if node.partition.by_delivery else node.inputs
    return replace(
        node,
        is_source=False,
        partition=_cut(planned),
        inputs=tuple(spec for spec in reads if spec.node in names),
        depends=tuple(name for name in node.depends if name in names),
        start=None,
        timeout_us=_NO_TIMEOUT_US,
        rebuild_on_reference=False,
        tells=False,
        expect_by=None,
        watermark=False,
        complete_after=None,
        restate_within=None,
        days_off=NO_DAYS_OFF,
        trigger=None,
        promises=(),
    )


def _cut(planned: WorkEstimate) -> PartitionSpec:
    """How the node is cut: keys that grow are listed, under names of their own."""
    spec = planned.node.partition
    if spec.key is None:
        return spec
    count = planned.each if spec.grain is not None else planned.numbers.edges[-1]
    return replace(spec, values=tuple(f"key{number}" for number in range(count)))


def kept_of(planned_work: Sequence[WorkEstimate]) -> SchedulerCheckpoint:
    """Where everything stands before it begins."""
    nodes = {
        planned.node.name: KeptNode(runs=_published(planned), named=(), oldest=None, newest=None, publication=0, expanded="")
        for planned in planned_work
    }
    tracked_partitions = tuple(_waiting(planned.node.name, key) for planned in planned_work for key in _keys(planned))
    return SchedulerCheckpoint(FORM, nodes, tracked_partitions, {}, complete=True)


def _published(planned: WorkEstimate) -> dict[str, tuple[int, ...]]:
    """All intervals around those that are to be made, and between them."""
    edges = planned.numbers.edges
    if planned.node.partition.grain is None or not edges:
        return {}
    around = (edges[0] - AROUND, *edges, edges[-1] + AROUND)
    return dict.fromkeys(_cut(planned).values or ("",), around)


def _keys(planned: WorkEstimate) -> list[str]:
    spec = _cut(planned)
    if spec.grain is not None:
        times = [written(number, spec.grain, planned.zone) for number in planned.numbers]
        return [join(time, data) for time in times for data in spec.values] if spec.values is not None else times
    if spec.key is not None:
        return list(spec.values or ())
    return [delivery_key(number + 1) for number in planned.numbers] if spec.by_delivery else [WHOLE]


def _waiting(node: str, key: str) -> SavedPartition:
    """It is made again: were it made for the first time, what reads it and isn't planned would be stale."""
    return SavedPartition(
        node=node, key=key, state=PartitionState.WAITING, stale=True, proposed=False, late=False, published=True, failures=0,
        not_before=None, reason="", since=0,
    )  # fmt: skip
