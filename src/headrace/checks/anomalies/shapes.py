"""Anomalies in the shape of a whole partition: missing hours, groups, names, keys and nulls."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.checks.anomalies import row_anomalies
from headrace.checks.anomalies.categories import Recoded
from headrace.checks.anomalies.category_facts import (
    of_another_grain,
    of_groups,
    of_missing,
    of_nulls_alone,
    of_other_names,
    of_unknown_keys,
)
from headrace.checks.anomalies.columns import (
    emptied_alone,
    regrained_column,
    unfamiliar_names,
    unknown_keys,
)
from headrace.checks.anomalies.evaluated_partition import EvaluatedPartition
from headrace.checks.anomalies.expectations import HISTORY_HOLD_MIN
from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.anomalies.metric_anomalies import EXACT, percent
from headrace.checks.anomalies.times import Turned, shifted_times
from headrace.checks.anomalies.young_series import settled
from headrace.checks.facts import Fact, FactSeverity

OF_TIME = ("hour_mean", "hour_q95")
_OF_VOLUME = ("rows", "distinct")


class Shapes:
    """Facts about the whole partition, what they explain, and the missing share of rows.

    `explained` has families of metrics, of one column (`(family, column)`) or of all columns.
    `renamed` are columns whose categories have other names only. The order matters: a truncated
    partition lacks groups, and missing or renamed rows bring no new names.
    """

    def __init__(
        self, partition: EvaluatedPartition, history: MetricHistory, renamed: Sequence[Recoded]
    ) -> None:
        self.facts: list[Fact] = []
        self.explained: set[object] = set()
        self.lost = 0.0
        self._partition, self._history, self._renamed = partition, history, renamed
        known = len(history) >= HISTORY_HOLD_MIN or settled(partition.key, history)
        self._severity = FactSeverity.HOLD if known else FactSeverity.WARN
        is_cut = self._find_truncation()
        self._find_shifted_times()
        self._find_groups(is_cut=is_cut)
        other_grain = not is_cut and self._find_another_grain()
        if not other_grain:
            self._find_names(self._find_unknown_keys())
        self._find_lone_nulls()

    def _find_truncation(self) -> bool:
        """Find out whether the rows end within the day; return whether they do."""
        key, metrics = self._partition.key, self._partition.metrics
        cut = row_anomalies.truncated_rows(key, metrics, self._history)
        if cut is None:
            return False
        self.lost = cut.missing
        self.explained |= {*OF_TIME, *_OF_VOLUME, "share"}
        self.facts.append(
            Fact(
                kind="volume_anomaly",
                column=cut.column,
                severity=self._severity,
                expected="rows until the end of the day",
                observed=f"hardly any from {cut.hour}:00 on",
                strength=cut.strength,
                partition=key,
                detail=f"truncated: about {percent(cut.missing)} of the rows are missing",
            )
        )
        return True

    def _find_shifted_times(self) -> None:
        for off in shifted_times(self._partition.metrics, self._history):
            self.explained |= {(family, off.column) for family in OF_TIME}
            self.facts.append(_of_turned(self._partition.key, off, self._severity))

    def _find_groups(self, *, is_cut: bool) -> None:
        """Find missing and new groups; a truncated partition lacks some for that reason."""
        other_names = {each.column for each in self._renamed}
        for fact, share in of_groups(self._partition, self._history, self._severity):
            if fact.column not in other_names:
                self._add_group(fact, share, is_cut=is_cut)
        for each in self._renamed:
            if each.removed:
                fact = of_missing(
                    self._partition, each.column, each.removed, each.missing, self._severity
                )
                self._add_group(fact, each.missing, is_cut=is_cut)

    def _add_group(self, fact: Fact, share: float, *, is_cut: bool) -> None:
        if is_cut and fact.kind == "volume_anomaly":
            return
        self.lost = max(self.lost, share)
        self.explained |= {("share", fact.column), ("distinct", fact.column)}
        self.facts.append(fact)

    def _find_another_grain(self) -> bool:
        """Find a column that names other things; return whether there is one."""
        other = regrained_column(self._partition.metrics, self._history)
        if other is None:
            return False
        families = ("nulls", "distinct", "length")
        self.explained |= {"rows", *((family, other.column) for family in families)}
        self.facts.append(of_another_grain(self._partition.key, other, self._severity, self.lost))
        return True

    def _find_unknown_keys(self) -> frozenset[str]:
        """Find columns with keys that are new; return these columns."""
        unknown = list(unknown_keys(self._partition.metrics, self._history))
        for keys in unknown:
            self.explained |= {(family, keys.column) for family in ("distinct", "length")}
            self.facts.append(of_unknown_keys(self._partition, keys))
        return frozenset(keys.column for keys in unknown)

    def _find_names(self, with_unknown_keys: frozenset[str]) -> None:
        held = any(fact.severity is FactSeverity.HOLD for fact in self.facts)
        known = with_unknown_keys.union(each.column for each in self._renamed)
        for names in unfamiliar_names(self._partition.metrics, self._history):
            if names.column in known or (self.explained and not names.new):
                continue  # missing or renamed rows bring no new names
            self.explained.add(("distinct", names.column))
            beside = held and bool(self.lost)
            self.facts.append(of_other_names(self._partition.key, names, beside=beside))

    def _find_lone_nulls(self) -> None:
        for each in emptied_alone(self._partition.metrics, self._history):
            self.explained.add(("nulls", each.column))
            self.facts.append(of_nulls_alone(self._partition, each, self._severity))


def _of_turned(key: str, results: Turned, severity: FactSeverity) -> Fact:
    off = f"{abs(results.hours)} hours {'late' if results.hours > 0 else 'early'}"
    return Fact(
        kind="distribution_shift",
        column=results.column,
        severity=severity,
        expected="hours of the day as on the days before",
        observed=f"the same hours, all {off}: {percent(results.share)} of the rows are in others",
        strength=EXACT,
        detail=f"hours of the day: {off}",
        partition=key,
    )
