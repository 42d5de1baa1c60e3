"""What the core starts from: the applied graph, and where each partition stands in the store."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from headrace.engine import BodyError
from headrace.plan import Compiled
from headrace.run.graph import graph_of
from headrace.schedule import Graph, Loaded, LoadedPartition, PartitionState, SchedulerCheckpoint, checkpoint
from headrace.schedule.events import FailsAlike
from headrace.schedule.retry import INSTALLED_WAIT_US
from headrace.store import Transaction
from headrace.store.queries import batching, durations, failures, firings, standings


def load(
    tx: Transaction,
    compiled: Compiled,
    *,
    version: int | None = None,
    borrowed: frozenset[str] = frozenset(),
    tracked_partitions: tuple[LoadedPartition, ...] = (),
) -> Loaded:
    """The event that the core starts from: the checkpoint and what has changed since, if one was taken of `version`, else all that the
    store says. In an environment the partitions of `borrowed` nodes stand as `tracked_partitions` say."""
    graph = graph_of(compiled, _seconds(tx, compiled), apart(tx, compiled))
    return stored(tx, graph, version=version, borrowed=borrowed, tracked_partitions=tracked_partitions)


def stored(
    tx: Transaction,
    graph: Graph,
    *,
    version: int | None,
    borrowed: frozenset[str] = frozenset(),
    tracked_partitions: tuple[LoadedPartition, ...] = (),
) -> Loaded:
    """`load`, of a graph."""
    fired = tuple(firings.last(tx))
    alike = _alike(tx, version, borrowed)
    if not borrowed and version is not None and (result := _resumed(tx, graph, version)) is not None:
        return replace(result, fired=fired, alike=alike)
    own = (tracked for tracked in _tracked_partitions(tx) if tracked.node not in borrowed)
    return Loaded(graph, tracked_partitions, fired=fired, checkpoint=checkpoint.gathered(graph, own), alike=alike)


def part(
    tx: Transaction, graph: Graph, *, version: int | None, borrowed: frozenset[str], tracked_partitions: tuple[LoadedPartition, ...] = ()
) -> Loaded:
    """`stored`, of a part of the graph that holds all that its nodes read: only what the store says of these is read."""
    names = {node.name for node in graph.nodes}
    fired = tuple(item for item in firings.last(tx) if item[0] in names)
    stored_checkpoint = standings.checkpoint(tx) if not borrowed else None
    content: SchedulerCheckpoint | None = (
        checkpoint.decode(stored_checkpoint.content) if stored_checkpoint is not None and stored_checkpoint.version == version else None
    )
    if stored_checkpoint is not None and content is not None:
        scheduler_checkpoint = replace(
            content,
            tracked_partitions=tuple(partition for partition in content.tracked_partitions if partition.node in names),
            nodes={name: node for name, node in content.nodes.items() if name in names},
        )
        return Loaded(
            graph,
            tuple(partition for partition in _tracked_partitions(tx, stored_checkpoint.revision) if partition.node in names),
            fired=fired,
            checkpoint=scheduler_checkpoint,
        )
    made = (tracked for name in sorted(names - borrowed) for tracked in _tracked_partitions(tx, node=name))
    return Loaded(
        graph,
        tuple(partition for partition in tracked_partitions if partition.node in names),
        fired=fired,
        checkpoint=checkpoint.gathered(graph, made),
    )


def _alike(tx: Transaction, version: int | None, borrowed: frozenset[str]) -> tuple[FailsAlike, ...]:
    """The nodes whose newest attempt, at the applied version, failed as it would in every partition.
    One that somebody asked for again since isn't failed any more, and is tried."""
    alikes = []
    for attempt in failures.newest_attempts(tx, version) if version is not None else ():
        error = msgspec.json.decode(attempt.error, type=BodyError)
        if not error.everywhere or attempt.node in borrowed:
            continue
        until = attempt.finished_at + INSTALLED_WAIT_US if error.machine else None
        alikes.append(FailsAlike(attempt.node, attempt.partition, attempt.reason, until))
    return tuple(alikes)


def _seconds(tx: Transaction, compiled: Compiled) -> dict[str, float]:
    """How long attempts take, where a deadline depends on it."""
    return durations.p95s(tx, compiled.nodes) if compiled.project.consumers else {}


def apart(tx: Transaction, compiled: Compiled) -> set[str]:
    """The nodes of which it was seen that they can't be computed for several partitions at once, as their bodies are now."""
    return {
        name
        for name, (fingerprint, proven) in batching.known(tx).items()
        if not proven and name in compiled.nodes and compiled.nodes[name].fingerprint == fingerprint
    }


def _resumed(tx: Transaction, graph: Graph, version: int) -> Loaded | None:
    stored_checkpoint = standings.checkpoint(tx)
    if stored_checkpoint is None or stored_checkpoint.version != version:
        return None
    content: SchedulerCheckpoint | None = checkpoint.decode(stored_checkpoint.content)
    return None if content is None else Loaded(graph, tuple(_tracked_partitions(tx, stored_checkpoint.revision)), checkpoint=content)


def _tracked_partitions(tx: Transaction, after: int = -1, node: str | None = None) -> Iterator[LoadedPartition]:
    for row in standings.standings(tx, after, node):
        state = PartitionState(row.state)
        yield LoadedPartition(
            node=row.node, key=row.partition, state=state, stale=row.stale, failures=row.failures, not_before=row.not_before,
            published=row.published, proposed=row.proposed, publication=row.publication, reason=row.reason,
            since=row.since if state is PartitionState.WAITING and not row.failures else 0,
        )  # fmt: skip
