"""What a chart of rows needs of metrics, without the values of all columns."""

from __future__ import annotations

import math

import msgspec
import pytest

from headrace.checks.metrics import ColumnMetrics, MetricId, Metrics, encoded, rows_alone

HOURS = (0,) * 8 + (3,) + (0,) * 15


@pytest.mark.parametrize(
    "column",
    [
        ColumnMetrics(0.1),
        ColumnMetrics(0.0, empty=0.0, negative=0.5, zero=0.0, location=-1.0, spread=0.0),
        ColumnMetrics(0.0, distinct=0.0, length=1.0, hours=HOURS),
        ColumnMetrics(0.0, hours=(0,) * 24, shares={"a": 0.0, "b": 1.0}, kept=1.0, unknown=0.1),
    ],
)
def test_metrics_are_counted_as_they_are_listed(column: ColumnMetrics) -> None:
    """Would catch: limits of rows for another number of metrics than anomalies are evaluated with."""
    for metrics in (
        Metrics(7, {}),
        Metrics(7, {"a": column}),
        Metrics(7, {"a": column, "b": column}),
    ):
        assert metrics.count() == len(metrics.values())


def test_the_number_of_rows_is_that_of_all_metrics() -> None:
    """Would catch: rows without the logarithm, and damaged metrics taken for an empty partition."""
    metrics = Metrics(41, {"a": ColumnMetrics(0.1, hours=HOURS)}, repeated=2, apart=("a",))
    rows = MetricId("rows")
    assert rows_alone(encoded(metrics)) == {rows: metrics.values()[rows]} == {rows: math.log(42)}
    for damaged in (b"", b"\x90", encoded(metrics)[:1]):
        with pytest.raises(msgspec.DecodeError):
            rows_alone(damaged)
