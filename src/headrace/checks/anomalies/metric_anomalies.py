"""Anomalous metrics: their detection, their texts, and the policy for them. Pure."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from headrace.checks.anomalies import expectations
from headrace.checks.anomalies.expectations import MetricForecast, forecast, goes_on
from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.facts import Fact, FactSeverity
from headrace.checks.metrics import MetricId
from headrace.model.errors import SIZE
from headrace.model.texts import quoted

# The metrics of a partition that are anomalous, given the earlier ones. The only statistics are
# those of forecasts, and the meaning of a metric isn't used.

JUDGED_MAX = 400
"""The maximum number of metrics that are forecast: enough even if 1,000 columns have moved."""


_OF_SIZE = ("location", "spread")
"""Families that change for increasing ids: they grow, and their logarithms come closer."""
_LOG_MAX = 700.0
NEWS = 0.5
"""The part of the warning limit by which a value must lie outside all earlier ones."""


class MetricAnomaly(NamedTuple):
    """An anomalous metric; `off` is the observed minus the expected value."""

    metric: MetricId
    severity: FactSeverity
    expected: float
    observed: float
    z: float
    record: float
    """The largest deviation so far."""

    @property
    def off(self) -> float:
        return self.observed - self.expected

    @property
    def strength(self) -> float:
        """Return the improbability in nats."""
        return expectations.nats(self.z)


def anomalous_metrics(
    partition: str,
    values: Mapping[MetricId, float],
    rows: int,
    history: MetricHistory,
    sources: int,
) -> list[MetricAnomaly]:
    """Return the anomalous metrics of a partition; nothing if too little is known.

    `sources` is the project's number of sources.
    """
    if len(history) < expectations.HISTORY_WARN_MIN or not rows:
        return []
    like = history.like(partition)
    values = {
        metric: value
        for metric, value in values.items()
        if metric.family != "share" or history.recurring(metric.column)
    }
    values = _with_lost(values, like, history)
    results = (
        _evaluated_metric(metric, values[metric], partition, rows, history, (sources, len(values)))
        for metric in _suspects(partition, values, like, history)
    )
    return [anomaly for anomaly in results if anomaly is not None]


def _suspects(
    partition: str, values: Mapping[MetricId, float], like: Sequence[int], history: MetricHistory
) -> list[MetricId]:
    """Return the metrics to forecast: those outside their usual range, without those of ids.

    `like` are the indexes of similar partitions.
    """
    # If someone accepted an anomaly, the level may have changed: then every metric is a suspect.
    seen = [] if history.moved else [history.values(at) for at in like]
    suspects = [metric for metric, value in values.items() if _suspect(metric, value, seen)]
    suspects = suspects[:JUDGED_MAX]
    sized = {metric.column for metric in suspects if metric.family in _OF_SIZE}
    ids = {column for column in sized if rises(column, partition, values, history)}
    return [
        metric for metric in suspects if metric.family not in _OF_SIZE or metric.column not in ids
    ]


def _with_lost(
    values: Mapping[MetricId, float], like: list[int], history: MetricHistory
) -> dict[MetricId, float]:
    """Return the metrics with a share of 0 for categories that are gone."""
    results = dict(values)
    sharing = {metric.column for metric in values if metric.family == "share"}
    for past in filter(None, map(history.metrics, like)):
        for column in sharing & past.columns.keys():
            for value in past.columns[column].shares:
                results.setdefault(MetricId("share", column, value), 0.0)
    return results


def _suspect(metric: MetricId, value: float, seen: Sequence[Mapping[MetricId, float]]) -> bool:
    """Return whether a value lies outside those of the last similar partitions, with tolerance."""
    reach = expectations.WARNED.get(metric.family)
    if reach is None:
        return False
    absent = 0.0 if metric.family == "share" else None
    low, high = math.inf, -math.inf
    for earlier in seen:
        known = earlier.get(metric, absent)
        if known is not None:
            if known - reach < value < known + reach:
                return False  # the usual case: close to one value is close to the range
            low, high = min(low, known), max(high, known)
    return not low - reach < value < high + reach


def _evaluated_metric(
    metric: MetricId,
    value: float,
    partition: str,
    rows: int,
    history: MetricHistory,
    many: tuple[int, int],
) -> MetricAnomaly | None:
    """Return the anomaly of a metric; None if its forecast or its history explains the value.

    `many` has the number of sources and of metrics, by which limits of chance rise.
    """
    past = history.series(metric)
    if len(past.values) < expectations.HISTORY_WARN_MIN or not math.isfinite(value):
        return None
    known = expectations.limits(metric.family)
    least, most = history.least_and_most(metric)
    tolerance = known.warn * NEWS
    if metric.family != "rows" and least - tolerance < value < most + tolerance:
        return None
    near = _from_month_edge(metric, value, partition, history)
    if near < known.warn:
        return None  # as at the same end of an earlier month
    metric_forecast = forecast(past, history.season(partition), value, known.prior)
    expected, record = metric_forecast.expected, metric_forecast.record
    off = abs(value - expected)
    chance = _chance(metric.family, expected, rows, past.values, history)
    z = off / max(metric_forecast.scale, chance, 1e-9)
    anomaly = MetricAnomaly(metric, FactSeverity.WARN, expected, value, z, record)
    far = (
        len(past.values) >= expectations.HISTORY_HOLD_MIN
        and near >= known.hold
        and _is_far(metric.family, value, rows, metric_forecast)
    )
    if far and z >= expectations.threshold(expectations.HOLDS_A_MONTH, *many):
        return anomaly._replace(severity=FactSeverity.HOLD)
    warned = off >= known.warn and off >= record
    if warned and z >= expectations.threshold(expectations.WARNINGS_A_MONTH, *many):
        return anomaly
    return None


def _from_month_edge(
    metric: MetricId, value: float, partition: str, history: MetricHistory
) -> float:
    """Return how far the number of rows is from the nearest at the same end of earlier months.

    Infinity if no month's end is known, and for other metrics.
    """
    edges = history.same_edge(metric, partition) if metric.family == "rows" else ()
    return min((abs(value - edge) for edge in edges), default=math.inf)


def _chance(
    family: str, expected: float, rows: int, past: Sequence[float], history: MetricHistory
) -> float:
    """Return the chance error of a metric, given its expected value and the number of rows."""
    usual_rows = round(math.exp(history.usual(MetricId("rows")) or 0.0))
    noise = expectations.noise(family, expected, rows, usual_rows)
    return noise * _scattered(past) if family in expectations.COUNTS else noise


def rises(
    column: str, partition: str, values: Mapping[MetricId, float], history: MetricHistory
) -> bool:
    """Return whether a column's values increase steadily, as ids do."""
    sizes = MetricId("location", column)
    past, today, place = history.series(sizes), values.get(sizes), history.place(partition)
    if today is None or place is None or not past.places or abs(today) > _LOG_MAX:
        return False
    before = [math.exp(min(value, _LOG_MAX)) for value in past.values]
    return goes_on(past.places, before, place, math.exp(today))


