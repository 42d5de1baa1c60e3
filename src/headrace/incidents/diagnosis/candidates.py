"""Candidate causes during a diagnosis, their confidence, and the one cause of a held history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

from headrace.incidents.diagnosis.evidence import Evidence
from headrace.incidents.diagnosis.rule_terms import EXACT_NATS, Rule
from headrace.model.causes import DATA_CAUSES, Cause, CauseKind
from headrace.model.wording import few

# A cause during the diagnosis: the evidence at its node that makes it one, and the symptoms
# attributed to it.


@dataclass(eq=False)
class CauseCandidate:
    """A possible cause.

    `rule` None: its kind is unknown. `chosen`: it is worth an incident; others may still explain
    downstream evidence. A candidate with `reported_cause` is an open incident whose own evidence is
    gone.
    """

    rule: Rule | None
    node: str
    own_evidence: list[Evidence]
    chosen: bool
    columns: frozenset[str] = frozenset()
    partitions: frozenset[str] = frozenset()
    began_us: int = 0
    symptoms: list[Evidence] = field(default_factory=list)
    nodes: tuple[str, ...] = ()
    """Other nodes that share the cause."""
    known: frozenset[str] = frozenset()
    """For a carried cause: the ids of the evidence that it explained so far."""
    latent: bool = False
    """Whether only derived data shows it, and nothing was seen at the node itself."""
    rewritten: bool = False
    """Whether the node's code was changed shortly before."""
    version: str = ""
    """The number of the version that changed it, if known."""
    reported_cause: Cause | None = None
    """For a carried cause: the cause as reported."""
    history: tuple[CauseCandidate, ...] = ()
    """For held data of a history load: the causes that were gathered into this one."""

    @property
    def kind(self) -> CauseKind:
        """The kind of the cause, as named in INTERFACE."""
        return self.rule.kind if self.rule is not None else CauseKind.UNKNOWN

    @cached_property
    def is_published(self) -> bool:
        """Whether readers can see any of its data; held data makes nothing downstream wrong."""
        held_partitions = {evidence.partition for evidence in self.own_evidence if evidence.held}
        return any(evidence.partition not in held_partitions for evidence in self.own_evidence)

    @cached_property
    def is_held(self) -> bool:
        """Whether any of its data is held back from readers."""
        return any(evidence.held for evidence in self.own_evidence)


def candidate(
    rule: Rule | None, node: str, own_evidence: Iterable[Evidence], *, chosen: bool
) -> CauseCandidate:
    """Return a cause made of its own evidence, the strongest first."""
    ordered = sorted(
        own_evidence,
        key=lambda evidence: (-evidence.strength, evidence.partition, evidence.at_us, evidence.id),
    )
    at = frozenset(evidence.partition for evidence in ordered)
    return CauseCandidate(
        rule,
        node,
        ordered,
        chosen,
        columns=frozenset(evidence.column for evidence in ordered if evidence.column),
        partitions=at if "" not in at and "*" not in at else frozenset(),
        began_us=min(began(evidence) for evidence in ordered),
    )


def began(evidence: Evidence) -> int:
    """Return since when the observed problem exists, as far as known."""
    return evidence.at_us if evidence.began_us is None else min(evidence.began_us, evidence.at_us)


# How sure a cause is: how often causes with the same kind of evidence turned out right in the
# simulation (`tests/incidents/diagnosis`).

EXACT = 0.98
ESTIMATED = 0.93
"""For estimated evidence: figures beyond all history sometimes reflect the real world."""
REWRITTEN = 0.95
WARNED = 0.95
"""For a published warning with a downstream failure along the same columns."""
FAILED = 0.9
"""For asset code that failed without any anomaly in its inputs or itself."""
LATENT = 0.6
UNKNOWN = 0.3


def confidence(candidate: CauseCandidate) -> float:
    """Return how sure a cause is, from 0 to 1."""
    if candidate.rule is None:
        return UNKNOWN
    if candidate.latent:
        return LATENT
    if candidate.kind is CauseKind.CODE_ERROR:
        return REWRITTEN if candidate.rewritten else FAILED
    if not candidate.is_held and candidate.symptoms:
        return WARNED
    return EXACT if candidate.own_evidence[0].strength >= EXACT_NATS else ESTIMATED


def certainty(confidence: float) -> str:
    """Return the confidence as a word."""
    return (
        "established"
        if confidence >= FAILED
        else "likely"
        if confidence >= LATENT
        else "not established"
    )


# Held deliveries of a history that was loaded at once are one cause, whatever their kinds.
# Deliveries that arrive afterwards have their own cause.

HISTORY = "held history"
"""The detail of such a cause."""
_APART = (CauseKind.RESTATEMENT, CauseKind.REPORTED, CauseKind.DATA_CORRUPTED)
_KINDS = (DATA_CAUSES - frozenset(_APART)) | {CauseKind.UNKNOWN}
NAMED_MAX = 3
"""At most this many kinds and columns are named."""


def split_history(evidence: Sequence[Evidence]) -> tuple[list[Evidence], list[Evidence]]:
    """Return the evidence of held deliveries of a history, with their warnings, and the rest."""
    held = {item.partition for item in evidence if item.history}
    return (
        [item for item in evidence if item.partition in held],
        [item for item in evidence if item.partition not in held],
    )


def gathered_history(candidates: Sequence[CauseCandidate]) -> list[CauseCandidate]:
    """Return the causes in a history, with those of held data gathered into one.

    It has the kind of the strongest evidence.
    """
    parts = tuple(
        cause_candidate
        for cause_candidate in candidates
        if cause_candidate.chosen and cause_candidate.is_held and cause_candidate.kind in _KINDS
    )
    if not parts:
        return list(candidates)
    strongest = max(parts, key=lambda cause_candidate: cause_candidate.own_evidence[0].strength)
    own_evidence = chain.from_iterable(part.own_evidence for part in parts)
    cause_candidate = candidate(strongest.rule, strongest.node, own_evidence, chosen=True)
    cause_candidate.symptoms = list(chain.from_iterable(part.symptoms for part in parts))
    cause_candidate.history = parts
    return [cause_candidate, *(other for other in candidates if other not in parts)]


def history_summary(cause_candidate: CauseCandidate) -> str:
    """Return a clause about a held history.

    For example `4 of 40 intervals of history held: null_spike in amount (3), volume_anomaly (1)`.
    """
    held = {each.partition for each in cause_candidate.own_evidence if each.history}
    of = max(each.history for each in cause_candidate.own_evidence)
    by_kind: dict[str, set[str]] = {}
    for part in cause_candidate.history:
        columns = sorted(part.columns)
        where = f" in {few(columns, NAMED_MAX)}" if columns else ""
        by_kind.setdefault(f"{part.kind}{where}", set()).update(part.partitions)
    rows = sorted(by_kind.items(), key=lambda row: (-len(row[1]), row[0]))
    kinds = [f"{kind} ({len(at)})" for kind, at in rows]
    return f"{len(held)} of {of} intervals of history held: {few(kinds, NAMED_MAX)}"
