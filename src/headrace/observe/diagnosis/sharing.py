"""Causes that several nodes share: one machine, one vendor, one release. Each is one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence

from headrace.observe.diagnosis.candidates import CauseCandidate
from headrace.observe.diagnosis.causes import Cause, CauseKind
from headrace.observe.diagnosis.details import FailureCategory, failure_of
from headrace.observe.diagnosis.evidence import Family
from headrace.observe.diagnosis.graph import CauseGraph
from headrace.observe.diagnosis.rules.rule import CLOCK_US

NODES_MIN = 3
"""So many nodes that show the same at the same time have it from something that they share."""
MACHINE_MIN = 2
"""A machine that fails takes all with it that works on it, and so does a host that doesn't answer: two at once are enough."""
FLOOD = 200
"""More causes of one kind than this at once are no causes: they are shown as one."""
_OUTSIDE = (CauseKind.SOURCE_UNAVAILABLE, CauseKind.ACCESS_DENIED, CauseKind.DESTINATION_UNAVAILABLE)
_LATE = (CauseKind.LATE_SOURCE, CauseKind.MISSING_SOURCE)
_UNANSWERED = re.compile(
    r"no connection|connection (refused|timed out)|no route to host|name or service not known|could not resolve"
    r"|temporary failure in name resolution|(host|network) is (down|unreachable)",
    re.IGNORECASE,
)
_PAUSED = ("source_throttled", "throttled_too_long")
_MACHINE = (CauseKind.WORKER_LOST, CauseKind.RESOURCE_EXHAUSTED)


def shared(causes: Sequence[CauseCandidate], graph: CauseGraph, open_causes: Iterable[Cause] = ()) -> list[CauseCandidate]:
    """The causes, those that are the same thing merged, in their order. What was one incident stays one, however few are left of it."""
    known = {evidence: number for number, cause in enumerate(open_causes) for evidence in cause.own}
    merged: dict[CauseCandidate, CauseCandidate | None] = {}
    for group in alike(causes, graph):
        of = {known.get(candidate.own[0].id) for candidate in group}
        if len({candidate.node for candidate in group}) >= _least(group[0]) or (len(group) > 1 and of != {None} and len(of) == 1):
            merged |= {group[0]: _merged(group), **dict.fromkeys(group[1:])}
    return [cause_candidate for cause in causes if (cause_candidate := merged.get(cause, cause)) is not None]


def alike(causes: Sequence[CauseCandidate], graph: CauseGraph) -> Iterator[list[CauseCandidate]]:
    """Causes that show the same at one time, together."""
    groups: dict[Hashable, list[CauseCandidate]] = {}
    many = Counter(cause.kind for cause in causes)
    for cause in causes:
        mark = cause.kind if many[cause.kind] > FLOOD and cause.said is None else _shares(cause, graph)
        if mark is not None:
            groups.setdefault(mark, []).append(cause)
    for group in groups.values():
        together = _lacks(group[0]) or all(map(_no_connection, group))
        yield from [group] if together else _at_one_time(group)


def in_unrelated(causes: Sequence[CauseCandidate], graph: CauseGraph) -> set[CauseCandidate]:
    """Those that fail alike, at one time, in so many nodes that nothing that goes into all of them can be why; and what lacks something
    that it runs in."""
    candidates: set[CauseCandidate] = {cause for cause in causes if _lacks(cause)}
    for group in alike(causes, graph):
        nodes = {candidate.node for candidate in group}
        if len(nodes) >= NODES_MIN and nodes <= graph.nodes.keys() and not graph.common_sources(nodes):
            candidates.update(group)
    return candidates


def _least(candidate: CauseCandidate) -> int:
    """How many nodes it takes that show the same."""
    return MACHINE_MIN if candidate.kind in _MACHINE or _lacks(candidate) or _of_host(candidate) else NODES_MIN


def _of_host(candidate: CauseCandidate) -> bool:
    """Whether it is seen in looks at a host: what two sources of it show at one time is the host's."""
    return candidate.kind in _OUTSIDE and any(each.host for each in candidate.own)


def _no_connection(candidate: CauseCandidate) -> bool:
    """Whether a host doesn't answer at all, or asked to be left alone: then it is so for all that is there, whenever each is
    looked at."""
    if candidate.kind is not CauseKind.SOURCE_UNAVAILABLE or not candidate.own:
        return False
    first = candidate.own[0]
    return _of_host(candidate) and (first.detail in _PAUSED or _UNANSWERED.search(first.observed) is not None)


def _lacks(candidate: CauseCandidate) -> bool:
    """Whether what it runs in lacks something: that is so for all that run there, whenever their turn comes."""
    return candidate.kind is CauseKind.CODE_ERROR and bool(candidate.own) and failure_of(candidate.own[0]) is FailureCategory.ENVIRONMENT


def _shares(candidate: CauseCandidate, graph: CauseGraph) -> Hashable:
    """What a cause may have in common with others; None for nothing."""
    host = next((each.host for each in candidate.own if each.host), "")
    if candidate.said is not None or not candidate.own:
        return None
    if candidate.kind is CauseKind.RESOURCE_EXHAUSTED and failure_of(candidate.own[0]) is FailureCategory.SPACE:
        return (candidate.kind, host)
    if (candidate.kind in _OUTSIDE or candidate.kind in _MACHINE) and host:
        return (candidate.kind, host)
    if candidate.kind in _LATE:
        owner = graph.owner(candidate.node)
        return (_LATE, owner) if owner else None
    if candidate.kind is CauseKind.CODE_ERROR or candidate.own[0].family is Family.ERROR:
        return (candidate.kind, failure_of(candidate.own[0]), candidate.own[0].error_kind, error_without_figures(candidate.own[0].observed))
    return None


def error_without_figures(text: str) -> str:
    """A message without what differs from node to node: the same error in many of them."""
    return "".join(letter for letter in text if not letter.isdigit())[:80]


def _at_one_time(group: Iterable[CauseCandidate]) -> list[list[CauseCandidate]]:
    """Apart where more time lies between one and the next than clocks disagree by."""
    results: list[list[CauseCandidate]] = []
    for candidate in sorted(group, key=lambda cause_candidate: cause_candidate.began_us):
        if results and candidate.began_us - results[-1][-1].began_us <= CLOCK_US:
            results[-1].append(candidate)
        else:
            results.append([candidate])
    return results


def _merged(near: Sequence[CauseCandidate]) -> CauseCandidate:
    first = near[0]
    names = sorted({candidate.node for candidate in near} - {first.node})
    first.nodes = tuple(names)
    for other in near[1:]:
        first.own += other.own
        first.symptoms += other.symptoms
        first.partitions = first.partitions | other.partitions if first.partitions and other.partitions else frozenset()
    first.columns = frozenset()
    return first
