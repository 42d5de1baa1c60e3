"""Simulated days: the order and the times of attempts follow from the real core."""

from __future__ import annotations

from datetime import time

import pytest
from advisor_lab import HOUR_US, Past, coming, fan, node, report, spread

from headrace.scheduler import Graph
from headrace_advisor.analysis.changes import Changes
from headrace_advisor.analysis.simulation import Simulated, Simulation, Variant, next_bottleneck


def simulated(
    past: Past, *changes: Changes, due: str = "09:00", samples: int = 10, seed: int = 1
) -> list[Simulated]:
    """What comes of each of these changes."""
    graph, consumers = past.graph, [report(past.graph.nodes[-1].name, due)]
    variants = [
        Variant(graph, change.workers or past.workers, consumers, change) for change in changes
    ]
    return Simulation(past.history(), graph, coming(past), seed).run(variants, samples)


def p50(result: Simulated) -> float:
    value = result.consumers["report"].p50
    assert value is not None
    return value


def test_workers_share_the_work() -> None:
    """Would catch: workers that don't limit what runs at once, and durations that aren't added."""
    past = Past(fan(6), lambda name, _: 600.0 if name != "source" else 60.0)
    two, three, six = simulated(past, Changes(), Changes(workers=3), Changes(workers=6))
    # five hours until the delivery, a minute of ingestion, then 3, 2 and 1 rounds, and the last
    for result, rounds in ((two, 3), (three, 2), (six, 1)):
        assert p50(result) == pytest.approx(5 * 3600 + 60 + (rounds + 1) * 600, rel=0.03)


def test_a_pool_limits_and_is_named() -> None:
    """Would catch: pools that are ignored, and the wait for one that is put down to workers."""
    past = Past(fan(6, pool="vendor"), lambda *_: 600.0, workers=8)
    one, three = simulated(past, Changes(), Changes(pools={"vendor": 3}))
    assert p50(one) - p50(three) == pytest.approx(4 * 600, rel=0.1)
    found = next_bottleneck(one)
    assert found is not None
    assert (found[0].kind, found[0].name) == ("pool", "vendor")


def test_a_later_vendor_delays_by_as_much() -> None:
    """Would catch: a delay that is lost in the drawing of other days."""
    past = Past(fan(3), lambda name, day: 300 * spread(1, 0.3)(name, day))
    now, then = simulated(past, Changes(), Changes(delays={"source": HOUR_US}))
    assert p50(then) - p50(now) == pytest.approx(3600, abs=1)
    assert now.consumers["report"].kept == 1.0


def test_deadlines_are_kept_or_missed() -> None:
    """Would catch: a share of intervals in time that isn't by the deadline."""
    past = Past(
        Graph((node("source"), node("last", "source"))),
        lambda *_: 60.0,
        arrives=lambda _, day: (4 if day % 2 else 8) * HOUR_US,
    )
    (result,) = simulated(past, Changes(), due="06:00", samples=40)
    kept = result.consumers["report"].kept
    assert kept is not None
    assert 0.35 < kept < 0.65


def test_speed_and_machine() -> None:
    """Would catch: a factor that is applied to other assets, or the wrong way round."""
    past = Past(fan(1), lambda name, _: 60.0 if name == "source" else 1200.0)
    now, faster, machine = simulated(
        past, Changes(), Changes(speeds={"last": 2.0}), Changes(machine=2.0)
    )
    assert p50(now) - p50(faster) == pytest.approx(600, rel=0.1)
    assert p50(now) - p50(machine) == pytest.approx(1200 + 30, rel=0.1)


def test_twice_the_volume_takes_as_much_longer_as_it_did() -> None:
    """Would catch: a volume without effect, or an effect that isn't the measured one."""

    def volume(day: int) -> float:
        return 1e6 * spread(3, 0.5)("v", day)

    past = Past(
        Graph((node("source"), node("last", "source"))),
        lambda name, day: 1.0 if name == "source" else 1000 * (volume(day) / 1e6) ** 0.5,
        volume=volume,
    )
    now, then = simulated(past, Changes(), Changes(volumes={"source": 4.0}), samples=30)
    started = 5 * 3600
    assert (p50(then) - started) / (p50(now) - started) == pytest.approx(2.0, rel=0.15)


def test_a_lost_worker_costs_its_attempt() -> None:
    """Would catch: a loss that ends nothing, or work that isn't tried again."""
    past = Past(Graph((node("source"), node("last", "source"))), lambda *_: 3000.0)
    now, then = simulated(past, Changes(), Changes(lost_at=time(6, 30)))
    # ingested at 05:00 for 50 minutes, computed from then; 40 minutes of that are lost
    assert p50(then) - p50(now) == pytest.approx(2400, rel=0.2)


def test_without_an_asset_its_readers_read_its_inputs() -> None:
    """Would catch: readers that wait for an asset that is gone, or for nothing at all."""
    chain = Graph((node("source"), node("middle", "source"), node("last", "middle")))
    past = Past(chain, lambda *_: 1200.0)
    now, then = simulated(past, Changes(), Changes(without=frozenset(["middle"])))
    assert p50(now) - p50(then) == pytest.approx(1200, rel=0.1)
    assert p50(then) > 5 * 3600 + 1200


def test_the_same_seed_gives_the_same_answer() -> None:
    """Would catch: draws that depend on anything but the seed, and variants with other draws."""
    past = Past(fan(4), lambda name, day: 300 * spread(1, 0.5)(name, day))
    first, again = simulated(past, Changes(), Changes())
    assert first == again == simulated(past, Changes())[0]
    assert simulated(past, Changes(), seed=2)[0] != first
