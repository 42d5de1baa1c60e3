"""Facts about named things: groups, codes, keys and nulls that are new, gone or renamed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation

from headrace.checks.anomalies import categories
from headrace.checks.anomalies.categories import Recoded
from headrace.checks.anomalies.columns import HELD as HELD_ALONE
from headrace.checks.anomalies.columns import (
    NEW_MIN,
    Regrained,
    Unfamiliar,
    UnknownKeys,
    UnsharedNulls,
)
from headrace.checks.anomalies.evaluated_partition import NAMES_TOLD, UNSURE, EvaluatedPartition
from headrace.checks.anomalies.expectations import nats
from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.anomalies.metric_anomalies import EXACT, number, percent
from headrace.checks.facts import Fact, FactSeverity
from headrace.model.texts import quoted
from headrace.model.wording import few

ANOTHER_GRAIN = "another grain: most of what was named is gone, and something else is there"
OTHER_NAMES = "other names: most of what was named is gone, and as much else is there"
NEW_NAMES = "other names: many that the interval before hadn't"
UNKNOWN_KEYS = "unknown keys"
NOTATION = "written otherwise: "


def of_groups(
    partition: EvaluatedPartition, history: MetricHistory, severity: FactSeverity
) -> Iterator[tuple[Fact, float]]:
    """Return facts for missing, renamed and new groups, each with the missing share of the rows."""
    renamed = set[tuple[str, str]]()
    for gone in categories.missing_groups(partition.metrics, history):
        if not gone.now:
            yield (
                of_missing(partition, gone.column, (gone.value,), gone.share, severity),
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
            expected=f"at least {percent(gone.share)} of the rows with {quoted(gone.value)}",
            observed=f"none, and so many more with {quoted(gone.now)}",
            detail=f"category mix: {quoted(gone.value)} is {quoted(gone.now)}",
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
                expected=f"no {quoted(came.value)}, as ever",
                observed=f"{percent(came.share)} of the rows with it",
                detail=f"category mix: {quoted(came.value)} is new",
            )
            yield fact, 0.0


def of_missing(
    partition: EvaluatedPartition,
    column: str,
    values: Sequence[str],
    share: float,
    severity: FactSeverity,
) -> Fact:
    """Return the fact that a group has no rows; `values` names it or all that it may be."""
    names = " or ".join(quoted(value) for value in values[:NAMES_TOLD])
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


def of_other_codes(partition: EvaluatedPartition, results: Recoded) -> Fact:
    """Return the fact that other codes stand for the same things."""
    if all(_is_same_number(was, now) for was, now in results.names):
        return _of_other_notation(partition, results)
    (was, now), more = results.names[0], len(results.names) - NAMES_TOLD
    names = ", ".join(
        f"{quoted(old)} is {quoted(new)}" if old else f"{quoted(new)} is new"
        for old, new in results.names[:NAMES_TOLD]
    )
    return Fact(
        kind="distribution_shift",
        column=results.column,
        severity=results.severity,
        strength=EXACT,
        partition=partition.key,
        expected=(
            f"{quoted(was)}, as in all deliveries so far"
            if was
            else "the categories of all deliveries so far"
        ),
        observed=(
            f"{quoted(now)} in its place: as many rows, another name"
            if was
            else f"{quoted(now)} and others in their place"
        ),
        detail=f"category mix: {names}{f' and {more} more' if more > 0 else ''}",
    )


def _of_other_notation(partition: EvaluatedPartition, results: Recoded) -> Fact:
    """Return the fact that texts with numbers have another notation."""
    (was, now), more = results.names[0], len(results.names) - NAMES_TOLD
    names = ", ".join(f"{quoted(old)} is {quoted(new)}" for old, new in results.names[:NAMES_TOLD])
    return Fact(
        kind="format_change",
        column=results.column,
        severity=results.severity,
        partition=partition.key,
        strength=EXACT if results.severity is FactSeverity.HOLD else UNSURE,
        expected=f"numbers written as {quoted(was)}, as in all deliveries so far",
        observed=f"the same numbers written as {quoted(now)}",
        detail=f"{NOTATION}{names}{f' and {more} more' if more > 0 else ''}",
    )


def _is_same_number(was: str, now: str) -> bool:
    try:
        return Decimal(was.replace(",", ".")) == Decimal(now.replace(",", "."))
    except InvalidOperation:
        return False


def of_other_list(partition: EvaluatedPartition, results: Recoded) -> Fact:
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
    return few(list(map(quoted, values)), NAMES_TOLD)


def of_other_names(key: str, results: Unfamiliar, *, beside: bool) -> Fact:
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


def of_nulls_alone(
    partition: EvaluatedPartition, nulls: UnsharedNulls, severity: FactSeverity
) -> Fact:
    """Return the fact that a column has nulls that its usual partner hasn\'t."""
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


def of_another_grain(key: str, other: Regrained, severity: FactSeverity, lost: float = 0.0) -> Fact:
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
        observed=(
            f"{percent(other.recurring_share)} of them, and {percent(other.new)} of its values"
            " are new"
        ),
        detail=OTHER_NAMES if other.as_many(lost) else ANOTHER_GRAIN,
    )


def of_unknown_keys(partition: EvaluatedPartition, keys: UnknownKeys) -> Fact:
    """Return the fact that too many rows have keys that earlier intervals hadn\'t."""
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
