"""The declared part of an evaluation: nodes with their rhythm, promises, and deciders.

It is derived once from an applied project; the rest of this package evaluates `DeclaredPromises`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

import msgspec

from headrace.model import (
    Asset,
    Consumer,
    Grain,
    InputMode,
    InputSpec,
    PartitionSpec,
    Project,
    Source,
    UsageError,
)
from headrace.model.export_problems import reads_of
from headrace.model.exports import ASSET_PLACEHOLDER, export_of, export_partition, path_of
from headrace.model.intervals import interval_of, key_at_us, keys_between, start_us
from headrace.model.nodes import ACCUMULATING
from headrace.model.partitions import SEPARATOR, first_start_us, required
from headrace.model.reachability import reachable
from headrace.model.times import NO_DAYS_OFF, DaysOff, Duration, days_off
from headrace.plan.backfills import declared_pools, declared_slots
from headrace.plan.compiled import expand_view_names, expand_views, is_view
from headrace.scheduler.graph import NodeTrigger, trigger_of

if TYPE_CHECKING:
    from headrace.plan import Compiled


WHOLE = "*"


class NoData:
    """The intervals of a node for which no data is due: the scheduler expects none of them either.

    They are off by the node's calendar, or nothing is due of any input partition that they need.
    """

    __slots__ = ("_grain", "_inputs", "_timezone", "calendar")

    def __init__(
        self,
        calendar: DaysOff = NO_DAYS_OFF,
        grain: Grain | None = None,
        timezone: str = "",
        inputs: Sequence[tuple[InputSpec, NoData]] = (),
    ) -> None:
        """Each of `inputs` is partitioned by time and has intervals without data."""
        self.calendar, self._grain, self._timezone = calendar, grain, timezone
        self._inputs = inputs

    @property
    def none(self) -> bool:
        """True if data is due for every interval."""
        return self.calendar.none and not self._inputs

    def covers(self, interval: str) -> bool:
        """Return whether no data is due for an interval."""
        pending, checked = [(self, interval)], set[tuple[NoData, str]]()
        while pending:  # not recursive: a chain may be longer than the stack
            node, key = pending.pop()
            if (node, key) in checked:
                continue
            checked.add((node, key))
            if node._grain and node.calendar.covers(key, node._grain, node._timezone):
                continue
            if not node._inputs:
                return False
            pending += node._needed(key)
        return True

    def _needed(self, interval: str) -> Iterator[tuple[NoData, str]]:
        for spec, source in self._inputs:
            needed = required(
                PartitionSpec(grain=self._grain),
                self._timezone,
                interval,
                PartitionSpec(grain=source._grain),
                source._timezone,
                spec,
            )
            for key in needed.keys or ():
                yield source, key

    @functools.lru_cache(1 << 10)  # noqa: B019 - lives as long as the applied project
    def count(self, first: str, last: str) -> int:
        """Return how many intervals from `first` to `last`, both included, have no data due."""
        if self.none or self._grain is None:
            return 0
        if not self._inputs and self._grain is Grain.DAY:
            return self.calendar.count(date.fromisoformat(first), date.fromisoformat(last))
        return sum(map(self.covers, keys_between(first, last, self._grain, self._timezone)))


ALWAYS_DUE = NoData()


class Node(msgspec.Struct, frozen=True):
    """A source or an asset, or the export of a consumer.

    `inputs` are final: those found in the asset code and those declared.
    """

    name: str
    is_source: bool
    partition: PartitionSpec
    timezone: str
    inputs: tuple[InputSpec, ...] = ()
    start: str | None = None
    """The first expected partition, if declared."""
    expect_by: str | None = None
    """Offset after an interval's end by which its delivery is promised."""
    no_data: NoData = ALWAYS_DUE
    """Intervals without expected data, by the node's calendar or by those of its inputs."""
    trigger: NodeTrigger | None = None
    """For an asset: when it runs, unless its inputs and consumers decide that."""
    accumulating: bool = False
    """For an asset: later partitions are merged into earlier ones, so none can be withdrawn."""
    exported_to: str = ""
    """For an export: the target as declared, without secrets."""

    def cut(self, key: str) -> PartitionSpec:
        """Return how a partition is partitioned: an interval without known keys, by time only."""
        spec = self.partition
        return (
            PartitionSpec(grain=spec.grain)
            if spec.grain is not None and spec.key is not None and SEPARATOR not in key
            else spec
        )

    def target(self, partition: str) -> str:
        """For an export: return where one interval is written."""
        grain = self.partition.grain
        start = interval_of(partition, grain, self.timezone).start if grain is not None else None
        return path_of(self.exported_to, start, ASSET_PLACEHOLDER)


