"""A core that starts from what the store has decides as one that went on, whatever moment it is."""

from __future__ import annotations

import random
from collections.abc import Iterable

import msgspec
import pytest
from driver import DAY, WHOLE, Driver, asset, reads, source
from test_random_keys import DAY_KEY, KEY, LISTED, MONTH, OFF, act

from headrace.model import PartitionSpec
from headrace.scheduler import (
    AttemptPublished,
    ClockAdvanced,
    Command,
    Core,
    DeliveryArrived,
    Dispatch,
    Graph,
    GraphNode,
    Loaded,
    LoadedPartition,
    PartitionState,
    PartitionUpdate,
    Requested,
    SchedulerCheckpoint,
    Target,
    checkpoints,
)

DELIVERIES = PartitionSpec(by_delivery=True)
FIRST = {
    "days": "2013-03-05",
    "keyed": "2013-03-05/EMEA",
    "listed": "2013-03-05/APAC",
    "shops": "APAC",
    "r": "*",
}
"""What sources begin with: which of several first deliveries is ingested alone is a matter of what
was queued first."""


def graph(rng: random.Random) -> list[GraphNode]:
    """As in the histories of keys, without what a restart forgets: how late a restatement came."""
    nodes = [
        msgspec.structs.replace(source("days"), days_off=OFF, watermark=rng.random() < 0.3),
        msgspec.structs.replace(source("keyed", DAY_KEY), expect_by="+2d 06:00"),
        source("listed", LISTED),
        source("shops", KEY),
        source("r", WHOLE),
    ]
    for i in range(rng.randint(2, 8)):
        into = rng.sample(nodes, k=rng.randint(1, 3))
        growing = any(n.partition.key is not None and n.partition.grain is not None for n in into)
        delivered = all(n.partition.whole for n in into)
        choices = [
            DAY,
            DAY,
            MONTH,
            WHOLE,
            LISTED,
            *([DAY_KEY, KEY] if growing else []),
            *([DELIVERIES] if delivered else []),
        ]
        how = [
            reads(n.name, lookback="2d")
            if rng.random() < 0.2
            else reads(n.name, optional=rng.random() < 0.3)
            for n in into[1:]
        ]
        partition = rng.choice(choices)
        chained = partition.grain is not None and partition.key is None and rng.random() < 0.3
        follows = (rng.choice(nodes).name,) if rng.random() < 0.2 else ()
        rebuilt = rng.random() < 0.3
        more = {
            "partition": partition,
            "chained": chained,
            "depends": follows,
            "rebuild_on_reference": rebuilt,
        }
        nodes.append(asset(f"a{i}", into[0].name, *how, **more))
    return nodes


