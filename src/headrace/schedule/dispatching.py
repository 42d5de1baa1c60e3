"""What is most urgent is given out, as far as there is room."""

from __future__ import annotations

import heapq

from headrace.schedule.admission import Slots
from headrace.schedule.board import Cell
from headrace.schedule.commands import Dispatch
from headrace.schedule.events import AttemptId
from headrace.schedule.graph import GraphNode
from headrace.schedule.situation import Running, Situation
from headrace.schedule.states import Change, PartitionState, step


class Dispatcher:
    """Starts attempts, `slots` at once (a few more are given out ahead), numbered within the leader's epoch."""

    def __init__(self, situation: Situation, *, epoch: int, slots: int, after: int) -> None:
        self._all = situation
        self._board = situation.board
        self._epoch, self._slots, self._last_n = epoch, slots, after

    def admit(self) -> None:
        """Take what may run from the queue, most urgent first. What has no room in a pool is in the way of nothing but what is less
        urgent and takes from the same pool."""
        situation = self._all
        if not situation.ready:
            return
        heads, room = situation.ready.heads(), situation.room()
        slots = Slots(self._slots, (one.node for one in situation.running.values()), situation.durations)
        while heads:
            entry, takes = heads[0]
            node = situation.nodes[situation.network.order[entry.rank]]
            if not slots.admit(node.name):
                return
            cell = self._board.get(node.name, entry.key)
            queued = cell is not None and cell.queued  # it may have gone out with its bundle
            if queued and room.short(takes):
                room.wait(takes)
                heapq.heappop(heads)
                continue
            situation.ready.pop(takes)
            if queued and self._still(node, entry.key):
                room.take(takes)
                slots.take(node.name)
                self._give_out(node, entry.key)
            following = situation.ready.head(takes)
            if following is None:
                heapq.heappop(heads)
            else:
                heapq.heapreplace(heads, (following, takes))

    def _still(self, node: GraphNode, key: str) -> bool:
        """Whether a partition that was queued is still wanted and complete; it rests if it isn't."""
        situation, cell = self._all, self._board.cell(node.name, key)
        wanted = cell.state is PartitionState.WAITING and situation.demands.wanted(node.name, key)
        if wanted and next(situation.needs.missing(node, key, situation.now), None) is None:
            return True
        situation.put_back(node.name, key)
        if node.name in situation.network.gathers:
            situation.gathering[node.name, key] = None
        return False

    def _give_out(self, node: GraphNode, key: str) -> None:
        cell = self._board.cell(node.name, key)
        cell.queued = False
        self._dispatch(node, (key, *self._bundled(node, key, cell)), cell.queued_at)

    def ahead(self) -> int:
        """How many attempts lie in the pipes of workers that are at another one."""
        return len(self._all.running) - self._slots

    def _bundled(self, node: GraphNode, key: str, cell: Cell) -> list[str]:
        """The other partitions that came in the same file and wait as well."""
        found = []
        for other in self._board.bundles.get((node.name, cell.bundle), ()) if cell.bundle else ():
            one = self._board.cell(node.name, other)
            waits = one.state is PartitionState.WAITING and one.not_before is None
            wanted = self._all.demands.wanted(node.name, other) and self._all.needs.expected(node, other)
            if other == key or not waits or not wanted:
                continue
            if not one.queued:
                self._all.begin(node.name, other)
            one.queued = False
            found.append(other)
        return found

    def _without(self, node: GraphNode, keys: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        return tuple(found for key in keys for found in self._all.needs.done_without(node, key, self._all.now))

    def _dispatch(self, node: GraphNode, keys: tuple[str, ...], queued_at: int) -> None:
        situation = self._all
        keys = tuple(sorted(keys, key=lambda key: self._board.order(node, key)))
        self._last_n += 1
        attempt = AttemptId(self._epoch, self._last_n)
        for key in keys:
            cell = self._board.cell(node.name, key)
            cell.state = step(cell.state, Change.DISPATCHED)
            cell.dirty = False
        runs = tuple(sorted({demand.run for key in keys for demand in situation.demands.wanting(node.name, key)}, reverse=True))
        situation.running[attempt] = Running(node.name, keys, situation.now + node.timeout_us, runs)
        situation.commands.append(Dispatch(attempt, node.name, keys, queued_at, self._without(node, keys), runs))