class Terms(msgspec.Struct, frozen=True):
    """The promise to one consumer: its reads per interval.

    They are due at `due` (an offset after the interval) or must not be older than `max_age`.
    """

    consumer: str
    owner: str
    reads: tuple[str, ...]
    """Nodes with data; a view is replaced by the nodes that it reads."""
    per: Grain
    timezone: str
    due: str | None = None
    max_age: str | None = None
    no_data: DaysOff = NO_DAYS_OFF
    since: str | None = None
    """Declared start of the promise; None: from when it is applied."""
    named: tuple[str, ...] = ()
    """The reads as declared, including views; empty if none of them is a view."""


class DeclaredPromises(msgspec.Struct, frozen=True):
    """All declarations that an evaluation uses.

    `nodes` are in topological order; `timezone` is the project's.
    """

    timezone: str
    nodes: dict[str, Node]
    consumers: tuple[Terms, ...]
    views: dict[str, tuple[str, ...]] = {}
    """View → the nodes with data that it reads, directly or through other views."""
    tick_every_us: int | None = None
    """The declared cadence of the project, `[run] tick_every`; None if not declared."""
    exports: dict[str, Node] = {}
    """Consumer → its export; its intervals are met only once they are exported, too."""

    def upstream(self, names: Iterable[str]) -> list[Node]:
        """Return the declared nodes among the names and upstream of them, nearest first."""

        def inputs(name: str) -> Iterable[str]:
            node = self.nodes.get(name)
            return () if node is None else (spec.node for spec in node.inputs)

        reached = reachable(names, inputs)
        return [self.nodes[name] for name in reached if name in self.nodes]


def declared_promises(compiled: Compiled) -> DeclaredPromises:
    """Return the promises of an applied project and the nodes that they depend on."""
    project = compiled.project
    return DeclaredPromises(
        timezone=project.settings.timezone,
        nodes=_nodes(compiled),
        views={
            name: expand_view_names(compiled, [name])
            for name in compiled.order
            if is_view(compiled.project, name)
        },
        consumers=tuple(_terms(compiled, consumer) for consumer in project.consumers.values()),
        exports=_exports(compiled),
        tick_every_us=_tick_every_us(project.settings.tick_every),
    )


def _tick_every_us(declared: str | None) -> int | None:
    return None if declared is None else Duration.parse(declared).after_us(0, "UTC")


def _evaluated_nodes(compiled: Compiled) -> list[str]:
    """Return the nodes that have partitions of their own, which excludes views."""
    return [
        name
        for name in compiled.order
        if name in compiled.nodes and not is_view(compiled.project, name)
    ]


def _exports(compiled: Compiled) -> dict[str, Node]:
    project, nodes = compiled.project, {}
    for name, consumer in project.consumers.items():
        export = export_of(consumer)
        if export is not None:
            nodes[name] = Node(
                name=name,
                is_source=False,
                partition=export_partition(consumer, reads_of(project, consumer)),
                timezone=consumer.timezone or project.settings.timezone,
                inputs=expand_views(
                    compiled,
                    [InputSpec(node=read, place=consumer.place) for read in consumer.reads],
                ),
                exported_to=export.label,
            )
    return nodes


def _nodes(compiled: Compiled) -> dict[str, Node]:
    nodes: dict[str, Node] = {}
    for name in _evaluated_nodes(compiled):
        nodes[name] = _node(
            compiled.project, name, expand_views(compiled, compiled.nodes[name].inputs), nodes
        )
    return nodes


