"""All anomalies of a partition: exact tests first, then metrics; one fact for each anomaly."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation

import msgspec

from headrace.checks.anomalies import categories, row_anomalies
from headrace.checks.anomalies.categories import Recoded, recoded_columns
from headrace.checks.anomalies.columns import HELD as HELD_ALONE
from headrace.checks.anomalies.columns import (
    NEW_MIN,
    Regrained,
    Unfamiliar,
    UnknownKeys,
    UnsharedNulls,
    emptied_alone,
    regrained_column,
    unfamiliar_names,
    unknown_keys,
)
from headrace.checks.anomalies.expectations import (
    HISTORY_HOLD_MIN,
    HISTORY_WARN_MIN,
    limits,
    nats,
    near_holiday,
)
from headrace.checks.anomalies.explanations import (
    ONE_EACH,
    MovedRows,
    Peer,
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
from headrace.checks.anomalies.row_anomalies import (
    STALE_ROWS_MIN,
    DuplicateRows,
    PublishedContent,
    copied_rows,
    same_as,
)
from headrace.checks.anomalies.times import Tied, Turned, earlier_times, shifted_times, tied_columns
from headrace.checks.anomalies.young_series import fewer, multiplied, settled, young_anomalies
from headrace.checks.facts import Fact, FactSeverity
from headrace.checks.metrics import MetricId, Metrics

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
UNSURE = 6.0
"""The strength in nats of a wrong interval in a column that named only two intervals so far."""
_OF_TIME = ("hour_mean", "hour_q95")
_OF_RHYTHM = ("rows", "location", *_OF_TIME)
"""Families that a different rhythm moves; the time of day may also be stored as a number."""
_OF_VOLUME = ("rows", "distinct")
_OF_NAMES = ("share", "distinct", "length", "location", "spread")
"""Families that move if categories are renamed."""
ANOTHER_GRAIN = "another grain: most of what was named is gone, and something else is there"
OTHER_NAMES = "other names: most of what was named is gone, and as much else is there"
NEW_NAMES = "other names: many that the interval before hadn't"
UNKNOWN_KEYS = "unknown keys"
NOTATION = "written otherwise: "
NAMES_TOLD = 3
HALF = 0.5
"""The share of surplus rows from which on new names may belong to them."""


class EvaluatedPartition(msgspec.Struct, frozen=True):
    """A partition to be evaluated, with its metrics and its context."""

    key: str
    metrics: Metrics
    content_hash: str | None = None
    versions: Sequence[PublishedContent] = ()
    """The published contents of all partitions so far, newest first."""
    sources: int = 20
    """The number of the project's sources; more sources need less probable alarms."""
    peers: Sequence[Peer] = ()
    """Sources of other owners with their numbers of rows."""
    calendar: str = ""
    """The calendar of public holidays (a name from the `holidays` package); empty if unknown."""
    fed: bool = False
    """Whether all inputs of the computation have rows."""


def evaluate_partition(partition: EvaluatedPartition, history: MetricHistory) -> tuple[Fact, ...]:
    """Return the anomalies of a partition, the worst first.

    A partition without rows is anomalous only if about as many rows were computed each time and all
    of its inputs have rows.
    """
    if not partition.metrics.rows:
        gone = fewer(0, history) if partition.fed and settled(partition.key, history) else None
        return () if gone is None else (_fact(gone, partition, frozenset(), "", history),)
    bound = tied_columns(partition.key, partition.metrics, history, history.grain)
    stale = (
        _stale(partition) or _of_another(partition, bound) or _of_other_times(partition, history)
    )
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


def _stale(partition: EvaluatedPartition) -> Fact | None:
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
        observed=f"{unexpected_time_range.first} to {unexpected_time_range.last}",
        strength=_sure(partition) if sure else UNSURE,
        detail="rows of another interval",
        partition=partition.key,
    )


