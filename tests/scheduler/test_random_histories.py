"""Random graphs, deliveries and outcomes: what must hold after every event, and that it all comes
to rest.
"""

from __future__ import annotations

import random
from typing import ClassVar

import pytest
from driver import WHOLE, Driver, asset, reads, source

from headrace.scheduler import ClockAdvanced, FailureKind, GraphNode, PartitionState

DAYS = [f"2013-03-{d:02d}" for d in range(5, 15)]  # over the start of summer time


def graph(rng: random.Random) -> list[GraphNode]:
    nodes = [source("s0"), source("s1"), source("r", WHOLE)]
    for i in range(rng.randint(2, 8)):
        inputs = rng.sample([n.name for n in nodes], k=min(len(nodes), rng.randint(1, 3)))
        specs = [
            reads(name, lookback="2d") if rng.random() < 0.2 else reads(name) for name in inputs
        ]
        whole = rng.random() < 0.2 or all(n.partition.whole for n in nodes if n.name in inputs)
        nodes.append(asset(f"a{i}", *specs, **({"partition": WHOLE} if whole else {})))
    return nodes


class Checked(Driver):
    """Checks what must hold whenever something starts."""

    def give(self, event: object) -> None:
        before = set(self.running)
        super().give(event)
        assert len(self.running) <= 3, "more attempts than slots"
        claims = [(d.node, key) for d in self.running.values() for key in d.keys]
        assert len(claims) == len(set(claims)), "two attempts at one partition"
        for attempt in set(self.running) - before:
            dispatch = self.running[attempt]
            node = next(n for n in self.nodes if n.name == dispatch.node)
            for spec in node.inputs:
                assert any(name == spec.node for name, _ in self.published), (
                    f"{dispatch} before anything of {spec.node}"
                )

    def publish(self, attempt):  # type: ignore[no-untyped-def]
        dispatch = self.running[attempt]
        self.published |= {(dispatch.node, key) for key in dispatch.keys}
        super().publish(attempt)

    published: ClassVar[set[tuple[str, str]]] = set()


def act(d: Checked, rng: random.Random) -> None:
    kind = rng.random()
    if kind < 0.25 or not d.running:
        name = rng.choice(["s0", "s1", "r"])
        d.arrive(name, "*" if name == "r" else rng.choice(DAYS), content=str(rng.randint(0, 3)))
    elif kind < 0.75:
        attempt = rng.choice(list(d.running))
        dispatch = d.running[attempt]
        for key in dispatch.keys:
            d.content.setdefault((dispatch.node, key), str(rng.randint(0, 3)))
        d.publish(attempt)
    elif kind < 0.85:
        d.end(
            rng.choice(list(d.running)), rng.choice([PartitionState.HELD, PartitionState.REJECTED])
        )
    elif kind < 0.95:
        d.end(rng.choice(list(d.running)), PartitionState.FAILED, rng.choice(list(FailureKind)))
    else:
        d.lose(rng.choice(list(d.running)))


@pytest.mark.parametrize("seed", range(60))
def test_it_comes_to_rest_with_everything_accounted_for(seed: int) -> None:
    """Catches lost wake-ups, double attempts, slots given twice, partitions forgotten. The seed is
    the test's name."""
    rng = random.Random(seed)
    Checked.published = set()
    d = Checked(*graph(rng), slots=3)
    d.ask()
    for _ in range(200):
        act(d, rng)
    for _ in range(2_000):
        if d.running:
            d.publish(next(iter(d.running)))
        elif (at := d.core.next_try()) is not None:
            d.now = max(d.now, at)
            d.give(ClockAdvanced())
        else:
            break
    assert d.core.idle() and d.core.next_try() is None, "it doesn't come to rest"
    for node, key in d.core.waiting(2_000_000_000_000_000):
        reasons = d.core.waiting_for(node, key)
        assert reasons, f"{node}@{key} waits for nothing"
        assert all(
            w.state not in (PartitionState.PUBLISHED, PartitionState.RUNNING) for w in reasons
        ), (node, key, reasons)


@pytest.mark.parametrize("seed", range(10))
def test_the_same_history_gives_the_same_decisions(seed: int) -> None:
    """Catches clocks, sets and random numbers that got into the core."""

    def decisions() -> list[object]:
        rng = random.Random(seed)
        Checked.published = set()
        d = Checked(*graph(rng), slots=3)
        d.ask()
        for _ in range(150):
            act(d, rng)
        return [*d.marks, *d.done, *d.running]

    assert decisions() == decisions()
