"""What past attempts say of the next ones."""

from __future__ import annotations

import random

import pytest

from headrace.scheduler.capacity import FIXED_SECONDS, FOLLOWING_SHARE
from headrace.scheduler.estimates import batch_pace, single_pace


def test_what_an_attempt_costs_is_told_from_what_its_partitions_cost() -> None:
    """A mean per partition, which a batch of another size misses; one hanging attempt that moves
    everything."""
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    samples = [
        (k, (0.4 + 0.02 * k) * rng.lognormvariate(0, 0.1))
        for k in (1, 1, 4, 8, 16, 16, 30, 30)
        for _ in range(6)
    ]
    samples += [(1, 300.0), (30, 900.0)]
    pace = batch_pace(samples)
    assert pace is not None
    assert pace.of(1) == pytest.approx(0.42, rel=0.2), seed
    assert pace.of(64) == pytest.approx(0.4 + 64 * 0.02, rel=0.25), seed
    assert 0.03 < pace.spread < 0.3, seed
    assert pace.count == 50


def test_of_single_attempts_only_the_sum_is_certain() -> None:
    """A first batch of sixty that is said to take as long as one day, or sixty times as long
    whatever a day costs."""
    slow, short = batch_pace([(1, 2.0)] * 9), batch_pace([(1, 0.04)] * 9)
    assert slow is not None and short is not None
    assert (slow.of(1), short.of(1)) == (pytest.approx(2.0), pytest.approx(0.04))
    assert slow.of(10) == pytest.approx(2.0 + 9 * (2.0 - FIXED_SECONDS))
    assert short.of(10) == pytest.approx(0.04 * (1 + 9 * FOLLOWING_SHARE))
    assert slow.spread == 0.0


def test_batches_that_cost_less_than_one_alone_cost_nothing_more() -> None:
    """A negative second a partition, with which large batches end before they begin."""
    pace = batch_pace([(1, 1.0)] * 5 + [(10, 0.5)] * 5)
    assert pace is not None
    assert pace.seconds_partition == 0.0
    assert 0.5 <= pace.of(64) <= 1.0


def test_what_came_in_one_file_counts_by_the_partition() -> None:
    """A year in one file that is taken for the cost of one day."""
    pace = single_pace([(365, 3.65)])
    assert pace is not None
    assert pace.of(1) == pytest.approx(0.01)
    assert single_pace([]) is None and batch_pace([]) is None


def test_an_attempt_that_took_no_time_is_one() -> None:
    """The logarithm of nothing."""
    assert batch_pace([(1, 0.0)] * 3) is not None
    assert single_pace([(1, 0.0)]) is not None