def _sure(partition: EvaluatedPartition) -> float:
    """Return the strength in nats; a few rows may repeat or name another interval by chance."""
    return EXACT * min(1.0, partition.metrics.rows / STALE_ROWS_MIN)


def _cut_off(partition: EvaluatedPartition, history: MetricHistory) -> list[Fact]:
    """Return a fact for a file whose last line has no end although all earlier files had one.

    Such a file may be truncated. It is held only if it also has fewer rows than each of the last
    `ENDS_NEAR` files, since people who edit files by hand also leave out line ends.
    """
    known = history.ends
    if not partition.metrics.open_end or len(known) < ENDS_MIN or any(known):
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
    others = (
        f" and {len(duplicate_rows.apart) - NAMES_TOLD} more"
        if len(duplicate_rows.apart) > NAMES_TOLD
        else ""
    )
    keys = ", ".join(duplicate_rows.apart[:NAMES_TOLD]) + others
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
    """Return the anomalous metrics, without repeated rows and without what other facts explain.

    Truncation and missing groups explain some metrics. Each fact comes with whether missing or
    surplus rows leave it anomalous.
    """
    repeated = 0 if emptied(partition.metrics, history) else partition.metrics.repeated or 0
    rows = partition.metrics.rows - repeated
    values = msgspec.structs.replace(partition.metrics, rows=rows).values()
    anomalies = young_anomalies(partition.key, values, rows, history)
    anomalies += anomalous_metrics(partition.key, values, rows, history, partition.sources)
    steady = multiplied(rows, history) or fewer(rows, history)
    if steady is not None and not any(
        each.metric == steady.metric and each.severity is FactSeverity.HOLD for each in anomalies
    ):
        anomalies = [each for each in anomalies if each.metric != steady.metric] + [steady]
    renamed = recoded_columns(partition.key, partition.metrics, history)
    known = len(history) >= HISTORY_WARN_MIN or settled(partition.key, history)
    facts, explained, lost = _shapes(partition, history, renamed) if known else ([], set(), 0.0)
    if not known and (other := regrained_column(partition.metrics, history)) is not None:
        explained |= {(family, other.column) for family in _OF_NAMES}
        facts.append(_of_another_grain(partition.key, other, FactSeverity.HOLD))
    grained = {fact.column for fact in facts if fact.detail in (OTHER_NAMES, ANOTHER_GRAIN)}
    for names in renamed:
        if names.column not in grained:
            explained |= {(family, names.column) for family in _OF_NAMES}
            facts.append(
                _of_other_list(partition, names)
                if names.listed
                else _of_other_codes(partition, names)
            )
    by = moved(partition.metrics.rows, repeated, anomalies, lost)
    anomalies = [
        each for each in anomalies if (each.metric.family, each.metric.column) not in explained
    ]
    anomalies = [
        each
        for each in anomalies
        if each.metric.family not in explained or remains(each, by, history)
    ]
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


def _is_of_names(fact: Fact, by: MovedRows) -> bool:
    """Return whether no choice of rows explains the fact: other names, other hours."""
    if fact.detail.startswith("category mix"):
        return fact.observed.startswith("none") or by.more < HALF
    return (
        fact.detail.startswith(("hours of the day:", "other names: ", NOTATION))
        or fact.detail == UNKNOWN_KEYS
    )


