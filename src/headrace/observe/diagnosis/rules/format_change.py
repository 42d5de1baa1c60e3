"""Another encoding, delimiter, date format: the file can't be read as it used to be, or reads as something else."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.details import FailureCategory, failure_of
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.diagnosis.rules.rule import BROKEN, Covers, NodeEvidence, Rule, certain


def _own(evidence: Evidence, place: NodeEvidence) -> float:
    if evidence.kind:
        return float(evidence.kind == CauseKind.FORMAT_CHANGE)
    unread = place.is_source and evidence.family in (Family.ERROR, Family.CHECK) and failure_of(evidence) is FailureCategory.UNREADABLE
    return float(unread)


RULE = Rule(CauseKind.FORMAT_CHANGE, _own, Covers.PARTITION, BROKEN, opens=certain)
