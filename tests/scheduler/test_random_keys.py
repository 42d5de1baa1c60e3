"""Random graphs of keys, chains, optional inputs and calendars: whatever happens, it comes to rest
and accounts for everything.
"""

from __future__ import annotations

import random

import msgspec
import pytest
from driver import DAY, WHOLE, Driver, asset, reads, source

from headrace.model import Grain, PartitionSpec
from headrace.model.times import DaysOff
from headrace.scheduler import (
    ClockAdvanced,
    DeliveryArrived,
    FailureKind,
    GraphNode,
    PartitionState,
)

DAYS = [f"2013-03-{d:02d}" for d in range(5, 15)]
REGIONS = ("APAC", "EMEA", "a/b")
DAY_KEY = PartitionSpec(grain=Grain.DAY, key="region")
LISTED = PartitionSpec(grain=Grain.DAY, key="region", values=REGIONS)
KEY = PartitionSpec(key="region")
MONTH = PartitionSpec(grain=Grain.MONTH)
OFF = DaysOff(dates=frozenset(DAYS[3:5]))


def graph(rng: random.Random) -> list[GraphNode]:
    nodes = [
        msgspec.structs.replace(
            source("days"), days_off=OFF, watermark=rng.random() < 0.3, restate_within="3d"
        ),
        msgspec.structs.replace(source("keyed", DAY_KEY), expect_by="+2d 06:00"),
        source("listed", LISTED),
        source("shops", KEY),
        source("r", WHOLE),
    ]
    for i in range(rng.randint(2, 8)):
        into = rng.sample(nodes, k=rng.randint(1, 3))
        growing = any(n.partition.key is not None and n.partition.grain is not None for n in into)
        choices = [DAY, MONTH, WHOLE, LISTED, *([DAY_KEY, KEY] if growing else [])]
        how = [
            reads(n.name, lookback="2d")
            if rng.random() < 0.2
            else reads(n.name, optional=rng.random() < 0.3)
            for n in into[1:]
        ]
        partition = rng.choice(choices)
        chained = not partition.whole and partition.key is None and rng.random() < 0.3
        nodes.append(asset(f"a{i}", into[0].name, *how, partition=partition, chained=chained))
    return nodes


def arrived(rng: random.Random) -> DeliveryArrived:
    name = rng.choice(["days", "keyed", "listed", "shops", "r"])
    day, region = rng.choice(DAYS), rng.choice(REGIONS)
    key = {"days": day, "shops": region, "r": "*"}.get(name, f"{day}/{region}")
    return DeliveryArrived(name, key, rng.choice(["", "", "one.csv", "two.csv"]))


def act(d: Driver, rng: random.Random) -> None:
    kind = rng.random()
    if kind < 0.3 or not d.running:
        event = arrived(rng)
        d.content[event.source, event.key] = str(rng.randint(0, 3))
        d.give(event)
        return
    attempt = rng.choice(list(d.running))
    if kind < 0.8:
        for key in d.running[attempt].keys:
            d.content.setdefault((d.running[attempt].node, key), str(rng.randint(0, 3)))
        d.publish(attempt)
    elif kind < 0.95:
        state = rng.choice([PartitionState.HELD, PartitionState.REJECTED, PartitionState.FAILED])
        d.end(
            attempt,
            state,
            rng.choice(list(FailureKind)) if state is PartitionState.FAILED else None,
        )
    else:
        d.lose(attempt)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(80))
def test_it_comes_to_rest(seed: int) -> None:
    """Catches lost wake-ups, partitions that run twice at once, and needs that nothing can ever
    fill. The seed is the test's name."""
    rng = random.Random(seed)
    d = Driver(*graph(rng), slots=3)
    d.now = 1_363_000_000_000_000  # 2013-03-11
    d.ask()
    for _ in range(150):
        act(d, rng)
        claims = [(x.node, key) for x in d.running.values() for key in x.keys]
        assert len(claims) == len(set(claims)), "two attempts at one partition"
    d.now += 400 * 86_400_000_000  # everything that time alone brings has come
    d.give(ClockAdvanced())
    d.ask()
    for _ in range(5_000):
        if d.running:
            d.publish(next(iter(d.running)))
        elif (at := d.core.next_try()) is not None:
            d.now = max(d.now, at)
            d.give(ClockAdvanced())
        else:
            break
    assert d.core.idle(), "it doesn't come to rest"
    for node, key in d.core.waiting(d.now):
        reasons = d.core.waiting_for(node, key)
        assert reasons, f"{node}@{key} waits for nothing"
        for reason in reasons:
            assert reason.state is not PartitionState.RUNNING, (node, key, reason)
            assert (
                reason.state is not PartitionState.PUBLISHED or "later interval" in reason.reason
            ), (node, key, reason)
