"""Pools, weights and limits: who is given out when room is scarce."""

from __future__ import annotations

import random

import pytest
from driver import Driver, asset, source

from headrace.model import PartitionSpec
from headrace.scheduler import ClockAdvanced, GraphNode, Take
from headrace.scheduler.graph import LAPSE_US, PoolCapacity, PoolLease

KEYS = PartitionSpec(key="n", values=tuple(f"{n:03d}" for n in range(40)))


def job(name: str, *takes: Take, partition: PartitionSpec = KEYS, **fields: object) -> GraphNode:
    """An asset that reads nothing: all its partitions are ready at once."""
    return asset(name, partition=partition, takes=takes, **fields)


def running(d: Driver) -> dict[str, int]:
    result: dict[str, int] = {}
    for dispatch in d.running.values():
        result[dispatch.node] = result.get(dispatch.node, 0) + 1
    return result


def test_a_full_pool_is_in_nobody_elses_way() -> None:
    """Catches a queue whose head has no room: everything behind it would stand still with free
    workers.
    """
    d = Driver(job("ware", Take("warehouse")), job("free"), slots=6, pools={"warehouse": 2})
    d.ask()
    assert running(d) == {"ware": 2, "free": 4}


def test_weights_count() -> None:
    d = Driver(job("heavy", Take("warehouse", 3)), slots=6, pools={"warehouse": 8})
    d.ask()
    assert running(d) == {"heavy": 2}


def test_a_heavy_take_isnt_passed_for_ever() -> None:
    """Catches starvation: with light ones always ready, three free slots never come together by
    themselves.
    """
    heavy = asset("heavy", "flights", takes=(Take("p", 3),), priority=9)
    d = Driver(source("flights"), job("light", Take("p")), heavy, slots=4, pools={"p": 3})
    d.ask()
    assert running(d) == {"light": 3}
    d.arrive("flights", "2013-02-11")
    d.publish(d.attempt("flights", "2013-02-11"))
    for _ in range(3):
        assert "heavy" not in running(d)
        d.publish(next(a for a, x in d.running.items() if x.node == "light"))
    assert running(d) == {"heavy": 1}, "a light one took what was kept for it"


def test_what_waits_for_its_own_node_keeps_nothing_of_what_it_shares() -> None:
    """Catches a warehouse that stands half empty because a node with `concurrency: 1` has a hundred
    partitions to do.
    """
    item = job("one", Take("p"), Take("node:one"), priority=5)
    d = Driver(item, job("other", Take("p")), slots=8, pools={"p": 4, "node:one": 1})
    d.ask()
    assert running(d) == {"one": 1, "other": 3}


def test_an_owners_limit_holds_over_all_its_nodes() -> None:
    d = Driver(
        job("a", Take("owner:vendor")),
        job("b", Take("owner:vendor")),
        slots=8,
        pools={"owner:vendor": 3},
    )
    d.ask()
    assert sum(running(d).values()) == 3


def test_a_weight_above_the_pool_takes_all_of_it() -> None:
    """An environment may make a pool smaller than an asset's weight: it runs alone, and isn't
    stuck.
    """
    d = Driver(job("heavy", Take("p", 9)), slots=4, pools={"p": 2})
    d.ask()
    assert running(d) == {"heavy": 1}


def test_a_lost_end_gives_its_room_back_when_its_lease_lapses() -> None:
    """Catches a counter that only goes up: one message lost, and the pool is smaller for ever."""
    d = Driver(job("a", Take("p"), timeout_us=1_000_000), slots=4, pools={"p": 1})
    d.ask()
    (first,) = d.running
    d.now += 2_000_000
    d.give(ClockAdvanced())
    assert [kill.attempt for kill in d.kills] == [first]
    assert len(d.running) == 1
    assert d.core.next_event() == d.core.running()[first].expires_at + LAPSE_US
    d.now = d.core.running()[first].expires_at + LAPSE_US
    d.give(ClockAdvanced())
    assert len(d.running) == 2


def test_the_declared_priority_comes_first() -> None:
    d = Driver(job("a"), job("b", priority=2), job("c", priority=-1), slots=1)
    d.ask()
    order = [node for node, _ in d.work()]
    assert order == ["b"] * 40 + ["a"] * 40 + ["c"] * 40


@pytest.mark.parametrize("seed", range(12))
def test_random_loads_never_exceed_a_pool_and_end(seed: int) -> None:
    """Catches over-admission and what is never admitted, whatever the mixture of weights and
    limits."""
    rng = random.Random(seed)
    pools = {"p": rng.randint(1, 6), "q": rng.randint(1, 4), "node:n0": 1}
    nodes = []
    for n in range(6):
        takes = [
            Take(pool, rng.randint(1, pools[pool])) for pool in ("p", "q") if rng.random() < 0.6
        ]
        takes += [Take("node:n0")] if n == 0 else []
        nodes.append(job(f"n{n}", *takes, priority=rng.choice([None, 1, 2])))
    d = Driver(*nodes, slots=rng.randint(1, 8), pools=pools)
    d.ask()
    done = 0
    while d.running:
        held = dict.fromkeys(pools, 0)
        for dispatch in d.running.values():
            for take in next(node for node in nodes if node.name == dispatch.node).takes:
                held[take.pool] += take.slots
        assert all(held[pool] <= pools[pool] for pool in pools), (seed, held)
        d.publish(rng.choice(list(d.running)))
        done += 1
    assert done == 6 * 40, seed


def test_room_counts_leases_that_hold() -> None:
    takes = (("p", 2),)
    room = PoolCapacity({"p": 3}, [PoolLease(takes, 100), PoolLease(takes, 0)], now=LAPSE_US + 1)
    assert room.short(takes) == ["p"]
    room = PoolCapacity({"p": 3}, [PoolLease(takes, 0)], now=LAPSE_US + 1)
    assert room.short(takes) == []