def _scattered(logs: Sequence[float]) -> float:
    """Return how much of a count's chance error applies: none for six rows, one per region."""
    counts = [math.exp(log) for log in logs]
    return min(statistics.pstdev(counts) / math.sqrt(statistics.fmean(counts)), 1.0)


def _is_far(family: str, value: float, rows: int, metric_forecast: MetricForecast) -> bool:
    """Return whether a deviation is large enough to hold the partition.

    It exceeds the general limit, or is large in a series that never moved nearly as far and affects
    more than a few rows.
    """
    known, off = expectations.limits(family), abs(value - metric_forecast.expected)
    few = _moved(family, value, rows, metric_forecast.expected) < expectations.QUIET_ROWS
    quiet = not few and off >= max(known.quiet, expectations.QUIET_FACTOR * metric_forecast.record)
    return quiet or off >= max(known.hold, expectations.RECORD_FACTOR * metric_forecast.record)


def _moved(family: str, value: float, rows: int, expected: float) -> float:
    """Return the number of rows that a deviation takes; all rows for sizes and times."""
    if family in expectations.SHARES:
        return abs(value - expected) * rows
    return abs(math.exp(value) - math.exp(expected)) if family in expectations.COUNTS else rows


# Texts of anomalous metrics: kind of cause, expected and observed value.

