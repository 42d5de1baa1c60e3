"""The values between which a metric of a partition is usual, for charts of its history."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from headrace.checks.anomalies import expectations
from headrace.checks.anomalies.expectations import Seasonal, forecast, place, season
from headrace.checks.anomalies.metric_anomalies import kind_of
from headrace.checks.anomalies.usual import in_natural_units, unit_of
from headrace.checks.metrics import HISTORY_PARTITIONS, MetricId
from headrace.model import Grain


class UsualRange(NamedTuple):
    """The usual values of a metric, in its stored unit."""

    low: float
    high: float


class MeasuredPartition(NamedTuple):
    """A visible partition with its metrics; `excepted`: somebody accepted its anomalies."""

    partition: str
    values: Mapping[MetricId, float]
    excepted: bool


class UsualValues:
    """One metric of the visible partitions of a node, oldest first.

    `reported` has the anomalies as (partition, column in lower case, kind): what was published with
    a warning doesn't widen the range of later partitions.
    """

    def __init__(
        self,
        metric: MetricId,
        visible: Sequence[MeasuredPartition],
        grain: Grain | None,
        reported: Collection[tuple[str, str, str]] = (),
    ) -> None:
        absent = 0.0 if metric.family == "share" else None
        measured = [(item, item.values.get(metric, absent)) for item in visible]
        known = [(item, value) for item, value in measured if value is not None]
        self._metric, self._grain = metric, grain
        self._partitions = [item.partition for item, _ in known]
        self._values = [value for _, value in known]
        column, kind = metric.column.lower(), kind_of(metric.family)
        self._excepted = [
            item.excepted or (item.partition, column, kind) in reported for item, _ in known
        ]

    def range(self, partition: str, observed: float, many: tuple[int, int]) -> UsualRange | None:
        """Return the usual range of a partition; None while too few before it are known.

        Outside of it a value is reported, unless a month's end or a steady rise explains it, or one
        of the partitions before it was as far off. `many` has the project's number of sources, and
        the number of metrics of the partition.
        """
        past = self._before(partition)
        if len(past.values) < expectations.HISTORY_WARN_MIN:
            return None
        known = expectations.limits(self._metric.family)
        expected, scale, record = forecast(
            past, season(partition, self._grain), observed, known.prior
        )
        improbable = expectations.threshold(expectations.WARNINGS_A_MONTH, *many) * scale
        tolerance = max(known.warn, record, improbable)
        return UsualRange(expected - tolerance, expected + tolerance)

    def _before(self, partition: str) -> Seasonal:
        end = bisect_left(self._partitions, partition)
        begin = max(end - HISTORY_PARTITIONS, 0)
        names = self._partitions[begin:end]
        places = [place(name, self._grain) for name in names]
        return Seasonal(
            self._values[begin:end],
            [season(name, self._grain) for name in names],
            frozenset(at for at, excepted in enumerate(self._excepted[begin:end]) if excepted),
            [] if None in places else [where for where in places if where is not None],
        )


def natural_range(family: str, usual: UsualRange) -> UsualRange:
    """Return a usual range in natural units, within the values that the family can have."""
    low, high = (in_natural_units(family, bound) for bound in usual)
    return UsualRange(max(low, 0.0), min(high, 1.0) if unit_of(family) == "share" else high)
