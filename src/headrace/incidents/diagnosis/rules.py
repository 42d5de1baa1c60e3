"""The table of rules, one for each kind of cause.

`RULES` at the end is in order of precedence: if two rules explain the same evidence at one node,
the first applies. Deliberate actions come before faults, missing data before its symptoms, the form
of data before its content. `restatement` follows everything that may be wrong with new content.
Code follows data, since a code error is recognised by a preceding change.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.incidents.diagnosis.evidence import Evidence, FailureCategory, Family, failure_of
from headrace.incidents.diagnosis.rule_terms import (
    ABSENT,
    BROKEN,
    CERTAIN,
    CONTENT,
    Covers,
    NodeEvidence,
    Rule,
    always,
    certain,
    held,
    is_declared_wrongly,
    named,
    rewritten,
)
from headrace.model.causes import CauseKind

# Headrace was down: it explains what became late meanwhile, attempts lost with it, and missed
# observations.

RUNTIME_DOWN = Rule(
    CauseKind.RUNTIME_DOWN,
    named(CauseKind.RUNTIME_DOWN),
    Covers.NODE,
    frozenset({Family.ARRIVAL, Family.DURATION, Family.LOST}),
    opens=always,
)


# Somebody paused a node, so its data is missing.

PAUSED = Rule(CauseKind.PAUSED, named(CauseKind.PAUSED), Covers.ITSELF, ABSENT)


# Work that is ready waits for an approval.

APPROVAL_PENDING = Rule(
    CauseKind.APPROVAL_PENDING, named(CauseKind.APPROVAL_PENDING), Covers.ITSELF, ABSENT
)


# A file of the lake is missing or changed since its publication; downstream failures over it follow
# from that.

DATA_CORRUPTED = Rule(
    CauseKind.DATA_CORRUPTED,
    named(CauseKind.DATA_CORRUPTED),
    Covers.PARTITION,
    BROKEN,
    opens=always,
)


# A person saw that data is wrong. Other anomalies in it, and what is made from it, follow from
# that.

REPORTED = Rule(CauseKind.REPORTED, named(CauseKind.REPORTED), Covers.COLUMNS, BROKEN, opens=always)


# A declaration can't work: a path that doesn't exist, a connection that nobody declared, a check
# that sound data fails since it was written.

_OF_DECLARATIONS = frozenset({Family.ACCESS, Family.ARRIVAL, Family.ERROR})


def _speaks_for_configuration_error(evidence: Evidence, place: NodeEvidence) -> float:
    if evidence.kind == CauseKind.CONFIGURATION_ERROR:
        return 1.0
    failure = failure_of(evidence)
    if not evidence.kind and failure is FailureCategory.CONFIGURED:
        return 1.0
    if evidence.family is Family.SCHEMA:
        return float(
            place.is_source
            and any(
                evidence.column in _declared_columns(change)
                for change in place.declarations
                if change.at_us <= evidence.at_us
            )
        )
    # a folder that can't be written is the target's fault, however new its declaration is
    if evidence.family is Family.EXPORT:
        return float(is_declared_wrongly(evidence))
    return float(
        place.is_source and evidence.family in _OF_DECLARATIONS and place.redeclared(evidence)
    )


def _declared_columns(change: Evidence) -> tuple[str, ...]:
    """Return the columns that a changed declaration adds, drops or gives another type.

    Only these can be missing in a delivery because of it. Accepted names for existing columns
    change none.
    """
    return tuple(change.column.split("\n")) if change.column else ()


CONFIGURATION_ERROR = Rule(
    CauseKind.CONFIGURATION_ERROR, _speaks_for_configuration_error, Covers.NODE, ABSENT
)


# A source or a target refuses access: 401, 403, an expired token, missing permissions.


def _speaks_for_access_denied(evidence: Evidence, _place: NodeEvidence) -> float:
    if evidence.kind:
        return float(evidence.kind == CauseKind.ACCESS_DENIED)
    return float(
        evidence.family in (Family.ACCESS, Family.ERROR, Family.EXPORT)
        and failure_of(evidence) is FailureCategory.DENIED
    )


ACCESS_DENIED = Rule(CauseKind.ACCESS_DENIED, _speaks_for_access_denied, Covers.NODE, ABSENT)


# A source can't be observed: connection refused, timeout, no such host, 5xx.


def _speaks_for_source_unavailable(evidence: Evidence, _place: NodeEvidence) -> float:
    if evidence.kind:
        return float(evidence.kind == CauseKind.SOURCE_UNAVAILABLE)
    failure = failure_of(evidence)
    if evidence.family is Family.ACCESS:
        return float(failure not in (FailureCategory.DENIED, FailureCategory.CONFIGURED))
    return float(evidence.family is Family.ERROR and failure is FailureCategory.UNREACHABLE)


SOURCE_UNAVAILABLE = Rule(
    CauseKind.SOURCE_UNAVAILABLE, _speaks_for_source_unavailable, Covers.NODE, ABSENT
)


# A delivery is missing, and a consumer's deadline has passed without it.


def _speaks_for_missing_source(evidence: Evidence, place: NodeEvidence) -> float:
    if evidence.kind == CauseKind.MISSING_SOURCE:
        return 1.0
    late = evidence.family is Family.ARRIVAL and evidence.kind in ("", CauseKind.LATE_SOURCE)
    return float(late and any(other.kind == CauseKind.MISSING_SOURCE for other in place.evidence))


MISSING_SOURCE = Rule(CauseKind.MISSING_SOURCE, _speaks_for_missing_source, Covers.ITSELF, ABSENT)


# A delivery is missing after its expected time; no consumer's deadline has passed yet.


def _speaks_for_late_source(evidence: Evidence, _place: NodeEvidence) -> float:
    if evidence.kind:
        return float(evidence.kind == CauseKind.LATE_SOURCE)
    return 0.5 * (evidence.family is Family.ARRIVAL)


LATE_SOURCE = Rule(CauseKind.LATE_SOURCE, _speaks_for_late_source, Covers.ITSELF, ABSENT)


# Content that was delivered before, or belongs to another interval. Nothing else about it is
# meaningful.

STALE_DATA = Rule(
    CauseKind.STALE_DATA,
    named(CauseKind.STALE_DATA),
    Covers.PARTITION,
    CONTENT,
    against=rewritten,
    opens=certain,
)


# A delivery that ends the process that reads it. It is quarantined with its bytes and isn't read
# again.

POISON_DELIVERY = Rule(
    CauseKind.POISON_DELIVERY,
    named(CauseKind.POISON_DELIVERY),
    Covers.PARTITION,
    BROKEN,
    opens=certain,
)


# Another encoding, delimiter or date format: the file can't be read as before, or is read as
# something else.


def _speaks_for_format_change(evidence: Evidence, place: NodeEvidence) -> float:
    if evidence.kind:
        return float(evidence.kind == CauseKind.FORMAT_CHANGE)
    unread = (
        place.is_source
        and evidence.family in (Family.ERROR, Family.CHECK)
        and failure_of(evidence) is FailureCategory.UNREADABLE
    )
    return float(unread)


FORMAT_CHANGE = Rule(
    CauseKind.FORMAT_CHANGE, _speaks_for_format_change, Covers.PARTITION, BROKEN, opens=certain
)


# Names of columns differ from the agreed ones; other anomalies of these columns follow from that.

SCHEMA_CHANGE = Rule(
    CauseKind.SCHEMA_CHANGE,
    named(CauseKind.SCHEMA_CHANGE),
    Covers.COLUMNS,
    BROKEN,
    against=rewritten,
    opens=certain,
)


# The names are the same, the values have another type.

TYPE_CHANGE = Rule(
    CauseKind.TYPE_CHANGE,
    named(CauseKind.TYPE_CHANGE),
    Covers.COLUMNS,
    BROKEN,
    against=rewritten,
    opens=certain,
)


# Rows or keys occur more than once.

_DUPLICATE_ROWS_SHOWS_IN = frozenset(
    {
        Family.CHECK,
        Family.DUPLICATES,
        Family.VOLUME,
        Family.DISTRIBUTION,
        Family.RESOURCES,
        Family.DURATION,
    }
)

DUPLICATE_ROWS = Rule(
    CauseKind.DUPLICATE_ROWS,
    named(CauseKind.DUPLICATE_ROWS),
    Covers.ROWS,
    _DUPLICATE_ROWS_SHOWS_IN,
    against=rewritten,
)


# Too few rows or too many; the end of a file or a group of rows is missing.

_VOLUME_ANOMALY_SHOWS_IN = frozenset(
    {
        Family.CHECK,
        Family.VOLUME,
        Family.DISTRIBUTION,
        Family.NULLS,
        Family.REFERENCE,
        Family.RESOURCES,
        Family.DURATION,
    }
)

VOLUME_ANOMALY = Rule(
    CauseKind.VOLUME_ANOMALY,
    named(CauseKind.VOLUME_ANOMALY),
    Covers.ROWS,
    _VOLUME_ANOMALY_SHOWS_IN,
    against=rewritten,
)


# Values are missing that used to be there. After a join that finds nothing it is
# `reference_broken` instead.

_NULL_SPIKE_SHOWS_IN = frozenset({Family.CHECK, Family.NULLS, Family.DISTRIBUTION, Family.VOLUME})


def _speaks_for_null_spike(evidence: Evidence, place: NodeEvidence) -> float:
    return float(evidence.kind == CauseKind.NULL_SPIKE and not place.joins)


NULL_SPIKE = Rule(
    CauseKind.NULL_SPIKE,
    _speaks_for_null_spike,
    Covers.COLUMNS,
    _NULL_SPIKE_SHOWS_IN,
    against=rewritten,
)


# Keys refer to rows that don't exist. Values that are missing only after a join are missing for
# that reason.

_REFERENCE_BROKEN_SHOWS_IN = frozenset(
    {Family.CHECK, Family.REFERENCE, Family.NULLS, Family.VOLUME, Family.DISTRIBUTION}
)
AFTER_A_JOIN = 0.8
STRIKING_NATS = 20.0


def _speaks_for_reference_broken(evidence: Evidence, place: NodeEvidence) -> float:
    if evidence.kind == CauseKind.NULL_SPIKE and place.joins:
        return AFTER_A_JOIN
    return float(evidence.kind == CauseKind.REFERENCE_BROKEN)


def lost_partners(evidence: Evidence, place: NodeEvidence) -> bool:
    """Return whether values are missing after a join to an extent never seen before.

    Held or not makes no difference.
    """
    return place.joins and evidence.family is Family.NULLS and evidence.strength >= STRIKING_NATS


REFERENCE_BROKEN = Rule(
    CauseKind.REFERENCE_BROKEN,
    _speaks_for_reference_broken,
    Covers.COLUMNS,
    _REFERENCE_BROKEN_SHOWS_IN,
    against=rewritten,
    opens=lambda evidence, place: held(evidence, place) or lost_partners(evidence, place),
)


# Values differ from earlier ones: another unit, sign, mix, hour or grain.

_DISTRIBUTION_SHIFT_SHOWS_IN = frozenset(
    {
        Family.CHECK,
        Family.DISTRIBUTION,
        Family.NULLS,
        Family.VOLUME,
        Family.REFERENCE,
        Family.DUPLICATES,
        Family.RESOURCES,
        Family.DURATION,
    }
)

DISTRIBUTION_SHIFT = Rule(
    CauseKind.DISTRIBUTION_SHIFT,
    named(CauseKind.DISTRIBUTION_SHIFT),
    Covers.COLUMNS,
    _DISTRIBUTION_SHIFT_SHOWS_IN,
    against=rewritten,
)


# New content for an interval that was published and sound. Nothing need be wrong with it; if
# something is, that is the cause.

RESTATEMENT = Rule(
    CauseKind.RESTATEMENT,
    named(CauseKind.RESTATEMENT),
    Covers.ITSELF,
    frozenset({*CONTENT, Family.DURATION}),
    opens=always,
    prior=12.0,
)


# No memory, no disk, or a limit of the process: the machine's limit, or a declared one.

_RESOURCE_FAILURES = (FailureCategory.MEMORY, FailureCategory.SPACE, FailureCategory.LIMIT)


def _speaks_for_resource_exhausted(evidence: Evidence, _place: NodeEvidence) -> float:
    if evidence.kind:
        return float(evidence.kind == CauseKind.RESOURCE_EXHAUSTED)
    return float(
        evidence.family is Family.RESOURCES
        or (
            evidence.family in (Family.ERROR, Family.LOST, Family.EXPORT)
            and failure_of(evidence) in _RESOURCE_FAILURES
        )
    )


RESOURCE_EXHAUSTED = Rule(
    CauseKind.RESOURCE_EXHAUSTED,
    _speaks_for_resource_exhausted,
    Covers.PARTITION,
    frozenset({Family.ARRIVAL}),
)


# Asset code fails, or its results are anomalous since it was changed, although its inputs aren't.

_FAILURES_OF_ENVIRONMENT = (
    FailureCategory.UNREACHABLE,
    FailureCategory.DENIED,
    FailureCategory.CONFIGURED,
    FailureCategory.MEMORY,
    FailureCategory.SPACE,
    FailureCategory.LIMIT,
)
CRASHES_MIN = 2
"""From this many losses on, a change is to blame; a single lost worker is the machine's fault.

