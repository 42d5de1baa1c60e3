"""Another encoding, delimiter, date format: the file can't be read as it used to be, or reads as something else."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.details import FailureCategory, failure_of
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.diagnosis.rules.rule import BROKEN, Covers, NodeEvidence, Rule, certain


def _own(one: Evidence, place: NodeEvidence) -> float:
    if one.kind:
        return float(one.kind == CauseKind.FORMAT_CHANGE)
    unread = place.is_source and one.family in (Family.ERROR, Family.CHECK) and failure_of(one) is FailureCategory.UNREADABLE
    return float(unread)


RULE = Rule(CauseKind.FORMAT_CHANGE, _own, Covers.PARTITION, BROKEN, opens=certain)
