"""Attribution: which causes explain all evidence, from the sources on, node by node.

A cause is made only from evidence at its own node. In the direction of the data flow, each piece of
evidence is first offered to the causes upstream of it (those worth an incident, then warnings);
evidence that none of them explains makes causes where it was observed. So the most upstream
explanation wins without comparing sets of causes, and the work grows with what is upstream of the
evidence, not with the project. Nothing here reads a store or a clock.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence

from headrace.incidents.diagnosis.candidates import (
    CauseCandidate,
    began,
    gathered_history,
    split_history,
)
from headrace.incidents.diagnosis.evidence import NO_WORKER, Evidence, Family, detail_of, times_of
from headrace.incidents.diagnosis.graph import (
    ALL,
    OF_ROWS,
    Above,
    CauseGraph,
    CauseReach,
    reach_at_own_node,
    reach_of_inputs,
)
from headrace.incidents.diagnosis.local_causes import BODIES, causes_at
from headrace.incidents.diagnosis.rule_terms import ABSENT, CLOCK_US, EXACT_NATS, NodeEvidence
from headrace.incidents.diagnosis.rules import BY_KIND, lost_partners
from headrace.incidents.diagnosis.shared_causes import LATE, merge_shared, traced_to_sources
from headrace.incidents.diagnosis.wording import described_cause
from headrace.model import Grain
from headrace.model.causes import HEADRACE, Cause, CauseKind

# Whether an upstream cause explains evidence at a node: in time, along columns, in the partitions,
# in the right family.

FADES = 0.9
"""Weight of an explanation per step downstream."""


MUCH_MORE = 2.0
"""From this factor on, more rows explain a lack of memory or a slow run."""
_OF_SIZE = frozenset({*OF_ROWS, CauseKind.DISTRIBUTION_SHIFT})
"""Kinds that take more time and memory with more rows or larger values."""
_ABOUT = {
    "null_spike": Family.NULLS,
    "distribution_shift": Family.CHECK,
    "volume_anomaly": Family.VOLUME,
    "duplicate_rows": Family.DUPLICATES,
    "reference_broken": Family.REFERENCE,
    "stale_data": Family.STALE,
}
"""What a failed check is about; a check of values may be about anything."""


def explanation_score(
    graph: CauseGraph, cause: CauseCandidate, reach: CauseReach | None, evidence: Evidence
) -> float:
    """Return how well an upstream cause explains evidence: from 0, not at all, to 1.

    Without `reach` the cause reaches everything.
    """
    if evidence.id in cause.known:
        return 1.0
    # evidence of what corrects something isn't gathered
    if evidence.family is Family.RESTATED and evidence.node == cause.node:
        return 0.0
    if (
        cause.rule is None
        or cause.began_us > evidence.at_us + CLOCK_US
        or not _shows_itself(cause, evidence)
    ):
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
    """Return whether a cause could explain such evidence at any node and time."""
    return bool(cause.known) or (
        cause.rule is not None and any(_shows_itself(cause, evidence) for evidence in seen)
    )


_SEEN_BY_READERS = (CauseKind.REPORTED, CauseKind.DATA_CORRUPTED)
"""Kinds about wrong publications that carried no warning."""


def _in_columns(graph: CauseGraph, reach: CauseReach, evidence: Evidence) -> bool:
    if not evidence.column or reach.columns == ALL:
        return bool(reach.columns)
    return bool(reach.columns & graph.bits(evidence.node, (evidence.column,)))


def _shows_itself(cause: CauseCandidate, evidence: Evidence) -> bool:
    """Return whether a cause has effects of the kind that evidence is about."""
    if cause.kind is CauseKind.RUNTIME_DOWN:
        return evidence.family in BY_KIND[cause.kind].shows_in and _fell_in_outage(cause, evidence)
    if evidence.kind == CauseKind.DEADLINE_INFEASIBLE:
        return cause.kind is CauseKind.SLOW_RUN
    if _is_missed(cause, evidence):
        return True
    if cause.own_evidence and cause.kind not in _SEEN_BY_READERS and not cause.is_published:
        return False
    shows_in = BY_KIND[cause.kind].shows_in
    if evidence.family in (Family.RESOURCES, Family.DURATION) and cause.kind in _OF_SIZE:
        return evidence.family in shows_in and times_of(cause.own_evidence) >= MUCH_MORE
    if cause.kind is CauseKind.VOLUME_ANOMALY and not _same_way(cause, evidence):
        return False
    return evidence.family in shows_in and _subject(evidence) in shows_in


def _same_way(cause: CauseCandidate, evidence: Evidence) -> bool:
    """Return whether rows changed in the same direction.

    More rows don't become fewer and don't lose keys; fewer rows don't become more.
    """
    more = times_of(cause.own_evidence) > 1
    if _subject(evidence) is Family.VOLUME and (times := times_of([evidence])) != 1:
        return (times > 1) == more
    return not more or _subject(evidence) not in (Family.REFERENCE, Family.NULLS)


def _is_missed(cause: CauseCandidate, evidence: Evidence) -> bool:
    """Return whether evidence says that the rows are missing that a cause holds back."""
    return (
        cause.is_held
        and _subject(evidence) in (Family.ARRIVAL, Family.STALE)
        and evidence.family in ABSENT
    )


def _subject(evidence: Evidence) -> Family:
    """Return what evidence is about; for a failed check, what it checks."""
    return (
        _ABOUT.get(evidence.kind, evidence.family)
        if evidence.family is Family.CHECK
        else evidence.family
    )


def _fell_in_outage(cause: CauseCandidate, evidence: Evidence) -> bool:
    """Return whether evidence was due during an outage.

    Data that its source still lacks after the outage is missing because of it as well. An outage
    goes on while no worker starts. A slow run that began after an outage has its own cause.
    """
    lasting = any(each.detail == NO_WORKER for each in cause.own_evidence)
    ended = (
        evidence.at_us
        if lasting
        else max((each.at_us for each in cause.own_evidence), default=cause.began_us)
    )
    due = evidence.kind == CauseKind.DEADLINE_INFEASIBLE or evidence.family is not Family.ARRIVAL
    until = ended + CLOCK_US if lasting or evidence.family is Family.ARRIVAL else ended - 1
    return due and cause.began_us - CLOCK_US <= began(evidence) <= until


# Evidence downstream of each node, one piece for each effect that distinguishes causes. A cause
# that no downstream evidence could show isn't carried further.

_Look = tuple[Family, str, bool]


class SeenBelow:
    """One piece of evidence of each appearance, by the rank of its node.

    Data flows from lower ranks to higher ones.
    """

    def __init__(self, seen: Iterable[tuple[int, Sequence[Evidence]]]) -> None:
        known: dict[_Look, Evidence] = {}
        every: list[Evidence] = []
        self._ranks: list[int] = []
        self._from: list[list[Evidence]] = []
        for rank, evidence in sorted(seen, key=lambda item: item[0], reverse=True):
            new = {
                appearance: item
                for item in evidence
                if (appearance := (item.family, item.kind, times_of([item]) > 1)) not in known
            }
            if new:
                known |= new
                every = [*every, *new.values()]
            self._ranks.append(rank)
            self._from.append(every)
        self._ranks.reverse()
        self._from.reverse()

    def below(self, rank: int) -> Sequence[Evidence]:
        """Return the evidence at nodes of higher ranks."""
        at = bisect_right(self._ranks, rank)
        return self._from[at] if at < len(self._from) else ()


# A cause may turn out to be of another kind by its effects: if downstream joins lost their
# partners, its keys are different ones.

OTHER_NAMES = "other names"
"""The detail of as many held values as before, few of which were there before."""
_PARTNERS = (Family.NULLS, Family.REFERENCE)


def refined_cause(candidate: CauseCandidate, graph: CauseGraph) -> CauseCandidate:
    """Return a cause as changed keys if downstream joins lost their partners because of it.

    The same holds if they would lose them, were the data not held.
    """
    if (
        candidate.reported_cause is None
        and _has_other_keys(candidate)
        and (
            any(each.family in _PARTNERS for each in candidate.symptoms)
            or _would_lose_them(candidate, graph)
        )
    ):
        candidate.rule = BY_KIND[CauseKind.REFERENCE_BROKEN]
    return candidate


def _would_lose_them(candidate: CauseCandidate, graph: CauseGraph) -> bool:
    """Return whether a delivery is held for other names in a join column."""
    keys = {
        each.column
        for each in candidate.own_evidence
        if each.held and detail_of(candidate.kind, [each]) == OTHER_NAMES
    }
    return graph.joined_by(candidate.node, keys)


def _has_other_keys(candidate: CauseCandidate) -> bool:
    """Return whether reference data was overwritten, or a column has names that are new to it."""
    if candidate.kind is CauseKind.RESTATEMENT:
        return not candidate.partitions
    return candidate.kind is CauseKind.DISTRIBUTION_SHIFT and any(
        "distinct" in each.observed or "grain" in each.detail or "names" in each.detail
        for each in candidate.own_evidence
    )


# Open incidents keep what they explained, also after their own evidence is gone.


def carried_causes(
    open_causes: Iterable[Cause], evidence: Sequence[Evidence]
) -> list[CauseCandidate]:
    """Return the open causes without active evidence of their own, but with active symptoms.

    That somebody accepted data isn't a symptom. A source that answers again, without the deliveries
    of the time in which it didn't, is no cause any more: these are missing.
    """
    active_ids = {item.id for item in evidence}
    symptoms = {item.id for item in evidence if not item.accepted}
    absent = {item.id for item in evidence if item.kind in LATE}
    result = (
        cause
        for cause in open_causes
        if active_ids.isdisjoint(cause.own)
        and not symptoms.isdisjoint(cause.explains)
        and (cause.kind is not CauseKind.SOURCE_UNAVAILABLE or absent.isdisjoint(cause.explains))
    )
    return [_as_candidate(cause, frozenset(cause.explains)) for cause in result]


def _as_candidate(cause: Cause, known: frozenset[str]) -> CauseCandidate:
    return CauseCandidate(
        BY_KIND.get(cause.kind),
        cause.node,
        [],
        chosen=True,
        columns=frozenset(cause.columns),
        partitions=frozenset(cause.partitions),
        began_us=cause.began_us,
        known=known,
        reported_cause=cause,
    )


HOUR_US = 3_600_000_000
CHANGED_US = {Grain.HOUR: 36 * HOUR_US, Grain.DAY: 36 * HOUR_US}
"""A change of code or declaration is suspected for this long, since the next run tries it out.

