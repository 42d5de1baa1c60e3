"""Checkpoints of the core: its partition states as the store keeps them, and the start
from them.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from headrace.model.partitions import WHOLE, delivery_key
from headrace.scheduler.capacity import AttemptDurations
from headrace.scheduler.dependencies import InputLink
from headrace.scheduler.events import (
    KeptNode,
    Loaded,
    LoadedPartition,
    LoadedRunning,
    SavedGroup,
    SavedPartition,
    SchedulerCheckpoint,
)
from headrace.scheduler.graph import Graph, GraphNode
from headrace.scheduler.partition_states import PartitionStates, groups_partitions
from headrace.scheduler.ranges import IntegerSet, PartitionSet, interval_exists
from headrace.scheduler.state import Queue, Running, SchedulerState, failed_unattempted
from headrace.scheduler.states import (
    AT_REST,
    PartitionState,
    PartitionTransition,
    TrackedPartition,
)

CHECKPOINT_FORMAT = 3
"""Format version of checkpoints; other releases may use another one."""

GROUP_MIN = 2
"""Fewest partitions that make a group; fewer are stored one by one."""
GROUPS_MAX = 64
"""Maximum number of groups per node, so that finding a partition's group stays cheap."""

Saved = TypeVar("Saved")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(SchedulerCheckpoint)


def encode_checkpoint(checkpoint: SchedulerCheckpoint) -> bytes:
    """Return a checkpoint as bytes for the store."""
    return _encoder.encode(checkpoint)


def decode_checkpoint(content: bytes) -> SchedulerCheckpoint | None:
    """Return the checkpoint in these bytes; None if this release doesn't understand it."""
    try:
        checkpoint = _decoder.decode(content)
    except msgspec.DecodeError:
        return None
    return checkpoint if checkpoint.form == CHECKPOINT_FORMAT else None


def checkpoint_of_rows(
    graph: Graph, runs: Iterable[tuple[LoadedPartition, Sequence[str]]]
) -> SchedulerCheckpoint:
    """Return a checkpoint from the rows of all partitions.

    `runs` are rows that differ in their key only, and their keys. Other expected partitions aren't
    known yet.
    """
    partition_states = PartitionStates({node.name: node for node in graph.nodes})
    for row, keys in runs:
        if row.node in partition_states.nodes:
            _place_run(partition_states, row, keys)
    return take_checkpoint(partition_states, AttemptDurations(), complete=False)


def _place_run(
    partition_states: PartitionStates, row: LoadedPartition, keys: Sequence[str]
) -> None:
    """Set the states of partitions that aren't known yet, from rows that differ in their key."""
    node, rest = partition_states.nodes[row.node], keys
    groups = partition_states.groups[row.node]
    alike = groups_partitions(node) and row.not_before is None and len(groups) < GROUPS_MAX
    if alike and len(keys) >= GROUP_MIN:
        runs: dict[str, IntegerSet] = {}
        rest = _group(partition_states.resting[row.node], runs, keys)
        state = AT_REST if _is_terminal(row) else _loaded(row)
        partition_states.add_group(row.node, state, runs)
    for key in rest:
        place_row(partition_states, replace(row, key=key))


def place_row(partition_states: PartitionStates, row: LoadedPartition) -> None:
    """Set a partition's state from its row; running attempts count as ended."""
    partition_states.place(row.node, row.key, AT_REST if _is_terminal(row) else _loaded(row))
    if row.publication:
        partition_states.publications[row.node] = row.publication


def _is_terminal(row: LoadedPartition) -> bool:
    flawless = row.published and row.state is PartitionState.PUBLISHED and row.not_before is None
    return flawless and not (row.stale or row.proposed or row.failures or row.reason)


def _loaded(row: LoadedPartition) -> TrackedPartition:
    tracked = TrackedPartition(row.state)
    if tracked.state is PartitionState.RUNNING:
        tracked.step(PartitionTransition.PUT_BACK)
    tracked.stale, tracked.failures, tracked.not_before, tracked.proposed = (
        row.stale,
        row.failures,
        row.not_before,
        row.proposed,
    )
    tracked.published, tracked.since, tracked.reason = row.published, row.since, row.reason
    tracked.cap = 1 if row.failures else 0  # the store doesn't know which batch it failed in
    if tracked.stale and not tracked.proposed and tracked.state is PartitionState.PUBLISHED:
        tracked.step(PartitionTransition.WANTED)
    return tracked


