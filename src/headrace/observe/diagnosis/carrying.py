"""Incidents that are open: what they explained stays theirs, also after the evidence that they were made of is gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from headrace.observe.diagnosis.candidates import Candidate
from headrace.observe.diagnosis.causes import Cause
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.diagnosis.rules import BY_KIND


def carried(open_causes: Iterable[Cause], evidence: Sequence[Evidence]) -> list[Candidate]:
    """The open causes of whose own evidence nothing stands, while something that they explained does, or was delivered again: that is
    a correction of what was wrong, and no cause of its own."""
    standing = {one.id for one in evidence}
    restated: dict[str, list[Evidence]] = {}
    for one in evidence:
        if one.family is Family.RESTATED:
            restated.setdefault(one.node, []).append(one)
    found = [(one, frozenset(one.explains) | _corrections(one, restated)) for one in open_causes if standing.isdisjoint(one.own)]
    return [_known(one, known) for one, known in found if not standing.isdisjoint(known)]


def _corrections(cause: Cause, restated: Mapping[str, Sequence[Evidence]]) -> frozenset[str]:
    again = restated.get(cause.node, ())
    return frozenset(one.id for one in again if not cause.partitions or not one.partition or one.partition in cause.partitions)


def _known(cause: Cause, known: frozenset[str]) -> Candidate:
    return Candidate(
        BY_KIND.get(cause.kind), cause.node, [], chosen=True, columns=frozenset(cause.columns), partitions=frozenset(cause.partitions),
        began_us=cause.began_us, known=known, said=cause,
    )  # fmt: skip
