"""A source can't be looked at: refused, timed out, no such host, 5xx."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.details import FailureCategory, failure_of
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.diagnosis.rules.rule import ABSENT, Covers, NodeEvidence, Rule


def _own(evidence: Evidence, _place: NodeEvidence) -> float:
    if evidence.kind:
        return float(evidence.kind == CauseKind.SOURCE_UNAVAILABLE)
    failure = failure_of(evidence)
    if evidence.family is Family.ACCESS:
        return float(failure not in (FailureCategory.DENIED, FailureCategory.CONFIGURED))
    return float(evidence.family is Family.ERROR and failure is FailureCategory.UNREACHABLE)


RULE = Rule(CauseKind.SOURCE_UNAVAILABLE, _own, Covers.NODE, ABSENT)
