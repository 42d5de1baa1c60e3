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
    "visible": lambda one: one.published,
    "usable": lambda one: (
        one.state in ("published", "waived") or (one.published and one.state in (PartitionState.WAITING, PartitionState.RUNNING))
    ),
    "fresh": lambda one: one.state == "published" and not one.stale,
    "failed": lambda one: one.state in ("failed", "rejected") or (one.state == "waiting" and one.failing),
    "hopeless": lambda one: one.state in ("failed", "rejected") and not one.published,
    "held": lambda one: one.state == "held",
}
"""Part of a `NodeExtents` → whether a partition belongs to it; all that have a row are known."""


def read(
    tx: Transaction, graph: Graph, *, version: int | None, arrived: Mapping[str, Iterable[str]], failed_since: int | None = None
) -> dict[str, NodeExtents]:
    """Where all partitions stand. `version` is of what is applied, `arrived` what a look has found that isn't written down; what failed
    counts from `failed_since` (microseconds)."""
    kept = rows.checkpoint(tx)
    if kept is not None and (kept.version != version or checkpoint.decode(kept.content) is None):
        kept = None
    found = _of_rows(graph, rows.briefly(tx, -1 if kept is None else kept.revision))
    if kept is not None:
        content = checkpoint.decode(kept.content)
        assert content is not None
        found = _together(graph, found, content)
    if failed_since is not None:
        found = _failed_only(graph, found, rows.failed_since(tx, failed_since))
    found = _without(graph, found, dropped_deliveries(tx))
    return with_arrived(graph, found, [*arriving.waiting_deliveries(tx)], arrived)


def with_arrived(
    graph: Graph, standings: Mapping[str, NodeExtents], waiting: Iterable[tuple[str, str, str]], arrived: Mapping[str, Iterable[str]]
) -> dict[str, NodeExtents]:
    """The same, with deliveries that nobody has ingested: those that wait, and those that a look has found."""
    keys: dict[str, dict[str, None]] = defaultdict(dict)
    for source, key, _ in waiting:
        keys[source][key] = None
    for source, more in arrived.items():
        keys[source].update(dict.fromkeys(more))
    found = dict(standings)
    for node in graph.nodes:
        if node.is_source and node.name in keys:
            extent, before = of_keys(node, keys[node.name]), found.get(node.name, NodeExtents())
            found[node.name] = _replaced(before, arrived=before.arrived | extent, known=before.known | extent)
    return found


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
    return {one.source.name: one.found for one in seen if one.found}


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
    found = {name: [one.partition for one in files] for name, files in seen.items()}
    if store is None:
        return with_arrived(graph, {}, (), found)
    with store.read() as tx:
        here = read(tx, graph, version=version, arrived=found, failed_since=failed_since)
    if not session.borrowed or session.production is None or session.production.store is None:
        return here
    with session.production.store.read() as tx:
        theirs = read(tx, graph, version=None, arrived={})
    return {**here, **{name: one for name, one in theirs.items() if name in session.borrowed}}


def _of_rows(graph: Graph, briefs: Iterable[Brief]) -> dict[str, NodeExtents]:
    nodes = {node.name: node for node in graph.nodes}
    keys: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in briefs:
        keys[one.node, "known"].append(one.partition)
        for name, belongs in _KINDS.items():
            if belongs(one):
                keys[one.node, name].append(one.partition)
    parts: dict[str, dict[str, Extent]] = defaultdict(dict)
    for (node, name), found in keys.items():
        if node in nodes:
            parts[node][name] = of_keys(nodes[node], found)
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
    found: dict[str, NodeExtents] = {}
    for node in graph.nodes:
        kept = content.nodes.get(node.name)
        resting = NOTHING if kept is None else made({data: tuple(edges) for data, edges in kept.runs.items()}, kept.named)
        calm = NodeExtents(known=resting, visible=resting, usable=resting, fresh=resting)
        new = later.get(node.name, NodeExtents())
        found[node.name] = _united(_less(_united(calm, cells.get(node.name, NodeExtents())), new.known), new)
    return found


def _united(one: NodeExtents, other: NodeExtents) -> NodeExtents:
    return NodeExtents(**{name: getattr(one, name) | getattr(other, name) for name in NodeExtents.__struct_fields__})


def _less(one: NodeExtents, known: Extent) -> NodeExtents:
    return NodeExtents(**{name: getattr(one, name) - known for name in NodeExtents.__struct_fields__}) if known else one


def _failed_only(graph: Graph, standings: Mapping[str, NodeExtents], failed: Iterable[tuple[str, str]]) -> dict[str, NodeExtents]:
    keys: dict[str, list[str]] = defaultdict(list)
    for node, key in failed:
        keys[node].append(key)
    nodes = {node.name: node for node in graph.nodes}
    return {name: _replaced(standing, failed=of_keys(nodes[name], keys.get(name, ()))) for name, standing in standings.items()}


def _without(graph: Graph, standings: Mapping[str, NodeExtents], dropped: Iterable[tuple[str, str]]) -> dict[str, NodeExtents]:
    """The same, but for deliveries that somebody dropped: they haven't failed, and nothing is to be made of them."""
    keys: dict[str, list[str]] = defaultdict(list)
    for node, key in dropped:
        keys[node].append(key)
    gone = {node.name: of_keys(node, keys[node.name]) for node in graph.nodes if node.name in keys and node.name in standings}
    return {**standings, **{name: _replaced(standings[name], failed=standings[name].failed - extent) for name, extent in gone.items()}}


def _replaced(standing: NodeExtents, **parts: Extent) -> NodeExtents:
    return NodeExtents(**{name: parts.get(name, getattr(standing, name)) for name in NodeExtents.__struct_fields__})
