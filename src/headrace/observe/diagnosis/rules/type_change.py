"""Names are the same, values are of another type."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.rules.rule import BROKEN, Covers, Rule, certain, named, rewritten

RULE = Rule(CauseKind.TYPE_CHANGE, named(CauseKind.TYPE_CHANGE), Covers.COLUMNS, BROKEN, against=rewritten, opens=certain)