def take_checkpoint(
    partition_states: PartitionStates, durations: AttemptDurations, *, complete: bool = True
) -> SchedulerCheckpoint:
    """Return a checkpoint of the current state.

    Queued and running partitions are saved as waiting, because a core that starts from it runs
    nothing yet.
    """
    nodes: dict[str, KeptNode] = {}
    tracked_partitions: list[SavedPartition] = []
    for name in partition_states.nodes:
        if not partition_states.empty(name) or name in partition_states.expanded:
            groups, others = _saved_partitions(partition_states, name)
            nodes[name] = _node(partition_states, name, groups)
            tracked_partitions += others
    return SchedulerCheckpoint(
        CHECKPOINT_FORMAT,
        nodes,
        tuple(tracked_partitions),
        durations.means,
        complete,
        durations.paces,
    )


def _saved_partitions(
    partition_states: PartitionStates, name: str
) -> tuple[tuple[SavedGroup, ...], list[SavedPartition]]:
    """Return a node's partitions that aren't terminal: groups of equal ones, and all others."""
    node, numbered = partition_states.nodes[name], partition_states.resting[name]
    groups = {
        _saved(node, "", group.state): dict(group.partitions.runs)
        for group in partition_states.groups[name]
    }
    alike, others = _alike(node, partition_states.tracked_partitions[name])
    for saved, keys in sorted(alike.items(), key=lambda item: -len(item[1])):
        grouped = saved in groups or (len(keys) >= GROUP_MIN and len(groups) < GROUPS_MAX)
        rest = _group(numbered, groups.setdefault(saved, {}), keys) if grouped else keys
        others += (replace(saved, key=key) for key in rest)
    saved_groups = (
        SavedGroup(saved, {data: tuple(numbers.edges) for data, numbers in runs.items()})
        for saved, runs in groups.items()
        if runs
    )
    return tuple(saved_groups), others


def _alike(
    node: GraphNode, tracked_partitions: Mapping[str, TrackedPartition]
) -> tuple[dict[SavedPartition, list[str]], list[SavedPartition]]:
    """Return the partitions of each state that may be grouped, and all others."""
    alike: dict[SavedPartition, list[str]] = {}
    others: list[SavedPartition] = []
    for key, tracked in tracked_partitions.items():
        saved = _saved(node, "", tracked)
        if groups_partitions(node) and saved.not_before is None:
            alike.setdefault(saved, []).append(key)
        else:
            others.append(_saved(node, key, tracked))
    return alike, others


def _group(numbered: PartitionSet, runs: dict[str, IntegerSet], keys: Iterable[str]) -> list[str]:
    """Add partitions to a group's runs; return those without a number."""
    numbers: dict[str, list[int]] = {}
    unnumbered = []
    for key in keys:
        number, data = numbered.place(key)
        if number is None:
            unnumbered.append(key)
        else:
            numbers.setdefault(data, []).append(number)
    for data, added in numbers.items():
        runs[data] = runs.get(data, IntegerSet()) | IntegerSet.of(added)
    return unnumbered


def checkpoint_size(checkpoint: SchedulerCheckpoint) -> int:
    """Return the number of partitions in a checkpoint."""
    numbered = (
        IntegerSet(edges)
        for node in checkpoint.nodes.values()
        for runs in (node.runs, *(group.runs for group in node.groups))
        for edges in runs.values()
    )
    return (
        sum(map(len, numbered))
        + sum(len(node.named) for node in checkpoint.nodes.values())
        + len(checkpoint.tracked_partitions)
    )


def restore_checkpoint(
    checkpoint: SchedulerCheckpoint, partition_states: PartitionStates, durations: AttemptDurations
) -> None:
    """Restore a checkpoint into empty partition states."""
    nodes = partition_states.nodes
    durations.means.update(_of_nodes(checkpoint.durations, nodes))
    durations.paces.update(_of_nodes(checkpoint.paces, nodes))
    for name, node in _of_nodes(checkpoint.nodes, nodes).items():
        _restore_node(partition_states, name, node)
    for partition in checkpoint.tracked_partitions:
        if partition.node not in nodes:
            continue
        partition_states.put(partition.node, partition.key, _tracked(partition))
        if partition.published:
            partition_states.visible.add(partition.node)


def _of_nodes(saved: Mapping[str, Saved], nodes: Collection[str]) -> dict[str, Saved]:
    """Return what a checkpoint saved of these nodes; others have left the graph since."""
    return {name: value for name, value in saved.items() if name in nodes}


