"""Data that a change invalidates: its ranges, its cost, and the backfills that recompute it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from headrace.model import Grain, UsageError
from headrace.model.intervals import GRAINS, bounds_us, key_at_us
from headrace.model.partitions import WHOLE
from headrace.model.settings import PRODUCTION
from headrace.plan import ChangeKind, Compiled, NodeChange
from headrace.plan.backfill_planning import BackfillRequest, choose, plan_backfill
from headrace.plan.backfills import Backfill, Chosen, Mode
from headrace.plan.comparison import renames
from headrace.plan.partition_ranges import (
    NO_PARTITIONS,
    Extent,
    NodeInput,
    downstream_partitions,
    extent_of_keys,
    spans,
)
from headrace.plan.timeline import NodeExtents, Timeline, limits_of
from headrace.runtime.graph import graph_of
from headrace.runtime.recomputation import returned
from headrace.scheduler import Graph, GraphNode
from headrace.scheduler.estimates import Estimate
from headrace.services import estimates, plan_inputs
from headrace.services.backfill_planning import mode_of
from headrace.services.plan_inputs import count_partitions
from headrace.services.responses import NeededRow, StaleRow
from headrace.store import Transaction

# Backfills that a change requires, planned before the change is applied, with the planner of
# `backfill`.


class Ahead(NamedTuple):
    """The required commands with the partitions that each computes, and their plans."""

    rows: tuple[NeededRow, ...]
    backfills: tuple[Backfill, ...]


def planned_ahead(
    graph: Graph,
    compiled: Compiled,
    known_extents: Mapping[str, NodeExtents],
    needed: Iterable[NeededRow],
    *,
    now_us: int,
    borrowed: frozenset[str] = frozenset(),
) -> Ahead:
    """Plan each backfill as if the previous ones were done.

    `known_extents` are the partition states before the first one.
    """
    rows: list[NeededRow] = []
    backfills: list[Backfill] = []
    there = dict(known_extents)
    for row in needed:
        timeline = Timeline(graph, there, now_us)
        nodes = [timeline.nodes[name] for name in row.select]
        try:
            request = BackfillRequest(
                mode=mode_of(row.mode),
                limits=limits_of(nodes, row.from_, row.to),
                borrowed=borrowed,
            )
            backfill = plan_backfill(timeline, compiled, request)
        except UsageError:  # the command will be refused, so there is nothing to count
            rows.append(row)
            continue
        if not backfill.chosen:
            continue  # the next tick ingests waiting deliveries without a backfill
        counts = count_partitions(
            compiled.project, ((made.node, made.partitions) for made in backfill.chosen)
        )
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


OWN_CODE = "its own code changed"
FAILED = "failed as it was declared"
WAITS = "failed under the code as it was"
"""After the change these partitions no longer count as failed, but as never tried."""


class Reached(NamedTuple):
    """The invalidated partitions of a node, and the reason."""

    extent: Extent
    why: str


class Invalidated(msgspec.Struct, frozen=True):
    """Invalidated and previously failed partitions in topological order, and their backfills.

    `estimate` and `bytes` are the cost of these backfills.
    """

    stale: tuple[Chosen, ...] = ()
    failed: tuple[Chosen, ...] = ()
    estimate: Estimate | None = None
    bytes: int | None = None
    backfills: tuple[NeededRow, ...] = ()
    planned: tuple[Backfill, ...] = ()
    """The plans of `backfills`."""

    def of(self, node: str) -> int:
        """Return the number of a node's partitions that its own changed code invalidates."""
        return next(
            (item.partitions for item in self.stale if item.node == node and item.why == OWN_CODE),
            0,
        )


def invalidated_by(
    tx: Transaction,
    old: Compiled,
    new: Compiled,
    changes: Sequence[NodeChange],
    *,
    version: int | None,
    env: str,
    now_us: int,
    borrowed: frozenset[str] = frozenset(),
) -> Invalidated:
    """Return the effect of changes on published data.

    `version` is the applied version in the store. Nodes in `borrowed` are read from production and
    not computed.
    """
    before, after = graph_of(old), graph_of(new)
    there = _there(plan_inputs.read_states(tx, before, version=version, arrived={}), old, new)
    nodes = {node.name: node for node in after.nodes}
    changed = {
        change.node for change in changes if change.stale and change.node in new.project.assets
    }
    returning = {
        name: extent_of_keys(nodes[name], returned(tx, new, name))
        for name in changed
        if name in old.project.assets and name in nodes
    }
    reached = _stale(
        nodes,
        there,
        {
            name: there.get(name, NodeExtents()).visible - returning.get(name, NO_PARTITIONS)
            for name in changed
        },
    )
    again = tuple(
        _chosen(nodes[name], item.extent, there.get(name, NodeExtents()), item.why)
        for name, item in reached.items()
    )
    repaired = _failed(nodes, there, changes)
    needed = _needed(nodes, [item for item in again if item.why == OWN_CODE], repaired, env)
    applied = {
        name: _once_applied(
            extents, reached.get(name), returning.get(name, NO_PARTITIONS), name in changed
        )
        for name, extents in there.items()
    }
    ahead = planned_ahead(after, new, applied, needed, now_us=now_us, borrowed=borrowed)
    return Invalidated(
        stale=again,
        failed=repaired,
        estimate=_summed(tx, new, ahead.backfills) if again else None,
        bytes=sum(estimates.bytes_of(tx, backfill) for backfill in ahead.backfills),
        backfills=ahead.rows,
        planned=ahead.backfills,
    )


