"""Where every partition stands, and what is known of each node as a whole."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from headrace.model.intervals import bounds_us
from headrace.model.ordering import end_of, order_of
from headrace.model.required import SEPARATOR, join, split
from headrace.schedule.events import Target
from headrace.schedule.graph import GraphNode
from headrace.schedule.states import PartitionState


class Cell:
    """One partition of one node, as the core keeps it."""

    __slots__ = (
        "alarm", "bundle", "dirty", "failures", "late", "not_before", "proposed", "published", "queued", "queued_at", "reason",
        "since", "stale", "state", "taken_back",
    )  # fmt: skip

    def __init__(self, state: PartitionState = PartitionState.MISSING) -> None:
        self.state = state
        self.stale = False
        self.proposed = False
        """It is stale, and computed again only if a person asks."""
        self.late = False
        """It is computed again because a person asked, after a restatement that came too late: what reads it isn't without asking."""
        self.failures = 0
        self.not_before: int | None = None
        self.published = False
        self.reason = ""
        self.bundle = ""
        """Names the file that it was delivered in with others."""
        self.dirty = False
        """An input changed while an attempt was running: it is stale as soon as it ends."""
        self.queued = False
        """It stands in the ready queue, since `queued_at`."""
        self.queued_at = 0
        self.alarm: int | None = None
        """When it is looked at again, because time alone may make it ready."""
        self.since = 0
        """Where its node has a trigger: it waits for a firing that isn't earlier; 0 for any after its interval's end."""
        self.taken_back = ""
        """Why a person withdrew it, while an attempt at it is being ended."""


class Span(NamedTuple):
    """A range of a node's partitions in the order of time, both included; None for no bound."""

    first: str | None
    last: str | None

    @property
    def everything(self) -> bool:
        """Whether it has no bounds."""
        return self.first is None and self.last is None

    def covers(self, order: str) -> bool:
        """Whether a partition with that order is in it."""
        return (self.first is None or order >= self.first) and (self.last is None or order <= self.last)


def span_of(node: GraphNode, target: Target) -> Span:
    """What a target means, in the order of its node's partitions."""
    spec, zone = node.partition, node.timezone
    first = None if target.first is None else order_of(target.first, spec, zone)
    return Span(first, None if target.last is None else end_of(target.last, spec, zone))


class Board:
    """The cells of all nodes."""

    def __init__(self, nodes: dict[str, GraphNode]) -> None:
        self.nodes = nodes
        self.cells: dict[str, dict[str, Cell]] = {name: {} for name in nodes}
        self.oldest: dict[str, tuple[str, str]] = {}
        """Node → order and key of its oldest partition that was ever heard of."""
        self.newest: dict[str, tuple[str, str]] = {}
        self.visible: set[str] = set()
        """Nodes of which something is published."""
        self.busy: dict[str, int] = {}
        """Node → its partitions that are queued or running."""
        self.bundles: dict[tuple[str, str], set[str]] = {}
        """Node and bundle → the partitions that came in it."""
        self.publications: dict[str, int] = {}
        """Node that isn't cut → the publication that first had the content that readers see."""
        self._data_keys: dict[str, dict[str, dict[str, None]]] = {name: {} for name, node in nodes.items() if _grows(node)}

    def add(self, name: str, key: str, cell: Cell) -> bool:
        """A partition that nothing was heard of; whether it is now its node's oldest."""
        self.cells[name][key] = cell
        node = self.nodes[name]
        if name in self._data_keys:
            time_key, data_key = split(key, node.partition)
            self._data_keys[name].setdefault(time_key, {})[data_key] = None
        place = (order_of(key, node.partition, node.timezone), key)
        if name not in self.newest or place > self.newest[name]:
            self.newest[name] = place
        if name in self.oldest and place > self.oldest[name]:
            return False
        self.oldest[name] = place
        return True

    def get(self, name: str, key: str) -> Cell | None:
        """A partition to look at, None if nothing was ever heard of it."""
        return self.cells[name].get(key)

    def cell(self, name: str, key: str) -> Cell:
        """A partition to change."""
        return self.cells[name][key]

    def settle(self, name: str, key: str) -> None:
        """A change of a partition is done."""

    def known(self, name: str, key: str) -> bool:
        """Whether anything was ever heard of a partition."""
        return key in self.cells[name]

    def open(self, name: str) -> list[tuple[str, Cell]]:
        """The partitions of a node, oldest first."""
        node = self.nodes[name]
        return sorted(self.cells[name].items(), key=lambda item: self.order(node, item[0]))

    def published(self, name: str) -> list[str]:
        """The partitions of a node that readers see something of."""
        return [key for key, cell in self.cells[name].items() if cell.published]

    def show(self, name: str, cell: Cell) -> None:
        """Readers see something of a partition."""
        cell.published = True
        self.visible.add(name)

    def bundle(self, name: str, key: str, bundle: str) -> None:
        """Note the file that a partition was delivered in with others; empty for none."""
        cell = self.cell(name, key)
        if cell.bundle:
            self.bundles[name, cell.bundle].discard(key)
        cell.bundle = bundle
        if bundle:
            self.bundles.setdefault((name, bundle), set()).add(key)

    def seen(self, name: str, time_key: str) -> Collection[str]:
        """The data keys that were ever heard of for an interval of a node whose keys grow."""
        return self._data_keys.get(name, {}).get(time_key, {}).keys()

    def beside(self, node: GraphNode, key: str) -> list[str]:
        """The partitions of the same interval that were heard of, with this one."""
        spec = node.partition
        if spec.grain is None or spec.key is None:
            return [key]
        moment = time_key(node, key)
        found = (join(moment, data) for data in (spec.values or self.seen(node.name, moment)))
        return [one for one in found if one in self.cells[node.name]]

    def order(self, node: GraphNode, key: str) -> str:
        """What sorts a node's partitions by time."""
        return order_of(key, node.partition, node.timezone)

    def rest(self, name: str, count: int) -> None:
        """So many partitions are neither queued nor running any more."""
        self.busy[name] = self.busy.get(name, 0) - count


def time_key(node: GraphNode, key: str) -> str:
    """The time's part of a key."""
    return key.partition(SEPARATOR)[0] if node.partition.key is not None and node.partition.grain is not None else key


def bounds(node: GraphNode, key: str) -> tuple[int, int]:
    """Start and end of a partition's interval, in microseconds; of nodes that are cut by time."""
    grain = node.partition.grain
    assert grain is not None
    return bounds_us(time_key(node, key), grain, node.timezone)


def ended(node: GraphNode, key: str, now: int) -> bool:
    """Whether a partition's interval has ended; true of those that have none."""
    return node.partition.grain is None or bounds(node, key)[1] <= now


def _grows(node: GraphNode) -> bool:
    return node.partition.key is not None and node.partition.values is None
