"""Attribution: which causes explain all evidence, from the sources on, node by node.

A cause is made only from evidence at its own node. In the order in which data flows, each piece of evidence is first offered to the causes
above it (those worth an incident, then warnings); evidence that none of them explains makes causes where it was observed. So the most
upstream explanation wins without a comparison of sets of causes, and the work grows with what lies above the evidence, not with the
project. Nothing here reads a store or a clock.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence

from headrace.incidents.diagnosis.candidates import CauseCandidate, began, gathered_history, split_history
from headrace.incidents.diagnosis.evidence import NO_WORKER, Evidence, Family, detail_of, times_of
from headrace.incidents.diagnosis.graph import ALL, OF_ROWS, Above, CauseGraph, CauseReach, reach_at_own_node, reach_of_inputs
from headrace.incidents.diagnosis.local_causes import BODIES, causes_at
from headrace.incidents.diagnosis.rules import ABSENT, BY_KIND, CLOCK_US, EXACT_NATS, NodeEvidence, lost_partners
from headrace.incidents.diagnosis.shared_causes import merge_shared, traced_to_sources
from headrace.incidents.diagnosis.wording import described_cause
from headrace.model import Grain
from headrace.model.causes import HEADRACE, Cause, CauseKind

# Whether a cause further up explains evidence at a node: in time, along columns, in the
# partitions, in the right family.

FADES = 0.9
"""What is explained over one more step is worth so much less."""


MUCH_MORE = 2.0
"""So many times the rows may take more memory and time than there is."""
_OF_SIZE = frozenset({*OF_ROWS, CauseKind.DISTRIBUTION_SHIFT})
"""What takes more time and memory where there are more rows, or larger values."""
_ABOUT = {
    "null_spike": Family.NULLS,
    "distribution_shift": Family.CHECK,
    "volume_anomaly": Family.VOLUME,
    "duplicate_rows": Family.DUPLICATES,
    "reference_broken": Family.REFERENCE,
    "stale_data": Family.STALE,
}
"""What a check that failed is about; one of values may be about anything."""


def explanation_score(graph: CauseGraph, cause: CauseCandidate, reach: CauseReach | None, evidence: Evidence) -> float:
    """How well a cause that lies above it explains evidence: 0, not at all, to 1. Without `reach` it reaches everything."""
    if evidence.id in cause.known:
        return 1.0
    if evidence.family is Family.RESTATED and evidence.node == cause.node:  # what corrects something is no evidence: it isn't gathered
        return 0.0
    if cause.rule is None or cause.began_us > evidence.at_us + CLOCK_US or not _shows_itself(cause, evidence):
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
    return bool(cause.known) or (cause.rule is not None and any(_shows_itself(cause, evidence) for evidence in seen))


_SEEN_BY_READERS = (CauseKind.REPORTED, CauseKind.DATA_CORRUPTED)
"""What is wrong with what was published, although nothing of it was published with a warning."""


def _in_columns(graph: CauseGraph, reach: CauseReach, evidence: Evidence) -> bool:
    if not evidence.column or reach.columns == ALL:
        return bool(reach.columns)
    return bool(reach.columns & graph.bits(evidence.node, (evidence.column,)))


def _shows_itself(cause: CauseCandidate, evidence: Evidence) -> bool:
    """Whether a cause shows itself in what a piece of evidence is about."""
    if cause.kind is CauseKind.RUNTIME_DOWN:
        return evidence.family in BY_KIND[cause.kind].shows_in and _fell_in_outage(cause, evidence)
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
    return evidence.family in shows_in and _subject(evidence) in shows_in


def _same_way(cause: CauseCandidate, evidence: Evidence) -> bool:
    """More rows make no fewer, and lose no keys; fewer don't make more."""
    more = times_of(cause.own) > 1
    if _subject(evidence) is Family.VOLUME and (times := times_of([evidence])) != 1:
        return (times > 1) == more
    return not more or _subject(evidence) not in (Family.REFERENCE, Family.NULLS)


