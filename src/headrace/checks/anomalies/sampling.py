"""The error of metrics that come from a sample, and whether it could decide an evaluation. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from headrace.checks.anomalies.evaluated_partition import EvaluatedPartition
from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.anomalies.metric_anomalies import anomalous_metrics
from headrace.checks.metrics import ColumnMetrics, MetricId, Metrics
from headrace.checks.results import ColumnProfile

STANDARD_ERRORS = 3.0
"""The distance from a limit, in standard errors of a sample, up to which a metric is near it."""
_RATIO_OF_QUARTILES = 1.35
"""The interquartile range of a normal distribution, in standard deviations."""
_OF_SPREAD = 1.5
"""The standard error of `spread` × √rows; 1.17 for a normal distribution."""
_OF_DISTINCT = 0.05
"""The usual error of `distinct` (ln) if the sample shows it, whatever the number of rows."""
_HOURS = 6.0
"""The standard deviation of the hours of a day."""


def sampled_rows(profile: Mapping[str, ColumnProfile]) -> int:
    """Return the number of sampled rows of a partition; 0 if all were read."""
    return max((column.sampled or 0 for column in profile.values()), default=0)


def lacks_values(profile: Mapping[str, ColumnProfile]) -> bool:
    """Return whether a sample doesn't show how many distinct values some column has."""
    return any(
        column.sampled and column.nulls < column.rows and column.distinct is None
        for column in profile.values()
    )


def near_limit(partition: EvaluatedPartition, sampled: int, history: MetricHistory) -> bool:
    """Return whether a larger sample than `sampled` rows could show an anomalous metric.

    That is so if a metric would be anomalous after a move by `STANDARD_ERRORS`, up or down.
    """
    metrics = partition.metrics
    values = metrics.values()
    errors = dict(_errors(metrics, sampled))
    for sign in (STANDARD_ERRORS, -STANDARD_ERRORS):
        moved = {
            metric: max(value + sign * errors.get(metric, 0.0), 0.0)
            if metric.family in _SHARES
            else value + sign * errors.get(metric, 0.0)
            for metric, value in values.items()
        }
        if anomalous_metrics(partition.key, moved, metrics.rows, history, partition.sources):
            return True
    return False


_SHARES = frozenset({"empty", "share"})
"""Shares that come from the sample; nulls, negative numbers and zeros are counted in all rows."""


def _errors(metrics: Metrics, sampled: int) -> Iterator[tuple[MetricId, float]]:
    """Return the standard error of each metric that comes from a sample."""
    for name, column in metrics.columns.items():
        known = max(sampled * (1 - column.nulls), 1.0)
        root = math.sqrt(known)
        for value, share in column.shares.items():
            yield MetricId("share", name, value), math.sqrt(share * (1 - share) / known)
        if column.empty is not None:
            chance = max(column.empty * (1 - column.empty), 1 / known)
            yield MetricId("empty", name), math.sqrt(chance / known)
        yield MetricId("location", name), _deviation(column) / root
        yield MetricId("spread", name), _OF_SPREAD / root
        yield MetricId("distinct", name), _OF_DISTINCT
        yield MetricId("length", name), 1 / root
        yield MetricId("hour_mean", name), _HOURS / root


def _deviation(column: ColumnMetrics) -> float:
    """Return the standard deviation of the logarithms of a column's sizes, as its spread shows."""
    return 1.0 if column.spread is None else math.exp(column.spread) / _RATIO_OF_QUARTILES
