"""What was declared can't work: a place that isn't there, a connection that nobody declared, a check that a sound node fails since it
was written."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.details import FailureCategory, failure_of
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.diagnosis.rules.rule import ABSENT, Covers, NodeEvidence, Rule, is_declared_wrongly

_OF_DECLARATIONS = frozenset({Family.ACCESS, Family.ARRIVAL, Family.ERROR})


def _own(evidence: Evidence, place: NodeEvidence) -> float:
    if evidence.kind == CauseKind.CONFIGURATION_ERROR:
        return 1.0
    failure = failure_of(evidence)
    if not evidence.kind and failure is FailureCategory.CONFIGURED:
        return 1.0
    if evidence.family is Family.SCHEMA:
        return float(
            place.is_source and any(evidence.column in _columns(change) for change in place.declarations if change.at_us <= evidence.at_us)
        )
    if evidence.family is Family.EXPORT:  # a folder that can't be written is the target's, however new its declaration is
        return float(is_declared_wrongly(evidence))
    return float(place.is_source and evidence.family in _OF_DECLARATIONS and place.redeclared(evidence))


def _columns(change: Evidence) -> tuple[str, ...]:
    """The columns that a change of a declaration adds, drops or gives another type: only these can a delivery lack over it. Names that
    are accepted for columns that there were change none."""
    return tuple(change.column.split("\n")) if change.column else ()


RULE = Rule(CauseKind.CONFIGURATION_ERROR, _own, Covers.NODE, ABSENT)
