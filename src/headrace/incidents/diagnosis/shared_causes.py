"""Causes that several nodes share, and failures that originate at an upstream source."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

from headrace.incidents.diagnosis.candidates import CauseCandidate
from headrace.incidents.diagnosis.evidence import FailureCategory, Family, failure_of
from headrace.incidents.diagnosis.graph import CauseGraph
from headrace.incidents.diagnosis.rule_terms import CLOCK_US
from headrace.incidents.diagnosis.rules import BY_KIND
from headrace.model.causes import DATA_CAUSES, Cause, CauseKind

# Causes that several nodes share (one machine, one host, one vendor, one release) are merged into
# one.

NODES_MIN = 3
"""From this many nodes on, the same effect at the same time has a shared cause."""
MACHINE_MIN = 2
"""The same for machines and hosts, which take down everything that works on or with them."""
FLOOD = 200
"""More causes of one kind than this at once are merged into one."""
_OUTSIDE = (
    CauseKind.SOURCE_UNAVAILABLE,
    CauseKind.ACCESS_DENIED,
    CauseKind.DESTINATION_UNAVAILABLE,
)
LATE = (CauseKind.LATE_SOURCE, CauseKind.MISSING_SOURCE)
"""Kinds about deliveries that aren't there, though their source answers."""
_UNANSWERED = re.compile(
    r"no connection|connection (refused|timed out)|no route to host|name or service not known|could"
    r" not resolve"
    r"|temporary failure in name resolution|(host|network) is (down|unreachable)"
    r"|answers 50[234]\b",
    re.IGNORECASE,
)
_PAUSED = ("source_throttled", "throttled_too_long")
_MACHINE = (CauseKind.WORKER_LOST, CauseKind.RESOURCE_EXHAUSTED)


def merge_shared(
    causes: Sequence[CauseCandidate], graph: CauseGraph, open_causes: Sequence[Cause] = ()
) -> list[CauseCandidate]:
    """Return the causes in their order, with shared ones merged.

    Causes of one open incident stay merged, however few are left. Deliveries that are missing since
    their host didn't answer have one cause, whoever owns their sources.
    """
    known = {evidence: number for number, cause in enumerate(open_causes) for evidence in cause.own}
    merged: dict[CauseCandidate, CauseCandidate | None] = {}
    for group in _since_outages(causes, open_causes):
        merged |= {group[0]: _merged_causes(group), **dict.fromkeys(group[1:])}
    causes = _replaced(causes, merged)
    merged = {}
    for group in alike_causes(causes, graph):
        of = {known.get(candidate.own_evidence[0].id) for candidate in group}
        if len(_nodes_of(group)) >= _least(group[0]) or (
            len(group) > 1 and of != {None} and len(of) == 1
        ):
            merged |= {group[0]: _merged_causes(group), **dict.fromkeys(group[1:])}
    return _replaced(causes, merged)


def _since_outages(
    causes: Sequence[CauseCandidate], open_causes: Iterable[Cause]
) -> Iterator[list[CauseCandidate]]:
    """Yield the missing deliveries of each open incident of a host that didn't answer."""
    outages = (cause for cause in open_causes if cause.kind is CauseKind.SOURCE_UNAVAILABLE)
    for known in [set(outage.explains) for outage in outages]:
        group = [
            candidate
            for candidate in causes
            if candidate.kind in LATE
            and not known.isdisjoint(evidence.id for evidence in candidate.own_evidence)
        ]
        if len(group) > 1:
            yield group


def _replaced(
    causes: Iterable[CauseCandidate], by: Mapping[CauseCandidate, CauseCandidate | None]
) -> list[CauseCandidate]:
    """Return the causes in their order, with those in `by` replaced, or left out for None."""
    replaced = (by.get(cause, cause) for cause in causes)
    return [cause for cause in replaced if cause is not None]


