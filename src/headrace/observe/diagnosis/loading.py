"""What is held of a history that was loaded at once is one cause, whatever its kinds: one list.

It is kept apart from what is seen later: a delivery that arrives afterwards has its own cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from headrace.observe.diagnosis.candidates import CauseCandidate, candidate
from headrace.observe.diagnosis.causes import DATA_CAUSES, CauseKind
from headrace.observe.diagnosis.evidence import Evidence

HISTORY = "held history"
"""The detail of such a cause."""
_APART = (CauseKind.RESTATEMENT, CauseKind.REPORTED, CauseKind.DATA_CORRUPTED)
_KINDS = (DATA_CAUSES - frozenset(_APART)) | {CauseKind.UNKNOWN}
NAMED_MAX = 3
"""At most this many kinds and columns are named in words."""


def split(evidence: Sequence[Evidence]) -> tuple[list[Evidence], list[Evidence]]:
    """What is seen of held deliveries of a history, with their warnings; and the rest."""
    held = {item.partition for item in evidence if item.history}
    return (
        [item for item in evidence if item.partition in held],
        [item for item in evidence if item.partition not in held],
    )


def gathered(candidates: Sequence[CauseCandidate]) -> list[CauseCandidate]:
    """The causes that were found in a history, those of held data gathered into one of the kind of
    the strongest evidence."""
    parts = tuple(
        cause_candidate
        for cause_candidate in candidates
        if cause_candidate.chosen and cause_candidate.is_held and cause_candidate.kind in _KINDS
    )
    if not parts:
        return list(candidates)
    strongest = max(parts, key=lambda cause_candidate: cause_candidate.own[0].strength)
    own = chain.from_iterable(part.own for part in parts)
    cause_candidate = candidate(strongest.rule, strongest.node, own, chosen=True)
    cause_candidate.symptoms = list(chain.from_iterable(part.symptoms for part in parts))
    cause_candidate.history = parts
    return [cause_candidate, *(other for other in candidates if other not in parts)]


def summary(cause_candidate: CauseCandidate) -> str:
    """`4 of 40 intervals of history held: null_spike in amount (3), volume_anomaly (1)`."""
    held = {each.partition for each in cause_candidate.own if each.history}
    of = max(each.history for each in cause_candidate.own)
    by_kind: dict[str, set[str]] = {}
    for part in cause_candidate.history:
        columns = sorted(part.columns)
        where = f" in {_listed(columns)}" if columns else ""
        by_kind.setdefault(f"{part.kind}{where}", set()).update(part.partitions)
    kinds = [f"{kind} ({len(at)})" for kind, at in sorted(by_kind.items(), key=_most)]
    return f"{len(held)} of {of} intervals of history held: {_listed(kinds)}"


def _most(row: tuple[str, set[str]]) -> tuple[int, str]:
    return -len(row[1]), row[0]


def _listed(names: Iterable[str]) -> str:
    words = list(names)
    more = f" and {len(words) - NAMED_MAX} more" if len(words) > NAMED_MAX else ""
    return ", ".join(words[:NAMED_MAX]) + more
