"""Drives a core as the runtime does, without any: attempts end when the test says so."""

from __future__ import annotations

from datetime import datetime

from headrace.model import Grain, InputSpec, PartitionSpec, Place
from headrace.model.intervals import local_us
from headrace.scheduler import (
    AttemptId,
    AttemptPublished,
    AttemptUnsuccessful,
    ClockAdvanced,
    Core,
    DeliveryArrived,
    Dispatch,
    FailureKind,
    FiredAt,
    Graph,
    GraphNode,
    Kill,
    Loaded,
    LoadedPartition,
    PartitionState,
    PartitionUpdate,
    Requested,
    Target,
    WorkerLost,
)

PLACE = Place(file="here")
ZONE = "America/New_York"
DAY, MONTH, WHOLE = (
    PartitionSpec(grain=Grain.DAY),
    PartitionSpec(grain=Grain.MONTH),
    PartitionSpec(),
)


def reads(name: str, **how: object) -> InputSpec:
    """An input, as declared."""
    return InputSpec(node=name, place=PLACE, **how)  # type: ignore[arg-type]


def source(name: str, partition: PartitionSpec = DAY) -> GraphNode:
    return GraphNode(name, True, partition, ZONE)


def asset(
    name: str, *inputs: InputSpec | str, partition: PartitionSpec = DAY, **fields: object
) -> GraphNode:
    specs = tuple(reads(i) if isinstance(i, str) else i for i in inputs)
    return GraphNode(name, False, partition, ZONE, specs, **fields)  # type: ignore[arg-type]


class Driver:
    """A core with a clock that moves one second an event. `hash_of` says what content a partition
    comes to.
    """

    def __init__(
        self,
        *nodes: GraphNode,
        slots: int = 2,
        tracked_partitions: tuple[LoadedPartition, ...] = (),
        pools: dict[str, int] | None = None,
    ) -> None:
        self.core = Core(epoch=1, slots=slots)
        self.nodes = nodes
        self.now = 0
        self.running: dict[AttemptId, Dispatch] = {}
        self.marks: list[PartitionUpdate] = []
        self.kills: list[Kill] = []
        self.done: list[tuple[str, str]] = []
        self.content: dict[tuple[str, str], str] = {}
        self.shown: dict[tuple[str, str], str] = {}
        """What readers see."""
        self.fired: dict[str, int] = {}
        self.marked: dict[tuple[str, str], int] = {}
        self.start(tracked_partitions, pools)

    def start(
        self,
        tracked_partitions: tuple[LoadedPartition, ...] = (),
        pools: dict[str, int] | None = None,
    ) -> None:
        """A leader starts from these; `now` may be set before."""
        self.give(
            Loaded(
                Graph(self.nodes, pools or {}), tracked_partitions, fired=tuple(self.fired.items())
            )
        )

    def give(self, event: object) -> None:
        self.now += 1_000_000
        for command in self.core.handle(event, self.now):  # type: ignore[arg-type]
            match command:
                case Dispatch():
                    self.running[command.attempt] = command
                case PartitionUpdate():
                    self.marks.append(command)
                    self.marked[command.node, command.key] = self.now
                case Kill():
                    self.kills.append(command)
                case FiredAt():
                    self.fired[command.node] = command.at

    def arrive(self, name: str, *keys: str, content: str = "") -> None:
        for key in keys:
            self.content[name, key] = content or f"{name}@{key}"
            self.give(DeliveryArrived(name, key))
        self.give(ClockAdvanced())

    def ask(
        self,
        *targets: Target,
        retry: frozenset[str] = frozenset(),
        again: frozenset[str] = frozenset(),
    ) -> None:
        self.give(
            Requested(
                targets or tuple(Target(n.name) for n in self.nodes),
                retry=retry,
                again=again,
                standing=True,
            )
        )

    def at(self, moment: str) -> None:
        """It is this time now, in the zone of all nodes: `2013-02-12 06:00`."""
        day, clock = (datetime.fromisoformat(moment).date(), datetime.fromisoformat(moment).time())
        self.now = local_us(day, clock, ZONE) - 1_000_000
        self.give(ClockAdvanced())

    def stored(self, mark: PartitionUpdate) -> LoadedPartition:
        """What a mark leaves in the store."""
        return LoadedPartition(
            node=mark.node,
            key=mark.key,
            state=mark.state,
            stale=mark.stale,
            since=self.marked[mark.node, mark.key],
        )

    def published(self, node: str, key: str) -> LoadedPartition:
        """A partition at rest in the store."""
        return LoadedPartition(node=node, key=key, state=PartitionState.PUBLISHED, published=True)

    def attempt(self, node: str, key: str) -> AttemptId:
        return next(a for a, d in self.running.items() if (d.node, d.keys) == (node, (key,)))

    def publish(self, attempt: AttemptId) -> None:
        dispatch = self.running.pop(attempt)
        made = {
            key: self.content.get((dispatch.node, key), f"{dispatch.node}@{key}")
            for key in dispatch.keys
        }
        contents = tuple(
            (key, self.shown.get((dispatch.node, key)) != content) for key, content in made.items()
        )
        self.shown.update({(dispatch.node, key): content for key, content in made.items()})
        self.done += [(dispatch.node, key) for key in dispatch.keys]
        self.give(AttemptPublished(attempt, contents))

    def end(
        self, attempt: AttemptId, state: PartitionState, kind: FailureKind | None = None
    ) -> None:
        del self.running[attempt]
        self.give(AttemptUnsuccessful(attempt, state, f"it was {state}", kind))

    def lose(self, attempt: AttemptId, *queued: AttemptId) -> None:
        for item in (attempt, *queued):
            del self.running[item]
        self.give(WorkerLost(attempt, queued, "it died"))

    def work(self) -> list[tuple[str, str]]:
        """Publish whatever is dispatched until nothing is; what was published, in order."""
        self.done = []
        while self.running:
            self.publish(next(iter(self.running)))
        return self.done

    def state(self, node: str, key: str) -> PartitionState:
        return self.core.state_of(node, key)
