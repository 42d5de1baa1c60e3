"""Somebody paused a node: what is made of it isn't there."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.rules.rule import ABSENT, Covers, Rule, named

RULE = Rule(CauseKind.PAUSED, named(CauseKind.PAUSED), Covers.ITSELF, ABSENT)
