"""Content that was delivered before, or of another interval: nothing else about it says anything."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.rules.rule import CONTENT, Covers, Rule, certain, named, rewritten

RULE = Rule(CauseKind.STALE_DATA, named(CauseKind.STALE_DATA), Covers.PARTITION, CONTENT, against=rewritten, opens=certain)
