"""What a rule about one kind of cause is."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.details import FailureCategory, failure_of
from headrace.observe.diagnosis.evidence import Evidence, Family

CLOCK_US = 15 * 60 * 1_000_000
"""Clocks may disagree by so much."""
EXACT_NATS = 12.0
"""Evidence that is compared, not estimated, is worth at least this."""
CONTENT = frozenset(
    {
        Family.STALE, Family.RESTATED, Family.DUPLICATES, Family.VOLUME, Family.NULLS, Family.DISTRIBUTION, Family.REFERENCE,
        Family.CHECK,
    }
)  # fmt: skip
"""What data that is wrong shows itself in where it is read."""
ABSENT = frozenset({Family.ARRIVAL, Family.STALE, Family.VOLUME, Family.CHECK})
"""What data that isn't there shows itself in."""
BROKEN = CONTENT | {Family.SCHEMA, Family.FORMAT, Family.TYPE, Family.ERROR}
"""What data of another form shows itself in: bodies fail over it, too."""
CERTAIN = math.inf
"""Nats that rule a cause out, however much speaks for it."""


class Covers(enum.Enum):
    """What else at the same node needs no other explanation once a cause is known."""

    NODE = "node"
    """All of it: nothing can be said of what isn't there."""
    PARTITION = "partition"
    """All of the same partitions."""
    ROWS = "rows"
    """Of the same partitions, what is no less probable than that: rows that are missing or repeated shift shares, too."""
    COLUMNS = "columns"
    """What is of the same partitions and columns, and what names no column."""
    ITSELF = "itself"


@dataclass(frozen=True)
class NodeEvidence:
    """What is seen at one node. `bodies` and `declarations` are the versions applied there lately."""

    node: str
    is_source: bool
    evidence: Sequence[Evidence]
    joins: bool = False
    """Whether it is made of several inputs."""
    bodies: Sequence[Evidence] = ()
    declarations: Sequence[Evidence] = ()

    def rewritten(self, evidence: Evidence) -> bool:
        """Whether another body was applied before something was seen. What readers had before a
        recomputation as well isn't a new body's."""
        return not evidence.repeated and any(change.at_us <= evidence.at_us for change in self.bodies)

    def redeclared(self, evidence: Evidence) -> bool:
        """Whether another path, schedule, connection or target of the node was applied before something was seen: what else
        is declared of it can't keep data away. A source that is new was never read elsewhere: only a place
        that isn't there is its declaration's. Who isn't let in where data was read before is kept out by the
        address that is new; who gets no answer isn't, nor does data come where nobody answers."""
        observations = {failure_of(each) for each in self.evidence if each.family is Family.ACCESS}
        failure = failure_of(evidence)
        if failure is FailureCategory.UNREACHABLE or (evidence.family is Family.ARRIVAL and FailureCategory.UNREACHABLE in observations):
            return False
        denied = failure is FailureCategory.DENIED or (evidence.family is Family.ARRIVAL and FailureCategory.DENIED in observations)
        return any(
            change.at_us <= evidence.at_us
            and not change.same_place
            and (not denied or not self.is_source or change.readdressed)
            and (not change.added or failure is FailureCategory.PLACE)
            for change in self.declarations
        )


def _never(_place: NodeEvidence, _own: Sequence[Evidence]) -> float:
    return 0.0


def held(evidence: Evidence, _place: NodeEvidence) -> bool:
    """Most of what was published with a warning is worth no incident unless it does harm further down."""
    return evidence.held


def always(_one: Evidence, _place: NodeEvidence) -> bool:
    """Worth an incident even where nothing is kept from readers."""
    return True


def certain(evidence: Evidence, _place: NodeEvidence) -> bool:
    """Held, or compared and not estimated: worth being told of even where a policy lets it through."""
    return evidence.held or (evidence.strength >= EXACT_NATS and evidence.family is not Family.CHECK)


@dataclass(frozen=True)
class Rule:
    """One kind of cause. `own` says how much of a piece of evidence speaks for it (0 to 1), `against` what speaks against it at a
    place, in nats; `shows_in` in which families it shows itself further down; `opens` whether evidence is worth an incident by itself."""

    kind: CauseKind
    own: Callable[[Evidence, NodeEvidence], float]
    covers: Covers
    shows_in: frozenset[Family]
    against: Callable[[NodeEvidence, Sequence[Evidence]], float] = _never
    opens: Callable[[Evidence, NodeEvidence], bool] = held
    prior: float = 2.5
    """In nats: so much more has to speak for it than against it. Whatever is held speaks with at least 3."""


def is_declared_wrongly(evidence: Evidence) -> bool:
    """Whether an export failed over its declaration, or over rows that the target can't hold, and isn't tried again. What is wrong with
    a target itself, such as rights or a folder that is a file, has another code."""
    return evidence.family is Family.EXPORT and evidence.detail == CauseKind.CONFIGURATION_ERROR


def named(kind: CauseKind) -> Callable[[Evidence, NodeEvidence], float]:
    """Evidence that speaks for a kind by itself."""
    return lambda evidence, _place: float(evidence.kind == kind)


def rewritten(place: NodeEvidence, own: Sequence[Evidence]) -> float:
    """Of what an asset gives out: where its body was changed before all that was seen, the body is to blame, not its data."""
    return CERTAIN if not place.is_source and all(place.rewritten(evidence) for evidence in own) else 0.0