That holds unless the changed code has computed other partitions.
"""


def _speaks_for_code_error(evidence: Evidence, place: NodeEvidence) -> float:
    if evidence.kind == CauseKind.CODE_ERROR:
        return 1.0
    if place.is_source:
        return (
            float(
                evidence.family is Family.ERROR
                and not evidence.kind
                and failure_of(evidence)
                not in (*_FAILURES_OF_ENVIRONMENT, FailureCategory.UNREADABLE)
            )
            * 0.5
        )
    if evidence.family is Family.ERROR:
        return float(not evidence.kind and failure_of(evidence) not in _FAILURES_OF_ENVIRONMENT)
    if evidence.family is Family.LOST:
        return float(
            _is_lost_to_untried_code(evidence, place)
            and sum(other.family is Family.LOST for other in place.evidence) >= CRASHES_MIN
        )
    return float(
        (evidence.family in CONTENT or evidence.family in (Family.TYPE, Family.SCHEMA))
        and place.rewritten(evidence)
    )


def _is_lost_to_untried_code(evidence: Evidence, place: NodeEvidence) -> bool:
    """Return whether a worker was lost after a change whose code has computed nothing.

    Code that computes other partitions doesn't kill its workers by itself.
    """
    newest = max(
        (change for change in place.bodies if change.at_us <= evidence.at_us),
        key=lambda change: change.at_us,
        default=None,
    )
    return newest is not None and not newest.proven


def _opens_code_error(evidence: Evidence, place: NodeEvidence) -> bool:
    """Return whether evidence is held, or an anomaly in the output of new code.

    With normal inputs, such an anomaly is no coincidence, however weak.
    """
    return held(evidence, place) or place.rewritten(evidence)


CODE_ERROR = Rule(
    CauseKind.CODE_ERROR,
    _speaks_for_code_error,
    Covers.PARTITION,
    frozenset({*BROKEN, Family.ARRIVAL}),
    opens=_opens_code_error,
)


# A worker ended during its work, without reaching a limit.


def _speaks_for_worker_lost(evidence: Evidence, _place: NodeEvidence) -> float:
    return float(
        evidence.kind == CauseKind.WORKER_LOST
        or (not evidence.kind and evidence.family is Family.LOST)
    )


def _limit_was_reached(place: NodeEvidence, own_evidence: Sequence[Evidence]) -> float:
    at = {evidence.partition for evidence in own_evidence}
    return (
        CERTAIN
        if any(
            evidence.family is Family.RESOURCES and evidence.partition in at
            for evidence in place.evidence
        )
        else 0.0
    )


WORKER_LOST = Rule(
    CauseKind.WORKER_LOST,
    _speaks_for_worker_lost,
    Covers.ITSELF,
    frozenset({Family.ARRIVAL}),
    against=_limit_was_reached,
)


# An export can't be written to its target.

_FAILURES_OF_OTHER_RULES = (
    FailureCategory.DENIED,
    FailureCategory.CONFIGURED,
    FailureCategory.SPACE,
    FailureCategory.MEMORY,
    FailureCategory.LIMIT,
)
"""Failures for which other rules speak."""


def _speaks_for_destination_unavailable(evidence: Evidence, _place: NodeEvidence) -> float:
    if evidence.kind:
        return float(evidence.kind == CauseKind.DESTINATION_UNAVAILABLE)
    return float(
        evidence.family is Family.EXPORT
        and failure_of(evidence) not in _FAILURES_OF_OTHER_RULES
        and not is_declared_wrongly(evidence)
    )


DESTINATION_UNAVAILABLE = Rule(
    CauseKind.DESTINATION_UNAVAILABLE, _speaks_for_destination_unavailable, Covers.NODE, ABSENT
)


# Asset code runs much longer than usual, with inputs that are no larger.

SLOW_RUN = Rule(
    CauseKind.SLOW_RUN,
    named(CauseKind.SLOW_RUN),
    Covers.ITSELF,
    frozenset({Family.ARRIVAL}),
    opens=always,
)


# A promise can't be kept with the usual arrivals and durations.

DEADLINE_INFEASIBLE = Rule(
    CauseKind.DEADLINE_INFEASIBLE,
    named(CauseKind.DEADLINE_INFEASIBLE),
    Covers.ITSELF,
    frozenset({Family.ARRIVAL}),
    opens=always,
)


RULES: tuple[Rule, ...] = (
    RUNTIME_DOWN, PAUSED, APPROVAL_PENDING, DATA_CORRUPTED, REPORTED, CONFIGURATION_ERROR,
    ACCESS_DENIED, SOURCE_UNAVAILABLE, MISSING_SOURCE, LATE_SOURCE, STALE_DATA, POISON_DELIVERY,
    FORMAT_CHANGE, SCHEMA_CHANGE, TYPE_CHANGE, DUPLICATE_ROWS, VOLUME_ANOMALY, NULL_SPIKE,
    REFERENCE_BROKEN, DISTRIBUTION_SHIFT, RESTATEMENT, RESOURCE_EXHAUSTED, CODE_ERROR,
    WORKER_LOST, DESTINATION_UNAVAILABLE, SLOW_RUN, DEADLINE_INFEASIBLE,
)  # fmt: skip
BY_KIND: dict[CauseKind, Rule] = {rule.kind: rule for rule in RULES}