def alike_causes(
    causes: Sequence[CauseCandidate], graph: CauseGraph
) -> Iterator[list[CauseCandidate]]:
    """Yield groups of causes with the same effects at the same time."""
    groups: dict[Hashable, list[CauseCandidate]] = {}
    many = Counter(cause.kind for cause in causes)
    for cause in causes:
        mark = (
            cause.kind
            if many[cause.kind] > FLOOD and cause.reported_cause is None
            else _sharing_key(cause, graph)
        )
        if mark is not None:
            groups.setdefault(mark, []).append(cause)
    for group in groups.values():
        together = _lacks_environment(group[0]) or all(map(_no_connection, group))
        yield from [group] if together else _at_one_time(group)


def in_unrelated(causes: Sequence[CauseCandidate], graph: CauseGraph) -> set[CauseCandidate]:
    """Return the causes with equal failures at one time in nodes without a common source.

    Causes that lack something in their environment are included.
    """
    candidates: set[CauseCandidate] = {cause for cause in causes if _lacks_environment(cause)}
    for group in alike_causes(causes, graph):
        nodes = _nodes_of(group)
        if (
            len(nodes) >= NODES_MIN
            and nodes <= graph.nodes.keys()
            and not graph.common_sources(nodes)
        ):
            candidates.update(group)
    return candidates


def _least(candidate: CauseCandidate) -> int:
    """Return how many nodes must be affected to merge causes like this one."""
    return (
        MACHINE_MIN
        if candidate.kind in _MACHINE or _lacks_environment(candidate) or _of_host(candidate)
        else NODES_MIN
    )


def _of_host(candidate: CauseCandidate) -> bool:
    """Return whether a cause was seen in observations of a host.

    What several of its sources show at one time is the host's fault.
    """
    return candidate.kind in _OUTSIDE and any(each.host for each in candidate.own_evidence)


def _no_connection(candidate: CauseCandidate) -> bool:
    """Return whether a host doesn't answer at all, says that it can't, or asked for a pause.

    That holds for all its sources, whenever each is observed.
    """
    if candidate.kind is not CauseKind.SOURCE_UNAVAILABLE or not candidate.own_evidence:
        return False
    first = candidate.own_evidence[0]
    return _of_host(candidate) and (
        first.detail in _PAUSED or _UNANSWERED.search(first.observed) is not None
    )


def _lacks_environment(candidate: CauseCandidate) -> bool:
    """Return whether the environment of asset code lacks something.

    That holds for all code in the environment, whenever it runs.
    """
    return (
        candidate.kind is CauseKind.CODE_ERROR
        and bool(candidate.own_evidence)
        and failure_of(candidate.own_evidence[0]) is FailureCategory.ENVIRONMENT
    )


def _sharing_key(candidate: CauseCandidate, graph: CauseGraph) -> Hashable:
    """Return what a cause may share with others; None if nothing."""
    if candidate.reported_cause is not None or not candidate.own_evidence:
        return None
    first, host = candidate.own_evidence[0], _host(candidate)
    if (
        candidate.kind is CauseKind.RESOURCE_EXHAUSTED
        and failure_of(first) is FailureCategory.SPACE
    ):
        return (candidate.kind, host)
    if candidate.kind in (*_OUTSIDE, *_MACHINE) and host:
        return (candidate.kind, host)
    if candidate.kind in LATE:
        owner = graph.owner(candidate.node)
        return (LATE, owner) if owner else None
    if candidate.kind is CauseKind.CODE_ERROR or first.family is Family.ERROR:
        error = error_without_figures(first.observed)
        return (candidate.kind, failure_of(first), first.error_kind, error)
    return None


def _host(candidate: CauseCandidate) -> str:
    """Return the first host that evidence of a cause names; empty if none does."""
    return next((each.host for each in candidate.own_evidence if each.host), "")


def error_without_figures(text: str) -> str:
    """Return an error's text without figures, so that the same error in several nodes is equal."""
    return "".join(letter for letter in text if not letter.isdigit())[:80]


def _at_one_time(group: Iterable[CauseCandidate]) -> list[list[CauseCandidate]]:
    """Split causes that are further apart in time than clocks may differ."""
    results: list[list[CauseCandidate]] = []
    for candidate in sorted(group, key=lambda cause_candidate: cause_candidate.began_us):
        if results and candidate.began_us - results[-1][-1].began_us <= CLOCK_US:
            results[-1].append(candidate)
        else:
            results.append([candidate])
    return results


