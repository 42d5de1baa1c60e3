"""Inputs that every plan shares: partition states and counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from headrace.connect import DetectedDelivery
from headrace.connect.connectors import connector_name, is_routed_by_rows
from headrace.model import Project
from headrace.model.wording import counted
from headrace.plan.timeline import NodeExtents
from headrace.project.session import ProjectSession
from headrace.responses import CountsRow
from headrace.runtime.observations import KnownFiles, observe_folders
from headrace.runtime.partition_extents import read_states, with_deliveries
from headrace.scheduler import Graph
from headrace.store import Store

# The states of all partitions, with the deliveries in sources' folders.

SeenNow: TypeAlias = Mapping[str, Sequence[DetectedDelivery]]
"""Source → deliveries in its folder that aren't stored yet."""


def deliveries_in_folders(root: Path, project: Project, store: Store | None) -> SeenNow:
    """Return the deliveries in sources' folders that aren't stored yet.

    Write nothing, and don't query remote sources.
    """
    near = [
        source
        for source in project.sources.values()
        if connector_name(source) is None and not is_routed_by_rows(source)
    ]
    known = KnownFiles()
    if store is not None:
        with store.read() as tx:
            known.read(tx, project, near)
    seen = observe_folders(root, near, known.of if store is not None else lambda _: {})
    return {
        observation.source.name: observation.deliveries
        for observation in seen
        if observation.deliveries
    }


def states_of_session(
    session: ProjectSession,
    store: Store | None,
    graph: Graph,
    project: Project,
    version: int | None,
    *,
    failed_since: int | None = None,
    seen: SeenNow | None = None,
) -> dict[str, NodeExtents]:
    """Return the current states of all partitions, including deliveries in sources' folders.

    `seen` are the folders' deliveries if already observed. In an environment, borrowed nodes have
    production's states.
    """
    seen = deliveries_in_folders(session.root, project, store) if seen is None else seen
    results = {name: [file.partition for file in files] for name, files in seen.items()}
    if store is None:
        return with_deliveries(graph, {}, (), results)
    with store.read() as tx:
        here = read_states(tx, graph, version=version, arrived=results, failed_since=failed_since)
    if not session.borrowed or session.production is None or session.production.store is None:
        return here
    with session.production.store.read() as tx:
        theirs = read_states(tx, graph, version=None, arrived={})
    return {
        **here,
        **{name: extents for name, extents in theirs.items() if name in session.borrowed},
    }


# The number of partitions that a plan computes: the one definition that terminal, API and pages
# use. A source's partition is one ingested interval or key, an asset's is computed, an export's is
# sent. Views and checks have none, because nothing is stored for them.


class PartitionedNodeKind(StrEnum):
    """The kind of a node with partitions."""

    SOURCE = "source"
    ASSET = "asset"
    EXPORT = "export"


def kind_of(project: Project, node: str) -> PartitionedNodeKind:
    """Return a node's kind; undeclared nodes count as assets."""
    if node in project.sources:
        return PartitionedNodeKind.SOURCE
    return PartitionedNodeKind.EXPORT if node in project.consumers else PartitionedNodeKind.ASSET


def count_partitions(project: Project, rows: Iterable[tuple[str, int]]) -> CountsRow:
    """Return the sums of (node, partitions) by kind; nodes without partitions don't count."""
    nodes = dict.fromkeys(PartitionedNodeKind, 0)
    partitions = dict.fromkeys(PartitionedNodeKind, 0)
    for node, count in rows:
        if count:
            kind = kind_of(project, node)
            nodes[kind] += 1
            partitions[kind] += count
    parts = [(kind, nodes[kind], partitions[kind]) for kind in PartitionedNodeKind if nodes[kind]]
    return CountsRow(
        partitions=sum(partitions.values()),
        sources=nodes[PartitionedNodeKind.SOURCE],
        of_sources=partitions[PartitionedNodeKind.SOURCE],
        assets=nodes[PartitionedNodeKind.ASSET],
        of_assets=partitions[PartitionedNodeKind.ASSET],
        exports=nodes[PartitionedNodeKind.EXPORT],
        of_exports=partitions[PartitionedNodeKind.EXPORT],
        nodes=_joined([counted(count, kind) for kind, count, _ in parts]),
        text=_text(parts),
    )


def _text(parts: Sequence[tuple[PartitionedNodeKind, int, int]]) -> str:
    """Return `30 partitions: 3 of 1 source, 24 of 8 assets, 3 of 1 export`."""
    total = counted(sum(partitions for *_, partitions in parts), "partition")
    if len(parts) == 1:
        return f"{total} of {counted(parts[0][1], parts[0][0])}"
    named = (f"{partitions:,} of {counted(nodes, kind)}" for kind, nodes, partitions in parts)
    return f"{total}: {', '.join(named)}" if parts else total


def _joined(words: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)
