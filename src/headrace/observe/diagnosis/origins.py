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
    orphans = [one for one in causes if _is_orphan(one, graph)]
    elsewhere = in_unrelated([one for one in orphans if not _fails_over_inputs(one)], graph)
    orphans = [one for one in orphans if one not in elsewhere]
    if not orphans or len(orphans) > ORPHANS_MAX:
        return list(causes)
    found: dict[CauseCandidate, CauseCandidate | None] = {}
    for group in (part for each in _groups(orphans, graph) for part in _by_error(each)):
        common, kind = graph.common_sources(one.node for one in group), _kind(group)
        if len(group) == 1 and kind is CauseKind.REFERENCE_BROKEN and len(common) > 1:
            common = _with_other_keys(group[0], graph)
            if len(common) == 1:
                found[group[0]] = _at(common[0], kind, group)
        elif len(common) == 1 and (len({one.node for one in group}) > 1 or _fails_over_inputs(group[0])):
            found |= {group[0]: _at(common[0], kind, group), **dict.fromkeys(group[1:])}
    return [one for each in causes if (one := found.get(each, each)) is not None]


def _is_orphan(one: CauseCandidate, graph: CauseGraph) -> bool:
    if one.said is not None or one.node not in graph.nodes or graph.is_source(one.node) or one.rewritten:
        return False
    if one.kind in _AT_ITS_PLACE or all(each.unproven for each in one.own):
        return False
    return one.kind in DATA_CAUSES or one.kind in (CauseKind.CODE_ERROR, CauseKind.UNKNOWN)


def _groups(orphans: Iterable[CauseCandidate], graph: CauseGraph) -> list[list[CauseCandidate]]:
    """Those of the same partitions, or at about the same time, that have a source in common."""
    groups: list[list[CauseCandidate]] = []
    for one in sorted(orphans, key=lambda one: one.began_us):
        home = next((group for group in groups if _goes_with(one, group, graph)), None)
        if home is None:
            groups.append([one])
        else:
            home.append(one)
    return groups


def _by_error(group: list[CauseCandidate]) -> list[list[CauseCandidate]]:
    """A group as it is where one of it says that its inputs are other than expected. Where code only fails, in two ways,
    these are two mistakes: each way by itself."""
    if any(one.kind is not CauseKind.CODE_ERROR or _fails_over_inputs(one) for one in group):
        return [group]
    parts: dict[str, list[CauseCandidate]] = {}
    for one in group:
        parts.setdefault(error_without_figures(one.own[0].observed), []).append(one)
    return list(parts.values())


def _goes_with(one: CauseCandidate, group: Sequence[CauseCandidate], graph: CauseGraph) -> bool:
    return all(_together(one, other) for other in group) and bool(graph.common_sources(each.node for each in (*group, one)))


def _together(one: CauseCandidate, other: CauseCandidate) -> bool:
    near = abs(one.began_us - other.began_us) <= TOGETHER_US
    return bool(one.partitions & other.partitions) or (near and not (one.partitions and other.partitions))


def _fails_over_inputs(one: CauseCandidate) -> bool:
    return one.kind is CauseKind.CODE_ERROR and failure_of(one.own[0]) in _OF_INPUTS


def _with_other_keys(one: CauseCandidate, graph: CauseGraph) -> list[str]:
    """The sources of what names the keys that find nothing; none where what is referred to may as well have lost them."""
    inputs = [spec.node for spec in graph.nodes[one.node].inputs]
    origins = [graph.flow(one.node).origins(graph.bits(one.node, (column,))) for column in one.columns]
    referred = {name for name in inputs if any(found == {name.lower()} for found in origins)}
    others = [node for node in graph.readers(referred) if node != one.node and graph.joins(node)]
    naming = [name for name in inputs if name not in referred]
    return graph.common_sources(naming) if referred and naming and others else []


def _kind(group: Sequence[CauseCandidate]) -> CauseKind:
    """The first in the rules' order that one of them speaks for: what comes after it may follow from it."""
    kinds = {_OF_INPUTS.get(failure_of(one.own[0]), CauseKind.UNKNOWN) if one.kind is CauseKind.CODE_ERROR else one.kind for one in group}
    return min(kinds, key=lambda kind: _ORDER.get(kind, len(_ORDER)))


def _at(source: str, kind: CauseKind, group: Sequence[CauseCandidate]) -> CauseCandidate:
    own = [each for one in group for each in one.own]
    partitions = [one.partitions for one in group]
    return CauseCandidate(
        BY_KIND.get(kind), source, own, chosen=True, began_us=min(one.began_us for one in group), latent=True,
        partitions=frozenset().union(*partitions) if all(partitions) else frozenset(),
        symptoms=[each for one in group for each in one.symptoms],
    )  # fmt: skip
