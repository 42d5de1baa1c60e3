"""What people ask the leader for: rows in the store, each handled in exactly one iteration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from headrace.model import Grain
from headrace.schedule.events import Cancelled, Event, Fired, Paused, Refreshed, Requested, Resumed, TakenBack, Target
from headrace.schedule.graph import GraphNode
from headrace.schedule.simulation.backfills import planned, rows
from headrace.schedule.simulation.rows import SimulatedPartitionRow, SimulatedPlanRow, SimulatedPublicationRow, SimulatedRunRow
from headrace.schedule.simulation.rules import span
from headrace.schedule.simulation.scenario import HOUR, Deed, DeedKind
from headrace.schedule.simulation.store import SimulatedTransaction
from headrace.schedule.states import PartitionState

if TYPE_CHECKING:
    from headrace.schedule.simulation.leader import SimulatedLeader

PAUSED_US = 5 * HOUR


class SimulatedRequestEffects(msgspec.Struct, frozen=True):
    """What came of all requests of a turn. `apply`: another version goes into force after it."""

    events: tuple[Event, ...]
    apply: bool = False
    changed: frozenset[str] = frozenset()


NOTHING = SimulatedRequestEffects(())


class Deeds:
    """The requests of one turn."""

    def __init__(self, leader: SimulatedLeader, tx: SimulatedTransaction) -> None:
        self._leader, self._world, self._tx = leader, leader.world, tx
        self._apply = False

    def taken(self) -> SimulatedRequestEffects:
        """Take all requests, in the order in which they were made."""
        if not self._leader.store.tables["request"]:
            return NOTHING
        events: list[Event] = []
        for number in sorted(self._leader.store.tables["request"]):
            self._tx.put("request", number, None)
            deed = self._world.deed(number)
            events += _WAYS[deed.kind](self, deed)
        change = self._world.scenario.change
        changed = frozenset(node.name for node in change.changed) | change.removed
        return SimulatedRequestEffects(tuple(events), self._apply, changed)

    def _run(self, deed: Deed) -> Iterator[Event]:
        known = self._world.rules.nodes
        nodes = tuple(name for name in deed.nodes if name in known and name not in self._world.scenario.borrowed)
        targets = tuple(target for name in nodes for target in self._targets(deed, name))
        retry = frozenset(nodes) if deed.kind is not DeedKind.RUN else frozenset()
        again = retry if deed.kind is DeedKind.AGAIN else frozenset()
        if targets:
            yield Requested(targets, retry=retry, again=again, run=self._world.number_run(self._tx))

    def _targets(self, deed: Deed, name: str) -> Iterator[Target]:
        """Days are asked for by name, where nothing only follows them: that would wait for what was asked for. In the end what was
        passed over is named as well, for nothing else means it."""
        world, node = self._world, self._world.rules.nodes[name]
        followed = any(name in other.depends for other in world.graph.nodes)
        bounded = node.partition.grain is Grain.DAY and not followed
        yield Target(name, deed.first, deed.last) if bounded else Target(name)
        if world.healed:
            tracked_partitions = self._leader.store.tables["partition"].items()
            yield from (
                Target(name, key, key) for (other, key), row in tracked_partitions if other == name and row.state is PartitionState.WAIVED
            )

    def _cancel(self, deed: Deed) -> Iterator[Event]:
        open_runs = sorted(run for run, request in self._leader.runs.items() if not request.standing)
        if open_runs:
            run = open_runs[deed.pick % len(open_runs)]
            row: SimulatedRunRow = self._tx.get("run", run)
            self._tx.put("run", run, SimulatedRunRow(row.targets, row.standing, "cancelled"))
            del self._leader.runs[run]
            yield Cancelled(run)

    def _pause(self, deed: Deed) -> Iterator[Event]:
        until = self._leader.now + PAUSED_US if deed.pick % 2 else None
        for node in deed.nodes:
            self._tx.put("pause", node, (until,))
        yield Paused(deed.nodes, "a person said so", until)

    def _resume(self, deed: Deed) -> Iterator[Event]:
        for node in deed.nodes:
            self._tx.put("pause", node, None)
        yield Resumed(deed.nodes)

    def _withdraw(self, deed: Deed) -> Iterator[Event]:
        (node,) = deed.nodes
        published = sorted(key for name, key in self._leader.store.tables["publication"] if name == node)
        published = [key for key in published if self._tx.get("publication", (node, key)) is not None]
        if published and node in self._world.rules.nodes and node not in self._world.scenario.borrowed:
            key = published[deed.pick % len(published)]
            self._tx.put("publication", (node, key), None)
            yield TakenBack(node, key, "a person said so")

    def _apply_version(self, _: Deed) -> Iterator[Event]:
        self._apply = self._tx.get("single", "version") == 0
        yield from ()

    def _refresh(self, deed: Deed) -> Iterator[Event]:
        """A partition that is made in production has a new publication."""
        (node,) = deed.nodes
        number = int(self._tx.get("single", "publication")) + 1
        self._tx.put("single", "publication", number)
        before: SimulatedPublicationRow | None = self._tx.get("publication", (node, "*"))
        self._world.rules.hear(node, "*", deed.pick)
        row = SimulatedPublicationRow(number, deed.pick, f"{deed.pick:x}", None, 0, number)
        self._tx.put("publication", (node, "*"), row)
        self._tx.put("partition", (node, "*"), SimulatedPartitionRow(PartitionState.PUBLISHED))
        yield Refreshed(node, "*", changed=before is None or before.content != deed.pick)

    def _backfill(self, deed: Deed) -> Iterator[Event]:
        """Days of some nodes, and of what reads them, are made again beside production; one in five takes the newest plan back."""
        store, nodes = self._world.store, self._world.rules.nodes
        open_plans = [number for number, row in rows(self._tx, store, "plan").items() if row.state == "running"]
        if deed.pick % 5 == 0 and open_plans:
            self._leader.drop_plan(self._tx, max(open_plans))
            return
        assert deed.first is not None
        assert deed.last is not None
        day = next(node for node in nodes.values() if node.partition.grain is Grain.DAY)
        since, until = span(day, deed.first)[0], span(day, deed.last)[1]
        known = dict.fromkeys((*rows(self._tx, store, "partition"), *rows(self._tx, store, "publication")))
        within = (item for item in known if item[0] in nodes and self._overlaps(nodes[item[0]], item[1], since, until))
        keys = planned(nodes, within, deed.nodes)
        if keys:
            self._tx.put("plan", len(rows(self._tx, store, "plan")) + 1, SimulatedPlanRow(keys, partial=deed.pick % 4 != 0))
        yield from ()

    @staticmethod
    def _overlaps(node: GraphNode, key: str, since: int, until: int) -> bool:
        if node.partition.grain is None or (node.partition.key is not None and "/" not in key):
            return False
        begins, ends = span(node, key)
        return begins < until and ends > since

    def _fire(self, deed: Deed) -> Iterator[Event]:
        yield from (Fired(node) for node in deed.nodes if node in self._world.rules.nodes)


_WAYS: dict[DeedKind, Callable[[Deeds, Deed], Iterator[Event]]] = {
    DeedKind.RUN: Deeds._run,
    DeedKind.RETRY: Deeds._run,
    DeedKind.AGAIN: Deeds._run,
    DeedKind.CANCEL: Deeds._cancel,
    DeedKind.PAUSE: Deeds._pause,
    DeedKind.RESUME: Deeds._resume,
    DeedKind.WITHDRAW: Deeds._withdraw,
    DeedKind.APPLY: Deeds._apply_version,
    DeedKind.REFRESH: Deeds._refresh,
    DeedKind.FIRE: Deeds._fire,
    DeedKind.BACKFILL: Deeds._backfill,
}
