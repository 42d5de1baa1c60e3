"""The work to estimate, as numbers of intervals, and its virtual execution by the real core."""

from __future__ import annotations

import heapq
import math
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from itertools import product
from typing import NamedTuple

from msgspec.structs import replace

from headrace.model import Grain, PartitionSpec
from headrace.model.intervals import bounds_us, key_at_us
from headrace.model.partitions import SEPARATOR, WHOLE, delivery_key, join
from headrace.model.times import NO_DAYS_OFF
from headrace.scheduler.checkpoints import CHECKPOINT_FORMAT
from headrace.scheduler.core import Core
from headrace.scheduler.events import (
    AttemptPublished,
    Dispatch,
    Event,
    KeptNode,
    Loaded,
    Requested,
    SavedPartition,
    SchedulerCheckpoint,
    Target,
)
from headrace.scheduler.graph import Graph, GraphNode
from headrace.scheduler.ranges import IntegerSet, PartitionSet, key_of_number, number_of
from headrace.scheduler.states import PartitionState

# The amount of work of each node, and any part of it as the state from which a core starts. The
# core decides only about the plan's own partitions. All other partitions of the same nodes count as
# published, and nodes outside the plan as present, so the cost doesn't grow with the project.

AROUND = 10_000
"""Number of intervals before and after the planned ones that count as published; no `lookback`
reaches farther."""
_NO_TIMEOUT_US = 1 << 60


class WorkEstimate(NamedTuple):
    """The work of one node: the numbers of its intervals, and the partitions per interval.

    For a node not partitioned by time the numbers only count.
    """

    node: GraphNode
    numbers: IntegerSet
    each: int

    @property
    def partitions(self) -> int:
        """The total number of partitions."""
        return len(self.numbers) * self.each

    def with_partitions(self, count: int, numbers: int) -> WorkEstimate:
        """Return the work with `count` partitions spread over `numbers` intervals.

        The `numbers` intervals include the work's own. This applies to nodes with a growing set of
        keys, or partitioned by key alone.
        """
        spec = self.node.partition
        if spec.whole or (spec.grain is not None and spec.key is None):
            return self
        if spec.grain is None:
            return self._replace(
                numbers=IntegerSet((0, max(1, round(count * len(self.numbers) / max(1, numbers)))))
            )
        return self._replace(each=max(1, round(count / max(1, numbers))))

    def without(self, keys: Collection[str]) -> WorkEstimate:
        """Return the remaining work after these partitions.

        An interval with several partitions counts as done when most of them are.
        """
        if self.node.partition.grain is None:
            return self._replace(
                numbers=IntegerSet((0, len(self.numbers) - min(len(keys), len(self.numbers))))
            )
        resting, counts = (
            PartitionSet(self.node.partition, self.node.timezone),
            Counter[int](),
        )
        counts.update(number for number, _ in map(resting.place, keys) if number is not None)
        done = IntegerSet.of(number for number, count in counts.items() if 2 * count > self.each)
        return self._replace(numbers=self.numbers - done)

    @property
    def zone(self) -> str:
        """The time zone for interval numbers.

        Empty where days have the same number in all zones.
        """
        return self.node.timezone if self.node.partition.grain is Grain.HOUR else ""


def work_of(node: GraphNode, targets: Sequence[Target]) -> WorkEstimate:
    """Return the work of one node for its targets.

    One key per interval for a growing set of keys.
    """
    values = node.partition.values or ("",)
    if node.partition.grain is None:
        return WorkEstimate(node, IntegerSet((0, len(values))), 1)
    return WorkEstimate(node, IntegerSet(_edges(node, targets)), len(values))


def _edges(node: GraphNode, targets: Sequence[Target]) -> list[int]:
    """Return the bounds of ranges of numbers; adjacent ranges are merged."""
    spans = []
    for target in targets:
        first, last = _number(node, target.first), _number(node, target.last)
        if first is not None and last is not None and first <= last:
            spans.append((first, last + 1))
    edges = list[int]()
    for first, beyond in sorted(spans):
        if edges and first <= edges[-1]:
            edges[-1] = max(edges[-1], beyond)
        else:
            edges += (first, beyond)
    return edges


def _number(node: GraphNode, key: str | None) -> int | None:
    """Return the number of a key's interval; None without a key, or for one without a number."""
    grain = node.partition.time_grain
    if key is None:
        return None
    zone = node.timezone if grain is Grain.HOUR else ""
    return number_of(key.partition(SEPARATOR)[0], grain, zone)


