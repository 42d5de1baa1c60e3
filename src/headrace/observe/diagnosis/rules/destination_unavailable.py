"""What is exported can't be written where it should be."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.details import FailureCategory, failure_of
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.diagnosis.rules.rule import ABSENT, Covers, NodeEvidence, Rule, is_declared_wrongly

_OTHERS = (FailureCategory.DENIED, FailureCategory.CONFIGURED, FailureCategory.SPACE, FailureCategory.MEMORY, FailureCategory.LIMIT)
"""What other rules speak for."""


def _own(evidence: Evidence, _place: NodeEvidence) -> float:
    if evidence.kind:
        return float(evidence.kind == CauseKind.DESTINATION_UNAVAILABLE)
    return float(evidence.family is Family.EXPORT and failure_of(evidence) not in _OTHERS and not is_declared_wrongly(evidence))


RULE = Rule(CauseKind.DESTINATION_UNAVAILABLE, _own, Covers.NODE, ABSENT)
