"""Causes at one node, from the evidence that no upstream cause explains.

Rules are applied in order of precedence; each takes what it explains. Held evidence that is left
over has an unknown cause.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from headrace.incidents.diagnosis.candidates import CauseCandidate, candidate
from headrace.incidents.diagnosis.evidence import (
    OF_FILES,
    Evidence,
    FailureCategory,
    Family,
    failure_of,
    form_of,
    times_of,
)
from headrace.incidents.diagnosis.rule_terms import BROKEN, CLOCK_US, Covers, NodeEvidence, Rule
from headrace.incidents.diagnosis.rules import RULES
from headrace.model.causes import DATA_CAUSES, CauseKind
from headrace.model.errors import BESIDES, DELIVERED_AS

UNKNOWN_NATS = 2.5
"""Held evidence worth at least this, in nats, gets an unknown cause if nothing explains it."""
NEAR_DAYS = 3
"""Warnings belong together if their partitions are at most this many days apart.

The days are those of the data, so months that are loaded at once don't belong together.
"""
REMEMBERED = 4_096
"""Number of cached results: ten thousand equal failures are evaluated once."""
OF_FORM = frozenset({CauseKind.SCHEMA_CHANGE, CauseKind.TYPE_CHANGE, CauseKind.FORMAT_CHANGE})
_OF_ATTEMPTS = frozenset({Family.ERROR, Family.LOST, Family.RESOURCES})
"""Families about an attempt that failed, whatever its data is like."""
OF_DATA = BROKEN - {Family.ERROR}
"""Families about delivered data."""
_RENAMED = "renamed"
"""Prefix of the detail of a renamed column."""
BODY = "body"
"""The detail of a change of code; nothing that a version added counts as changed."""
BODIES = frozenset({"", BODY, "schema", "added"})
"""Details of changes that affect an asset's computation; all others are about declarations."""
_VERSION = re.compile(r"version:(\d+):")
"""Prefix of the ids of evidence about a version."""
_MORE: frozenset[Hashable] = frozenset({"more"})
_FEWER: frozenset[Hashable] = frozenset({"fewer"})


def causes_at(place: NodeEvidence, residual: Sequence[Evidence]) -> list[CauseCandidate]:
    """Return the causes at a node: each takes what it explains, in the order of the rules.

    Held evidence that is left over gets an unknown cause.
    """
    candidates: list[CauseCandidate] = []
    left = list(residual)
    speaks = {evidence.id: _spoken_for(evidence, place) for evidence in left}
    for number in sorted(set[int]().union(*speaks.values())):
        spoken_for = [evidence for evidence in left if number in speaks[evidence.id]]
        left = _add_causes(candidates, RULES[number], place, spoken_for, left)
    held = [evidence for evidence in left if evidence.held and evidence.strength >= UNKNOWN_NATS]
    if held:
        candidates.append(candidate(None, place.node, held, chosen=True))
    return candidates


def _add_causes(
    candidates: list[CauseCandidate],
    rule: Rule,
    place: NodeEvidence,
    spoken_for: Sequence[Evidence],
    left: list[Evidence],
) -> list[Evidence]:
    """Add the causes of one kind at a node; return the evidence that is left.

    `spoken_for` is the evidence that speaks for the kind.
    """
    for cluster in _clusters(rule, place, spoken_for):
        if _weight(rule, place, cluster) < rule.prior:
            continue
        _add_cause(candidates, rule, place, cluster)
        explained_ids = _covered(candidates, left) | {evidence.id for evidence in cluster}
        left = [evidence for evidence in left if evidence.id not in explained_ids]
    return left


def _add_cause(
    candidates: list[CauseCandidate], rule: Rule, place: NodeEvidence, cluster: list[Evidence]
) -> None:
    """Add the cause of a cluster, or add the cluster to the earlier warning that explains it."""
    warned = _warned_of(candidates, cluster)
    if warned is None:
        candidates.append(_new_candidate(rule, place, cluster))
        return
    warned.chosen = True
    warned.symptoms += cluster


