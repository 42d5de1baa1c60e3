"""A delivery isn't there, and somebody was promised what is made of it by now."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.diagnosis.rules.rule import ABSENT, Covers, NodeEvidence, Rule


def _own(evidence: Evidence, place: NodeEvidence) -> float:
    if evidence.kind == CauseKind.MISSING_SOURCE:
        return 1.0
    late = evidence.family is Family.ARRIVAL and evidence.kind in ("", CauseKind.LATE_SOURCE)
    return float(late and any(other.kind == CauseKind.MISSING_SOURCE for other in place.evidence))


RULE = Rule(CauseKind.MISSING_SOURCE, _own, Covers.ITSELF, ABSENT)
