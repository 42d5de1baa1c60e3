"""The number of rows of a node's newest partitions, beside what was usual until then."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from headrace.checks.anomalies.metric_anomalies import kind_of
from headrace.checks.metrics import MetricId, Metrics
from headrace.model import Grain
from headrace_ui.responses.history import RowsPointRow
from headrace_ui.views.usual_values import MeasuredPartition, UsualRange, UsualValues, natural_range

ROWS = MetricId("rows")


def row_points(
    published: Mapping[str, int],
    measured: Mapping[str, Metrics],
    visible: Sequence[MeasuredPartition],
    reported: Collection[tuple[str, str, str]],
    grain: Grain | None,
    sources: int,
) -> list[RowsPointRow]:
    """Return the number of rows of each partition, oldest first, also of those that are held.

    `published` and `measured` are by partition, `visible` the partitions readers see with those
    before them, `reported` the anomalies as (partition, column, kind), and `sources` the project's
    number of sources.
    """
    usual = UsualValues(ROWS, visible, grain, reported)
    kind = kind_of(ROWS.family)
    rows = []
    for partition in sorted({*published, *measured}):
        metrics = measured.get(partition)
        count = published[partition] if partition in published else measured[partition].rows
        between = None if metrics is None else _range(usual, partition, count, metrics, sources)
        outside = between is not None and not between.low <= count <= between.high
        rows.append(
            RowsPointRow(
                partition=partition,
                rows=count,
                published=partition in published,
                low=None if between is None else between.low,
                high=None if between is None else between.high,
                odd=outside and (partition, ROWS.column, kind) in reported,
            )
        )
    return rows


def _range(
    usual: UsualValues, partition: str, rows: int, metrics: Metrics, sources: int
) -> UsualRange | None:
    """Return the usual numbers of rows; None while too few partitions before it are known."""
    many = sources, metrics.count()
    between = usual.range(partition, math.log(rows + 1), many)
    return None if between is None else natural_range(ROWS.family, between)
