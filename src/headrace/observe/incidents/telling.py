"""Evidence in words: what of it an incident keeps."""

from __future__ import annotations

from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.store.queries.incidents import Said

RENAMED = "column renamed"
_SCHEMA = {"renamed": RENAMED, "dropped": "column gone", "added": "column new", "nullability": "column nullable now"}
TEXT_MAX = 300


def said(one: Evidence) -> Said:
    """A piece of evidence as people read it."""
    restated = one.family is Family.RESTATED and one.detail
    observed = f"{one.observed}: {one.detail}" if restated else one.observed
    return Said(
        what=what(one),
        expected=one.expected[:TEXT_MAX],
        observed=observed[:TEXT_MAX],
        at=one.at_us,
        id=one.id,
    )


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
    kind = (one.kind or one.family.value).replace("_", " ")
    return f"{kind} {one.column}" if one.column else kind
