"""What a core knows of partitions, in a form that is written to the store and started from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from headrace.schedule.admission import AttemptDurations
from headrace.schedule.events import KeptNode, Loaded, LoadedPartition, SavedPartition, SchedulerCheckpoint
from headrace.schedule.graph import Graph
from headrace.schedule.partition_states import PartitionStates
from headrace.schedule.ranges import IntegerSet, TerminalPartitions
from headrace.schedule.states import PartitionState
from headrace.schedule.tracked import AT_REST, TrackedPartition

FORM = 2
"""Of what is written: another release may write and understand another."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(SchedulerCheckpoint)


def encode(checkpoint: SchedulerCheckpoint) -> bytes:
    """A checkpoint as the store keeps it."""
    return _encoder.encode(checkpoint)


def decode(content: bytes) -> SchedulerCheckpoint | None:
    """The inverse of `encode`; None for one that this release doesn't understand."""
    try:
        checkpoint = _decoder.decode(content)
    except msgspec.DecodeError:
        return None
    return checkpoint if checkpoint.form == FORM else None


def gathered(graph: Graph, rows: Iterable[LoadedPartition]) -> SchedulerCheckpoint:
    """What the rows of all partitions say; what else is expected isn't known yet."""
    partition_states = PartitionStates({node.name: node for node in graph.nodes})
    for row in rows:
        if row.node in partition_states.nodes:
            place(partition_states, row)
    return taken(partition_states, AttemptDurations(), complete=False)


def place(partition_states: PartitionStates, row: LoadedPartition) -> None:
    """A partition stands as the store says. What ran there runs no more."""
    partition_states.place(row.node, row.key, AT_REST if _rests(row) else _loaded(row))
    if row.publication:
        partition_states.publications[row.node] = row.publication


def _rests(row: LoadedPartition) -> bool:
    flawless = row.published and row.state is PartitionState.PUBLISHED and row.not_before is None
    return flawless and not (row.stale or row.proposed or row.failures or row.reason)


def _loaded(row: LoadedPartition) -> TrackedPartition:
    tracked = TrackedPartition(PartitionState.WAITING if row.state is PartitionState.RUNNING else row.state)
    tracked.stale, tracked.failures, tracked.not_before, tracked.proposed = row.stale, row.failures, row.not_before, row.proposed
    tracked.published, tracked.since, tracked.reason = row.published, row.since, row.reason
    tracked.cap = 1 if row.failures else 0  # with whom it failed isn't in the store
    if tracked.stale and not tracked.proposed and tracked.state is PartitionState.PUBLISHED:
        tracked.state = PartitionState.WAITING
    return tracked


def taken(partition_states: PartitionStates, durations: AttemptDurations, *, complete: bool = True) -> SchedulerCheckpoint:
    """What is known now. What is queued or runs is kept as waiting: whoever starts from this runs nothing yet."""
    nodes = {
        name: _node(partition_states, name)
        for name in partition_states.nodes
        if not partition_states.empty(name) or name in partition_states.expanded
    }
    tracked_partitions = tuple(
        _kept(name, key, tracked) for name, partitions in partition_states.tracked_partitions.items() for key, tracked in partitions.items()
    )
    return SchedulerCheckpoint(FORM, nodes, tracked_partitions, durations.means, complete, durations.paces)


def size(checkpoint: SchedulerCheckpoint) -> int:
    """How many partitions it knows."""
    numbered = (IntegerSet(edges) for node in checkpoint.nodes.values() for edges in node.runs.values())
    return sum(map(len, numbered)) + sum(len(node.named) for node in checkpoint.nodes.values()) + len(checkpoint.tracked_partitions)


def restore(checkpoint: SchedulerCheckpoint, partition_states: PartitionStates, durations: AttemptDurations) -> None:
    """Make an empty partition states stand as it stood."""
    durations.means.update({name: mean for name, mean in checkpoint.durations.items() if name in partition_states.nodes})
    durations.paces.update({name: pace for name, pace in checkpoint.paces.items() if name in partition_states.nodes})
    for name, node in checkpoint.nodes.items():
        if name in partition_states.nodes:
            _restore_node(partition_states, name, node)
    for partition in checkpoint.tracked_partitions:
        if partition.node in partition_states.nodes:
            partition_states.put(partition.node, partition.key, _tracked(partition))
            if partition.published:
                partition_states.visible.add(partition.node)


