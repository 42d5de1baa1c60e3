"""No memory, no disk, a process's limit: the machine's, or one that was set."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.details import FailureCategory, failure_of
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.diagnosis.rules.rule import Covers, NodeEvidence, Rule

_LIMITS = (FailureCategory.MEMORY, FailureCategory.SPACE, FailureCategory.LIMIT)


def _own(evidence: Evidence, _place: NodeEvidence) -> float:
    if evidence.kind:
        return float(evidence.kind == CauseKind.RESOURCE_EXHAUSTED)
    return float(
        evidence.family is Family.RESOURCES
        or (evidence.family in (Family.ERROR, Family.LOST, Family.EXPORT) and failure_of(evidence) in _LIMITS)
    )


RULE = Rule(CauseKind.RESOURCE_EXHAUSTED, _own, Covers.PARTITION, frozenset({Family.ARRIVAL}))
