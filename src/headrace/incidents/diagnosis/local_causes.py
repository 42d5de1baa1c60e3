"""Causes at one node, from the evidence that nothing above it explains.

Rules are applied in order of precedence; each takes what it explains. Evidence that is left and held has an unknown cause.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from headrace.incidents.diagnosis.candidates import CauseCandidate, candidate
from headrace.incidents.diagnosis.evidence import OF_FILES, Evidence, FailureCategory, Family, failure_of, form_of, times_of
from headrace.incidents.diagnosis.rules import BROKEN, CLOCK_US, RULES, Covers, NodeEvidence, Rule
from headrace.model.causes import DATA_CAUSES, CauseKind
from headrace.model.errors import BESIDES

UNKNOWN_NATS = 2.5
"""What is held and worth this, and nothing explains, has a cause that isn't known."""
NEAR_DAYS = 3
"""So many days a warning stands; deliveries of months that come at once are no nearer to each other for that."""
REMEMBERED = 4_096
"""So many looks of evidence are remembered: ten thousand equal failures are one."""
OF_FORM = frozenset({CauseKind.SCHEMA_CHANGE, CauseKind.TYPE_CHANGE, CauseKind.FORMAT_CHANGE})
OF_DATA = BROKEN - {Family.ERROR}
"""What is seen in data that came."""
_RENAMED = "renamed"
"""What the detail of a column begins with that has another name."""
BODY = "body"
"""The detail of a change of code; of what a version added nothing was changed."""
BODIES = frozenset({"", BODY, "schema", "added"})
"""Details of changes that are, at an asset, of what is computed; all others are of declarations."""
_VERSION = re.compile(r"version:(\d+):")
"""What the ids of evidence begin with that is of a version."""
_MORE: frozenset[Hashable] = frozenset({"more"})
_FEWER: frozenset[Hashable] = frozenset({"fewer"})


def causes_at(place: NodeEvidence, residual: Sequence[Evidence]) -> list[CauseCandidate]:
    """The causes at a place: each takes what it explains, in the rules' order; what is left and held is put down to something unknown."""
    candidates: list[CauseCandidate] = []
    left = list(residual)
    speaks = {evidence.id: _spoken_for(evidence, place) for evidence in left}
    for number in sorted({number for numbers in speaks.values() for number in numbers}):
        rule = RULES[number]
        for cluster in _clusters(rule, place, [evidence for evidence in left if number in speaks[evidence.id]]):
            weight = sum(rule.own(evidence, place) * evidence.strength for evidence in cluster) - rule.against(place, cluster)
            if weight < rule.prior:
                continue
            if (better := _warned_of(candidates, cluster)) is not None:
                better.chosen = True
                better.symptoms += cluster
            else:
                candidates.append(_made(rule, place, cluster))
            taken = _covered(candidates, left) | {evidence.id for evidence in cluster}
            left = [evidence for evidence in left if evidence.id not in taken]
    held = [evidence for evidence in left if evidence.held and evidence.strength >= UNKNOWN_NATS]
    if held:
        candidates.append(candidate(None, place.node, held, chosen=True))
    return candidates


def _made(rule: Rule, place: NodeEvidence, own: Sequence[Evidence]) -> CauseCandidate:
    cause_candidate = candidate(rule, place.node, own, chosen=any(each.corrected or rule.opens(each, place) for each in own))
    cause_candidate.rewritten = any(place.rewritten(each) for each in own)
    if rule.kind in (CauseKind.SLOW_RUN, CauseKind.CODE_ERROR) and cause_candidate.rewritten:
        cause_candidate.version = _newest_version(place.bodies, cause_candidate.began_us, _changes_code)
    if rule.kind is CauseKind.CONFIGURATION_ERROR and all(each.family is Family.ARRIVAL for each in own):
        cause_candidate.version = _newest_version(place.declarations, max(each.at_us for each in own), _moves)
    return cause_candidate


def _newest_version(changes: Sequence[Evidence], at_us: int, matters: Callable[[Evidence], bool]) -> str:
    """The number of the version that changed a node last before a time, if that change matters; else empty."""
    newest = max((each for each in changes if each.at_us <= at_us), key=lambda each: each.at_us, default=None)
    match = None if newest is None or not matters(newest) else _VERSION.match(newest.id)
    return "" if match is None else match[1]


