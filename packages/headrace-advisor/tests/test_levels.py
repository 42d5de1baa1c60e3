"""When the level of durations changed, and what the newest ones may mean."""

from __future__ import annotations

import random

import msgspec
import pytest
from advisor_lab import FIRST, Past, fan, node, report, spread

from headrace.scheduler import Graph
from headrace_advisor.analysis.backtest import backtest
from headrace_advisor.analysis.levels import levels_of


def noise(count: int, level: float = 0.0, seed: int = 1) -> list[float]:
    draw = random.Random(seed)
    return [level + draw.gauss(0, 0.15) for _ in range(count)]


def test_a_change_is_where_it_was() -> None:
    """Would catch: durations near a change that are brought to the wrong level, as the first ones
    after it were: twice as slow became four times as slow."""
    for count in (5, 9, 30):
        levels = levels_of([*noise(40), *noise(count, 0.7, seed=2)])
        assert levels.values[:38] == [levels.values[0]] * 38
        assert levels.values[0] == pytest.approx(0, abs=0.1)
        assert levels.values[-count + 2 :] == [levels.values[-1]] * (count - 2)
        assert levels.values[-1] == pytest.approx(0.7, abs=0.2)


@pytest.mark.parametrize("seed", range(20))
def test_chance_is_no_change(seed: int) -> None:
    """Would catch: levels that follow chance, and a single slow day that counts as a level."""
    values = noise(60, seed=seed)
    values[40] += 2.3
    assert len(set(levels_of(values).values)) == 1


def test_the_newest_may_be_a_new_level() -> None:
    """Would catch: a change that is ignored until it can't be chance any more, and one day that
    counts as a new level for sure."""
    two = levels_of([*noise(40), 0.7, 0.8])
    assert (two.odd, two.off) == (2, pytest.approx(0.75, abs=0.1))
    assert levels_of(noise(40)).odd == 0
    assert levels_of([1.0]).odd == levels_of([1.0, 2.0]).odd == 0
    assert levels_of([*noise(40), 0.7, -0.8]).odd == 1


def test_more_days_leave_less_doubt() -> None:
    """Would catch: a level that counts as known after a few days."""
    few, many = levels_of(noise(5)), levels_of(noise(80))
    assert few.doubt > 2 * many.doubt > 0


@pytest.mark.long
def test_intervals_hold_what_they_say() -> None:
    """Would catch: 80 % intervals that hold nearly all deliveries, or much fewer than 80 %."""
    shares = []
    for seed in range(8):
        past = Past(fan(6), lambda name, day: 300 * spread(seed, 0.3)(name, day), days=40)  # noqa: B023
        result = backtest(past.history(), past.graph, [report("last")], past.workers, seed=1)
        assert result is not None
        shares.append(result.coverage.share)
    assert 0.72 < sum(shares) / len(shares) < 0.88, shares


def test_one_consumer_isnt_predictable_beside_others() -> None:
    """Would catch: "in time 100.0 %" of a consumer none of whose past days came as forecast,
    because those of eight others did."""
    names = [f"a{number}" for number in range(8)]
    graph = Graph((node("source"), *(node(name, "source") for name in (*names, "growing"))), {})
    chance = spread(3, 0.2)

    def seconds(name: str, day: int) -> float:
        """`growing` takes twice as long every second day."""
        factor = 2 ** ((day - FIRST.toordinal()) // 2 % 12) if name == "growing" else 1
        return 10 * factor * chance(name, day)

    past = Past(graph, seconds, days=30, workers=9)
    reads = [msgspec.structs.replace(report(name), consumer=name) for name in (*names, "growing")]
    result = backtest(past.history(), past.graph, reads, past.workers, seed=1)
    assert result is not None
    assert result.coverage.is_predictable
    assert {name: result.predicts(name) for name in (*names, "growing")} == {
        **dict.fromkeys(names, True),
        "growing": False,
    }
