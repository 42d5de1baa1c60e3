"""Evidence in words: what of it an incident keeps."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.store.queries.incidents import IncidentEvidence

RENAMED = "column renamed"
_SCHEMA = {"renamed": RENAMED, "dropped": "column gone", "added": "column new", "nullability": "column nullable now"}
TEXT_MAX = 300


def said(evidence: Evidence) -> IncidentEvidence:
    """A piece of evidence as people read it."""
    restated = evidence.family is Family.RESTATED and evidence.detail
    observed = f"{evidence.observed}: {evidence.detail}" if restated else evidence.observed
    return IncidentEvidence(
        what=what(evidence),
        expected=evidence.expected[:TEXT_MAX],
        observed=observed[:TEXT_MAX],
        at=evidence.at_us,
        id=evidence.id,
    )


def turned(was: tuple[str, str], now: tuple[str, str]) -> str:
    """That an incident is something else than before: its kind and its node, then and now. No capital, no full stop."""
    (kind, node), (was_kind, was_node) = now, was
    if node == was_node and (was_kind, kind) == (CauseKind.LATE_SOURCE, CauseKind.MISSING_SOURCE):
        return "it was late; its deadline has passed now: it is missing"
    if node == was_node and (was_kind, kind) == (CauseKind.MISSING_SOURCE, CauseKind.LATE_SOURCE):
        return "it is late, and not missing any more: no deadline has passed"
    return f"it is {kind} at {node}, not {was_kind} at {was_node}"


def what(evidence: Evidence) -> str:
    """What kind of observation it is, in a few words."""
    return f"{_what(evidence)}, exception of {evidence.lapsed} lapsed" if evidence.lapsed else _what(evidence)


def _what(evidence: Evidence) -> str:
    if evidence.family is Family.SCHEMA:
        return _SCHEMA.get(evidence.detail.partition(";")[0], "schema changed")
    if evidence.family is Family.CHECK and evidence.detail:
        return f"check {evidence.detail}"
    if evidence.family in (Family.ERROR, Family.EXPORT, Family.RESOURCES, Family.LOST):
        return "failed" if evidence.family is not Family.LOST else "worker lost"
    if evidence.family is Family.ARRIVAL and not evidence.kind:
        return "no delivery"
    kind = (evidence.kind or evidence.family.value).replace("_", " ")
    return f"{kind} {evidence.column}" if evidence.column else kind
