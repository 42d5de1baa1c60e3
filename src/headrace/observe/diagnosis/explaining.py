"""Whether a cause further up explains what is seen at a node: in time, along columns, in the partitions, in the right family."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.observe.diagnosis.candidates import CauseCandidate, began
from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.columns import ALL
from headrace.observe.diagnosis.details import NO_WORKER, times_of
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.diagnosis.graph import CauseGraph
from headrace.observe.diagnosis.reaching import OF_ROWS, CauseReach
from headrace.observe.diagnosis.rules import BY_KIND
from headrace.observe.diagnosis.rules.rule import ABSENT, CLOCK_US

FADES = 0.9
"""What is explained over one more step is worth so much less."""


MUCH_MORE = 2.0
"""So many times the rows may take more memory and time than there is."""
_OF_SIZE = frozenset({*OF_ROWS, CauseKind.DISTRIBUTION_SHIFT})
"""What takes more time and memory where there are more rows, or larger values."""
_ABOUT = {
    "null_spike": Family.NULLS, "distribution_shift": Family.CHECK, "volume_anomaly": Family.VOLUME, "duplicate_rows": Family.DUPLICATES,
    "reference_broken": Family.REFERENCE, "stale_data": Family.STALE,
}  # fmt: skip
"""What a check that failed is about; one of values may be about anything."""


def score(graph: CauseGraph, cause: CauseCandidate, reach: CauseReach | None, evidence: Evidence) -> float:
    """How well a cause that lies above it explains evidence: 0, not at all, to 1. Without `reach` it reaches everything."""
    if evidence.id in cause.known:
        return 1.0
    if evidence.family is Family.RESTATED and evidence.node == cause.node:  # what corrects something is no evidence: it isn't gathered
        return 0.0
    if cause.rule is None or cause.began_us > evidence.at_us + CLOCK_US or not _shows(cause, evidence):
        return 0.0
    if reach is None:
        return 1.0
    missed = _is_missed(cause, evidence)
    if not reach.covers(evidence.partition) or not (missed or _in_columns(graph, reach, evidence)):
        return 0.0
    alike = 1.0 if evidence.kind == cause.kind or missed else 0.9
    named = 1.0 if cause.columns else 0.8
    return float(alike * named * FADES ** min(reach.hops, 4))


def may_show(cause: CauseCandidate, seen: Iterable[Evidence]) -> bool:
    """Whether a cause could explain anything that looks like this, wherever and whenever it is seen."""
    return bool(cause.known) or (cause.rule is not None and any(_shows(cause, evidence) for evidence in seen))


_SEEN_BY_READERS = (CauseKind.REPORTED, CauseKind.DATA_CORRUPTED)
"""What is wrong with what was published, although nothing of it was published with a warning."""


def _in_columns(graph: CauseGraph, reach: CauseReach, evidence: Evidence) -> bool:
    if not evidence.column or reach.columns == ALL:
        return bool(reach.columns)
    return bool(reach.columns & graph.bits(evidence.node, (evidence.column,)))


def _shows(cause: CauseCandidate, evidence: Evidence) -> bool:
    """Whether a cause shows itself in what a piece of evidence is about."""
    if cause.kind is CauseKind.RUNTIME_DOWN:
        return evidence.family in BY_KIND[cause.kind].shows_in and _meanwhile(cause, evidence)
    if evidence.kind == CauseKind.DEADLINE_INFEASIBLE:
        return cause.kind is CauseKind.SLOW_RUN
    if _is_missed(cause, evidence):
        return True
    if cause.own and cause.kind not in _SEEN_BY_READERS and not cause.is_published:
        return False
    shows_in = BY_KIND[cause.kind].shows_in
    if evidence.family in (Family.RESOURCES, Family.DURATION) and cause.kind in _OF_SIZE:
        return evidence.family in shows_in and times_of(cause.own) >= MUCH_MORE
    if cause.kind is CauseKind.VOLUME_ANOMALY and not _same_way(cause, evidence):
        return False
    return evidence.family in shows_in and _about(evidence) in shows_in


def _same_way(cause: CauseCandidate, evidence: Evidence) -> bool:
    """More rows make no fewer, and lose no keys; fewer don't make more."""
    more = times_of(cause.own) > 1
    if _about(evidence) is Family.VOLUME and (times := times_of([evidence])) != 1:
        return (times > 1) == more
    return not more or _about(evidence) not in (Family.REFERENCE, Family.NULLS)


def _is_missed(cause: CauseCandidate, evidence: Evidence) -> bool:
    """Whether what is seen is that the rows aren't there that a cause keeps from readers."""
    return cause.is_held and _about(evidence) in (Family.ARRIVAL, Family.STALE) and evidence.family in ABSENT


def _about(evidence: Evidence) -> Family:
    """What a piece of evidence is about: of a check that failed, what it looks at."""
    return _ABOUT.get(evidence.kind, evidence.family) if evidence.family is Family.CHECK else evidence.family


def _meanwhile(cause: CauseCandidate, evidence: Evidence) -> bool:
    """What was due while nobody was there; what a source doesn't have when it is looked at again is missing all the same. As long as
    no worker starts that isn't over. A run that only began when somebody was there again has its own cause."""
    lasting = any(each.detail == NO_WORKER for each in cause.own)
    ended = evidence.at_us if lasting else max((each.at_us for each in cause.own), default=cause.began_us)
    due = evidence.kind == CauseKind.DEADLINE_INFEASIBLE or evidence.family is not Family.ARRIVAL
    until = ended + CLOCK_US if lasting or evidence.family is Family.ARRIVAL else ended - 1
    return due and cause.began_us - CLOCK_US <= began(evidence) <= until