EXACT = 30.0
"""The strength in nats of an exact comparison."""
NEVER = "never before"
"""A detail for nulls in a column without any in its history: no recurring event brings them."""
UNITS = {
    100.0: "per cent, or cents",
    1000.0: "a thousand",
    1e6: "a million",
    1.609344: "miles and kilometres",
    3.28084: "metres and feet",
    2.20462: "kilograms and pounds",
    60.0: "minutes, or seconds",
    3600.0: "hours and seconds",
    2.54: "inches and centimetres",
    10.0: "ten",
}
"""Possible meanings of a constant ratio."""
NEAR = 0.03
"""The tolerance (ln) of a ratio to a unit, …"""
LARGE, LARGE_NEAR = 60.0, 0.2
"""… or to a large unit: sizes vary that much between days, and little else is so large."""
_KINDS = {"rows": "volume_anomaly", "nulls": "null_spike", "empty": "null_spike"}
_WORDS = {
    "empty": "empty texts",
    "negative": "negative values",
    "zero": "zeros",
    "spread": "× between quartiles",
    "length": "characters on average",
}


def anomaly_text(anomaly: MetricAnomaly, *, of_rows: bool = False) -> tuple[str, str, str, str]:
    """Return the kind of cause, the expected and observed value, and a detail.

    `of_rows`: the number of rows moved by the same factor, which then isn't a unit.
    """
    family = anomaly.metric.family
    kind = kind_of(family)
    expected, observed = (
        _factor_text(anomaly, anomaly.expected),
        _factor_text(anomaly, anomaly.observed),
    )
    return kind, expected, observed, _detail(anomaly, {} if of_rows else UNITS)


def kind_of(family: str) -> str:
    """Return the kind of cause for which an anomaly is evidence."""
    return _KINDS.get(family, "distribution_shift")


def percent(share: float) -> str:
    """Return a share for people: 12 %, 0.3 %."""
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.1f} %"


def number(value: float) -> float:
    """Return the number rounded and limited for storage."""
    return round(min(value, 700.0), 3)


def _factor_text(anomaly: MetricAnomaly, value: float) -> str:
    family = anomaly.metric.family
    match family:
        case "rows":
            count = _count(math.exp(value) - 1)
            return f"{count} row{'' if count == '1' else 's'}"
        case "nulls":
            return f"{percent(max(value, 0.0))} nulls"
        case "share":
            return f"{percent(max(value, 0.0))} are {quoted(anomaly.metric.value)}"
        case "empty" | "negative" | "zero":
            return f"{percent(max(value, 0.0))} {_WORDS[family]}"
        case "location":
            return f"sizes around {_short(math.exp(value))}"
        case "distinct":
            count = _short(math.exp(value))
            return f"{count} distinct value{'' if count == '1' else 's'}"
        case "spread" | "length":
            return f"{_short(math.exp(value))} {_WORDS[family]}"
        case _:
            return f"{'on average' if family == 'hour_mean' else 'nearly all before'} {value:.1f} h"


def _detail(anomaly: MetricAnomaly, units: Mapping[float, str]) -> str:
    match anomaly.metric.family:
        case "location":
            return f"{SIZE}{_ratio(anomaly.off, units)}"
        case "rows":
            # the compared value is ln(rows + 1)
            expected = max(math.exp(anomaly.expected) - 1, 0.0)
            observed = max(math.exp(anomaly.observed) - 1, 0.0)
            return f"× {_short(observed / expected if expected > 0 else math.exp(anomaly.off))}"
        case "share":
            return "category mix"
        case "negative":
            return "sign"
        case "hour_mean" | "hour_q95":
            return "hours of the day"
        case "spread":
            return "spread"
        case "length":
            return f"length: {_ratio(anomaly.off, units)}"
        case _:
            return ""


def _ratio(off: float, units: Mapping[float, str]) -> str:
    ratio = math.exp(off)
    for known, meaning in units.items():
        apart = abs(abs(off) - math.log(known))
        if apart < (LARGE_NEAR if known >= LARGE else NEAR):
            return (
                f"{'' if apart < NEAR else 'about '}{'×' if off > 0 else '÷'} {known:g}"
                f" ({meaning}?)"
            )
    return f"× {_short(ratio)}"


def _count(value: float) -> str:
    return f"{max(value, 0):,.0f}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


# The reaction to an anomaly: by its severity, or by `on_anomaly` of the node or the column.

IGNORE = "ignore"
ACCEPTED = "accepted"
"""The policy for what somebody accepted beforehand: warn, without a question."""
_TIMES = re.compile(r"× (\d[\d,]*(?:\.\d+)?)")
"""The ratio of the number of rows to the expected one."""
_OF_VALUES = ("null_spike", "distribution_shift", "format_change")
_HOLDING = ("volume_anomaly", "null_spike", "duplicate_rows")


