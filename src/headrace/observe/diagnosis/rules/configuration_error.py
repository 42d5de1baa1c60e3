"""What was declared can't work: a place that isn't there, a connection that nobody declared, a check that a sound node fails since it
was written."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.details import FailureCategory, failure_of
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.diagnosis.rules.rule import ABSENT, Covers, NodeEvidence, Rule, is_declared_wrongly

_OF_DECLARATIONS = frozenset({Family.ACCESS, Family.ARRIVAL, Family.ERROR})


def _own(one: Evidence, place: NodeEvidence) -> float:
    if one.kind == CauseKind.CONFIGURATION_ERROR:
        return 1.0
    failure = failure_of(one)
    if not one.kind and failure is FailureCategory.CONFIGURED:
        return 1.0
    if one.family is Family.SCHEMA:
        return float(place.is_source and any(one.column in _columns(change) for change in place.declarations if change.at_us <= one.at_us))
    if one.family is Family.EXPORT:  # a folder that can't be written is the target's, however new its declaration is
        return float(is_declared_wrongly(one))
    return float(place.is_source and one.family in _OF_DECLARATIONS and place.redeclared(one))


def _columns(change: Evidence) -> tuple[str, ...]:
    """The columns that a change of a declaration adds, drops or gives another type: only these can a delivery lack over it. Names that
    are accepted for columns that there were change none."""
    return tuple(change.column.split("\n")) if change.column else ()


RULE = Rule(CauseKind.CONFIGURATION_ERROR, _own, Covers.NODE, ABSENT)
