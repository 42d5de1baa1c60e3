"""What is exported can't be written where it should be."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.details import Failure, failure_of
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.diagnosis.rules.rule import ABSENT, Covers, Place, Rule, is_declared_wrongly

_OTHERS = (Failure.DENIED, Failure.CONFIGURED, Failure.SPACE, Failure.MEMORY, Failure.LIMIT)
"""What other rules speak for."""


def _own(one: Evidence, _place: Place) -> float:
    if one.kind:
        return float(one.kind == CauseKind.DESTINATION_UNAVAILABLE)
    return float(one.family is Family.EXPORT and failure_of(one) not in _OTHERS and not is_declared_wrongly(one))


RULE = Rule(CauseKind.DESTINATION_UNAVAILABLE, _own, Covers.NODE, ABSENT)
