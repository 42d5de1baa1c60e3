"""The applied project as the core needs it, and the partition states that the core starts from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import msgspec
from msgspec.structs import replace

from headrace.connect.connectors import connector_name, is_routed_by_rows
from headrace.connect.deliveries import CSV_ENDINGS, CSV_FIELDS
from headrace.engine import BodyError
from headrace.model import Asset, Consumer, PythonBody, Source
from headrace.model.hour_names import second_hour_reason
from headrace.model.nodes import MaterializationKind, ReferenceEffect, Severity
from headrace.model.times import days_off, parse_duration
from headrace.plan import Compiled, CompiledNode
from headrace.plan.backfills import declared_pools, declared_slots
from headrace.plan.compiled import expand_view_names, expand_views, is_view
from headrace.runtime.exports import export_nodes
from headrace.scheduler import (
    ConsumerDeadline,
    Graph,
    GraphNode,
    Loaded,
    LoadedPartition,
    PartitionState,
    Paused,
    SchedulerCheckpoint,
    checkpoints,
)
from headrace.scheduler.attempts import INSTALLED_WAIT_US
from headrace.scheduler.events import FailsAlike
from headrace.scheduler.graph import trigger_of
from headrace.store import Transaction
from headrace.store.queries import attempts, failures, partition_states, scheduling

# Consumers' deadlines are passed up the graph: the promises of each node, and the time that the
# nodes from there to the consumer take.


def with_promises(
    compiled: Compiled, nodes: Sequence[GraphNode], seconds: Mapping[str, float]
) -> tuple[GraphNode, ...]:
    """Return the nodes, in topological order, each with its promises to consumers.

    Consumers with the same deadline share one promise.
    """
    terms: dict[ConsumerDeadline, dict[str, int]] = {}
    for name, consumer in compiled.project.consumers.items():
        promise = _promise(compiled, consumer)
        same = next(
            (term for term in terms if msgspec.structs.replace(term, consumer=name) == promise),
            promise,
        )
        reads = {name: 0, **dict.fromkeys(expand_view_names(compiled, consumer.reads), 0)}
        terms.setdefault(same, {}).update(reads)
    reached = [(promise, _after(nodes, reads, seconds)) for promise, reads in terms.items()]
    return tuple(msgspec.structs.replace(node, promises=_of(node, reached)) for node in nodes)


def _promise(compiled: Compiled, consumer: Consumer) -> ConsumerDeadline:
    off = days_off(compiled.project, consumer.calendar)
    return ConsumerDeadline(
        consumer.name, consumer.per, consumer.timezone, consumer.due or "", 0, off, consumer.max_age
    )


def _after(
    nodes: Sequence[GraphNode], reads: Mapping[str, int], seconds: Mapping[str, float]
) -> dict[str, int]:
    """Return node → microseconds from its start until everything read is published.

    By the longest path; only nodes upstream of `reads` are included.
    """
    results: dict[str, int] = {}
    for node in reversed(nodes):
        below = results.get(node.name, reads.get(node.name))
        if below is None:
            continue
        results[node.name] = after = below + int(seconds.get(node.name, 0.0) * _SECOND_US)
        for name in (*(spec.node for spec in node.inputs), *node.depends):
            results[name] = max(results.get(name, 0), after)
    return results


def _of(
    node: GraphNode, reached: Sequence[tuple[ConsumerDeadline, dict[str, int]]]
) -> tuple[ConsumerDeadline, ...]:
    return tuple(
        msgspec.structs.replace(promise, after_us=after[node.name])
        for promise, after in reached
        if node.name in after
    )


# Nodes with their inputs, limits, schedules and promises.

SOURCE_TIMEOUT = "1h"
BATCH_MAX = 64
"""At most this many partitions are computed by one attempt.