def _is_missed(cause: CauseCandidate, evidence: Evidence) -> bool:
    """Whether what is seen is that the rows aren't there that a cause keeps from readers."""
    return cause.is_held and _subject(evidence) in (Family.ARRIVAL, Family.STALE) and evidence.family in ABSENT


def _subject(evidence: Evidence) -> Family:
    """What a piece of evidence is about: of a check that failed, what it looks at."""
    return _ABOUT.get(evidence.kind, evidence.family) if evidence.family is Family.CHECK else evidence.family


def _fell_in_outage(cause: CauseCandidate, evidence: Evidence) -> bool:
    """What was due while nobody was there; what a source doesn't have when it is looked at again is missing all the same. As long as
    no worker starts that isn't over. A run that only began when somebody was there again has its own cause."""
    lasting = any(each.detail == NO_WORKER for each in cause.own)
    ended = evidence.at_us if lasting else max((each.at_us for each in cause.own), default=cause.began_us)
    due = evidence.kind == CauseKind.DEADLINE_INFEASIBLE or evidence.family is not Family.ARRIVAL
    until = ended + CLOCK_US if lasting or evidence.family is Family.ARRIVAL else ended - 1
    return due and cause.began_us - CLOCK_US <= began(evidence) <= until


# What is observed below each node, as far as causes differ in what they show. A cause that
# nothing below could show isn't carried further.

_Look = tuple[str, str, bool]


class SeenBelow:
    """One piece of evidence of each look, by the rank of the node that it is seen at; data flows from lower ranks to higher ones."""

    def __init__(self, seen: Iterable[tuple[int, Sequence[Evidence]]]) -> None:
        known: dict[_Look, Evidence] = {}
        every: list[Evidence] = []
        self._ranks: list[int] = []
        self._from: list[list[Evidence]] = []
        for rank, evidence in sorted(seen, key=lambda item: item[0], reverse=True):
            new = {look: item for item in evidence if (look := _appearance_of(item)) not in known}
            if new:
                known |= new
                every = [*every, *new.values()]
            self._ranks.append(rank)
            self._from.append(every)
        self._ranks.reverse()
        self._from.reverse()

    def below(self, rank: int) -> Sequence[Evidence]:
        """What is seen at nodes of higher ranks."""
        at = bisect_right(self._ranks, rank)
        return self._from[at] if at < len(self._from) else ()


def _appearance_of(evidence: Evidence) -> _Look:
    return evidence.family, evidence.kind, times_of([evidence]) > 1


# A cause may turn out to be of another kind by its effects: if joins further down lost their
# partners, the keys are different ones.

OTHER_NAMES = "other names"
"""Details of held values of which few were there before, and as many others are."""
_PARTNERS = (Family.NULLS, Family.REFERENCE)


def refined_cause(candidate: CauseCandidate, graph: CauseGraph) -> CauseCandidate:
    """Where joins further down lost their partners over it, or would have if it weren't held, it has
    other keys than before."""
    if candidate.said is None and _has_other_keys(candidate) and (_lost_partners(candidate) or _would_lose_them(candidate, graph)):
        candidate.rule = BY_KIND[CauseKind.REFERENCE_BROKEN]
    return candidate


def _lost_partners(candidate: CauseCandidate) -> bool:
    return any(each.family in _PARTNERS for each in candidate.symptoms)


def _would_lose_them(candidate: CauseCandidate, graph: CauseGraph) -> bool:
    """Whether a delivery is held for other names in a column that something is joined by."""
    keys = {each.column for each in candidate.own if each.held and detail_of(candidate.kind, [each]) == OTHER_NAMES}
    return graph.joined_by(candidate.node, keys)


def _has_other_keys(candidate: CauseCandidate) -> bool:
    """Reference data written over, or other names than there ever were in one column."""
    if candidate.kind is CauseKind.RESTATEMENT:
        return not candidate.partitions
    return candidate.kind is CauseKind.DISTRIBUTION_SHIFT and any(
        "distinct" in each.observed or "grain" in each.detail or "names" in each.detail for each in candidate.own
    )


# Open incidents: what they explained stays theirs, also after their own evidence is gone.


