"""Inputs that every plan shares: partition states, approvals that policy requires, and counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from headrace.connect import DetectedDelivery
from headrace.connect.connectors import connector_name, is_routed_by_rows
from headrace.model import Project, Settings, fields
from headrace.model.errors import Report
from headrace.model.fields import LocatedMapping
from headrace.model.files import SETTINGS_FILE
from headrace.model.settings import APPROVAL, PRODUCTION, Approval, Facts, parse_rule
from headrace.plan.partition_ranges import NO_PARTITIONS, Extent, extent_of, extent_of_keys
from headrace.plan.timeline import NodeExtents
from headrace.runtime.observations import KnownFiles, observe_folders
from headrace.scheduler import Graph, PartitionState, SchedulerCheckpoint, checkpoints
from headrace.services.responses import CountsRow
from headrace.services.session import ProjectSession
from headrace.store import Store, Transaction
from headrace.store.queries import ingestion
from headrace.store.queries import partition_states as rows
from headrace.store.queries.partition_states import Brief
from headrace.store.queries.quarantine import dropped_deliveries

# The states of all nodes' partitions as ranges, from which plans are computed. Only reads.

_KINDS: dict[str, Callable[[Brief], bool]] = {
    "visible": lambda brief: brief.published,
    "usable": lambda brief: (
        brief.state in ("published", "waived")
        or (brief.published and brief.state in (PartitionState.WAITING, PartitionState.RUNNING))
    ),
    "fresh": lambda brief: brief.state == "published" and not brief.stale,
    "failed": lambda brief: (
        brief.state in ("failed", "rejected") or (brief.state == "waiting" and brief.failing)
    ),
    "hopeless": lambda brief: brief.state in ("failed", "rejected") and not brief.published,
    "held": lambda brief: brief.state == "held",
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
    extents = _of_rows(
        graph,
        rows.brief_states(tx, -1 if stored_checkpoint is None else stored_checkpoint.revision),
    )
    if stored_checkpoint is not None:
        content = checkpoints.decode_checkpoint(stored_checkpoint.content)
        assert content is not None
        extents = _together(graph, extents, content)
    if failed_since is not None:
        extents = _failed_only(graph, extents, rows.failed_since(tx, failed_since))
    extents = _without(graph, extents, dropped_deliveries(tx))
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
    return {observation.source.name: observation.found for observation in seen if observation.found}


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
            parts[node][name] = extent_of_keys(nodes[node], results)
    return {node: NodeExtents(**part) for node, part in parts.items()}


def _together(
    graph: Graph, later: Mapping[str, NodeExtents], content: SchedulerCheckpoint
) -> dict[str, NodeExtents]:
    """Return the checkpoint's states, updated by the rows that changed since."""
    cells = _of_rows(
        graph,
        (
            Brief(
                cell.node,
                cell.key,
                cell.state,
                cell.stale or cell.proposed,
                cell.failures > 0,
                cell.published,
            )
            for cell in content.tracked_partitions
            if cell.published or cell.state is not PartitionState.WAITING or cell.failures
        ),
    )
    extents: dict[str, NodeExtents] = {}
    for node in graph.nodes:
        kept_node = content.nodes.get(node.name)
        resting = (
            NO_PARTITIONS
            if kept_node is None
            else extent_of(
                {data: tuple(edges) for data, edges in kept_node.runs.items()}, kept_node.named
            )
        )
        calm = NodeExtents(known=resting, visible=resting, usable=resting, fresh=resting)
        new = later.get(node.name, NodeExtents())
        extents[node.name] = _united(
            _less(_united(calm, cells.get(node.name, NodeExtents())), new.known), new
        )
    return extents


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


def _without(
    graph: Graph, known_extents: Mapping[str, NodeExtents], dropped: Iterable[tuple[str, str]]
) -> dict[str, NodeExtents]:
    """Return the states without dropped deliveries.

    These haven't failed and aren't to be ingested.
    """
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
            name: _replaced(known_extents[name], failed=known_extents[name].failed - extent)
            for name, extent in gone.items()
        },
    }


def _replaced(extents: NodeExtents, **parts: Extent) -> NodeExtents:
    return NodeExtents(
        **{name: parts.get(name, getattr(extents, name)) for name in NodeExtents.__struct_fields__}
    )


# Whether an action needs an approval, and the line of headrace.toml that requires it.


def needed_approval(
    root: Path,
    settings: Settings,
    project: Project,
    nodes: Iterable[str],
    *,
    partitions: int,
    size: int = 0,
) -> Approval | None:
    """Return the approval that computing `partitions` of these nodes needs.

    None if policy requires none.
    """
    rule = settings.policy.get(APPROVAL)
    if rule is None or not parse_rule(rule)(rule_facts(project, nodes, partitions, size)):
        return None
    return approval_rule(root, settings)


def approval_rule(root: Path, settings: Settings) -> Approval:
    """Return the approval rule; the settings must have one."""
    return Approval(settings.policy[APPROVAL], SETTINGS_FILE, _line(root, settings.environment))


def rule_facts(project: Project, nodes: Iterable[str], partitions: int, size: int) -> Facts:
    """Return the facts that rules refer to."""
    results = [node for name in nodes if (node := project.node(name)) is not None]
    return Facts(
        partitions=partitions,
        bytes=size,
        tags=frozenset(tag for node in results for tag in node.tags),
        owners=frozenset(node.owner for node in results),
        domains=frozenset(node.domain for node in results if node.domain is not None),
    )


def _line(root: Path, environment: str) -> int:
    """Return the line of the rule in headrace.toml; an environment may have its own."""
    document = fields.load_toml(
        (root / SETTINGS_FILE).read_text(encoding="utf-8"), Report(SETTINGS_FILE)
    )
    tables: list[object] = [document.get("policy") if document else None]
    if document and environment != PRODUCTION:
        mapping = document.get("environments", {}).get(environment, {})
        tables.insert(0, mapping.get("policy") if isinstance(mapping, LocatedMapping) else None)
    return next(
        (
            table.lines[APPROVAL]
            for table in tables
            if isinstance(table, LocatedMapping) and APPROVAL in table.lines
        ),
        1,
    )


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
        nodes=_joined([_plural(count, kind) for kind, count, _ in parts]),
        text=_text(parts),
    )


def _text(parts: Sequence[tuple[PartitionedNodeKind, int, int]]) -> str:
    """Return `30 partitions: 3 of 1 source, 24 of 8 assets, 3 of 1 export`."""
    total = _plural(sum(partitions for *_, partitions in parts), "partition")
    if len(parts) == 1:
        return f"{total} of {_plural(parts[0][1], parts[0][0])}"
    named = (f"{partitions:,} of {_plural(nodes, kind)}" for kind, nodes, partitions in parts)
    return f"{total}: {', '.join(named)}" if parts else total


def _plural(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _joined(words: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)
