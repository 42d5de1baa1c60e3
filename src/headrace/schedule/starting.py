"""What the core starts from: where partitions stand in the store, and those that nothing was heard of but that should be there."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from headrace.schedule.board import Cell
from headrace.schedule.events import Loaded, LoadedCell
from headrace.schedule.graph import GraphNode
from headrace.schedule.queueing import Queue
from headrace.schedule.readiness import WHOLE, Link, delivery_key
from headrace.schedule.situation import Running, Situation
from headrace.schedule.states import PartitionState


def start(situation: Situation, queue: Queue, event: Loaded) -> None:
    """Take in what the store says."""
    for row in event.cells:
        if row.node in situation.nodes:
            _place(situation, queue, row)
    for one in event.running:
        situation.running[one.attempt] = Running(one.node, one.keys, one.expires_at)
        for key in one.keys:
            queue.expect(situation.nodes[one.node], key)
            situation.board.cell(one.node, key).state = PartitionState.RUNNING
            situation.begin(one.node, key)
    for node in event.graph.nodes:
        if not node.is_source:
            _expect(situation, queue, node)


def _place(situation: Situation, queue: Queue, row: LoadedCell) -> None:
    cell = Cell(PartitionState.WAITING if row.state is PartitionState.RUNNING else row.state)
    cell.stale, cell.failures, cell.not_before, cell.proposed = row.stale, row.failures, row.not_before, row.proposed
    if cell.stale and not cell.proposed and cell.state is PartitionState.PUBLISHED:
        cell.state = PartitionState.WAITING
    queue.add(row.node, row.key, cell)
    if row.published:
        situation.board.show(row.node, cell)
        if row.publication:
            situation.board.publications[row.node] = row.publication
    if cell.not_before is not None:
        heapq.heappush(situation.later, (cell.not_before, row.node, row.key))
    situation.board.settle(row.node, row.key)


def _expect(situation: Situation, queue: Queue, node: GraphNode) -> None:
    """The partitions of an asset that its inputs' publications make expected, and that nothing was heard of."""
    if not node.inputs and node.partition.whole:
        queue.expect(node, WHOLE)  # nothing announces it, and nothing asks for it by name
    for link in situation.network.links[node.name]:
        for key in situation.board.published(link.input.name):
            for wanted in _announced(situation, link, key):
                if situation.needs.expected(node, wanted):
                    queue.expect(node, wanted)


def _announced(situation: Situation, link: Link, key: str) -> Iterable[str]:
    if not link.delivers:
        return link.touches(key)
    publication = situation.board.publications.get(link.input.name)
    return (delivery_key(publication),) if publication else ()
