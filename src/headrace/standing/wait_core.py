"""A scheduler core that is built from the store only to be queried.

Nothing is written, and the core has no slots, so it starts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from headrace.plan import Compiled
from headrace.project.session import ProjectSession
from headrace.project.snapshots import node_graph
from headrace.runtime.graph import graph_of, part, paused
from headrace.scheduler import (
    Core,
    DeliveryArrived,
    Graph,
    LoadedPartition,
    PartitionState,
    Requested,
    Target,
)
from headrace.store import Transaction
from headrace.store.queries import environments, ingestion


class QueriedCore(NamedTuple):
    """A core with the graph that it knows, and the waiting deliveries as source and key."""

    core: Core
    graph: Graph
    arrived: frozenset[tuple[str, str]]


def load_core(
    session: ProjectSession,
    tx: Transaction,
    compiled: Compiled,
    names: Iterable[str],
    now_us: int,
) -> QueriedCore:
    """Return a core that knows these nodes and everything upstream of them."""
    loaded = part(
        tx,
        graph_of(_above(session, compiled, names)),
        version=session.version,
        borrowed=session.borrowed,
        tracked_partitions=_borrowed(session, tx),
    )
    nodes = {node.name: node for node in loaded.graph.nodes}
    wanted = Requested(tuple(Target(name) for name in nodes), run=1, standing=True)
    arrived = [
        DeliveryArrived(source, key, bundle)
        for source, key, bundle in ingestion.waiting_deliveries(tx)
        if source in nodes
    ]
    core = Core(epoch=0, slots=0)
    core.handle_all([loaded, *paused(tx, nodes, now_us), *arrived, wanted], now_us)
    places = frozenset((item.source, item.key) for item in arrived)
    return QueriedCore(core, loaded.graph, places)


def _above(session: ProjectSession, compiled: Compiled, names: Iterable[str]) -> Compiled:
    """Return the part of the applied project upstream of these nodes."""
    graph = node_graph(session, compiled)
    upstream: set[str] = set()
    pending = set(names)
    while pending:  # nodes that checks read aren't upstream, but are waited for as well
        upstream |= graph.upstream(pending).keys()
        checked = {
            other
            for name in upstream
            if name in compiled.nodes
            for other in compiled.nodes[name].check_references
        }
        pending = checked - upstream
    project = compiled.project
    return msgspec.structs.replace(
        compiled,
        order=tuple(name for name in compiled.order if name in upstream),
        nodes={name: node for name, node in compiled.nodes.items() if name in upstream},
        project=msgspec.structs.replace(
            project,
            sources={name: source for name, source in project.sources.items() if name in upstream},
            assets={name: asset for name, asset in project.assets.items() if name in upstream},
            consumers={
                name: consumer for name, consumer in project.consumers.items() if name in upstream
            },
        ),
    )


def _borrowed(session: ProjectSession, tx: Transaction) -> tuple[LoadedPartition, ...]:
    """Return production's publications as the environment's last leader saw them."""
    seen = environments.remembered_publications(tx).items() if session.borrowed else ()
    return tuple(
        LoadedPartition(
            node=node,
            key=key,
            state=PartitionState.PUBLISHED,
            published=True,
            publication=item.publication_id,
        )
        for (node, key), item in seen
        if node in session.borrowed
    )
