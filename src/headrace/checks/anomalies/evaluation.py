"""All anomalies of a partition: exact tests first, then metrics; one fact for each anomaly."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from headrace.checks.anomalies import row_anomalies
from headrace.checks.anomalies.categories import Recoded, recoded_columns
from headrace.checks.anomalies.category_facts import (
    ANOTHER_GRAIN,
    NOTATION,
    OTHER_NAMES,
    UNKNOWN_KEYS,
    of_another_grain,
    of_other_codes,
    of_other_list,
)
from headrace.checks.anomalies.columns import regrained_column
from headrace.checks.anomalies.evaluated_partition import NAMES_TOLD, UNSURE, EvaluatedPartition
from headrace.checks.anomalies.expectations import HISTORY_WARN_MIN, limits, near_holiday
from headrace.checks.anomalies.explanations import (
    ONE_EACH,
    MovedRows,
    emptied,
    emptied_together,
    has_faulty_shape,
    moved,
    remains,
    shared_move,
    weighed,
)
from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.anomalies.metric_anomalies import (
    EXACT,
    NEVER,
    MetricAnomaly,
    anomalous_metrics,
    anomaly_text,
    kind_of,
    number,
    percent,
)
from headrace.checks.anomalies.row_anomalies import DuplicateRows, copied_rows
from headrace.checks.anomalies.shapes import OF_TIME, Shapes
from headrace.checks.anomalies.stale_facts import stale_fact
from headrace.checks.anomalies.times import tied_columns
from headrace.checks.anomalies.young_series import fewer, multiplied, settled, young_anomalies
from headrace.checks.facts import Fact, FactSeverity
from headrace.checks.metrics import MetricId, Metrics
from headrace.model.wording import few

ONE_FACTOR = 0.2
"""The difference (ln) up to which moves of columns' sizes count as one common factor."""
FEW_TIMES = math.log(4)
"""The greatest usual factor (ln) of the number of rows; a change of unit is mostly larger."""
STEADY = 3.0
"""The multiple of the largest deviation so far beyond which no real event explains one.

Distances, for example, are the same in every storm.
"""
ON_HOLIDAYS = 2.0
"""The factor on the limit for holding rows, hours and sizes on or next to a public holiday."""
ENDS_MIN = 3
"""The minimum number of files that show how a source's files end."""
ENDS_NEAR = 7
"""The number of recent files that all have more rows than a truncated one."""
_OF_RHYTHM = ("rows", "location", *OF_TIME)
"""Families that a different rhythm moves; the time of day may also be stored as a number."""
_OF_NAMES = ("share", "distinct", "length", "location", "spread")
"""Families that move if categories are renamed."""
HALF = 0.5
"""The share of surplus rows from which on new names may belong to them."""


