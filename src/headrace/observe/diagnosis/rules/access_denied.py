"""A source or a target answers that we may not: 401, 403, an expired token, no permission."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.details import FailureCategory, failure_of
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.diagnosis.rules.rule import ABSENT, Covers, NodeEvidence, Rule


def _own(evidence: Evidence, _place: NodeEvidence) -> float:
    if evidence.kind:
        return float(evidence.kind == CauseKind.ACCESS_DENIED)
    return float(evidence.family in (Family.ACCESS, Family.ERROR, Family.EXPORT) and failure_of(evidence) is FailureCategory.DENIED)


RULE = Rule(CauseKind.ACCESS_DENIED, _own, Covers.NODE, ABSENT)
