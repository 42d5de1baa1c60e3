"""Headrace wasn't there: what became late meanwhile, what was lost with it, and looks that weren't made."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Family
from headrace.observe.diagnosis.rules.rule import Covers, Rule, always, named

RULE = Rule(
    CauseKind.RUNTIME_DOWN,
    named(CauseKind.RUNTIME_DOWN),
    Covers.NODE,
    frozenset({Family.ARRIVAL, Family.DURATION, Family.LOST}),
    opens=always,
)
