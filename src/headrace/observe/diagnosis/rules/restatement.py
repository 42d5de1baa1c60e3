"""New content for an interval that was published and sound. Nothing may be wrong with it: whatever is, is the cause, not this."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Family
from headrace.observe.diagnosis.rules.rule import CONTENT, Covers, Rule, always, named

RULE = Rule(
    CauseKind.RESTATEMENT, named(CauseKind.RESTATEMENT), Covers.ITSELF, frozenset({*CONTENT, Family.DURATION}), opens=always, prior=12.0
)
