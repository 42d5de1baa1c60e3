"""Whether an odd number has the shape of a fault. The world moves gradually, and in many ways at once; a unit changes alone.

Only what has such a shape holds a partition by itself: days of snow, of rain or of a sale are unusual in a hundred ways, and true.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from headrace.quality.anomalies.odd import MetricAnomaly
from headrace.quality.metrics import ColumnMetrics, MetricId

SAME_SPREAD = 0.3
"""Values that are all multiplied by one number are as far apart as before, as logarithms."""
SAME_SIZE = math.log(1.35)
MANY_DISTINCT = math.log(30)
"""A column of fewer distinct values may have one, for a day."""
ORDERS = math.log(8)
"""Sizes without a spread are of another unit from here on."""
ODDS = 4.5
"""What is null often is null more often on some days; from here on it isn't that."""
WORST = 1.5
"""… and from so many times the odds of the worst day in the history on: what is null in bursts has another burst."""
FEW_LEFT = math.log(4)
"""A column of which a quarter of the distinct values is left is filled with something else; half as many have fog, and quiet days."""
SAME_SIGNS = 0.1
"""Another unit leaves as many values negative, and as many zero, as there were."""
ALL_ZERO = 0.5
"""A column that is mostly zero may be zero."""


def faulty(anomaly: MetricAnomaly, column: ColumnMetrics | None, usual: Mapping[MetricId, float], highest: float) -> bool:
    """Whether something odd is the kind of thing that only a fault does. `usual` is what each number is in the middle of the history,
    `highest` the greatest that the odd one was."""
    match anomaly.metric.family:
        case "rows" | "hour_mean" | "hour_q95" | "length":
            return True
        case "nulls" | "empty":
            return _odds(anomaly.observed) >= max(ODDS * _odds(anomaly.expected), WORST * _odds(highest))
        case "location":
            return _scaled(anomaly, column, usual)
        case "negative":
            return anomaly.off > 0 and _near(
                column.location if column else None, usual.get(MetricId("location", anomaly.metric.column)), SAME_SIZE
            )
        case "zero":
            return anomaly.off > 0 and anomaly.expected < ALL_ZERO
        case "share":
            return column is not None and column.negative is None
        case "distinct":
            return anomaly.off <= -FEW_LEFT and anomaly.expected >= MANY_DISTINCT
        case _:
            return False


def _scaled(anomaly: MetricAnomaly, column: ColumnMetrics | None, usual: Mapping[MetricId, float]) -> bool:
    """Whether all values were multiplied by one number."""
    if column is not None and any(
        abs((getattr(column, family) or 0.0) - usual.get(MetricId(family, anomaly.metric.column), 0.0)) > SAME_SIGNS
        for family in ("negative", "zero")
    ):
        return False
    before = usual.get(MetricId("spread", anomaly.metric.column))
    if column is None or column.spread is None or before is None:
        return abs(anomaly.off) >= ORDERS
    return _near(column.spread, before, SAME_SPREAD)


def _odds(share: float) -> float:
    held = min(max(share, 0.001), 0.999)
    return held / (1 - held)


def _near(item: float | None, other: float | None, within: float) -> bool:
    return item is not None and other is not None and abs(item - other) <= within