def _nodes_of(group: Iterable[CauseCandidate]) -> set[str]:
    """Return the nodes of some causes, with those that were merged into them."""
    return {name for candidate in group for name in (candidate.node, *candidate.nodes)}


def _merged_causes(near: Sequence[CauseCandidate]) -> CauseCandidate:
    first = near[0]
    first.nodes = tuple(sorted(_nodes_of(near) - {first.node}))
    for other in near[1:]:
        first.own_evidence += other.own_evidence
        first.symptoms += other.symptoms
        first.partitions = (
            first.partitions | other.partitions
            if first.partitions and other.partitions
            else frozenset()
        )
    first.columns = frozenset()
    return first


# Downstream failures without any upstream anomaly or change: the inputs must differ, if the code
# has ever worked. Several nodes that fail over the same partitions and share one source have the
# cause at that source, unless they fail in different ways of which none is about the inputs. A
# single node that fails because values or names differ from what its code expects has the cause at
# its source, if it has only one. If only one of several nodes that use the same reference data lost
# its rows, the reference is sound and the keys are different.

TOGETHER_US = 16 * CLOCK_US
"""Nodes that are built from one delivery are built within four hours of each other."""
ORPHANS_MAX = 300
"""With more such failures than this, none is traced: something else is wrong with all."""
_ORDER = {kind: number for number, kind in enumerate(BY_KIND)}
_AT_ITS_PLACE = (CauseKind.REPORTED, CauseKind.DATA_CORRUPTED)
"""Kinds about the node's own rows, known from a person or from a file of the lake."""
_OF_INPUTS = {
    FailureCategory.VALUES: CauseKind.TYPE_CHANGE,
    FailureCategory.NAMES: CauseKind.SCHEMA_CHANGE,
}


def traced_to_sources(causes: Sequence[CauseCandidate], graph: CauseGraph) -> list[CauseCandidate]:
    """Return the causes, with those that come from inputs attributed to their source."""
    orphans = _orphans(causes, graph)
    if not orphans or len(orphans) > ORPHANS_MAX:
        return list(causes)
    traced: dict[CauseCandidate, CauseCandidate | None] = {}
    for group in (part for each in _groups(orphans, graph) for part in _by_error(each)):
        cause = _traced(group, graph)
        if cause is not None:
            traced |= {group[0]: cause, **dict.fromkeys(group[1:])}
    return _replaced(causes, traced)


def _orphans(causes: Sequence[CauseCandidate], graph: CauseGraph) -> list[CauseCandidate]:
    """Return the causes whose inputs may differ.

    Failures of unrelated nodes at one time have something else in common, unless they say that
    their inputs differ.
    """
    orphans = [cause for cause in causes if _is_orphan(cause, graph)]
    elsewhere = in_unrelated(
        [orphan for orphan in orphans if not _fails_over_inputs(orphan)], graph
    )
    return [orphan for orphan in orphans if orphan not in elsewhere]


def _traced(group: Sequence[CauseCandidate], graph: CauseGraph) -> CauseCandidate | None:
    """Return the cause of a group at the source of its inputs; None if that isn't one source."""
    nodes = _nodes_of(group)
    common, kind = graph.common_sources(nodes), _first_kind(group)
    if len(group) == 1 and kind is CauseKind.REFERENCE_BROKEN and len(common) > 1:
        common = _with_other_keys(group[0], graph)
    elif len(nodes) == 1 and not _fails_over_inputs(group[0]):
        return None
    return _source_cause(common[0], kind, group) if len(common) == 1 else None


def _is_orphan(candidate: CauseCandidate, graph: CauseGraph) -> bool:
    if (
        candidate.reported_cause is not None
        or candidate.node not in graph.nodes
        or graph.is_source(candidate.node)
        or candidate.rewritten
    ):
        return False
    if candidate.kind in _AT_ITS_PLACE or all(each.unproven for each in candidate.own_evidence):
        return False
    return candidate.kind in DATA_CAUSES or candidate.kind in (
        CauseKind.CODE_ERROR,
        CauseKind.UNKNOWN,
    )


