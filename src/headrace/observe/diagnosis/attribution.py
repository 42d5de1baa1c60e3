"""Which causes explain all that was seen: from the sources on, node by node, what something above explains is a symptom of that.

A cause is made of evidence at its own node only. Walking in the order in which data flows, each piece of evidence is first offered to
the causes above it (those that are worth an incident, then what was only warned of); what none explains makes causes where it is seen.
So the most upstream explanation wins without comparing sets of causes, and the work grows with what lies above the evidence, not with
the project. Nothing here reads a store or a clock.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence

from headrace.model import Grain
from headrace.observe.diagnosis.candidates import CauseCandidate
from headrace.observe.diagnosis.carrying import carried
from headrace.observe.diagnosis.causes import HEADRACE, Cause, CauseKind
from headrace.observe.diagnosis.details import times_of
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.diagnosis.explaining import may_show, score
from headrace.observe.diagnosis.graph import CauseGraph
from headrace.observe.diagnosis.loading import gathered, split
from headrace.observe.diagnosis.origins import traced
from headrace.observe.diagnosis.placing import BODIES, causes_at
from headrace.observe.diagnosis.reaching import Above, CauseReach, flows, starts
from headrace.observe.diagnosis.refining import refined
from headrace.observe.diagnosis.rules import NodeEvidence
from headrace.observe.diagnosis.rules.reference_broken import lost_partners
from headrace.observe.diagnosis.rules.rule import EXACT_NATS
from headrace.observe.diagnosis.seen_below import SeenBelow
from headrace.observe.diagnosis.sharing import shared
from headrace.observe.diagnosis.wording import told

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
    return [told(refined(candidate, graph)) for candidate in shared(traced(candidates, graph), graph, open_causes)]


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
        for known in carried(open_causes, evidence):
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
            above = flows(self._graph, name, self._above)
            if name in self._seen or name in self._carried:
                yield from self._visit(name, above)
            elif above:
                self._above[name] = above

    def _visit(self, name: str, above: Above) -> list[CauseCandidate]:
        """The causes at a node; what of them, and of those above, may explain anything below goes on from there."""
        here, below = self._at(name, above), self._looks.below(self._graph.rank(name))
        above |= {candidate: starts(self._graph, candidate) for candidate in here if may_show(candidate, below)}
        if above:
            self._above[name] = above
        return here

    def _at(self, name: str, above: Above) -> list[CauseCandidate]:
        carried_here = self._carried.get(name, [])
        offered: dict[CauseCandidate, CauseReach | None] = {**above, **dict.fromkeys(self._everywhere)}
        offered |= {candidate: starts(self._graph, candidate) for candidate in carried_here}
        place = NodeEvidence(name, self._graph.is_source(name), self._seen.get(name, ()), self._graph.joins(name), *self._changed(name))
        residual = [evidence for evidence in place.evidence if not self._explained(evidence, offered, place)]
        history, rest = split(residual)
        return [*carried_here, *gathered(causes_at(place, history)), *causes_at(place, rest)]

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
            fit = score(self._graph, cause, reach, evidence) * (1.0 if cause.chosen else 0.5)
            if fit > most:
                best, most = cause, fit
        if best is None:
            return False
        best.symptoms.append(evidence)
        slow = evidence.family is Family.DURATION  # an incident by itself, so what it follows from is one
        best.chosen = best.chosen or evidence.held or slow or (lost_partners(evidence, place) and best.kind is not CauseKind.NULL_SPIKE)
        return True