def _weight(rule: Rule, place: NodeEvidence, cluster: Sequence[Evidence]) -> float:
    """Return how many nats of evidence speak for a rule's cause, less those against it."""
    for_cause = sum(rule.weight(evidence, place) * evidence.strength for evidence in cluster)
    return for_cause - rule.against(place, cluster)


def _new_candidate(
    rule: Rule, place: NodeEvidence, own_evidence: Sequence[Evidence]
) -> CauseCandidate:
    cause_candidate = candidate(
        rule,
        place.node,
        own_evidence,
        chosen=any(
            each.corrected or (rule.opens(each, place) and not each.accepted)
            for each in own_evidence
        ),
    )
    cause_candidate.rewritten = any(place.rewritten(each) for each in own_evidence)
    if rule.kind in (CauseKind.SLOW_RUN, CauseKind.CODE_ERROR) and cause_candidate.rewritten:
        cause_candidate.version = _newest_version(
            place.bodies, cause_candidate.began_us, lambda change: change.detail == BODY
        )
    if rule.kind is CauseKind.CONFIGURATION_ERROR and all(
        each.family is Family.ARRIVAL for each in own_evidence
    ):
        cause_candidate.version = _newest_version(
            place.declarations, max(each.at_us for each in own_evidence), _moves
        )
    return cause_candidate


def _newest_version(
    changes: Sequence[Evidence], at_us: int, matters: Callable[[Evidence], bool]
) -> str:
    """Return the number of the last version that changed a node before a time.

    Empty if that change doesn't matter.
    """
    newest = max(
        (each for each in changes if each.at_us <= at_us), key=lambda each: each.at_us, default=None
    )
    match = None if newest is None or not matters(newest) else _VERSION.match(newest.id)
    return "" if match is None else match[1]


def _moves(change: Evidence) -> bool:
    """Return whether a source's location, schedule or connection changed."""
    return not change.same_place and not change.added


def _spoken_for(evidence: Evidence, place: NodeEvidence) -> tuple[int, ...]:
    """Return the numbers of the rules that evidence speaks for.

    Evidence that is alone at its node is cached, since it has the same rules everywhere.
    """
    if place.bodies or place.declarations or len(place.evidence) > 1:
        return tuple(
            number for number, rule in enumerate(RULES) if rule.weight(evidence, place) > 0
        )
    key_fields = (
        evidence.family,
        evidence.kind,
        evidence.column,
        evidence.observed,
        evidence.detail,
        evidence.error_kind,
        evidence.host,
    )
    return _said_alone(
        _Alone(
            *key_fields,
            held=evidence.held,
            strength=evidence.strength,
            is_source=place.is_source,
            joins=place.joins,
        )
    )


class _Alone(NamedTuple):
    """Evidence that is alone at its node, without place and time."""

    family: Family
    kind: str
    column: str
    observed: str
    detail: str
    error_kind: str
    host: str
    held: bool
    strength: float
    is_source: bool
    joins: bool


@lru_cache(REMEMBERED)
def _said_alone(alone: _Alone) -> tuple[int, ...]:
    evidence_fields = {
        name: value for name, value in alone._asdict().items() if name not in ("is_source", "joins")
    }
    seen = Evidence(id="", node="", at_us=0, **evidence_fields)
    place = NodeEvidence("", alone.is_source, (seen,), alone.joins)
    return tuple(number for number, rule in enumerate(RULES) if rule.weight(seen, place) > 0)


def _clusters(
    rule: Rule, place: NodeEvidence, own_evidence: Sequence[Evidence]
) -> list[list[Evidence]]:
    """Return the evidence for a kind, split where it has nothing in common.

    Kinds that aren't about data have one cluster per node.
    """
    if rule.kind not in DATA_CAUSES or len(own_evidence) < 2:
        return [list(own_evidence)] if own_evidence else []
    alike = _joined(
        (frozenset(_marks(evidence, firm=rule.opens(evidence, place))), [evidence])
        for evidence in own_evidence
    )
    number = {evidence.id: at for at, evidence in enumerate(own_evidence)}
    return sorted(
        _joined_by_partition(alike),
        key=lambda cluster: min(number[evidence.id] for evidence in cluster),
    )


