"""What the median and the shares of a column's values were expected to be in each partition.

Ranges come from earlier published partitions, as those of the column's other figures do.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import msgspec

from headrace.checks.anomalies.usual import in_natural_units
from headrace.checks.metrics import HISTORY_PARTITIONS, MetricId, Metrics
from headrace.model import Grain
from headrace_ui.views.usual_values import MeasuredPartition, UsualRange, UsualValues, natural_range


class UsualDistribution(msgspec.Struct, frozen=True):
    """The metrics of a node's partitions; `medians` are of the column, if they are numbers."""

    column: str
    grain: Grain | None
    sources: int
    """The project's number of sources."""
    measured: Mapping[str, Metrics]
    """Partition → its newest metrics, also of what is held."""
    visible: Sequence[MeasuredPartition]
    reported: Collection[tuple[str, str, str]]
    """Anomalies as (partition, column in lower case, kind)."""
    medians: Mapping[str, float]
    """Partition → the median of its newest audit."""
    held: Collection[str] = ()
    """Partitions whose newest audit is of rows that readers don't see."""

    def shares(self, value: str) -> dict[str, UsualRange]:
        """Return partition → the usual share of a value in all rows, given how many are null."""
        metric = MetricId("share", self.column, value)
        usual = UsualValues(metric, self.visible, self.grain, self.reported)
        ranges = {}
        for partition, metrics in self.measured.items():
            known = metrics.columns.get(self.column)
            if known is None or not known.shares:  # shares of its values aren't compared
                continue
            values = metrics.values()
            observed = values.get(metric, 0.0)
            between = usual.range(partition, observed, (self.sources, len(values)))
            if between is not None:
                filled = 1 - known.nulls
                low, high = natural_range("share", between)
                ranges[partition] = UsualRange(low * filled, high * filled)
        return ranges

    def median_ranges(self) -> dict[str, UsualRange]:
        """Return partition → the usual median, where this and all earlier ones are positive.

        The limits are those of the typical size of the column's values, which is a logarithm.
        """
        published = self.medians.keys() - self.held
        earlier = [item for item in self.visible if item.partition in published]
        metric = MetricId("location", self.column)
        positive = [
            MeasuredPartition(
                item.partition,
                {metric: math.log(self.medians[item.partition])},
                item.excepted,
            )
            for item in earlier
            if self.medians[item.partition] > 0
        ]
        usual = UsualValues(metric, positive, self.grain, self.reported)
        ranges = {
            partition: self._median_range(partition, usual, earlier) for partition in self.measured
        }
        return {name: between for name, between in ranges.items() if between is not None}

    def _median_range(
        self, partition: str, usual: UsualValues, earlier: Sequence[MeasuredPartition]
    ) -> UsualRange | None:
        before = [self.medians[item.partition] for item in earlier if item.partition < partition]
        medians = [*before[-HISTORY_PARTITIONS:], self.medians.get(partition, 0.0)]
        if min(medians) <= 0:
            return None
        many = (self.sources, len(self.measured[partition].values()))
        between = usual.range(partition, math.log(medians[-1]), many)
        if between is None:
            return None
        return UsualRange(*(in_natural_units("location", bound) for bound in between))
