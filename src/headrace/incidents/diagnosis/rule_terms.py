"""What a rule of the diagnosis is: the evidence at a node, what it covers, shared functions."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headrace.incidents.diagnosis.evidence import Evidence, FailureCategory, Family, failure_of
from headrace.model.causes import CauseKind

CLOCK_US = 15 * 60 * 1_000_000
"""Clocks may differ by at most 15 minutes."""
EXACT_NATS = 12.0
"""Evidence from an exact comparison, not an estimate, has at least this many nats."""
CONTENT = frozenset(
    {
        Family.STALE,
        Family.RESTATED,
        Family.DUPLICATES,
        Family.VOLUME,
        Family.NULLS,
        Family.DISTRIBUTION,
        Family.REFERENCE,
        Family.CHECK,
    }
)
"""Families in which wrong data shows where it is read."""
ABSENT = frozenset({Family.ARRIVAL, Family.STALE, Family.VOLUME, Family.CHECK})
"""Families in which missing data shows."""
BROKEN = CONTENT | {Family.SCHEMA, Family.FORMAT, Family.TYPE, Family.ERROR}
"""Families in which data of another form shows: asset code fails over it, too."""
CERTAIN = math.inf
"""Nats that rule a cause out, whatever speaks for it."""


class Covers(enum.Enum):
    """Which other evidence at the same node a known cause explains."""

    NODE = "node"
    """All of it: nothing is known about missing data."""
    PARTITION = "partition"
    """All of the same partitions."""
    ROWS = "rows"
    """In the same partitions, what names no column or is at most as strong.

    Missing or repeated rows shift shares, too.
    """
    COLUMNS = "columns"
    """In the same partitions, the same columns and evidence without a column."""
    ITSELF = "itself"


@dataclass(frozen=True)
class NodeEvidence:
    """The evidence at one node.

    `bodies` and `declarations` are the recently applied changes of its code and its declaration.
    """

    node: str
    is_source: bool
    evidence: Sequence[Evidence]
    joins: bool = False
    """Whether the node has several inputs."""
    bodies: Sequence[Evidence] = ()
    declarations: Sequence[Evidence] = ()

    def rewritten(self, evidence: Evidence) -> bool:
        """Return whether the code changed before something was seen.

        What readers had before a recomputation as well isn't due to new code, nor is what a check
        has warned of since before the change.
        """
        alike = evidence.alike_since_us
        return not evidence.repeated and any(
            change.at_us <= evidence.at_us and (alike is None or change.at_us < alike)
            for change in self.bodies
        )

    def redeclared(self, evidence: Evidence) -> bool:
        """Return whether a new path, schedule, connection or target explains what was seen later.

        Other changes of a declaration can't keep data away. A new source was never read elsewhere,
        so only a missing place is its declaration's fault. Denied access is the fault of a new
        address if data was read before. A server that doesn't answer isn't the declaration's fault,
        nor is data that is missing because of that.
        """
        observations = {failure_of(each) for each in self.evidence if each.family is Family.ACCESS}
        failure = failure_of(evidence)
        if failure is FailureCategory.UNREACHABLE or (
            evidence.family is Family.ARRIVAL and FailureCategory.UNREACHABLE in observations
        ):
            return False
        denied = failure is FailureCategory.DENIED or (
            evidence.family is Family.ARRIVAL and FailureCategory.DENIED in observations
        )
        return any(
            change.at_us <= evidence.at_us
            and not change.same_place
            and (not denied or not self.is_source or change.readdressed)
            and (not change.added or failure is FailureCategory.PLACE)
            for change in self.declarations
        )


def _nothing_against(_place: NodeEvidence, _evidence: Sequence[Evidence]) -> float:
    return 0.0


def held(evidence: Evidence, _place: NodeEvidence) -> bool:
    """Return whether evidence is held, or would be without a policy that lets it through.

    Most other warnings alone aren't worth an incident.
    """
    return evidence.held or evidence.let_through


def always(_evidence: Evidence, _place: NodeEvidence) -> bool:
    """Return True: worth an incident even if nothing is held back from readers."""
    return True


def certain(evidence: Evidence, place: NodeEvidence) -> bool:
    """Return whether evidence is worth an incident by itself, or from an exact comparison."""
    return held(evidence, place) or (
        evidence.strength >= EXACT_NATS and evidence.family is not Family.CHECK
    )


@dataclass(frozen=True)
class Rule:
    """One kind of cause.

    `weight` returns how much a piece of evidence speaks for it (0 to 1), `against` what speaks
    against it at a node, in nats. `shows_in` are the families of its downstream effects; `opens`
    returns whether evidence is worth an incident by itself.
    """

    kind: CauseKind
    weight: Callable[[Evidence, NodeEvidence], float]
    covers: Covers
    shows_in: frozenset[Family]
    against: Callable[[NodeEvidence, Sequence[Evidence]], float] = _nothing_against
    opens: Callable[[Evidence, NodeEvidence], bool] = held
    prior: float = 2.5
    """By how many nats the evidence for it must exceed the evidence against it.

    Held evidence has at least 3.
    """


def is_declared_wrongly(evidence: Evidence) -> bool:
    """Return whether an export failed over its declaration, or over rows it can't hold.

    Such an export isn't retried. Faults of the target itself, such as missing rights or a folder
    that is a file, have another code.
    """
    return evidence.family is Family.EXPORT and evidence.detail == CauseKind.CONFIGURATION_ERROR


def named(kind: CauseKind) -> Callable[[Evidence, NodeEvidence], float]:
    """Return the weight function of evidence that names a kind itself."""
    return lambda evidence, _place: float(evidence.kind == kind)


def rewritten(place: NodeEvidence, own_evidence: Sequence[Evidence]) -> float:
    """Return certainty against a data cause if the code changed before all of its evidence.

    Then an asset's code is to blame, not its data.
    """
    return (
        CERTAIN
        if not place.is_source and all(place.rewritten(evidence) for evidence in own_evidence)
        else 0.0
    )
