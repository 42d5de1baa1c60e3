"""What the core costs when there is much that it needn't do anything about: assets × daily
partitions, all published.

Each size is measured in a process of its own: how long the core takes to start from a checkpoint,
how much memory it has then, how long a pass takes that finds nothing to do, and one that takes a
new delivery through all assets (of which the longest turn). The assets stand in layers, each
reading three of the layer before. And a real store with a million partitions: how long a core takes
to start from the rows, and from a checkpoint with the rows that have changed since.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path

from benchmarks.harness import ROOT, Figure, main
from headrace.model import Grain, InputSpec, PartitionSpec, Place, Settings
from headrace.model.intervals import to_us
from headrace.runtime.graph import stored
from headrace.scheduler import (
    AttemptPublished,
    ClockAdvanced,
    Command,
    Core,
    DeliveryArrived,
    Dispatch,
    Event,
    Graph,
    GraphNode,
    Loaded,
    LoadedPartition,
    PartitionState,
    Requested,
    Target,
    checkpoints,
)
from headrace.store import Store
from headrace.store.queries import partition_states

SIZES = ((35, 2_000), (100, 10_000), (1_000, 10_000))
SIZES_QUICK = ((5, 20),)
STORED = (1_000, 1_000)
STORED_QUICK = (5, 20)
CHANGED = 1_000
"""Of the stored partitions, those that changed since the checkpoint."""
LAYERS, PARENTS = 12, 3
RUNS = 3
LAST = date(2026, 6, 30)
NOW = to_us(datetime(2026, 7, 2, tzinfo=UTC))
SLOTS = 4
DAY = PartitionSpec(grain=Grain.DAY)
NOTHING_TO_DO_S = 0.02
START_S = 1.0
MEMORY_MB = 100
DELIVERY_S = 1.0
RESUME_S = 1.0


def graph(assets: int) -> Graph:
    """A source and layers of assets, each reading some of the layer before, the first
    the source.
    """
    rng, width = random.Random(7), max(1, (assets - 1) // LAYERS)
    nodes = [GraphNode("source", True, DAY, "UTC")]
    for number in range(assets - 1):
        layer = number // width
        before = range((layer - 1) * width, layer * width)
        parents = (
            [f"a{item}" for item in sorted(rng.sample(before, min(PARENTS, width)))]
            if layer
            else ["source"]
        )
        nodes.append(
            GraphNode(
                f"a{number}",
                False,
                DAY,
                "UTC",
                tuple(InputSpec(node=parent, place=Place(file="x")) for parent in parents),
            )
        )
    return Graph(tuple(nodes))


def days(count: int) -> list[str]:
    """The last so many days."""
    return [(LAST - timedelta(days=back)).isoformat() for back in range(count - 1, -1, -1)]


def published(nodes: Graph, keys: list[str]) -> Iterator[tuple[LoadedPartition, list[str]]]:
    """All partitions of all nodes, published."""
    for node in nodes.nodes:
        row = LoadedPartition(
            node=node.name, key="", state=PartitionState.PUBLISHED, published=True
        )
        yield row, keys


def measured(assets: int, partitions: int) -> dict[str, float]:
    """One size, in this process."""
    nodes = graph(assets)
    first = Core(epoch=1, slots=SLOTS)
    first.handle(
        Loaded(
            nodes,
            checkpoint=checkpoints.checkpoint_of_rows(nodes, published(nodes, days(partitions))),
        ),
        NOW,
    )
    content = checkpoints.encode_checkpoint(first.checkpoint())
    del first
    gc.collect()
    before, begun = resident(), time.perf_counter()
    kept = checkpoints.decode_checkpoint(content)
    core = Core(epoch=2, slots=SLOTS)
    core.handle(Loaded(nodes, checkpoint=kept), NOW)
    del kept
    started = time.perf_counter() - begun
    gc.collect()
    result = {
        "start": started,
        "memory": (resident() - before) / 1e6,
        "checkpoint": len(content) / 1e6,
    }
    everything = tuple(Target(node.name) for node in nodes.nodes)
    core.handle(Requested(everything, run=1), NOW)
    result["nothing"] = statistics.median(
        timed(core, Requested(everything, run=run), NOW) for run in range(2, 2 + RUNS)
    )
    core.handle(Requested(everything, run=99, standing=True), NOW)
    turns = list(delivered(core, (LAST + timedelta(days=1)).isoformat()))
    assert len(turns) == assets + 2, f"{len(turns)} turns for {assets} assets"
    return {**result, "delivery": sum(turns), "turn": max(turns), "unsettled": core.unsettled()}


def timed(core: Core, event: Event, now: int) -> float:
    """Seconds that one event takes."""
    begun = time.perf_counter()
    core.handle(event, now)
    return time.perf_counter() - begun


def delivered(core: Core, key: str) -> Iterator[float]:
    """Seconds of each turn, from a delivery until nothing is left to do."""
    running: list[Dispatch] = []
    events: list[Event] = [DeliveryArrived("source", key), ClockAdvanced()]
    now = NOW
    while events or running:
        if not events:
            item = running.pop(0)
            events.append(AttemptPublished(item.attempt, tuple((k, True) for k in item.keys), 0.01))
        begun = time.perf_counter()
        commands: list[Command] = core.handle(events.pop(0), now)
        yield time.perf_counter() - begun
        running += [command for command in commands if isinstance(command, Dispatch)]
        now += 1_000


def resident() -> int:
    """Bytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def from_store(assets: int, partitions: int) -> dict[str, float]:
    """A store with so many rows: seconds to start from all, to start from a checkpoint and what
    changed since, and to write one.
    """
    nodes = graph(assets)
    keys = days(partitions)
    with (
        tempfile.TemporaryDirectory() as folder,
        Store.open(Path(folder), Settings(name="t"), create=True) as store,
    ):
        rows = (
            (node.name, key, NOW, 1 + number // 100)
            for number, node in enumerate(nodes.nodes)
            for key in keys
        )
        while some := list(islice(rows, 50_000)):
            with store.write(None) as tx:
                tx.executemany(
                    "insert into partition (node, partition, state, since, revision) values (?, ?,"
                    " 'published', ?, ?)",
                    some,
                )
                tx.execute("update partition set publication_id = 1 where publication_id is null")
        begun = time.perf_counter()
        core = Core(epoch=1, slots=SLOTS)
        with store.read() as tx:
            core.handle(stored(tx, nodes, version=1), NOW)
        result = {"rows": time.perf_counter() - begun}
        begun = time.perf_counter()
        with store.write(None) as tx:
            partition_states.save_checkpoint(
                tx, 1, checkpoints.encode_checkpoint(core.checkpoint()), NOW
            )
        result["write"] = time.perf_counter() - begun
        with store.write(None) as tx:
            changed = (
                "update partition set revision = ?, stale = 1 where node = ? and partition = ?"
            )
            tx.executemany(
                changed,
                [
                    (partition_states.next_revision(tx), nodes.nodes[-1].name, key)
                    for key in keys[:CHANGED]
                ],
            )
        begun = time.perf_counter()
        core = Core(epoch=2, slots=SLOTS)
        with store.read() as tx:
            core.handle(stored(tx, nodes, version=1), NOW)
        result["resume"] = time.perf_counter() - begun
        assert core.unsettled() == min(len(keys), CHANGED)
    return result


def alone(what: str, assets: int, partitions: int) -> list[dict[str, float]]:
    """Each run in a process of its own, so that none is measured with the memory of another."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.scheduling",
        "--measure",
        what,
        str(assets),
        str(partitions),
    ]
    return [
        json.loads(
            subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        )
        for _ in range(RUNS)
    ]


def figures(sizes: Iterable[tuple[int, int]], rows: tuple[int, int]) -> Iterator[Figure]:
    """All sizes, and the store."""
    for assets, partitions in sizes:
        size, runs = f"{assets}x{partitions}", alone("core", assets, partitions)
        yield _figure(f"{size} start", runs, "start", "s", START_S)
        yield _figure(f"{size} memory", runs, "memory", "MB", MEMORY_MB)
        yield _figure(f"{size} nothing to do", runs, "nothing", "s", NOTHING_TO_DO_S)
        yield _figure(f"{size} one delivery", runs, "delivery", "s", DELIVERY_S)
        yield _figure(f"{size} longest turn", runs, "turn", "s", NOTHING_TO_DO_S)
        yield _figure(f"{size} checkpoint", runs, "checkpoint", "MB", None)
    size, runs = f"store {rows[0]}x{rows[1]}", alone("store", *rows)
    yield _figure(f"{size} start from rows", runs, "rows", "s", None)
    yield _figure(f"{size} write checkpoint", runs, "write", "s", None)
    yield _figure(f"{size} start from checkpoint", runs, "resume", "s", RESUME_S)


def _figure(
    name: str, runs: list[dict[str, float]], key: str, unit: str, goal: float | None
) -> Figure:
    values = [run[key] for run in runs]
    return Figure(name=name, value=statistics.median(values), unit=unit, goal=goal, runs=values)


def measure(*, quick: bool) -> list[Figure]:
    """Figures of all sizes."""
    return list(figures(SIZES_QUICK, STORED_QUICK) if quick else figures(SIZES, STORED))


if __name__ == "__main__":
    if "--measure" in sys.argv:
        parser = argparse.ArgumentParser()
        parser.add_argument("--measure", nargs=3)
        what, assets, partitions = parser.parse_args().measure
        print(
            json.dumps((measured if what == "core" else from_store)(int(assets), int(partitions)))
        )
    else:
        main(__doc__, measure)
