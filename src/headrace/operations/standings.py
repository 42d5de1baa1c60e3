"""Where the partitions of all nodes stand, in ranges: what plans are made of. Only reads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from headrace.connect import DetectedDelivery
from headrace.connect.kinds import name_of, routed
from headrace.model import Project
from headrace.operations.session import ProjectSession
from headrace.plan.extents import NOTHING, Extent, made, of_keys
from headrace.plan.timeline import NodeExtents
from headrace.run.known import KnownFiles
from headrace.run.observing import look_at
from headrace.schedule import Graph, PartitionState, SchedulerCheckpoint, checkpoint
from headrace.store import Store, Transaction
from headrace.store.queries import arriving
from headrace.store.queries import standings as rows
from headrace.store.queries.quarantine import dropped_deliveries
from headrace.store.queries.standings import Brief

_KINDS: dict[str, Callable[[Brief], bool]] = {
    "visible": lambda brief: brief.published,
    "usable": lambda brief: (
        brief.state in ("published", "waived") or (brief.published and brief.state in (PartitionState.WAITING, PartitionState.RUNNING))
    ),
    "fresh": lambda brief: brief.state == "published" and not brief.stale,
    "failed": lambda brief: brief.state in ("failed", "rejected") or (brief.state == "waiting" and brief.failing),
    "hopeless": lambda brief: brief.state in ("failed", "rejected") and not brief.published,
    "held": lambda brief: brief.state == "held",
}
"""Part of a `NodeExtents` → whether a partition belongs to it; all that have a row are known."""


def read(
    tx: Transaction, graph: Graph, *, version: int | None, arrived: Mapping[str, Iterable[str]], failed_since: int | None = None
) -> dict[str, NodeExtents]:
    """Where all partitions stand. `version` is of what is applied, `arrived` what a look has found that isn't written down; what failed
    counts from `failed_since` (microseconds)."""
    stored_checkpoint = rows.checkpoint(tx)
    if stored_checkpoint is not None and (stored_checkpoint.version != version or checkpoint.decode(stored_checkpoint.content) is None):
        stored_checkpoint = None
    extents = _of_rows(graph, rows.briefly(tx, -1 if stored_checkpoint is None else stored_checkpoint.revision))
    if stored_checkpoint is not None:
        content = checkpoint.decode(stored_checkpoint.content)
        assert content is not None
        extents = _together(graph, extents, content)
    if failed_since is not None:
        extents = _failed_only(graph, extents, rows.failed_since(tx, failed_since))
    extents = _without(graph, extents, dropped_deliveries(tx))
    return with_arrived(graph, extents, [*arriving.waiting_deliveries(tx)], arrived)


def with_arrived(
    graph: Graph, standings: Mapping[str, NodeExtents], waiting: Iterable[tuple[str, str, str]], arrived: Mapping[str, Iterable[str]]
) -> dict[str, NodeExtents]:
    """The same, with deliveries that nobody has ingested: those that wait, and those that a look has found."""
    keys: dict[str, dict[str, None]] = defaultdict(dict)
    for source, key, _ in waiting:
        keys[source][key] = None
    for source, more in arrived.items():
        keys[source].update(dict.fromkeys(more))
    extents = dict(standings)
    for node in graph.nodes:
        if node.is_source and node.name in keys:
            extent, before = of_keys(node, keys[node.name]), extents.get(node.name, NodeExtents())
            extents[node.name] = _replaced(before, arrived=before.arrived | extent, known=before.known | extent)
    return extents


SeenNow: TypeAlias = Mapping[str, Sequence[DetectedDelivery]]
"""Source → what lies in its folder and isn't written down."""


def seen_now(root: Path, project: Project, store: Store | None) -> SeenNow:
    """What lies in the folders of sources and isn't written down. Writes nothing, and asks nobody elsewhere."""
    near = [source for source in project.sources.values() if name_of(source) is None and not routed(source)]
    known = KnownFiles()
    if store is not None:
        with store.read() as tx:
            known.read(tx, project, near)
    seen = look_at(root, near, known.of if store is not None else lambda _: {})
    return {observation.source.name: observation.found for observation in seen if observation.found}


