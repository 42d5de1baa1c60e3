"""The states of all nodes' partitions as ranges, from which plans are computed. Only reads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from msgspec.structs import replace

from headrace.plan.partition_ranges import Extent, extent_of, extent_of_keys
from headrace.plan.timeline import NodeExtents
from headrace.scheduler import Graph, PartitionState, SchedulerCheckpoint, checkpoints
from headrace.scheduler.events import KeptNode, SavedPartition
from headrace.store import Transaction
from headrace.store.queries import ingestion
from headrace.store.queries import partition_states as rows
from headrace.store.queries.partition_states import Brief
from headrace.store.queries.quarantine import dropped_partitions

_KINDS: dict[str, Callable[[Brief], bool]] = {
    "visible": lambda brief: brief.published,
    "usable": lambda brief: (
        brief.state in (PartitionState.PUBLISHED, PartitionState.WAIVED)
        or (brief.published and brief.state in (PartitionState.WAITING, PartitionState.RUNNING))
    ),
    "fresh": lambda brief: brief.state == PartitionState.PUBLISHED and not brief.stale,
    "failed": lambda brief: (
        brief.state in (PartitionState.FAILED, PartitionState.REJECTED)
        or (brief.state == PartitionState.WAITING and brief.failing)
    ),
    "hopeless": lambda brief: (
        brief.state in (PartitionState.FAILED, PartitionState.REJECTED) and not brief.published
    ),
    "held": lambda brief: brief.state == PartitionState.HELD,
}
"""Part of a `NodeExtents` → whether a partition belongs to it.

Every partition with a row is known.
"""


def read_states(
    tx: Transaction,
    graph: Graph,
    *,
    version: int | None,
    arrived: Mapping[str, Iterable[str]],
    failed_since: int | None = None,
) -> dict[str, NodeExtents]:
    """Return the states of all partitions.

    `version` is the applied version, `arrived` holds observed deliveries that aren't stored yet;
    failures count from `failed_since` (µs).
    """
    stored_checkpoint = rows.checkpoint(tx)
    if stored_checkpoint is not None and (
        stored_checkpoint.version != version
        or checkpoints.decode_checkpoint(stored_checkpoint.content) is None
    ):
        stored_checkpoint = None
    extents = extents_of_rows(
        graph,
        rows.brief_runs(tx, -1 if stored_checkpoint is None else stored_checkpoint.revision),
    )
    if stored_checkpoint is not None:
        content = checkpoints.decode_checkpoint(stored_checkpoint.content)
        assert content is not None
        extents = _together(graph, extents, content)
    if failed_since is not None:
        extents = _failed_only(graph, extents, rows.failed_since(tx, failed_since))
    extents = _with_dropped(graph, extents, dropped_partitions(tx))
    return with_deliveries(graph, extents, [*ingestion.waiting_deliveries(tx)], arrived)


def with_deliveries(
    graph: Graph,
    known_extents: Mapping[str, NodeExtents],
    waiting: Iterable[tuple[str, str, str]],
    arrived: Mapping[str, Iterable[str]],
) -> dict[str, NodeExtents]:
    """Return the states with the deliveries that aren't ingested yet, waiting or newly observed."""
    keys: dict[str, dict[str, None]] = defaultdict(dict)
    for source, key, _ in waiting:
        keys[source][key] = None
    for source, more in arrived.items():
        keys[source].update(dict.fromkeys(more))
    extents = dict(known_extents)
    for node in graph.nodes:
        if node.is_source and node.name in keys:
            extent, before = (
                extent_of_keys(node, keys[node.name]),
                extents.get(node.name, NodeExtents()),
            )
            extents[node.name] = _replaced(
                before, arrived=before.arrived | extent, known=before.known | extent
            )
    return extents


def extents_of_rows(
    graph: Graph, runs: Iterable[tuple[Brief, Iterable[str]]]
) -> dict[str, NodeExtents]:
    """Return the states of the partitions with these rows; nodes outside the graph are left out.

    `runs` are rows that differ in their key only, and their keys.
    """
    nodes = {node.name: node for node in graph.nodes}
    alike: dict[Brief, list[str]] = defaultdict(list)
    for brief, keys in runs:
        if brief.node in nodes:
            alike[replace(brief, partition="")] += keys
    extents: dict[str, NodeExtents] = {}
    for brief, keys in alike.items():
        part = _of_alike(extent_of_keys(nodes[brief.node], keys), brief)
        extents[brief.node] = _united(extents.get(brief.node, NodeExtents()), part)
    return extents


