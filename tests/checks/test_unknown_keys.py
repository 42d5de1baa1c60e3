"""Keys that no row of the last few intervals had."""

from __future__ import annotations

import math

import pytest

from headrace.checks.anomalies.evaluated_partition import EvaluatedPartition
from headrace.checks.anomalies.evaluation import evaluate_partition
from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.metrics import ColumnMetrics, Metrics, StoredMetrics, encoded
from headrace.model import Grain

DAYS = [f"2025-{month:02d}-{day:02d}" for month in (1, 2) for day in range(1, 29)]


def day(unknown: float | None, rows: int = 220) -> Metrics:
    return Metrics(
        rows,
        {"customer": ColumnMetrics(nulls=0.0, distinct=math.log(150), kept=0.45, unknown=unknown)},
    )


def found(
    today: Metrics, usual: float | None = 0.02, days: int = 28, *, accepted: float | None = None
) -> list[tuple[str, str]]:
    past = [
        StoredMetrics(key, encoded(day(usual if n >= 7 else None)))
        for n, key in enumerate(DAYS[:days])
    ]
    if accepted is not None:
        past[-1] = StoredMetrics(DAYS[days - 1], encoded(day(accepted)), excepted=True)
    facts = evaluate_partition(
        EvaluatedPartition(key=DAYS[days], metrics=today), MetricHistory(past, Grain.DAY)
    )
    return [(fact.kind, fact.severity.value) for fact in facts if fact.column == "customer"]


@pytest.mark.parametrize("rows", [40, 220, 100_000])
def test_unknown_keys_hold_a_delivery_however_small(rows: int) -> None:
    """Would catch: six in ten rows that name customers nobody knows, published because few rows
    name others each day anyway.
    """
    assert found(day(0.6, rows)) == [("reference_broken", "hold")]


def test_new_customers_are_published() -> None:
    """Would catch: a good day, keys that are new each day, a column that is hardly known yet, or
    what somebody has accepted, held."""
    for today, usual, days in (
        (day(0.1), 0.02, 28),
        (day(0.4), 0.1, 28),
        (day(1.0), 1.0, 28),
        (day(0.6), 0.02, 20),
        (day(0.5, 12), 0.02, 28),
    ):
        assert found(today, usual, days) == [], (today, usual, days)
    assert found(day(0.45), accepted=0.6) == [], "the day after other keys were accepted"


def list_of(rows: int, unknown: float | None) -> Metrics:
    return Metrics(
        rows,
        {"customer": ColumnMetrics(nulls=0.0, distinct=math.log(rows), kept=0.9, unknown=unknown)},
    )


def test_a_list_that_grows_is_not_broken() -> None:
    """Would catch: a list of customers that 22 are added to, held as if keys didn't find what they
    refer to; a list with other keys published."""
    past = [
        StoredMetrics(key, encoded(list_of(80, 0.0 if n >= 7 else None)))
        for n, key in enumerate(DAYS[:28])
    ]
    for today, expected in (
        (list_of(102, 22 / 102), []),
        (list_of(98, 22 / 98), []),
        (list_of(80, 0.25), ["reference_broken"]),
    ):
        facts = evaluate_partition(
            EvaluatedPartition(key=DAYS[28], metrics=today), MetricHistory(past, Grain.DAY)
        )
        assert [
            fact.kind
            for fact in facts
            if fact.column == "customer" and fact.severity.value == "hold"
        ] == expected, today
