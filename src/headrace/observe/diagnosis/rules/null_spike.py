"""Values are missing that used to be there, and not for a join that finds nothing: then it is a broken reference."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.diagnosis.rules.rule import Covers, NodeEvidence, Rule, rewritten

_SHOWS_IN = frozenset({Family.CHECK, Family.NULLS, Family.DISTRIBUTION, Family.VOLUME})


def _own(evidence: Evidence, place: NodeEvidence) -> float:
    return float(evidence.kind == CauseKind.NULL_SPIKE and not place.joins)


RULE = Rule(CauseKind.NULL_SPIKE, _own, Covers.COLUMNS, _SHOWS_IN, against=rewritten)
