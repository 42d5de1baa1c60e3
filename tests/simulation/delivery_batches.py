"""Batches of deliveries: a source whose files are ingested several at a time, what stops a batch,
the order in which answers are recorded, and their invariants (docs/decisions/0031-batches.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headrace.model import Grain, InputSpec, PartitionSpec, Place
from headrace.model.intervals import key_at_us, next_key
from headrace.scheduler.attempts import HISTORY_NEEDED, UNDELIVERED_MAX
from headrace.scheduler.events import AttemptId, Dispatch
from headrace.scheduler.graph import Graph, GraphNode
from simulation.scenario import (
    DAY,
    HOUR,
    LASTS,
    MINUTE,
    Deed,
    DeedKind,
    Generator,
    SimulatedDelivery,
    Violation,
    drawn,
)

if TYPE_CHECKING:
    from simulation.simulator import Simulation
    from simulation.store import SimulatedAttemptRow, SimulatedDeliveryRow, SimulatedTransaction
    from simulation.workers import SimulatedTaskFinished, Task

# Random deliveries of a source with one file per hour, drawn apart from the rest of a scenario.

SOURCE, HOURLY, OF_HOURS = "s_files", "a_files", "a_files_of_day"
DELIVERIES_MAX = 8
"""Maximum number of deliveries of a batch."""
_HERE = Place(file="simulated")
_SHARE = 0.5
"""Share of the seeds with this source: its first deliveries are ingested one by one."""
_DEEDS = (
    DeedKind.RUN,
    DeedKind.AGAIN,
    DeedKind.CANCEL,
    DeedKind.PAUSE,
    DeedKind.RESUME,
    DeedKind.WITHDRAW,
)


def with_files(seed: int, graph: Graph, zone: str) -> Graph:
    """Return the graph with the source and its readers, in half of the seeds."""
    if drawn(seed, "files") >= _SHARE:
        return graph
    hourly, daily = PartitionSpec(grain=Grain.HOUR), PartitionSpec(grain=Grain.DAY)
    reads = (InputSpec(node=SOURCE, place=_HERE),)
    fields: dict[str, Any] = {"attempts_max": 3, "timeout_us": HOUR}
    nodes = (
        GraphNode(SOURCE, True, hourly, zone, batch_max=DELIVERIES_MAX, timeout_us=2 * HOUR),
        GraphNode(HOURLY, False, hourly, zone, reads, **fields),
        GraphNode(OF_HOURS, False, daily, zone, reads, **fields),
    )
    limits = {f"node:{node.name}": 1 for node in nodes[1:]}
    return Graph((*graph.nodes, *nodes), {**graph.pools, **limits})


def in_batches(node: GraphNode) -> bool:
    """Return whether a source's deliveries are ingested several at a time."""
    return node.is_source and node.batch_max > 1


def file_deliveries(
    seed: int, graph: Graph, first_us: int, began: int
) -> Iterator[SimulatedDelivery]:
    """Yield the deliveries of the source: its first hours at once, the others in a few groups.

    Some hours never come; some come again, while others are ingested or days later.
    """
    node = next((node for node in graph.nodes if node.name == SOURCE), None)
    if node is None:
        return
    chance = Generator(seed ^ 0xF17E5)
    hours = list(_hours(chance, node, first_us))
    waiting = began + chance.below(6 * HOUR)
    while hours:
        count = chance.between(2, 16)
        for keys in _files(chance, hours[:count]):
            at = waiting + (chance.below(20 * MINUTE) if chance.chance(0.2) else 0)
            yield SimulatedDelivery(at, SOURCE, keys, chance.below(1 << 20))
            if chance.chance(0.15):
                later = chance.below(chance.choice((20 * MINUTE, 3 * DAY)))
                yield SimulatedDelivery(at + later, SOURCE, keys, chance.below(1 << 20))
        hours = hours[count:]
        waiting += chance.below(chance.choice((MINUTE, 5 * HOUR)))


def _hours(chance: Generator, node: GraphNode, first_us: int) -> Iterator[str]:
    key = key_at_us(first_us, Grain.HOUR, node.timezone)
    for _ in range(HISTORY_NEEDED + chance.between(8, 32)):
        skipped = chance.between(1, 10) if chance.chance(0.06) else 0
        for _ in range(1 + skipped):
            key = next_key(key, Grain.HOUR, node.timezone)
        yield key


