"""A delivery that ends the process that reads it: it is in quarantine with its bytes, and nothing reads it any more."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.rules.rule import BROKEN, Covers, Rule, certain, named

RULE = Rule(CauseKind.POISON_DELIVERY, named(CauseKind.POISON_DELIVERY), Covers.PARTITION, BROKEN, opens=certain)
