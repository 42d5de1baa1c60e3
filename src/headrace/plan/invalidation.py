"""Published data that a change invalidates, and the backfills that recompute it.

Pure, in ranges of partitions. The plan of an `apply` holds the result; the terminal, the API, the
estimate and the approval rule read it there.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from operator import or_
from typing import NamedTuple

import msgspec

from headrace.model.errors import UsageError
from headrace.model.intervals import GRAINS, bounds_us, key_at_us
from headrace.model.nodes import Value
from headrace.model.partitions import WHOLE
from headrace.plan.backfill_planning import BackfillRequest, choose, plan_backfill
from headrace.plan.backfills import Backfill, Chosen, Mode
from headrace.plan.comparison import renames
from headrace.plan.compiled import ChangeKind, Compiled, NodeChange
from headrace.plan.partition_ranges import NO_PARTITIONS, Extent, NodeInput, spans
from headrace.plan.timeline import (
    NO_EXTENTS,
    NodeExtents,
    Timeline,
    changed_partitions,
    limits_of,
)
from headrace.scheduler import Graph, GraphNode

OWN_CODE = "its own code changed"
FAILED = "failed as it was declared"
WAITS = "failed under the code as it was"
"""After the change these partitions no longer count as failed, but as never tried."""
STALE = "is stale"


class NeededBackfill(Value):
    """A backfill that a change requires, in the words of its command.

    `first` and `last` are keys in the finest grain of the nodes, both included.
    """

    nodes: tuple[str, ...]
    first: str
    last: str
    mode: Mode
    backfill: Backfill | None = None
    """Its plan, as if the previous ones were done; None if the command will be refused."""


class Invalidation(Value):
    """Invalidated and previously failed partitions in topological order, and their backfills."""

    stale: tuple[Chosen, ...] = ()
    failed: tuple[Chosen, ...] = ()
    backfills: tuple[NeededBackfill, ...] = ()

    def of(self, node: str) -> int:
        """Return the number of a node's partitions that its own changed code invalidates."""
        return next(
            (item.partitions for item in self.stale if item.node == node and item.why == OWN_CODE),
            0,
        )

    @property
    def changed_nodes(self) -> frozenset[str]:
        """The nodes whose own changed code invalidates partitions."""
        return frozenset(item.node for item in self.stale if item.why == OWN_CODE)

    @property
    def planned(self) -> tuple[Backfill, ...]:
        """The plans of the backfills, without those whose command will be refused."""
        return tuple(item.backfill for item in self.backfills if item.backfill is not None)


class Published(Value):
    """Partition states under the applied project."""

    graph: Graph
    extents: Mapping[str, NodeExtents]
    returning: Mapping[str, Extent] = {}
    """Asset → published partitions that exactly the new code computed: they aren't stale."""


def invalidated_nodes(changes: Iterable[NodeChange]) -> frozenset[str]:
    """Return the nodes whose publications all become stale by these changes."""
    return frozenset(change.node for change in changes if change.stale)


# The effect of a change that isn't applied yet.


def invalidated_by(
    published: Published,
    old: Compiled,
    new: Compiled,
    graph: Graph,
    changes: Sequence[NodeChange],
    *,
    now_us: int,
    borrowed: frozenset[str] = frozenset(),
) -> Invalidation:
    """Return the effect of changes on published data; `graph` is that of `new`.

    Nodes in `borrowed` are read from production and not computed.
    """
    nodes = {node.name: node for node in graph.nodes}
    extents = _after_the_change(published, old, new, nodes)
    changed = invalidated_nodes(changes) & new.project.assets.keys()
    reached = propagated(
        nodes,
        extents,
        {
            name: extents.get(name, NO_EXTENTS).visible
            - published.returning.get(name, NO_PARTITIONS)
            for name in changed
        },
    )
    stale = _chosen_of(nodes, extents, reached)
    failed = _failed(nodes, extents, changes)
    needed = _needed(nodes, [item for item in stale if item.why == OWN_CODE], failed)
    applied = {
        name: _once_applied(
            node_extents,
            reached.get(name),
            published.returning.get(name, NO_PARTITIONS),
            code_changed=name in changed,
        )
        for name, node_extents in extents.items()
    }
    return Invalidation(
        stale=stale,
        failed=failed,
        backfills=planned_ahead(graph, new, applied, needed, now_us=now_us, borrowed=borrowed),
    )


def _after_the_change(
    published: Published, old: Compiled, new: Compiled, nodes: Mapping[str, GraphNode]
) -> dict[str, NodeExtents]:
    """Return the partition states by new name, without nodes whose partitioning changes.

    Publications of such nodes are withdrawn.
    """
    extents = dict(published.extents)
    for name, former in renames(old, new).items():
        if former in extents and name not in extents:
            extents[name] = extents[former]
    before = {node.name: node.partition for node in published.graph.nodes}
    return {
        name: node_extents
        for name, node_extents in extents.items()
        if name not in before or name not in nodes or before[name] == nodes[name].partition
    }