Their rows share one file, and restating one partition rewrites the others.
"""
_SECOND_US = 1_000_000


def graph_of(
    compiled: Compiled, seconds: Mapping[str, float] | None = None, apart: Collection[str] = ()
) -> Graph:
    """Return the applied project as the core needs it, in topological order, exports last.

    `seconds` is the known p95 duration of attempts at each node, by which consumers' deadlines are
    passed upstream. Batches of the nodes in `apart` gave other rows than partitions computed alone.
    """
    read_by_views = _read_by_checks_of_views(compiled)
    nodes = [
        _node(compiled, compiled.nodes[name], read_by_views.get(name, ()), apart=name in apart)
        for name in compiled.order
        if not is_view(compiled.project, name)
    ]
    nodes += export_nodes(compiled)
    return Graph(with_promises(compiled, nodes, seconds or {}), declared_pools(compiled.project))


def _node(
    compiled: Compiled, node: CompiledNode, read_by_views: Sequence[str], *, apart: bool
) -> GraphNode:
    declared = compiled.project.sources.get(node.name) or compiled.project.assets[node.name]
    asset = declared if isinstance(declared, Asset) else None
    batched = not apart and _in_batches(compiled, declared, node)
    return GraphNode(
        name=node.name,
        is_source=isinstance(declared, Source),
        partition=declared.partition,
        timezone=declared.timezone,
        inputs=expand_views(compiled, node.inputs),
        depends=expand_view_names(compiled, node.depends),
        checked_against=_checked_against(compiled, node, read_by_views),
        start=declared.start,
        attempts_max=asset.attempts_max if asset else 5,
        timeout_us=int(
            parse_duration(asset.timeout if asset else SOURCE_TIMEOUT).total_seconds() * _SECOND_US
        ),
        rebuild_on_reference=asset is not None
        and asset.on_reference_change == ReferenceEffect.REBUILD,
        chained=asset is not None
        and (node.uses_self or asset.accumulates)
        and not declared.partition.whole,
        days_off=days_off(compiled.project, declared.calendar),
        untyped=node.columns is None,
        takes=declared_slots(compiled.project, declared),
        batch_max=BATCH_MAX if batched else 1,
        called_each=batched and asset is not None and isinstance(asset.body, PythonBody),
        priority=asset.priority if asset else None,
        trigger=trigger_of(compiled.project, asset) if asset else None,
        **_promises(declared),
    )


def _read_by_checks_of_views(compiled: Compiled) -> dict[str, list[str]]:
    """Return node → the nodes that the checks of views over it read.

    The node's audit evaluates these checks.
    """
    result: dict[str, list[str]] = {}
    for name, view in compiled.nodes.items():
        if view.check_references and is_view(compiled.project, name):
            for read in expand_view_names(compiled, [name]):
                result.setdefault(read, []).extend(view.check_references)
    return result


def _checked_against(
    compiled: Compiled, node: CompiledNode, read_by_views: Sequence[str]
) -> tuple[str, ...]:
    """Return the nodes that must be published before a node's checks can be evaluated."""
    inputs = {spec.node for spec in expand_views(compiled, node.inputs)}
    names = expand_view_names(compiled, (*node.check_references, *read_by_views))
    return tuple(name for name in names if name != node.name and name not in inputs)


def _in_batches(compiled: Compiled, declared: Source | Asset, node: CompiledNode) -> bool:
    """Whether an attempt may handle several partitions, and their rows can be told apart.

    Python is called once for each of them.
    """
    if declared.partition.grain is None or declared.partition.key is not None:
        return False
    if isinstance(declared, Source):
        return _delivered_in_text_files(declared) and not _has_checked_view(compiled, node.name)
    tables = (MaterializationKind.TABLE, MaterializationKind.APPEND)
    called = isinstance(declared.body, PythonBody) and declared.batched
    called = called and not declared.requirements
    return (node.separable or called) and declared.materialize in tables


def _delivered_in_text_files(source: Source) -> bool:
    """Whether each interval is delivered in one CSV file of a local folder, as its name tells."""
    local = source.files is not None and connector_name(source) is None
    if not local or is_routed_by_rows(source) or source.complete.files > 1:
        return False
    ending = PurePosixPath(source.files or "").suffix.lower()
    return ending in CSV_ENDINGS and set(source.connector) <= CSV_FIELDS


def _has_checked_view(compiled: Compiled, name: str) -> bool:
    """Whether a view over a node has blocking checks, which belong to the node's audit."""
    return any(
        is_view(compiled.project, view)
        and name in expand_view_names(compiled, [view])
        and any(check.severity is Severity.BLOCKING for check in asset.checks)
        for view, asset in compiled.project.assets.items()
    )


def _promises(declared: Source | Asset) -> dict[str, Any]:
    """Return what only sources declare: deadline, completeness and restatement period."""
    if isinstance(declared, Asset):
        return {}
    return {
        "expect_by": declared.expect.by,
        "watermark": declared.complete.watermark is not None,
        "complete_after": declared.complete.after,
        "restate_within": declared.restate_within,
        "no_second_hour": second_hour_reason(declared, declared.timezone),
    }


# Pauses that the core gets when it starts.


def paused(tx: Transaction, nodes: Collection[str], now: int) -> list[Paused]:
    """Return the pauses in force of nodes that run."""
    return [
        Paused((pause.node,), pause.reason, pause.until)
        for pause in scheduling.pauses_in_force(tx, now)
        if pause.node in nodes
    ]


# Partition states from the store: a checkpoint and the changes since, or all rows.


def load(
    tx: Transaction,
    compiled: Compiled,
    *,
    version: int | None = None,
    borrowed: frozenset[str] = frozenset(),
    tracked_partitions: tuple[LoadedPartition, ...] = (),
) -> Loaded:
    """Return the event that the core starts from.

    It consists of the checkpoint of `version` and the changes since, or of all partition states if
    there is none. In an environment, `tracked_partitions` are the states of the partitions of
    `borrowed` nodes.
    """
    graph = graph_of(compiled, _seconds(tx, compiled), apart(tx, compiled))
    return stored(
        tx, graph, version=version, borrowed=borrowed, tracked_partitions=tracked_partitions
    )


