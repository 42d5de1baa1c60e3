"""Usual ranges as charts draw them."""

from __future__ import annotations

import math

import pytest

from headrace.checks.metrics import MetricId
from headrace.model import Grain
from headrace_ui.views.usual_values import (
    MeasuredPartition,
    UsualRange,
    UsualValues,
    natural_range,
)


@pytest.mark.parametrize(
    ("family", "stored", "drawn"),
    [
        ("nulls", (-0.2, 1.3), (0.0, 1.0)),
        ("nulls", (0.1, 0.4), (0.1, 0.4)),
        ("rows", (math.log(51), math.log(201)), (50.0, 200.0)),
    ],
)
def test_a_usual_share_is_between_none_and_all(
    family: str, stored: tuple[float, float], drawn: tuple[float, float]
) -> None:
    """Would catch: a chart on which up to 130 % of the values are usually negative."""
    assert natural_range(family, UsualRange(*stored)) == pytest.approx(drawn)


DAYS = [f"2025-03-{day:02}" for day in range(1, 32)]


def usual_rows(counts: list[int], reported: set[tuple[str, str, str]]) -> UsualRange:
    """Return the usual number of rows of the day after days with these counts."""
    rows = MetricId("rows")
    past = [
        MeasuredPartition(day, {rows: math.log(count + 1)}, excepted=False)
        for day, count in zip(DAYS, counts, strict=False)
    ]
    usual = UsualValues(rows, past, Grain.DAY, reported)
    between = usual.range(DAYS[len(counts)], math.log(101), (1, 10))
    assert between is not None
    return natural_range("rows", between)


@pytest.mark.parametrize("days_since", [1, 2, 7])
def test_a_warning_widens_no_range(days_since: int) -> None:
    """Would catch: 75 to 135 rows as usual, because 130 were published with a warning."""
    quiet = [99, 101, 100, 102, 98] * 4
    warned = [*quiet, 130, *quiet[: days_since - 1]]
    reported = {(DAYS[len(quiet)], "", "volume_anomaly")}
    assert usual_rows(warned, set()).high > 128  # as if nobody had been warned
    before = usual_rows(quiet, set())
    assert usual_rows(warned, reported) == pytest.approx(before, rel=0.02)