def _node(partition_states: PartitionStates, name: str, groups: tuple[SavedGroup, ...]) -> KeptNode:
    resting = partition_states.resting[name]
    return KeptNode(
        runs={data: tuple(runs.edges) for data, runs in resting.runs.items()},
        named=tuple(resting.named),
        oldest=partition_states.oldest.get(name),
        newest=partition_states.newest.get(name),
        publication=partition_states.publications.get(name, 0),
        expanded=partition_states.expanded.get(name, ""),
        groups=groups,
    )


def _restore_node(partition_states: PartitionStates, name: str, node: KeptNode) -> None:
    resting = partition_states.resting[name]
    resting.runs = {data: IntegerSet(edges) for data, edges in node.runs.items()}
    resting.named = dict.fromkeys(node.named)
    if resting:
        partition_states.visible.add(name)
    for group in node.groups:
        runs = {data: IntegerSet(edges) for data, edges in group.runs.items()}
        partition_states.add_group(name, _tracked(group.like), runs)
    if node.oldest is not None and node.newest is not None:
        partition_states.oldest[name], partition_states.newest[name] = node.oldest, node.newest
    if node.publication:
        partition_states.publications[name] = node.publication
    if node.expanded:
        partition_states.expanded[name] = node.expanded


def _saved(node: GraphNode, key: str, tracked: TrackedPartition) -> SavedPartition:
    since = tracked.since if node.trigger is not None else 0  # only a trigger asks for it
    state = PartitionState.WAITING if tracked.state is PartitionState.RUNNING else tracked.state
    return SavedPartition(
        node.name,
        key,
        state,
        tracked.stale,
        tracked.proposed,
        tracked.late,
        tracked.published,
        tracked.failures,
        tracked.not_before,
        tracked.reason,
        since,
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


def differing_partitions(loaded: Loaded, whole: SchedulerCheckpoint) -> Iterator[tuple[str, str]]:
    """Yield the partitions whose state differs between the store's rows and a checkpoint.

    The checkpoint includes later changes. Partitions that are only expected because of inputs have
    no rows.
    """
    nodes = {node.name: node for node in loaded.graph.nodes}
    states, other = PartitionStates(nodes), PartitionStates(nodes)
    restore_checkpoint(whole, other, AttemptDurations())
    if loaded.checkpoint is not None:
        restore_checkpoint(loaded.checkpoint, states, AttemptDurations())
    for row in loaded.tracked_partitions:
        if row.node in nodes:
            place_row(states, row)
    for name in nodes:
        suspects = {
            *_differing_at_rest(states.resting[name], other.resting[name]),
            *(key for key, _ in states.open(name)),
            *(key for key, _ in other.open(name)),
        }
        yield from (
            (name, key)
            for key in sorted(suspects)
            if _comparable(states.get(name, key)) != _comparable(other.get(name, key))
        )


def _differing_at_rest(partitions: PartitionSet, other: PartitionSet) -> Iterator[str]:
    yield from partitions.named.keys() ^ other.named.keys()
    for data in partitions.runs.keys() | other.runs.keys():
        mine, theirs = partitions.runs.get(data, IntegerSet()), other.runs.get(data, IntegerSet())
        yield from (partitions.key(number, data) for number in (*(mine - theirs), *(theirs - mine)))


def _comparable(tracked: TrackedPartition | None) -> tuple[object, ...]:
    """Return the part of a partition's state that rows contain; a waiting one may have no row."""
    if tracked is None:
        return (PartitionState.WAITING, False, False, False, 0)
    return (tracked.state, tracked.published, tracked.stale, tracked.proposed, tracked.failures)


# The start of the core: the state of partitions in the store, and expected partitions of which
# the store has no row.


def start_from_store(scheduler_state: SchedulerState, queue: Queue, event: Loaded) -> None:
    """Load the stored state of all partitions.

    A complete checkpoint already includes expected partitions, so only later changes are followed.
    """
    rows = _restore(scheduler_state, event)
    scheduler_state.alike.update(
        (alike.node, alike) for alike in event.alike if alike.node in scheduler_state.nodes
    )
    scheduler_state.unattempted |= {
        name for name in scheduler_state.nodes if _has_unattempted(scheduler_state, name)
    }
    for item in event.running:
        _go_on(scheduler_state, queue, item)
    if event.checkpoint is not None and event.checkpoint.complete:
        for row in rows:
            _expect_downstream(scheduler_state, queue, row.node, row.key)
    else:
        _expect_all(scheduler_state, queue)
    for name, tracked in scheduler_state.partition_states.tracked_partitions.items():
        _resume_waits(scheduler_state, name, tracked)
    heapq.heapify(scheduler_state.later)


def _has_unattempted(scheduler_state: SchedulerState, name: str) -> bool:
    partition_states = scheduler_state.partition_states
    groups = (group.state for group in partition_states.groups[name])
    tracked = partition_states.tracked_partitions[name].values()
    return any(map(failed_unattempted, (*groups, *tracked)))


def _restore(scheduler_state: SchedulerState, event: Loaded) -> list[LoadedPartition]:
    """Restore the checkpoint, then the rows changed since; return those rows."""
    partition_states = scheduler_state.partition_states
    if event.checkpoint is not None:
        restore_checkpoint(event.checkpoint, partition_states, scheduler_state.durations)
    rows = [row for row in event.tracked_partitions if row.node in scheduler_state.nodes]
    for row in rows:
        place_row(partition_states, row)
    return rows


def _resume_waits(
    scheduler_state: SchedulerState, name: str, tracked_partitions: Mapping[str, TrackedPartition]
) -> None:
    """Add a node's partitions that wait for a point in time to `later`."""
    for key, tracked in tracked_partitions.items():
        if not tracked.failures:  # the cause may have passed, and a retry costs nothing
            tracked.not_before = None
        if tracked.not_before is not None:
            scheduler_state.later.append((tracked.not_before, name, key))


def _go_on(scheduler_state: SchedulerState, queue: Queue, item: LoadedRunning) -> None:
    """Continue a running attempt."""
    for key in item.keys:
        queue.expect(scheduler_state.nodes[item.node], key)
        tracked = scheduler_state.partition_states.tracked(item.node, key)
        tracked.step(PartitionTransition.CONTINUED)
        tracked.dirty = key in item.dirty
        scheduler_state.begin(item.node, key)
    scheduler_state.running[item.attempt] = Running(item.node, item.keys, item.expires_at)


def begin_earlier(scheduler_state: SchedulerState, queue: Queue) -> None:
    """Expect the partitions that become expected because some sources begin earlier than known.

    They were announced by other inputs. For a source that was unknown before, it is now known which
    partitions precede its start, and nothing waits for those.
    """
    begins_earlier, scheduler_state.earlier = scheduler_state.earlier, {}
    if not begins_earlier:
        return
    were_unknown = {name for name, unknown in begins_earlier.items() if unknown}
    for node in scheduler_state.graph.nodes:
        above = scheduler_state.network.ancestors(node)
        if node.is_source or above.isdisjoint(begins_earlier):
            continue
        if not above.isdisjoint(were_unknown):
            queue.look_again(node)
        _queue_announced(scheduler_state, queue, node)


def _queue_announced(scheduler_state: SchedulerState, queue: Queue, node: GraphNode) -> None:
    """Expect and queue the partitions that a node's inputs announce and that aren't known yet."""
    for link in scheduler_state.network.links[node.name]:
        for key in list(_expected_partitions(scheduler_state, node, link)):
            if not scheduler_state.partition_states.known(node.name, key):
                _expect(scheduler_state, queue, node, key)
                queue.consider(node, key)


def _expect_downstream(scheduler_state: SchedulerState, queue: Queue, name: str, key: str) -> None:
    """Expect the downstream partitions of a partition."""
    _expect_in_heirs(scheduler_state, queue, name, key)
    tracked = scheduler_state.partition_states.get(name, key)
    if tracked is None or not tracked.published:
        return
    for child, link in scheduler_state.network.children[name]:
        for downstream_key in _announced(scheduler_state, link, key):
            _expect(scheduler_state, queue, child, downstream_key)


def _expect_all(scheduler_state: SchedulerState, queue: Queue) -> None:
    """Expect all partitions announced by inputs.

    The cost grows with differing ranges and results.
    """
    for node in scheduler_state.graph.nodes:
        if scheduler_state.network.heirs[node.name]:
            for key, _ in list(scheduler_state.partition_states.open(node.name)):
                _expect_in_heirs(scheduler_state, queue, node.name, key)
        if not node.is_source and not node.inputs and node.partition.whole:
            queue.expect(node, WHOLE)  # nothing announces it, and nothing requests it by name
        _expect_announced(scheduler_state, queue, node)


def _expect_announced(scheduler_state: SchedulerState, queue: Queue, node: GraphNode) -> None:
    """Expect the partitions of a node that its inputs announce."""
    for link in scheduler_state.network.links[node.name]:
        if link.same and not link.delivers and groups_partitions(node):
            _expect_ranges(scheduler_state, node, link)
        for key in _expected_partitions(scheduler_state, node, link):
            _expect(scheduler_state, queue, node, key)


def _expect_ranges(scheduler_state: SchedulerState, node: GraphNode, link: InputLink) -> None:
    """Expect a group of the partitions that an input with equal partitions announces.

    Nothing is done where more than ranges decides which are expected, or where others inherit them.
    """
    if scheduler_state.network.heirs[node.name]:
        return
    partition_states = scheduler_state.partition_states
    changing = partition_states.changing_numbers(node.name)
    runs: dict[str, IntegerSet] = {}
    for data in partition_states.data_keys(link.input.name):
        announced = partition_states.published_numbers(link.input.name, data)
        known = partition_states.known_numbers(node.name, data)
        expected = scheduler_state.needs.expected_numbers(node, announced - known)
        if expected is not None:
            runs[data] = expected - changing.get(data, IntegerSet())
    partition_states.add_group(node.name, TrackedPartition(PartitionState.WAITING), runs)


def _expect_in_heirs(scheduler_state: SchedulerState, queue: Queue, name: str, key: str) -> None:
    """Expect a partition in the nodes that inherit the keys of its node."""
    for child in scheduler_state.network.heirs[name]:
        _expect(scheduler_state, queue, child, key)


def _expect(scheduler_state: SchedulerState, queue: Queue, node: GraphNode, key: str) -> None:
    if not scheduler_state.partition_states.known(
        node.name, key
    ) and scheduler_state.needs.expected(node, key):
        queue.expect(node, key)


def _expected_partitions(
    scheduler_state: SchedulerState, node: GraphNode, link: InputLink
) -> Iterator[str]:
    """Yield partitions expected because of an input's publications, without most known ones."""
    partition_states = scheduler_state.partition_states
    name = link.input.name
    source, partitions = partition_states.resting[name], partition_states.resting[node.name]
    published = [
        key
        for key, tracked in partition_states.tracked_partitions[name].items()
        if tracked.published
    ]
    published += source.named
    for data in partition_states.data_keys(name):
        numbers = partition_states.published_numbers(name, data)
        if link.same and not link.delivers:
            known = partition_states.known_numbers(node.name, data)
            yield from (partitions.key(number, data) for number in numbers - known)
        elif link.ordered:
            known = partition_states.known_numbers(node.name, data)
            yield from _reached(link, node, numbers, source, partitions, known)
        else:
            published += (source.key(number, data) for number in numbers)
    for key in published:
        yield from _announced(scheduler_state, link, key)


def _reached(
    link: InputLink,
    node: GraphNode,
    runs: IntegerSet,
    source: PartitionSet,
    partitions: PartitionSet,
    known: IntegerSet,
) -> Iterator[str]:
    """Yield the partitions that read ranges of an ordered input, without those in `known`."""
    grain = node.partition.time_grain
    for first, beyond in runs.spans():
        reached = _reached_numbers(link, source, partitions, (first, beyond - 1))
        if reached is None:
            for number in range(first, beyond):
                yield from link.touches(source.key(number))
            continue
        keys = (partitions.key(number) for number in reached - known)
        yield from (key for key in keys if interval_exists(key, grain, node.timezone))


def _reached_numbers(
    link: InputLink,
    source: PartitionSet,
    partitions: PartitionSet,
    ends: tuple[int, int],
) -> IntegerSet | None:
    """Return the numbers of the partitions that read a range of an ordered input.

    They are those that read the range's first or last number (`ends`), and all between. None if
    there are none, or one has no number.
    """
    numbers = []
    for end in ends:
        for key in link.touches(source.key(end)):
            number, _ = partitions.place(key)
            if number is None:
                return None
            numbers.append(number)
    return IntegerSet((min(numbers), max(numbers) + 1)) if numbers else None


def _announced(scheduler_state: SchedulerState, link: InputLink, key: str) -> Iterable[str]:
    if not link.delivers:
        return link.touches(key)
    publication = scheduler_state.partition_states.publications.get(link.input.name)
    return (delivery_key(publication),) if publication else ()