class Stored(Driver):
    """Keeps what the store would keep, and hands every event to a second core that is begun anew
    now and then.
    """

    def __init__(self, *nodes: GraphNode, rng: random.Random) -> None:
        self.rng = rng
        self.rows: dict[tuple[str, str], tuple[int, LoadedPartition]] = {}
        self.deliveries: dict[tuple[str, str], str] = {}
        self.revision = 0
        self.kept: tuple[int, SchedulerCheckpoint] | None = None
        self.last, self.publication = 0, 0
        self.other = Core(epoch=1, slots=3)
        self.reloads, self.reloading = 0, False
        super().__init__(*nodes, slots=3)

    def give(self, event: object) -> None:
        if isinstance(event, AttemptPublished):
            ids = tuple(range(self.publication + 1, self.publication + 1 + len(event.contents)))
            self.publication += len(ids)
            event = msgspec.structs.replace(event, publications=ids)
        running = dict(self.core.running())
        commands = self.core.handle(event, self.now + 1_000_000)
        others = self.other.handle(event, self.now + 1_000_000)
        assert told(commands) == told(others), event
        self.write(event, running, commands)
        self.record(commands)
        if self.rng.random() < 0.15:
            self.kept = (
                self.revision,
                checkpoints.decode_checkpoint(
                    checkpoints.encode_checkpoint(
                        self.rng.choice([self.core, self.other]).checkpoint()
                    )
                ),
            )
        if (
            self.reloading and self.rng.random() < 0.3 and not isinstance(event, DeliveryArrived)
        ):  # what arrived is given out with the event after it
            self.reload()

    def record(self, commands: list[Command]) -> None:
        self.now += 1_000_000
        for command in commands:
            if isinstance(command, Dispatch):
                self.running[command.attempt] = command
                self.last = command.attempt.n

    def write(self, event: object, running: dict, commands: list[Command]) -> None:
        """What the leader writes in the turn."""
        self.revision += 1
        if isinstance(event, DeliveryArrived):
            self.deliveries[event.source, event.key] = event.bundle
        for key, changed in event.contents if isinstance(event, AttemptPublished) else ():
            node = running[event.attempt].node
            before = self.rows.get((node, key))
            shown = self.publication if changed or before is None else before[1].publication
            at_rest = LoadedPartition(
                node=node,
                key=key,
                state=PartitionState.PUBLISHED,
                published=True,
                publication=shown if key == "*" else 0,
            )
            self.rows[node, key] = (self.revision, at_rest)
            self.deliveries.pop((node, key), None)
        for command in commands:
            if isinstance(command, PartitionUpdate):
                before = self.rows.get((command.node, command.key))
                row = LoadedPartition(
                    node=command.node,
                    key=command.key,
                    state=command.state,
                    stale=command.stale,
                    failures=command.failures,
                    not_before=command.not_before,
                    proposed=command.proposed,
                    reason=command.reason,
                    published=before is not None and before[1].published,
                    publication=before[1].publication if before is not None else 0,
                )
                self.rows[command.node, command.key] = (self.revision, row)
                if command.state is not PartitionState.WAITING:
                    self.deliveries.pop((command.node, command.key), None)

    def reload(self) -> None:
        """The second core ends, and another takes its place, which is told what the leader tells
        it.
        """
        self.reloads += 1
        going_on = tuple(self.other.handed_over())
        taken = {(item.node, key) for item in going_on for key in item.keys}
        full = self.kept is None or self.rng.random() < 0.3
        after, start = (-1, None) if full or self.kept is None else self.kept
        rows = tuple(row for revision, row in self.rows.values() if revision > after)
        graph = Graph(self.nodes)
        if full and self.rng.random() < 0.5:
            start, rows = checkpoints.checkpoint_of_rows(graph, runs_of(rows)), ()
        self.other = Core(epoch=1, slots=3, after=self.last)
        given = [Loaded(graph, rows, going_on, checkpoint=start)]
        given += [
            DeliveryArrived(name, key, bundle)
            for (name, key), bundle in self.deliveries.items()
            if (name, key) not in taken
        ]
        given += [Requested(tuple(Target(n.name) for n in self.nodes), standing=True)]
        again = [command for event in given for command in self.other.handle(event, self.now)]
        assert told(again) == ([], set()), "what was decided already is decided again"
        waiting = list(self.other.waiting(self.now))
        for name in (node.name for node in self.nodes):
            counted = self.other.waiting_of(name, self.now)
            listed = [key for other, key in waiting if other == name]
            assert sorted(counted) == sorted(listed)
            assert len(counted) == len(listed)


def runs_of(rows: Iterable[LoadedPartition]) -> Iterable[tuple[LoadedPartition, list[str]]]:
    """Rows that differ in their key only, with their keys, as the store gives them."""
    runs: dict[LoadedPartition, list[str]] = {}
    for row in rows:
        runs.setdefault(msgspec.structs.replace(row, key=""), []).append(row.key)
    return runs.items()


def told(commands: list[Command]) -> tuple[list[object], set[object]]:
    """What is given out, in order, and what is marked."""
    given = [
        msgspec.structs.replace(command, queued_at=0, without=())
        for command in commands
        if isinstance(command, Dispatch)
    ]
    return given, {command for command in commands if isinstance(command, PartitionUpdate)}


@pytest.mark.parametrize("seed", range(40))
def test_a_core_that_was_begun_anew_decides_alike(seed: int) -> None:
    """Catches everything that is known only by having been there: partitions that nothing was heard
    of, what changed while an attempt ran, when something is tried again. The seed is the test's
    name."""
    rng = random.Random(seed)
    d = Stored(*graph(rng), rng=rng)
    d.now = 1_363_000_000_000_000  # 2013-03-11
    d.ask()
    for name, key in FIRST.items():
        d.arrive(name, key)
    d.work()
    d.reloading = True
    for _ in range(200):
        act(d, rng)
    d.give(ClockAdvanced())
    for _ in range(3_000):
        if d.running:
            d.publish(next(iter(d.running)))
        elif (at := d.core.next_try()) is not None:
            d.now = max(d.now, at)
            d.give(ClockAdvanced())
        else:
            break
    assert d.core.idle() and d.reloads > 0
    for name, key in d.rows:
        assert d.core.state_of(name, key) == d.other.state_of(name, key)