def _files(chance: Generator, hours: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the hours of each file: one, of few files two; some are listed out of order."""
    files: list[tuple[str, ...]] = []
    for hour in hours:
        if files and len(files[-1]) == 1 and chance.chance(0.05):
            files[-1] = (*files[-1], hour)
        else:
            files.append((hour,))
    return list(reversed(files)) if chance.chance(0.2) else files


def file_deeds(seed: int, graph: Graph, days: Sequence[str], began: int) -> Iterator[Deed]:
    """Yield what people do about the source and its readers."""
    if all(node.name != SOURCE for node in graph.nodes):
        return
    chance = Generator(seed ^ 0xDEED5)
    for _ in range(chance.below(6)):
        kind = chance.choice(_DEEDS)
        nodes = (chance.choice((SOURCE, SOURCE, HOURLY, OF_HOURS)),)
        first, last = sorted(chance.choice(days) for _ in range(2))
        named = kind in (DeedKind.RUN, DeedKind.AGAIN) and chance.chance(0.5)
        yield Deed(
            began + chance.below(LASTS // 2),
            kind,
            nodes,
            first if named else None,
            last if named else None,
            chance.below(1000),
        )


# What stops a batch: deliveries that aren't plain aren't sent, and the worker gives back the first
# one that it can't publish with those after it.


def sent(tx: SimulatedTransaction, node: GraphNode, keys: Sequence[str]) -> int | None:
    """Return the number of deliveries that are sent to the worker; None for a single file."""
    rows: list[SimulatedDeliveryRow] = [tx.get("delivery", (node.name, key)) for key in keys]
    if not in_batches(node) or len(keys) == 1 or any(row.bundle for row in rows):
        return None
    for place, (key, row) in enumerate(zip(keys, rows, strict=True)):
        if row.state != "waiting" or tx.get("publication", (node.name, key)) is not None:
            return place
    return len(keys)


def stopped_at(seed: int, task: Task, tries: int, *, held: bool) -> int:
    """Return the number of deliveries before the first one that the worker gives back.

    `held`: one of them is held or rejected.
    """
    assert task.sent is not None
    places = [
        place
        for place, (key, content) in enumerate(zip(task.keys, task.contents, strict=True))
        if drawn(seed, "unusual", task.node, key, content) < 0.08
    ]
    if held:
        places.append(int(len(task.keys) * drawn(seed, "held", *task.keys, tries)))
    if drawn(seed, "unreadable", *task.keys, tries) < 0.05:
        places.append(len(task.keys) // 2)  # nobody knows whose rows can't be read
    return min([task.sent, *places])


class AnswerOrder:
    """Keeps answers of a source's attempts until those at earlier intervals are recorded, as
    `headrace.runtime.delivery_order` does."""

    def __init__(self) -> None:
        self._waiting: dict[AttemptId, SimulatedTaskFinished] = {}

    def ready(
        self,
        world: Simulation,
        finished: Sequence[SimulatedTaskFinished],
        lost: frozenset[AttemptId],
        running: Mapping[AttemptId, SimulatedAttemptRow],
    ) -> list[SimulatedTaskFinished]:
        """Return the answers that can be recorded now. `running` are attempts without an end."""
        known = self._waiting | {answer.attempt: answer for answer in finished}
        answers = {attempt: known[attempt] for attempt in known if attempt in running}
        batched = {name for name, node in world.rules.nodes.items() if in_batches(node)}
        ordered = [attempt for attempt in answers if running[attempt].node in batched]
        ready = [answer for attempt, answer in answers.items() if attempt not in ordered]
        left = {attempt: row for attempt, row in running.items() if attempt not in lost}
        self._waiting = {}
        for attempt in sorted(ordered, key=lambda attempt: running[attempt].keys[0]):
            if any(_precedes(other, running[attempt]) for other in left.values()):
                self._waiting[attempt] = answers[attempt]
            else:
                left.pop(attempt, None)
                ready.append(answers[attempt])
        return ready


def _precedes(other: SimulatedAttemptRow, attempt: SimulatedAttemptRow) -> bool:
    together = other.sent is not None or attempt.sent is not None
    return other.node == attempt.node and other.keys[0] < attempt.keys[0] and together


# Invariants.


class DeliveryInvariants:
    """Checks attempts at several deliveries."""

    def __init__(self, world: Simulation) -> None:
        self._world = world
        self._batches: set[AttemptId] = set()

    def together(self, dispatch: Dispatch) -> bool:
        """Return whether an attempt is a batch of deliveries."""
        return dispatch.attempt in self._batches

    def dispatched(
        self,
        tx: SimulatedTransaction,
        command: Dispatch,
        running: Mapping[AttemptId, Dispatch],
    ) -> bool:
        """Return whether an attempt is a batch of deliveries, after a check that it may be.

        It begins when enough intervals are published, replaces no publication, and skips few
        intervals, all without a delivery.
        """
        node, keys = self._world.rules.nodes[command.node], command.keys
        if sent(tx, node, keys) is None:
            return False
        self._batches.add(command.attempt)
        at = f"{command.node}@{keys}"
        if len(keys) > node.batch_max:
            raise Violation("batches_are_allowed", f"{at}, at most {node.batch_max}")
        published = sum(1 for _ in self._published(tx, node.name))
        if published < HISTORY_NEEDED:
            raise Violation("young_sources_have_no_batches", f"{at} after {published} intervals")
        for key in keys:
            if tx.get("publication", (node.name, key)) is not None:
                raise Violation("batches_replace_nothing", f"{at}, of which {key} is published")
        ingesting = {
            key for other in running.values() if other.node == node.name for key in other.keys
        }
        self._nothing_is_left_out(tx, node, keys, ingesting)
        return True

    def _published(self, tx: SimulatedTransaction, name: str) -> Iterator[str]:
        for place in {
            *self._world.store.tables["publication"],
            *(place for table, place in tx.writes if table == "publication"),
        }:
            if place[0] == name and tx.get("publication", place) is not None:
                yield place[1]

    def _nothing_is_left_out(
        self,
        tx: SimulatedTransaction,
        node: GraphNode,
        keys: Sequence[str],
        ingesting: Collection[str],
    ) -> None:
        """Check that only intervals without anything to ingest lie between two of a batch."""
        key = keys[0]
        for wanted in keys[1:]:
            key, skipped = next_key(key, Grain.HOUR, node.timezone), 0
            while key != wanted:
                skipped += 1
                there = tx.get("publication", (node.name, key)) is not None or key in ingesting
                if there or skipped > UNDELIVERED_MAX:
                    raise Violation("batches_follow_each_other", f"{node.name}@{keys}")
                key = next_key(key, Grain.HOUR, node.timezone)
