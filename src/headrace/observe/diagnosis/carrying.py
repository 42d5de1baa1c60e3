"""Incidents that are open: what they explained stays theirs, also after the evidence that they were made of is gone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headrace.observe.diagnosis.candidates import CauseCandidate
from headrace.observe.diagnosis.causes import Cause
from headrace.observe.diagnosis.evidence import Evidence
from headrace.observe.diagnosis.rules import BY_KIND


def carried(open_causes: Iterable[Cause], evidence: Sequence[Evidence]) -> list[CauseCandidate]:
    """The open causes of whose own evidence nothing stands, while something that they explained does."""
    standing = {item.id for item in evidence}
    result = (cause for cause in open_causes if standing.isdisjoint(cause.own) and not standing.isdisjoint(cause.explains))
    return [_known(cause, frozenset(cause.explains)) for cause in result]


def _known(cause: Cause, known: frozenset[str]) -> CauseCandidate:
    return CauseCandidate(
        BY_KIND.get(cause.kind), cause.node, [], chosen=True, columns=frozenset(cause.columns), partitions=frozenset(cause.partitions),
        began_us=cause.began_us, known=known, said=cause,
    )  # fmt: skip