def _groups(orphans: Iterable[CauseCandidate], graph: CauseGraph) -> list[list[CauseCandidate]]:
    """Return groups with the same partitions or about the same time, and a source in common."""
    groups: list[list[CauseCandidate]] = []
    for orphan in sorted(orphans, key=lambda candidate: candidate.began_us):
        home = next((group for group in groups if _goes_with(orphan, group, graph)), None)
        if home is None:
            groups.append([orphan])
        else:
            home.append(orphan)
    return groups


def _by_error(group: list[CauseCandidate]) -> list[list[CauseCandidate]]:
    """Split a group by error, unless one of its causes says that its inputs differ.

    Code that only fails, but in two ways, has two mistakes.
    """
    if any(
        candidate.kind is not CauseKind.CODE_ERROR or _fails_over_inputs(candidate)
        for candidate in group
    ):
        return [group]
    parts: dict[str, list[CauseCandidate]] = {}
    for candidate in group:
        parts.setdefault(error_without_figures(candidate.own_evidence[0].observed), []).append(
            candidate
        )
    return list(parts.values())


def _goes_with(
    candidate: CauseCandidate, group: Sequence[CauseCandidate], graph: CauseGraph
) -> bool:
    return all(_fail_together(candidate, other) for other in group) and bool(
        graph.common_sources(each.node for each in (*group, candidate))
    )


def _fail_together(candidate: CauseCandidate, other: CauseCandidate) -> bool:
    near = abs(candidate.began_us - other.began_us) <= TOGETHER_US
    return bool(candidate.partitions & other.partitions) or (
        near and not (candidate.partitions and other.partitions)
    )


def _fails_over_inputs(candidate: CauseCandidate) -> bool:
    return (
        candidate.kind is CauseKind.CODE_ERROR
        and failure_of(candidate.own_evidence[0]) in _OF_INPUTS
    )


def _with_other_keys(candidate: CauseCandidate, graph: CauseGraph) -> list[str]:
    """Return the sources of the inputs that contain the keys without a match.

    Empty if the reference data may have lost the keys as well.
    """
    inputs = [spec.node for spec in graph.nodes[candidate.node].inputs]
    referred = _referred(candidate, inputs, graph)
    others = [
        node for node in graph.readers(referred) if node != candidate.node and graph.joins(node)
    ]
    naming = [name for name in inputs if name not in referred]
    return graph.common_sources(naming) if referred and naming and others else []


def _referred(candidate: CauseCandidate, inputs: Iterable[str], graph: CauseGraph) -> set[str]:
    """Return the inputs from which alone one of the cause's columns comes."""
    origins = [
        graph.flow(candidate.node).origins(graph.bits(candidate.node, (column,)))
        for column in candidate.columns
    ]
    return {name for name in inputs if {name.lower()} in origins}


def _first_kind(group: Sequence[CauseCandidate]) -> CauseKind:
    """Return the first kind, in the order of the rules, for which one of the causes speaks.

    The later kinds may follow from it.
    """
    kinds = {
        (
            _OF_INPUTS.get(failure_of(candidate.own_evidence[0]), CauseKind.UNKNOWN)
            if candidate.kind is CauseKind.CODE_ERROR
            else candidate.kind
        )
        for candidate in group
    }
    return min(kinds, key=lambda kind: _ORDER.get(kind, len(_ORDER)))


def _source_cause(source: str, kind: CauseKind, group: Sequence[CauseCandidate]) -> CauseCandidate:
    own_evidence = [each for candidate in group for each in candidate.own_evidence]
    partitions = [candidate.partitions for candidate in group]
    return CauseCandidate(
        BY_KIND.get(kind),
        source,
        own_evidence,
        chosen=True,
        began_us=min(candidate.began_us for candidate in group),
        latent=True,
        partitions=frozenset().union(*partitions) if all(partitions) else frozenset(),
        symptoms=[each for candidate in group for each in candidate.symptoms],
    )