def _node(
    project: Project, name: str, inputs: tuple[InputSpec, ...], above: dict[str, Node]
) -> Node:
    source = project.sources.get(name)
    declared = source or project.assets[name]
    return Node(
        name=name,
        is_source=source is not None,
        partition=declared.partition,
        timezone=declared.timezone or project.settings.timezone,
        inputs=inputs,
        start=declared.start,
        expect_by=source.expect.by if source is not None else None,
        trigger=trigger_of(project, project.assets[name]) if source is None else None,
        no_data=_no_data(project, declared, inputs, above),
        accumulating=source is None and project.assets[name].materialize in ACCUMULATING,
    )


def _terms(compiled: Compiled, consumer: Consumer) -> Terms:
    project = compiled.project
    return Terms(
        consumer=consumer.name,
        owner=consumer.owner,
        reads=expand_view_names(compiled, consumer.reads),
        per=consumer.per,
        timezone=consumer.timezone or project.settings.timezone,
        due=consumer.due,
        max_age=consumer.max_age,
        since=consumer.since,
        no_data=days_off(project, consumer.calendar),
        named=consumer.reads if any(is_view(project, name) for name in consumer.reads) else (),
    )


def _no_data(
    project: Project,
    declared: Source | Asset,
    inputs: tuple[InputSpec, ...],
    above: dict[str, Node],
) -> NoData:
    """Return the intervals without data of a node, shared with its input where they are the same.

    Inputs that aren't partitioned by time don't decide it.
    """
    timezone = declared.timezone or project.settings.timezone
    calendar, grain = days_off(project, declared.calendar), declared.partition.grain
    if grain is None:
        return ALWAYS_DUE
    paced = [
        (spec, node)
        for spec in inputs
        if _sets_the_pace(spec) and (node := above.get(spec.node)) and node.partition.grain
    ]
    if any(node.no_data.none for _, node in paced):
        paced = []
    plain = calendar.none and all(
        spec.lookback is None
        and spec.mode is InputMode.REQUIRED
        and (node.partition.grain, node.timezone) == (grain, timezone)
        for spec, node in paced
    )
    shared = {node.no_data for _, node in paced}
    if plain and len(shared) == 1:
        return shared.pop()
    return NoData(calendar, grain, timezone, [(spec, node.no_data) for spec, node in paced])


class Rhythm(msgspec.Struct, frozen=True):
    """Whether a node's data comes by interval, and from when it is expected.

    Without a rhythm (reference data) nothing is ever expected. `start_us` None: not known yet.
    """

    has: bool
    start_us: int | None = None


class Rhythms:
    """The rhythms of nodes, recomputed only when the oldest delivery of a source changes."""

    def __init__(self, nodes: dict[str, Node]) -> None:
        self._nodes = nodes
        self._oldest: dict[str, str | None] | None = None
        self._found: dict[str, Rhythm] = {}

    def of(self, oldest: dict[str, str | None]) -> dict[str, Rhythm]:
        """Return the rhythm of each node; `oldest` is each source's oldest delivered interval.

        A source starts at its declared start, or with its oldest delivery; an asset at the latest
        start of its required inputs.
        """
        if oldest != self._oldest:
            self._oldest, self._found = oldest, {}
            for node in self._nodes.values():
                self._found[node.name] = self._rhythm(node, oldest.get(node.name))
        return self._found

    def _rhythm(self, node: Node, oldest: str | None) -> Rhythm:
        grain = node.partition.grain
        if node.is_source:
            return _source_rhythm(node, oldest)
        if grain is not None and node.start is not None:
            return Rhythm(has=True, start_us=began(node.start, grain, node.timezone))
        inputs = [
            (math.inf if rhythm.start_us is None else rhythm.start_us, self._nodes[spec.node], spec)
            for spec in node.inputs
            if _sets_the_pace(spec) and (rhythm := self._found.get(spec.node)) and rhythm.has
        ]
        first = self._first_start(node, inputs)
        known = None if math.isinf(first) else int(first)
        return Rhythm(has=grain is not None or bool(inputs), start_us=known)

    def _first_start(self, node: Node, inputs: list[tuple[float, Node, InputSpec]]) -> float:
        """Return when an asset's data begins, given when that of its inputs does.

        Infinite if that isn't known.
        """
        grain, latest = node.partition.grain, max((start for start, *_ in inputs), default=math.inf)
        if grain is None or math.isinf(latest):
            return latest
        by_time = [
            (start, source.partition.grain, source.timezone, spec)
            for start, source, spec in inputs
            if source.partition.grain is not None
        ]
        first = max(latest, first_start_us(grain, node.timezone, by_time))
        return _interval_start(int(first), grain, node.timezone)