def _changes_code(change: Evidence) -> bool:
    return change.detail == BODY


def _moves(change: Evidence) -> bool:
    """Whether a source is looked for elsewhere, at other times or with another connection than before."""
    return not change.same_place and not change.added


def _spoken_for(evidence: Evidence, place: NodeEvidence) -> tuple[int, ...]:
    """The rules that a piece of evidence speaks for, by their numbers. Where nothing else is known of a place, the same says the same at
    any other."""
    if place.bodies or place.declarations or len(place.evidence) > 1:
        return tuple(number for number, rule in enumerate(RULES) if rule.own(evidence, place) > 0)
    said = evidence.family, evidence.kind, evidence.column, evidence.observed, evidence.detail, evidence.error_kind, evidence.host
    return _said_alone(_Alone(*said, held=evidence.held, strength=evidence.strength, is_source=place.is_source, joins=place.joins))


class _Alone(NamedTuple):
    """A piece of evidence that is all that is seen at a place, without where and when that is."""

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
    given = {name: value for name, value in alone._asdict().items() if name not in ("is_source", "joins")}
    seen = Evidence(id="", node="", at_us=0, **given)
    place = NodeEvidence("", alone.is_source, (seen,), alone.joins)
    return tuple(number for number, rule in enumerate(RULES) if rule.own(seen, place) > 0)


def _clusters(rule: Rule, place: NodeEvidence, own: Sequence[Evidence]) -> list[list[Evidence]]:
    """What speaks for a kind, apart where it has nothing in common. Of what is no data there is one at a node."""
    if rule.kind not in DATA_CAUSES or len(own) < 2:
        return [list(own)] if own else []
    alike = _joined((frozenset(_marks(evidence, firm=rule.opens(evidence, place))), [evidence]) for evidence in own)
    number = {evidence.id: at for at, evidence in enumerate(own)}
    return sorted(_joined_by_partition(alike), key=lambda cluster: min(number[evidence.id] for evidence in cluster))


def _joined_by_partition(groups: Sequence[list[Evidence]]) -> list[list[Evidence]]:
    """Groups that are seen in one partition, as one. Where data is held, warnings are part of it if they are seen in its
    partitions only: a check that warns every day isn't due to what is held today."""
    held = _joined((_partitions(group), group) for group in groups if any(evidence.held for evidence in group))
    among = [_partitions(cluster) for cluster in held]
    apart: list[list[Evidence]] = []
    for group in groups:
        if any(evidence.held for evidence in group):
            continue
        where = next((number for number, partitions in enumerate(among) if _partitions(group) <= partitions), None)
        if where is None:
            apart.append(group)
        else:
            held[where] = [*held[where], *group]
    return [*held, *_joined((_partitions(group), group) for group in apart)]


def _partitions(group: Sequence[Evidence]) -> frozenset[Hashable]:
    return frozenset(evidence.partition for evidence in group)


def _joined(groups: Iterable[tuple[frozenset[Hashable], list[Evidence]]]) -> list[list[Evidence]]:
    """Groups that have a mark in common, directly or through others, as one."""
    clusters: list[tuple[frozenset[Hashable], list[Evidence]]] = []
    for own_marks, own in groups:
        marks, merged, apart = own_marks, own, []
        for other in clusters:
            if other[0] & marks:
                marks, merged = marks | other[0], [*other[1], *merged]
            else:
                apart.append(other)
        clusters = [*apart, (marks, merged)]
    return [merged for _, merged in clusters]


def _marks(evidence: Evidence, *, firm: bool) -> Iterator[Hashable]:
    """What evidence of one kind has in common on several days. What is merely unusual goes with what is seen some days before or after: a
    storm weeks ago, however like it, is another matter than what is held today."""
    day = _day(evidence.partition)
    for about in _about(evidence):
        if firm or day is None:
            yield about, "ever"
        if day is not None:
            yield from ((about, day + near) for near in range(NEAR_DAYS + 1))


