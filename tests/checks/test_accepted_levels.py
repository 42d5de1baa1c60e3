"""What somebody accepted is a level to go by from then on, and no measure of what is sound."""

from __future__ import annotations

import math

from headrace.checks.anomalies.evaluated_partition import EvaluatedPartition
from headrace.checks.anomalies.evaluation import evaluate_partition
from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.facts import FactSeverity
from headrace.checks.metrics import Metrics, StoredMetrics, encoded
from headrace.model import Grain

DAYS = [f"2025-{month:02d}-{day:02d}" for month in (1, 2) for day in range(1, 29)]


def past(rows: list[int], excepted: set[int]) -> MetricHistory:
    made = [
        StoredMetrics(DAYS[at], encoded(Metrics(count, {})), at in excepted)
        for at, count in enumerate(rows)
    ]
    return MetricHistory(made, Grain.DAY)


def held(rows: int, history: list[int], excepted: set[int]) -> bool:
    result = evaluate_partition(
        EvaluatedPartition(key=DAYS[len(history)], metrics=Metrics(rows, {})),
        past(history, excepted),
    )
    return any(fact.severity is FactSeverity.HOLD for fact in result)


def test_an_accepted_level_holds_no_more_and_masks_nothing() -> None:
    """Would catch: a project that grew tenfold and is held every day from then on; one where the
    next fault passes because a larger jump was accepted before."""
    steady = [1000 + 10 * math.sin(at) for at in range(40)]
    usual = [round(rows) for rows in steady]
    assert held(10_000, usual, set())
    assert not held(10_050, [*usual, 10_000], {40})
    assert held(1_000, [*usual, 10_000, 10_050, 9_980], {40})
    assert held(100, [*usual, 10_000, 10_050, 9_980], {40})


def test_one_bad_day_that_was_accepted_changes_nothing() -> None:
    """Would catch: a day without half of its rows, accepted as it was, after which a whole day is
    held, or half of one passes.
    """
    usual = [1000 + at % 7 for at in range(40)]
    assert not held(1_003, [*usual, 400], {40})
    assert held(400, [*usual, 400, 1_002, 1_003, 1_001], {40})