def _joined_by_partition(groups: Sequence[list[Evidence]]) -> list[list[Evidence]]:
    """Join groups in the same partition.

    Next to held data, warnings join only if all their partitions are held ones: a daily warning
    isn't due to what is held today.
    """
    held = _joined((_partitions(group), group) for group in groups if _is_held(group))
    among = [_partitions(cluster) for cluster in held]
    apart: list[list[Evidence]] = []
    for group in groups:
        if _is_held(group):
            continue
        number = _first_containing(among, _partitions(group))
        if number is None:
            apart.append(group)
        else:
            held[number] = [*held[number], *group]
    return [*held, *_joined((_partitions(group), group) for group in apart)]


def _is_held(group: Iterable[Evidence]) -> bool:
    return any(evidence.held for evidence in group)


def _first_containing(
    among: Iterable[frozenset[Hashable]], partitions: frozenset[Hashable]
) -> int | None:
    """Return the number of the first set that contains all of these partitions."""
    return next((number for number, each in enumerate(among) if partitions <= each), None)


def _partitions(group: Sequence[Evidence]) -> frozenset[Hashable]:
    return frozenset(evidence.partition for evidence in group)


def _joined(groups: Iterable[tuple[frozenset[Hashable], list[Evidence]]]) -> list[list[Evidence]]:
    """Join groups that share a mark, directly or through others."""
    clusters: list[tuple[frozenset[Hashable], list[Evidence]]] = []
    for own_marks, group in groups:
        marks, merged, apart = own_marks, group, []
        for other in clusters:
            if other[0] & marks:
                marks, merged = marks | other[0], [*other[1], *merged]
            else:
                apart.append(other)
        clusters = [*apart, (marks, merged)]
    return [merged for _, merged in clusters]


def _marks(evidence: Evidence, *, firm: bool) -> Iterator[Hashable]:
    """Yield what evidence of one kind has in common on several days.

    An anomaly belongs with those of a few days before or after: a storm weeks ago, however similar,
    is another cause than what is held today.
    """
    day = _day(evidence.partition)
    for about in _about(evidence):
        if firm or day is None:
            yield about, "ever"
        if day is not None:
            yield from ((about, day + near) for near in range(NEAR_DAYS + 1))


def _day(partition: str) -> int | None:
    """Return the ordinal of the partition's first day; None without days or hours."""
    try:
        return date.fromisoformat(partition[:10]).toordinal()
    except ValueError:
        return None


def _about(evidence: Evidence) -> frozenset[Hashable]:
    """Return what evidence of one kind is about on several days.

    That is its column; for rows, more or fewer, if stated; for files, their form. Data that was
    ingested anyway has nothing in common with data held for another form.
    """
    if evidence.detail in OF_FILES:
        return frozenset({evidence.detail})
    if _is_of_form(evidence):
        form = (evidence.column, form_of(evidence))
        return (
            frozenset({form, (evidence.column, evidence.held)})
            if evidence.column
            else frozenset({form})
        )
    if evidence.column or evidence.kind != CauseKind.VOLUME_ANOMALY:
        return frozenset({evidence.column})
    times = times_of([evidence])
    return _MORE if times > 1 else _FEWER if times < 1 else _MORE | _FEWER


def _is_of_form(evidence: Evidence) -> bool:
    """Return whether evidence is about how a file or column is written."""
    return evidence.family is Family.FORMAT or (
        not evidence.kind and failure_of(evidence) is FailureCategory.UNREADABLE
    )


def _warned_of(
    candidates: Iterable[CauseCandidate], own_evidence: Sequence[Evidence]
) -> CauseCandidate | None:
    """Return an earlier cause at the node that wasn't worth an incident and explains this.

    What a person accepted explains nothing about another delivery.
    """
    latent = [
        cause_candidate
        for cause_candidate in candidates
        if not cause_candidate.chosen
        and cause_candidate.rule is not None
        and not any(each.accepted for each in cause_candidate.own_evidence)
    ]
    return (
        next(
            (
                cause_candidate
                for cause_candidate in latent
                if all(_covers(cause_candidate, each) for each in own_evidence)
            ),
            None,
        )
        if any(each.held for each in own_evidence)
        else None
    )