def _node(partition_states: PartitionStates, name: str) -> KeptNode:
    resting = partition_states.resting[name]
    return KeptNode(
        runs={data: tuple(runs.edges) for data, runs in resting.runs.items()},
        named=tuple(resting.named),
        oldest=partition_states.oldest.get(name),
        newest=partition_states.newest.get(name),
        publication=partition_states.publications.get(name, 0),
        expanded=partition_states.expanded.get(name, ""),
    )


def _restore_node(partition_states: PartitionStates, name: str, node: KeptNode) -> None:
    resting = partition_states.resting[name]
    resting.runs = {data: IntegerSet(edges) for data, edges in node.runs.items()}
    resting.named = dict.fromkeys(node.named)
    if resting:
        partition_states.visible.add(name)
    if node.oldest is not None and node.newest is not None:
        partition_states.oldest[name], partition_states.newest[name] = node.oldest, node.newest
    if node.publication:
        partition_states.publications[name] = node.publication
    if node.expanded:
        partition_states.expanded[name] = node.expanded


def _kept(name: str, key: str, tracked: TrackedPartition) -> SavedPartition:
    state = PartitionState.WAITING if tracked.state is PartitionState.RUNNING else tracked.state
    return SavedPartition(
        name,
        key,
        state,
        tracked.stale,
        tracked.proposed,
        tracked.late,
        tracked.published,
        tracked.failures,
        tracked.not_before,
        tracked.reason,
        tracked.since,
        tracked.cap,
    )


def _tracked(partition: SavedPartition) -> TrackedPartition:
    tracked = TrackedPartition(partition.state)
    tracked.stale, tracked.proposed, tracked.late, tracked.published = (
        partition.stale,
        partition.proposed,
        partition.late,
        partition.published,
    )
    tracked.failures, tracked.not_before, tracked.reason, tracked.since, tracked.cap = (
        partition.failures,
        partition.not_before,
        partition.reason,
        partition.since,
        partition.cap,
    )
    return tracked


def differing(loaded: Loaded, whole: SchedulerCheckpoint) -> Iterator[tuple[str, str]]:
    """The partitions that a checkpoint, with what has changed since, says otherwise than all rows do; what only inputs make expected,
    rows don't know."""
    nodes = {node.name: node for node in loaded.graph.nodes}
    states, other = PartitionStates(nodes), PartitionStates(nodes)
    restore(whole, other, AttemptDurations())
    if loaded.checkpoint is not None:
        restore(loaded.checkpoint, states, AttemptDurations())
    for row in loaded.tracked_partitions:
        if row.node in nodes:
            place(states, row)
    for name in nodes:
        suspects = {
            *_differing_at_rest(states.resting[name], other.resting[name]),
            *states.tracked_partitions[name],
            *other.tracked_partitions[name],
        }
        yield from ((name, key) for key in sorted(suspects) if _shown(states.get(name, key)) != _shown(other.get(name, key)))


def _differing_at_rest(partitions: TerminalPartitions, other: TerminalPartitions) -> Iterator[str]:
    yield from partitions.named.keys() ^ other.named.keys()
    for data in partitions.runs.keys() | other.runs.keys():
        mine, theirs = partitions.runs.get(data, IntegerSet()), other.runs.get(data, IntegerSet())
        yield from (partitions.key(number, data) for number in (*mine.minus(theirs), *theirs.minus(mine)))


def _shown(tracked: TrackedPartition | None) -> tuple[object, ...]:
    """What rows say of a partition, too; one that only waits may have none."""
    if tracked is None:
        return (PartitionState.WAITING, False, False, False, 0)
    return (tracked.state, tracked.published, tracked.stale, tracked.proposed, tracked.failures)