def _shapes(
    partition: EvaluatedPartition, history: MetricHistory, renamed: Sequence[Recoded]
) -> tuple[list[Fact], set[object], float]:
    """Return facts about the whole partition, what they explain, and the missing share of rows.

    They explain families of metrics, of one column or of all columns. `renamed` are columns whose
    categories have other names only.
    """
    known = len(history) >= HISTORY_HOLD_MIN or settled(partition.key, history)
    severity = FactSeverity.HOLD if known else FactSeverity.WARN
    cut = row_anomalies.truncated_rows(partition.key, partition.metrics, history)
    facts, explained, lost = [], set[object](), 0.0
    if cut is not None:
        lost = cut.missing
        explained |= {*_OF_TIME, *_OF_VOLUME, "share"}
        facts.append(
            Fact(
                kind="volume_anomaly",
                column=cut.column,
                severity=severity,
                expected="rows until the end of the day",
                observed=f"hardly any from {cut.hour}:00 on",
                strength=cut.strength,
                partition=partition.key,
                detail=f"truncated: about {percent(cut.missing)} of the rows are missing",
            )
        )
    for off in shifted_times(partition.metrics, history):
        explained |= {(family, off.column) for family in _OF_TIME}
        facts.append(_of_turned(partition.key, off, severity))
    other_names = {each.column for each in renamed}
    of_groups = [
        each
        for each in _of_groups(partition, history, severity)
        if each[0].column not in other_names
    ]
    of_groups += [
        (_of_missing(partition, each.column, each.gone, each.missing, severity), each.missing)
        for each in renamed
        if each.gone
    ]
    for fact, share in of_groups:
        if cut is not None and fact.kind == "volume_anomaly":
            continue
        lost = max(lost, share)
        explained |= {("share", fact.column), ("distinct", fact.column)}
        facts.append(fact)
    other = regrained_column(partition.metrics, history) if cut is None else None
    if other is not None:
        explained |= {
            "rows",
            *((family, other.column) for family in ("nulls", "distinct", "length")),
        }
        facts.append(_of_another_grain(partition.key, other, severity, lost))
    unknown = list(unknown_keys(partition.metrics, history)) if other is None else []
    for keys in unknown:
        explained |= {(family, keys.column) for family in ("distinct", "length")}
        facts.append(_of_unknown_keys(partition, keys))
    held = any(fact.severity is FactSeverity.HOLD for fact in facts)
    for names in unfamiliar_names(partition.metrics, history) if other is None else ():
        # Missing or renamed rows bring no new names.
        if names.column not in other_names | {keys.column for keys in unknown} and (
            not explained or names.new
        ):
            explained.add(("distinct", names.column))
            facts.append(_of_other_names(partition.key, names, beside=held and bool(lost)))
    for each in emptied_alone(partition.metrics, history):
        explained.add(("nulls", each.column))
        facts.append(_emptied_alone(partition, each, severity))
    return facts, explained, lost


def _of_groups(
    partition: EvaluatedPartition, history: MetricHistory, severity: FactSeverity
) -> Iterator[tuple[Fact, float]]:
    """Return facts for missing, renamed and new groups, each with the missing share of the rows."""
    renamed = set[tuple[str, str]]()
    for gone in categories.missing_groups(partition.metrics, history):
        if not gone.now:
            yield (
                _of_missing(partition, gone.column, (gone.value,), gone.share, severity),
                gone.share,
            )
            continue
        renamed.add((gone.column, gone.now))
        fact = Fact(
            kind="distribution_shift",
            column=gone.column,
            partition=partition.key,
            severity=severity if gone.share >= categories.MISSING_HELD_SHARE else FactSeverity.WARN,
            strength=_by_rows(gone.share, partition),
            expected=f"at least {percent(gone.share)} of the rows with {gone.value!r}",
            observed=f"none, and so many more with {gone.now!r}",
            detail=f"category mix: {gone.value!r} is {gone.now!r}",
        )
        yield fact, 0.0
    for came in categories.new_groups(partition.metrics, history):
        if (came.column, came.value) not in renamed:
            fact = Fact(
                kind="distribution_shift",
                column=came.column,
                severity=severity,
                strength=_by_rows(came.share, partition),
                partition=partition.key,
                expected=f"no {came.value!r}, as ever",
                observed=f"{percent(came.share)} of the rows with it",
                detail=f"category mix: {came.value!r} is new",
            )
            yield fact, 0.0


