"""All that the core knows at an instant, and the few changes to it that every part makes alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from headrace.schedule.admission import Durations
from headrace.schedule.board import Board, Cell
from headrace.schedule.commands import Command, Mark
from headrace.schedule.demands import Demands
from headrace.schedule.events import AttemptId
from headrace.schedule.graph import Graph, GraphNode
from headrace.schedule.needs import Needs
from headrace.schedule.network import Network


class Running(NamedTuple):
    """A slot that is taken, until `expires_at` at the latest."""

    node: str
    keys: tuple[str, ...]
    expires_at: int


class Situation:
    """A graph, where its partitions stand, what is wanted, what runs, and what waits for its turn or its time."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: dict[str, GraphNode] = {node.name: node for node in graph.nodes}
        self.board = Board(self.nodes)
        self.network = Network(graph, self.board)
        self.demands = Demands(self.board)
        self.needs = Needs(self.board, self.network, self.demands.wanted)
        self.durations = Durations()
        self.ready: list[tuple[int, str, int, str]] = []
        """Heap of what may run: urgency, and last the node's rank and the key."""
        self.later: list[tuple[int, str, str]] = []
        """Heap of what failed and is tried again at a time."""
        self.alarms: list[tuple[int, str, str]] = []
        """Heap of partitions that only time makes ready."""
        self.running: dict[AttemptId, Running] = {}
        self.timed_out: set[AttemptId] = set()
        self.cancelled: set[AttemptId] = set()
        self.gathering: dict[tuple[str, str], None] = {}
        """Partitions that run once their ancestors are at rest."""
        self.commands: list[Command] = []
        """What the event that is being handled has led to."""
        self.now = 0

    def mark(self, node: str, key: str, cell: Cell) -> None:
        """Say that a partition stands elsewhere now."""
        self.commands.append(Mark(node, key, cell.state, cell.stale, cell.failures, cell.not_before, cell.reason, cell.proposed))

    def begin(self, node: str, key: str) -> None:
        """A partition is queued."""
        self.board.busy[node] = self.board.busy.get(node, 0) + 1
        self.demands.begun(node, key)

    def rest(self, node: str, *keys: str) -> None:
        """Partitions are neither queued nor running any more."""
        self.board.rest(node, len(keys))
        for key in keys:
            self.demands.rested(node, key)

    def under_way(self) -> Iterator[tuple[str, str]]:
        """What is queued or running."""
        for running in self.running.values():
            yield from ((running.node, key) for key in running.keys)
        for *_, rank, key in self.ready:
            name = self.network.order[rank]
            cell = self.board.get(name, key)
            if cell is not None and cell.queued:
                yield name, key
