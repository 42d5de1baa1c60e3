"""A delivery's names differ from those agreed on: what else is odd about these columns follows from that."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.rules.rule import BROKEN, Covers, Rule, certain, named, rewritten

RULE = Rule(CauseKind.SCHEMA_CHANGE, named(CauseKind.SCHEMA_CHANGE), Covers.COLUMNS, BROKEN, against=rewritten, opens=certain)