def evaluate_partition(partition: EvaluatedPartition, history: MetricHistory) -> tuple[Fact, ...]:
    """Return the anomalies of a partition, the worst first.

    A partition without rows is anomalous only if about as many rows were computed each time and all
    of its inputs have rows.
    """
    if not partition.metrics.rows:
        missing_rows = (
            fewer(0, history) if partition.fed and settled(partition.key, history) else None
        )
        return (
            ()
            if missing_rows is None
            else (_fact(missing_rows, partition, frozenset(), "", history),)
        )
    bound = tied_columns(partition.key, partition.metrics, history)
    stale = stale_fact(partition, bound, history)
    if stale is not None and stale.strength > UNSURE:
        return (stale,)
    partition = msgspec.structs.replace(
        partition, metrics=_without(partition.metrics, bound.columns)
    )
    cut = _cut_off(partition, history)
    copies = copied_rows(partition.metrics, history)
    twice = [_several_times(partition, copies)] if copies else _repeated(partition, history)
    if copies is not None:  # duplicates are removed, and their keys, which are new now
        once = _without(partition.metrics, frozenset(copies.apart))
        once = msgspec.structs.replace(once, rows=once.rows // copies.times)
        partition = msgspec.structs.replace(partition, metrics=once)
    numbers = _numbers(partition, history)
    of_rows = [*cut, *twice, *(fact for fact, _ in numbers)]
    facts = [*([stale] if stale else []), *cut, *twice, *weighed(of_rows, numbers)]
    return tuple(
        sorted(facts, key=lambda fact: (fact.severity is not FactSeverity.HOLD, -fact.strength))
    )


def _cut_off(partition: EvaluatedPartition, history: MetricHistory) -> list[Fact]:
    """Return a fact for a file whose last line has no end although all earlier files had one.

    Such a file may be truncated. It is held only if it also has fewer rows than each of the last
    `ENDS_NEAR` files, since people who edit files by hand also leave out line ends.
    """
    if not partition.metrics.open_end:  # the ends of all earlier files needn't be decoded
        return []
    known = history.ends
    if len(known) < ENDS_MIN or any(known):
        return []
    least = min((each.rows for _, each in history.newest(ENDS_NEAR)), default=0)
    fewer = partition.metrics.rows < least
    cut = "the file ends within its last line: it is cut off"
    return [
        Fact(
            kind="volume_anomaly",
            severity=FactSeverity.HOLD if fewer else FactSeverity.WARN,
            expected=f"a line end after the last row, as {len(known)} files before had",
            observed=cut if fewer else "none: the last value may be cut off",
            strength=EXACT if fewer else UNSURE,
            detail="cut off" if fewer else "open end",
            partition=partition.key,
        )
    ]


def _without(metrics: Metrics, columns: frozenset[str]) -> Metrics:
    """Return the metrics without these columns."""
    return msgspec.structs.replace(
        metrics,
        columns={
            name: column_metrics
            for name, column_metrics in metrics.columns.items()
            if name not in columns
        },
    )


def _repeated(partition: EvaluatedPartition, history: MetricHistory) -> list[Fact]:
    results = row_anomalies.repeated_rows(partition.metrics, history)
    if results is None or partition.metrics.repeated is None or emptied(partition.metrics, history):
        return []
    severity, most = results
    rows = partition.metrics.repeated
    return [
        Fact(
            kind="duplicate_rows",
            severity=severity,
            expected=f"at most {percent(most)} of the rows" if most else "no row twice",
            observed=f"{rows} of {partition.metrics.rows} rows are identical to others",
            strength=EXACT,
            partition=partition.key,
        )
    ]


def _several_times(partition: EvaluatedPartition, duplicate_rows: DuplicateRows) -> Fact:
    rows = partition.metrics.rows // duplicate_rows.times
    keys = few(duplicate_rows.apart, NAMES_TOLD)
    return Fact(
        kind="duplicate_rows",
        severity=duplicate_rows.severity,
        expected="each row once",
        observed=f"each of {rows:,} rows {duplicate_rows.times} times, the same but for {keys}",
        strength=EXACT,
        detail=f"each row {duplicate_rows.times} times, under other {keys}",
        partition=partition.key,
    )


def _numbers(partition: EvaluatedPartition, history: MetricHistory) -> list[tuple[Fact, bool]]:
    """Return the anomalous metrics, without what other facts explain.

    Rows that are repeated more than usual don't count. Truncation and missing groups explain some
    metrics. Each fact comes with whether missing or surplus rows leave it anomalous.
    """
    repeated = partition.metrics.repeated or 0
    usual = row_anomalies.repeated_rows(partition.metrics, history) is None
    if usual or emptied(partition.metrics, history):
        repeated = 0
    anomalies = _metric_anomalies(partition, partition.metrics.rows - repeated, history)
    facts, explained, lost = _facts_of_shape(partition, history)
    by = moved(partition.metrics.rows, repeated, anomalies, lost)
    anomalies = [each for each in anomalies if not _is_explained(each, explained, by, history)]
    anomalies = _of_the_world(
        [
            _sized(each, partition, history)
            for each in anomalies
            if not _counts_rows(each, anomalies, partition)
        ]
    )
    events = emptied_together(anomalies, partition.metrics, history)
    numbers = [
        (
            _fact(each, partition, events, shared_move(each, partition.peers), history),
            remains(each, by, history),
        )
        for each in _leading(anomalies)
    ]
    return [(fact, _is_of_names(fact, by)) for fact in facts] + numbers


def _metric_anomalies(
    partition: EvaluatedPartition, rows: int, history: MetricHistory
) -> list[MetricAnomaly]:
    """Return the anomalous metrics of a partition with this number of rows."""
    values = msgspec.structs.replace(partition.metrics, rows=rows).values()
    anomalies = young_anomalies(partition.key, values, rows, history)
    anomalies += anomalous_metrics(partition.key, values, rows, history, partition.sources)
    steady = multiplied(rows, history) or fewer(rows, history)
    if steady is None:
        return anomalies
    same = [each for each in anomalies if each.metric == steady.metric]
    if any(each.severity is FactSeverity.HOLD for each in same):
        return anomalies
    return [each for each in anomalies if each.metric != steady.metric] + [steady]


def _facts_of_shape(
    partition: EvaluatedPartition, history: MetricHistory
) -> tuple[list[Fact], set[object], float]:
    """Return the facts of `Shapes` and those about renamed categories, with what they explain."""
    renamed = recoded_columns(partition.key, partition.metrics, history)
    explained: set[object] = set()
    if len(history) >= HISTORY_WARN_MIN or settled(partition.key, history):
        shapes = Shapes(partition, history, renamed)
        facts, lost = shapes.facts, shapes.lost
        explained |= shapes.explained
    else:
        facts, lost = _regrained(partition, history), 0.0
        for fact in facts:
            explained |= _explained_by_names(fact.column)
    grained = {fact.column for fact in facts if fact.detail in (OTHER_NAMES, ANOTHER_GRAIN)}
    for names in renamed:
        if names.column in grained:
            continue
        explained |= _explained_by_names(names.column)
        facts.append(_fact_of_names(partition, names))
    return facts, explained, lost


def _explained_by_names(column: str) -> set[tuple[str, str]]:
    """Return the metrics, as (family, column), that move if a column's categories are renamed."""
    return {(family, column) for family in _OF_NAMES}


def _fact_of_names(partition: EvaluatedPartition, names: Recoded) -> Fact:
    if names.listed:
        return of_other_list(partition, names)
    return of_other_codes(partition, names)


def _regrained(partition: EvaluatedPartition, history: MetricHistory) -> list[Fact]:
    other = regrained_column(partition.metrics, history)
    if other is None:
        return []
    return [of_another_grain(partition.key, other, FactSeverity.HOLD)]


def _is_explained(
    anomaly: MetricAnomaly, explained: set[object], by: MovedRows, history: MetricHistory
) -> bool:
    """Return whether facts about the partition's shape, or its missing rows, explain a metric."""
    if (anomaly.metric.family, anomaly.metric.column) in explained:
        return True
    return anomaly.metric.family in explained and not remains(anomaly, by, history)


def _is_of_names(fact: Fact, by: MovedRows) -> bool:
    """Return whether no choice of rows explains the fact: other names, other hours."""
    if fact.detail.startswith("category mix"):
        return fact.observed.startswith("none") or by.more < HALF
    return (
        fact.detail.startswith(("hours of the day:", "other names: ", NOTATION))
        or fact.detail == UNKNOWN_KEYS
    )


def _sized(
    anomaly: MetricAnomaly, partition: EvaluatedPartition, history: MetricHistory
) -> MetricAnomaly:
    """Return the anomaly with a hold reduced to a warning unless its shape is that of a fault."""
    if anomaly.severity is not FactSeverity.HOLD:
        return anomaly
    about = [
        MetricId(family, anomaly.metric.column)
        for family in ("spread", "location", "negative", "zero")
    ]
    usual = {metric: value for metric in about if (value := history.usual(metric)) is not None}
    highest = max(history.series(anomaly.metric).values, default=anomaly.expected)
    is_fault = has_faulty_shape(
        anomaly, partition.metrics.columns.get(anomaly.metric.column), usual, highest
    )
    if not is_fault or _is_of_holiday(anomaly, partition, history):
        return anomaly._replace(severity=FactSeverity.WARN)
    return anomaly


def _is_of_holiday(
    anomaly: MetricAnomaly, partition: EvaluatedPartition, history: MetricHistory
) -> bool:
    """Whether a public holiday may explain the size."""
    return (
        anomaly.metric.family in _OF_RHYTHM
        and abs(anomaly.off) < ON_HOLIDAYS * limits(anomaly.metric.family).hold
        and not _is_steady(anomaly)
        and near_holiday(partition.key, history.grain, partition.calendar)
    )


def _counts_rows(
    anomaly: MetricAnomaly, anomalies: Sequence[MetricAnomaly], partition: EvaluatedPartition
) -> bool:
    """Return whether the sizes are those of row numbers: fewer rows have smaller numbers."""
    if anomaly.metric.family != "location":
        return False
    rows = next((each.off for each in anomalies if each.metric.family == "rows"), 0.0)
    different = partition.metrics.columns[anomaly.metric.column].distinct or 0.0
    return (
        bool(rows)
        and abs(anomaly.off - rows) < ONE_FACTOR
        and math.exp(different) >= ONE_EACH * partition.metrics.rows
    )


def _of_the_world(anomalies: Sequence[MetricAnomaly]) -> list[MetricAnomaly]:
    """Return the anomalies, with those that real events explain reduced to warnings.

    Sizes that move by different factors and zeros in several columns have real causes; another
    unit is one factor, and a fault affects one column. Sizes that never moved nearly as far aren't
    explained. Fewer distinct values among fewer rows are dropped.
    """
    gradual = _gradual_families(anomalies)
    rows = next((anomaly.off for anomaly in anomalies if anomaly.metric.family == "rows"), 0.0)
    results = []
    for anomaly in anomalies:
        if anomaly.metric.family == "distinct" and rows * anomaly.off > 0:
            continue
        is_real = anomaly.metric.family in gradual and not _is_steady(anomaly)
        results.append(anomaly._replace(severity=FactSeverity.WARN) if is_real else anomaly)
    return results


def _gradual_families(anomalies: Sequence[MetricAnomaly]) -> set[str]:
    """Return the families whose moves have real causes."""
    moves = [anomaly.off for anomaly in anomalies if anomaly.metric.family == "location"]
    zeros = sum(anomaly.metric.family == "zero" for anomaly in anomalies)
    families = set()
    if moves and max(moves) - min(moves) > ONE_FACTOR:
        families.add("location")
    if zeros > 1:
        families.add("zero")
    return families


def _is_steady(anomaly: MetricAnomaly) -> bool:
    """Return whether sizes moved far, and much further than any storm or holiday moved them."""
    return anomaly.metric.family == "location" and abs(anomaly.off) >= max(
        STEADY * anomaly.record, limits("location").hold
    )


def _leading(anomalies: Sequence[MetricAnomaly]) -> list[MetricAnomaly]:
    """Return the worst anomaly for each column and kind of cause.

    Most metrics of an emptied column are left out, since it has too few values.
    """
    emptied = {
        anomaly.metric.column
        for anomaly in anomalies
        if anomaly.metric.family == "nulls" and anomaly.off > 0
    }
    best: dict[tuple[str, str], MetricAnomaly] = {}
    for anomaly in anomalies:
        if anomaly.metric.column in emptied and anomaly.metric.family not in (
            "nulls",
            *OF_TIME,
            "location",
        ):
            continue
        at = (kind_of(anomaly.metric.family), anomaly.metric.column)
        if at not in best or _rank(anomaly) > _rank(best[at]):
            best[at] = anomaly
    return list(best.values())


def _rank(anomaly: MetricAnomaly) -> tuple[bool, float]:
    return anomaly.severity is FactSeverity.HOLD, anomaly.strength


def _moved_as_rows(anomaly: MetricAnomaly, today: Metrics, history: MetricHistory) -> bool:
    """Return whether the number of rows explains the factor of a column's sizes.

    Either there are as many times the rows, or the sizes are totals of rows: then another column,
    such as a count, moved by the same small factor.
    """
    usual = history.usual(MetricId("rows"))
    moves = [] if usual is None else [math.log(today.rows + 1) - usual]
    if abs(anomaly.off) < FEW_TIMES:
        for name, column in today.columns.items():
            before = (
                history.usual(MetricId("location", name)) if name != anomaly.metric.column else None
            )
            moves += [] if before is None or column.location is None else [column.location - before]
    return any(abs(move - anomaly.off) <= ONE_FACTOR / 2 for move in moves)


def _fact(
    anomaly: MetricAnomaly,
    partition: EvaluatedPartition,
    events: frozenset[str],
    peers: str,
    history: MetricHistory,
) -> Fact:
    """Return the anomaly as a fact; only a warning if an event or other sources explain it."""
    kind, expected, observed, detail = anomaly_text(
        anomaly,
        of_rows=anomaly.metric.family == "location"
        and _moved_as_rows(anomaly, partition.metrics, history),
    )
    never = (
        NEVER
        if anomaly.metric.family == "nulls" and not max(history.series(anomaly.metric).values)
        else ""
    )
    event = (
        f"together with {', '.join(sorted(events - {anomaly.metric.column})[:4])}"
        if anomaly.metric.column in events
        else ""
    )
    explained = bool(event) or (bool(peers) and anomaly.metric == MetricId("rows"))
    return Fact(
        kind=kind,
        column=anomaly.metric.column,
        severity=FactSeverity.WARN if explained else anomaly.severity,
        expected=expected,
        observed=observed,
        strength=number(anomaly.strength),
        detail="; ".join(filter(None, [never, detail, event and f"an event: {event}", peers])),
        partition=partition.key,
    )