def _once_applied(
    extents: NodeExtents, reached: Reached | None, returning: Extent, own: bool
) -> NodeExtents:
    """Return a node's partition states after the change.

    Invalidated partitions aren't fresh, and those in `returning` are fresh again. If its `own` code
    changed, failures count as never tried.
    """
    if reached is None and not returning:
        return extents
    stale = NO_PARTITIONS if reached is None else reached.extent
    node_extents = msgspec.structs.replace(extents, fresh=(extents.fresh | returning) - stale)
    return (
        msgspec.structs.replace(node_extents, failed=NO_PARTITIONS, hopeless=NO_PARTITIONS)
        if own
        else node_extents
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


def still_invalid(
    tx: Transaction, compiled: Compiled, before: Invalidated, *, version: int, env: str, now_us: int
) -> Invalidated:
    """Return what is still invalid after the change was applied.

    An environment may have contributed finished partitions.
    """
    names = {item.node for item in before.stale if item.why == OWN_CODE}
    return _outstanding(
        tx, compiled, names, before.failed, OWN_CODE, version=version, env=env, now_us=now_us
    )


def outstanding(
    tx: Transaction, compiled: Compiled, *, version: int, env: str, now_us: int
) -> Invalidated:
    """Return the stale partitions of the applied project that have no request to recompute them."""
    names = set(compiled.project.assets)
    return _outstanding(
        tx, compiled, names, (), "is stale", version=version, env=env, now_us=now_us
    )


def _outstanding(
    tx: Transaction,
    compiled: Compiled,
    names: set[str],
    failed: tuple[Chosen, ...],
    why: str,
    *,
    version: int,
    env: str,
    now_us: int,
) -> Invalidated:
    graph = graph_of(compiled)
    there, nodes = (
        plan_inputs.read_states(tx, graph, version=version, arrived={}),
        {node.name: node for node in graph.nodes},
    )
    extents = {
        name: there[name].visible - there[name].fresh
        for name in nodes
        if name in names and name in there
    }
    still = tuple(
        _chosen(nodes[name], extent, there[name], why) for name, extent in extents.items() if extent
    )
    ahead = planned_ahead(graph, compiled, there, _needed(nodes, still, failed, env), now_us=now_us)
    return Invalidated(stale=still, failed=failed, backfills=ahead.rows, planned=ahead.backfills)


def invalidated_downstream(
    tx: Transaction, compiled: Compiled, source: str, keys: Sequence[str], *, version: int, env: str
) -> Invalidated:
    """Return the published partitions downstream of a source's partitions, and their backfills."""
    graph = graph_of(compiled)
    there, nodes = (
        plan_inputs.read_states(tx, graph, version=version, arrived={}),
        {node.name: node for node in graph.nodes},
    )
    results = _stale(nodes, there, {}, {source: extent_of_keys(nodes[source], keys)})
    again = tuple(
        _chosen(nodes[name], item.extent, there.get(name, NodeExtents()), item.why)
        for name, item in results.items()
    )
    return Invalidated(
        stale=again,
        backfills=tuple(
            _needed(
                nodes, [item for item in again if item.node in compiled.project.assets], (), env
            )
        ),
    )


def _there(
    extents: Mapping[str, NodeExtents], old: Compiled, new: Compiled
) -> dict[str, NodeExtents]:
    """Return the partition states after the change, without nodes whose partitioning changes.

    Publications of such nodes are withdrawn.
    """
    there = dict(extents)
    for name, former in renames(old, new).items():
        if former in there and name not in there:
            there[name] = there[former]
    cut = {node.name: (node.partition, node.timezone) for node in graph_of(old).nodes}
    now = {node.name: (node.partition, node.timezone) for node in graph_of(new).nodes}
    return {
        name: extents
        for name, extents in there.items()
        if name not in cut or name not in now or cut[name][0] == now[name][0]
    }


def _stale(
    nodes: Mapping[str, GraphNode],
    there: Mapping[str, NodeExtents],
    changed: Mapping[str, Extent],
    begun: Mapping[str, Extent] | None = None,
) -> dict[str, Reached]:
    """Return the invalidated partitions: `changed` by node, and published partitions downstream.

    `begun` are partitions that only start the propagation. Exports are included if they are sent
    again.
    """
    extents: dict[str, Extent] = dict(begun or {})
    chosen: dict[str, Reached] = {}
    for name, node in nodes.items():
        node_extents = there.get(name, NodeExtents())
        extent = changed.get(name, NO_PARTITIONS)
        reading = NO_PARTITIONS
        names: list[str] = []
        for spec in node.inputs:
            if spec.node not in extents or node.tells:
                continue
            read = NodeInput(output=node, spec=spec, input=nodes[spec.node])
            rebuilt = read.reference and node.rebuild_on_reference
            if (
                reached := (
                    node_extents.visible
                    if rebuilt
                    else downstream_partitions(read, extents[spec.node], node_extents.known)
                )
                & node_extents.visible
            ):
                reading, names = reading | reached, [*names, spec.node]
        if extent or reading:
            extents[name] = extent | reading
            chosen[name] = Reached(
                extents[name], OWN_CODE if extent else f"reads {' and '.join(dict.fromkeys(names))}"
            )
    return chosen


def _failed(
    nodes: Mapping[str, GraphNode], there: Mapping[str, NodeExtents], changes: Iterable[NodeChange]
) -> tuple[Chosen, ...]:
    """Return the failed or rejected partitions of the changed nodes."""
    kinds = (ChangeKind.BODY, ChangeKind.SCHEMA, ChangeKind.CHECKS)
    concerned = {change.node: FAILED for change in changes if change.change in kinds}
    concerned |= {change.node: WAITS for change in changes if change.stale}
    failed = {
        name: there[name].failed
        for name in nodes
        if name in concerned and name in there and there[name].failed
    }
    return tuple(
        _chosen(nodes[name], extent, there[name], concerned[name])
        for name, extent in failed.items()
    )


def _chosen(node: GraphNode, extent: Extent, extents: NodeExtents, why: str) -> Chosen:
    return Chosen(
        node=node.name, spans=spans(node, extent, extents.known), partitions=len(extent), why=why
    )


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


# Commands


def _needed(
    nodes: Mapping[str, GraphNode], stale: Sequence[Chosen], failed: Sequence[Chosen], env: str
) -> Iterator[NeededRow]:
    """Yield the backfills of stale and failed partitions.

    Their downstream nodes follow automatically.
    """
    for group in _groups(nodes, [*stale, *(item for item in failed if item.why == WAITS)]):
        yield _backfill_of(nodes, group, env, Mode.MISSING)
    for group in _groups(nodes, [item for item in failed if item.why == FAILED]):
        yield _backfill_of(nodes, group, env, Mode.FAILED)


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
    nodes: Mapping[str, GraphNode], chosen: Sequence[Chosen], env: str, mode: Mode
) -> NeededRow:
    first, last = _range(nodes, chosen)
    names = list(dict.fromkeys(item.node for item in chosen))
    words = [
        "headrace",
        *(["--env", env] if env != PRODUCTION else []),
        "backfill",
        *names,
        "--from",
        first,
        "--to",
        last,
    ]
    words += ["--mode", mode.value] if mode is not Mode.MISSING else []
    return NeededRow(
        select=names,
        from_=first,
        to=last,
        mode=mode,
        command=shlex.join([*words, "--reason", "TEXT"]),
    )


def _range(nodes: Mapping[str, GraphNode], chosen: Sequence[Chosen]) -> tuple[str, str]:
    """Return the first and the last key, both included, in the finest grain of the nodes."""
    cut = [item for item in chosen if nodes[item.node].partition.grain is not None]
    if not cut:
        keys = sorted(
            key for item in chosen for span in item.spans for key in (span.first, span.last)
        )
        return (keys[0], keys[-1]) if keys else (WHOLE, WHOLE)
    finest = nodes[min(cut, key=lambda item: GRAINS.index(_grain(nodes[item.node]))).node]
    begins = min(_bounds(nodes[item.node], item.spans[0].first)[0] for item in cut)
    ends = max(_bounds(nodes[item.node], item.spans[-1].last)[1] for item in cut)
    return key_at_us(begins, _grain(finest), finest.timezone), key_at_us(
        ends - 1, _grain(finest), finest.timezone
    )


def _bounds(node: GraphNode, key: str) -> tuple[int, int]:
    return bounds_us(key.partition("/")[0], _grain(node), node.timezone)


def _grain(node: GraphNode) -> Grain:
    assert node.partition.grain is not None
    return node.partition.grain