def carried_causes(open_causes: Iterable[Cause], evidence: Sequence[Evidence]) -> list[CauseCandidate]:
    """The open causes of whose own evidence nothing stands, while something that they explained does."""
    standing = {item.id for item in evidence}
    result = (cause for cause in open_causes if standing.isdisjoint(cause.own) and not standing.isdisjoint(cause.explains))
    return [_as_candidate(cause, frozenset(cause.explains)) for cause in result]


def _as_candidate(cause: Cause, known: frozenset[str]) -> CauseCandidate:
    return CauseCandidate(
        BY_KIND.get(cause.kind), cause.node, [], chosen=True, columns=frozenset(cause.columns), partitions=frozenset(cause.partitions),
        began_us=cause.began_us, known=known, said=cause,
    )  # fmt: skip


HOUR_US = 3_600_000_000
CHANGED_US = {Grain.HOUR: 36 * HOUR_US, Grain.DAY: 36 * HOUR_US}
"""A change of code or declaration is tried out by the next run: for so long it may be what made the difference. Coarser data takes
longer to come."""
CHANGED_LONG_US = 40 * 24 * HOUR_US


def diagnose(evidence: Sequence[Evidence], graph: CauseGraph, now_us: int, open_causes: Sequence[Cause] = ()) -> list[Cause]:
    """The causes of all that was seen, each once, the most upstream first.

    `evidence` is what stands, changes that were applied lately (`Family.CHANGE`) among it; `open_causes` are the incidents that are
    open, by what each explained so far: what one of them explained stays with it, also when its own evidence is gone.
    """
    candidates = _Sweep(evidence, graph, now_us, open_causes).causes()
    return [
        described_cause(refined_cause(candidate, graph))
        for candidate in merge_shared(traced_to_sources(candidates, graph), graph, open_causes)
    ]


def _may_follow_from_a_warning(cause: CauseCandidate, evidence: Evidence) -> bool:
    """What is held may follow from what was only warned of; where nothing says what it is about, from what is certain only."""
    return evidence.held and (evidence.family is not Family.CHECK or bool(evidence.kind) or cause.own[0].strength >= EXACT_NATS)


def _changed_since(cause: CauseCandidate, evidence: Evidence, place: NodeEvidence) -> bool:
    """Whether a node's body was changed after a cause above it began, and before this was seen: the change explains it better."""
    if cause.kind is CauseKind.RUNTIME_DOWN or evidence.id in cause.known or evidence.family is Family.ARRIVAL:
        return False
    return any(cause.began_us < change.at_us <= evidence.at_us for change in place.bodies)


def _makes_more(cause: CauseCandidate, evidence: Evidence, place: NodeEvidence) -> bool:
    """Whether there are more rows since a node's body was changed, which a cause above it doesn't make: values that are missing,
    and keys that find nothing, leave as many rows, or fewer."""
    more = evidence.family is Family.DUPLICATES or (evidence.family is Family.VOLUME and times_of([evidence]) > 1)
    return more and place.rewritten(evidence) and cause.kind in (CauseKind.NULL_SPIKE, CauseKind.REFERENCE_BROKEN)


def _tried_out(change: Evidence, seen: Sequence[int], window: int) -> bool:
    """Whether something was first seen so shortly after a change that it may be what made the difference; `seen` in order. What stood
    before says nothing of it, nor does what came after the change was taken back."""
    after = bisect_left(seen, change.at_us)
    if after == len(seen) or seen[after] - change.at_us > window:
        return False
    return change.taken_back_us is None or seen[after] < change.taken_back_us


