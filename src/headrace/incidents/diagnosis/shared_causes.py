"""Causes that several nodes share, and failures whose origin is a source further up."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence

from headrace.incidents.diagnosis.candidates import CauseCandidate
from headrace.incidents.diagnosis.evidence import FailureCategory, Family, failure_of
from headrace.incidents.diagnosis.graph import CauseGraph
from headrace.incidents.diagnosis.rules import BY_KIND, CLOCK_US
from headrace.model.causes import DATA_CAUSES, Cause, CauseKind

# Causes that several nodes share (one machine, one host, one vendor, one release) are merged into
# one.

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


def merge_shared(causes: Sequence[CauseCandidate], graph: CauseGraph, open_causes: Iterable[Cause] = ()) -> list[CauseCandidate]:
    """The causes, those that are the same thing merged, in their order. What was one incident stays one, however few are left of it."""
    known = {evidence: number for number, cause in enumerate(open_causes) for evidence in cause.own}
    merged: dict[CauseCandidate, CauseCandidate | None] = {}
    for group in alike_causes(causes, graph):
        of = {known.get(candidate.own[0].id) for candidate in group}
        if len({candidate.node for candidate in group}) >= _least(group[0]) or (len(group) > 1 and of != {None} and len(of) == 1):
            merged |= {group[0]: _merged_causes(group), **dict.fromkeys(group[1:])}
    return [cause_candidate for cause in causes if (cause_candidate := merged.get(cause, cause)) is not None]


def alike_causes(causes: Sequence[CauseCandidate], graph: CauseGraph) -> Iterator[list[CauseCandidate]]:
    """Causes that show the same at one time, together."""
    groups: dict[Hashable, list[CauseCandidate]] = {}
    many = Counter(cause.kind for cause in causes)
    for cause in causes:
        mark = cause.kind if many[cause.kind] > FLOOD and cause.said is None else _sharing_key(cause, graph)
        if mark is not None:
            groups.setdefault(mark, []).append(cause)
    for group in groups.values():
        together = _lacks_environment(group[0]) or all(map(_no_connection, group))
        yield from [group] if together else _at_one_time(group)


def in_unrelated(causes: Sequence[CauseCandidate], graph: CauseGraph) -> set[CauseCandidate]:
    """Those that fail alike, at one time, in so many nodes that nothing that goes into all of them can be why; and what lacks something
    that it runs in."""
    candidates: set[CauseCandidate] = {cause for cause in causes if _lacks_environment(cause)}
    for group in alike_causes(causes, graph):
        nodes = {candidate.node for candidate in group}
        if len(nodes) >= NODES_MIN and nodes <= graph.nodes.keys() and not graph.common_sources(nodes):
            candidates.update(group)
    return candidates


def _least(candidate: CauseCandidate) -> int:
    """How many nodes it takes that show the same."""
    return MACHINE_MIN if candidate.kind in _MACHINE or _lacks_environment(candidate) or _of_host(candidate) else NODES_MIN


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


def _lacks_environment(candidate: CauseCandidate) -> bool:
    """Whether what it runs in lacks something: that is so for all that run there, whenever their turn comes."""
    return candidate.kind is CauseKind.CODE_ERROR and bool(candidate.own) and failure_of(candidate.own[0]) is FailureCategory.ENVIRONMENT


def _sharing_key(candidate: CauseCandidate, graph: CauseGraph) -> Hashable:
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


def _merged_causes(near: Sequence[CauseCandidate]) -> CauseCandidate:
    first = near[0]
    names = sorted({candidate.node for candidate in near} - {first.node})
    first.nodes = tuple(names)
    for other in near[1:]:
        first.own += other.own
        first.symptoms += other.symptoms
        first.partitions = first.partitions | other.partitions if first.partitions and other.partitions else frozenset()
    first.columns = frozenset()
    return first


# Failures further down although nothing was noticed above and nothing was changed: then the
# inputs differ, if the code has ever worked. Several nodes that fail over the same partitions and
# share one source have it from there, unless they fail in different ways of which none is about
# the inputs. A single node that fails because values or names differ from what its code expects,
# and that has one source, has it from that source. If of several nodes that refer to the same
# reference one alone lost its rows, the reference is sound and the keys are different.

TOGETHER_US = 16 * CLOCK_US
"""Nodes that are built from one delivery are built within this time."""
ORPHANS_MAX = 300
"""Of more than this many, none is traced: something else has gone wrong with all."""
_ORDER = {kind: number for number, kind in enumerate(BY_KIND)}
_AT_ITS_PLACE = (CauseKind.REPORTED, CauseKind.DATA_CORRUPTED)
"""What is known to be wrong with the rows of the node itself: somebody says so, or a file of the lake shows it."""
_OF_INPUTS = {FailureCategory.VALUES: CauseKind.TYPE_CHANGE, FailureCategory.NAMES: CauseKind.SCHEMA_CHANGE}


def traced_to_sources(causes: Sequence[CauseCandidate], graph: CauseGraph) -> list[CauseCandidate]:
    """The causes, those that come from what goes in put down to the source that it comes from."""
    orphans = [cause for cause in causes if _is_orphan(cause, graph)]
    elsewhere = in_unrelated([orphan for orphan in orphans if not _fails_over_inputs(orphan)], graph)
    orphans = [orphan for orphan in orphans if orphan not in elsewhere]
    if not orphans or len(orphans) > ORPHANS_MAX:
        return list(causes)
    candidates: dict[CauseCandidate, CauseCandidate | None] = {}
    for group in (part for each in _groups(orphans, graph) for part in _by_error(each)):
        common, kind = graph.common_sources(candidate.node for candidate in group), _first_kind(group)
        if len(group) == 1 and kind is CauseKind.REFERENCE_BROKEN and len(common) > 1:
            common = _with_other_keys(group[0], graph)
            if len(common) == 1:
                candidates[group[0]] = _source_cause(common[0], kind, group)
        elif len(common) == 1 and (len({candidate.node for candidate in group}) > 1 or _fails_over_inputs(group[0])):
            candidates |= {group[0]: _source_cause(common[0], kind, group), **dict.fromkeys(group[1:])}
    return [cause_candidate for each in causes if (cause_candidate := candidates.get(each, each)) is not None]


def _is_orphan(candidate: CauseCandidate, graph: CauseGraph) -> bool:
    if candidate.said is not None or candidate.node not in graph.nodes or graph.is_source(candidate.node) or candidate.rewritten:
        return False
    if candidate.kind in _AT_ITS_PLACE or all(each.unproven for each in candidate.own):
        return False
    return candidate.kind in DATA_CAUSES or candidate.kind in (CauseKind.CODE_ERROR, CauseKind.UNKNOWN)


def _groups(orphans: Iterable[CauseCandidate], graph: CauseGraph) -> list[list[CauseCandidate]]:
    """Those of the same partitions, or at about the same time, that have a source in common."""
    groups: list[list[CauseCandidate]] = []
    for orphan in sorted(orphans, key=lambda candidate: candidate.began_us):
        home = next((group for group in groups if _goes_with(orphan, group, graph)), None)
        if home is None:
            groups.append([orphan])
        else:
            home.append(orphan)
    return groups


def _by_error(group: list[CauseCandidate]) -> list[list[CauseCandidate]]:
    """A group as it is where one of it says that its inputs are other than expected. Where code only fails, in two ways,
    these are two mistakes: each way by itself."""
    if any(candidate.kind is not CauseKind.CODE_ERROR or _fails_over_inputs(candidate) for candidate in group):
        return [group]
    parts: dict[str, list[CauseCandidate]] = {}
    for candidate in group:
        parts.setdefault(error_without_figures(candidate.own[0].observed), []).append(candidate)
    return list(parts.values())


def _goes_with(candidate: CauseCandidate, group: Sequence[CauseCandidate], graph: CauseGraph) -> bool:
    return all(_fail_together(candidate, other) for other in group) and bool(
        graph.common_sources(each.node for each in (*group, candidate))
    )


def _fail_together(candidate: CauseCandidate, other: CauseCandidate) -> bool:
    near = abs(candidate.began_us - other.began_us) <= TOGETHER_US
    return bool(candidate.partitions & other.partitions) or (near and not (candidate.partitions and other.partitions))


def _fails_over_inputs(candidate: CauseCandidate) -> bool:
    return candidate.kind is CauseKind.CODE_ERROR and failure_of(candidate.own[0]) in _OF_INPUTS


def _with_other_keys(candidate: CauseCandidate, graph: CauseGraph) -> list[str]:
    """The sources of what names the keys that find nothing; none where what is referred to may as well have lost them."""
    inputs = [spec.node for spec in graph.nodes[candidate.node].inputs]
    origins = [graph.flow(candidate.node).origins(graph.bits(candidate.node, (column,))) for column in candidate.columns]
    referred = {name for name in inputs if any(origin == {name.lower()} for origin in origins)}
    others = [node for node in graph.readers(referred) if node != candidate.node and graph.joins(node)]
    naming = [name for name in inputs if name not in referred]
    return graph.common_sources(naming) if referred and naming and others else []


def _first_kind(group: Sequence[CauseCandidate]) -> CauseKind:
    """The first in the rules' order that one of them speaks for: what comes after it may follow from it."""
    kinds = {
        _OF_INPUTS.get(failure_of(candidate.own[0]), CauseKind.UNKNOWN) if candidate.kind is CauseKind.CODE_ERROR else candidate.kind
        for candidate in group
    }
    return min(kinds, key=lambda kind: _ORDER.get(kind, len(_ORDER)))


def _source_cause(source: str, kind: CauseKind, group: Sequence[CauseCandidate]) -> CauseCandidate:
    own = [each for candidate in group for each in candidate.own]
    partitions = [candidate.partitions for candidate in group]
    return CauseCandidate(
        BY_KIND.get(kind), source, own, chosen=True, began_us=min(candidate.began_us for candidate in group), latent=True,
        partitions=frozenset().union(*partitions) if all(partitions) else frozenset(),
        symptoms=[each for candidate in group for each in candidate.symptoms],
    )  # fmt: skip
