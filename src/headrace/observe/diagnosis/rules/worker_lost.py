"""A worker ended while it worked, and no limit was reached."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.diagnosis.rules.rule import CERTAIN, Covers, NodeEvidence, Rule


def _own(one: Evidence, _place: NodeEvidence) -> float:
    return float(one.kind == CauseKind.WORKER_LOST or (not one.kind and one.family is Family.LOST))


def _limits(place: NodeEvidence, own: Sequence[Evidence]) -> float:
    at = {one.partition for one in own}
    return CERTAIN if any(one.family is Family.RESOURCES and one.partition in at for one in place.evidence) else 0.0


RULE = Rule(CauseKind.WORKER_LOST, _own, Covers.ITSELF, frozenset({Family.ARRIVAL}), against=_limits)