def _together(
    graph: Graph, later: Mapping[str, NodeExtents], content: SchedulerCheckpoint
) -> dict[str, NodeExtents]:
    """Return the checkpoint's states, updated by the rows that changed since."""
    cells = extents_of_rows(
        graph,
        ((_brief(cell), (cell.key,)) for cell in content.tracked_partitions if _has_row(cell)),
    )
    extents: dict[str, NodeExtents] = {}
    for node in graph.nodes:
        saved = content.nodes.get(node.name)
        calm = NodeExtents() if saved is None else _calm(saved)
        new = later.get(node.name, NodeExtents())
        extents[node.name] = _united(
            _less(_united(calm, cells.get(node.name, NodeExtents())), new.known), new
        )
    return extents


def _calm(saved: KeptNode) -> NodeExtents:
    """Return the partitions of a checkpoint's node that are terminal or in groups."""
    runs = {data: tuple(edges) for data, edges in saved.runs.items()}
    resting = extent_of(runs, saved.named)
    calm = NodeExtents(known=resting, visible=resting, usable=resting, fresh=resting)
    for group in saved.groups:
        if _has_row(group.like):
            calm = _united(calm, _of_alike(extent_of(group.runs), _brief(group.like)))
    return calm


def _has_row(cell: SavedPartition) -> bool:
    """Return whether a partition of a checkpoint has a row that counts as known."""
    return cell.published or cell.state is not PartitionState.WAITING or cell.failures > 0


def _brief(cell: SavedPartition) -> Brief:
    return Brief(
        cell.node,
        cell.key,
        cell.state,
        cell.stale or cell.proposed,
        cell.failures > 0,
        cell.published,
    )


def _of_alike(extent: Extent, brief: Brief) -> NodeExtents:
    """Return the states of partitions whose rows differ in nothing but their key."""
    parts = {name: extent for name, belongs in _KINDS.items() if belongs(brief)}
    return NodeExtents(known=extent, **parts)


def _united(extents: NodeExtents, other: NodeExtents) -> NodeExtents:
    return NodeExtents(
        **{
            name: getattr(extents, name) | getattr(other, name)
            for name in NodeExtents.__struct_fields__
        }
    )


def _less(extents: NodeExtents, known: Extent) -> NodeExtents:
    return (
        NodeExtents(
            **{name: getattr(extents, name) - known for name in NodeExtents.__struct_fields__}
        )
        if known
        else extents
    )


def _failed_only(
    graph: Graph, known_extents: Mapping[str, NodeExtents], failed: Iterable[tuple[str, str]]
) -> dict[str, NodeExtents]:
    keys: dict[str, list[str]] = defaultdict(list)
    for node, key in failed:
        keys[node].append(key)
    nodes = {node.name: node for node in graph.nodes}
    return {
        name: _replaced(extents, failed=extent_of_keys(nodes[name], keys.get(name, ())))
        for name, extents in known_extents.items()
    }


def _with_dropped(
    graph: Graph, known_extents: Mapping[str, NodeExtents], dropped: Iterable[tuple[str, str]]
) -> dict[str, NodeExtents]:
    """Return the states with the dropped partitions."""
    keys: dict[str, list[str]] = defaultdict(list)
    for node, key in dropped:
        keys[node].append(key)
    gone = {
        node.name: extent_of_keys(node, keys[node.name])
        for node in graph.nodes
        if node.name in keys and node.name in known_extents
    }
    return {
        **known_extents,
        **{
            name: _replaced(
                known_extents[name],
                failed=known_extents[name].failed - extent,
                held=known_extents[name].held - extent,
                dropped=extent,
            )
            for name, extent in gone.items()
        },
    }


def _replaced(extents: NodeExtents, **parts: Extent) -> NodeExtents:
    return NodeExtents(
        **{name: parts.get(name, getattr(extents, name)) for name in NodeExtents.__struct_fields__}
    )
