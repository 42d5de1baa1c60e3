"""What a new core starts from, and what a new leader makes of what the last one left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from headrace.schedule.events import DeliveryArrived, Event, Loaded, LoadedPartition, LoadedRunning, Paused
from headrace.schedule.graph import Graph
from headrace.schedule.simulation.rows import SimulatedRunRow
from headrace.schedule.simulation.store import SimulatedStore, SimulatedTransaction

if TYPE_CHECKING:
    from headrace.schedule.simulation.world import Simulation


def load(world: Simulation, going: Sequence[LoadedRunning]) -> list[Event]:
    """The applied graph and where each partition stands, what is paused, and what was delivered and waits. `going` are attempts
    that go on under another version."""
    fired = tuple(world.store.tables["firing"].items())
    loaded = Loaded(applied_graph(world), tuple(_tracked_partitions(world.store)), tuple(going), fired=fired)
    paused = (Paused((node,), "a person said so", until) for node, (until,) in world.store.tables["pause"].items())
    return [loaded, *paused, *waiting_deliveries(world.store)]


def applied_graph(world: Simulation) -> Graph:
    """The applied graph, in which nothing is computed together that was seen to come to something else."""
    tried = world.store.tables["batching"]
    apart = {name for name in tried if tried[name] == (world.versions.get(name, 0), False)}
    nodes = (msgspec.structs.replace(node, batch_max=1) if node.name in apart else node for node in world.graph.nodes)
    return Graph(tuple(nodes), world.graph.pools) if apart else world.graph


def _tracked_partitions(store: SimulatedStore) -> Iterator[LoadedPartition]:
    publications = store.tables["publication"]
    for (node, key), row in store.tables["partition"].items():
        seen = publications.get((node, key))
        yield LoadedPartition(
            node=node,
            key=key,
            state=row.state,
            stale=row.stale,
            failures=row.failures,
            not_before=row.not_before,
            published=seen is not None,
            proposed=row.proposed,
            publication=seen.first if seen else 0,
            since=row.since,
        )


def lose_open_work(tx: SimulatedTransaction, store: SimulatedStore, epoch: int) -> None:
    """What earlier leaders left open is lost: their attempts and runs."""
    for attempt in store.tables["attempt"]:
        if attempt.epoch < epoch:
            tx.put("attempt", attempt, None)
    for number, row in store.tables["run"].items():
        if row.state == "running":
            tx.put("run", number, SimulatedRunRow(row.targets, row.standing, "lost"))


def waiting_deliveries(store: SimulatedStore) -> list[DeliveryArrived]:
    """What was delivered and hasn't been ingested, in the order of arrival."""
    waiting = [(row.file, source, key, row.bundle) for (source, key), row in store.tables["delivery"].items() if row.state == "waiting"]
    return [DeliveryArrived(source, key, bundle) for _, source, key, bundle in sorted(waiting)]
