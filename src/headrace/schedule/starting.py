"""What the core starts from: where partitions stand in the store, and those that nothing was heard of but that should be there."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

from headrace.schedule.checkpoint import place, restore
from headrace.schedule.events import Loaded, LoadedRunning
from headrace.schedule.graph import GraphNode
from headrace.schedule.queueing import Queue
from headrace.schedule.ranges import IntegerSet, TerminalPartitions, exists
from headrace.schedule.readiness import WHOLE, InputLink, delivery_key
from headrace.schedule.scheduler_state import Running, SchedulerState
from headrace.schedule.states import PartitionState


def start(scheduler_state: SchedulerState, queue: Queue, event: Loaded) -> None:
    """Record what the store says. What a checkpoint that is complete knows is known; only what has changed since is followed up."""
    partition_states, checkpoint = scheduler_state.partition_states, event.checkpoint
    if checkpoint is not None:
        restore(checkpoint, partition_states, scheduler_state.durations)
    rows = [row for row in event.tracked_partitions if row.node in scheduler_state.nodes]
    for row in rows:
        place(partition_states, row)
    scheduler_state.alike.update((alike.node, alike) for alike in event.alike if alike.node in scheduler_state.nodes)
    for item in event.running:
        _go_on(scheduler_state, queue, item)
        scheduler_state.running[item.attempt] = Running(item.node, item.keys, item.expires_at)
    if checkpoint is not None and checkpoint.complete:
        for row in rows:
            _follow(scheduler_state, queue, row.node, row.key)
    else:
        _expect_all(scheduler_state, queue)
    for tracked_partitions in partition_states.tracked_partitions.values():
        for tracked in tracked_partitions.values():
            if not tracked.failures:  # what it waited for may be over by now, and costs nothing to be tried
                tracked.not_before = None
    for name, tracked_partitions in partition_states.tracked_partitions.items():
        scheduler_state.later += [
            (tracked.not_before, name, key) for key, tracked in tracked_partitions.items() if tracked.not_before is not None
        ]
    heapq.heapify(scheduler_state.later)


def _go_on(scheduler_state: SchedulerState, queue: Queue, item: LoadedRunning) -> None:
    """An attempt runs on."""
    for key in item.keys:
        queue.expect(scheduler_state.nodes[item.node], key)
        tracked = scheduler_state.partition_states.tracked(item.node, key)
        tracked.state, tracked.dirty = PartitionState.RUNNING, key in item.dirty
        scheduler_state.begin(item.node, key)


def begin_earlier(scheduler_state: SchedulerState, queue: Queue) -> None:
    """Some sources begin earlier than was known: what other inputs have announced and wasn't expected until now, is. Of one of which
    nothing was known until now, it is known now what comes before it, which nothing waits for."""
    opened, scheduler_state.earlier = scheduler_state.earlier, {}
    begun = {name for name, new in opened.items() if new}
    for node in scheduler_state.graph.nodes if opened else ():
        above = scheduler_state.network.ancestors(node)
        if node.is_source or above.isdisjoint(opened):
            continue
        if not above.isdisjoint(begun):
            queue.look_again(node)
        for link in scheduler_state.network.links[node.name]:
            for key in list(_unheard(scheduler_state, node, link)):
                if not scheduler_state.partition_states.known(node.name, key):
                    _expect(scheduler_state, queue, node, key)
                    queue.consider(node, key)


def _follow(scheduler_state: SchedulerState, queue: Queue, name: str, key: str) -> None:
    """What a partition makes expected of the nodes that read it."""
    for child in scheduler_state.network.heirs[name]:
        _expect(scheduler_state, queue, child, key)
    tracked = scheduler_state.partition_states.get(name, key)
    if tracked is None or not tracked.published:
        return
    for child, link in scheduler_state.network.children[name]:
        for wanted in _announced(scheduler_state, link, key):
            _expect(scheduler_state, queue, child, wanted)


def _expect_all(scheduler_state: SchedulerState, queue: Queue) -> None:
    """All that inputs make expected, at a cost of the ranges that differ, and of what is found."""
    for node in scheduler_state.graph.nodes:
        for key in list(scheduler_state.partition_states.tracked_partitions[node.name]):
            for child in scheduler_state.network.heirs[node.name]:
                _expect(scheduler_state, queue, child, key)
        if not node.is_source and not node.inputs and node.partition.whole:
            queue.expect(node, WHOLE)  # nothing announces it, and nothing asks for it by name
        for link in scheduler_state.network.links[node.name]:
            for key in _unheard(scheduler_state, node, link):
                _expect(scheduler_state, queue, node, key)


def _expect(scheduler_state: SchedulerState, queue: Queue, node: GraphNode, key: str) -> None:
    if not scheduler_state.partition_states.known(node.name, key) and scheduler_state.needs.expected(node, key):
        queue.expect(node, key)


def _unheard(scheduler_state: SchedulerState, node: GraphNode, link: InputLink) -> Iterator[str]:
    """Partitions that an input's publications make expected, without most of those that are at rest."""
    partition_states = scheduler_state.partition_states
    source, partitions = partition_states.resting[link.input.name], partition_states.resting[node.name]
    shown = [key for key, tracked in partition_states.tracked_partitions[link.input.name].items() if tracked.published]
    if link.same and not link.delivers:
        shown += source.named
        for data, runs in source.runs.items():
            yield from (partitions.key(number, data) for number in runs.minus(partitions.runs.get(data, IntegerSet())))
    elif link.ordered:
        shown += source.named
        yield from _reached(link, node, source.runs.get("", IntegerSet()), source, partitions)
    else:
        shown += source
    for key in shown:
        yield from _announced(scheduler_state, link, key)


def _reached(
    link: InputLink, node: GraphNode, runs: IntegerSet, source: TerminalPartitions, partitions: TerminalPartitions
) -> Iterator[str]:
    """What runs of an input's intervals make expected: what their ends touch, and all between."""
    known, grain = partitions.runs.get("", IntegerSet()), node.partition.grain
    assert grain is not None
    for first, beyond in runs.spans():
        ends = [partitions.place(key)[0] for at in (first, beyond - 1) for key in link.touches(source.key(at))]
        if not ends or None in ends:
            yield from (key for number in range(first, beyond) for key in link.touches(source.key(number)))
            continue
        numbers = [number for number in ends if number is not None]
        keys = (partitions.key(number) for number in IntegerSet((min(numbers), max(numbers) + 1)).minus(known))
        yield from (key for key in keys if exists(key, grain, node.timezone))


def _announced(scheduler_state: SchedulerState, link: InputLink, key: str) -> Iterable[str]:
    if not link.delivers:
        return link.touches(key)
    publication = scheduler_state.partition_states.publications.get(link.input.name)
    return (delivery_key(publication),) if publication else ()
