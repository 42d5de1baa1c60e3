"""Facts about rows of another interval: repeated content, other times, other named intervals."""

from __future__ import annotations

from headrace.checks.anomalies.evaluated_partition import UNSURE, EvaluatedPartition
from headrace.checks.anomalies.expectations import near_holiday
from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.anomalies.metric_anomalies import EXACT
from headrace.checks.anomalies.row_anomalies import STALE_ROWS_MIN, same_as
from headrace.checks.anomalies.times import Tied, earlier_times
from headrace.checks.facts import Fact, FactSeverity
from headrace.model.texts import marked


def stale_fact(partition: EvaluatedPartition, bound: Tied, history: MetricHistory) -> Fact | None:
    """Return the fact that the rows belong to another interval; None if nothing says so."""
    return (
        _of_repeated(partition)
        or _of_another(partition, bound)
        or _of_other_times(partition, history)
    )


def _of_repeated(partition: EvaluatedPartition) -> Fact | None:
    """Return a fact if a partition has exactly the rows of another one."""
    same = same_as(partition.key, partition.content_hash, partition.versions)
    if same is None:
        return None
    return Fact(
        kind="stale_data",
        severity=(
            FactSeverity.HOLD if partition.metrics.rows >= STALE_ROWS_MIN else FactSeverity.WARN
        ),
        expected=f"rows of {partition.key}",
        observed=f"exactly the rows of {same}",
        strength=_sure(partition),
        detail=f"equals {same}",
        partition=partition.key,
    )


def _of_another(partition: EvaluatedPartition, bound: Tied) -> Fact | None:
    """Return a fact if a column that always named its rows' interval names another one."""
    if not bound.wrong:
        return None
    column, wrong = min(bound.wrong.items(), key=lambda each: not each[1].sure)
    held = partition.metrics.rows >= STALE_ROWS_MIN and wrong.sure
    return Fact(
        kind="stale_data",
        column=column,
        severity=FactSeverity.HOLD if held else FactSeverity.WARN,
        expected=wrong.expected,
        observed=wrong.observed,
        strength=_sure(partition) if wrong.sure else UNSURE,
        detail="rows of another interval",
        partition=partition.key,
    )


def _of_other_times(partition: EvaluatedPartition, history: MetricHistory) -> Fact | None:
    """Return a fact if all times of a column lie in an earlier interval."""
    unexpected_time_range = next(
        earlier_times(partition.key, partition.metrics.columns, history), None
    )
    if unexpected_time_range is None:
        return None
    sure = unexpected_time_range.sure and not near_holiday(
        partition.key, history.grain, partition.calendar
    )
    return Fact(
        kind="stale_data",
        column=unexpected_time_range.column,
        severity=(
            FactSeverity.HOLD
            if sure and partition.metrics.rows >= STALE_ROWS_MIN
            else FactSeverity.WARN
        ),
        expected=f"times from {unexpected_time_range.expected} on",
        observed=f"{marked(unexpected_time_range.first)} to {marked(unexpected_time_range.last)}",
        strength=_sure(partition) if sure else UNSURE,
        detail="rows of another interval",
        partition=partition.key,
    )


def _sure(partition: EvaluatedPartition) -> float:
    """Return the strength in nats; a few rows may repeat or name another interval by chance."""
    return EXACT * min(1.0, partition.metrics.rows / STALE_ROWS_MIN)