Coarser data takes longer to come.
"""
CHANGED_LONG_US = 40 * 24 * HOUR_US


def diagnose(
    evidence: Sequence[Evidence], graph: CauseGraph, now_us: int, open_causes: Sequence[Cause] = ()
) -> list[Cause]:
    """Return the causes of all evidence, each once, the most upstream first.

    `evidence` is all active evidence, including recently applied changes (`Family.CHANGE`).
    `open_causes` are the open incidents with what each explained so far: that stays with them, also
    when their own evidence is gone.
    """
    candidates = _Sweep(evidence, graph, now_us, open_causes).causes()
    return [
        described_cause(refined_cause(candidate, graph))
        for candidate in merge_shared(traced_to_sources(candidates, graph), graph, open_causes)
    ]


def _may_follow_from_a_warning(cause: CauseCandidate, evidence: Evidence) -> bool:
    """Return whether held evidence may follow from a warning.

    Evidence of an unknown subject follows only from a certain one.
    """
    return evidence.held and (
        evidence.family is not Family.CHECK
        or bool(evidence.kind)
        or cause.own_evidence[0].strength >= EXACT_NATS
    )


def _changed_since(cause: CauseCandidate, evidence: Evidence, place: NodeEvidence) -> bool:
    """Return whether a node's code changed after a cause upstream began and before this was seen.

    Then the change is the better explanation. In this partition the cause begins when it is seen: a
    delivery may have been held since it arrived, and shows itself here once it is published.
    """
    if (
        cause.kind is CauseKind.RUNTIME_DOWN
        or evidence.id in cause.known
        or evidence.family is Family.ARRIVAL
    ):
        return False
    began_us = min(
        (each.at_us for each in cause.own_evidence if each.partition == evidence.partition),
        default=cause.began_us,
    )
    return any(began_us < change.at_us <= evidence.at_us for change in place.bodies)


def _makes_more(cause: CauseCandidate, evidence: Evidence, place: NodeEvidence) -> bool:
    """Return whether a changed code produces more rows, which the cause upstream can't.

    Missing values and unmatched keys leave as many rows, or fewer.
    """
    more = evidence.family is Family.DUPLICATES or (
        evidence.family is Family.VOLUME and times_of([evidence]) > 1
    )
    return (
        more
        and place.rewritten(evidence)
        and cause.kind in (CauseKind.NULL_SPIKE, CauseKind.REFERENCE_BROKEN)
    )


def _tried_out(change: Evidence, seen: Sequence[int], window: int) -> bool:
    """Return whether something was first seen so soon after a change that it may be the reason.

    `seen` are times in order. What was seen before the change doesn't count, nor what came after it
    was reverted.
    """
    after = bisect_left(seen, change.at_us)
    if after == len(seen) or seen[after] - change.at_us > window:
        return False
    return change.taken_back_us is None or seen[after] < change.taken_back_us


def _is_worth_an_incident(cause: CauseCandidate) -> bool:
    """Return whether a cause was chosen and anything still shows it."""
    return cause.chosen and bool(cause.own_evidence or cause.symptoms)


def _may_explain(cause: CauseCandidate, evidence: Evidence, place: NodeEvidence) -> bool:
    """Return whether evidence at a node may follow from a cause upstream.

    A warning explains held evidence in some cases only, and changed code of the node may be the
    better explanation.
    """
    if not cause.chosen and evidence.held and not _may_follow_from_a_warning(cause, evidence):
        return False
    return not place.bodies or not (
        _changed_since(cause, evidence, place) or _makes_more(cause, evidence, place)
    )


class _Sweep:
    """One pass over the nodes with evidence or carried causes, and the nodes between them."""

    def __init__(
        self,
        evidence: Sequence[Evidence],
        graph: CauseGraph,
        now_us: int,
        open_causes: Sequence[Cause],
    ) -> None:
        self._graph = graph
        self._changes: dict[str, list[Evidence]] = {}
        self._seen: dict[str, list[Evidence]] = {}
        for item in sorted(evidence, key=lambda evidence: (evidence.at_us, evidence.id)):
            if item.family is not Family.CHANGE:
                self._seen.setdefault(item.node, []).append(item)
            elif item.at_us <= now_us:
                self._changes.setdefault(item.node, []).append(item)
        self._carried: dict[str, list[CauseCandidate]] = {}
        for known in carried_causes(open_causes, evidence):
            self._carried.setdefault(known.node, []).append(known)
        self._looks = SeenBelow(
            (graph.rank(name), results)
            for name, results in self._seen.items()
            if name in graph.nodes
        )
        self._everywhere: list[CauseCandidate] = []
        self._above: dict[str, Above] = {}

    def causes(self) -> list[CauseCandidate]:
        """Return all causes worth an incident, the most upstream first."""
        outside = [name for name in (*self._seen, *self._carried) if name not in self._graph.nodes]
        candidates = [
            candidate
            for name in sorted(set(outside), key=lambda name: (name != HEADRACE, name))
            for candidate in self._at(name, {})
        ]
        self._everywhere = [candidate for candidate in candidates if candidate.node == HEADRACE]
        marked = sorted({*self._seen, *self._carried} - set(outside), key=self._graph.rank)
        for number, name in enumerate(marked):
            candidates += self._visit(name, {})
            if self._above:  # from here on, evidence may follow from causes upstream
                candidates += self._walk(self._graph.between(marked[number:])[1:])
                break
        return [candidate for candidate in candidates if _is_worth_an_incident(candidate)]

    def _walk(self, names: Iterable[str]) -> Iterator[CauseCandidate]:
        """Yield the causes at these nodes, with upstream causes carried along."""
        for name in names:
            above = reach_of_inputs(self._graph, name, self._above)
            if name in self._seen or name in self._carried:
                yield from self._visit(name, above)
            elif above:
                self._above[name] = above

    def _visit(self, name: str, above: Above) -> list[CauseCandidate]:
        """Return the causes at a node, and carry on those that may explain downstream evidence."""
        here, below = self._at(name, above), self._looks.below(self._graph.rank(name))
        above |= {
            candidate: reach_at_own_node(self._graph, candidate)
            for candidate in here
            if may_show(candidate, below)
        }
        if above:
            self._above[name] = above
        return here

    def _at(self, name: str, above: Above) -> list[CauseCandidate]:
        carried_here = self._carried.get(name, [])
        offered: dict[CauseCandidate, CauseReach | None] = {
            **above,
            **dict.fromkeys(self._everywhere),
        }
        offered |= {
            candidate: reach_at_own_node(self._graph, candidate) for candidate in carried_here
        }
        place = NodeEvidence(
            name,
            self._graph.is_source(name),
            self._seen.get(name, ()),
            self._graph.joins(name),
            *self._changed(name),
        )
        residual = [
            evidence for evidence in place.evidence if not self._explained(evidence, offered, place)
        ]
        history, rest = split_history(residual)
        return [
            *carried_here,
            *gathered_history(causes_at(place, history)),
            *causes_at(place, rest),
        ]

    def _changed(self, name: str) -> tuple[list[Evidence], list[Evidence]]:
        """Return the changes of code and of declarations at a node that may be the reason."""
        changes = self._changes.get(name)
        seen = sorted(evidence.at_us for evidence in self._seen.get(name, ()))
        if not changes or not seen:
            return [], []
        window = self._suspected_us(name)
        recent = [change for change in changes if _tried_out(change, seen, window)]
        bodies = (
            []
            if self._graph.is_source(name)
            else [evidence for evidence in recent if evidence.detail in BODIES]
        )
        return bodies, [evidence for evidence in recent if evidence not in bodies]

    def _suspected_us(self, name: str) -> int:
        """Return for how long a change at a node is suspected, in microseconds."""
        node = self._graph.nodes.get(name)
        if node is None or node.partition.grain is None:
            return CHANGED_US[Grain.DAY]
        return CHANGED_US.get(node.partition.grain, CHANGED_LONG_US)

    def _explained(
        self,
        evidence: Evidence,
        offered: Mapping[CauseCandidate, CauseReach | None],
        place: NodeEvidence,
    ) -> bool:
        """Attribute evidence to the upstream cause that explains it best, if there is one.

        A warning becomes worth an incident when it explains held data. Downstream warnings follow
        from upstream ones, so that harm is attributed to its origin.
        """
        best, most = None, 0.0
        for cause, reach in offered.items():
            if not _may_explain(cause, evidence, place):
                continue
            score = explanation_score(self._graph, cause, reach, evidence)
            fit = score if cause.chosen else score / 2
            if fit > most:
                best, most = cause, fit
        if best is None:
            return False
        best.symptoms.append(evidence)
        best.chosen = (
            best.chosen
            or evidence.held
            # an incident by itself, so what it follows from is one
            or evidence.family is Family.DURATION
            or (lost_partners(evidence, place) and best.kind is not CauseKind.NULL_SPIKE)
        )
        return True