class _Sweep:
    """One pass over the nodes that matter."""

    def __init__(self, evidence: Sequence[Evidence], graph: CauseGraph, now_us: int, open_causes: Sequence[Cause]) -> None:
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
        self._looks = SeenBelow((graph.rank(name), results) for name, results in self._seen.items() if name in graph.nodes)
        self._everywhere: list[CauseCandidate] = []
        self._above: dict[str, Above] = {}

    def causes(self) -> list[CauseCandidate]:
        """All that is worth an incident, the most upstream first."""
        outside = [name for name in (*self._seen, *self._carried) if name not in self._graph.nodes]
        candidates = [
            candidate for name in sorted(set(outside), key=lambda name: (name != HEADRACE, name)) for candidate in self._at(name, {})
        ]
        self._everywhere = [candidate for candidate in candidates if candidate.node == HEADRACE]
        marked = sorted({*self._seen, *self._carried} - set(outside), key=self._graph.rank)
        for number, name in enumerate(marked):
            candidates += self._visit(name, {})
            if self._above:  # from here on something may follow from something else
                candidates += self._walk(self._graph.between(marked[number:])[1:])
                break
        return [candidate for candidate in candidates if candidate.chosen and (candidate.own or candidate.symptoms)]

    def _walk(self, names: Iterable[str]) -> Iterator[CauseCandidate]:
        """The causes at these nodes, what reaches them carried along."""
        for name in names:
            above = reach_of_inputs(self._graph, name, self._above)
            if name in self._seen or name in self._carried:
                yield from self._visit(name, above)
            elif above:
                self._above[name] = above

    def _visit(self, name: str, above: Above) -> list[CauseCandidate]:
        """The causes at a node; what of them, and of those above, may explain anything below goes on from there."""
        here, below = self._at(name, above), self._looks.below(self._graph.rank(name))
        above |= {candidate: reach_at_own_node(self._graph, candidate) for candidate in here if may_show(candidate, below)}
        if above:
            self._above[name] = above
        return here

    def _at(self, name: str, above: Above) -> list[CauseCandidate]:
        carried_here = self._carried.get(name, [])
        offered: dict[CauseCandidate, CauseReach | None] = {**above, **dict.fromkeys(self._everywhere)}
        offered |= {candidate: reach_at_own_node(self._graph, candidate) for candidate in carried_here}
        place = NodeEvidence(name, self._graph.is_source(name), self._seen.get(name, ()), self._graph.joins(name), *self._changed(name))
        residual = [evidence for evidence in place.evidence if not self._explained(evidence, offered, place)]
        history, rest = split_history(residual)
        return [*carried_here, *gathered_history(causes_at(place, history)), *causes_at(place, rest)]

    def _changed(self, name: str) -> tuple[list[Evidence], list[Evidence]]:
        """Bodies and declarations that were applied at a node so lately that they may have made the difference."""
        changes, seen = self._changes.get(name), sorted(evidence.at_us for evidence in self._seen.get(name, ()))
        if not changes or not seen:
            return [], []
        node = self._graph.nodes.get(name)
        window = CHANGED_US.get(node.partition.grain, CHANGED_LONG_US) if node and node.partition.grain else CHANGED_US[Grain.DAY]
        recent = [change for change in changes if _tried_out(change, seen, window)]
        bodies = [] if self._graph.is_source(name) else [evidence for evidence in recent if evidence.detail in BODIES]
        return bodies, [evidence for evidence in recent if evidence not in bodies]

    def _explained(self, evidence: Evidence, offered: Mapping[CauseCandidate, CauseReach | None], place: NodeEvidence) -> bool:
        """Put evidence down to the cause above that explains it best. What was only warned of counts as one where something is held;
        warnings further down follow from warnings above, so that what does harm in the end is put down to where it began."""
        best, most = None, 0.0
        for cause, reach in offered.items():
            if not (cause.chosen or not evidence.held or _may_follow_from_a_warning(cause, evidence)):
                continue
            if place.bodies and (_changed_since(cause, evidence, place) or _makes_more(cause, evidence, place)):
                continue
            fit = explanation_score(self._graph, cause, reach, evidence) * (1.0 if cause.chosen else 0.5)
            if fit > most:
                best, most = cause, fit
        if best is None:
            return False
        best.symptoms.append(evidence)
        slow = evidence.family is Family.DURATION  # an incident by itself, so what it follows from is one
        best.chosen = best.chosen or evidence.held or slow or (lost_partners(evidence, place) and best.kind is not CauseKind.NULL_SPIKE)
        return True
