"""A worker ended while it worked, and no limit was reached."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.diagnosis.rules.rule import CERTAIN, Covers, NodeEvidence, Rule


def _own(evidence: Evidence, _place: NodeEvidence) -> float:
    return float(evidence.kind == CauseKind.WORKER_LOST or (not evidence.kind and evidence.family is Family.LOST))


def _limits(place: NodeEvidence, own: Sequence[Evidence]) -> float:
    at = {evidence.partition for evidence in own}
    return CERTAIN if any(evidence.family is Family.RESOURCES and evidence.partition in at for evidence in place.evidence) else 0.0


RULE = Rule(CauseKind.WORKER_LOST, _own, Covers.ITSELF, frozenset({Family.ARRIVAL}), against=_limits)