def work_bounds(planned_work: Sequence[WorkEstimate]) -> tuple[int, int] | None:
    """Return the first beginning and the last end of all intervals, in microseconds.

    None if no node is partitioned by time.
    """
    results = [
        _bounds(planned, number)
        for planned in planned_work
        if planned.node.partition.grain is not None and planned.numbers.edges
        for number in _ends(planned)
    ]
    return (
        (min(first for first, _ in results), max(last for _, last in results)) if results else None
    )


def work_until(
    planned_work: Sequence[WorkEstimate], until_us: int, share: float
) -> list[WorkEstimate]:
    """Return the work that begins before `until_us` (microseconds).

    Of a node not partitioned by time it is the share `share`; an unpartitioned node is included.
    """
    return [
        planned._replace(numbers=_below(planned.numbers, _beyond(planned, until_us, share)))
        for planned in planned_work
    ]


def _beyond(planned: WorkEstimate, until_us: int, share: float) -> int:
    grain = planned.node.partition.grain
    if grain is None:
        return max(1, math.ceil(len(planned.numbers) * share))
    number = number_of(key_at_us(until_us, grain, planned.node.timezone), grain, planned.zone)
    return planned.numbers.edges[-1] if number is None and planned.numbers.edges else (number or 0)


def _below(numbers: IntegerSet, beyond: int) -> IntegerSet:
    edges = [min(edge, beyond) for edge in numbers.edges]
    spans = zip(edges[::2], edges[1::2], strict=True)
    return IntegerSet(edge for span in spans if span[0] < span[1] for edge in span)


def _ends(planned: WorkEstimate) -> tuple[int, int]:
    return planned.numbers.edges[0], planned.numbers.edges[-1] - 1


def _bounds(planned: WorkEstimate, number: int) -> tuple[int, int]:
    grain = planned.node.partition.time_grain
    return bounds_us(key_of_number(number, grain, planned.zone), grain, planned.node.timezone)


# The state from which a core starts


def graph_of(planned_work: Sequence[WorkEstimate], whole: Graph) -> Graph:
    """Return the nodes of a graph that have work, with no inputs other than each other."""
    names = {planned.node.name for planned in planned_work}
    return replace(whole, nodes=tuple(_alone(planned, names) for planned in planned_work))