def _of_missing(
    partition: EvaluatedPartition,
    column: str,
    values: Sequence[str],
    share: float,
    severity: FactSeverity,
) -> Fact:
    """Return the fact that a group has no rows; `values` names it or all that it may be."""
    names = " or ".join(repr(value) for value in values[:NAMES_TOLD])
    names += " or another one" if len(values) > NAMES_TOLD else ""
    return Fact(
        kind="volume_anomaly",
        column=column,
        partition=partition.key,
        strength=_by_rows(share, partition),
        severity=severity if share >= categories.MISSING_HELD_SHARE else FactSeverity.WARN,
        expected=f"at least {percent(share)} of the rows with {names}",
        observed="none",
        detail=f"group missing: {names}",
    )


def _of_other_codes(partition: EvaluatedPartition, results: Recoded) -> Fact:
    if all(_is_same_number(was, now) for was, now in results.names):
        return _of_other_notation(partition, results)
    (was, now), more = results.names[0], len(results.names) - NAMES_TOLD
    names = ", ".join(
        f"{old!r} is {new!r}" if old else f"{new!r} is new"
        for old, new in results.names[:NAMES_TOLD]
    )
    return Fact(
        kind="distribution_shift",
        column=results.column,
        severity=results.severity,
        strength=EXACT,
        partition=partition.key,
        expected=(
            f"{was!r}, as in all deliveries so far"
            if was
            else "the categories of all deliveries so far"
        ),
        observed=(
            f"{now!r} in its place: as many rows, another name"
            if was
            else f"{now!r} and others in their place"
        ),
        detail=f"category mix: {names}{f' and {more} more' if more > 0 else ''}",
    )


def _of_other_notation(partition: EvaluatedPartition, results: Recoded) -> Fact:
    """Return the fact that texts with numbers have another notation."""
    (was, now), more = results.names[0], len(results.names) - NAMES_TOLD
    names = ", ".join(f"{old!r} is {new!r}" for old, new in results.names[:NAMES_TOLD])
    return Fact(
        kind="format_change",
        column=results.column,
        severity=results.severity,
        partition=partition.key,
        strength=EXACT if results.severity is FactSeverity.HOLD else UNSURE,
        expected=f"numbers written as {was!r}, as in all deliveries so far",
        observed=f"the same numbers written as {now!r}",
        detail=f"{NOTATION}{names}{f' and {more} more' if more > 0 else ''}",
    )


def _is_same_number(was: str, now: str) -> bool:
    try:
        return Decimal(was.replace(",", ".")) == Decimal(now.replace(",", "."))
    except InvalidOperation:
        return False


def _of_other_list(partition: EvaluatedPartition, results: Recoded) -> Fact:
    """Return the fact that names changed in a list where each occurs once.

    Which new name replaces which old one is then unknown.
    """
    gone, came = _some([was for was, _ in results.names]), _some([now for _, now in results.names])
    return Fact(
        kind="distribution_shift",
        column=results.column,
        severity=results.severity,
        strength=EXACT,
        partition=partition.key,
        expected=f"{gone}, as in all deliveries so far",
        observed=f"{came} instead",
        detail=f"other names: {came} instead of {gone}",
    )


def _some(values: Sequence[str]) -> str:
    more = len(values) - NAMES_TOLD
    return ", ".join(map(repr, values[:NAMES_TOLD])) + (f" and {more} more" if more > 0 else "")


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


def _of_other_names(key: str, results: Unfamiliar, *, beside: bool) -> Fact:
    """Return the fact that names are new or gone.

    `beside`: the delivery is held for missing rows, so nothing downstream will show whether its
    names are known.
    """
    text = "that the interval before hadn't" if results.new else "of the interval before are gone"
    held = beside and results.new and results.share - results.most >= NEW_MIN
    return Fact(
        kind="distribution_shift",
        column=results.column,
        partition=key,
        severity=FactSeverity.HOLD if held else FactSeverity.WARN,
        strength=EXACT if held else number(nats(results.sigmas)),
        expected=f"at most {percent(results.most)} names {text}",
        observed=f"{percent(results.share)}",
        detail=NEW_NAMES if held else "other names",
    )


