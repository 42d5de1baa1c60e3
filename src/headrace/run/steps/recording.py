"""Changes and facts as the store keeps them, with the delivery and the attempt that they are of."""

from __future__ import annotations

import msgspec

from headrace.quality.facts import DriftChange, Fact, RenameFindings
from headrace.schedule import AttemptId
from headrace.store.queries.drift import DriftRow, FactRow


def drift_row(node: str, key: str, number: int | None, attempt: AttemptId, change: DriftChange, now: int) -> DriftRow:
    """A change of a delivery as it is kept."""
    score = None if change.score is None else f"{change.score:.4f}"
    evidence, users = (msgspec.json.encode(item).decode() for item in (change.evidence, change.used_by))
    kind, policy = change.kind.value, change.policy.value
    findings = RenameFindings(change.candidates, change.differs)
    measured = None if findings == RenameFindings() else msgspec.json.encode(findings).decode()
    return DriftRow(
        node, key, number, *attempt, kind, change.column, change.to, score, evidence, policy, users,
        now, measured,
    )  # fmt: skip


def fact_row(node: str, key: str, number: int | None, attempt: AttemptId, fact: Fact, now: int) -> FactRow:
    """An oddity as it is kept."""
    strength, severity = f"{fact.strength:.3f}", fact.severity.value
    epoch, _, n = fact.of.partition(".")
    of = (int(epoch), int(n)) if fact.of else attempt
    return FactRow(node, key, *of, number, fact.kind, fact.column, severity, fact.expected, fact.observed, strength, fact.detail, now)