def of_session(
    session: ProjectSession,
    store: Store | None,
    graph: Graph,
    project: Project,
    version: int | None,
    *,
    failed_since: int | None = None,
    seen: SeenNow | None = None,
) -> dict[str, NodeExtents]:
    """Where all partitions stand now, with what lies in the folders of sources (`seen`, where somebody has looked already). In an
    environment, what it borrows stands as in production."""
    seen = seen_now(session.root, project, store) if seen is None else seen
    results = {name: [file.partition for file in files] for name, files in seen.items()}
    if store is None:
        return with_arrived(graph, {}, (), results)
    with store.read() as tx:
        here = read(tx, graph, version=version, arrived=results, failed_since=failed_since)
    if not session.borrowed or session.production is None or session.production.store is None:
        return here
    with session.production.store.read() as tx:
        theirs = read(tx, graph, version=None, arrived={})
    return {**here, **{name: extents for name, extents in theirs.items() if name in session.borrowed}}


def _of_rows(graph: Graph, briefs: Iterable[Brief]) -> dict[str, NodeExtents]:
    nodes = {node.name: node for node in graph.nodes}
    keys: dict[tuple[str, str], list[str]] = defaultdict(list)
    for brief in briefs:
        keys[brief.node, "known"].append(brief.partition)
        for name, belongs in _KINDS.items():
            if belongs(brief):
                keys[brief.node, name].append(brief.partition)
    parts: dict[str, dict[str, Extent]] = defaultdict(dict)
    for (node, name), results in keys.items():
        if node in nodes:
            parts[node][name] = of_keys(nodes[node], results)
    return {node: NodeExtents(**part) for node, part in parts.items()}


def _together(graph: Graph, later: Mapping[str, NodeExtents], content: SchedulerCheckpoint) -> dict[str, NodeExtents]:
    """What the checkpoint says, but for what has changed since."""
    cells = _of_rows(
        graph,
        (
            Brief(cell.node, cell.key, cell.state, cell.stale or cell.proposed, cell.failures > 0, cell.published)
            for cell in content.tracked_partitions
            if cell.published or cell.state is not PartitionState.WAITING or cell.failures
        ),
    )
    extents: dict[str, NodeExtents] = {}
    for node in graph.nodes:
        kept_node = content.nodes.get(node.name)
        resting = NOTHING if kept_node is None else made({data: tuple(edges) for data, edges in kept_node.runs.items()}, kept_node.named)
        calm = NodeExtents(known=resting, visible=resting, usable=resting, fresh=resting)
        new = later.get(node.name, NodeExtents())
        extents[node.name] = _united(_less(_united(calm, cells.get(node.name, NodeExtents())), new.known), new)
    return extents


def _united(extents: NodeExtents, other: NodeExtents) -> NodeExtents:
    return NodeExtents(**{name: getattr(extents, name) | getattr(other, name) for name in NodeExtents.__struct_fields__})


def _less(extents: NodeExtents, known: Extent) -> NodeExtents:
    return NodeExtents(**{name: getattr(extents, name) - known for name in NodeExtents.__struct_fields__}) if known else extents


def _failed_only(graph: Graph, standings: Mapping[str, NodeExtents], failed: Iterable[tuple[str, str]]) -> dict[str, NodeExtents]:
    keys: dict[str, list[str]] = defaultdict(list)
    for node, key in failed:
        keys[node].append(key)
    nodes = {node.name: node for node in graph.nodes}
    return {name: _replaced(extents, failed=of_keys(nodes[name], keys.get(name, ()))) for name, extents in standings.items()}


def _without(graph: Graph, standings: Mapping[str, NodeExtents], dropped: Iterable[tuple[str, str]]) -> dict[str, NodeExtents]:
    """The same, but for deliveries that somebody dropped: they haven't failed, and nothing is to be made of them."""
    keys: dict[str, list[str]] = defaultdict(list)
    for node, key in dropped:
        keys[node].append(key)
    gone = {node.name: of_keys(node, keys[node.name]) for node in graph.nodes if node.name in keys and node.name in standings}
    return {**standings, **{name: _replaced(standings[name], failed=standings[name].failed - extent) for name, extent in gone.items()}}


def _replaced(extents: NodeExtents, **parts: Extent) -> NodeExtents:
    return NodeExtents(**{name: parts.get(name, getattr(extents, name)) for name in NodeExtents.__struct_fields__})
