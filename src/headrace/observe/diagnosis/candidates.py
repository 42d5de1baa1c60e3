"""A cause while it is being found: the evidence at its node that makes it one, and what else is put down to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from headrace.observe.diagnosis.causes import Cause, CauseKind
from headrace.observe.diagnosis.evidence import Evidence
from headrace.observe.diagnosis.rules import Rule


@dataclass(eq=False)
class CauseCandidate:
    """`rule` None: nothing says what kind it is. It is `chosen` once it is worth an incident; until then it may still explain what is
    found further down.
    One with `said` is an incident that is open already, whose own evidence is gone."""

    rule: Rule | None
    node: str
    own: list[Evidence]
    chosen: bool
    columns: frozenset[str] = frozenset()
    partitions: frozenset[str] = frozenset()
    began_us: int = 0
    symptoms: list[Evidence] = field(default_factory=list)
    nodes: tuple[str, ...] = ()
    """Where else it is seen, of causes that several nodes share."""
    known: frozenset[str] = frozenset()
    """Of one that is carried: the ids of what it explained so far."""
    latent: bool = False
    """Nothing was seen at the node itself: what is made of it says so."""
    rewritten: bool = False
    """Whether the node's body was changed shortly before."""
    version: str = ""
    """The number of the version that changed it, where that is known."""
    said: Cause | None = None
    """Of one that is carried: the cause as it was told."""
    history: tuple[CauseCandidate, ...] = ()
    """Of what is held of a history that was loaded at once: the causes that it gathers."""

    @property
    def kind(self) -> CauseKind:
        """In INTERFACE's words."""
        return self.rule.kind if self.rule is not None else CauseKind.UNKNOWN

    @cached_property
    def is_published(self) -> bool:
        """Whether something of what it is seen in can be read: what is held makes nothing wrong that is made of it."""
        kept = {evidence.partition for evidence in self.own if evidence.held}
        return any(evidence.partition not in kept for evidence in self.own)

    @cached_property
    def is_held(self) -> bool:
        """Whether what it is seen in is kept from readers."""
        return any(evidence.held for evidence in self.own)


def candidate(rule: Rule | None, node: str, own: Iterable[Evidence], *, chosen: bool) -> CauseCandidate:
    """A cause made of its own evidence, the strongest first."""
    ordered = sorted(own, key=lambda evidence: (-evidence.strength, evidence.partition, evidence.at_us, evidence.id))
    at = frozenset(evidence.partition for evidence in ordered)
    return CauseCandidate(
        rule, node, ordered, chosen,
        columns=frozenset(evidence.column for evidence in ordered if evidence.column),
        partitions=at if "" not in at and "*" not in at else frozenset(),
        began_us=min(began(evidence) for evidence in ordered),
    )  # fmt: skip


def began(evidence: Evidence) -> int:
    """Since when it has been so, as far as that is known."""
    return evidence.at_us if evidence.began_us is None else min(evidence.began_us, evidence.at_us)