def _day(partition: str) -> int | None:
    """The day that a partition is of or begins with; None where it isn't cut by days or hours."""
    try:
        return date.fromisoformat(partition[:10]).toordinal()
    except ValueError:
        return None


def _about(evidence: Evidence) -> frozenset[Hashable]:
    """What evidence of one kind has in common on several days: its column; of rows, whether there are more or fewer, where that is said;
    of files, what is other about them. What was read all the same has nothing in common with what is withheld for another form."""
    if evidence.detail in OF_FILES:
        return frozenset({evidence.detail})
    if _is_of_form(evidence):
        form = (evidence.column, form_of(evidence))
        return frozenset({form, (evidence.column, evidence.held)}) if evidence.column else frozenset({form})
    if evidence.column or evidence.kind != CauseKind.VOLUME_ANOMALY:
        return frozenset({evidence.column})
    times = times_of([evidence])
    return _MORE if times > 1 else _FEWER if times < 1 else _MORE | _FEWER


def _is_of_form(evidence: Evidence) -> bool:
    """Whether it says how a file, or a column of it, is written."""
    return evidence.family is Family.FORMAT or (not evidence.kind and failure_of(evidence) is FailureCategory.UNREADABLE)


def _warned_of(candidates: Iterable[CauseCandidate], own: Sequence[Evidence]) -> CauseCandidate | None:
    """A cause of more precedence at the same place that wasn't worth an incident, and that explains this."""
    latent = [cause_candidate for cause_candidate in candidates if not cause_candidate.chosen and cause_candidate.rule is not None]
    return (
        next((cause_candidate for cause_candidate in latent if all(_covers(cause_candidate, each) for each in own)), None)
        if any(each.held for each in own)
        else None
    )


def _covered(candidates: Sequence[CauseCandidate], left: Iterable[Evidence]) -> set[str]:
    """What needs no explanation any more once these are known; it becomes theirs."""
    taken: set[str] = set()
    for cause in candidates:
        own = {evidence.id for evidence in cause.own}
        for evidence in left:
            if cause.chosen and evidence.id not in own and evidence.id not in taken and _covers(cause, evidence):
                cause.symptoms.append(evidence)
                taken.add(evidence.id)
    return taken


def _covers(cause: CauseCandidate, evidence: Evidence) -> bool:
    if cause.rule is None or cause.rule.covers is Covers.ITSELF:
        return False
    if cause.rule.covers is Covers.NODE:
        return not _came_before(cause, evidence)
    if cause.partitions and evidence.partition not in cause.partitions:
        return False
    if cause.rule.kind in OF_FORM and evidence.detail.endswith(BESIDES):
        return False
    if cause.rule.covers is Covers.ROWS:
        return not evidence.column or evidence.strength <= cause.own[0].strength
    if cause.rule.covers is Covers.COLUMNS and evidence.column:
        return evidence.column in cause.columns and not _remains(cause, evidence)
    return not _outweighs(evidence, cause)


def _remains(cause: CauseCandidate, evidence: Evidence) -> bool:
    """Whether a delivery is held for what is odd about a column after that was read under its other name."""
    renamed = [each for each in cause.own if (each.column, each.partition) == (evidence.column, evidence.partition) and _is_renamed(each)]
    return evidence.held and bool(renamed) and not any(each.held for each in renamed)


def _is_renamed(evidence: Evidence) -> bool:
    return evidence.family is Family.SCHEMA and evidence.detail.partition(";")[0] == _RENAMED


def _came_before(cause: CauseCandidate, evidence: Evidence) -> bool:
    """Whether it is about data that was there before a cause began: what keeps data away later says nothing of that."""
    return evidence.family in OF_DATA and evidence.at_us + CLOCK_US < cause.began_us


def _outweighs(evidence: Evidence, cause: CauseCandidate) -> bool:
    """Whether a delivery was held for how many rows it has, or rewrites the past, while what is told of its form was let through: names
    that are gone and dates that are written otherwise make no rows, and no other ones."""
    rows = evidence.family is Family.RESTATED or (evidence.held and evidence.family is Family.VOLUME)
    return rows and cause.rule is not None and cause.rule.kind in OF_FORM and not cause.is_held
