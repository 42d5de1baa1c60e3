"""What is ready waits for somebody's approval."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.rules.rule import ABSENT, Covers, Rule, named

RULE = Rule(CauseKind.APPROVAL_PENDING, named(CauseKind.APPROVAL_PENDING), Covers.ITSELF, ABSENT)
