"""A delivery isn't there at the time by which it was expected; nobody has missed it yet."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.diagnosis.rules.rule import ABSENT, Covers, NodeEvidence, Rule


def _own(evidence: Evidence, _place: NodeEvidence) -> float:
    if evidence.kind:
        return float(evidence.kind == CauseKind.LATE_SOURCE)
    return 0.5 * (evidence.family is Family.ARRIVAL)


RULE = Rule(CauseKind.LATE_SOURCE, _own, Covers.ITSELF, ABSENT)