def _once_applied(
    extents: NodeExtents, reached: Reached | None, returning: Extent, *, code_changed: bool
) -> NodeExtents:
    """Return a node's partition states after the change.

    Invalidated partitions aren't fresh, and those in `returning` are fresh again. If its own code
    changed, failures count as never tried.
    """
    if reached is None and not returning:
        return extents
    stale = NO_PARTITIONS if reached is None else reached.extent
    node_extents = msgspec.structs.replace(extents, fresh=(extents.fresh | returning) - stale)
    return (
        msgspec.structs.replace(node_extents, failed=NO_PARTITIONS, hopeless=NO_PARTITIONS)
        if code_changed
        else node_extents
    )


def _failed(
    nodes: Mapping[str, GraphNode],
    extents: Mapping[str, NodeExtents],
    changes: Iterable[NodeChange],
) -> tuple[Chosen, ...]:
    """Return the failed or rejected partitions of the changed nodes."""
    kinds = (ChangeKind.BODY, ChangeKind.SCHEMA, ChangeKind.CHECKS)
    concerned = {change.node: FAILED for change in changes if change.change in kinds}
    concerned |= {change.node: WAITS for change in changes if change.stale}
    failed = {
        name: extents[name].failed
        for name in nodes
        if name in concerned and name in extents and extents[name].failed
    }
    return tuple(
        _chosen(nodes[name], extent, extents[name], concerned[name])
        for name, extent in failed.items()
    )


# The effect of recomputed partitions on published ones downstream.


class Reached(NamedTuple):
    """The invalidated partitions of a node, and the reason."""

    extent: Extent
    why: str


def propagated(
    nodes: Mapping[str, GraphNode],
    extents: Mapping[str, NodeExtents],
    changed: Mapping[str, Extent],
    begun: Mapping[str, Extent] | None = None,
) -> dict[str, Reached]:
    """Return the invalidated partitions: `changed` by node, and published partitions downstream.

    `nodes` are in topological order. `begun` are partitions that only start the propagation.
    Exports are included if they are sent again.
    """
    reached = dict(begun or {})
    results: dict[str, Reached] = {}
    for name, node in nodes.items():
        invalidated = changed.get(name, NO_PARTITIONS)
        reading = _published_readers(node, nodes, reached, extents.get(name, NO_EXTENTS))
        if invalidated or reading:
            reached[name] = functools.reduce(or_, reading.values(), invalidated)
            why = OWN_CODE if invalidated else f"reads {' and '.join(reading)}"
            results[name] = Reached(reached[name], why)
    return results


def _published_readers(
    node: GraphNode,
    nodes: Mapping[str, GraphNode],
    reached: Mapping[str, Extent],
    extents: NodeExtents,
) -> dict[str, Extent]:
    """Return input → the node's published partitions that read a reached partition of it."""
    results: dict[str, Extent] = {}
    for spec in () if node.tells else node.inputs:
        if spec.node not in reached:
            continue
        read = NodeInput(output=node, spec=spec, input=nodes[spec.node])
        partitions = changed_partitions(read, reached[spec.node], extents) & extents.visible
        if partitions:
            results[spec.node] = results.get(spec.node, NO_PARTITIONS) | partitions
    return results


def invalidated_downstream(
    published: Published, source: str, keys: Extent, assets: Collection[str]
) -> Invalidation:
    """Return the published partitions downstream of a source's partitions, and their backfills.

    The backfills name `assets` only; exports follow by themselves.
    """
    nodes = {node.name: node for node in published.graph.nodes}
    reached = propagated(nodes, published.extents, {}, {source: keys})
    stale = _chosen_of(nodes, published.extents, reached)
    return Invalidation(
        stale=stale,
        backfills=tuple(_needed(nodes, [item for item in stale if item.node in assets], ())),
    )


# What is stale in the applied project.


def outstanding(
    published: Published,
    compiled: Compiled,
    names: Collection[str],
    *,
    failed: tuple[Chosen, ...] = (),
    why: str = STALE,
    now_us: int,
) -> Invalidation:
    """Return the stale partitions of the named nodes, and the backfills of them and of `failed`."""
    nodes = {node.name: node for node in published.graph.nodes}
    extents = {
        name: node_extents.visible - node_extents.fresh
        for name in nodes
        if name in names and (node_extents := published.extents.get(name)) is not None
    }
    stale = tuple(
        _chosen(nodes[name], extent, published.extents[name], why)
        for name, extent in extents.items()
        if extent
    )
    needed = _needed(nodes, stale, failed)
    ahead = planned_ahead(published.graph, compiled, published.extents, needed, now_us=now_us)
    return Invalidation(stale=stale, failed=failed, backfills=ahead)


