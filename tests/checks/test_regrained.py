"""Rows of another kind under the same header."""

from __future__ import annotations

import math

from headrace.checks.anomalies.evaluated_partition import EvaluatedPartition
from headrace.checks.anomalies.evaluation import evaluate_partition
from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.metrics import ColumnMetrics, Metrics, StoredMetrics, encoded
from headrace.model import Grain

DAYS = [f"2025-{month:02d}-{day:02d}" for month in (1, 2) for day in range(1, 29)]


def day(distinct: int, kept: float | None) -> Metrics:
    return Metrics(300, {"place": ColumnMetrics(nulls=0.0, distinct=math.log(distinct), kept=kept)})


def details(today: Metrics, kept: float | None = 0.95) -> list[str]:
    past = [StoredMetrics(key, encoded(day(150, kept))) for key in DAYS[:40]]
    return [
        fact.detail
        for fact in evaluate_partition(
            EvaluatedPartition(key=DAYS[40], metrics=today), MetricHistory(past, Grain.DAY)
        )
    ]


def test_other_things_under_one_header_are_told_from_a_file_that_lost_some() -> None:
    """Would catch: counties that become states unseen; a truncated file, a dimension that grows or
    orders that are new each day taken for another grain."""
    assert [detail.partition(":")[0] for detail in details(day(100, 0.3))] == ["another grain"]
    for today, kept in (
        (day(45, 0.3), 0.95),
        (day(500, 0.97), 0.95),
        (day(150, 0.0), 0.02),
        (day(100, None), 0.95),
        (day(100, 0.3), None),
    ):
        assert not any(detail.startswith("another grain") for detail in details(today, kept)), (
            today,
            kept,
        )


def test_values_all_written_otherwise_are_held_after_a_week() -> None:
    """Would catch: all codes of a column with many values rewritten, published for two weeks; a
    day on which a few came again, and which is only told of."""
    days = [StoredMetrics(key, encoded(day(150, 0.95))) for key in DAYS[:8]]
    for kept, wanted in (
        (0.0, [("distribution_shift", "hold")]),
        (0.2, [("distribution_shift", "warn")]),
    ):
        result = evaluate_partition(
            EvaluatedPartition(key=DAYS[8], metrics=day(150, kept)), MetricHistory(days, Grain.DAY)
        )
        assert [(fact.kind, fact.severity.value) for fact in result] == wanted


def test_as_many_other_names_are_told_from_another_grain() -> None:
    """Would catch: keys that nobody knows, all of them new, told as rows of another kind."""
    assert [detail.partition(":")[0] for detail in details(day(150, 0.0))] == ["other names"]
    assert [detail.partition(":")[0] for detail in details(day(50, 0.0))] == ["another grain"]