@functools.lru_cache(1 << 12)
def _interval_start(at_us: int, grain: Grain, timezone: str) -> int:
    """Return the start of the interval around a point in time; most nodes ask the same."""
    return start_us(key_at_us(at_us, grain, timezone), grain, timezone)


def _source_rhythm(source: Node, oldest: str | None) -> Rhythm:
    grain = source.partition.grain
    if grain is None:
        return Rhythm(has=False)
    return Rhythm(has=True, start_us=began(source.start or oldest, grain, source.timezone))


def began(key: str | None, grain: Grain, timezone: str) -> int | None:
    """Return when a partition starts.

    None without a key, and for a key of another grain from before a change of the declaration.
    """
    try:
        return None if key is None else start_us(key.partition(SEPARATOR)[0], grain, timezone)
    except UsageError:
        return None


def _sets_the_pace(spec: InputSpec) -> bool:
    return spec.mode is not InputMode.ALL and not spec.optional


# Traits of nodes that the delay ledger needs besides their partitioning and inputs: owner, decider,
# concurrency pools. `decider` names the person who can decide for an owner, since a vendor can't
# decide inside the project.


class NodeTraits(msgspec.Struct, frozen=True, gc=False):
    """Traits of one node.

    `chained`: each partition builds on the one before it. `pooled`: it needs a concurrency pool
    besides a worker. `late`: for a source, what must happen besides its delivery before an interval
    is complete.
    """

    owner: str = ""
    decider: str = ""
    """Who decides about held data: the owner or a vendor's nearest manager who isn't a vendor."""
    attempts_max: int = 5
    chained: bool = False
    pooled: bool = False
    late: str = ""
    takes: tuple[tuple[str, int, int], ...] = ()
    """The concurrency pools that it needs: (name, slots taken, slots in total)."""


def traits(compiled: Compiled) -> dict[str, NodeTraits]:
    """Return the traits of each source, asset and consumer (for the consumer's export)."""
    project, sizes = compiled.project, declared_pools(compiled.project)
    of_sources = {
        name: _source_traits(project, source, sizes) for name, source in project.sources.items()
    }
    of_assets = {
        name: _asset_traits(project, asset, sizes, uses_self=compiled.nodes[name].uses_self)
        for name, asset in project.assets.items()
        if not is_view(project, name) and name in compiled.nodes
    }
    of_consumers = {
        name: NodeTraits(consumer.owner) for name, consumer in project.consumers.items()
    }
    return of_sources | of_assets | of_consumers


def _source_traits(project: Project, source: Source, sizes: Mapping[str, int]) -> NodeTraits:
    late = ""
    if source.complete.after:
        late = f"after {source.complete.after}"
    elif source.complete.watermark:
        late = "with a later delivery"
    takes = _takes(project, source, sizes)
    return NodeTraits(
        source.owner,
        decider(project, source.owner),
        pooled=bool(takes),
        late=late,
        takes=takes,
    )


def _asset_traits(
    project: Project, asset: Asset, sizes: Mapping[str, int], *, uses_self: bool
) -> NodeTraits:
    takes = _takes(project, asset, sizes)
    return NodeTraits(
        asset.owner,
        decider(project, asset.owner),
        asset.attempts_max,
        chained=(uses_self or asset.accumulates) and not asset.partition.whole,
        pooled=bool(takes),
        takes=takes,
    )


def decider(project: Project, owner: str) -> str:
    """Return who decides in place of an owner; empty if a vendor has no manager in the project."""
    seen = set[str]()
    while owner in project.owners and owner not in seen:
        seen.add(owner)
        if project.owners[owner].kind != "vendor":
            return owner
        owner = project.owners[owner].manager or ""
    return ""


def _takes(
    project: Project, node: Source | Asset, sizes: Mapping[str, int]
) -> tuple[tuple[str, int, int], ...]:
    return tuple(
        (take.pool, take.slots, sizes[take.pool])
        for take in declared_slots(project, node)
        if take.pool in sizes
    )
