"""Keys refer to what is not there. Where values are missing only after a join, they are missing for that."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.diagnosis.rules.rule import Covers, NodeEvidence, Rule, rewritten

_SHOWS_IN = frozenset({Family.CHECK, Family.REFERENCE, Family.NULLS, Family.VOLUME, Family.DISTRIBUTION})
AFTER_A_JOIN = 0.8
STRIKING_NATS = 20.0


def _own(evidence: Evidence, place: NodeEvidence) -> float:
    if evidence.kind == CauseKind.NULL_SPIKE and place.joins:
        return AFTER_A_JOIN
    return float(evidence.kind == CauseKind.REFERENCE_BROKEN)


def lost_partners(evidence: Evidence, place: NodeEvidence) -> bool:
    """Values that are missing after a join as they never were, whether that was held or not."""
    return place.joins and evidence.family is Family.NULLS and evidence.strength >= STRIKING_NATS


def _opens(evidence: Evidence, place: NodeEvidence) -> bool:
    return evidence.held or lost_partners(evidence, place)


RULE = Rule(CauseKind.REFERENCE_BROKEN, _own, Covers.COLUMNS, _SHOWS_IN, against=rewritten, opens=_opens)
