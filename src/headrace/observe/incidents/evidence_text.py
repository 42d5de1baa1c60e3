"""Evidence in words: what of it an incident keeps."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.store.queries.incidents import IncidentEvidence

RENAMED = "column renamed"
_SCHEMA = {"renamed": RENAMED, "dropped": "column gone", "added": "column new", "nullability": "column nullable now"}
TEXT_MAX = 300


def said(one: Evidence) -> IncidentEvidence:
    """A piece of evidence as people read it."""
    restated = one.family is Family.RESTATED and one.detail
    observed = f"{one.observed}: {one.detail}" if restated else one.observed
    return IncidentEvidence(
        what=what(one),
        expected=one.expected[:TEXT_MAX],
        observed=observed[:TEXT_MAX],
        at=one.at_us,
        id=one.id,
    )


def turned(was: tuple[str, str], now: tuple[str, str]) -> str:
    """That an incident is something else than before: its kind and its node, then and now. No capital, no full stop."""
    (kind, node), (was_kind, was_node) = now, was
    if node == was_node and (was_kind, kind) == (CauseKind.LATE_SOURCE, CauseKind.MISSING_SOURCE):
        return "it was late; its deadline has passed now: it is missing"
    if node == was_node and (was_kind, kind) == (CauseKind.MISSING_SOURCE, CauseKind.LATE_SOURCE):
        return "it is late, and not missing any more: no deadline has passed"
    return f"it is {kind} at {node}, not {was_kind} at {was_node}"


def what(one: Evidence) -> str:
    """What kind of observation it is, in a few words."""
    return f"{_what(one)}, exception of {one.lapsed} lapsed" if one.lapsed else _what(one)


def _what(one: Evidence) -> str:
    if one.family is Family.SCHEMA:
        return _SCHEMA.get(one.detail.partition(";")[0], "schema changed")
    if one.family is Family.CHECK and one.detail:
        return f"check {one.detail}"
    if one.family in (Family.ERROR, Family.EXPORT, Family.RESOURCES, Family.LOST):
        return "failed" if one.family is not Family.LOST else "worker lost"
    if one.family is Family.ARRIVAL and not one.kind:
        return "no delivery"
    kind = (one.kind or one.family.value).replace("_", " ")
    return f"{kind} {one.column}" if one.column else kind