def _alone(planned: WorkEstimate, names: set[str]) -> GraphNode:
    node = planned.node
    reads = () if node.partition.by_delivery else node.inputs
    return replace(
        node,
        is_source=False,
        partition=_partition_spec(planned),
        inputs=tuple(spec for spec in reads if spec.node in names),
        depends=tuple(name for name in node.depends if name in names),
        start=None,
        untyped=False,
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


def _partition_spec(planned: WorkEstimate) -> PartitionSpec:
    """Return the partitioning for the simulation: growing keys are listed, with generated names."""
    spec = planned.node.partition
    if spec.key is None:
        return spec
    count = planned.each if spec.grain is not None else planned.numbers.edges[-1]
    return replace(spec, values=tuple(f"key{number}" for number in range(count)))


def kept_of(planned_work: Sequence[WorkEstimate]) -> SchedulerCheckpoint:
    """Return the state of all partitions before the work begins."""
    nodes = {
        planned.node.name: KeptNode(
            runs=_published(planned),
            named=(),
            oldest=None,
            newest=None,
            publication=0,
            # nothing lies between the run's beginning and its newest interval that has ended
            expanded=key_at_us(BEGIN_US, planned.node.partition.grain, planned.node.timezone)
            if planned.node.partition.grain is not None
            else "",
        )
        for planned in planned_work
    }
    tracked_partitions = tuple(
        _waiting(planned.node.name, key) for planned in planned_work for key in _keys(planned)
    )
    return SchedulerCheckpoint(CHECKPOINT_FORMAT, nodes, tracked_partitions, {}, complete=True)


def _published(planned: WorkEstimate) -> dict[str, tuple[int, ...]]:
    """Return all intervals around and between those of the work."""
    edges = planned.numbers.edges
    if planned.node.partition.grain is None or not edges:
        return {}
    around = (edges[0] - AROUND, *edges, edges[-1] + AROUND)
    return dict.fromkeys(_partition_spec(planned).values or ("",), around)


def _keys(planned: WorkEstimate) -> list[str]:
    spec = _partition_spec(planned)
    if spec.grain is not None:
        times = [key_of_number(number, spec.grain, planned.zone) for number in planned.numbers]
        if spec.values is None:
            return times
        return [join(time, data) for time, data in product(times, spec.values)]
    if spec.key is not None:
        return list(spec.values or ())
    if spec.by_delivery:
        return [delivery_key(number + 1) for number in planned.numbers]
    return [WHOLE]


def _waiting(node: str, key: str) -> SavedPartition:
    """Return a partition to be recomputed.

    With a first computation, its readers outside the plan would become stale.
    """
    return SavedPartition(
        node=node,
        key=key,
        state=PartitionState.WAITING,
        stale=True,
        proposed=False,
        late=False,
        published=True,
        failures=0,
        not_before=None,
        reason="",
        since=0,
    )


# Virtual workers and a virtual leader: how long it takes to execute the core's decisions. The core
# is the real one, so order, batches, pools and attempts dispatched ahead are those of a real run.
# Time is virtual: nothing waits.

BEGIN_US = 4_102_444_800_000_000
"""The virtual clock begins in 2100, when every interval planned today has ended."""
COMMIT_US = 3_000
"""Cost of one leader loop iteration without its attempts: one transaction."""
ATTEMPT_US = 3_000
"""Cost of one attempt for the leader. The leader processes attempts one by one, while workers
continue with the tasks in their pipes."""

AttemptSeconds = Callable[[str, int], float]
"""(node, number of partitions in an attempt) → seconds of a worker."""


class VirtualRunResult(NamedTuple):
    """The result of a virtual run: `seconds` until all work was published, and the worker time.

    `busy` is the sum of all workers' busy seconds; `published` is a number of partitions.
    """

    seconds: float
    busy: float
    published: int


def run_virtually(
    graph: Graph, checkpoint: SchedulerCheckpoint, takes: AttemptSeconds, slots: int
) -> VirtualRunResult:
    """Return the result of running all waiting partitions of a checkpoint.

    Every attempt succeeds.
    """
    world = _VirtualRun(takes, slots)
    core = Core(epoch=1, slots=slots)
    targets = tuple(Target(node.name) for node in graph.nodes)
    world.give(core, (Loaded(graph, checkpoint=checkpoint), Requested(targets, run=1)))
    while world.happenings:
        world.go_on(core)
    return VirtualRunResult((world.ended_at - BEGIN_US) / 1_000_000, world.busy, world.published)


class _VirtualRun:
    """The virtual execution.

    `happenings` are ends of attempts and leader iterations by their time.
    """

    def __init__(self, takes: AttemptSeconds, slots: int) -> None:
        self._takes, self._free = takes, slots
        self._pipe: deque[Dispatch] = deque()
        """Dispatched attempts that no worker has started."""
        self._inbox: list[Event] = []
        """Results that the busy leader hasn't processed."""
        self._deciding = False
        self._decided: list[Dispatch] = []
        self._count = 0
        self.now = self.ended_at = BEGIN_US
        self.happenings: list[tuple[int, int, Dispatch | None]] = []
        self.published, self.busy = 0, 0.0

    def go_on(self, core: Core) -> None:
        """Process the next event: an attempt ends, or the leader has written its decisions."""
        self.now, _, ended = heapq.heappop(self.happenings)
        if ended is None:
            self._deciding, self.ended_at = False, self.now
            self._send()
        else:
            self._free += 1
            self.published += len(ended.keys)
            self._inbox.append(
                AttemptPublished(
                    ended.attempt,
                    tuple((key, False) for key in ended.keys),
                    self._takes(ended.node, len(ended.keys)),
                )
            )
            self._work()
        if self._inbox and not self._deciding:
            events, self._inbox = tuple(self._inbox), []
            self.give(core, events)

    def give(self, core: Core, events: tuple[Event, ...]) -> None:
        """Run one leader loop iteration; workers get its commands once it is written."""
        commands = core.handle_all(events, self.now)
        self._decided = [command for command in commands if isinstance(command, Dispatch)]
        self._deciding = True
        self._happens(COMMIT_US + ATTEMPT_US * len(events), None)

    def _send(self) -> None:
        self._pipe += self._decided
        self._decided = []
        self._work()

    def _work(self) -> None:
        while self._free and self._pipe:
            dispatch = self._pipe.popleft()
            self._free -= 1
            seconds = self._takes(dispatch.node, len(dispatch.keys))
            self.busy += seconds
            self._happens(int(seconds * 1_000_000), dispatch)

    def _happens(self, after_us: int, what: Dispatch | None) -> None:
        self._count += 1
        heapq.heappush(self.happenings, (self.now + after_us, self._count, what))
