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
    known = {evidence: number for number, one in enumerate(open_causes) for evidence in one.own}
    merged: dict[CauseCandidate, CauseCandidate | None] = {}
    for group in alike(causes, graph):
        of = {known.get(one.own[0].id) for one in group}
        if len({one.node for one in group}) >= _least(group[0]) or (len(group) > 1 and of != {None} and len(of) == 1):
            merged |= {group[0]: _merged(group), **dict.fromkeys(group[1:])}
    return [found for one in causes if (found := merged.get(one, one)) is not None]


def alike(causes: Sequence[CauseCandidate], graph: CauseGraph) -> Iterator[list[CauseCandidate]]:
    """Causes that show the same at one time, together."""
    groups: dict[Hashable, list[CauseCandidate]] = {}
    many = Counter(one.kind for one in causes)
    for one in causes:
        mark = one.kind if many[one.kind] > FLOOD and one.said is None else _shares(one, graph)
        if mark is not None:
            groups.setdefault(mark, []).append(one)
    for group in groups.values():
        together = _lacks(group[0]) or all(map(_no_connection, group))
        yield from [group] if together else _at_one_time(group)


def in_unrelated(causes: Sequence[CauseCandidate], graph: CauseGraph) -> set[CauseCandidate]:
    """Those that fail alike, at one time, in so many nodes that nothing that goes into all of them can be why; and what lacks something
    that it runs in."""
    found: set[CauseCandidate] = {one for one in causes if _lacks(one)}
    for group in alike(causes, graph):
        nodes = {one.node for one in group}
        if len(nodes) >= NODES_MIN and nodes <= graph.nodes.keys() and not graph.common_sources(nodes):
            found.update(group)
    return found


def _least(one: CauseCandidate) -> int:
    """How many nodes it takes that show the same."""
    return MACHINE_MIN if one.kind in _MACHINE or _lacks(one) or _of_host(one) else NODES_MIN


def _of_host(one: CauseCandidate) -> bool:
    """Whether it is seen in looks at a host: what two sources of it show at one time is the host's."""
    return one.kind in _OUTSIDE and any(each.host for each in one.own)


def _no_connection(one: CauseCandidate) -> bool:
    """Whether a host doesn't answer at all, or asked to be left alone: then it is so for all that is there, whenever each is
    looked at."""
    if one.kind is not CauseKind.SOURCE_UNAVAILABLE or not one.own:
        return False
    first = one.own[0]
    return _of_host(one) and (first.detail in _PAUSED or _UNANSWERED.search(first.observed) is not None)


def _lacks(one: CauseCandidate) -> bool:
    """Whether what it runs in lacks something: that is so for all that run there, whenever their turn comes."""
    return one.kind is CauseKind.CODE_ERROR and bool(one.own) and failure_of(one.own[0]) is FailureCategory.ENVIRONMENT


def _shares(one: CauseCandidate, graph: CauseGraph) -> Hashable:
    """What a cause may have in common with others; None for nothing."""
    host = next((each.host for each in one.own if each.host), "")
    if one.said is not None or not one.own:
        return None
    if one.kind is CauseKind.RESOURCE_EXHAUSTED and failure_of(one.own[0]) is FailureCategory.SPACE:
        return (one.kind, host)
    if (one.kind in _OUTSIDE or one.kind in _MACHINE) and host:
        return (one.kind, host)
    if one.kind in _LATE:
        owner = graph.owner(one.node)
        return (_LATE, owner) if owner else None
    if one.kind is CauseKind.CODE_ERROR or one.own[0].family is Family.ERROR:
        return (one.kind, failure_of(one.own[0]), one.own[0].error_kind, error_without_figures(one.own[0].observed))
    return None


def error_without_figures(text: str) -> str:
    """A message without what differs from node to node: the same error in many of them."""
    return "".join(letter for letter in text if not letter.isdigit())[:80]


def _at_one_time(group: Iterable[CauseCandidate]) -> list[list[CauseCandidate]]:
    """Apart where more time lies between one and the next than clocks disagree by."""
    found: list[list[CauseCandidate]] = []
    for one in sorted(group, key=lambda one: one.began_us):
        if found and one.began_us - found[-1][-1].began_us <= CLOCK_US:
            found[-1].append(one)
        else:
            found.append([one])
    return found


def _merged(near: Sequence[CauseCandidate]) -> CauseCandidate:
    first = near[0]
    names = sorted({one.node for one in near} - {first.node})
    first.nodes = tuple(names)
    for other in near[1:]:
        first.own += other.own
        first.symptoms += other.symptoms
        first.partitions = first.partitions | other.partitions if first.partitions and other.partitions else frozenset()
    first.columns = frozenset()
    return first