def apply_policy(
    facts: Iterable[Fact], on_anomaly: str | None, of_columns: Mapping[str, str]
) -> Iterator[Fact]:
    """Return the facts with the declared severity, without those to be ignored."""
    columns = {name.lower(): policy for name, policy in of_columns.items()}
    for fact in facts:
        policy = columns.get(fact.column.lower(), on_anomaly) if fact.column else on_anomaly
        if policy == IGNORE:
            continue
        yield fact if policy is None else _with_policy(fact, policy)


def _with_policy(fact: Fact, policy: str) -> Fact:
    if policy == ACCEPTED:
        return msgspec.structs.replace(fact, severity=FactSeverity.WARN)
    severity = FactSeverity(policy)
    let_through = fact.severity is FactSeverity.HOLD and severity is FactSeverity.WARN
    return msgspec.structs.replace(fact, severity=severity, let_through=let_through)


def milder_for_computed(
    facts: Iterable[Fact],
    unusual: Collection[str],
    emptied: Collection[tuple[str, str]] = (),
    more_rows: Collection[str] | None = None,
) -> Iterator[Fact]:
    """Reduce holds of a computed partition to warnings where its inputs explain them.

    Only rows, nulls and duplicates hold a computed partition. They don't if it follows from inputs
    (partitions `unusual`) that were published although they deviate from their own history. First
    nulls in a column are keys without a match, unless an input column was `emptied` (partition, own
    column). If the code changed, more rows follow only from the partitions `more_rows`; None: the
    code is the same.
    """
    for fact in facts:
        milder = fact.severity is FactSeverity.HOLD and (
            fact.kind not in _HOLDING or _follows(fact, unusual, emptied, more_rows)
        )
        yield msgspec.structs.replace(fact, severity=FactSeverity.WARN) if milder else fact


def _follows(
    fact: Fact,
    unusual: Collection[str],
    emptied: Collection[tuple[str, str]],
    more_rows: Collection[str] | None,
) -> bool:
    """Return whether an anomaly follows from unusual inputs, as in `milder_for_computed`."""
    if fact.detail.startswith(NEVER):
        return any(
            column == fact.column and _within(key, fact.partition) for key, column in emptied
        )
    causes = unusual if more_rows is None or not _is_more(fact) else more_rows
    return any(_within(key, fact.partition) for key in causes)


def _is_more(fact: Fact) -> bool:
    """Return whether the fact is about too many rows."""
    if fact.kind == "duplicate_rows":
        return True
    times = _TIMES.match(fact.detail) if fact.kind == "volume_anomaly" else None
    return times is not None and float(times[1].replace(",", "")) > 1


def without_unread_columns(facts: Iterable[Fact], used: Collection[str] | None) -> Iterator[Fact]:
    """Reduce holds about columns that nothing downstream uses to warnings.

    A free-text column that nobody reads holds no delivery. Missing or duplicate rows affect
    everyone, whichever column shows them. `used` has the columns in use in lower case; None if all
    may be used.
    """
    for fact in facts:
        idle = used is not None and fact.kind in _OF_VALUES and fact.column.lower() not in used
        yield (
            msgspec.structs.replace(fact, severity=FactSeverity.WARN)
            if idle and fact.severity is FactSeverity.HOLD
            else fact
        )


def _within(key: str, other: str) -> bool:
    """Return whether one interval contains the other."""
    return key.startswith(other) or other.startswith(key)


def summary_clause(facts: Iterable[Fact], severity: FactSeverity, *, named: bool) -> str:
    """Return the worst facts of a severity in one clause; `named`: with the partition of each."""
    of_kind = [fact for fact in facts if fact.severity is severity]
    parts = []
    for partition in dict.fromkeys(fact.partition for fact in of_kind):
        partition_facts = [fact for fact in of_kind if fact.partition == partition]
        more = f" (and {len(partition_facts) - 2} more)" if len(partition_facts) > 2 else ""
        clauses = "; ".join(_clause(fact) for fact in partition_facts[:2]) + more
        parts.append(f"{partition}: {clauses}" if named else clauses)
    return "; ".join(parts)


def _clause(fact: Fact) -> str:
    where = f"{fact.column}: " if fact.column else ""
    detail = f" ({fact.detail})" if fact.detail else ""
    return f"{fact.kind}: {where}{fact.observed}, expected {fact.expected}{detail}"
