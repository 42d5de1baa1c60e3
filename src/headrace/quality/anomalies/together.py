"""Nulls that come together: an event in the world empties what it empties in every column that tells of it, a fault one column.

Flights that are cancelled have no departure, no delay and no time in the air: these are null together on any day, and on the day of a
storm for half of the rows. A column that is emptied alone, or that never was null, or with nothing left in it, is a fault.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.quality.anomalies.history import MetricHistory
from headrace.quality.anomalies.odd import MetricAnomaly
from headrace.quality.metrics import Metrics

ALL = 0.9
"""An event leaves some rows: from this share of nulls on nothing is left."""
IN_PROPORTION = 2.5
"""Columns are null together where the one's share is to the other's as it always was, give or take this factor."""
SOMETIMES = 3
"""… in at least one of so many partitions."""
OTHERS_MIN = 2
"""Where so many other columns are odd in what they hold, it is the world that has moved."""


def together(odd: Sequence[MetricAnomaly], today: Metrics, history: MetricHistory) -> frozenset[str]:
    """The columns that an event has emptied: more nulls than ever, in columns that were null before, together with others."""
    shares = {
        anomaly.metric.column: anomaly.observed
        for anomaly in odd
        if anomaly.metric.family == "nulls" and anomaly.off > 0 and anomaly.observed < ALL
    }
    if not shares:
        return frozenset()
    past = history.all()
    moved = {anomaly.metric.column for anomaly in odd if anomaly.metric.family not in ("nulls", "rows")} - set(shares)
    return frozenset(
        name
        for name in shares
        if _sometimes_null(name, past)
        and (len(moved) >= OTHERS_MIN or any(_in_proportion(name, other, today, past) for other in shares if other != name))
    )


def _sometimes_null(name: str, past: Sequence[Metrics]) -> bool:
    shares = [metrics.columns[name].nulls for metrics in past if name in metrics.columns]
    return sum(share > 0 for share in shares) * SOMETIMES >= len(shares) > 0


def _in_proportion(item: str, other: str, today: Metrics, past: Sequence[Metrics]) -> bool:
    """Whether two columns' nulls are to each other as they were."""
    ratios = sorted(
        metrics.columns[item].nulls / metrics.columns[other].nulls
        for metrics in past
        if item in metrics.columns and other in metrics.columns and metrics.columns[item].nulls and metrics.columns[other].nulls
    )
    if len(ratios) * SOMETIMES < len(past):
        return False
    change = today.columns[item].nulls / today.columns[other].nulls / ratios[len(ratios) // 2]
    return 1 / IN_PROPORTION <= change <= IN_PROPORTION