def _emptied_alone(
    partition: EvaluatedPartition, nulls: UnsharedNulls, severity: FactSeverity
) -> Fact:
    apart = nulls.nulls - nulls.expected
    return Fact(
        kind="null_spike",
        column=nulls.column,
        severity=severity if apart >= HELD_ALONE else FactSeverity.WARN,
        strength=_by_rows(apart, partition),
        expected=f"{percent(nulls.expected)} nulls, as many as {nulls.other} has, as ever",
        observed=f"{percent(nulls.nulls)} nulls",
        detail=f"without {nulls.other}",
        partition=partition.key,
    )


def _by_rows(share: float, partition: EvaluatedPartition) -> float:
    """Return the strength in nats: each row that never occurs by chance counts."""
    return min(share * partition.metrics.rows, 100.0)


def _of_another_grain(
    key: str, other: Regrained, severity: FactSeverity, lost: float = 0.0
) -> Fact:
    """Return the fact that a column names other things.

    `lost` is the share of missing rows, which may have had names of their own.
    """
    return Fact(
        kind="distribution_shift",
        column=other.column,
        severity=severity,
        strength=EXACT,
        partition=key,
        expected=f"at least {percent(other.least)} of the values of the interval before",
        observed=f"{percent(other.kept)} of them, and {percent(other.new)} of its values are new",
        detail=OTHER_NAMES if other.as_many(lost) else ANOTHER_GRAIN,
    )


def _of_unknown_keys(partition: EvaluatedPartition, keys: UnknownKeys) -> Fact:
    return Fact(
        kind="reference_broken",
        column=keys.column,
        severity=FactSeverity.HOLD,
        strength=_by_rows(keys.share, partition),
        partition=partition.key,
        expected=(
            f"at most {percent(keys.most)} of the rows with keys that the intervals before hadn't"
        ),
        observed=f"{percent(keys.share)} of the rows",
        detail=UNKNOWN_KEYS,
    )


def _sized(
    anomaly: MetricAnomaly, partition: EvaluatedPartition, history: MetricHistory
) -> MetricAnomaly:
    """Return the anomaly with a hold reduced to a warning unless its shape is that of a fault."""
    if anomaly.severity is not FactSeverity.HOLD:
        return anomaly
    moves_on_holidays = (
        anomaly.metric.family in _OF_RHYTHM
        and abs(anomaly.off) < ON_HOLIDAYS * limits(anomaly.metric.family).hold
    )
    if (
        moves_on_holidays
        and not _is_steady(anomaly)
        and near_holiday(partition.key, history.grain, partition.calendar)
    ):
        return anomaly._replace(severity=FactSeverity.WARN)
    about = [
        MetricId(family, anomaly.metric.column)
        for family in ("spread", "location", "negative", "zero")
    ]
    usual = {metric: value for metric in about if (value := history.usual(metric)) is not None}
    highest = max(history.series(anomaly.metric).values, default=anomaly.expected)
    is_fault = has_faulty_shape(
        anomaly, partition.metrics.columns.get(anomaly.metric.column), usual, highest
    )
    return anomaly if is_fault else anomaly._replace(severity=FactSeverity.WARN)


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
    moves = [anomaly.off for anomaly in anomalies if anomaly.metric.family == "location"]
    gradual = {"location"} if moves and max(moves) - min(moves) > ONE_FACTOR else set()
    gradual |= (
        {"zero"} if sum(anomaly.metric.family == "zero" for anomaly in anomalies) > 1 else set()
    )
    rows = next((anomaly.off for anomaly in anomalies if anomaly.metric.family == "rows"), 0.0)
    return [
        (
            anomaly._replace(severity=FactSeverity.WARN)
            if anomaly.metric.family in gradual and not _is_steady(anomaly)
            else anomaly
        )
        for anomaly in anomalies
        if not (anomaly.metric.family == "distinct" and rows * anomaly.off > 0)
    ]


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
            *_OF_TIME,
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
