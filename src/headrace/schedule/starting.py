"""What the core starts from: where partitions stand in the store, and those that nothing was heard of but that should be there."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

from headrace.schedule.checkpoint import place, restore
from headrace.schedule.events import Loaded, LoadedRunning
from headrace.schedule.graph import GraphNode
from headrace.schedule.queueing import Queue
from headrace.schedule.ranges import Resting, Runs, exists
from headrace.schedule.readiness import WHOLE, Link, delivery_key
from headrace.schedule.situation import Running, Situation
from headrace.schedule.states import PartitionState


def start(situation: Situation, queue: Queue, event: Loaded) -> None:
    """Take in what the store says. What a checkpoint that is complete knows is known; only what has changed since is followed up."""
    board, kept = situation.board, event.checkpoint
    if kept is not None:
        restore(kept, board, situation.durations)
    rows = [row for row in event.cells if row.node in situation.nodes]
    for row in rows:
        place(board, row)
    situation.alike.update((one.node, one) for one in event.alike if one.node in situation.nodes)
    for one in event.running:
        _go_on(situation, queue, one)
        situation.running[one.attempt] = Running(one.node, one.keys, one.expires_at)
    if kept is not None and kept.complete:
        for row in rows:
            _follow(situation, queue, row.node, row.key)
    else:
        _expect_all(situation, queue)
    for cells in board.cells.values():
        for cell in cells.values():
            if not cell.failures:  # what it waited for may be over by now, and costs nothing to be tried
                cell.not_before = None
    for name, cells in board.cells.items():
        situation.later += [(cell.not_before, name, key) for key, cell in cells.items() if cell.not_before is not None]
    heapq.heapify(situation.later)


def _go_on(situation: Situation, queue: Queue, one: LoadedRunning) -> None:
    """An attempt runs on."""
    for key in one.keys:
        queue.expect(situation.nodes[one.node], key)
        cell = situation.board.cell(one.node, key)
        cell.state, cell.dirty = PartitionState.RUNNING, key in one.dirty
        situation.begin(one.node, key)


def begin_earlier(situation: Situation, queue: Queue) -> None:
    """Some sources begin earlier than was known: what other inputs have announced and wasn't expected until now, is. Of one of which
    nothing was known until now, it is known now what comes before it, which nothing waits for."""
    opened, situation.earlier = situation.earlier, {}
    begun = {name for name, new in opened.items() if new}
    for node in situation.graph.nodes if opened else ():
        above = situation.network.ancestors(node)
        if node.is_source or above.isdisjoint(opened):
            continue
        if not above.isdisjoint(begun):
            queue.look_again(node)
        for link in situation.network.links[node.name]:
            for key in list(_unheard(situation, node, link)):
                if not situation.board.known(node.name, key):
                    _expect(situation, queue, node, key)
                    queue.consider(node, key)


def _follow(situation: Situation, queue: Queue, name: str, key: str) -> None:
    """What a partition makes expected of the nodes that read it."""
    for child in situation.network.heirs[name]:
        _expect(situation, queue, child, key)
    cell = situation.board.get(name, key)
    if cell is None or not cell.published:
        return
    for child, link in situation.network.children[name]:
        for wanted in _announced(situation, link, key):
            _expect(situation, queue, child, wanted)


def _expect_all(situation: Situation, queue: Queue) -> None:
    """All that inputs make expected, at a cost of the ranges that differ, and of what is found."""
    for node in situation.graph.nodes:
        for key in list(situation.board.cells[node.name]):
            for child in situation.network.heirs[node.name]:
                _expect(situation, queue, child, key)
        if not node.is_source and not node.inputs and node.partition.whole:
            queue.expect(node, WHOLE)  # nothing announces it, and nothing asks for it by name
        for link in situation.network.links[node.name]:
            for key in _unheard(situation, node, link):
                _expect(situation, queue, node, key)


def _expect(situation: Situation, queue: Queue, node: GraphNode, key: str) -> None:
    if not situation.board.known(node.name, key) and situation.needs.expected(node, key):
        queue.expect(node, key)


def _unheard(situation: Situation, node: GraphNode, link: Link) -> Iterator[str]:
    """Partitions that an input's publications make expected, without most of those that are at rest."""
    board = situation.board
    source, own = board.resting[link.input.name], board.resting[node.name]
    shown = [key for key, cell in board.cells[link.input.name].items() if cell.published]
    if link.same and not link.delivers:
        shown += source.named
        for data, runs in source.runs.items():
            yield from (own.key(number, data) for number in runs.minus(own.runs.get(data, Runs())))
    elif link.ordered:
        shown += source.named
        yield from _reached(link, node, source.runs.get("", Runs()), source, own)
    else:
        shown += source
    for key in shown:
        yield from _announced(situation, link, key)


def _reached(link: Link, node: GraphNode, runs: Runs, source: Resting, own: Resting) -> Iterator[str]:
    """What runs of an input's intervals make expected: what their ends touch, and all between."""
    known, grain = own.runs.get("", Runs()), node.partition.grain
    assert grain is not None
    for first, beyond in runs.spans():
        ends = [own.place(key)[0] for at in (first, beyond - 1) for key in link.touches(source.key(at))]
        if not ends or None in ends:
            yield from (key for number in range(first, beyond) for key in link.touches(source.key(number)))
            continue
        numbers = [number for number in ends if number is not None]
        keys = (own.key(number) for number in Runs((min(numbers), max(numbers) + 1)).minus(known))
        yield from (key for key in keys if exists(key, grain, node.timezone))


def _announced(situation: Situation, link: Link, key: str) -> Iterable[str]:
    if not link.delivers:
        return link.touches(key)
    publication = situation.board.publications.get(link.input.name)
    return (delivery_key(publication),) if publication else ()
