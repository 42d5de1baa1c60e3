"""What a cause turns out to be by what it brings about."""

from __future__ import annotations

from headrace.observe.diagnosis.candidates import Candidate
from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Family
from headrace.observe.diagnosis.rules import BY_KIND

_PARTNERS = (Family.NULLS, Family.REFERENCE)


def refined(one: Candidate) -> Candidate:
    """Where joins further down lost their partners over it, it has other keys than before."""
    if one.said is None and _has_other_keys(one) and any(each.family in _PARTNERS for each in one.symptoms):
        one.rule = BY_KIND[CauseKind.REFERENCE_BROKEN]
    return one


def _has_other_keys(one: Candidate) -> bool:
    """Reference data written over, or other names than there ever were in one column."""
    if one.kind is CauseKind.RESTATEMENT:
        return not one.partitions
    return one.kind is CauseKind.DISTRIBUTION_SHIFT and any(
        "distinct" in each.observed or "grain" in each.detail or "names" in each.detail for each in one.own
    )
