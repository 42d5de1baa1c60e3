"""A publication is taken back: what was made of it is stale, and waits until there is another."""

from __future__ import annotations

from headrace.schedule.events import TakenBack
from headrace.schedule.graph import GraphNode
from headrace.schedule.queueing import Queue
from headrace.schedule.situation import Situation
from headrace.schedule.states import Change, PartitionState


class Withdrawals:
    """Takes in what persons take back."""

    def __init__(self, situation: Situation, queue: Queue) -> None:
        self._all, self._queue = situation, queue
        self._board, self._network = situation.board, situation.network

    def take_back(self, event: TakenBack) -> None:
        """Readers see nothing of a partition any more. It isn't made again before a person names it or something that it is made of
        changes; an attempt that is at it goes on, because it began for such a reason."""
        if event.node not in self._all.nodes or not self._board.known(event.node, event.key):
            return
        node, cell = self._all.nodes[event.node], self._board.cell(event.node, event.key)
        self._board.hide(node.name, cell)
        if cell.state is not PartitionState.RUNNING:
            self._all.put_aside(node.name, event.key, Change.WITHDRAWN, event.reason)
        self._board.settle(node.name, event.key)
        self._tell(node, event.key)

    def _tell(self, node: GraphNode, key: str) -> None:
        for child, link in self._network.children[node.name]:
            if link.delivers:
                continue  # each of its partitions read the publication of its own time
            for wanted in link.touches(key):
                self._stale(child, wanted)
            if link.newest and link.stales and not link.gathers:
                for wanted in self._board.published(child.name):
                    self._stale(child, wanted)
        if node.chained and (following := self._all.needs.after(node, key)) is not None:
            self._stale(node, following)

    def _stale(self, node: GraphNode, key: str) -> None:
        cell = self._board.get(node.name, key)
        if cell is not None and cell.published:
            self._queue.want(node, key, force=True, stale=True)
            self._board.settle(node.name, key)
