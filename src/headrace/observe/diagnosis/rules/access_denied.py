"""A source or a target answers that we may not: 401, 403, an expired token, no permission."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.details import FailureCategory, failure_of
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.diagnosis.rules.rule import ABSENT, Covers, NodeEvidence, Rule


def _own(one: Evidence, _place: NodeEvidence) -> float:
    if one.kind:
        return float(one.kind == CauseKind.ACCESS_DENIED)
    return float(one.family in (Family.ACCESS, Family.ERROR, Family.EXPORT) and failure_of(one) is FailureCategory.DENIED)


RULE = Rule(CauseKind.ACCESS_DENIED, _own, Covers.NODE, ABSENT)
