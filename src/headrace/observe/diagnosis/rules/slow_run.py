"""A body runs much longer than it used to, with inputs that are no larger."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Family
from headrace.observe.diagnosis.rules.rule import Covers, Rule, always, named

RULE = Rule(CauseKind.SLOW_RUN, named(CauseKind.SLOW_RUN), Covers.ITSELF, frozenset({Family.ARRIVAL}), opens=always)
