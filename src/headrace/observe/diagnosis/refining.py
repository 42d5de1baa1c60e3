"""What a cause turns out to be by what it brings about."""

from __future__ import annotations

from headrace.observe.diagnosis.candidates import CauseCandidate
from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.details import detail_of
from headrace.observe.diagnosis.evidence import Family
from headrace.observe.diagnosis.graph import CauseGraph
from headrace.observe.diagnosis.rules import BY_KIND

OTHER_NAMES = "other names"
"""Details of held values of which few were there before, and as many others are."""
_PARTNERS = (Family.NULLS, Family.REFERENCE)


def refined(candidate: CauseCandidate, graph: CauseGraph) -> CauseCandidate:
    """Where joins further down lost their partners over it, or would have if it weren't held, it has
    other keys than before."""
    if candidate.said is None and _has_other_keys(candidate) and (_lost_partners(candidate) or _would_lose_them(candidate, graph)):
        candidate.rule = BY_KIND[CauseKind.REFERENCE_BROKEN]
    return candidate


def _lost_partners(candidate: CauseCandidate) -> bool:
    return any(each.family in _PARTNERS for each in candidate.symptoms)


def _would_lose_them(candidate: CauseCandidate, graph: CauseGraph) -> bool:
    """Whether a delivery is held for other names in a column that something is joined by."""
    keys = {each.column for each in candidate.own if each.held and detail_of(candidate.kind, [each]) == OTHER_NAMES}
    return graph.joined_by(candidate.node, keys)


def _has_other_keys(candidate: CauseCandidate) -> bool:
    """Reference data written over, or other names than there ever were in one column."""
    if candidate.kind is CauseKind.RESTATEMENT:
        return not candidate.partitions
    return candidate.kind is CauseKind.DISTRIBUTION_SHIFT and any(
        "distinct" in each.observed or "grain" in each.detail or "names" in each.detail for each in candidate.own
    )
