"""What fails further down although nothing was noticed above it and nothing was changed: then what goes in is what differs, where the
code has ever worked.

Several nodes that fail over the same partitions, and have a source in common, have it from there, unless they fail in different ways of
which none is about what goes in. One that fails because values or
names are other than its body expects, and is made of one source, has it from that. Where of several that refer to the same one alone
lost what it refers to, what is referred to is sound: its keys are others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headrace.observe.diagnosis.candidates import CauseCandidate
from headrace.observe.diagnosis.causes import DATA_CAUSES, CauseKind
from headrace.observe.diagnosis.details import FailureCategory, failure_of
from headrace.observe.diagnosis.graph import CauseGraph
from headrace.observe.diagnosis.rules import BY_KIND
from headrace.observe.diagnosis.rules.rule import CLOCK_US
from headrace.observe.diagnosis.sharing import error_without_figures, in_unrelated

TOGETHER_US = 16 * CLOCK_US
"""Nodes that are built from one delivery are built within this time."""
ORPHANS_MAX = 300
"""Of more than this many, none is traced: something else has gone wrong with all."""
_ORDER = {kind: number for number, kind in enumerate(BY_KIND)}
_AT_ITS_PLACE = (CauseKind.REPORTED, CauseKind.DATA_CORRUPTED)
"""What is known to be wrong with the rows of the node itself: somebody says so, or a file of the lake shows it."""
_OF_INPUTS = {FailureCategory.VALUES: CauseKind.TYPE_CHANGE, FailureCategory.NAMES: CauseKind.SCHEMA_CHANGE}


def traced(causes: Sequence[CauseCandidate], graph: CauseGraph) -> list[CauseCandidate]:
    """The causes, those that come from what goes in put down to the source that it comes from."""
    orphans = [cause for cause in causes if _is_orphan(cause, graph)]
    elsewhere = in_unrelated([orphan for orphan in orphans if not _fails_over_inputs(orphan)], graph)
    orphans = [orphan for orphan in orphans if orphan not in elsewhere]
    if not orphans or len(orphans) > ORPHANS_MAX:
        return list(causes)
    candidates: dict[CauseCandidate, CauseCandidate | None] = {}
    for group in (part for each in _groups(orphans, graph) for part in _by_error(each)):
        common, kind = graph.common_sources(candidate.node for candidate in group), _kind(group)
        if len(group) == 1 and kind is CauseKind.REFERENCE_BROKEN and len(common) > 1:
            common = _with_other_keys(group[0], graph)
            if len(common) == 1:
                candidates[group[0]] = _at(common[0], kind, group)
        elif len(common) == 1 and (len({candidate.node for candidate in group}) > 1 or _fails_over_inputs(group[0])):
            candidates |= {group[0]: _at(common[0], kind, group), **dict.fromkeys(group[1:])}
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
    return all(_together(candidate, other) for other in group) and bool(graph.common_sources(each.node for each in (*group, candidate)))


def _together(candidate: CauseCandidate, other: CauseCandidate) -> bool:
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


def _kind(group: Sequence[CauseCandidate]) -> CauseKind:
    """The first in the rules' order that one of them speaks for: what comes after it may follow from it."""
    kinds = {
        _OF_INPUTS.get(failure_of(candidate.own[0]), CauseKind.UNKNOWN) if candidate.kind is CauseKind.CODE_ERROR else candidate.kind
        for candidate in group
    }
    return min(kinds, key=lambda kind: _ORDER.get(kind, len(_ORDER)))


def _at(source: str, kind: CauseKind, group: Sequence[CauseCandidate]) -> CauseCandidate:
    own = [each for candidate in group for each in candidate.own]
    partitions = [candidate.partitions for candidate in group]
    return CauseCandidate(
        BY_KIND.get(kind), source, own, chosen=True, began_us=min(candidate.began_us for candidate in group), latent=True,
        partitions=frozenset().union(*partitions) if all(partitions) else frozenset(),
        symptoms=[each for candidate in group for each in candidate.symptoms],
    )  # fmt: skip
