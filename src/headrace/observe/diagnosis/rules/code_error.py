"""A body fails, or what it gives out is odd since it was changed, though what goes in isn't."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.details import FailureCategory, failure_of
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.diagnosis.rules.rule import BROKEN, CONTENT, Covers, NodeEvidence, Rule

_NOT_OF_CODE = (
    FailureCategory.UNREACHABLE,
    FailureCategory.DENIED,
    FailureCategory.CONFIGURED,
    FailureCategory.MEMORY,
    FailureCategory.SPACE,
    FailureCategory.LIMIT,
)
CRASHES_MIN = 2
"""A worker that is lost once is a machine's; the same again after a change is the code's, unless that has computed
other partitions."""


def _own(evidence: Evidence, place: NodeEvidence) -> float:
    if evidence.kind == CauseKind.CODE_ERROR:
        return 1.0
    if place.is_source:
        return (
            float(
                evidence.family is Family.ERROR
                and not evidence.kind
                and failure_of(evidence) not in (*_NOT_OF_CODE, FailureCategory.UNREADABLE)
            )
            * 0.5
        )
    if evidence.family is Family.ERROR:
        return float(not evidence.kind and failure_of(evidence) not in _NOT_OF_CODE)
    if evidence.family is Family.LOST:
        return float(_since_untried(evidence, place) and sum(other.family is Family.LOST for other in place.evidence) >= CRASHES_MIN)
    return float((evidence.family in CONTENT or evidence.family in (Family.TYPE, Family.SCHEMA)) and place.rewritten(evidence))


def _since_untried(evidence: Evidence, place: NodeEvidence) -> bool:
    """Whether a worker was lost after a change whose code has computed nothing: code that computes other partitions doesn't
    end its workers by itself."""
    newest = max((change for change in place.bodies if change.at_us <= evidence.at_us), key=lambda change: change.at_us, default=None)
    return newest is not None and not newest.proven


def _opens(evidence: Evidence, place: NodeEvidence) -> bool:
    """Held, or odd in what the new body gives out while nothing odd goes in: that is no coincidence, however weak by itself."""
    return evidence.held or place.rewritten(evidence)


RULE = Rule(CauseKind.CODE_ERROR, _own, Covers.PARTITION, frozenset({*BROKEN, Family.ARRIVAL}), opens=_opens)