def stored(
    tx: Transaction,
    graph: Graph,
    *,
    version: int | None,
    borrowed: frozenset[str] = frozenset(),
    tracked_partitions: tuple[LoadedPartition, ...] = (),
) -> Loaded:
    """Return what `load` returns, for a graph."""
    fired = tuple(scheduling.last_firings(tx))
    alike = _alike(tx, version, borrowed)
    if (
        not borrowed
        and version is not None
        and (result := _resumed(tx, graph, version)) is not None
    ):
        return replace(result, fired=fired, alike=alike)
    own_partitions = (run for run in _runs(tx) if run[0].node not in borrowed)
    return Loaded(
        graph,
        tracked_partitions,
        fired=fired,
        checkpoint=checkpoints.checkpoint_of_rows(graph, own_partitions),
        alike=alike,
    )


def part(
    tx: Transaction,
    graph: Graph,
    *,
    version: int | None,
    borrowed: frozenset[str],
    tracked_partitions: tuple[LoadedPartition, ...] = (),
) -> Loaded:
    """Return what `stored` returns, for a part of the graph that includes all inputs of its nodes.

    Only the states of these nodes are loaded.
    """
    names = {node.name for node in graph.nodes}
    fired = tuple(item for item in scheduling.last_firings(tx) if item[0] in names)
    if (
        not borrowed
        and version is not None
        and (resumed := _resumed(tx, graph, version, names)) is not None
    ):
        return replace(resumed, fired=fired)
    return Loaded(
        graph,
        tuple(partition for partition in tracked_partitions if partition.node in names),
        fired=fired,
        checkpoint=checkpoints.checkpoint_of_rows(graph, _runs(tx, names - borrowed)),
    )


def _alike(
    tx: Transaction, version: int | None, borrowed: frozenset[str]
) -> tuple[FailsAlike, ...]:
    """Return the nodes whose newest attempt failed in a way that affects every partition.

    Only attempts at the applied version count. A node that a user requested since is excluded, so
    that it is retried.
    """
    alikes = []
    for attempt in failures.newest_failures(tx, version) if version is not None else ():
        error = msgspec.json.decode(attempt.error, type=BodyError)
        if not error.everywhere or attempt.node in borrowed:
            continue
        until = attempt.finished_at + INSTALLED_WAIT_US if error.machine else None
        alikes.append(FailsAlike(attempt.node, attempt.partition, attempt.reason, until))
    return tuple(alikes)


def _seconds(tx: Transaction, compiled: Compiled) -> dict[str, float]:
    """Return node → p95 duration in seconds; empty without consumers, whose deadlines need it."""
    return attempts.p95_durations(tx, compiled.nodes) if compiled.project.consumers else {}


def apart(tx: Transaction, compiled: Compiled) -> set[str]:
    """Return the nodes whose current code can't compute several partitions at once."""
    return {
        name
        for name, (fingerprint, proven) in attempts.known_batching(tx).items()
        if not proven and name in compiled.nodes and compiled.nodes[name].fingerprint == fingerprint
    }


def _resumed(
    tx: Transaction, graph: Graph, version: int, names: Collection[str] | None = None
) -> Loaded | None:
    """Return the stored checkpoint and the changes since; with `names`, those of these nodes.

    None if there is no checkpoint of this version.
    """
    stored_checkpoint = partition_states.checkpoint(tx)
    if stored_checkpoint is None or stored_checkpoint.version != version:
        return None
    content: SchedulerCheckpoint | None = checkpoints.decode_checkpoint(stored_checkpoint.content)
    if content is None:
        return None
    changed = map(_loaded, partition_states.stored_states(tx, stored_checkpoint.revision))
    if names is None:
        return Loaded(graph, tuple(changed), checkpoint=content)
    return Loaded(
        graph,
        tuple(partition for partition in changed if partition.node in names),
        checkpoint=_checkpoint_of(content, names),
    )


def _checkpoint_of(content: SchedulerCheckpoint, names: Collection[str]) -> SchedulerCheckpoint:
    """Return the checkpoint without the states of other nodes."""
    return replace(
        content,
        tracked_partitions=tuple(
            partition for partition in content.tracked_partitions if partition.node in names
        ),
        nodes={name: node for name, node in content.nodes.items() if name in names},
    )


def _runs(
    tx: Transaction, nodes: Iterable[str] | None = None
) -> Iterator[tuple[LoadedPartition, list[str]]]:
    """Yield all partitions, or those of some nodes, as rows that differ in their key only."""
    for row, keys in partition_states.stored_runs(tx, nodes):
        yield _loaded(row), keys


def _loaded(row: partition_states.StoredPartitionState) -> LoadedPartition:
    state = PartitionState(row.state)
    return LoadedPartition(
        node=row.node,
        key=row.partition,
        state=state,
        stale=row.stale,
        failures=row.failures,
        not_before=row.not_before,
        published=row.published,
        proposed=row.proposed,
        publication=row.publication,
        reason=row.reason,
        since=row.since if state is PartitionState.WAITING and not row.failures else 0,
    )