def _chosen_of(
    nodes: Mapping[str, GraphNode],
    extents: Mapping[str, NodeExtents],
    reached: Mapping[str, Reached],
) -> tuple[Chosen, ...]:
    return tuple(
        _chosen(nodes[name], item.extent, extents.get(name, NO_EXTENTS), item.why)
        for name, item in reached.items()
    )


def _chosen(node: GraphNode, extent: Extent, extents: NodeExtents, why: str) -> Chosen:
    return Chosen(
        node=node.name, spans=spans(node, extent, extents.known), partitions=len(extent), why=why
    )


# Backfills that a change requires, planned before the change is applied, with the planner of
# `backfill`.


def planned_ahead(
    graph: Graph,
    compiled: Compiled,
    known_extents: Mapping[str, NodeExtents],
    needed: Iterable[NeededBackfill],
    *,
    now_us: int,
    borrowed: frozenset[str] = frozenset(),
) -> tuple[NeededBackfill, ...]:
    """Plan each backfill as if the previous ones were done.

    `known_extents` are the partition states before the first one.
    """
    results: list[NeededBackfill] = []
    extents = dict(known_extents)
    for item in needed:
        timeline = Timeline(graph, extents, now_us)
        nodes = [timeline.nodes[name] for name in item.nodes]
        try:
            request = BackfillRequest(
                mode=item.mode,
                limits=limits_of(nodes, item.first, item.last),
                borrowed=borrowed,
            )
            backfill = plan_backfill(timeline, compiled, request)
        except UsageError:  # the command will be refused, so there is nothing to count
            results.append(item)
            continue
        if not backfill.chosen:
            continue  # the next tick ingests waiting deliveries without a backfill
        results.append(msgspec.structs.replace(item, backfill=backfill))
        for picked in choose(timeline, compiled, request).picked:
            extents[picked.node] = _once_made(extents.get(picked.node, NO_EXTENTS), picked.extent)
    return tuple(results)


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


def _needed(
    nodes: Mapping[str, GraphNode], stale: Sequence[Chosen], failed: Sequence[Chosen]
) -> Iterator[NeededBackfill]:
    """Yield the backfills of stale and failed partitions.

    Their downstream nodes follow automatically.
    """
    for group in _groups(nodes, [*stale, *(item for item in failed if item.why == WAITS)]):
        yield _backfill_of(nodes, group, Mode.MISSING)
    for group in _groups(nodes, [item for item in failed if item.why == FAILED]):
        yield _backfill_of(nodes, group, Mode.FAILED)


def _groups(nodes: Mapping[str, GraphNode], chosen: Sequence[Chosen]) -> list[list[Chosen]]:
    """Group nodes by range: one group for all partitioned by time and all unpartitioned ones.

    Each other node is a group of its own.
    """
    timed = [
        item
        for item in chosen
        if nodes[item.node].partition.grain is not None or nodes[item.node].partition.whole
    ]
    rest: dict[str, list[Chosen]] = {}
    for item in chosen:
        if item not in timed:
            rest.setdefault(item.node, []).append(item)
    return [*([timed] if timed else []), *rest.values()]


def _backfill_of(
    nodes: Mapping[str, GraphNode], chosen: Sequence[Chosen], mode: Mode
) -> NeededBackfill:
    first, last = _range(nodes, chosen)
    names = tuple(dict.fromkeys(item.node for item in chosen))
    return NeededBackfill(nodes=names, first=first, last=last, mode=mode)


def _range(nodes: Mapping[str, GraphNode], chosen: Sequence[Chosen]) -> tuple[str, str]:
    """Return the first and the last key, both included, in the finest grain of the nodes."""
    cut = [item for item in chosen if nodes[item.node].partition.grain is not None]
    if not cut:
        chosen_spans = [span for item in chosen for span in item.spans]
        keys = sorted([span.first for span in chosen_spans] + [span.last for span in chosen_spans])
        return (keys[0], keys[-1]) if keys else (WHOLE, WHOLE)
    finest = nodes[
        min(cut, key=lambda item: GRAINS.index(nodes[item.node].partition.time_grain)).node
    ]
    begins = min(_bounds(nodes[item.node], item.spans[0].first)[0] for item in cut)
    ends = max(_bounds(nodes[item.node], item.spans[-1].last)[1] for item in cut)
    return key_at_us(begins, finest.partition.time_grain, finest.timezone), key_at_us(
        ends - 1, finest.partition.time_grain, finest.timezone
    )


def _bounds(node: GraphNode, key: str) -> tuple[int, int]:
    return bounds_us(key.partition("/")[0], node.partition.time_grain, node.timezone)
