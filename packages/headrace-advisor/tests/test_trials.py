"""Trials: intervals, verdicts and chosen partitions."""

from __future__ import annotations

import random
import time
from types import SimpleNamespace
from typing import cast

import duckdb
import pytest

from headrace.lake.session import DuckDBSession
from headrace.plan.trials import (
    Compared,
    Interval,
    Side,
    Trial,
    TrialRun,
    change_of,
    pairs_of,
    verdict_of,
)
from headrace_advisor.analysis import trial_runs
from headrace_advisor.services.trial_inputs import spread_over


def _pairs(
    values: random.Random, ratio: float, noise: float, number: int
) -> list[tuple[float, float]]:
    def draw(mean: float) -> float:
        return mean * values.lognormvariate(0, noise)

    return [(draw(100), draw(100 * ratio)) for _ in range(number)]


@pytest.mark.parametrize(("ratio", "number"), [(1.0, 4), (0.85, 12), (1.3, 60)])
def test_intervals_hold_the_true_change(ratio: float, number: int) -> None:
    """Would catch: intervals of 95 % that are too narrow, or so wide that they say nothing."""
    seed = random.SystemRandom().randrange(10**9)
    print("seed", seed)
    values = random.Random(seed)
    true = (ratio - 1) * 100
    held = 0
    for _ in range(1_000):
        interval = change_of(_pairs(values, ratio, 0.1, number))
        assert interval is not None
        held += interval.low <= true <= interval.high
    assert 920 <= held <= 977


def test_a_drift_of_the_machine_cancels() -> None:
    """Would catch: a machine that becomes slower, told as an effect of the change."""
    order = [Side.BEFORE, Side.AFTER, Side.AFTER, Side.BEFORE] * 10
    runs = [TrialRun("*", side, 100 + 5 * n, None) for n, side in enumerate(order)]
    interval = change_of(pairs_of(runs))
    assert interval is not None
    assert interval.low < 0 < interval.high
    assert abs(interval.percent) < 0.5


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-18.0, -12.0, "faster"),
        (3.0, 12.0, "slower"),
        (-2.0, 3.0, "no_effect"),
        (-2.0, -1.0, "no_effect"),
        (-9.0, 4.0, "inconclusive"),
    ],
)
def test_verdicts(low: float, high: float, verdict: str) -> None:
    """Would catch: noise told as an effect, or no effect told as something unknown."""
    assert verdict_of(Interval((low + high) / 2, low, high)) == verdict


def test_verdict_is_about_rows_first() -> None:
    """Would catch: a faster query that gives other rows, or none, praised."""
    runs = tuple(
        TrialRun("*", side, 100 if side is Side.BEFORE else 50, None)
        for side in [Side.BEFORE, Side.AFTER, Side.AFTER, Side.BEFORE] * 5
    )
    assert Trial((Compared("*", 5, None),), runs).verdict == "faster"
    assert Trial((Compared("*", 5, "1 row is new"),), runs).verdict == "not_equal"
    assert Trial((Compared("*", 0, None),), runs).verdict == "inconclusive"
    assert Trial((), ()).verdict == "inconclusive"
    assert Trial((Compared("*", 5, None),), runs[:4]).verdict == "inconclusive"


def test_spread() -> None:
    """Would catch: only the newest partitions tried, or one tried twice."""
    keys = [f"2025-01-{day:02}" for day in range(31, 0, -1)]
    assert spread_over(keys, 1) == ["2025-01-31"]
    assert spread_over(keys, 3) == ["2025-01-31", "2025-01-16", "2025-01-01"]
    assert spread_over(keys[:2], 5) == keys[:2]
    assert len(set(spread_over(keys, 30))) == 30


def _pair(connection: duckdb.DuckDBPyConnection, seconds: float) -> trial_runs._Pair:
    pair = object.__new__(trial_runs._Pair)
    pair._budget = trial_runs._Budget(time.monotonic() + seconds, None)
    pair._sessions = {Side.BEFORE: cast("DuckDBSession", SimpleNamespace(connection=connection))}
    return pair


def test_no_query_begins_after_the_budget() -> None:
    """Would catch: queries that run although the budget or Ctrl-C has ended the trial."""
    pair = _pair(duckdb.connect(), -1)
    with pytest.raises(trial_runs.OutOfTime), pair._within_budget():
        raise AssertionError("it began")
    assert not pair._budget.may_begin(time.monotonic() + 5)


@pytest.mark.timeout(60)
def test_an_end_just_before_a_query_ends_it() -> None:
    """Would catch: an interrupt that is lost because the query hasn't begun."""
    with duckdb.connect() as connection:
        pair = _pair(connection, 0.2)

        def late_query() -> None:
            with pair._within_budget():
                time.sleep(0.3)
                connection.execute("SELECT count(*) FROM range(10_000_000) a, range(10_000_000) b")

        with pytest.raises(trial_runs.OutOfTime):
            late_query()
