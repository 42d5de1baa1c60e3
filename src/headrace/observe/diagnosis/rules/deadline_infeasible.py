"""With the usual arrivals and durations a promise cannot be kept."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Family
from headrace.observe.diagnosis.rules.rule import Covers, Rule, always, named

RULE = Rule(CauseKind.DEADLINE_INFEASIBLE, named(CauseKind.DEADLINE_INFEASIBLE), Covers.ITSELF, frozenset({Family.ARRIVAL}), opens=always)