def _covered(candidates: Sequence[CauseCandidate], left: Iterable[Evidence]) -> set[str]:
    """Return the evidence that these causes cover, and add it to their symptoms."""
    covered_ids: set[str] = set()
    for cause in candidates:
        own_ids = {evidence.id for evidence in cause.own_evidence}
        for evidence in left:
            if (
                cause.chosen
                and evidence.id not in own_ids
                and evidence.id not in covered_ids
                and _covers(cause, evidence)
            ):
                cause.symptoms.append(evidence)
                covered_ids.add(evidence.id)
    return covered_ids


def _covers(cause: CauseCandidate, evidence: Evidence) -> bool:
    if cause.rule is None or cause.rule.covers is Covers.ITSELF:
        return False
    if cause.rule.covers is Covers.NODE:
        return not _came_before(cause, evidence)
    if cause.partitions and evidence.partition not in cause.partitions:
        return False
    if cause.rule.kind in OF_FORM and _is_beside(cause, evidence):
        return False
    if cause.rule.covers in (Covers.ROWS, Covers.COLUMNS):
        return _covers_part(cause, cause.rule, evidence)
    return not _outweighs(evidence, cause)


def _covers_part(cause: CauseCandidate, rule: Rule, evidence: Evidence) -> bool:
    """Return whether a cause in some of a partition's rows or columns explains evidence there.

    An attempt that failed is explained only if such rows make code fail: a check that has warned
    of its results for long doesn't.
    """
    if evidence.family in _OF_ATTEMPTS and evidence.family not in rule.shows_in:
        return False
    if rule.covers is Covers.ROWS:
        return not evidence.column or evidence.strength <= cause.own_evidence[0].strength
    if evidence.column:
        return evidence.column in cause.columns and not _remains(cause, evidence)
    return not _outweighs(evidence, cause)


def _is_beside(cause: CauseCandidate, evidence: Evidence) -> bool:
    """Return whether a delivery is held for its rows whatever its columns are called.

    It says so itself, or the change of form alone would have held nothing. Other values of a
    renamed column are part of the rename: who accepts the name decides about them.
    """
    if evidence.detail.endswith(BESIDES):
        return DELIVERED_AS not in evidence.detail or not any(
            each.held for each in _renames_of(cause, evidence)
        )
    return (
        evidence.held and not evidence.column and not any(each.held for each in cause.own_evidence)
    )


def _remains(cause: CauseCandidate, evidence: Evidence) -> bool:
    """Return whether a delivery is held for an anomaly of a renamed column.

    The column was read by its new name before.
    """
    renamed = _renames_of(cause, evidence)
    return evidence.held and bool(renamed) and not any(each.held for each in renamed)


def _renames_of(cause: CauseCandidate, evidence: Evidence) -> list[Evidence]:
    """Return the renames of the evidence's column, in its partition."""
    return [
        each
        for each in cause.own_evidence
        if (each.column, each.partition) == (evidence.column, evidence.partition)
        and each.family is Family.SCHEMA
        and each.detail.partition(";")[0] == _RENAMED
    ]


def _came_before(cause: CauseCandidate, evidence: Evidence) -> bool:
    """Return whether evidence is about data from before a cause began.

    A cause that keeps later data away doesn't explain it.
    """
    return evidence.family in OF_DATA and evidence.at_us + CLOCK_US < cause.began_us


def _outweighs(evidence: Evidence, cause: CauseCandidate) -> bool:
    """Return whether evidence weighs more than a change of form that was let through.

    That is a delivery held for its number of rows, or a restatement: renamed columns and other date
    formats neither add rows nor change them.
    """
    rows = evidence.family is Family.RESTATED or (
        evidence.held and evidence.family is Family.VOLUME
    )
    return rows and cause.rule is not None and cause.rule.kind in OF_FORM and not cause.is_held
